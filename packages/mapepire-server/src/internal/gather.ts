/** Answers that leave together: for small ones the system call of each would cost the most. */
import type { Duplex } from "node:stream"

/** Milliseconds that an answer which nobody waits for may wait for another one. */
const longestWait = 2

export class Gather {
  private corked = false
  private hurried = false
  private turning: NodeJS.Immediate | undefined
  private timer: NodeJS.Timeout | undefined

  /** `more`: whether another answer is being made. */
  constructor(
    private readonly stream: Duplex,
    private readonly more: () => boolean
  ) {}

  /**
   * To be called before something is written. It leaves with all that is written until the end of this turn of the event
   * loop; what need not hurry, with the answer after that, if one is being made.
   */
  before(hurries: boolean): void {
    this.hurried ||= hurries
    if (!this.corked) {
      this.corked = true
      this.stream.cork()
    }
    this.turning ??= setImmediate(this.turn)
  }

  /** The stream is gone, and what is gathered with it. */
  end(): void {
    clearImmediate(this.turning)
    clearTimeout(this.timer)
  }

  private readonly turn = (): void => {
    this.turning = undefined
    if (this.hurried || !this.more()) {
      this.flush()
    } else {
      this.timer ??= setTimeout(this.flush, longestWait)
    }
  }

  private readonly flush = (): void => {
    clearTimeout(this.timer)
    this.timer = undefined
    this.hurried = false
    if (this.corked) {
      this.corked = false
      this.stream.uncork()
    }
  }
}
