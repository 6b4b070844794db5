import { assert, describe, it } from "@effect/vitest"
import type * as SessionPool from "@sluice/sql/SessionPool"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { broken, CountingSession, FakeDatabase, reasonOf, settle, taker } from "./fakeSessions.js"

const ids = (leases: ReadonlyArray<SessionPool.Lease>) => leases.map((lease) => lease.session.id)

describe("SessionPool: lending", () => {
  it.scoped("opens on demand, and lends the one that was given back last", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 3 })
      assert.strictEqual(db.attempts, 0)
      const [a, b, c] = yield* Effect.all([
        pool.lease("exclusive", "a"),
        pool.lease("exclusive", "b"),
        pool.lease("exclusive", "c")
      ])
      assert.deepStrictEqual(ids([a, b, c]), ["s1", "s2", "s3"])
      yield* a.release
      yield* c.release
      yield* b.release
      const again = [yield* pool.lease("exclusive", "d"), yield* pool.lease("exclusive", "e")]
      assert.deepStrictEqual(ids(again), ["s2", "s3"])
      assert.strictEqual(db.attempts, 3)
    })
  )

  it.scoped("never opens more than max, however many wait", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.before = Effect.sleep("1 second")
      const pool = yield* db.pool({ max: 3 })
      const work = Effect.scoped(Effect.zipRight(pool.scoped("exclusive", "w"), Effect.sleep("1 second")))
      const fiber = yield* Effect.fork(Effect.forEach(Array.from({ length: 20 }), () => work, { concurrency: 20 }))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(db.attempts, 3)
      assert.strictEqual(db.peak, 3)
    })
  )

  it.scoped("opens no more than the queue asks for", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.before = Effect.sleep("1 second")
      const pool = yield* db.pool({ max: 8, sharing: { multiplex: 2 } })
      for (const name of ["a", "b", "c"]) {
        yield* taker(pool, "shared", name)
      }
      assert.strictEqual(db.attempts, 2)
      yield* taker(pool, "exclusive", "d")
      assert.strictEqual(db.attempts, 3)
    })
  )

  it.scoped("serves strictly in order, whatever is wanted", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: "fifo" })
      const got: Array<string> = []
      const first = yield* pool.lease("shared", "first")
      const exclusive = yield* taker(pool, "exclusive", "exclusive", got)
      const shared = yield* taker(pool, "shared", "shared", got) // would fit, but may not overtake
      const other = yield* taker(pool, "shared", "other", got)
      assert.deepStrictEqual(got, [])
      yield* first.release
      yield* settle
      assert.deepStrictEqual(got, ["exclusive"])
      yield* Effect.flatMap(Fiber.join(exclusive), (lease) => lease.release)
      yield* settle
      assert.deepStrictEqual(got, ["exclusive", "shared", "other"])
      yield* Effect.flatMap(Fiber.join(shared), (lease) => lease.release)
      yield* Effect.flatMap(Fiber.join(other), (lease) => lease.release)
    })
  )

  it.scoped("gives an exclusive lease only on a session without leases", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: "fifo" })
      const shared = [yield* pool.lease("shared", "a"), yield* pool.lease("shared", "b")]
      const waiting = yield* taker(pool, "exclusive", "c")
      yield* shared[0]!.release
      yield* settle
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      yield* shared[1]!.release
      assert.strictEqual((yield* Fiber.join(waiting)).session.id, "s1")
    })
  )

  it.scoped("multiplex takes n shared leases, exclusive sharing one", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const two = yield* db.pool({ max: 1, sharing: { multiplex: 2 } })
      yield* Effect.all([two.lease("shared", "a"), two.lease("shared", "b")])
      yield* taker(two, "shared", "c")
      assert.strictEqual((yield* two.statistics).waiting, 1)
      const one = yield* db.pool({ max: 1, sharing: "exclusive" })
      yield* one.lease("shared", "a")
      yield* taker(one, "shared", "b")
      assert.strictEqual((yield* one.statistics).waiting, 1)
    })
  )
})

