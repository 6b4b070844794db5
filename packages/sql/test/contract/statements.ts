/** Statements: their answers, their failures, many of them. */
import { assert, describe, it } from "@effect/vitest"
import { SqlFailure, TestTransport } from "@sluice/sql"
import { Effect, Layer, Stream } from "effect"
import { content, failureOf, insert, type Subject, using } from "./harness.js"

export const statements = (subject: Subject): void => {
  const { reconnects } = subject.capabilities

  describe("statements", () => {
    it.live("answer rows as objects and as arrays", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* insert(sql, 1)
          assert.deepStrictEqual(yield* sql`select n, n + 1 as m from t`, [{ n: 1, m: 2 }])
          assert.deepStrictEqual(yield* sql`select n, n + 1 as m from t`.values, [[1, 2]])
          assert.deepStrictEqual(yield* sql`select n from t`.unprepared, [{ n: 1 }])
          assert.deepStrictEqual(yield* insert(sql, 2), [])
        })
      )
    )

    it.live("a hundred at once are all answered, each with its own", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const numbers = Array.from({ length: 100 }, (_, n) => n)
          const answers = yield* Effect.forEach(numbers, (n) => sql<{ n: number }>`select ${n} as n`, {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(
            answers.map((rows) => Number(rows[0]!.n)),
            numbers
          )
        })
      )
    )

    it.live("failures have a reason and the text, never a value; the session goes on", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* insert(sql, 4711)
          const twice = yield* failureOf(insert(sql, 4711))
          assert.strictEqual(twice.reason, "UniqueViolation")
          assert.strictEqual(twice.outcome, "notExecuted")
          assert.strictEqual(twice.statement, "insert into t values (?)")
          assert.notInclude(JSON.stringify(twice) + twice.message, "4711")
          assert.strictEqual((yield* failureOf(sql.unsafe("selct 1"))).reason, "SqlSyntax")
          assert.strictEqual((yield* failureOf(Stream.runDrain(sql.unsafe("selct 1").stream))).reason, "SqlSyntax")
          assert.deepStrictEqual(yield* content(sql), [4711])
        })
      )
    )

    if (reconnects) {
      it.live("a lost session is replaced; the statement on it is not repeated", () =>
        using(
          subject,
          (sql) =>
            Effect.gen(function* () {
              const lost = yield* failureOf(insert(sql, 1))
              assert.deepStrictEqual([lost.reason, lost.outcome], ["SessionLost", "unknown"])
              // The next statement may still meet it; then it was certainly not done.
              yield* Effect.retry(insert(sql, 2), SqlFailure.retryPolicy)
              assert.deepStrictEqual(yield* content(sql), [2])
              assert.strictEqual(
                (yield* sql.statistics).reduce((sum, pool) => sum + pool.lost + pool.retired, 0),
                1
              )
            }),
          (transport) =>
            Layer.provide(
              TestTransport.faults({ only: /insert/, schedule: { 1: TestTransport.fault.drop() } }),
              transport
            )
        )
      )
    }
  })

  describe("many", () => {
    const rowsFrom = (from: number, count: number) => Array.from({ length: count }, (_, i) => [from + i])

    it.live("runs one statement per row and counts the changes, from arrays, iterables and streams", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const text = "insert into t values (?)"
          assert.deepStrictEqual(yield* sql.many(text, rowsFrom(0, 10)), { changes: 10 })
          assert.deepStrictEqual(yield* sql.many(text, new Set(rowsFrom(10, 10))), { changes: 10 })
          assert.deepStrictEqual(yield* sql.many(text, Stream.fromIterable(rowsFrom(20, 10))), { changes: 10 })
          assert.deepStrictEqual(yield* sql.many(text, []), { changes: 0 })
          assert.lengthOf(yield* content(sql), 30)
        })
      )
    )

    it.live("is all or nothing, and its failure has a reason", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* insert(sql, 3)
          const failed = yield* failureOf(sql.many("insert into t values (?)", rowsFrom(0, 6)))
          assert.strictEqual(failed.reason, "UniqueViolation")
          assert.include([3, undefined], failed.failedRow)
          assert.deepStrictEqual(yield* content(sql), [3])
        })
      )
    )

    it.live("ends a generator whose rows are not all taken", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          let ended = 0
          const rows = function* (n: (i: number) => number) {
            try {
              for (let i = 0; ; i++) {
                yield [n(i)]
              }
            } finally {
              ended++
            }
          }
          const text = "insert into t values (?)"
          assert.strictEqual(
            (yield* failureOf(
              sql.many(
                text,
                rows((i) => i % 5)
              )
            )).reason,
            "UniqueViolation"
          )
          assert.strictEqual(ended, 1)
          yield* Effect.timeoutOption(
            sql.many(
              text,
              rows((i) => i)
            ),
            "100 millis"
          )
          assert.strictEqual(ended, 2)
        })
      )
    )

    it.live("inside a transaction a handled failure undoes the call alone", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, 3)
              yield* Effect.flip(sql.many("insert into t values (?)", rowsFrom(0, 6)))
              yield* sql.many("insert into t values (?)", rowsFrom(10, 2))
            })
          )
          assert.deepStrictEqual(yield* content(sql), [3, 10, 11])
        })
      )
    )
  })

  it.live("SqlFailure.retryPolicy repeats what has certainly not been done", () =>
    using(
      subject,
      (sql) =>
        Effect.gen(function* () {
          yield* Effect.retry(insert(sql, 1), SqlFailure.retryPolicy)
          const unknown = yield* failureOf(Effect.retry(insert(sql, 2), SqlFailure.retryPolicy))
          assert.strictEqual(unknown.outcome, "unknown")
          assert.deepStrictEqual(yield* content(sql), [1, 2])
        }),
      (transport) =>
        Layer.provide(
          TestTransport.faults({
            only: /insert/,
            schedule: {
              1: TestTransport.fault.fail("LockTimeout"),
              3: TestTransport.fault.fail("LockTimeout", "after")
            }
          }),
          transport
        )
    )
  )
}
