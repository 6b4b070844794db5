import { assert, describe, it } from "@effect/vitest"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { guard } from "../src/internal/guard.js"
import { broken, CountingSession, FakeDatabase, reasonOf, settle, taker } from "./fakeSessions.js"

describe("SessionPool: connecting", () => {
  it.scoped("opens min when made, and fails as the first connect does", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 4, min: 3 })
      assert.deepInclude(yield* pool.statistics, { open: 3, idle: 3, opened: 3 })
      db.before = Effect.fail(broken("Authentication"))
      assert.strictEqual(yield* reasonOf(db.pool({ max: 4, min: 3 })), "Authentication")
      assert.strictEqual(db.attempts, 4) // a wrong password is tried once
      assert.strictEqual(db.open.length, 3)
    })
  )

  it.scoped("closes what it had opened when it cannot be made", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.before = Effect.suspend(() => (db.attempts === 3 ? Effect.fail(broken()) : Effect.void))
      assert.strictEqual(yield* reasonOf(db.pool({ max: 3, min: 3 })), "Connection")
      assert.strictEqual(db.open.length, 0)
    })
  )

  it.scoped("refuses numbers that make no pool", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      assert.strictEqual(yield* reasonOf(db.pool({ max: 0 })), "InvalidParameter")
      assert.strictEqual(yield* reasonOf(db.pool({ max: 1.5 })), "InvalidParameter")
      assert.strictEqual(yield* reasonOf(db.pool({ sharing: { multiplex: 0 } })), "InvalidParameter")
      assert.strictEqual(yield* reasonOf(db.pool({ min: NaN })), "InvalidParameter")
      assert.strictEqual(yield* reasonOf(db.pool({ min: -1 })), "InvalidParameter")
      for (const name of ["acquireTimeout", "idleTimeout", "maxLifetime", "bypassWindow"] as const) {
        for (const value of ["soon", "-1 second", -1, NaN]) {
          const failure = yield* Effect.flip(db.pool({ min: 1, [name]: value }))
          assert.strictEqual(SqlFailure.from(failure).reason, "InvalidParameter", name)
          assert.include(SqlFailure.from(failure).message, `Pool "fake": ${name} must be`)
        }
      }
      assert.strictEqual(db.attempts, 0)
    })
  )

  it.scoped("a failed connect answers the head of the queue, everybody gets an answer of their own", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 2 })
      db.before = Effect.suspend(() => {
        const attempt = db.attempts
        return Effect.zipRight(
          Effect.sleep(`${attempt} seconds`),
          attempt === 4 ? Effect.void : Effect.fail(broken("Connection", `attempt ${attempt}`))
        )
      })
      const names = ["a", "b", "c", "d", "e"]
      const fibers = yield* Effect.forEach(names, (name) =>
        pool.lease("exclusive", name).pipe(
          Effect.tap((lease) => lease.release),
          Effect.match({ onFailure: (error) => error.message, onSuccess: (lease) => lease.session.id }),
          Effect.fork
        )
      )
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(Fiber.all(fibers)), ["attempt 1", "attempt 2", "attempt 3", "s1", "s1"])
    })
  )

  it.scoped("a connect that dies is the head's answer, too", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1 })
      db.before = Effect.die("a bug")
      const exit = yield* Effect.exit(pool.lease("exclusive", "a"))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDieType(exit.cause))
      db.before = Effect.void
      yield* Effect.scoped(pool.scoped("exclusive", "b"))
    })
  )
})

