/** The open sessions of a pool and the leases on them: which one to lend, and who has which. */
import type { Kind } from "../SessionPool.js"
import { HeldLease, type Lender, type Slot } from "./poolSlot.js"

export class PoolSlots {
  /** Those that count: open and not on their way out. */
  readonly all: Array<Slot> = []
  /** Leases granted so far. */
  lent = 0
  private readonly leases = new Set<HeldLease>()
  private readonly width: number
  private warmth = 0

  /** `width`: shared leases that one session takes. */
  constructor(width: number) {
    this.width = width
  }

  get held(): number {
    return this.leases.size
  }

  get idle(): number {
    return this.all.filter((slot) => slot.state === "ready" && slot.free).length
  }

  get used(): number {
    return this.all.filter((slot) => !slot.free).length
  }

  holders(): Array<string> {
    return Array.from(this.leases, (lease) => lease.holder)
  }

  add(slot: Slot): void {
    slot.warmth = ++this.warmth
    this.all.push(slot)
  }

  remove(slot: Slot): void {
    slot.state = "gone"
    this.all.splice(this.all.indexOf(slot), 1)
  }

  removeAll(): Array<Slot> {
    for (const slot of this.all) {
      slot.state = "gone"
    }
    return this.all.splice(0)
  }

  /** The warmest session that fits; shared work goes to the one that has the least to do. */
  pick(kind: Kind): Slot | undefined {
    let best: Slot | undefined
    let least = 0
    for (const slot of this.all) {
      if (slot.fits(kind, this.width)) {
        const load = kind === "shared" ? slot.load : 0
        if (best === undefined || load < least || (load === least && slot.warmth > best.warmth)) {
          best = slot
          least = load
        }
      }
    }
    return best
  }

  lend(lender: Lender, slot: Slot, kind: Kind, holder: string): HeldLease {
    if (kind === "exclusive") {
      slot.exclusive = true
    } else {
      slot.shared++
    }
    slot.prepared = false
    this.lent++
    const lease = new HeldLease(lender, slot, kind, holder)
    this.leases.add(lease)
    return lease
  }

  takeBack(lease: HeldLease, now: number): void {
    const { slot } = lease
    this.leases.delete(lease)
    if (lease.kind === "exclusive") {
      slot.exclusive = false
    } else {
      slot.shared--
    }
    slot.warmth = ++this.warmth
    slot.usedAt = now
    slot.aliveAt = now
  }
}
