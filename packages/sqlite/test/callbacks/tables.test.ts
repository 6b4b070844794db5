import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Cause, Chunk, Context, Deferred, Effect, Exit, Fiber, FiberRef, Option, Ref, Stream } from "effect"
import type { SqliteClient } from "@sluice/sqlite"
import { assertIdle, open, timed } from "../conformance/stopping.js"
import { eventually, leftovers, onEngines, reasonOf, tempFile } from "../support.js"

class Factor extends Context.Tag("Factor")<Factor, number>() {}

afterAll(() => Effect.runPromise(leftovers))

/** Counts from `first` to `last`, both given; notes what it is asked for. */
const series = (sql: SqliteClient.SqliteClient, seen: Array<string> = []) =>
  sql.tableFunction("series", { columns: ["value"], parameters: ["first", "last"] }, ({ first, last }) =>
    Stream.range(Number(first ?? 1), Number(last ?? 3)).pipe(
      Stream.map((value) => ({ value })),
      Stream.onStart(Effect.sync(() => seen.push(`open ${String(first)} ${String(last)}`))),
      Stream.ensuring(Effect.sync(() => seen.push("closed")))
    )
  )

/** Endless: `pulled` counts its chunks of two rows, `ended` its ends. */
const endless = (sql: SqliteClient.SqliteClient, name = "endless") => {
  const counts = { pulled: 0, ended: 0 }
  const rows = Stream.repeatEffectChunk(
    Effect.sync(() => {
      const n = counts.pulled++
      return Chunk.make([2 * n], [2 * n + 1])
    })
  ).pipe(Stream.ensuring(Effect.sync(() => counts.ended++)))
  return Effect.as(
    sql.tableFunction(name, { columns: ["n"] }, () => rows),
    counts
  )
}