describe("SessionPool: health", () => {
  it.scoped("checks a session that was not used within the bypass window", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1 })
      const use = Effect.scoped(pool.scoped("exclusive", "a"))
      yield* use
      yield* TestClock.adjust("499 millis")
      yield* use
      assert.strictEqual(db.sessions[0]!.checks, 0)
      yield* TestClock.adjust("500 millis")
      yield* use
      assert.strictEqual(db.sessions[0]!.checks, 1)
    })
  )

  it.scoped("always checks with a window of 0, once per lease; but not what has just been opened", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, bypassWindow: 0 })
      for (const checks of [0, 1, 2]) {
        yield* Effect.scoped(pool.scoped("exclusive", "a"))
        assert.strictEqual(db.sessions[0]!.checks, checks)
      }
      // A check that nobody waited for to the end counts for nobody.
      const gone = yield* Effect.fork(pool.lease("exclusive", "b"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(gone)
      yield* settle
      yield* Effect.scoped(pool.scoped("exclusive", "c"))
      assert.strictEqual(db.sessions[0]!.checks, 4)
    })
  )

  it.scoped("a change of the wall clock makes no session old, and none fresh", () =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      let moved = 0
      const wall: Clock.Clock = {
        ...clock,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + moved,
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
        sleep: (duration) => clock.sleep(duration)
      }
      const db = new FakeDatabase()
      const pool = yield* db
        .pool({ max: 2, min: 1, idleTimeout: "1 minute", maxLifetime: "1 hour" })
        .pipe(Effect.withClock(wall))
      const [a, b] = yield* Effect.all([pool.lease("exclusive", "a"), pool.lease("exclusive", "b")])
      yield* b.release
      yield* a.release
      moved = 2 * 3_600_000
      yield* TestClock.adjust("2 minutes") // the cold one goes, and the other is looked at, too
      yield* settle
      assert.deepStrictEqual(
        db.open.map((session) => session.id),
        ["s1"]
      )
      moved = -3_600_000
      yield* Effect.scoped(pool.scoped("exclusive", "c"))
      assert.strictEqual(db.sessions[0]!.checks, 1)
    })
  )

  it.scoped("disposes of what fails its check, and tries the next", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 2, min: 2, bypassWindow: 0 })
      db.sessions[1]!.check = Effect.fail(broken("SessionLost"))
      const lease = yield* pool.lease("exclusive", "a")
      assert.strictEqual(lease.session.id, "s1")
      yield* settle
      assert.isTrue(db.sessions[1]!.closed)
      assert.deepInclude(yield* pool.statistics, { open: 1, retired: 1 })
      db.sessions[0]!.check = Effect.fail(broken("SessionLost"))
      yield* lease.release
      assert.strictEqual((yield* pool.lease("exclusive", "b")).session.id, "s3")
    })
  )

  it.scoped("does not check a session that works for somebody", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.create = (id) => new CountingSession(id)
      const pool = yield* db.pool({ max: 1, min: 1, sharing: "fifo", bypassWindow: 0 })
      const session = db.sessions[0] as CountingSession
      session.check = Effect.never
      session.requests = 1
      const lease = yield* pool.lease("shared", "a")
      session.requests = 0
      yield* pool.lease("shared", "b") // held by a
      yield* lease.release
    })
  )

  it.scoped("nor one that is guarded, and closes none as idle while it works", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      db.create = (id) => new CountingSession(id)
      const connect = Effect.flatMap(db.connect, (session) => guard(session, "2 seconds"))
      const pool = yield* db.pool({
        connect,
        max: 2,
        min: 0,
        sharing: "fifo",
        idleTimeout: "1 minute",
        bypassWindow: 0
      })
      const lease = yield* pool.lease("shared", "a")
      yield* lease.release
      const session = db.sessions[0] as CountingSession
      session.requests = 1
      yield* TestClock.adjust("10 minutes")
      assert.isFalse(session.closed)
      yield* Effect.scoped(pool.scoped("shared", "b"))
      assert.strictEqual(session.checks, 0)
      session.requests = 0
      yield* TestClock.adjust("10 minutes")
      assert.isTrue(session.closed)
    })
  )

  it.scoped("onAcquire: true lends; false or a failure disposes, and another is tried", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const seen: Array<string> = []
      const answers: Record<string, Effect.Effect<boolean, ReturnType<typeof broken>>> = {}
      const onAcquire = (session: { readonly id: string }) =>
        Effect.suspend(() => {
          seen.push(session.id)
          return answers[session.id] ?? Effect.succeed(true)
        })
      const pool = yield* db.pool({ max: 3, min: 3, onAcquire })
      answers["s3"] = Effect.succeed(false)
      answers["s2"] = Effect.fail(broken())
      seen.length = 0
      assert.strictEqual((yield* pool.lease("exclusive", "a")).session.id, "s1")
      assert.deepStrictEqual(seen, ["s3", "s2", "s1"])
      yield* settle
      assert.deepStrictEqual(
        db.open.map((session) => session.id),
        ["s1"]
      )
    })
  )

  it.scoped("onAcquire refusing what was just opened is a failure, not a loop", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const no = yield* db.pool({ onAcquire: () => Effect.succeed(false) })
      assert.strictEqual(yield* reasonOf(no.lease("exclusive", "a")), "Connection")
      const bad = yield* db.pool({ onAcquire: () => Effect.fail(broken("Authorization")) })
      assert.strictEqual(yield* reasonOf(bad.lease("exclusive", "a")), "Authorization")
      assert.strictEqual(db.attempts, 2)
      assert.strictEqual(db.open.length, 0)
    })
  )

  it.scoped("onRelease: after the last lease and before the next; false or a failure disposes", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      let answer: Effect.Effect<boolean, ReturnType<typeof broken>> = Effect.succeed(true)
      let runs = 0
      const onRelease = () =>
        Effect.zipRight(
          Effect.sleep("1 second"),
          Effect.suspend(() => (runs++, answer))
        )
      const pool = yield* db.pool({ max: 1, sharing: "fifo", onRelease })
      const [a, b] = yield* Effect.all([pool.lease("shared", "a"), pool.lease("shared", "b")])
      yield* a.release
      yield* settle
      yield* b.release // does not wait for it
      assert.isUndefined(pool.unsafeShare())
      const c = yield* taker(pool, "exclusive", "c")
      assert.isTrue(Option.isNone(yield* Fiber.poll(c)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(runs, 1)
      answer = Effect.succeed(false)
      yield* Effect.flatMap(Fiber.join(c), (lease) => lease.release)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(db.open.length, 0)
      answer = Effect.fail(broken())
      yield* Effect.flatMap(pool.lease("shared", "d"), (lease) => lease.release)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* pool.statistics, { open: 0, opened: 2, retired: 2 })
    })
  )

  it.scoped("an onRelease that throws disposes of the session, and whoever waits gets another", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const onRelease = () => {
        throw new Error("a mistake in the program")
      }
      const pool = yield* db.pool({ max: 1, onRelease })
      const use = Effect.scoped(Effect.zipRight(pool.scoped("exclusive", "user"), Effect.yieldNow()))
      yield* Effect.all([use, use, use], { concurrency: "unbounded" })
      yield* settle
      assert.deepInclude(yield* pool.statistics, { opened: 3, retired: 3, waiting: 0 })
    })
  )

  it.scoped("a lost session leaves at once, free or held, and the next gets another", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1 })
      const held = yield* pool.lease("exclusive", "a")
      const next = yield* taker(pool, "exclusive", "b")
      db.sessions[0]!.die()
      const other = yield* Fiber.join(next)
      assert.strictEqual(other.session.id, "s2")
      yield* settle
      assert.isTrue(db.sessions[0]!.closed)
      yield* held.release // means nothing any more
      yield* held.retire
      yield* other.release
      db.sessions[1]!.die()
      yield* settle
      assert.deepInclude(yield* pool.statistics, { open: 0, lost: 2, retired: 0, leases: 0 })
      assert.strictEqual((yield* pool.lease("exclusive", "c")).session.id, "s3")
    })
  )

  it.scoped("one that is lost while it is validated is replaced", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, min: 1, bypassWindow: 0 })
      db.sessions[0]!.check = Effect.sleep("1 second")
      const waiting = yield* taker(pool, "exclusive", "a")
      db.sessions[0]!.die()
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(waiting)).session.id, "s2")
    })
  )

  it.scoped("retire closes in the background, and once nobody else has it", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: "fifo" })
      const [a, b] = yield* Effect.all([pool.lease("shared", "a"), pool.lease("shared", "b")])
      yield* a.retire
      yield* a.release
      assert.isUndefined(pool.unsafeShare())
      const c = yield* taker(pool, "shared", "c")
      assert.isFalse(db.sessions[0]!.closed)
      assert.deepInclude(yield* pool.statistics, { open: 1, closing: 0, waiting: 1 })
      yield* b.release
      assert.strictEqual((yield* Fiber.join(c)).session.id, "s2")
      assert.isTrue(db.sessions[0]!.closed)
      assert.deepInclude(yield* pool.statistics, { open: 1, closing: 0, retired: 1 })
    })
  )

  it.scoped("a session that is slow to close keeps its place for a second, and no longer", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1 })
      const replaced = (closing: Effect.Effect<void>) =>
        Effect.gen(function* () {
          const lease = yield* pool.lease("exclusive", "a")
          db.after = closing
          yield* lease.retire
          const next = yield* taker(pool, "exclusive", "b")
          yield* TestClock.adjust("500 millis")
          const early = Option.isSome(yield* Fiber.poll(next))
          yield* TestClock.adjust("500 millis")
          yield* Effect.flatMap(Fiber.join(next), (lease) => lease.release)
          return early
        })
      assert.isTrue(yield* replaced(Effect.sleep("500 millis")))
      assert.isFalse(yield* replaced(Effect.sleep("10 seconds")))
      assert.strictEqual((yield* pool.statistics).closing, 1)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(db.open.length, 1)
      db.after = Effect.void
    })
  )

  it.scoped("release counts once", () =>
    Effect.gen(function* () {
      const db = new FakeDatabase()
      const pool = yield* db.pool({ max: 1, sharing: { multiplex: 2 } })
      const a = yield* pool.lease("shared", "a")
      yield* pool.lease("shared", "b")
      yield* a.release
      yield* a.release
      yield* a.retire
      yield* pool.lease("shared", "c")
      yield* taker(pool, "shared", "d")
      assert.deepInclude(yield* pool.statistics, { leases: 2, waiting: 1, retired: 0 })
    })
  )
})
