/** How the worker waits for a word of the shared memory that the loop changes: it looks for a moment, then it sleeps. */
import type { Lookers } from "../lookers.js"
import { Sleep, type SleepWord, sleepWord, Word } from "../boundary.js"
import type { Signals } from "../signals.js"
import { Patience, WakeTime } from "./patience.js"

/**
 * The longest sleep in the pump, in milliseconds. It is the faster one, but `worker.terminate()` and `process.exit()` do
 * not end it: a thread that sleeps longer goes on in `Atomics.wait`.
 */
const longestInPump = 10

/** Looks between two looks at the clock, at some 10 ns each. */
const looks = 64

export class Sleeper {
  private readonly control: Int32Array
  private readonly wakeTime: WakeTime
  private readonly patience: Readonly<Record<SleepWord, Patience>>
  /** Since when it slept before the request that comes next; undefined: it did not. */
  private asleep: number | undefined
  private awake = 0

  constructor(
    shared: SharedArrayBuffer,
    private readonly signals: Signals | undefined,
    private readonly lookers: Lookers
  ) {
    this.control = new Int32Array(shared, 0, 64)
    this.wakeTime = new WakeTime(this.control)
    this.patience = {
      [Word.requestHead]: new Patience(this.wakeTime),
      [Word.credit]: new Patience(this.wakeTime),
      [Word.callback]: new Patience(this.wakeTime)
    }
  }

  /** Waits while the word has this value, at most so many milliseconds. False: the time is over. */
  sleep(word: SleepWord, value: number, millis: number): boolean {
    const patience = this.patience[word]
    const since = performance.now()
    if (patience.isNone ? this.changed(word, value) : this.look(word, value, patience.until(since))) {
      patience.came(performance.now() - since, false)
      return true
    }
    const asleep = performance.now()
    const changed = this.doze(word, value, millis)
    this.awake = performance.now()
    this.asleep = word === Word.requestHead ? asleep : undefined
    patience.came(this.awake - since, true)
    return changed
  }

  /** To be told when each request was sent (ns of `process.hrtime`). */
  woken(sentAt: number): void {
    const { asleep } = this
    if (asleep !== undefined) {
      this.asleep = undefined
      this.wakeTime.seen(asleep, this.awake, sentAt)
    }
  }

  private look(word: SleepWord, value: number, until: number): boolean {
    if (!this.lookers.enter()) {
      return this.changed(word, value)
    }
    let changed = false
    do {
      changed = this.changed(word, value)
    } while (!changed && performance.now() < until)
    this.lookers.leave()
    return changed
  }

  /** Looks a few times. */
  private changed(word: SleepWord, value: number): boolean {
    const { control } = this
    for (let i = 0; i < looks; i++) {
      if (Atomics.load(control, word) !== value) {
        return true
      }
    }
    return false
  }

  private doze(word: SleepWord, value: number, millis: number): boolean {
    const { control, signals } = this
    const how = sleepWord[word]
    let changed = false
    if (signals?.futexWait !== undefined) {
      Atomics.store(control, how, Sleep.pump)
      changed = signals.futexWait(control, word, value, Math.min(millis, longestInPump))
      millis -= longestInPump
    }
    if (!changed && millis > 0) {
      Atomics.store(control, how, Sleep.atomics)
      changed = Atomics.wait(control, word, value, millis) !== "timed-out"
    }
    Atomics.store(control, how, Sleep.awake)
    return changed
  }
}
