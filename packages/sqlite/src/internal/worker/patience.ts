/**
 * How long a thread that has nothing to do looks for what comes before it sleeps.
 *
 * Being woken takes some microseconds, on many a virtual machine fifty, and costs the one who wakes as much. What comes
 * sooner than that is better waited for awake; and whoever looks for a few times as long wastes little more than what
 * sleeping would have cost both.
 */
import { availableParallelism } from "node:os"
import { Word } from "../boundary.js"
import { origin } from "../clock.js"

/** Bounds of what being woken is taken to take, in ns. Beyond that the machine is busy, and looking would not help it. */
const leastWake = 2_000
const longestWake = 100_000
const firstWake = 20_000

/** How far what is known follows what is seen: as many are above it as below, and one that took long changes little. */
const step = 1.1

/** What being woken takes on this machine: the median of what was seen lately. */
export class WakeTime {
  constructor(private readonly control: Int32Array) {
    // With one core, whoever looks keeps the other from what is looked for.
    this.set(availableParallelism() > 1 ? firstWake : 0)
  }

  get millis(): number {
    return this.control[Word.wakeNanos]! / 1e6
  }

  /** A thread that slept from `asleep` on (`performance.now`) is awake since `awake`, by what was sent at `sentAt` (ns of `process.hrtime`). */
  seen(asleep: number, awake: number, sentAt: number): void {
    const known = this.control[Word.wakeNanos]!
    const sent = sentAt - origin
    if (known > 0 && sent > asleep * 1e6 && sent < awake * 1e6) {
      const took = awake * 1e6 - sent
      this.set(took > known ? Math.min(known * step, longestWake) : Math.max(known / step, leastWake))
    }
  }

  private set(nanos: number): void {
    Atomics.store(this.control, Word.wakeNanos, Math.round(nanos))
  }
}

/** Times in a row that something came too late before it is no longer looked for. One time says little: work comes in turns. */
const lateTimes = 3

/** Of one thing that is waited for. */
export class Patience {
  private late = 0

  constructor(private readonly wakeTime: WakeTime) {}

  get isNone(): boolean {
    return this.late === lateTimes || this.longest === 0
  }

  /** Until when to look, when there has been nothing since `since` (both of `performance.now`). */
  until(since: number): number {
    return since + this.longest
  }

  /** It came after so many milliseconds, of which a wake took some if the thread slept. */
  came(after: number, slept: boolean): void {
    const gap = slept ? after - this.wakeTime.millis : after
    this.late = gap < this.longest ? 0 : Math.min(this.late + 1, lateTimes)
  }

  /** Three times a wake: the other side may have to be woken first, and then has something to do. */
  private get longest(): number {
    return 3 * this.wakeTime.millis
  }
}
