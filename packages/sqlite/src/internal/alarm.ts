/** One timer for the earliest of many deadlines. */
import { longestTimer } from "./longestTimer.js"

export class Alarm {
  private timer: NodeJS.Timeout | undefined
  private at = Infinity

  constructor(private readonly ring: () => void) {}

  /** Rings at this time of `performance.now`, if it is the earliest that was asked for; never at `Infinity`. */
  set(at: number): void {
    if (at >= this.at) {
      return
    }
    clearTimeout(this.timer)
    this.at = at
    this.timer = setTimeout(
      () => {
        this.clear()
        this.ring()
      },
      // What is later is looked at again then.
      Math.min(Math.max(0, at - performance.now()) + 0.5, longestTimer)
    )
    // Calls under way keep the process alive, their deadlines do not.
    this.timer.unref()
  }

  clear(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.at = Infinity
  }
}