describe("SessionPool: unsafeShare", () => {
  it.scoped("gives an open session that nobody holds alone and nobody waits for", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: "fifo" })
      assert.isUndefined(pool.unsafeShare()) // none is open
      const shared = yield* pool.lease("shared", "a")
      assert.strictEqual(pool.unsafeShare(), shared.session)
      const exclusive = yield* taker(pool, "exclusive", "b")
      assert.isUndefined(pool.unsafeShare()) // somebody waits
      yield* shared.release
      const lease = yield* Fiber.join(exclusive)
      assert.isUndefined(pool.unsafeShare()) // somebody holds it
      yield* lease.release
      assert.strictEqual(pool.unsafeShare(), shared.session)
      const other = yield* pool.lease("exclusive", "c")
      yield* other.retire
      assert.isUndefined(pool.unsafeShare()) // it has left
    })
  )

  it.scoped("is for fifo pools without onAcquire", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      for (const sharing of ["exclusive", { multiplex: 2 }] as const) {
        assert.isUndefined((yield* db.pool({ min: 1, sharing })).unsafeShare())
      }
      const picky = yield* db.pool({ min: 1, sharing: "fifo", onAcquire: () => Effect.succeed(true) })
      assert.isUndefined(picky.unsafeShare())
    })
  )

  it.scoped("prefers the least loaded session, and opens another while all are busy", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const sessions: Array<CountingSession> = []
      db.create = (id) => {
        const session = new CountingSession(id)
        sessions.push(session)
        return session
      }
      const pool = yield* db.pool({ max: 2, min: 1, sharing: "fifo" })
      assert.strictEqual(pool.unsafeShare()?.id, "s1")
      yield* settle
      assert.strictEqual(db.attempts, 1) // it was not busy
      sessions[0]!.requests = 3
      assert.strictEqual(pool.unsafeShare()?.id, "s1") // does not wait for the second
      yield* settle
      assert.strictEqual(db.attempts, 2)
      assert.strictEqual(pool.unsafeShare()?.id, "s2")
      sessions[1]!.requests = 4
      assert.strictEqual(pool.unsafeShare()?.id, "s1")
      assert.strictEqual((yield* pool.lease("shared", "a")).session.id, "s1")
      yield* settle
      assert.strictEqual(db.attempts, 2)
    })
  )

  it.scoped("does not try again and again to open another that nobody waits for", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const session = new CountingSession("only")
      db.create = () => session
      const pool = yield* db.pool({ max: 2, min: 1, sharing: "fifo" })
      session.requests = 1
      db.before = Effect.fail(broken())
      for (let i = 0; i < 5; i++) {
        assert.strictEqual(pool.unsafeShare(), session)
        yield* settle
      }
      assert.strictEqual(db.attempts, 2)
    })
  )
})

