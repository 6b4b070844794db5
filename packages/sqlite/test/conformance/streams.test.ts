import { assert, describe, it } from "@effect/vitest"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlClient, type SqlTransport } from "@sluice/sql"
import { SqliteClient, SqliteTransport } from "@sluice/sqlite"
import { Cause, Chunk, Effect, Exit, type Layer, Option, Scope, Stream } from "effect"
import { countTo, layerOf, layerOnFile, leftovers, onEngines, reasonOf, spin, tempFile } from "../support.js"

const prefetches = [1, 2, 3, 5, 7, 13, 102, 103, 104, 2048]
const rows = 103
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

interface N {
  readonly n: number
}

const numbers = (rows: Iterable<N>) => Array.from(rows, (row) => row.n)

/** Pages as the consumer sees them. */
const chunkSizes = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(Stream.chunks(stream)), (chunks) =>
    Chunk.toReadonlyArray(chunks).map((chunk) => chunk.length)
  )

onEngines("streams", (engine) => {
  it.scopedLive("row 11: every prefetch with every limit gives exactly the rows, in order, in full pages", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (const prefetch of prefetches) {
        for (const limit of [0, 1, 2, 3, 101, 102, 103, 104]) {
          const stream = sql
            .unsafe<N>(`select n from (${countTo(rows)}) limit ?`, [limit])
            .pipe(SqlClient.withPrefetch(prefetch)).stream
          const chunks = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.chunks(stream)))
          const where = `prefetch ${prefetch}, limit ${limit}`
          assert.deepStrictEqual(numbers(chunks.flatMap(Chunk.toReadonlyArray)), upTo(Math.min(rows, limit)), where)
          for (const [index, chunk] of chunks.entries()) {
            assert.isAtMost(chunk.length, prefetch, where)
            assert.isTrue(index === chunks.length - 1 || chunk.length === prefetch, `${where}: full pages`)
          }
        }
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 12: an integer that a number cannot hold is such an error, too, in whatever column and page", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const big = "9007199254740993"
      for (const prefetch of prefetches) {
        for (const at of [0, 1, 2, 63, 64, 101, 102]) {
          const got: Array<unknown> = []
          // The last column's unsafe integer comes before that of the first.
          const stream = sql
            .unsafe<N>(
              `select case when n > ${at + 1} then ${big} else n end as n, 'x' as x, n * 0.5 as half, ` +
                `case n when ${at + 1} then ${big} when 2 then 'mixed' else n end as last from (${countTo(rows)})`
            )
            .pipe(SqlClient.withPrefetch(prefetch)).stream
          const failure = yield* reasonOf(Stream.runForEach(stream, (row) => Effect.sync(() => got.push(row))))
          const where = `prefetch ${prefetch}, at ${at}`
          assert.deepStrictEqual(
            got,
            upTo(at).map((n) => ({ n, x: "x", half: n / 2, last: n === 2 ? "mixed" : n })),
            where
          )
          assert.strictEqual(failure.reason, "ConversionFailed", where)
          assert.deepStrictEqual(failure.columns, ["last"], where)
        }
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive(
    "row 12: every prefetch with every place of an error gives exactly the rows before it, then the error",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        for (const prefetch of prefetches) {
          for (const at of [0, 1, 2, 3, 101, 102, 103, 104]) {
            const got: Array<number> = []
            const stream = sql
              .unsafe<N>(
                `select case when n = ? then abs(-9223372036854775807 - 1) else n end as n from (${countTo(rows + 5)})`,
                [at + 1]
              )
              .pipe(SqlClient.withPrefetch(prefetch)).stream
            const failure = yield* reasonOf(Stream.runForEach(stream, (row) => Effect.sync(() => got.push(row.n))))
            const where = `prefetch ${prefetch}, error at ${at}`
            assert.deepStrictEqual(got, upTo(at), where)
            assert.match(failure.message, /integer overflow/, where)
            assert.strictEqual(failure.code, 1, where)
            assert.include(failure.statement, "abs(", where)
          }
        }
        assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
      }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 13: after that error a further pull gives no row", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (const prefetch of [1, 3, 50]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const pull = yield* Stream.toPull(
              sql
                .unsafe<N>(`select case when n = 6 then json('{') else n end as n from (${countTo(20)})`)
                .pipe(SqlClient.withPrefetch(prefetch)).stream
            )
            const got: Array<number> = []
            let exit = yield* Effect.exit(pull)
            while (Exit.isSuccess(exit)) {
              got.push(...numbers(exit.value))
              exit = yield* Effect.exit(pull)
            }
            assert.deepStrictEqual(got, upTo(5))
            const error = Option.flatten(Cause.failureOption(exit.cause))
            assert.match(String(Option.getOrThrow(error).message), /malformed JSON/)
            for (let i = 0; i < 3; i++) {
              assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
            }
          })
        )
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 13: the same on the session's own cursor: the end, again and again", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const session = yield* sql.session
      const cursor = yield* session.open({
        text: countTo(5),
        params: [],
        prefetch: 2,
        deadline: Infinity,
        integers: "number",
        shape: "arrays",
        prepared: true,
        transaction: "free"
      })
      assert.deepStrictEqual(cursor.first.arrays(), [[1], [2]])
      assert.deepStrictEqual((yield* cursor.next).arrays(), [[3], [4]])
      const last = yield* cursor.next
      assert.deepStrictEqual(last.arrays(), [[5]])
      assert.isTrue(last.done)
      for (let i = 0; i < 3; i++) {
        const page = yield* cursor.next
        assert.strictEqual(page.length, 0)
        assert.isTrue(page.done)
      }
    }).pipe(Effect.scoped, Effect.provide(layerOf(engine)))
  )

  // The row after the page is a query that never ends: a worker that steps into it never answers again.
  const trap = (after: number) => `select case when n > ${after} then (${spin}) else n end as n from (${countTo(rows)})`

  it.scopedLive("row 14: a consumer that stops lets the worker step no further than its page", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (const prefetch of [1, 2, 3, 5, 7, 13, 102]) {
        for (const take of [1, 2, 3, 4]) {
          const page = Math.ceil(take / prefetch) * prefetch
          if (page < rows) {
            const stream = sql.unsafe<N>(trap(page)).pipe(SqlClient.withPrefetch(prefetch)).stream
            assert.deepStrictEqual(numbers(yield* Stream.runCollect(Stream.take(stream, take))), upTo(take))
          }
        }
      }
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    }).pipe(Effect.timeout("20 seconds"), Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 15: nothing is read ahead of a slow consumer", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (const prefetch of [1, 2, 7]) {
        const pages = 3
        const stream = sql.unsafe<N>(trap(pages * prefetch)).pipe(SqlClient.withPrefetch(prefetch)).stream
        let seen = 0
        const slow = Stream.tap(stream, () =>
          Effect.gen(function* () {
            seen++
            yield* Effect.sleep(2)
            // The worker is idle while the consumer works.
            assert.deepStrictEqual(yield* sql`select ${seen} as seen`, [{ seen }])
          })
        )
        assert.deepStrictEqual(
          numbers(yield* Stream.runCollect(Stream.take(slow, pages * prefetch))),
          upTo(pages * prefetch)
        )
      }
    }).pipe(Effect.timeout("20 seconds"), Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 16: prefetch is kept within its bounds, and is a whole number", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const sizes = (prefetch: number, count: number) =>
        chunkSizes(sql.unsafe(countTo(count)).pipe(SqlClient.withPrefetch(prefetch)).stream)
      assert.deepStrictEqual(yield* sizes(0, 3), [1, 1, 1])
      assert.deepStrictEqual(yield* sizes(-5, 3), [1, 1, 1])
      // A page is bounded by its bytes, too: of 70,000 rows it may hold fewer than it is asked for, never more.
      const large = yield* sizes(70_000, 70_000)
      assert.strictEqual(
        large.reduce((sum, size) => sum + size, 0),
        70_000
      )
      assert.isAtMost(Math.max(...large), 65_536)
      for (const bad of ["x", NaN, 1.5, Infinity, "7"]) {
        const failure = yield* reasonOf(sizes(bad as number, 3))
        assert.strictEqual(failure.reason, "InvalidParameter")
        assert.strictEqual(failure.outcome, "notExecuted")
        const context = yield* reasonOf(Stream.runDrain(SqlClient.withPrefetch(bad as number)(sql`select 1`.stream)))
        assert.strictEqual(context.reason, "InvalidParameter")
      }
      assert.deepStrictEqual(yield* chunkSizes(sql.unsafe(countTo(130)).stream), [64, 64, 2], "64 by default")
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 16: of the statement, of the fiber, of the client: the nearest counts", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const statement = sql.unsafe(countTo(10))
      assert.deepStrictEqual(yield* chunkSizes(statement.stream), [4, 4, 2])
      assert.deepStrictEqual(yield* chunkSizes(SqlClient.withPrefetch(5)(statement.stream)), [5, 5])
      assert.deepStrictEqual(yield* SqlClient.withPrefetch(6)(chunkSizes(statement.stream)), [6, 4])
      assert.deepStrictEqual(
        yield* SqlClient.withPrefetch(6)(chunkSizes(statement.pipe(SqlClient.withPrefetch(9)).stream)),
        [9, 1]
      )
    }).pipe(Effect.provide(layerOf(engine, { prefetch: 4 })))
  )

  it.scopedLive("row 16: of the transport, for any client of it that says nothing else", () =>
    Effect.gen(function* () {
      const sizes = (
        client: Layer.Layer<SqlClient.SqlClient, SqlError, SqlTransport.SqlTransport>,
        prefetch: unknown
      ) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const statement = sql.unsafe(countTo(10))
          return [yield* chunkSizes(statement.stream), yield* SqlClient.withPrefetch(5)(chunkSizes(statement.stream))]
        }).pipe(
          Effect.provide(client),
          Effect.provide(SqliteTransport.layer({ filename: ":memory:", engine, prefetch: prefetch as number }))
        )
      assert.deepStrictEqual(yield* sizes(SqlClient.layer, 4), [
        [4, 4, 2],
        [5, 5]
      ])
      assert.deepStrictEqual(yield* sizes(SqlClient.layerWith({ prefetch: 7 }), 4), [
        [7, 3],
        [5, 5]
      ])
      assert.deepStrictEqual(yield* sizes(SqlClient.layer, undefined), [[10], [5, 5]])
      for (const bad of ["7", NaN, 1.5, Infinity, null]) {
        const failure = yield* reasonOf(sizes(SqlClient.layer, bad))
        assert.strictEqual(failure.reason, "InvalidParameter")
        assert.include(failure.message, "prefetch must be a whole number")
      }
    })
  )

  it.scopedLive("row 17: a prefetch set after the start has no effect on that run", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const pull = yield* Stream.toPull(SqlClient.withPrefetch(3)(sql.unsafe<N>(countTo(10)).stream))
      assert.deepStrictEqual(numbers(yield* pull), [1, 2, 3])
      assert.deepStrictEqual(numbers(yield* SqlClient.withPrefetch(7)(pull)), [4, 5, 6])
      assert.deepStrictEqual(numbers(yield* pull), [7, 8, 9])
      assert.deepStrictEqual(numbers(yield* pull), [10])
    }).pipe(Effect.scoped, Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 18: the same stream, run twice, one after the other and at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const stream = SqlClient.withPrefetch(3)(sql.unsafe<N>(countTo(10)).stream)
      const once = Effect.map(Stream.runCollect(stream), numbers)
      assert.deepStrictEqual([yield* once, yield* once], [upTo(10), upTo(10)])
      assert.deepStrictEqual(yield* Effect.all([once, once, once], { concurrency: 3 }), [upTo(10), upTo(10), upTo(10)])
      assert.deepStrictEqual(yield* Effect.map(Stream.runCollect(Stream.take(stream, 2)), numbers), [1, 2])
      assert.deepStrictEqual(yield* once, upTo(10))
    }).pipe(Effect.provide(layerOf(engine)))
  )

  for (const readers of [0, 2]) {
    it.scopedLive(`row 19: streams interleaved on one client (${readers} readers)`, () =>
      Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`create table t (a integer primary key)`
        yield* sql.many(
          "insert into t values (?)",
          upTo(50).map((n) => [n])
        )
        const a = sql<{ a: number }>`select a from t order by a`.pipe(SqlClient.withPrefetch(3)).stream
        const b = sql<{ a: number }>`select a from t order by a desc`.pipe(SqlClient.withPrefetch(4)).stream
        const both = yield* Stream.runCollect(Stream.zip(a, b))
        assert.deepStrictEqual(
          Array.from(both, ([x, y]) => [x.a, y.a]),
          upTo(50).map((n) => [n, 51 - n])
        )
        // The very same text, so that one prepared statement is wanted several times at once.
        const many = yield* Stream.runCollect(Stream.zip(a, Stream.zip(a, a)))
        assert.deepStrictEqual(
          Array.from(many, ([x, [y, z]]) => [x.a, y.a, z.a]),
          upTo(50).map((n) => [n, n, n])
        )
      }).pipe(Effect.provide(layerOnFile(engine, { readers })))
    )

    it.scopedLive(`row 24: statements in a stream's loop on the same client (${readers} readers)`, () =>
      Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`create table t (a)`
        yield* sql`create table seen (a unique)`
        yield* sql`insert into t values (1), (2), (3), (4), (5)`
        const stream = sql<{ a: number }>`select a from t order by a`.pipe(SqlClient.withPrefetch(2)).stream
        yield* Stream.runForEach(stream, ({ a }) =>
          Effect.gen(function* () {
            yield* sql`insert into seen values (${a})`
            yield* sql`update t set a = a + 100 where a = ${a}`
            yield* sql.withTransaction(sql`insert into seen values (${a * 10})`)
            assert.strictEqual((yield* sql`select a from seen`).length, 2 * a)
          })
        )
        assert.deepStrictEqual((yield* sql`select a from seen`.values).flat(), [1, 10, 2, 20, 3, 30, 4, 40, 5, 50])
      }).pipe(Effect.timeout("10 seconds"), Effect.provide(layerOnFile(engine, { readers })))
    )
  }

  it.scopedLive("row 24: a statement that writes and returns rows, written to in its own loop", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      const stream = sql
        .unsafe<{ a: number }>(`insert into t ${countTo(10)} returning a`)
        .pipe(SqlClient.withPrefetch(3)).stream
      yield* Stream.runForEach(stream, ({ a }) => sql`insert into t values (${a + 100})`)
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 20 }])
    }).pipe(Effect.timeout("10 seconds"), Effect.provide(layerOf(engine)))
  )

  for (const disableWAL of [false, true]) {
    it.scopedLive(`row 23: an abandoned stream keeps no lock (${disableWAL ? "rollback journal" : "WAL"})`, () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        yield* Effect.gen(function* () {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`create table t (a)`
          yield* sql.unsafe(`insert into t ${countTo(1_000)}`)
          const scope = yield* Scope.make()
          const pull = yield* Scope.extend(Stream.toPull(sql<{ a: number }>`select a from t`.stream), scope)
          assert.strictEqual((yield* pull).length, 64)
          yield* Scope.close(scope, Exit.void)
          yield* Effect.gen(function* () {
            const other = yield* SqliteClient.SqliteClient
            yield* other.transaction({ mode: "exclusive" })(other`insert into t values (0)`)
          }).pipe(Effect.provide(layerOf(engine, { filename, disableWAL, busyTimeout: 0 })))
          assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 1_001 }])
        }).pipe(Effect.provide(layerOf(engine, { filename, disableWAL })))
      })
    )
  }

  it.scopedLive("row 23: while it is open, the lock is there: what the row above checks can be seen", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      yield* Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`create table t (a)`
        yield* sql.unsafe(`insert into t ${countTo(1_000)}`)
        const pull = yield* Stream.toPull(sql<{ a: number }>`select a from t`.stream)
        yield* pull
        const failure = yield* Effect.gen(function* () {
          const other = yield* SqliteClient.SqliteClient
          return yield* reasonOf(other.transaction({ mode: "exclusive" })(other`insert into t values (0)`))
        }).pipe(Effect.provide(layerOf(engine, { filename, disableWAL: true, busyTimeout: 0 })))
        assert.strictEqual(failure.reason, "LockTimeout")
      }).pipe(Effect.scoped, Effect.provide(layerOf(engine, { filename, disableWAL: true })))
    })
  )

  it.scopedLive("pages larger than a buffer, rows larger than a page", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const sizes = [10, 100_000, 5_000_000, 1, 300_000, 0]
      const stream = sql.unsafe<{ b: Uint8Array; size: number }>(
        `select value as size, zeroblob(value) as b from json_each(?)`,
        [JSON.stringify(sizes)]
      )
      for (const prefetch of [1, 2, 64]) {
        const got = yield* Stream.runCollect(stream.pipe(SqlClient.withPrefetch(prefetch)).stream)
        assert.deepStrictEqual(
          Array.from(got, (row) => [row.size, row.b.byteLength]),
          sizes.map((size) => [size, size])
        )
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a hundred thousand rows, none lost, none twice", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (const prefetch of [64, 1_000, 65_536]) {
        const stream = sql
          .unsafe<{ n: number; t: string }>(`select n, 'row ' || n as t from (${countTo(100_000)})`)
          .pipe(SqlClient.withPrefetch(prefetch)).stream
        let next = 1
        yield* Stream.runForEachChunk(stream, (chunk) =>
          Effect.sync(() => {
            for (const row of chunk) {
              if (row.n !== next || row.t !== `row ${next}`) {
                assert.fail(`row ${next} is ${JSON.stringify(row)}`)
              }
              next++
            }
          })
        )
        assert.strictEqual(next, 100_001)
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )
})

describe("streams", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
