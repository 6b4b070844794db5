/** How long each side looks for what comes before it sleeps. */
import { availableParallelism } from "node:os"
import { describe, expect, it } from "vitest"
import { Sleep, sleepWord, Word } from "../src/internal/boundary.js"
import { origin } from "../src/internal/clock.js"
import { Lookers } from "../src/internal/lookers.js"
import { TurnPatience } from "../src/internal/turnPatience.js"
import { Patience, WakeTime } from "../src/internal/worker/patience.js"
import { Sleeper } from "../src/internal/worker/sleeper.js"

const control = () => new Int32Array(new SharedArrayBuffer(256))

/** With one core nobody looks, so there is nothing to learn. */
describe.runIf(availableParallelism() > 1)("what being woken takes", () => {
  const learnt = (...samples: ReadonlyArray<number>) => {
    const words = control()
    const time = new WakeTime(words)
    for (const micros of samples) {
      time.seen(1_000, 2_000, origin + 2_000e6 - micros * 1e3)
    }
    return words[Word.wakeNanos]! / 1e3
  }

  it("is the median of what was seen lately, within bounds", () => {
    const of = (micros: number, times = 100) => new Array<number>(times).fill(micros)
    expect(learnt()).toBe(20)
    expect(learnt(60)).toBeCloseTo(22, 0)
    expect(learnt(12)).toBeCloseTo(18, 0)
    expect(learnt(...of(60))).toBeGreaterThan(54)
    expect(learnt(...of(60))).toBeLessThan(67)
    expect(learnt(...of(60), 8)).toBeGreaterThan(49)
    expect(learnt(...of(0.5))).toBe(2)
    expect(learnt(...of(5_000))).toBe(100)
    const mixed = of(0).flatMap((_, i) => (i % 4 === 0 ? 5_000 : 30))
    expect(learnt(...mixed)).toBeGreaterThan(26)
    expect(learnt(...mixed)).toBeLessThan(36)
  })

  it("is not learnt from what was sent before the sleep or after it", () => {
    const words = control()
    const time = new WakeTime(words)
    time.seen(1_000, 1_001, origin + 999e6)
    time.seen(1_000, 1_001, origin + 1_002e6)
    expect(words[Word.wakeNanos]).toBe(20_000)
  })
})

describe("the worker's patience", () => {
  const wake = (millis: number) => ({ millis }) as WakeTime

  it("is three wakes, until what it waits for came too late three times in a row", () => {
    const patience = new Patience(wake(0.05))
    expect(patience.until(7)).toBeCloseTo(7.15)
    patience.came(3, true)
    patience.came(3, true)
    expect(patience.isNone).toBe(false)
    patience.came(0.02, false)
    for (const _ of [1, 2, 3]) {
      expect(patience.isNone).toBe(false)
      patience.came(0.21, true)
    }
    expect(patience.isNone).toBe(true)
    patience.came(3, true)
    // It slept, but of the time being woken took a part: looking would have seen it.
    patience.came(0.19, true)
    expect(patience.isNone).toBe(false)
  })

  it("is none where being woken takes nothing, as with one core", () => {
    const patience = new Patience(wake(0))
    expect(patience.isNone).toBe(true)
    patience.came(0, false)
    expect(patience.isNone).toBe(true)
  })
})

describe("a sleeper", () => {
  it("does not sleep when what it waits for comes at once", () => {
    const words = control()
    const sleeper = new Sleeper(words.buffer, undefined, new Lookers(new SharedArrayBuffer(4), 1))
    const said: Array<number> = []
    const load = Atomics.load
    let looks = 0
    // The loop answers while the worker looks for the third time.
    Atomics.load = ((array: Int32Array, index: number) => {
      said.push(words[sleepWord[Word.callback]]!)
      if (++looks === 3) Atomics.store(words, Word.callback, 1)
      return load(array, index)
    }) as typeof Atomics.load
    try {
      expect(sleeper.sleep(Word.callback, 0, 1_000)).toBe(true)
    } finally {
      Atomics.load = load
    }
    expect(said).toEqual([Sleep.awake, Sleep.awake, Sleep.awake])
  })
})

describe("lookers", () => {
  it("are as many as there are places, and whoever is gone looks no more", () => {
    const places = new SharedArrayBuffer(8)
    const [one, two, three] = [1, 2, 3].map((number) => new Lookers(places, number))
    expect([one!.enter(), two!.enter(), three!.enter()]).toEqual([true, true, false])
    three!.leave()
    expect(three!.enter()).toBe(false)
    new Lookers(places, 1).leave()
    expect(three!.enter()).toBe(true)
    expect(one!.enter()).toBe(false)
  })

  it("sleep at once where no place is free", () => {
    const words = control()
    const places = new SharedArrayBuffer(4)
    new Lookers(places, 1).enter()
    const sleeper = new Sleeper(words.buffer, undefined, new Lookers(places, 2))
    expect(sleeper.sleep(Word.requestHead, 0, 5)).toBe(false)
    expect(Array.from(new Int32Array(places))).toEqual([1])
  })
})

describe("the event loop's patience", () => {
  const set = () => {
    const words = control()
    // So long that it does not end while the test runs.
    words[Word.wakeNanos] = 1e9
    return { words, patience: new TurnPatience(words) }
  }
  /** So that it ends at once. */
  const end = (words: Int32Array, patience: TurnPatience) => {
    words[Word.wakeNanos] = 1
    patience.expect(0)
    expect(patience.lasts()).toBe(false)
    words[Word.wakeNanos] = 1e9
    patience.expect(0)
  }

  it("is for answers that take the engine less than half of a wake", () => {
    const { patience } = set()
    expect(patience.begin()).toBe(false)
    patience.expect(5_000)
    expect(patience.begin()).toBe(true)
    expect(patience.lasts()).toBe(true)
    patience.expect(0.5e9)
    expect(patience.begin()).toBe(false)
    expect(patience.lasts()).toBe(false)
  })

  it("pauses the longer, the oftener the answer did not come in time", () => {
    const { patience, words } = set()
    patience.expect(0)
    expect(patience.begin()).toBe(true)
    for (const pause of [1, 2, 4, 8, 16, 32, 64, 64]) {
      end(words, patience)
      let refused = 0
      while (!patience.begin()) refused++
      expect(refused).toBe(pause - 1)
    }
    patience.came()
    end(words, patience)
    expect(patience.begin()).toBe(true)
  })

  it("is none where the worker says that nobody is to look", () => {
    const { patience, words } = set()
    words[Word.wakeNanos] = 0
    patience.expect(0)
    expect(patience.begin()).toBe(false)
  })
})
