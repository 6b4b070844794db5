/** The worker's look at the control words of the request that it works for (see boundary.ts). */
import { cancelWord, deadlineOffset, slots, Word } from "../boundary.js"
import { origin } from "../clock.js"
import { Why } from "../page.js"

export class ControlWords {
  private readonly words: Int32Array
  private readonly deadlines: BigInt64Array
  private readonly sleeper = new Int32Array(new SharedArrayBuffer(4))
  private seq = 0
  private slot = 0
  /** By `performance.now()`. */
  private deadline = Infinity

  constructor(shared: SharedArrayBuffer) {
    this.words = new Int32Array(shared)
    this.deadlines = new BigInt64Array(shared, deadlineOffset, slots)
  }

  start(seq: number, slot: number): number {
    this.seq = seq
    this.slot = slot
    return this.check()
  }

  end(): void {
    this.seq = 0
  }

  /** A `Why`: all words and the deadline. */
  check(): number {
    if (this.seq === 0) return Why.none
    const why = this.stopped()
    if (why !== Why.none) return why
    const deadline = Atomics.load(this.deadlines, this.slot)
    this.deadline = deadline === 0n ? Infinity : (Number(deadline) - origin) / 1e6
    return deadline !== 0n && process.hrtime.bigint() >= deadline ? Why.deadline : Why.none
  }

  /** The same by the deadline that `check` found last: cheap enough for every row, any of which may have been slow. */
  checkRow(): number {
    if (this.seq === 0) return Why.none
    const why = this.stopped()
    if (why !== Why.none || this.deadline === Infinity) return why
    return performance.now() >= this.deadline ? Why.deadline : Why.none
  }

  private stopped(): number {
    if (Atomics.load(this.words, cancelWord + this.slot) === this.seq) return Why.cancelled
    return Atomics.load(this.words, Word.interrupt) === this.seq ? Why.interrupted : Why.none
  }

  sleep(milliseconds: number): void {
    Atomics.wait(this.sleeper, 0, 0, milliseconds)
  }
}
