/**
 * The pool's cases: give, wait, serve, open, prepare, give back, remove, close.
 *
 * All state changes are synchronous, so that no fiber ever sees one half-made. Fibers wait in one place only, the
 * queue. Whatever takes time (connecting, validating, resetting, closing) is done by fibers of the pool, so whoever
 * waits can leave at any moment and takes nothing with them.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type { Kind, Lease, Options, SessionPool, Statistics } from "../SessionPool.js"
import type { Session } from "../SqlTransport.js"
import { withFiber } from "./fiber.js"
import { connectSession } from "./poolConnect.js"
import { closeScope, PoolFibers } from "./poolFibers.js"
import { type PoolMetrics, poolMetrics } from "./poolMetrics.js"
import * as Settings from "./poolSettings.js"
import { type HeldLease, type Lender, Slot } from "./poolSlot.js"
import { PoolSlots } from "./poolSlots.js"
import { after } from "./poolTimer.js"
import { Upkeep } from "./poolUpkeep.js"
import { type Wait, type Waiter, Waiters } from "./poolWaiters.js"
import { clockOf, nowOf } from "./settings.js"
import { stoppable } from "./stoppable.js"

type Refusal = (session: Session) => SqlError | undefined

class Pool implements SessionPool, Lender {
  readonly name: string
  private readonly slots: PoolSlots
  private readonly waiters = new Waiters()
  private readonly counts = { timeouts: 0, opened: 0, failed: 0, retired: 0, lost: 0 }
  private opening = 0
  private preparing = 0
  private closed = false
  /** Off after a connect that nobody waited for has failed, until one succeeds. */
  private mayGrow = true
  private readonly options: Options
  private readonly settings: Settings.PoolSettings
  private readonly clock: Clock.Clock
  private readonly fibers: PoolFibers
  private readonly upkeep: Upkeep
  private readonly tooSlow: SqlError
  private readonly metrics: PoolMetrics | undefined

  constructor(options: Options, settings: Settings.PoolSettings, runtime: Runtime.Runtime<never>, clock: Clock.Clock) {
    this.name = options.name
    this.options = options
    this.settings = settings
    this.clock = clock
    this.slots = new PoolSlots(settings.width)
    this.fibers = new PoolFibers(runtime, clock)
    this.upkeep = new Upkeep(clock, settings, this.slots.all, (slot) => this.retire(slot))
    this.tooSlow = Settings.tooSlow(this.name, settings)
    this.metrics =
      options.metrics === false
        ? undefined
        : poolMetrics(this.name, settings, options.metrics ?? {}, {
            idle: () => this.slots.idle,
            used: () => this.slots.used,
            waiting: () => this.waiters.size
          })
  }

  // --- give: a session is there

  readonly unsafeShare = (): Session | undefined => {
    if (this.settings.width !== Infinity || this.waiters.head !== undefined || this.options.onAcquire !== undefined) {
      return undefined
    }
    const slot = this.slots.pick("shared")
    if (slot === undefined) {
      return undefined
    }
    slot.touched = true
    this.growBeyond(slot)
    return slot.session
  }

  readonly unsafeLease = (kind: Kind, holder: string): Lease | undefined => {
    const slot = this.waiters.head === undefined ? this.slots.pick(kind) : undefined
    if (slot === undefined || this.mustPrepare(slot)) {
      return undefined
    }
    if (kind === "shared") {
      this.growBeyond(slot)
    }
    this.metrics?.waited(0)
    return this.slots.lend(this, slot, kind, holder)
  }

  readonly lease = (
    kind: Kind,
    holder: string,
    wait: Wait = Effect.interruptible,
    refusal?: Refusal
  ): Effect.Effect<Lease, SqlError> =>
    withFiber((fiber) => {
      const lease = this.unsafeLease(kind, holder)
      return lease === undefined ? this.queue(kind, holder, wait, clockOf(fiber), refusal) : Effect.succeed(lease)
    })

  readonly scoped = (kind: Kind, holder: string): Effect.Effect<Lease, SqlError, Scope.Scope> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.scope, (scope) =>
        Effect.tap(this.lease(kind, holder, restore), (lease) => Scope.addFinalizer(scope, lease.release))
      )
    )

  // --- wait: none is there

  private queue(
    kind: Kind,
    holder: string,
    wait: Wait,
    clock: Clock.Clock,
    refusal: Refusal | undefined
  ): Effect.Effect<Lease, SqlError> {
    return this.waiters.wait(kind, holder, wait, {
      joined: (waiter) => {
        if (this.closed) {
          return this.waiters.fail(waiter, Cause.fail(Settings.closed(this.name)))
        }
        this.serve()
        const refused = waiter.queued && refusal !== undefined ? this.refusedByAll(refusal) : undefined
        if (refused !== undefined) {
          this.waiters.fail(waiter, Cause.fail(refused))
        } else if (waiter.queued) {
          waiter.cancelTimer = after(clock, this.settings.acquireTimeout, () => this.timeOut(waiter), false)
        }
      },
      left: () => this.serve() // somebody whom it stood in the way of
    })
  }

  /** Whoever waits would wait for itself: no session can come but one that refuses it. */
  private refusedByAll(refusal: Refusal): SqlError | undefined {
    const { all } = this.slots
    const refusals = all.length < this.settings.max ? [] : all.map(({ session }) => refusal(session))
    return refusals.includes(undefined) ? undefined : refusals[0]
  }

  private timeOut(waiter: Waiter): void {
    this.counts.timeouts++
    this.metrics?.timedOut()
    this.waiters.fail(waiter, Cause.fail(Settings.timedOut(this.name, this.settings, this.slots.holders())))
    this.serve()
  }

  // --- serve: the queue moves

  /** Gives the head of the queue what it waits for, or sees to it that it comes. Called whenever something has changed. */
  private serve(): void {
    for (let head = this.waiters.head; head !== undefined; head = this.waiters.head) {
      const slot = this.slots.pick(head.kind)
      if (slot !== undefined && !this.mustPrepare(slot)) {
        const lease = this.slots.lend(this, slot, head.kind, head.holder)
        this.metrics?.waited((lease.since - head.since) / 1000)
        this.waiters.give(head, lease)
      } else if (this.opening + this.preparing >= this.wanted()) {
        return
      } else if (slot !== undefined) {
        this.prepare(slot, this.validate(slot))
      } else if (this.hasRoom()) {
        this.open()
      } else {
        return
      }
    }
  }

  /** Sessions that would content everybody in the queue. */
  private wanted(): number {
    const { exclusive, shared } = this.waiters
    return exclusive + (shared === 0 ? 0 : Math.max(1, Math.ceil(shared / this.settings.width)))
  }

  // --- open

  private hasRoom(): boolean {
    return !this.closed && this.slots.all.length + this.fibers.leaving + this.opening < this.settings.max
  }

  private open(): void {
    this.opening++
    this.fibers.work(Effect.catchAllCause(this.connect, (cause) => Effect.sync(() => this.refused(cause))))
  }

  /** Shared work was put on a session that is busy already: one more for the next. */
  private growBeyond(slot: Slot): void {
    if (this.mayGrow && this.opening === 0 && this.hasRoom() && slot.pending !== undefined && slot.pending() > 0) {
      this.open()
    }
  }

  /** A failed connect is the answer for the head of the queue; for those behind it another is tried. */
  private refused(cause: Cause.Cause<SqlError>): void {
    const head = this.waiters.head
    if (head === undefined) {
      this.mayGrow = false
    } else if (Option.getOrUndefined(Cause.failureOption(cause)) !== this.tooSlow) {
      // One that was too slow says nothing to the head: who waited as long has timed out, who came later has not.
      this.waiters.fail(head, cause)
    }
    this.serve()
  }

  /** Opens a session and takes it in. The caller has counted it as `opening`. */
  private readonly connect: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const started = performance.now()
    return connectSession(this.options, (effect) => this.bounded(effect), {
      onFailure: () => {
        this.opening--
        this.counts.failed++
      },
      onSuccess: (session, scope) => {
        this.metrics?.created((performance.now() - started) / 1000)
        return this.takeIn(session, scope)
      }
    })
  })

  private takeIn(session: Session, scope: Scope.CloseableScope): Effect.Effect<void> {
    this.opening--
    if (this.closed) {
      return closeScope(scope)
    }
    const slot = new Slot(session, scope, this.now())
    this.slots.add(slot)
    this.counts.opened++
    this.mayGrow = true
    this.handOver(slot)
    this.upkeep.watch()
    const death = Effect.flatMap(session.lost, () => Effect.sync(() => this.lose(slot)))
    return Effect.asVoid(Effect.forkIn(Effect.interruptible(death), scope))
  }

  // --- prepare: validate before a lease, reset after one

  /** Whether it has to prove itself first. One that works for somebody is alive, and a check would have to wait. */
  private mustPrepare(slot: Slot): boolean {
    return slot.free && !slot.prepared && (this.options.onAcquire !== undefined || this.mustCheck(slot))
  }

  private mustCheck(slot: Slot): boolean {
    return this.now() - slot.aliveAt >= this.settings.bypassWindow && slot.load === 0
  }

  private validate(slot: Slot): Effect.Effect<boolean, SqlError> {
    const { onAcquire } = this.options
    const checked = this.mustCheck(slot) ? slot.session.check : Effect.void
    return Effect.zipRight(
      checked,
      onAcquire === undefined ? Effect.succeed(true) : Effect.suspend(() => onAcquire(slot.session))
    )
  }

  private prepare(slot: Slot, usable: Effect.Effect<boolean, SqlError>): void {
    slot.state = "preparing"
    this.preparing++
    this.fibers.work(
      Effect.matchCause(this.bounded(usable), {
        onFailure: () => this.prepared(slot, false),
        onSuccess: (good) => this.prepared(slot, good)
      })
    )
  }

  private prepared(slot: Slot, good: boolean): void {
    this.preparing--
    if (slot.state === "gone") {
      this.serve() // lost meanwhile
      return
    }
    slot.state = "ready"
    if (good && !(slot.expired && slot.quiet)) {
      slot.aliveAt = this.now()
      this.handOver(slot)
    } else {
      this.retire(slot)
    }
  }

  /** Offers a session that has just proved to be good to the queue, without another check. */
  private handOver(slot: Slot): void {
    slot.prepared = true
    this.serve()
    slot.prepared = false
  }

  /** Opening, validating and resetting keep the acquire timeout, so that one that hangs does not keep its place. */
  private bounded<A, R>(effect: Effect.Effect<A, SqlError, R>): Effect.Effect<A, SqlError, R> {
    return stoppable(
      Effect.timeoutFail(effect, { duration: this.settings.acquireTimeout, onTimeout: () => this.tooSlow })
    )
  }

  // --- give back

  giveBack(lease: HeldLease, usable: boolean): void {
    const { slot } = lease
    this.slots.takeBack(lease, this.now())
    this.metrics?.used((performance.now() - lease.since) / 1000)
    if (slot.state === "gone") {
      return
    }
    if (!usable) {
      slot.state = "leaving"
    }
    if ((slot.free && slot.state === "leaving") || (slot.expired && slot.quiet)) {
      this.retire(slot)
    } else if (slot.free && this.options.onRelease !== undefined) {
      const { onRelease } = this.options
      this.prepare(
        slot,
        Effect.suspend(() => onRelease(slot.session))
      )
    } else {
      this.serve()
    }
  }

  // --- remove

  /** On purpose. */
  private retire(slot: Slot): void {
    this.counts.retired++
    this.remove(slot)
  }

  /** It died. Out at once, whoever holds it: their statements fail by themselves. */
  private lose(slot: Slot): void {
    if (slot.state !== "gone") {
      this.counts.lost++
      this.remove(slot)
    }
  }

  private remove(slot: Slot): void {
    this.slots.remove(slot)
    this.fibers.close(slot.scope, () => this.serve())
    this.serve()
  }

  // --- close

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.closed = true
    this.metrics?.end()
    this.upkeep.stop()
    for (let head = this.waiters.head; head !== undefined; head = this.waiters.head) {
      this.waiters.fail(head, Cause.fail(Settings.closed(this.name)))
    }
    const scopes = this.slots.removeAll().map((slot) => slot.scope)
    return Effect.zipRight(this.reportLeaks(), this.fibers.stop(scopes))
  })

  /** What came into the scope after the pool has been closed by now: these will not be given back in time. */
  private reportLeaks(): Effect.Effect<void> {
    const holders = this.slots.holders()
    return holders.length === 0
      ? Effect.void
      : Effect.logWarning(`Pool "${this.name}" was closed while leases were still out: ${holders.join(", ")}`)
  }

  // --- make and measure

  /** The first one alone, so that a wrong password or a missing file shows in one attempt; then the others together. */
  readonly openMinimum: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const { min } = this.settings
    const one = Effect.suspend(() => {
      this.opening++
      return this.connect
    })
    const others = Effect.replicateEffect(one, min - 1, { concurrency: "unbounded", discard: true })
    return min > 0 ? Effect.zipRight(one, others) : Effect.void
  })

  readonly statistics: Effect.Effect<Statistics> = Effect.sync(() => ({
    name: this.name,
    max: this.settings.max,
    open: this.slots.all.length,
    opening: this.opening,
    closing: this.fibers.closings,
    idle: this.slots.idle,
    used: this.slots.used,
    leases: this.slots.held,
    lent: this.slots.lent,
    waiting: this.waiters.size,
    ...this.counts
  }))

  private now(): number {
    return nowOf(this.clock)
  }
}

export const make = (options: Options): Effect.Effect<SessionPool, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const invalid = Settings.invalid(options)
      if (invalid !== undefined) {
        return yield* Effect.fail(invalid)
      }
      const settings = Settings.decode(options)
      const pool = new Pool(options, settings, yield* Effect.runtime<never>(), yield* Effect.clock)
      yield* Effect.addFinalizer(() => pool.close)
      yield* Effect.onError(restore(pool.openMinimum), () => pool.close)
      return pool
    })
  )
