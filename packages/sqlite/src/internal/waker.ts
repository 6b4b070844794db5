/** How the loop wakes the worker that sleeps on a word of the shared memory. */
import { Sleep, type SleepWord, sleepWord } from "./boundary.js"
import type { Signals } from "./signals.js"

export class Waker {
  private readonly control: Int32Array

  constructor(
    memory: SharedArrayBuffer,
    private readonly signals: Signals | undefined
  ) {
    this.control = new Int32Array(memory, 0, 64)
  }

  /** To be called when the word has been changed. Costs nothing when the worker does not sleep there. */
  wake(word: SleepWord): void {
    const { control } = this
    switch (Atomics.exchange(control, sleepWord[word], Sleep.awake)) {
      case Sleep.atomics:
        return void Atomics.notify(control, word)
      case Sleep.pump:
        return this.signals!.futexWake!(control, word)
    }
  }
}