onEngines("table functions", (engine) => {
  if (engine === "portable") {
    it.scopedLive("row 61: are refused with Unsupported, and the client goes on", () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        const failure = yield* reasonOf(series(sql))
        assert.strictEqual(failure.reason, "Unsupported")
        assert.include(failure.message, "native engine")
        yield* assertIdle(sql)
      })
    )
    return
  }

  it.scopedLive("rows by a stream, with arguments, in the FROM clause", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const seen: Array<string> = []
      yield* series(sql, seen)
      assert.deepStrictEqual(yield* sql`select value, rowid from series(${5}, 7)`, [
        { value: 5, rowid: 1 },
        { value: 6, rowid: 2 },
        { value: 7, rowid: 3 }
      ])
      assert.deepStrictEqual(seen, ["open 5 7", "closed"])
      assert.deepStrictEqual(yield* sql`select value from series where last = 2 order by value desc`, [
        { value: 2 },
        { value: 1 }
      ])
      assert.strictEqual(seen[2], "open undefined 2")
      assert.deepStrictEqual(yield* sql`select first, last, value from series(3, 3)`, [{ first: 3, last: 3, value: 3 }])
      assert.deepStrictEqual(yield* sql`select * from series(9, 9)`, [{ value: 9 }])
      assert.deepStrictEqual(yield* sql`select count(*) as n from series where first = 1 and first = 2`, [{ n: 0 }])
    })
  )

  it.scopedLive("an argument that is NULL is null, one that is left out is undefined", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.tableFunction("given", { columns: ["how"], parameters: ["a", "b"] }, (args) =>
        Stream.succeed([`${String(args.a)} ${String(args.b)}`])
      )
      assert.deepStrictEqual(yield* sql`select how from given(null)`, [{ how: "null undefined" }])
    })
  )

  it.scopedLive("values of every type, rows as arrays and as objects, rows larger than a page", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const bytes = new Uint8Array(400_000).fill(7)
      const long = "é".repeat(200_000)
      const rows = [
        [1, "a", null],
        { b: "é", a: 1.5 },
        [2n ** 60n, new Uint8Array([1, 2]), true],
        [bytes, long, 2 ** 40],
        ["", -1, undefined]
      ]
      yield* sql.tableFunction("mixed", { columns: ["a", "b", "c"] }, () => Stream.fromIterable(rows))
      assert.deepStrictEqual(
        yield* sql`select a, b, c from mixed`.pipe(Effect.provideService(SqlClient.SafeIntegers, true)),
        [
          { a: 1n, b: "a", c: null },
          { a: 1.5, b: "é", c: null },
          { a: 2n ** 60n, b: new Uint8Array([1, 2]), c: 1n },
          { a: bytes, b: long, c: 2n ** 40n },
          { a: "", b: -1n, c: null }
        ]
      )
    })
  )

  it.scopedLive("100,000 rows in large chunks, and rows one by one", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.tableFunction("many", { columns: ["n", "t"], parameters: ["count"] }, ({ count }) =>
        Stream.map(Stream.range(1, Number(count)), (n) => [n, `row ${n}`])
      )
      assert.deepStrictEqual(yield* sql`select count(*) as n, sum(n) as s, max(t) as t from many(100000)`, [
        { n: 100_000, s: 5_000_050_000, t: "row 99999" }
      ])
      yield* sql.tableFunction("single", { columns: ["n"] }, () =>
        Stream.mapEffect(Stream.range(1, 200), (n) => Effect.as(Effect.yieldNow(), [n]))
      )
      assert.deepStrictEqual(yield* sql`select count(*) as n, sum(n) as s from single`, [{ n: 200, s: 20_100 }])
    })
  )

  it.scopedLive("joins: once for each row that gives its arguments, whatever stands first", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const seen: Array<string> = []
      yield* series(sql, seen)
      yield* sql`create table t(a integer, b integer)`
      yield* sql`insert into t values (1, 2), (5, 6), (9, 8)`
      const expected = [
        { a: 1, value: 1 },
        { a: 1, value: 2 },
        { a: 5, value: 5 },
        { a: 5, value: 6 }
      ]
      assert.deepStrictEqual(yield* sql`select a, value from t join series(t.a, t.b) order by a, value`, expected)
      assert.deepStrictEqual(
        yield* sql`select a, value from series, t where first = t.a and last = t.b order by a, value`,
        expected
      )
      assert.strictEqual(seen.filter((what) => what === "closed").length, 6)
      assert.deepStrictEqual(
        yield* sql`select t.a, count(s.value) as n from t left join series(t.a, t.b) s group by t.a order by t.a`,
        [
          { a: 1, n: 2 },
          { a: 5, n: 2 },
          { a: 9, n: 0 }
        ]
      )
    })
  )

  it.scopedLive("two uses in one statement and nested scans are streams of their own", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const seen: Array<string> = []
      yield* series(sql, seen)
      assert.deepStrictEqual(
        yield* sql`select x.value as x, y.value as y from series(1, 3) x, series(x.value, 3) y order by x, y`,
        [
          { x: 1, y: 1 },
          { x: 1, y: 2 },
          { x: 1, y: 3 },
          { x: 2, y: 2 },
          { x: 2, y: 3 },
          { x: 3, y: 3 }
        ]
      )
      assert.strictEqual(seen.filter((what) => what === "closed").length, seen.length / 2)
      assert.deepStrictEqual(
        yield* sql`select value from series(1, 4) where value in (select value * 2 from series(1, 2))`,
        [{ value: 2 }, { value: 4 }]
      )
      assert.deepStrictEqual(
        yield* sql`select x.value, exists(select 1 from series(1, x.value) y where y.value = 2) as two from series(1, 3) x`,
        [
          { value: 1, two: 0 },
          { value: 2, two: 1 },
          { value: 3, two: 1 }
        ]
      )
      assert.strictEqual(seen.filter((what) => what === "closed").length, seen.length / 2)
    })
  )

  it.scopedLive("row 61: LIMIT ends the stream, whose finalisers ran before the rows are there", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const counts = yield* endless(sql)
      assert.deepStrictEqual(yield* sql`select n from endless limit 3`, [{ n: 0 }, { n: 1 }, { n: 2 }])
      assert.deepStrictEqual(counts, { pulled: 2, ended: 1 })
    })
  )

  it.scopedLive(
    "rows 14 and 15: a stream of the result that stops early, or is slow, pulls no more than it reads",
    () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        const counts = yield* endless(sql)
        const taken = yield* sql`select n from endless`.stream.pipe(
          Stream.take(3),
          Stream.runCollect,
          SqlClient.withPrefetch(2)
        )
        assert.deepStrictEqual(Chunk.toReadonlyArray(taken), [{ n: 0 }, { n: 1 }, { n: 2 }])
        yield* eventually("the finaliser ran", () => counts.ended === 1)
        assert.isAtMost(counts.pulled, 4)
        const pulledThen: Array<number> = []
        yield* sql`select n from endless`.stream.pipe(
          Stream.tap(() =>
            Effect.zipRight(
              Effect.sleep(5),
              Effect.sync(() => pulledThen.push(counts.pulled))
            )
          ),
          Stream.take(4),
          Stream.runDrain,
          SqlClient.withPrefetch(2)
        )
        assert.isAtMost(pulledThen.at(-1)! - pulledThen[0]!, 4)
        yield* eventually("the finaliser ran", () => counts.ended === 2)
        yield* assertIdle(sql)
      })
  )

  it.scopedLive("row 61: an interrupt, within the stream and within SQLite, ends it before the fiber goes on", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const counts = yield* endless(sql)
      const working = yield* Effect.fork(sql`select count(*) from endless`)
      yield* eventually("rows are pulled", () => counts.pulled > 10)
      yield* Fiber.interrupt(working)
      assert.strictEqual(counts.ended, 1)

      const started = yield* Deferred.make<void>()
      const ended = yield* Ref.make(0)
      yield* sql.tableFunction("waits", { columns: ["n"] }, () =>
        Stream.fromEffect(Effect.zipRight(Deferred.succeed(started, undefined), Effect.never)).pipe(
          Stream.ensuring(
            Effect.zipRight(
              Effect.sleep(20),
              Ref.update(ended, (n) => n + 1)
            )
          )
        )
      )
      const waiting = yield* Effect.fork(sql`select n from waits`)
      yield* Deferred.await(started)
      const [took] = yield* timed(Fiber.interrupt(waiting))
      assert.strictEqual(yield* Ref.get(ended), 1)
      assert.isBelow(took, 10_000)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 61: a deadline ends it, also in the middle of a pull", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const counts = yield* endless(sql)
      const late = yield* reasonOf(sql`select count(*) from endless`.pipe(SqlClient.withDeadline("50 millis")))
      assert.strictEqual(late.reason, "StatementTimeout")
      assert.strictEqual(counts.ended, 1)
      let ended = 0
      yield* sql.tableFunction("waits", { columns: ["n"] }, () =>
        Stream.ensuring(
          Stream.fromEffect(Effect.never),
          Effect.sync(() => ended++)
        )
      )
      const stuck = yield* reasonOf(sql`select n from waits`.pipe(SqlClient.withDeadline("50 millis")))
      assert.strictEqual(stuck.reason, "StatementTimeout")
      assert.strictEqual(ended, 1)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 61: sql.interrupt and a cursor that is left behind end it", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      const counts = yield* endless(sql)
      const working = yield* Effect.fork(reasonOf(sql`select count(*) from endless`))
      yield* eventually("rows are pulled", () => counts.pulled > 10)
      yield* sql.interrupt
      assert.strictEqual((yield* Fiber.join(working)).reason, "Interrupted")
      assert.strictEqual(counts.ended, 1)
      yield* Effect.scoped(
        Effect.flatMap(Stream.toPull(sql`select n from endless`.stream), (pull) =>
          Effect.orDie(Effect.mapError(pull, () => "ended"))
        )
      )
      yield* eventually("the finaliser ran", () => counts.ended === 2)
      yield* assertIdle(sql)
    })
  )

  it.live("row 61: closing the client, with the result of a stream still open, ends it", () =>
    Effect.gen(function* () {
      let counts = { pulled: 0, ended: 0 }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* open(engine)
          counts = yield* endless(sql)
          const pull = yield* Stream.toPull(sql`select n from endless`.stream)
          yield* pull
          assert.strictEqual(counts.ended, 0)
        })
      )
      assert.strictEqual(counts.ended, 1)
    })
  )

  it.scopedLive(
    "row 52: failure, defect and interruption of a stream reach the caller by identity, also after rows",
    () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        const error = { _tag: "Mine" }
        let ended = 0
        const after = (end: Effect.Effect<never, unknown>) =>
          Stream.concat(Stream.make([1], [2]), Stream.fromEffect(end)).pipe(Stream.ensuring(Effect.sync(() => ended++)))
        yield* sql.tableFunction("fails", { columns: ["n"] }, () => after(Effect.fail(error)))
        yield* sql.tableFunction("dies", { columns: ["n"] }, () => after(Effect.die(error)))
        yield* sql.tableFunction("leaves", { columns: ["n"] }, () => after(Effect.interrupt))
        yield* sql.tableFunction("throws", { columns: ["n"] }, (): Stream.Stream<[number]> => {
          throw error
        })
        assert.strictEqual((yield* reasonOf(sql`select n from fails`)).cause, error)
        assert.strictEqual((yield* reasonOf(sql`select sum(n) from fails`)).cause, error)
        for (const name of ["dies", "throws"]) {
          const exit = yield* Effect.exit(sql.unsafe(`select n from ${name}`))
          assert.isTrue(Exit.isFailure(exit) && Option.contains(Cause.dieOption(exit.cause), error))
        }
        const left = yield* Effect.exit(sql`select n from leaves`)
        assert.isTrue(Exit.isFailure(left) && Cause.isInterruptedOnly(left.cause))
        assert.strictEqual(ended, 4)
        const read: Array<unknown> = []
        const failed = yield* sql`select n from fails`.stream.pipe(
          Stream.runForEach((row) => Effect.sync(() => read.push(row))),
          Effect.flip,
          SqlClient.withPrefetch(1)
        )
        assert.deepStrictEqual(read, [{ n: 1 }, { n: 2 }])
        assert.strictEqual(SqlFailure.from(failed).cause, error)
        yield* assertIdle(sql)
      })
  )

  it.scopedLive("row 53: rows of another shape, and values that SQLite cannot store, are typed failures", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const wrong: ReadonlyArray<readonly [row: unknown, what: string]> = [
        [[1, 2], "2 values for 1"],
        [7, "neither"],
        [[{}], "Object"],
        [[Number.NaN], "NaN"]
      ]
      for (const [row, what] of wrong) {
        const rows = Stream.fromIterable([[1], row as SqliteClient.TableRow])
        const registered = yield* sql.tableFunction("wrong", { columns: ["n"] }, () => rows)
        const failure = yield* reasonOf(sql`select n from wrong`)
        assert.strictEqual(failure.reason, "ConversionFailed")
        assert.include(failure.message, what)
        yield* registered.remove
      }
    })
  )

  it.scopedLive("row 62: a stream that calls its own session fails at once, another client is free", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const other = yield* open(engine)
      yield* sql.tableFunction("own", { columns: ["n"] }, () =>
        Stream.map(sql<{ n: number }>`select 1 as n`.stream, ({ n }) => [n])
      )
      const failure = yield* reasonOf(sql`select n from own`)
      assert.strictEqual(SqlFailure.from(failure.cause as never).reason, "ReentrantCall")
      yield* sql.tableFunction("foreign_rows", { columns: ["n"] }, () =>
        Stream.map(other<{ n: number }>`select 7 as n`.stream, ({ n }) => [n])
      )
      assert.deepStrictEqual(yield* sql`select n from foreign_rows`, [{ n: 7 }])
    })
  )

  it.scopedLive("rows 46 and 49: references and services are the caller's", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const ref = yield* FiberRef.make("outside")
      yield* sql
        .tableFunction("context", { columns: ["factor", "ref"] }, () =>
          Stream.fromEffect(Effect.all([Factor, FiberRef.get(ref)]))
        )
        .pipe(Effect.provideService(Factor, 2))
      assert.deepStrictEqual(yield* sql`select * from context`, [{ factor: 2, ref: "outside" }])
      assert.deepStrictEqual(
        yield* sql`select * from context`.pipe(Effect.provideService(Factor, 3), Effect.locally(ref, "inside")),
        [{ factor: 3, ref: "inside" }]
      )
    })
  )

  it.scopedLive("streams with fibers and buffers of their own", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.tableFunction("merged", { columns: ["n"] }, () =>
        Stream.merge(Stream.range(1, 500), Stream.range(501, 1000)).pipe(
          Stream.buffer({ capacity: 8 }),
          Stream.rechunk(64),
          Stream.map((n) => [n])
        )
      )
      assert.deepStrictEqual(yield* sql`select count(*) as n, sum(n) as s from merged`, [{ n: 1000, s: 500_500 }])
      assert.deepStrictEqual(yield* sql`select count(*) as n from (select n from merged limit 70)`, [{ n: 70 }])
    })
  )

  it.scopedLive("while a result that reads it is open, it is neither taken away nor replaced", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const rows = Stream.rechunk(
        Stream.map(Stream.range(1, 20), (v) => [v]),
        3
      )
      const register = (name: string) => sql.tableFunction(name, { columns: ["v"] }, () => rows)
      const first = yield* register("twenty")
      const other = yield* register("other")
      const pull = yield* Stream.toPull(sql<{ v: number }>`select v from twenty`.pipe(SqlClient.withPrefetch(5)).stream)
      assert.strictEqual(Chunk.size(yield* pull), 5)
      for (const change of [first.remove, register("Twenty")]) {
        const failure = yield* reasonOf(change)
        assert.strictEqual(failure.reason, "LockTimeout")
        assert.include(failure.message, "end its stream first")
      }
      yield* other.remove
      assert.deepStrictEqual(
        Array.from(yield* pull, ({ v }) => v),
        [6, 7, 8, 9, 10]
      )
      assert.deepStrictEqual(yield* sql`select count(*) as n from twenty`, [{ n: 20 }])
      let more = 10
      while (more < 20) more += Chunk.size(yield* pull)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
      yield* first.remove
      assert.strictEqual((yield* reasonOf(sql`select * from twenty`)).reason, "SqlSyntax")
    })
  )

  it.scopedLive("on all sessions; taken away again, and another in its place", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 2 })
      const first = yield* sql.tableFunction("t", { columns: ["a"] }, () => Stream.make([1]))
      for (let i = 0; i < 6; i++) {
        assert.deepStrictEqual(yield* sql`select * from t`, [{ a: 1 }])
      }
      yield* first.remove
      assert.strictEqual((yield* reasonOf(sql`select * from t`)).reason, "SqlSyntax")
      yield* sql.tableFunction("t", { columns: ["b", "c"] }, () => Stream.make([1, 2]))
      for (let i = 0; i < 6; i++) {
        assert.deepStrictEqual(yield* sql`select * from t`, [{ b: 1, c: 2 }])
      }
    })
  )

  it.scopedLive("names that cannot be are refused at once; others are quoted", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const none = () => Stream.empty
      for (const options of [
        { columns: [] },
        { columns: ["a", "A"] },
        { columns: ["a"], parameters: ["a"] },
        { columns: [""] },
        { columns: ["a"], parameters: Array.from({ length: 32 }, (_, i) => `p${i}`) }
      ]) {
        assert.strictEqual((yield* reasonOf(sql.tableFunction("bad", options, none))).reason, "InvalidParameter")
      }
      const columns = ['a "b', "hidden", "select"]
      yield* sql.tableFunction("odd", { columns }, () => Stream.make([1, 2, 3]))
      assert.deepStrictEqual(yield* sql`select * from odd`, [{ 'a "b': 1, hidden: 2, select: 3 }])
    })
  )

  it.live("closing with onClose: interrupt stops the statement, and ends its stream", () =>
    Effect.gen(function* () {
      let counts = { pulled: 0, ended: 0 }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* open(engine, { onClose: "interrupt" })
          counts = yield* endless(sql)
          yield* Effect.forkDaemon(sql`select count(*) from endless`)
          yield* eventually("rows are pulled", () => counts.pulled > 10)
        })
      )
      yield* eventually("the finaliser ran", () => counts.ended === 1)
    })
  )
})