describe("SessionPool: waiting", () => {
  it.scoped("fails with PoolTimeout and the holders' names", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ name: "sqlite write", max: 2, acquireTimeout: "5 seconds" })
      yield* Effect.all([pool.lease("exclusive", "import"), pool.lease("exclusive", "report")])
      const waiting = yield* Effect.fork(Effect.flip(pool.lease("exclusive", "late")))
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual((yield* pool.statistics).waiting, 1)
      yield* TestClock.adjust("1 millis")
      const failure = SqlFailure.from(yield* Fiber.join(waiting))
      assert.strictEqual(failure.reason, "PoolTimeout")
      assert.deepStrictEqual(failure.holders, ["import", "report"])
      assert.strictEqual(
        failure.message,
        'Pool "sqlite write": none of at most 2 sessions became free within 5s; held by import, report'
      )
      assert.isTrue(failure.isRetryable)
      assert.deepInclude(yield* pool.statistics, { waiting: 0, timeouts: 1 })
    })
  )

  it.scoped("the timeout is 30 seconds by default, and none when infinite", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const usual = yield* db.pool({ max: 1 })
      const patient = yield* db.pool({ max: 1, acquireTimeout: Infinity, idleTimeout: Infinity })
      yield* usual.lease("exclusive", "a")
      yield* patient.lease("exclusive", "a")
      const late = yield* Effect.fork(reasonOf(usual.lease("exclusive", "b")))
      yield* taker(patient, "exclusive", "b")
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* usual.statistics).waiting, 1)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* Fiber.join(late), "PoolTimeout")
      yield* TestClock.adjust("1 hours")
      assert.strictEqual((yield* patient.statistics).waiting, 1)
    })
  )

  it.scoped("the timeout covers connecting and validation", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, min: 1, bypassWindow: 0, acquireTimeout: "5 seconds" })
      db.sessions[0]!.check = Effect.never
      db.before = Effect.never
      const validating = yield* Effect.fork(reasonOf(pool.lease("exclusive", "a")))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(validating), "PoolTimeout")
      const connecting = yield* Effect.fork(reasonOf(pool.lease("exclusive", "b")))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(connecting), "PoolTimeout")
    })
  )

  it.scoped("a check that hangs disposes of its session, and a connect that hangs does not keep its place", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, min: 1, bypassWindow: 0, acquireTimeout: "5 seconds" })
      db.sessions[0]!.check = Effect.never
      db.before = Effect.never
      yield* Fiber.interrupt(yield* taker(pool, "exclusive", "a")) // begins a check that nobody waits for any more
      yield* TestClock.adjust("4 seconds")
      const waiting = yield* taker(pool, "exclusive", "b")
      yield* TestClock.adjust("1 seconds")
      assert.isTrue(db.sessions[0]!.closed)
      assert.strictEqual(db.attempts, 2)
      yield* Fiber.interrupt(waiting)
      yield* TestClock.adjust("4 seconds")
      db.before = Effect.void
      const last = yield* taker(pool, "exclusive", "c")
      assert.strictEqual(db.attempts, 2)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual((yield* Fiber.join(last)).session.id, "s2")
      assert.deepInclude(yield* pool.statistics, { opening: 0, failed: 1, retired: 1, timeouts: 0 })
    })
  )

  it.scoped("an interrupted waiter leaves at once, and whom it stood in the way of is served", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: "fifo" })
      yield* pool.lease("shared", "a")
      const exclusive = yield* taker(pool, "exclusive", "b")
      const shared = yield* taker(pool, "shared", "c")
      yield* Fiber.interrupt(exclusive)
      assert.strictEqual((yield* Fiber.join(shared)).session.id, "s1")
      assert.deepInclude(yield* pool.statistics, { waiting: 0, leases: 2 })
    })
  )

  it.scoped("so is whom a waiter stood in the way of that timed out", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: "fifo", acquireTimeout: "5 seconds" })
      yield* pool.lease("shared", "a")
      const exclusive = yield* Effect.fork(reasonOf(pool.lease("exclusive", "b")))
      yield* TestClock.adjust("3 seconds")
      const shared = yield* taker(pool, "shared", "c")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(exclusive), "PoolTimeout")
      assert.strictEqual((yield* Fiber.join(shared)).session.id, "s1")
    })
  )

  it.scoped("an interrupt during a connect does not waste it: the next in the queue gets the session", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.before = Effect.sleep("1 second")
      const pool = yield* db.pool({ max: 1 })
      const gone = yield* taker(pool, "exclusive", "a")
      yield* Fiber.interrupt(gone)
      const next = yield* taker(pool, "exclusive", "b")
      yield* TestClock.adjust("1 second")
      yield* Effect.flatMap(Fiber.join(next), (lease) => lease.release)
      assert.strictEqual(db.attempts, 1)
    })
  )

  it.scoped("or nobody does, and it is idle", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.before = Effect.sleep("1 second")
      const pool = yield* db.pool({ max: 1 })
      yield* Fiber.interrupt(yield* taker(pool, "exclusive", "a"))
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* pool.statistics, { open: 1, idle: 1, opening: 0, waiting: 0 })
    })
  )

  it.scoped("an interrupt during validation leaves the session to the next", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, min: 1, bypassWindow: 0 })
      db.sessions[0]!.check = Effect.sleep("1 second")
      const gone = yield* taker(pool, "exclusive", "a")
      yield* Fiber.interrupt(gone)
      const next = yield* taker(pool, "exclusive", "b")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(next)).session.id, "s1")
    })
  )

  it.scoped("a waiter that was chosen and interrupted at the same moment gives the lease back", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1 })
      const lease = yield* pool.lease("exclusive", "a")
      const chosen = yield* taker(pool, "exclusive", "b")
      const next = yield* taker(pool, "exclusive", "c")
      // Both before the waiter's fiber runs again: first its lease, then the interrupt.
      yield* Effect.zipRight(lease.release, Fiber.interruptFork(chosen))
      yield* settle
      const exit = yield* Fiber.await(chosen)
      if (Exit.isSuccess(exit)) {
        yield* exit.value.release
      }
      assert.strictEqual((yield* Fiber.join(next)).session.id, "s1")
      assert.strictEqual((yield* pool.statistics).leases, 1)
    })
  )

  it.scoped("so does one whose wait is ended by a deadline of its own, at the same moment", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1 })
      const first = yield* pool.lease("exclusive", "a")
      const waiting = yield* pool
        .lease("exclusive", "b", (signal) =>
          Effect.timeoutFail(signal, { duration: "1 second", onTimeout: () => broken("StatementTimeout") })
        )
        .pipe(Effect.exit, Effect.fork)
      yield* settle
      yield* Effect.fork(Effect.zipRight(Effect.sleep("1 second"), first.release))
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(waiting)
      if (Exit.isSuccess(exit)) {
        yield* exit.value.release
      }
      assert.deepInclude(yield* pool.statistics, { leases: 0, idle: 1, waiting: 0 })
    })
  )

  it.scoped("the wait is as interruptible as its caller says", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1 })
      const lease = yield* pool.lease("exclusive", "a")
      const last = yield* Effect.scoped(pool.scoped("exclusive", "b")).pipe(Effect.uninterruptible, Effect.fork)
      yield* settle
      yield* Fiber.interruptFork(last)
      yield* settle
      assert.strictEqual((yield* pool.statistics).waiting, 1)
      yield* lease.release
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(last)))
      assert.strictEqual((yield* pool.statistics).lent, 2)
    })
  )
})

