/** Streams: pages, their end, their failure, and what runs beside them. */
import { assert, describe, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { Chunk, Effect, Stream } from "effect"
import { content, failureOf, insert, type Subject, using } from "./harness.js"

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

export const streams = (subject: Subject): void => {
  const { countTo, failsAfter } = subject.capabilities
  const counted = (sql: SqlClient.SqlClient, count: number, prefetch: number) =>
    sql.unsafe<{ n: number }>(countTo(count)).pipe(SqlClient.withPrefetch(prefetch)).stream
  const collect = <E>(stream: Stream.Stream<{ readonly n: number }, E>) =>
    Effect.map(Stream.runCollect(stream), (rows) => Chunk.toReadonlyArray(rows).map(({ n }) => n))

  describe("streams", () => {
    it.live("give every row once and in order, in pages of the prefetch", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          for (const count of [0, 1, 9, 10, 11, 100]) {
            assert.deepStrictEqual(yield* collect(counted(sql, 100, 10).pipe(Stream.take(count))), numbers(count))
          }
          const sizes = yield* counted(sql, 25, 10).pipe(Stream.chunks, Stream.map(Chunk.size), Stream.runCollect)
          assert.deepStrictEqual(Chunk.toReadonlyArray(sizes), [10, 10, 5])
        })
      )
    )

    it.live("an empty result is an empty stream", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* collect(sql<{ n: number }>`select n from t`.stream), [])
        })
      )
    )

    it.live("emit the rows that came before an error, then fail", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          for (const prefetch of [1, 3, 64]) {
            const rows: Array<number> = []
            const stream = sql.unsafe<{ n: number }>(failsAfter(5)).pipe(SqlClient.withPrefetch(prefetch)).stream
            yield* failureOf(Stream.runForEach(stream, ({ n }) => Effect.sync(() => rows.push(n))))
            assert.deepStrictEqual(rows, numbers(5))
          }
        })
      )
    )

    it.live("run afresh each time", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const stream = counted(sql, 7, 3)
          assert.deepStrictEqual(yield* collect(stream), numbers(7))
          assert.deepStrictEqual(yield* collect(stream), numbers(7))
        })
      )
    )

    it.live("left early they hold nothing", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          for (let i = 0; i < 10; i++) {
            assert.deepStrictEqual(yield* collect(Stream.take(counted(sql, 10_000, 2), 3)), [1, 2, 3])
          }
          yield* insert(sql, 1)
        })
      )
    )

    it.live("a failing or dying consumer closes them", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const failed = yield* Effect.flip(Stream.runForEach(counted(sql, 1_000, 2), () => Effect.fail("mine")))
          assert.strictEqual(failed, "mine")
          yield* Effect.exit(Stream.runForEach(counted(sql, 1_000, 2), () => Effect.dieMessage("bug")))
          yield* insert(sql, 1)
        })
      )
    )

    it.live("statements and transactions run while one is read", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* Stream.runForEach(counted(sql, 6, 2), ({ n }) =>
            n % 2 === 0 ? insert(sql, n) : sql.withTransaction(insert(sql, n))
          )
          assert.deepStrictEqual(yield* content(sql), numbers(6))
        })
      )
    )

    it.live("two are read side by side", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const both = yield* Stream.runCollect(Stream.zip(counted(sql, 20, 3), counted(sql, 20, 4)))
          assert.deepStrictEqual(
            Chunk.toReadonlyArray(both).map(([a, b]) => [a.n, b.n]),
            numbers(20).map((n) => [n, n])
          )
        })
      )
    )

    it.live("inside a transaction they see what it did", () =>
      using(subject, (sql) =>
        sql.withTransaction(
          Effect.gen(function* () {
            yield* insert(sql, 1)
            yield* insert(sql, 2)
            assert.deepStrictEqual(yield* collect(sql<{ n: number }>`select n from t order by n`.stream), [1, 2])
          })
        )
      )
    )
  })
}
