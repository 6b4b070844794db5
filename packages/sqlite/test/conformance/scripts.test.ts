import { assert, describe, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Chunk, Effect, Stream } from "effect"
import { countTo, layerOf, layerOnFile, leftovers, onEngines, reasonOf, spin } from "../support.js"
import { assertIdle, timed } from "./stopping.js"

type Row = Readonly<Record<string, unknown>>

const chunksOf = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(Stream.chunks(stream)), (chunks) =>
    Chunk.toReadonlyArray(chunks).map((chunk) => Chunk.toReadonlyArray(chunk))
  )

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), (rows) => Array.from(rows))

onEngines("scripts", (engine) => {
  it.scopedLive("row 20: each row has the columns of its own statement, and no page mixes two", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const text = "select 1 as a union all select 2; select 3 as b, 'x' as c; select 4 as a where 0; select 5 as d"
      const all = [{ a: 1 }, { a: 2 }, { b: 3, c: "x" }, { d: 5 }]
      assert.deepStrictEqual(yield* sql.unsafe(text), all)
      for (const prefetch of [1, 2, 3, 64]) {
        const chunks = yield* chunksOf(sql.unsafe(text).pipe(SqlClient.withPrefetch(prefetch)).stream)
        assert.deepStrictEqual(chunks.flat(), all)
        for (const chunk of chunks) {
          assert.strictEqual(new Set(chunk.map((row) => Object.keys(row as Row).join())).size, 1)
        }
      }
      const pages = yield* chunksOf(sql.unsafe(text).stream)
      assert.deepStrictEqual(
        pages.map((page) => page.length),
        [2, 1, 1]
      )
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 20: a long script is the statements that SQLite reads in it", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const filler = `insert into t values ('${"x;".repeat(200)}'); -- and a comment; with a semicolon\n`
      const text = [
        "create table t (a); create table log (a)",
        "create trigger noted after insert on t begin insert into log values (case when new.a is null then 0 end); " +
          "insert into log values (1); end",
        filler.repeat(30) + "select count(*) as n, ? as p from log",
        "/* ; */ ; ; select ? as q, ';' as s",
        filler.repeat(30) + "select count(*) as n from t"
      ]
      assert.deepStrictEqual(yield* sql.unsafe(text.join(";\n"), [7, 8]), [
        { n: 60, p: 7 },
        { q: 8, s: ";" },
        { n: 60 }
      ])
      const { message, outcome, reason } = yield* reasonOf(
        sql.unsafe(`${filler.repeat(30)} selec 1; ${filler.repeat(30)}`)
      )
      assert.deepStrictEqual([reason, outcome], ["SqlSyntax", "unknown"])
      assert.include(message, 'near "selec"')
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 90 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a script takes time by its length, not by the square of it", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      // One to two seconds; SQLite given the whole rest for every statement took minutes.
      yield* sql.unsafe(`begin; ${"insert into t values (5);".repeat(80_000)} commit`)
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 80_000 }])
    }).pipe(SqlClient.withDeadline("30 seconds"), Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 20: values, too, and the same script again", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const script = sql.unsafe("select 1 as a, 2 as b; select 'one'")
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(yield* script.values, [[1, 2], ["one"]])
        assert.deepStrictEqual(yield* script.unprepared, [{ a: 1, b: 2 }, { "'one'": "one" }])
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 20: results larger than a page in every statement", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const text = `select n as a from (${countTo(30_000)}); select n as b, n as c from (${countTo(30_000)})`
      const rows = yield* sql.unsafe<Row>(text)
      assert.strictEqual(rows.length, 60_000)
      assert.deepStrictEqual(rows[29_999], { a: 30_000 })
      assert.deepStrictEqual(rows[30_000], { b: 1, c: 1 })
      assert.deepStrictEqual(rows[59_999], { b: 30_000, c: 30_000 })
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 21: a mistake in the second statement comes after the first one's rows", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      for (const prefetch of [1, 2, 3, 64]) {
        const got: Array<unknown> = []
        const stream = sql
          .unsafe("insert into t values (1); select 1 as a union all select 2; selec 3; insert into t values (2)")
          .pipe(SqlClient.withPrefetch(prefetch)).stream
        const failure = yield* reasonOf(Stream.runForEach(stream, (row) => Effect.sync(() => got.push(row))))
        assert.deepStrictEqual(got, [{ a: 1 }, { a: 2 }])
        assert.strictEqual(failure.reason, "SqlSyntax")
        assert.include(failure.message, "selec")
      }
      assert.deepStrictEqual(yield* sql`select a from t`, Array<{ a: number }>(4).fill({ a: 1 }))
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 21: a mistake at run time, in a script that is run whole: what came before it stays", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a unique)`
      const script = sql.unsafe("insert into t values (1); insert into t values (1); insert into t values (2)")
      assert.strictEqual((yield* reasonOf(script)).reason, "UniqueViolation")
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }])
      assert.strictEqual(
        (yield* reasonOf(sql.withTransaction(sql.unsafe("delete from t; nonsense")))).reason,
        "SqlSyntax"
      )
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  for (const readers of [0, 1]) {
    it.scopedLive(
      `row 22: a consumer that stops after the first row keeps the rest from running (${readers} readers)`,
      () =>
        Effect.gen(function* () {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`create table t (a)`
          for (const prefetch of [1, 64]) {
            const stream = sql
              .unsafe<Row>("select 1 as a; insert into t values (1); select 2 as a")
              .pipe(SqlClient.withPrefetch(prefetch)).stream
            assert.deepStrictEqual(yield* collect(Stream.take(stream, 1)), [{ a: 1 }])
            assert.deepStrictEqual(yield* sql`select a from t`, [])
          }
          const whole = sql.unsafe<Row>("select 1 as a; insert into t values (1); select 2 as a").stream
          assert.deepStrictEqual(yield* collect(whole), [{ a: 1 }, { a: 2 }])
          assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }])
        }).pipe(Effect.provide(layerOnFile(engine, { readers })))
    )
  }

  it.scopedLive(
    "row 22: the same when the script has written before, and when the row is of a statement that writes",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`create table t (a)`
        for (const prefetch of [1, 64]) {
          for (const first of ["insert into t values (1); select 1 as a", "insert into t values (1) returning a"]) {
            yield* sql`delete from t`
            const text = `${first}; delete from t; insert into t values (2) returning a`
            const stream = sql.unsafe<Row>(text).pipe(SqlClient.withPrefetch(prefetch)).stream
            assert.deepStrictEqual(yield* collect(Stream.take(stream, 1)), [{ a: 1 }])
            assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }])
            assert.deepStrictEqual(yield* collect(stream), [{ a: 1 }, { a: 2 }])
          }
        }
      }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 22: what follows is not even stepped into", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const stream = sql.unsafe<Row>(`select 1 as a; ${spin}`).stream
      assert.deepStrictEqual(yield* collect(Stream.take(stream, 1)), [{ a: 1 }])
      assert.deepStrictEqual(yield* sql`select 2 as b`, [{ b: 2 }])
    }).pipe(Effect.timeout("10 seconds"), Effect.provide(layerOf(engine)))
  )

  it.scopedLive("parameters are consumed across the statements, in order", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a, b)`
      const text =
        "insert into t values (?, ?); select ? as c; insert into t values (?, 'x'); select a, b from t where a > ?"
      const all = [{ c: "c" }, { a: 2, b: "b" }, { a: 3, b: "x" }]
      assert.deepStrictEqual(yield* sql.unsafe(text, [2, "b", "c", 3, 1]), all)
      yield* sql`delete from t`
      assert.deepStrictEqual(yield* collect(sql.unsafe(text, [2, "b", "c", 3, 1]).stream), all)
      for (const params of [[2, "b", "c", 3], [2, "b", "c", 3, 1, 1], [], [1]]) {
        const failure = yield* reasonOf(sql.unsafe(text, params))
        assert.strictEqual(failure.reason, "InvalidParameter", params.join())
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("large parameters in a stream of statements live as long as their statement", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const large = "ü".repeat(200_000)
      const stream = sql
        .unsafe<Row>(`select n, length(?) as l from (${countTo(5)}); select substr(?, 1, 1) as s`, [large, large])
        .pipe(SqlClient.withPrefetch(1)).stream
      const rows = yield* collect(Stream.tap(stream, () => sql`select ${"other".repeat(50)}`))
      assert.deepStrictEqual(rows, [...[1, 2, 3, 4, 5].map((n) => ({ n, l: 200_000 })), { s: "ü" }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("comments, empty statements and nothing at all", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (const text of [
        "",
        " ",
        ";",
        ";;;",
        "-- only a comment",
        "/* only a comment */",
        "/* open",
        "-- x\n;;/* y */;"
      ]) {
        assert.deepStrictEqual(yield* sql.unsafe(text), [], JSON.stringify(text))
        assert.deepStrictEqual(yield* sql.unsafe(text).values, [], JSON.stringify(text))
        assert.deepStrictEqual(yield* collect(sql.unsafe(text).stream), [], JSON.stringify(text))
      }
      const script = "-- first; not a statement\nselect 1 as a; /* ; */ ;; select ';' as b -- end;\n;\n\n/* ; */ -- ;"
      assert.deepStrictEqual(yield* sql.unsafe(script), [{ a: 1 }, { b: ";" }])
      assert.deepStrictEqual(yield* collect(sql.unsafe(script).stream), [{ a: 1 }, { b: ";" }])
      assert.deepStrictEqual(yield* sql.unsafe('select 1 as `a;b`; select 2 as [c;d]; select 3 as "e;f"'), [
        { "a;b": 1 },
        { "c;d": 2 },
        { "e;f": 3 }
      ])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("statements without rows before, between and after those with", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const script = `
        create table t (a);
        insert into t values (1), (2);
        select a from t;
        create table u (b);
        insert into u select a * 10 from t returning b;
        drop table t;
        select count(*) as n from u;
        drop table u`
      const all = [{ a: 1 }, { a: 2 }, { b: 10 }, { b: 20 }, { n: 2 }]
      for (const prefetch of [1, 64]) {
        assert.deepStrictEqual(yield* collect(sql.unsafe(script).pipe(SqlClient.withPrefetch(prefetch)).stream), all)
      }
      assert.deepStrictEqual(yield* sql.unsafe(script), all)
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a script that begins and ends its transaction is fine, one that leaves it open is not", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      yield* sql.unsafe("begin; insert into t values (1); commit")
      yield* sql.unsafe("begin; insert into t values (2); rollback")
      yield* collect(sql.unsafe("begin; insert into t values (3); commit; select 1").stream)
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }, { a: 3 }])
      const failure = yield* reasonOf(sql.unsafe("begin; insert into t values (4)"))
      assert.strictEqual(failure.reason, "Unsupported")
      assert.include(failure.message, "sql.transaction")
      const stream = yield* reasonOf(Stream.runDrain(sql.unsafe("begin; insert into t values (5); select 1").stream))
      assert.strictEqual(stream.reason, "Unsupported")
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }, { a: 3 }])
      yield* sql.withTransaction(sql`insert into t values (6)`)
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }, { a: 3 }, { a: 6 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("an error inside a script's own transaction leaves none open", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a unique)`
      const script = sql.unsafe("begin; insert into t values (1); insert into t values (1); commit")
      assert.strictEqual((yield* reasonOf(script)).reason, "UniqueViolation")
      assert.strictEqual((yield* reasonOf(Stream.runDrain(script.stream))).reason, "UniqueViolation")
      assert.deepStrictEqual(yield* sql`select a from t`, [])
      yield* sql.withTransaction(sql`insert into t values (2)`)
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a stream abandoned inside a script's own transaction leaves none open", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      const stream = sql.unsafe<Row>("begin; insert into t values (1); select a from t; select 2 as a; commit").stream
      assert.deepStrictEqual(yield* collect(Stream.take(stream, 1)), [{ a: 1 }])
      assert.deepStrictEqual(yield* sql`select a from t`, [])
      yield* sql.withTransaction(sql`insert into t values (2)`)
    }).pipe(Effect.timeout("10 seconds"), Effect.provide(layerOf(engine)))
  )

  it.scopedLive("bodies of triggers, with semicolons, comments, quotes and CASE … END in them", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.unsafe(
        `
        create table t (a);
        create table log (what);
        create trigger t_after after insert on t begin
          -- end; of nothing
          insert into log values (case when new.a > 1 then 'big; end' else "small" end);
          /* end; */ insert into log values ('it''s; end');
        end;
        create temp trigger if not exists t_del before delete on t begin delete from log; end;
        insert into t values (2);
        select what from log`.replace('"small"', "'small'")
      )
      assert.deepStrictEqual((yield* sql`select what from log`.values).flat(), ["big; end", "it's; end"])
      yield* sql`delete from t`
      assert.deepStrictEqual(yield* sql`select what from log`, [])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a thousand statements in one text", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      const script = Array.from({ length: 1_000 }, (_, i) => `insert into t values (${i})`).join(";\n")
      yield* sql.withTransaction(sql.unsafe(script))
      assert.deepStrictEqual(yield* sql`select count(*) as n, sum(a) as s from t`, [{ n: 1_000, s: 499_500 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a long script of statements without rows is stopped between two of them", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const statements = 100_000
      const script = sql.unsafe("insert into t values (5);".repeat(statements))
      yield* sql`create table t (a)`
      /** How many of them were run, and what came of it. */
      const counted = <A, E>(run: Effect.Effect<A, E>) =>
        Effect.gen(function* () {
          yield* sql`delete from t`
          const [took, result] = yield* timed(run)
          assert.isBelow(took, 10_000)
          const [{ n }] = (yield* sql<{ n: number }>`select count(*) as n from t`) as [{ n: number }]
          assert.isBelow(n, statements)
          return [n, result] as const
        })
      const soon = SqlClient.withDeadline("50 millis")
      const interrupts = Effect.forever(Effect.delay(sql.interrupt, "50 millis"))
      for (const [reason, run] of [
        ["StatementTimeout", soon(reasonOf(script))],
        ["StatementTimeout", soon(reasonOf(Stream.runDrain(script.stream)))],
        ["Interrupted", Effect.race(reasonOf(script), interrupts)]
      ] as const) {
        const [n, failure] = yield* counted(run)
        assert.deepInclude(failure, { reason, outcome: n > 0 ? "unknown" : "notExecuted" })
      }
      yield* counted(Effect.timeoutOption(script, "50 millis"))
      yield* assertIdle(sql)
    }).pipe(Effect.provide(layerOf(engine, { grace: "1 minute" })))
  )

  it.scopedLive("row 20: two streams of one script, each in another statement, keep their own columns", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const script = sql.unsafe("select 1 as a union all select 2; select 'x' as b union all select 'y'")
      const first = yield* Stream.toPull(script.pipe(SqlClient.withPrefetch(1)).stream)
      const second = yield* Stream.toPull(script.pipe(SqlClient.withPrefetch(1)).stream)
      const next = (pull: typeof first) => Effect.map(pull, (rows) => Chunk.toReadonlyArray(rows)[0])
      assert.deepStrictEqual(yield* next(first), { a: 1 })
      assert.deepStrictEqual(yield* next(first), { a: 2 })
      assert.deepStrictEqual(yield* next(first), { b: "x" })
      assert.deepStrictEqual(yield* next(second), { a: 1 })
      assert.deepStrictEqual(yield* next(first), { b: "y" })
      assert.deepStrictEqual(yield* next(second), { a: 2 })
      assert.deepStrictEqual(yield* next(second), { b: "x" })
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a NUL or a lone surrogate in the text is a typed failure, not a cut nor another text", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      const noUtf8 = ["select '\ud800'", "insert into t values ('\udc00'); select 1", "select 1 as \ud83d"]
      for (const text of ["insert into t values (1)\0; drop table t", "\0", "select 1;\0select 2", ...noUtf8]) {
        assert.strictEqual((yield* reasonOf(sql.unsafe(text))).reason, "SqlSyntax")
        assert.strictEqual((yield* reasonOf(sql.unsafe(text).unprepared)).reason, "SqlSyntax")
        assert.strictEqual((yield* reasonOf(Stream.runDrain(sql.unsafe(text).stream))).reason, "SqlSyntax")
        assert.strictEqual((yield* reasonOf(sql.many(text, [[]]))).reason, "SqlSyntax")
        const batched = yield* reasonOf(sql.batch(["insert into t values (2)", text]))
        assert.strictEqual(batched.reason, "SqlSyntax")
        assert.strictEqual(batched.failedRow, 1)
      }
      assert.deepStrictEqual(yield* sql.unsafe("select '\ud83d\ude00' as a"), [{ a: "\u{1f600}" }])
      assert.deepStrictEqual(yield* sql`select a from t`, [])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("what a failed script has done before is not called undone", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a integer primary key)`
      for (const [text, outcome] of [
        ["insert into t values (1); insert into t values (1)", "unknown"],
        ["insert into t values (2); select nothing", "unknown"],
        ["select 1; insert into t values (2)", "notExecuted"],
        ["insert into t values (2)", "notExecuted"],
        ["insert or fail into t values (3), (2)", "unknown"]
      ] as const) {
        const failures = [yield* reasonOf(sql.unsafe(text))]
        yield* sql`delete from t where a = 1 or a = 3`
        if (outcome === "unknown") {
          yield* sql`delete from t where a = 2 and ${text.includes("(2); select") ? 1 : 0} = 1`
          failures.push(yield* reasonOf(Stream.runDrain(sql.unsafe(text).stream)))
          yield* sql`delete from t where a = 1 or a = 3`
        }
        assert.deepStrictEqual(
          failures.map((failure) => failure.outcome),
          failures.map(() => outcome),
          text
        )
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )
})

describe("scripts", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