describe("SessionPool: unsafeLease", () => {
  it.scoped("gives what lease gives where nothing is to be waited for, to be given back at once", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: { multiplex: 2 } })
      assert.isUndefined(pool.unsafeLease("shared", "a")) // none is open
      const first = yield* pool.lease("shared", "a")
      const second = pool.unsafeLease("shared", "b")
      assert.strictEqual(second?.session, first.session)
      assert.isUndefined(pool.unsafeLease("shared", "c")) // no more than two
      const exclusive = yield* taker(pool, "exclusive", "d")
      second!.unsafeRelease()
      second!.unsafeRelease() // only the first call counts
      assert.isUndefined(pool.unsafeLease("shared", "e")) // somebody waits
      assert.deepInclude(yield* pool.statistics, { leases: 1, waiting: 1, lent: 2 })
      first.unsafeRelease()
      yield* Effect.flatMap(Fiber.join(exclusive), (lease) => lease.release)
      assert.isDefined(pool.unsafeLease("exclusive", "f"))
    })
  )

  it.scoped("gives no session that has to prove itself first", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ min: 1, max: 1, onAcquire: () => Effect.succeed(true) })
      assert.isUndefined(pool.unsafeLease("exclusive", "a"))
      assert.strictEqual((yield* pool.statistics).leases, 0)
    })
  )
})
