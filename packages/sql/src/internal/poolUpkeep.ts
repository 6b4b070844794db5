/** Finds the sessions that nobody has used for long, and those that are too old. */
import type * as Clock from "effect/Clock"
import type { PoolSettings } from "./poolSettings.js"
import type { Slot } from "./poolSlot.js"
import { after } from "./poolTimer.js"
import { nowOf } from "./settings.js"

/** How soon to look again at a session that is too old and in use without a lease. */
const expiredAgainMillis = 1_000

/** One timer for the whole pool, and none while no session can become too cold or too old. */
export class Upkeep {
  private cancel: (() => void) | undefined
  private readonly clock: Clock.Clock
  private readonly settings: PoolSettings
  private readonly slots: ReadonlyArray<Slot>
  private readonly retire: (slot: Slot) => void

  constructor(clock: Clock.Clock, settings: PoolSettings, slots: ReadonlyArray<Slot>, retire: (slot: Slot) => void) {
    this.clock = clock
    this.settings = settings
    this.slots = slots
    this.retire = retire
  }

  /**
   * Sets the timer, if it is not set and has a use. To be called whenever a session has come. The timer in force is early
   * enough for it: it was set when no session could become due later than a new one would.
   */
  watch(): void {
    const { idleTimeout, maxLifetime, min } = this.settings
    const cools = this.slots.length > min && idleTimeout !== Infinity
    const ages = this.slots.length > 0 && maxLifetime !== Infinity
    if (this.cancel === undefined && (cools || ages)) {
      const now = nowOf(this.clock)
      const due = this.slots.reduce((due, slot) => Math.min(due, this.dueAt(slot, now)), Infinity)
      // Timers count whole milliseconds; one that rings a fraction too soon would look for nothing.
      this.cancel = after(this.clock, Math.ceil(due - now), () => this.look(), true)
    }
  }

  stop(): void {
    this.cancel?.()
  }

  private dueAt(slot: Slot, now: number): number {
    const { idleTimeout, maxLifetime } = this.settings
    const cold = slot.usedAt + idleTimeout
    const old = slot.expired ? now + expiredAgainMillis : slot.openedAt + maxLifetime
    return Math.min(old, cold > now ? cold : now + idleTimeout)
  }

  /** The coldest first, so that the warmest are the ones that stay. */
  private look(): void {
    const { idleTimeout, maxLifetime, min } = this.settings
    const now = nowOf(this.clock)
    this.cancel = undefined
    for (const slot of this.slots.toSorted((a, b) => a.warmth - b.warmth)) {
      if (slot.touched || !slot.quiet) {
        slot.touched = false
        slot.usedAt = now
      }
      slot.expired = now - slot.openedAt >= maxLifetime
      const cold = this.slots.length > min && now - slot.usedAt >= idleTimeout
      if (slot.quiet && (cold || slot.expired)) {
        this.retire(slot)
      }
    }
    this.watch()
  }
}
