/** How long the event loop turns in expectation of an answer before it lets the worker wake it. */
import { Word } from "./boundary.js"

/** Answers that are not looked for after many in a row that did not come in time. */
const longestPause = 64

export class TurnPatience {
  /** Milliseconds; 0: none. */
  private millis = 0
  private since = 0
  private turning = false
  /** Answers that are not looked for, as the ones before did not come in time; and how many these are the next time. */
  private pause = 0
  private nextPause = 1

  constructor(private readonly control: Int32Array) {}

  /**
   * An answer took the engine so many ns; the next one is expected to take as long. It is looked for where that is less
   * than half of what being woken takes, for twice that: the worker may have to be woken first. Whatever takes longer
   * leaves the loop asleep meanwhile, and its thread to others.
   */
  expect(engineNanos: number): void {
    const wake = this.control[Word.wakeNanos]!
    this.millis = 2 * engineNanos < wake ? (2 * wake) / 1e6 : 0
  }

  /** From now on nothing has come. Whether to look for it. */
  begin(): boolean {
    this.turning = this.millis > 0 && (this.pause === 0 || --this.pause === 0)
    if (this.turning) {
      this.since = performance.now()
    }
    return this.turning
  }

  /** Something has come. */
  came(): void {
    if (this.turning) {
      this.nextPause = 1
    }
    this.begin()
  }

  /** Whether to look on, when nothing has come yet. */
  lasts(): boolean {
    if (!this.turning) {
      return false
    }
    if (performance.now() - this.since < this.millis) {
      return true
    }
    // The machine has other things to do: whoever looks then only keeps the worker from answering.
    this.turning = false
    this.pause = this.nextPause
    this.nextPause = Math.min(2 * this.nextPause, longestPause)
    return false
  }
}
