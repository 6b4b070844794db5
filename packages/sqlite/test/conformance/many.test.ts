import { assert, describe, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Cause, Chunk, Deferred, Effect, Either, Exit, Stream } from "effect"
import { layerOf, layerOnFile, leftovers, onEngines, reasonOf, tempFile } from "../support.js"
import { open } from "./stopping.js"

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
const one = (n: number) => [n]

const defectOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) && Cause.isDie(exit.cause) ? Cause.pretty(exit.cause) : ""

class SourceError {
  readonly _tag = "SourceError"
}

onEngines("many", (engine) => {
  const withTable = <A, E>(body: (sql: SqliteClient.SqliteClient) => Effect.Effect<A, E>) =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (id integer primary key, a unique check (a > 0))`
      return yield* body(sql)
    }).pipe(Effect.provide(layerOf(engine)))

  const insert = "insert into t (a) values (?)"
  const count = (sql: SqliteClient.SqliteClient) =>
    Effect.map(sql<{ n: number }>`select count(*) as n from t`, (rows) => rows[0]!.n)

  it.scopedLive("an array, an iterable, a generator, a Stream, nothing at all", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* sql.many(insert, [[1], [2], [3]]), { changes: 3 })
        assert.deepStrictEqual(yield* sql.many(insert, new Set([[4], [5]])), { changes: 2 })
        const generator = function* () {
          yield [6]
          yield [7]
        }
        assert.deepStrictEqual(yield* sql.many(insert, generator()), { changes: 2 })
        assert.deepStrictEqual(yield* sql.many(insert, Stream.make([8], [9])), { changes: 2 })
        assert.deepStrictEqual(yield* sql.many(insert, Chunk.make([10], [11])), { changes: 2 })
        for (const nothing of [[], new Set<ReadonlyArray<unknown>>(), Stream.empty]) {
          assert.deepStrictEqual(yield* sql.many(insert, nothing), { changes: 0 })
        }
        assert.deepStrictEqual((yield* sql`select a from t order by id`.values).flat(), upTo(11))
        assert.deepStrictEqual(
          yield* sql.many("update t set a = a + ? where a >= ?", [
            [100, 10],
            [200, 9]
          ]),
          { changes: 5 }
        )
        assert.deepStrictEqual(yield* sql.many("delete from t where a = ?", [[1], [999], [2]]), { changes: 2 })
      })
    )
  )

  it.scopedLive("many chunks, in order, also from a Stream with chunks of its own", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* sql.many(insert, upTo(10_000).map(one)), { changes: 10_000 })
        assert.deepStrictEqual(
          (yield* sql`select a from t order by id`.values).map((row) => row[0]),
          upTo(10_000)
        )
        const stream = Stream.rechunk(Stream.fromIterable(upTo(10_000).map((n) => [n + 10_000])), 777)
        assert.deepStrictEqual(yield* sql.many(insert, stream), { changes: 10_000 })
        assert.deepStrictEqual(
          (yield* sql`select a from t order by id`.values).map((row) => row[0]),
          upTo(20_000)
        )
      })
    )
  )

  it.scopedLive("a generator is pulled as its rows are needed, and from the start each time the effect runs", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        let pulled = 0
        let runs = 0
        const rows: Iterable<ReadonlyArray<unknown>> = {
          *[Symbol.iterator]() {
            runs++
            for (let i = 1; i <= 1_000_000; i++) {
              pulled++
              // A row of the second chunk is not accepted: what follows is never asked for.
              yield [i === 5_000 ? -1 : i]
            }
          }
        }
        const effect = sql.many(insert, rows)
        assert.strictEqual(pulled, 0)
        const failure = yield* reasonOf(effect)
        assert.strictEqual(failure.reason, "Constraint")
        assert.strictEqual(failure.failedRow, 4_999)
        assert.isAtMost(pulled, 8_193)
        assert.strictEqual(yield* count(sql), 4_096)
        yield* sql`delete from t`
        yield* reasonOf(effect)
        assert.strictEqual(runs, 2)
        assert.strictEqual(yield* count(sql), 4_096)
      })
    )
  )

  it.scopedLive("row 25: the 500th of 1,000 rows violates a constraint: typed, named, the whole chunk undone", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        const rows = upTo(1_000).map((n) => [n === 500 ? 1 : n])
        for (const source of [rows, new Set(rows), Stream.fromIterable(rows)]) {
          const failure = yield* reasonOf(sql.many(insert, source))
          assert.strictEqual(failure.reason, "UniqueViolation")
          assert.strictEqual(failure.code, 2067)
          assert.strictEqual(failure.failedRow, 499)
          assert.strictEqual(failure.statement, insert)
          assert.deepStrictEqual(failure.columns, ["a"])
          assert.strictEqual(yield* count(sql), 0)
        }
        yield* sql`insert into t (a) values (7)`
      })
    )
  )

  it.scopedLive("row 25: across chunks: the row is counted from the call's start, the chunks before it stay", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        const rows = upTo(12_000).map((n) => [n === 10_001 ? 0 : n])
        const failure = yield* reasonOf(sql.many(insert, rows))
        assert.strictEqual(failure.reason, "Constraint")
        assert.strictEqual(failure.failedRow, 10_000)
        assert.strictEqual(yield* count(sql), 8_192)
        yield* sql`delete from t`
        const streamed = yield* reasonOf(sql.many(insert, Stream.rechunk(Stream.fromIterable(rows), 1_000)))
        assert.strictEqual(streamed.failedRow, 10_000)
        assert.strictEqual(yield* count(sql), 8_192)
      })
    )
  )

  it.scopedLive("row 25: inside a transaction the call is all or nothing, and the transaction goes on", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into t (a) values (100000)`
            const rows = upTo(12_000).map((n) => [n === 10_001 ? 0 : n])
            for (const source of [rows, Stream.rechunk(Stream.fromIterable(rows), 1_000)]) {
              const failure = yield* reasonOf(sql.many(insert, source))
              assert.strictEqual(failure.failedRow, 10_000)
              assert.strictEqual(yield* count(sql), 1)
            }
            yield* sql.many(insert, [[200_000], [300_000]])
          })
        )
        assert.deepStrictEqual((yield* sql`select a from t order by id`.values).flat(), [100_000, 200_000, 300_000])
      })
    )
  )

  it.scopedLive("row 25: an error that would undo a transaction by itself", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql`create table u (a unique on conflict rollback)`
        const failure = yield* reasonOf(sql.many("insert into u values (?)", [[1], [2], [1]]))
        assert.strictEqual(failure.reason, "UniqueViolation")
        assert.strictEqual(failure.failedRow, 2)
        assert.deepStrictEqual(yield* sql`select a from u`, [])
        const inside = yield* reasonOf(
          sql.withTransaction(
            Effect.zipRight(sql`insert into t (a) values (1)`, sql.many("insert into u values (?)", [[1], [1]]))
          )
        )
        assert.strictEqual(inside.reason, "UniqueViolation")
        assert.strictEqual(yield* count(sql), 0)
        yield* sql`insert into t (a) values (1)`
        assert.deepStrictEqual(yield* sql.many("insert or ignore into u values (?)", [[1], [1], [2]]), { changes: 2 })
      })
    )
  )

  it.scopedLive("row 26: a source that fails: its own error; what was sent stays, outside of a transaction", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        const rows = Stream.concat(
          Stream.rechunk(Stream.fromIterable(upTo(100).map(one)), 10),
          Stream.fail(new SourceError())
        )
        const result = yield* Effect.either(sql.many(insert, rows))
        assert.instanceOf(Either.getOrThrow(Either.flip(result)), SourceError)
        assert.strictEqual(yield* count(sql), 100)
        const inside = yield* Effect.either(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`delete from t`
              yield* sql`insert into t (a) values (12345)`
              return yield* Effect.flip(sql.many(insert, rows))
            })
          )
        )
        assert.instanceOf(Either.getOrThrow(inside), SourceError)
        assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 12_345 }])
      })
    )
  )

  it.scopedLive("row 26: an iterator that throws is a defect, and leaves no transaction open", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        const rows = function* () {
          yield [1]
          throw new Error("in the generator")
        }
        const exit = yield* Effect.exit(sql.many(insert, rows()))
        assert.include(defectOf(exit), "in the generator")
        const inside = yield* Effect.exit(sql.withTransaction(sql.many(insert, rows())))
        assert.include(defectOf(inside), "in the generator")
        assert.strictEqual(yield* count(sql), 0)
        yield* sql.withTransaction(sql.many(insert, [[1]]))
      })
    )
  )

  it.scopedLive("a source that uses the same client while its rows are awaited", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        const rows = Stream.mapEffect(Stream.rechunk(Stream.fromIterable(upTo(10)), 1), (n) =>
          Effect.map(sql<{ n: number }>`select ${n} + count(*) * 0 as n from t`, (rows) => [rows[0]!.n])
        )
        assert.deepStrictEqual(yield* sql.many(insert, rows), { changes: 10 })
        assert.strictEqual(yield* count(sql), 10)
      })
    ).pipe(Effect.timeout("10 seconds"))
  )

  it.scopedLive("a source that uses the same client inside a transaction", () =>
    withTable((sql) =>
      sql.withTransaction(
        Effect.gen(function* () {
          const rows = Stream.mapEffect(Stream.rechunk(Stream.fromIterable(upTo(10)), 1), (n) =>
            Effect.map(sql<{ n: number }>`select ${n} as n`, (rows) => [rows[0]!.n])
          )
          assert.deepStrictEqual(yield* sql.many(insert, rows), { changes: 10 })
        })
      )
    ).pipe(Effect.timeout("10 seconds"))
  )

  it.scopedLive("columns of mixed types, nulls, large values, several columns", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql`create table mixed (id integer primary key, a, b)`
        const large = "x".repeat(3_000_000)
        const rows: Array<ReadonlyArray<unknown>> = [
          [1, "eins"],
          ["zwei", 2],
          [null, undefined],
          [3.5, true],
          [Uint8Array.of(1), 4n],
          [large, new Date(0)],
          [large, large]
        ]
        assert.deepStrictEqual(yield* sql.many("insert into mixed (a, b) values (?, ?)", rows), { changes: 7 })
        assert.deepStrictEqual(
          yield* sql`select typeof(a) as a, typeof(b) as b, length(a) as l from mixed order by id`,
          [
            { a: "integer", b: "text", l: 1 },
            { a: "text", b: "integer", l: 4 },
            { a: "null", b: "null", l: null },
            { a: "real", b: "integer", l: 3 },
            { a: "blob", b: "integer", l: 1 },
            { a: "text", b: "text", l: 3_000_000 },
            { a: "text", b: "text", l: 3_000_000 }
          ]
        )
      })
    )
  )

  it.scopedLive("wrong widths: of the first row, of another, none", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        for (const rows of [
          [[1, 2]],
          [[]],
          [
            [1, 2],
            [3, 4]
          ]
        ]) {
          const failure = yield* reasonOf(sql.many(insert, rows))
          assert.strictEqual(failure.reason, "InvalidParameter")
        }
        const other = yield* reasonOf(sql.many(insert, [[1], [2], [3, 4], [5]]))
        assert.strictEqual(other.reason, "InvalidParameter")
        assert.strictEqual(other.failedRow, 2)
        const value = yield* reasonOf(sql.many(insert, [[1], [NaN]]))
        assert.strictEqual(value.failedRow, 1)
        assert.strictEqual(yield* count(sql), 0)
        assert.deepStrictEqual(yield* sql.many("insert into t default values", [[], [], []]), { changes: 3 })
      })
    )
  )

  it.scopedLive("a statement that does not compile, several statements, none", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* reasonOf(sql.many("insert into nowhere values (?)", [[1]]))).reason, "SqlSyntax")
        const two = yield* reasonOf(sql.many("insert into t (a) values (?); insert into t (a) values (?)", [[1, 2]]))
        assert.strictEqual(two.reason, "Unsupported")
        for (const text of ["", "-- nothing"]) {
          assert.strictEqual((yield* reasonOf(sql.many(text, [[]]))).reason, "Unsupported")
        }
        assert.strictEqual(yield* count(sql), 0)
        assert.deepStrictEqual(yield* sql.many("insert into nowhere values (?)", []), { changes: 0 })
      })
    )
  )

  it.scopedLive("a statement that returns rows runs for each row, too", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql.many("insert into t (a) values (?) returning id", [[1], [2], [3]])
        assert.strictEqual(yield* count(sql), 3)
        yield* sql.many("select ?", [[1], [2]])
      })
    )
  )

  it.scopedLive("two calls at once, and statements beside them: all rows, none mixed into another's chunk", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (id integer primary key, a)`
      yield* Effect.all(
        [
          sql.many(insert, upTo(5_000).map(one)),
          sql.many(
            insert,
            upTo(5_000).map((n) => [-n])
          ),
          Effect.forEach(upTo(50), () => sql`select count(*) from t`, { concurrency: 10 })
        ],
        { concurrency: "unbounded" }
      )
      const rows = (yield* sql`select a from t order by id`.values).map((row) => Number(row[0]))
      assert.deepStrictEqual(
        rows.filter((a) => a > 0),
        upTo(5_000)
      )
      assert.deepStrictEqual(
        rows.filter((a) => a < 0),
        upTo(5_000).map((n) => -n)
      )
      assert.strictEqual(new Set(rows.slice(0, 4_096).map(Math.sign)).size, 1, "the first chunk is of one call")
    }).pipe(Effect.provide(layerOnFile(engine, { readers: 1 })))
  )

  it.scopedLive("chunks that are committed are not called undone, nor repeated", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, busyTimeout: 50 })
      const other = yield* open(engine, { filename })
      yield* sql`create table t (id integer primary key, a)`
      const held = yield* Deferred.make<void>()
      // Another client takes the lock between the first chunk and the second.
      const rows = Stream.range(0, 4_999).pipe(
        Stream.tap((n) =>
          n === 4_500
            ? Effect.zipRight(
                Effect.fork(
                  other.withTransaction(Effect.zipRight(Deferred.succeed(held, undefined), Effect.sleep(150)))
                ),
                Deferred.await(held)
              )
            : Effect.void
        ),
        Stream.map(one)
      )
      const failure = yield* reasonOf(Effect.retry(sql.many(insert, rows), SqlFailure.retryPolicy))
      assert.strictEqual(failure.reason, "LockTimeout")
      assert.strictEqual(failure.outcome, "unknown")
      assert.isFalse(failure.isRetryable)
      assert.strictEqual(yield* count(sql), 4_096)
    })
  )
})

describe("many", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
