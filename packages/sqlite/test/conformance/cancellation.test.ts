import { assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Cause, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { countTo, type EngineName, onEngines, reasonOf, spinFor, tempFile } from "../support.js"
import { assertIdle, endless, open, random, slowInsert, timed } from "./stopping.js"

const rows = (engine: EngineName, native: number, portable: number) => (engine === "native" ? native : portable)

/** Forks a statement that never ends and waits until it runs. */
const running = (sql: SqliteClient.SqliteClient, text: string) =>
  Effect.zipLeft(Effect.fork(sql.unsafe(text)), Effect.sleep(30))

onEngines("cancellation", (engine) => {
  it.scopedLive("row 68: an interrupted statement frees its fiber and its session", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      for (let i = 0; i < 20; i++) {
        const fiber = yield* running(sql, endless(engine))
        const [took, exit] = yield* timed(Effect.zipLeft(Fiber.interrupt(fiber), sql`select ${i} as i`))
        assert.isTrue(Exit.isInterrupted(exit))
        assert.isBelow(took, 5_000)
      }
      yield* assertIdle(sql)
    })
  )

  if (engine === "portable") {
    it.scopedLive(
      "row 68: a statement that does not stop costs its session after the grace period, not the fiber",
      () =>
        Effect.gen(function* () {
          const sql = yield* open(engine, { filename: yield* tempFile, grace: 200 })
          // It ends by itself, as nobody can end its worker.
          const fiber = yield* running(sql, spinFor(8_000_000))
          const [took, exit] = yield* timed(Fiber.interrupt(fiber))
          assert.isTrue(Exit.isInterrupted(exit))
          assert.isAbove(took, 150)
          assert.isBelow(took, 5_000)
          yield* assertIdle(sql)
          assert.strictEqual((yield* sql.statistics)[0]!.lost, 1)
        })
    )

    it.scopedLive("row 68: while a stuck writer lives its replacement fails LockTimeout", () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile, grace: 100, busyTimeout: 100 })
        yield* sql`create table t (n)`
        const fiber = yield* running(
          sql,
          "insert into t with recursive up(n) as (select 1 union all select n + 1 from up limit 8000000) select max(n) from up"
        )
        yield* Fiber.interrupt(fiber)
        const failure = yield* reasonOf(sql`insert into t values (1)`)
        assert.strictEqual(failure.reason, "LockTimeout")
        assert.include(
          failure.message,
          "was given up, and may hold it as long as its statement runs: insert into t with"
        )
      })
    )
  }

  it.scopedLive("row 69: an interrupted write that waits in the queue never runs", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      const blocker = yield* running(sql, endless(engine))
      // Some are in the worker's ring, some on our side.
      const queued = yield* Effect.forEach(
        Array.from({ length: 150 }, (_, n) => n),
        (n) => Effect.fork(sql`insert into t values (${n})`)
      )
      yield* Effect.sleep(10)
      const [took] = yield* timed(Fiber.interruptAll(queued.filter((_, n) => n % 3 !== 0)))
      assert.isBelow(took, 5_000)
      yield* Fiber.interrupt(blocker)
      yield* Fiber.joinAll(queued.filter((_, n) => n % 3 === 0))
      const found = yield* sql<{ n: number }>`select n from t order by rowid`
      assert.deepStrictEqual(
        found.map(({ n }) => n),
        Array.from({ length: 50 }, (_, i) => i * 3)
      )
    })
  )

  it.scopedLive("row 71: an interrupt that races the completion", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const seed = 71
      const next = random(seed)
      const count = rows(engine, 10_000, 3_000)
      let answered = 0
      let interrupted = 0
      const neighbours = yield* Effect.fork(
        Effect.forEach(
          Array.from({ length: count }, (_, i) => i),
          (i) =>
            Effect.tap(sql<{ i: number }>`select ${i} as i`, (found) =>
              Effect.sync(() => assert.strictEqual(found[0]!.i, i))
            ),
          { discard: true }
        )
      )
      for (let i = 0; i < count; i++) {
        const fiber = yield* Effect.fork(sql<{ i: number }>`select ${-i} as i`)
        for (let turns = Math.floor(next() * 4); turns > 0; turns--) {
          yield* next() < 0.5
            ? Effect.yieldNow()
            : Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        const exit = yield* Fiber.interrupt(fiber)
        if (Exit.isSuccess(exit)) {
          answered++
          assert.strictEqual(exit.value[0]!.i, -i)
        } else {
          interrupted++
          assert.isTrue(
            Cause.isInterruptedOnly(exit.cause),
            `seed ${seed}, statement ${i}: ${Cause.pretty(exit.cause)}`
          )
        }
      }
      yield* Fiber.join(neighbours)
      assert.isAbove(answered, 0)
      assert.isAbove(interrupted, 0)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 71: an interrupt between any two steps of a fiber", () =>
    Effect.gen(function* () {
      // In memory a session that were given up by mistake would be missed at once.
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      for (let i = 0; i < 60; i++) {
        const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(sql.unsafe(endless(engine)), 12 + (i % 5)))
        yield* Effect.sleep(i % 3)
        const [took] = yield* timed(Fiber.interrupt(fiber))
        assert.isBelow(took, 5_000)
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 72: an interrupt between dequeue and first step never hits the next statement", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n integer primary key)`
      const next = random(72)
      const kept: Array<number> = []
      const maybe = new Set<number>()
      for (let round = 0; round < rows(engine, 300, 100); round++) {
        const fibers = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, k) => round * 8 + k),
          (n) => Effect.map(Effect.fork(sql`insert into t values (${n})`), (fiber) => ({ n, fiber }))
        )
        if (next() < 0.7) {
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        for (const { fiber, n } of fibers) {
          if (n % 2 === 0) {
            const exit = yield* Fiber.interrupt(fiber)
            if (Exit.isSuccess(exit)) {
              kept.push(n)
            } else {
              maybe.add(n)
            }
          } else {
            kept.push(n)
          }
        }
        for (const { fiber, n } of fibers) {
          if (n % 2 === 1) {
            yield* Fiber.join(fiber)
          }
        }
      }
      const found = new Set((yield* sql<{ n: number }>`select n from t`).map(({ n }) => n))
      assert.deepStrictEqual(
        kept.filter((n) => !found.has(n)),
        []
      )
      assert.deepStrictEqual(
        [...found].filter((n) => !maybe.has(n)).sort((a, b) => a - b),
        kept.sort((a, b) => a - b)
      )
    })
  )

  it.scopedLive("row 73: a stream that is interrupted and pulled again fails", () =>
    Effect.gen(function* () {
      // Two rows of it take the portable engine half a second, or many times that on a machine with other things to do.
      const sql = yield* open(engine, { grace: "60 seconds" })
      const never = endless(engine).replace("% 1000 ", "% 1000000 ")
      const text = `${countTo(10)} union all select * from (${never})`
      const session = yield* sql.session
      for (const [label, pulls] of [
        ["first", 0],
        ["second", 1]
      ] as const) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const cursor = yield* session.open({
              ...requestOf(text),
              prefetch: 2
            })
            let seen = cursor.first.length
            for (let i = 0; i < pulls; i++) {
              seen += (yield* cursor.next).length
            }
            for (let got = seen; got < 10;) {
              const page = yield* cursor.next
              got += page.length
            }
            const fiber = yield* Effect.fork(cursor.next)
            yield* Effect.sleep(30)
            yield* Fiber.interrupt(fiber)
            for (let i = 0; i < 3; i++) {
              const failure = yield* reasonOf(cursor.next)
              assert.strictEqual(failure.reason, "Interrupted", label)
            }
          })
        )
      }
      yield* assertSession(sql)
    }).pipe(Effect.scoped)
  )

  it.scopedLive("row 73: a page lost to an interrupt is never skipped in silence", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const session = yield* sql.session
      const next = random(73)
      let lost = 0
      for (let i = 0; i < rows(engine, 400, 150); i++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const cursor = yield* session.open({ ...requestOf(countTo(100)), prefetch: 5 })
            let expected = cursor.first.length
            for (;;) {
              const fiber = yield* Effect.fork(cursor.next)
              if (next() < 0.3) {
                for (let turns = Math.floor(next() * 3); turns > 0; turns--) {
                  yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
                }
                const exit = yield* Fiber.interrupt(fiber)
                if (Exit.isFailure(exit)) {
                  const after = yield* Effect.either(cursor.next)
                  if (after._tag === "Left") {
                    lost++
                    assert.strictEqual(SqlFailure.from(after.left).reason, "Interrupted")
                    return
                  }
                  // The fiber was stopped before it had pulled: nothing is missing.
                  assert.isTrue(after.right.length === 0 || after.right.arrays()[0]?.[0] === expected + 1)
                  expected += after.right.length
                  if (after.right.done) {
                    return
                  }
                  continue
                }
              }
              const page = yield* Fiber.join(fiber)
              if (page.length > 0) {
                assert.strictEqual((page.arrays()[0] as ReadonlyArray<number>)[0], expected + 1)
              }
              expected += page.length
              if (page.done) {
                assert.strictEqual(expected, 100)
                return
              }
            }
          })
        )
      }
      assert.isAbove(lost, 0)
    }).pipe(Effect.scoped)
  )

  it.scopedLive("row 74: a timer that wins against a long statement", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const [took, winner] = yield* timed(
        Effect.race(sql.unsafe(endless(engine)), Effect.as(Effect.sleep(50), "timer"))
      )
      assert.strictEqual(winner, "timer")
      assert.isBelow(took, 5_000)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 75: ten at once, one fails, the others are interrupted", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      const statements = Array.from({ length: 10 }, (_, i) =>
        i === 2 ? Effect.delay(sql.unsafe("select * from nowhere"), 30) : sql.unsafe(endless(engine))
      )
      // The one that fails stands in the queue behind the first that does not end, so it fails by being interrupted:
      // one of another kind must fail.
      const [took, failure] = yield* timed(
        reasonOf(Effect.all([...statements, Effect.delay(Effect.fail("mine"), 60)], { concurrency: "unbounded" }))
      )
      assert.strictEqual(failure.cause, "mine")
      assert.isBelow(took, 5_000)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 76: timeouts on a queue of long statements", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const [took, results] = yield* timed(
        Effect.forEach(
          Array.from({ length: 10 }, (_, i) => i),
          (i) => timed(Effect.timeoutOption(sql.unsafe(endless(engine)), 30 + i * 20)),
          { concurrency: "unbounded" }
        )
      )
      for (const [i, [each, result]] of results.entries()) {
        assert.isTrue(Option.isNone(result))
        assert.isAtLeast(each, 25 + i * 20)
        assert.isBelow(each, 5_000 + i * 20)
      }
      assert.isBelow(took, 5_000)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 78: progress steps 10 and 50,000", () =>
    Effect.gen(function* () {
      for (const progressSteps of [10, 50_000]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const sql = yield* open(engine, { progressSteps })
            assert.deepStrictEqual(yield* sql.unsafe(spinFor(100_000)), [{ n: 100_000 }])
            const fiber = yield* running(sql, endless(engine))
            const [took] = yield* timed(Fiber.interrupt(fiber))
            assert.isBelow(took, 5_000)
            yield* assertIdle(sql)
          })
        )
      }
    })
  )

  if (engine === "native") {
    it.scopedLive("row 78: with one look in ten billion steps a statement outlives its grace period", () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile, progressSteps: 2_000_000_000, grace: 200 })
        const fiber = yield* Effect.zipLeft(running(sql, spinFor(20_000_000)), Effect.sleep(200))
        yield* Fiber.interrupt(fiber)
        yield* assertIdle(sql)
        assert.strictEqual((yield* sql.statistics)[0]!.lost, 1)
      })
    )
  }

  it.scopedLive("row 87: interrupt() stops what runs, what waits goes on", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const first = yield* Effect.fork(reasonOf(sql.unsafe(endless(engine))))
      const second = yield* Effect.fork(sql`select 2 as two`)
      yield* Effect.sleep(50)
      yield* sql.interrupt
      const failure = yield* Fiber.join(first)
      assert.strictEqual(failure.reason, "Interrupted")
      assert.strictEqual(failure.outcome, "notExecuted")
      assert.deepStrictEqual(yield* Fiber.join(second), [{ two: 2 }])
    })
  )

  it.scopedLive("row 87: interrupt() ends results that are being read, also between two pages", () =>
    Effect.gen(function* () {
      for (const config of [{}, { filename: yield* tempFile, readers: 1 }]) {
        const sql = yield* open(engine, config)
        for (const stop of [sql.interrupt, Effect.zipRight(Effect.yieldNow(), sql.interrupt)]) {
          const scope = yield* Scope.make()
          const pull = yield* Scope.extend(
            Stream.toPull(sql.unsafe(countTo(1_000)).pipe(SqlClient.withPrefetch(1)).stream),
            scope
          )
          yield* pull
          yield* stop
          const end = yield* Effect.flip(pull)
          assert.isTrue(Option.isSome(end) && SqlFailure.is("Interrupted")(end.value))
          yield* Scope.close(scope, Exit.void)
        }
        // One that has ended, and one that begins afterwards, are not hit.
        assert.strictEqual(yield* Stream.runCount(sql.unsafe(countTo(100)).stream), 100)
        yield* assertIdle(sql)
      }
    })
  )

  it.scopedLive("row 88: interrupt() with nothing running does nothing to the next statement", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      for (let i = 0; i < 200; i++) {
        yield* sql.interrupt
        assert.deepStrictEqual(yield* sql`select ${i} as i`, [{ i }])
      }
    })
  )

  it.scopedLive("interrupt() beside transactions: each ends whole, and the session stays", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      let done = false
      const hammer = yield* Effect.fork(
        Effect.whileLoop({
          while: () => !done,
          body: () => Effect.zipRight(sql.interrupt, Effect.yieldNow()),
          step: () => {}
        })
      )
      let committed = 0
      for (let i = 0; i < rows(engine, 200, 80); i++) {
        const exit = yield* Effect.exit(sql.withTransaction(sql`insert into t values (1), (2)`))
        if (Exit.isSuccess(exit)) {
          committed++
        } else {
          assert.include(["Interrupted", "TransactionGone"], SqlFailure.from(Cause.squash(exit.cause)).reason)
        }
      }
      done = true
      yield* Fiber.join(hammer)
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: committed * 2 }])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a stopped write leaves nothing behind", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, grace: 5_000 })
      yield* sql`create table t (n)`
      const fiber = yield* running(sql, slowInsert(engine, "t"))
      yield* Fiber.interrupt(fiber)
      const [{ n }] = (yield* sql<{ n: number }>`select count(*) as n from t`) as [{ n: number }]
      // The portable engine cannot stop a write: it was let go, and may have ended.
      assert.isTrue(engine === "native" ? n === 0 : n === 0 || n === 3)
    })
  )

  it.scopedLive("an interrupted stream releases its session and its statement", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const fiber = yield* Effect.fork(
        Stream.runForEach(sql.unsafe<{ n: number }>(countTo(1_000_000)).stream, () => Effect.sleep(1))
      )
      yield* Effect.sleep(30)
      yield* Fiber.interrupt(fiber)
      yield* sql`create table t (n)`
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a stream's first page that is interrupted leaves no cursor", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, disableWAL: true })
      const other = yield* open(engine, { filename, disableWAL: true, busyTimeout: 0 })
      yield* sql`create table t (n)`
      yield* sql.unsafe(`insert into t ${countTo(1_000)}`)
      const next = random(5)
      for (let i = 0; i < rows(engine, 200, 80); i++) {
        const stream = Stream.runDrain(SqlClient.withPrefetch(10)(sql`select n from t`).stream)
        const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(stream, next() < 0.5 ? 12 : 2_048))
        for (let turns = Math.floor(next() * 6); turns > 0; turns--) {
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        yield* Fiber.interrupt(fiber)
        yield* sql`select 1`
        // A cursor that were still open would hold its read lock against this.
        yield* other`update t set n = n where n = 1`
      }
    })
  )
})

const requestOf = (text: string) => ({
  text,
  params: [],
  prefetch: 64,
  deadline: Infinity,
  integers: "number" as const,
  shape: "arrays" as const,
  prepared: true,
  transaction: "free" as const
})

const assertSession = (sql: SqliteClient.SqliteClient) =>
  Effect.scoped(
    Effect.gen(function* () {
      const page = yield* Effect.timeout(sql.statistics, 1_000)
      assert.isAbove(page.length, 0)
    })
  )
