/** How the worker sleeps on a word of the shared memory until the loop changes it. */
import { Sleep, type SleepWord, sleepWord } from "../boundary.js"
import type { Signals } from "../signals.js"

/**
 * The longest sleep in the pump, in milliseconds. It is the faster one, but `worker.terminate()` and `process.exit()` do
 * not end it: a thread that sleeps longer goes on in `Atomics.wait`.
 */
const longestInPump = 10

export class Sleeper {
  private readonly control: Int32Array

  constructor(
    shared: SharedArrayBuffer,
    private readonly signals: Signals | undefined
  ) {
    this.control = new Int32Array(shared, 0, 64)
  }

  /** Sleeps while the word has this value, at most so many milliseconds. False: the time is over. */
  sleep(word: SleepWord, value: number, millis: number): boolean {
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
