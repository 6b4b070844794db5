import { assert, describe, it, vi } from "@effect/vitest"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"
import * as TestClock from "effect/TestClock"
import { CountingSession, FakeDatabase, reasonOf, settle, taker } from "./fakeSessions.js"

/** Collects what is logged. */
const logged = (lines: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`))
  )

describe("SessionPool: age", () => {
  it.scoped("closes the coldest above min after the idle timeout", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 3, min: 1, idleTimeout: "60 seconds" })
      const leases = yield* Effect.replicateEffect(pool.lease("exclusive", "a"), 3)
      yield* TestClock.adjust("100 seconds") // held, not idle
      yield* Effect.forEach(leases, (lease) => lease.release)
      yield* TestClock.adjust("30 seconds")
      yield* Effect.scoped(pool.scoped("exclusive", "a")) // the warmest
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(db.open.length, 3)
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(
        db.open.map((session) => session.id),
        [leases[2]!.session.id]
      )
      yield* TestClock.adjust("300 seconds")
      assert.strictEqual(db.open.length, 1)
    })
  )

  it.scoped("keeps min of them, the warmest, however cold", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 3, min: 1, idleTimeout: "60 seconds" })
      const leases = yield* Effect.replicateEffect(pool.lease("exclusive", "a"), 3)
      yield* Effect.forEach(leases, (lease) => lease.release)
      yield* TestClock.adjust("600 seconds")
      assert.deepStrictEqual(
        db.open.map((session) => session.id),
        [leases[2]!.session.id]
      )
    })
  )

  it.scoped("the idle timeout is 10 minutes by default, and never when infinite", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const usual = yield* db.pool({ max: 1 })
      const lasting = yield* db.pool({ max: 1, idleTimeout: Infinity })
      yield* Effect.scoped(usual.scoped("exclusive", "a"))
      yield* Effect.scoped(lasting.scoped("exclusive", "a"))
      yield* TestClock.adjust("599 seconds")
      assert.strictEqual(db.open.length, 2)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual((yield* usual.statistics).open, 0)
      yield* TestClock.adjust("1 days")
      assert.strictEqual((yield* lasting.statistics).open, 1)
    })
  )

  it.scoped("what is used through unsafeShare is not idle", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.create = (id) => new CountingSession(id)
      const pool = yield* db.pool({ max: 1, sharing: "fifo", idleTimeout: "60 seconds" })
      yield* Effect.scoped(pool.scoped("shared", "a"))
      yield* TestClock.adjust("30 seconds")
      const session = pool.unsafeShare() as CountingSession
      session.requests = 1
      yield* TestClock.adjust("200 seconds")
      assert.isFalse(session.closed) // a statement runs on it
      session.requests = 0
      yield* TestClock.adjust("120 seconds")
      assert.isTrue(session.closed)
    })
  )

  it.scoped("retires at the end of the lifetime, or when it is next free", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 2, min: 2, maxLifetime: "60 seconds" })
      const lease = yield* pool.lease("exclusive", "a")
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(db.open.length, 2)
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(
        db.open.map((session) => session.id),
        [lease.session.id]
      )
      yield* TestClock.adjust("60 seconds")
      yield* lease.release
      yield* settle
      assert.strictEqual(db.open.length, 0)
      assert.strictEqual((yield* pool.lease("exclusive", "b")).session.id, "s3")
    })
  )

  it.scoped("a busy old session is retired as soon as it has nothing to do", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.create = (id) => new CountingSession(id)
      const pool = yield* db.pool({ max: 1, min: 1, sharing: "fifo", maxLifetime: "60 seconds" })
      const session = pool.unsafeShare() as CountingSession
      session.requests = 1
      yield* TestClock.adjust("70 seconds")
      assert.isFalse(session.closed)
      session.requests = 0
      yield* TestClock.adjust("1 seconds")
      assert.isTrue(session.closed)
    })
  )

  it.scoped("what is irreplaceable stays, however old and idle, until it is not", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const options = {
        sharing: "fifo",
        maxLifetime: "60 seconds",
        idleTimeout: "10 seconds",
        onRelease: () => Effect.succeed(true)
      } as const
      const pool = yield* db.pool(options)
      yield* Effect.flatMap(pool.lease("shared", "a"), (lease) => lease.release)
      yield* settle
      const session = db.sessions[0]!
      session.keeps = true
      yield* TestClock.adjust("70 seconds")
      yield* Effect.flatMap(pool.lease("exclusive", "b"), (lease) => lease.release)
      yield* TestClock.adjust("70 seconds")
      assert.isFalse(session.closed)
      session.keeps = false
      yield* TestClock.adjust("1 seconds")
      assert.isTrue(session.closed)
    })
  )
})

describe("SessionPool: close", () => {
  /** A pool in a scope that the test closes. */
  const scoped = (db: FakeDatabase, options: Parameters<FakeDatabase["pool"]>[0]) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      return { pool: yield* Scope.extend(db.pool(options), scope), close: Scope.close(scope, Exit.void), scope }
    })

  it.effect("fails who waits and who comes later; closes what is idle and what is held", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const { close, pool } = yield* scoped(db, { max: 2, min: 2, sharing: "fifo", name: "sqlite write" })
      const lease = yield* pool.lease("exclusive", "a")
      yield* pool.lease("exclusive", "b")
      const waiting = yield* Effect.fork(Effect.flip(pool.lease("exclusive", "c")))
      yield* settle
      yield* close
      const failure = SqlFailure.from(yield* Fiber.join(waiting))
      assert.strictEqual(failure.reason, "Closed")
      assert.strictEqual(failure.message, 'Pool "sqlite write": the client was closed')
      assert.strictEqual(yield* reasonOf(pool.lease("shared", "d")), "Closed")
      assert.isUndefined(pool.unsafeShare())
      assert.strictEqual(db.open.length, 0)
      yield* lease.release
      yield* lease.retire
      assert.deepInclude(yield* pool.statistics, { open: 0, opening: 0, waiting: 0, closing: 0 })
      assert.strictEqual(db.attempts, 2)
    })
  )

  it.effect("reports leaks by name", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { close, pool } = yield* scoped(new FakeDatabase(), { max: 3, name: "sqlite write" })
      yield* pool.lease("exclusive", "import")
      yield* pool.lease("exclusive", "report")
      yield* Effect.scoped(pool.scoped("exclusive", "tidy"))
      yield* close
      assert.deepStrictEqual(lines, ['WARN Pool "sqlite write" was closed while leases were still out: import, report'])
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("is silent about what was given back by the scope itself, before the pool", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { close, pool, scope } = yield* scoped(new FakeDatabase(), { max: 3 })
      yield* Scope.extend(pool.scoped("exclusive", "finalizer"), scope)
      yield* Effect.scoped(Effect.zipRight(pool.scoped("exclusive", "fiber"), Effect.never)).pipe(Effect.forkIn(scope))
      yield* settle
      assert.strictEqual((yield* pool.statistics).leases, 2)
      yield* close
      assert.deepStrictEqual(lines, [])
      assert.strictEqual((yield* pool.statistics).leases, 0)
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("stops connects and checks that are under way", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const { close, pool } = yield* scoped(db, { max: 2, min: 1, bypassWindow: 0 })
      let stopped = false
      db.sessions[0]!.check = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (stopped = true)))
      db.before = Effect.never
      const fibers = yield* Effect.replicateEffect(Effect.fork(reasonOf(pool.lease("exclusive", "a"))), 2)
      yield* settle
      assert.strictEqual(db.connecting, 1)
      yield* close
      assert.deepStrictEqual(yield* Fiber.join(Fiber.all(fibers)), ["Closed", "Closed"])
      assert.strictEqual(db.connecting, 0)
      assert.isTrue(stopped)
      assert.strictEqual(db.open.length, 0)
    })
  )

  it.effect("closes a session that comes although it was not wanted any more", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const { close, pool } = yield* scoped(db, { max: 1 })
      db.before = Effect.uninterruptible(Effect.sleep("1 second"))
      const waiting = yield* Effect.fork(reasonOf(pool.lease("exclusive", "a")))
      yield* settle
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual(yield* Fiber.join(waiting), "Closed")
      assert.strictEqual(db.open.length, 0)
    })
  )

  it.effect("waits until every session is closed, and only logs what goes wrong", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const db = new FakeDatabase()
      const { close, pool } = yield* scoped(db, { max: 3, min: 2 })
      const lease = yield* pool.lease("exclusive", "a")
      db.after = Effect.sleep("3 seconds")
      yield* lease.retire
      yield* TestClock.adjust("1 seconds")
      db.after = Effect.zipRight(Effect.sleep("1 second"), Effect.die("no"))
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("1999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(closing)))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(closing)))
      assert.isTrue(lines.length === 1 && lines[0]!.startsWith("WARN A session failed to close"))
    }).pipe(Effect.provide(logged(lines)))
  })

  it.live("an uncontended lease starts no fiber and no timer, and none is left at the end", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor.track
      const set = vi.spyOn(globalThis, "setTimeout")
      const clear = vi.spyOn(globalThis, "clearTimeout")
      const isOurs = (millis: number | undefined) => millis! >= 12_345 || millis === 1_000
      const ours = () => set.mock.calls.filter(([, millis]) => isOurs(millis)).length
      const stopped = () => new Set(clear.mock.calls.map(([handle]) => handle))
      yield* Effect.gen(function* () {
        const db = new FakeDatabase()
        const { close, pool } = yield* scoped(db, {
          max: 1,
          sharing: "fifo",
          acquireTimeout: "12345 millis",
          idleTimeout: "12346 millis"
        })
        const first = yield* pool.lease("exclusive", "a")
        yield* first.release
        const [timers, fibers] = [ours(), (yield* supervisor.value).length]
        for (let i = 0; i < 100; i++) {
          const lease = yield* pool.lease("exclusive", "a")
          yield* lease.release
          pool.unsafeShare()
        }
        assert.strictEqual(ours(), timers)
        assert.strictEqual((yield* supervisor.value).length, fibers)
        const retired = yield* pool.lease("exclusive", "a")
        yield* taker(pool, "exclusive", "b")
        assert.strictEqual(ours(), timers + 1)
        yield* retired.retire
        assert.strictEqual(ours(), timers + 2)
        yield* settle
        yield* close
      }).pipe(Effect.supervised(supervisor))
      const handles = set.mock.results.filter((_, i) => isOurs(set.mock.calls[i]![1]))
      assert.isTrue(handles.every((result) => stopped().has(result.value)))
      vi.restoreAllMocks()
    }).pipe(Effect.provide(logged([])))
  )
})
