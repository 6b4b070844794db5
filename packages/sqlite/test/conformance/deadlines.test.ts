import { assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Cause, Effect, Exit, Fiber, Stream, TestClock } from "effect"
import { countTo, onEngines, reasonOf, spinFor, tempFile } from "../support.js"
import { assertIdle, endless, open, slowInsert, timed } from "./stopping.js"

onEngines("deadlines", (engine) => {
  it.scopedLive("row 79: a deadline in the past: nothing runs", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      for (const within of [0, -5]) {
        const failure = yield* reasonOf(
          Effect.provideService(sql`insert into t values (1)`, SqlClient.Deadline, performance.now() + within - 1)
        )
        assert.strictEqual(failure.reason, "StatementTimeout")
        assert.strictEqual(failure.outcome, "notExecuted")
      }
      assert.strictEqual(
        (yield* reasonOf(SqlClient.withDeadline(0)(sql`insert into t values (1)`))).reason,
        "StatementTimeout"
      )
      assert.deepStrictEqual(yield* sql`select * from t`, [])
    })
  )

  it.scopedLive(
    "a deadline that passes in the last steps of a write: what was committed is not told as not executed",
    () =>
      Effect.gen(function* () {
        for (const progressSteps of [1, 3, 5, 20]) {
          // On a busy machine one step, which nothing can stop, takes seconds: the session must outlive it.
          const sql = yield* open(engine, { progressSteps, grace: 60_000 })
          yield* sql`create table t (n)`
          for (let i = 0; i < 3; i++) {
            const slow = sql`insert into t values (${i} + length(randomblob(100000000)) * 0)`
            const exit = yield* Effect.exit(SqlClient.withDeadline("30 millis")(slow))
            const done = (yield* sql`select n from t where n = ${i}`).length === 1
            if (Exit.isSuccess(exit)) {
              assert.isTrue(done)
            } else {
              assert.strictEqual(SqlFailure.from(Cause.squash(exit.cause)).outcome, done ? "executed" : "notExecuted")
            }
          }
        }
      })
  )

  it.scopedLive("row 80: a deadline that passes in the queue", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      const blocker = yield* Effect.fork(sql.unsafe(endless(engine)))
      yield* Effect.sleep(20)
      // More than the worker takes at once: some wait on our side.
      const results = yield* timed(
        Effect.forEach(
          Array.from({ length: 100 }, (_, i) => i),
          (i) => reasonOf(SqlClient.withDeadline("60 millis")(sql`insert into t values (${i})`)),
          { concurrency: "unbounded" }
        )
      )
      assert.isAtLeast(results[0], 50)
      assert.isBelow(results[0], 10_000)
      for (const failure of results[1]) {
        assert.strictEqual(failure.reason, "StatementTimeout")
        assert.strictEqual(failure.outcome, "notExecuted")
      }
      yield* Fiber.interrupt(blocker)
      assert.deepStrictEqual(yield* sql`select * from t`, [])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 81: the same failure in SQL and in a fill", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const inSql = yield* reasonOf(SqlClient.withDeadline("60 millis")(sql.unsafe(endless(engine))))
      const inFill = yield* reasonOf(
        Stream.runDrain(
          SqlClient.withPrefetch(2)(
            SqlClient.withDeadline("60 millis")(
              sql.unsafe(`${countTo(10)} union all select * from (${endless(engine)})`)
            )
          ).stream
        )
      )
      for (const failure of [inSql, inFill]) {
        assert.strictEqual(failure.reason, "StatementTimeout")
        assert.isFalse(failure.isRetryable)
      }
      yield* assertIdle(sql)
    })
  )

  if (engine === "portable") {
    it.scopedLive("row 81: a statement that does not stop loses its session a grace period after the deadline", () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile, grace: 200 })
        const text =
          "with recursive up(n) as (select 1 union all select n + 1 from up limit 6000000) select count(*) from up"
        const [took, failure] = yield* timed(reasonOf(SqlClient.withDeadline("50 millis")(sql.unsafe(text))))
        assert.include(["StatementTimeout", "SessionLost"], failure.reason)
        assert.isAtLeast(took, 40)
        assert.isBelow(took, 10_000)
        yield* assertIdle(sql)
      })
    )
  }

  it.scopedLive("a slow statement of a script is the last one that runs", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { grace: "1 minute" })
      yield* sql`create table t (n)`
      const slow = spinFor(1_000_000)
      for (const script of [
        `select 1; ${slow}; insert into t values (1)`,
        `select 1; ${slow}`,
        `select 1; select 2 where (${slow}) = 0; insert into t values (1)`,
        `select 2 where (${slow}) = 0`
      ]) {
        const late = SqlClient.withDeadline("60 millis")(sql.unsafe(script))
        assert.strictEqual((yield* reasonOf(late)).reason, "StatementTimeout", script)
        assert.strictEqual((yield* reasonOf(Stream.runDrain(late.stream))).reason, "StatementTimeout", script)
      }
      assert.deepStrictEqual(yield* sql`select * from t`, [])
    })
  )

  it.scopedLive("slow rows are stopped at the next one", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { grace: "1 minute" })
      const slow = "with recursive spin(n) as (select 1 union all select n + 1 from spin where n < 300000 * (up.n > 1))"
      const text = `select (${slow} select count(*) from spin) as spun from (${countTo(40)}) as up`
      let seen = 0
      const failure = yield* reasonOf(
        Stream.runForEach(SqlClient.withDeadline("150 millis")(sql.unsafe(text)).stream, () =>
          Effect.sync(() => seen++)
        )
      )
      assert.strictEqual(failure.reason, "StatementTimeout")
      assert.isBelow(seen, 10)
      const many = SqlClient.withDeadline("150 millis")(sql.many(`${text} limit ?`, [[40]]))
      assert.strictEqual((yield* reasonOf(many)).reason, "StatementTimeout")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a write that is late fails, and says whether it was done", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, grace: "1 minute" })
      yield* sql`create table t (n)`
      const soon = SqlClient.withDeadline("60 millis")
      const insert = `insert into t ${spinFor(1_000_000)}`
      const write = sql.unsafe(insert)
      // The native engine stops it, the portable one comes too late for that.
      const [outcome, partial, each] =
        engine === "native" ? (["notExecuted", "notExecuted", 0] as const) : (["executed", "unknown", 1] as const)
      const returning = sql.unsafe(`${insert} returning n`)
      for (const [late, expected] of [
        [write, outcome],
        [write.raw, outcome],
        [returning, outcome],
        [Stream.runDrain(returning.stream), outcome],
        [sql.unsafe(`select 1; ${insert}`), outcome],
        [sql.unsafe(`${insert}; insert into t values (0)`), partial]
      ] as const) {
        yield* sql`delete from t`
        const failure = yield* reasonOf(soon(Effect.asVoid(late)))
        assert.deepInclude(failure, { reason: "StatementTimeout", outcome: expected })
        assert.strictEqual((yield* sql`select n from t`).length, each)
      }
      yield* sql`delete from t`
      for (const late of [
        Effect.asVoid(sql.batch([insert])),
        Effect.asVoid(sql.many(`insert into t select * from (${spinFor(1_000_000)}) where ?`, [[1]])),
        Effect.asVoid(sql.withTransaction(write)),
        Effect.asVoid(sql.withTransaction(sql.withTransaction(write))),
        Effect.asVoid(sql.withTransaction(sql.batch([insert]))),
        Effect.asVoid(sql.unsafe(`begin; ${insert}; commit`))
      ]) {
        const failure = yield* reasonOf(soon(late))
        assert.deepInclude(failure, { reason: "StatementTimeout", outcome: "notExecuted" })
      }
      assert.strictEqual(
        (yield* reasonOf(sql.transaction({ deadline: "60 millis" })(write))).reason,
        "StatementTimeout"
      )
      // Whoever goes on all the same finds no transaction.
      const caught = sql.withTransaction(Effect.zipRight(Effect.ignore(soon(Effect.asVoid(write))), sql`select 1`))
      assert.strictEqual((yield* reasonOf(caught)).reason, "TransactionGone")
      assert.deepStrictEqual(yield* sql`select n from t`, [])
      yield* assertIdle(sql)
      const bounded = yield* open(engine, { grace: "1 minute", statementTimeout: "60 millis" })
      yield* bounded`create table t (n)`
      assert.deepInclude(yield* reasonOf(bounded.unsafe(insert)), { reason: "StatementTimeout", outcome })
    })
  )

  it.scopedLive("row 82: a deadline set after the statement has started", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      // The reference belongs to the fiber; what is under way has captured its own.
      const fiber = yield* Effect.fork(sql.unsafe(endless(engine)))
      yield* Effect.sleep(20)
      yield* Effect.provideService(Effect.sleep(100), SqlClient.Deadline, 1)
      assert.strictEqual((yield* Fiber.poll(fiber))._tag, "None")
      yield* Fiber.interrupt(fiber)
    })
  )

  it.scopedLive("row 82: a stream keeps the deadline that it started with", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const count = yield* SqlClient.withPrefetch(2)(sql.unsafe(countTo(20))).stream.pipe(
        Stream.mapEffect((row) => SqlClient.withDeadline(1)(Effect.as(Effect.sleep(2), row))),
        Stream.runCount
      )
      assert.strictEqual(count, 20)
    })
  )

  it.scopedLive("row 84: rows that are there come after the deadline, the next page fails", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const seen: Array<number> = []
      const failure = yield* reasonOf(
        Stream.runForEachChunk(
          SqlClient.withPrefetch(5)(SqlClient.withDeadline("80 millis")(sql.unsafe<{ n: number }>(countTo(100))))
            .stream,
          (chunk) =>
            Effect.zipRight(
              Effect.sleep(120),
              Effect.sync(() => {
                for (const { n } of chunk) {
                  seen.push(n)
                }
              })
            )
        )
      )
      assert.strictEqual(failure.reason, "StatementTimeout")
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 5])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 86: the system clock moved back and forth", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const now = Date.now
      yield* Effect.addFinalizer(() => Effect.sync(() => void (Date.now = now)))
      const fiber = yield* Effect.fork(
        timed(reasonOf(SqlClient.withDeadline("100 millis")(sql.unsafe(endless(engine)))))
      )
      yield* Effect.sleep(20)
      Date.now = () => now() - 3_600_000
      const [took, failure] = yield* Fiber.join(fiber)
      assert.strictEqual(failure.reason, "StatementTimeout")
      assert.isAtLeast(took, 90)
      assert.isBelow(took, 5_000)
      Date.now = () => now() + 3_600_000
      assert.deepStrictEqual(yield* SqlClient.withDeadline("5 seconds")(sql`select 1 as one`), [{ one: 1 }])
    })
  )

  it.scopedLive("an inner deadline can only be earlier", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const statement = SqlClient.withDeadline("1 minute")(sql.unsafe(endless(engine)))
      const [took, failure] = yield* timed(reasonOf(SqlClient.withDeadline("60 millis")(Effect.asVoid(statement))))
      assert.strictEqual(failure.reason, "StatementTimeout")
      assert.isBelow(took, 5_000)
    })
  )

  if (engine === "native") {
    it.scopedLive("a deadline is kept while the event loop is blocked", () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile })
        yield* sql`create table t (n)`
        const fiber = yield* Effect.fork(
          reasonOf(
            SqlClient.withDeadline("50 millis")(
              sql`insert into t with recursive up(n) as (select 1 union all select n + 1 from up limit 100000000) select max(n) from up`
            )
          )
        )
        yield* Effect.sleep(10)
        const until = performance.now() + 300
        while (performance.now() < until) {
          // blocked
        }
        const [took] = yield* timed(sql`select 1`)
        assert.isBelow(took, 5_000)
        assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
        assert.deepStrictEqual(yield* sql`select * from t`, [])
      })
    )
  }

  it.scopedLive("a deadline covers waiting for a transaction of somebody else, for a level, and for a describe", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      yield* sql`create table t (n)`
      const soon = SqlClient.withDeadline("60 millis")
      const holder = yield* Effect.fork(sql.withTransaction(Effect.sleep("1 minute")))
      yield* Effect.sleep(20)
      const late = [
        sql`insert into t values (1)`,
        sql.withTransaction(sql`insert into t values (1)`),
        Effect.scoped(sql.reserve),
        sql.many("insert into t values (?)", [[1]]),
        Stream.runDrain(sql`select n, 1 as other from t`.stream)
      ]
      for (const statement of late) {
        const [took, failure] = yield* timed(reasonOf(soon(Effect.asVoid(statement))))
        assert.strictEqual(failure.reason, "StatementTimeout")
        assert.isBelow(took, 5_000)
      }
      yield* Fiber.interrupt(holder)
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const inner = yield* Effect.fork(sql.withTransaction(Effect.sleep("1 minute")))
          yield* Effect.sleep(20)
          const [took, failure] = yield* timed(reasonOf(soon(Effect.asVoid(sql`insert into t values (1)`))))
          assert.strictEqual(failure.reason, "StatementTimeout")
          assert.isBelow(took, 5_000)
          yield* Fiber.interrupt(inner)
        })
      )
      const writer = yield* Effect.fork(sql.unsafe(slowInsert(engine, "t")).pipe(Effect.ignore))
      yield* Effect.sleep(20)
      if (engine === "native") {
        const [took, failure] = yield* timed(reasonOf(soon(Stream.runDrain(sql`select n, 2 as other from t`.stream))))
        assert.strictEqual(failure.reason, "StatementTimeout")
        assert.isBelow(took, 5_000)
        yield* Fiber.interrupt(writer)
        yield* assertIdle(sql)
      } else {
        yield* Fiber.interruptFork(writer)
      }
    })
  )

  it.scoped("a deadline on the TestClock", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const fiber = yield* Effect.fork(reasonOf(SqlClient.withDeadline("1 hour")(sql.unsafe(endless(engine)))))
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 30)))
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual((yield* Fiber.poll(fiber))._tag, "None")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    })
  )

  it.scoped("a TestClock that stands still lets no deadline pass, however long it takes", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const soon = SqlClient.withDeadline("20 millis")
      const slow = sql.unsafe<{ spun: number }>(`select (${spinFor(500_000)}) as spun`)
      assert.lengthOf(yield* soon(slow), 1)
      assert.strictEqual(yield* Stream.runCount(soon(slow.stream)), 1)
      assert.lengthOf(yield* soon(sql.batch([slow])), 1)
    })
  )

  it.scopedLive("statementTimeout bounds every statement", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { statementTimeout: "60 millis" })
      assert.strictEqual((yield* reasonOf(sql.unsafe(endless(engine)))).reason, "StatementTimeout")
      yield* assertIdle(sql)
    })
  )
})
