/** The worker's look at the control words of the request that it works for (see boundary.ts). */
import { cancelWord, deadlineOffset, slots, Word } from "../boundary.js"
import { Why } from "../page.js"

/** Between two looks at a deadline, which cost more than those at a word. */
const rowsPerDeadline = 16

export class ControlWords {
  private readonly words: Int32Array
  private readonly deadlines: BigInt64Array
  private readonly sleeper = new Int32Array(new SharedArrayBuffer(4))
  private seq = 0
  private slot = 0
  private looks = 0

  constructor(shared: SharedArrayBuffer) {
    this.words = new Int32Array(shared)
    this.deadlines = new BigInt64Array(shared, deadlineOffset, slots)
  }

  start(seq: number, slot: number): number {
    this.seq = seq
    this.slot = slot
    this.looks = 0
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
    return deadline !== 0n && process.hrtime.bigint() >= deadline ? Why.deadline : Why.none
  }

  /** The same, for every row. */
  checkRow(): number {
    if (this.seq === 0) return Why.none
    return this.looks++ % rowsPerDeadline === 0 ? this.check() : this.stopped()
  }

  private stopped(): number {
    if (Atomics.load(this.words, cancelWord + this.slot) === this.seq) return Why.cancelled
    return Atomics.load(this.words, Word.interrupt) === this.seq ? Why.interrupted : Why.none
  }

  sleep(milliseconds: number): void {
    Atomics.wait(this.sleeper, 0, 0, milliseconds)
  }
}
