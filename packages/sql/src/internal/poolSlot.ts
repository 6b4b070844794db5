/** A session's place in its pool, and the leases on it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Kind, Lease } from "../SessionPool.js"
import type { Session } from "../SqlTransport.js"

/**
 * `ready`: may be lent. `preparing`: a fiber of the pool validates or resets it. `leaving`: not lent any more, closed
 * with its last lease. `gone`: out of the pool, closed or about to be.
 */
export type State = "ready" | "preparing" | "leaving" | "gone"

export class Slot {
  state: State = "ready"
  shared = 0
  exclusive = false
  /** Rises with every use: the largest is the warmest. */
  warmth = 0
  /** Validated just now, for whoever is next. */
  prepared = false
  /** Shared without a lease since the last look. */
  touched = false
  /** Past its lifetime. */
  expired = false
  /** When it was last given back. All times are milliseconds of the pool's clock that no change of the wall clock moves. */
  usedAt: number
  /** When it last proved to be alive. */
  aliveAt: number
  readonly pending: (() => number) | undefined
  readonly session: Session
  readonly scope: Scope.CloseableScope
  readonly openedAt: number

  constructor(session: Session, scope: Scope.CloseableScope, openedAt: number) {
    this.session = session
    this.scope = scope
    this.openedAt = openedAt
    this.usedAt = openedAt
    this.aliveAt = openedAt
    this.pending = session.pending?.bind(session)
  }

  /** No lease is on it. */
  get free(): boolean {
    return !this.exclusive && this.shared === 0
  }

  /** Requests on it as far as anyone can tell. */
  get load(): number {
    return this.pending === undefined ? this.shared : this.pending()
  }

  /** May be closed without taking anything from anybody. */
  get quiet(): boolean {
    return this.state === "ready" && this.free && this.load === 0 && this.session.irreplaceable?.() !== true
  }

  /** `width`: how many shared leases it takes. An exclusive one wants it for itself. */
  fits(kind: Kind, width: number): boolean {
    return this.state === "ready" && !this.exclusive && this.shared < (kind === "shared" ? width : 1)
  }
}

/** What a lease goes back to. */
export interface Lender {
  readonly giveBack: (lease: HeldLease, usable: boolean) => void
}

export class HeldLease implements Lease {
  readonly session: Session
  readonly slot: Slot
  readonly kind: Kind
  readonly holder: string
  /** Milliseconds of `performance.now()`. */
  readonly since = performance.now()
  private readonly lender: Lender
  private held = true

  constructor(lender: Lender, slot: Slot, kind: Kind, holder: string) {
    this.lender = lender
    this.slot = slot
    this.kind = kind
    this.holder = holder
    this.session = slot.session
  }

  get release(): Effect.Effect<void> {
    return Effect.sync(this.unsafeRelease)
  }

  readonly unsafeRelease = (): void => this.end(true)

  get retire(): Effect.Effect<void> {
    return Effect.sync(() => this.end(false))
  }

  /** Only the first call counts: a lease may be retired by the statement that failed and released by its holder. */
  end(usable: boolean): void {
    if (this.held) {
      this.held = false
      this.lender.giveBack(this, usable)
    }
  }
}
