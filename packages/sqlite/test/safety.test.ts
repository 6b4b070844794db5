/** What every connection refuses by default, how each refusal is switched off, and SQLite's limits. */
import { afterAll, assert, it } from "@effect/vitest"
import type { SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Effect, Stream } from "effect"
import { open } from "./conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "./support.js"

type Limit = keyof NonNullable<SqliteClient.SqliteClientConfig["limits"]>

afterAll(() => Effect.runPromise(leftovers))

onEngines("safety", (engine) => {
  const native = engine === "native"

  it.scopedLive("load_extension() of SQL is off, also where extensions are loaded by the method", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { trustedSchema: true, defensive: false })
      yield* reasonOf(sql.loadExtension("/nowhere/at/all"))
      yield* sql`create table t (name); insert into t values ('x')`
      for (const call of ["load_extension('x')", "LOAD_EXTENSION('x', 'y')", "(select load_extension(name) from t)"]) {
        const failure = yield* reasonOf(sql.unsafe(`select ${call}`))
        assert.strictEqual(failure.reason, "Authorization")
      }
    })
  )

  it.scopedLive("defensive: the schema cannot be written to, nor a shadow table; the configuration allows it", () =>
    Effect.gen(function* () {
      const vandalise = Effect.fnUntraced(function* (sql: SqliteClient.SqliteClient) {
        yield* sql`create table t (a)`
        yield* sql`create virtual table f using fts5(words)`
        yield* sql`pragma writable_schema=on`
        return [
          yield* Effect.isSuccess(sql`update sqlite_schema set sql = 'create table t (a, b)' where name = 't'`),
          yield* Effect.isSuccess(sql`delete from f_content`)
        ]
      })
      assert.deepStrictEqual(yield* vandalise(yield* open(engine)), [false, false])
      assert.deepStrictEqual(yield* vandalise(yield* open(engine, { defensive: false })), [true, true])
    })
  )

  it.scopedLive("defensive: a journal cannot be switched off, on any session", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, disableWAL: true })
      assert.notStrictEqual(yield* sql.pragma("journal_mode", "off"), "off")
      const free = yield* open(engine, { filename, disableWAL: true, defensive: false })
      assert.strictEqual(yield* free.pragma("journal_mode", "off"), "off")
    })
  )

  it.scopedLive("a schema is not trusted: its views and triggers call no function of the program", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const calls: Array<string> = []
      const client = Effect.fnUntraced(function* (config: Partial<SqliteClient.SqliteClientConfig>) {
        const sql = yield* open(engine, { filename, ...config })
        yield* sql.function("mail", (to) => Effect.sync(() => void calls.push(String(to))))
        return sql
      })
      const trusting = yield* client({ trustedSchema: true })
      yield* trusting`create table t (a); insert into t values ('x')`
      yield* trusting`create view v as select mail(a) as m from t`
      yield* trusting`create trigger tr after insert on t begin select mail(new.a); end`
      yield* trusting`select m from v`
      assert.deepStrictEqual(calls, ["x"])

      const sql = yield* client({})
      yield* sql`select mail('direct')`
      for (const text of ["select m from v", "insert into t values ('y')"]) {
        const failure = yield* reasonOf(sql.unsafe(text))
        assert.strictEqual(failure.reason, "Authorization")
        assert.include(failure.message, "unsafe use of mail()")
      }
      assert.deepStrictEqual(calls, ["x", "direct"])
    })
  )

  it.scopedLive("what is innocuous may be called from an untrusted schema; only the native engine can say so", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (a); insert into t values (2)`
      yield* sql.function("twice", { innocuous: true, deterministic: true }, (n) => Effect.succeed(Number(n) * 2))
      const made = Effect.zipRight(sql`create view v as select twice(a) as n from t`, sql`select n from v`)
      if (native) {
        assert.deepStrictEqual(yield* made, [{ n: 4 }])
      } else {
        assert.strictEqual((yield* reasonOf(made)).reason, "Authorization")
      }
    })
  )

  it.scopedLive("what is innocuous stays so in checks, generated columns and indexes when others are registered", () =>
    Effect.gen(function* () {
      if (!native) return
      const sql = yield* open(engine)
      yield* sql.function("twice", { innocuous: true, deterministic: true }, (n) => Effect.succeed(Number(n) * 2))
      yield* sql`create table t (x check (twice(x) > 0), v as (twice(x)) virtual, s as (twice(x)) stored)`
      yield* sql`create index i on t (twice(x)) where twice(x) > 1`
      yield* sql`insert into t values (4)`
      yield* sql.function("other", (n) => Effect.succeed(n))
      assert.deepStrictEqual(yield* sql`select * from t where twice(x) = 8`, [{ x: 4, v: 8, s: 8 }])
      assert.strictEqual((yield* reasonOf(sql`insert into t values (-4)`)).reason, "Constraint")
      assert.strictEqual(yield* sql.pragma("integrity_check"), "ok")
    })
  )

  it.scopedLive(
    "a function that is registered inside a transaction sees what is not committed, and leaves it whole",
    () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile })
        yield* sql`create virtual table f using fts5(words)`
        yield* sql`attach ':memory:' as other`
        const register = (name: string) => sql.function(name, (x) => Effect.succeed(x))
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`create table t (a); insert into t values (1)`
            yield* sql`create temp table tmp (a); insert into tmp values (2)`
            yield* sql`create table other.o (a); insert into other.o values (3)`
            yield* sql`insert into f values ('one')`
            yield* register("first")
            yield* sql`insert into f values ('another one')`
            yield* register("second")
            yield* sql`insert into f values ('the last one')`
            assert.deepStrictEqual(yield* sql`select count(*) as n from f where f match 'one'`, [{ n: 3 }])
          })
        )
        assert.deepStrictEqual(
          yield* sql`select first(a) as a from t union all select second(a) from tmp union all select a from other.o`,
          [{ a: 1 }, { a: 2 }, { a: 3 }]
        )
        assert.deepStrictEqual(yield* sql`select count(*) as n from f where f match 'one'`, [{ n: 3 }])
        yield* sql`insert into f (f) values ('integrity-check')`
      })
  )

  it.scopedLive("a function that is registered inside a transaction keeps nothing of what is rolled back", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename })
      const beside = yield* open(engine, { filename })
      const select = sql`select a from gone`
      yield* sql
        .withTransaction(
          Effect.gen(function* () {
            yield* sql`create table gone (a); insert into gone values (1)`
            yield* sql.function("f", (x) => Effect.succeed(x))
            assert.deepStrictEqual(yield* select, [{ a: 1 }])
            return yield* Effect.fail("enough")
          })
        )
        .pipe(Effect.flip)
      // In the same place in the file, and with the same number of the schema.
      yield* beside`create table came (b); insert into came values (2)`
      assert.strictEqual((yield* reasonOf(select)).reason, "SqlSyntax")
      assert.deepStrictEqual(yield* sql`select b from came`, [{ b: 2 }])
    })
  )

  it.scopedLive(
    "a function is registered beside an open stream, and no hook of the program hears of more than that",
    () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        yield* sql`create virtual table f using fts5(words)`
        yield* sql`insert into f values ('one')`
        yield* sql`create table t (a)`
        yield* sql`insert into t with recursive u(n) as (select 1 union all select n + 1 from u limit 3000) select n from u`
        const heard: Array<unknown> = []
        const hear = (what: unknown) => Effect.sync(() => void heard.push(what))
        if (native) {
          yield* sql.authorizer((action) => Effect.as(hear(action), "ok"))
          yield* sql.trace(hear)
        }
        let rows = 0
        yield* sql.withTransaction(
          sql`select a, (select count(*) from f where f match 'one' and a > 0) from t`.stream.pipe(
            Stream.runForEach(() =>
              ++rows === 100
                ? Effect.gen(function* () {
                    const before = heard.length
                    yield* sql.function("f", (x) => Effect.succeed(x))
                    assert.strictEqual(heard.length, before)
                  })
                : Effect.void
            )
          )
        )
        assert.strictEqual(rows, 3000)
        assert.deepStrictEqual(yield* sql`select f(1) as one`, [{ one: 1 }])
      })
  )

  it.scopedLive("a text in double quotes is no string, unless the configuration says so", () =>
    Effect.gen(function* () {
      const strict = yield* open(engine)
      assert.strictEqual((yield* reasonOf(strict`select "x" as s`)).reason, "SqlSyntax")
      assert.strictEqual((yield* reasonOf(strict`create table t (a, check (a <> "x"))`)).reason, "SqlSyntax")
      const old = yield* open(engine, { doubleQuotedStrings: true })
      assert.deepStrictEqual(yield* old`select "x" as s`, [{ s: "x" }])
      yield* old`create table t (a, check (a <> "x"))`
    })
  )

  const beyond: Readonly<Record<Limit, readonly [limit: number, text: string, reason: SqlFailure.Reason]>> = {
    length: [1000, "select zeroblob(1001)", "InvalidParameter"],
    sqlLength: [300, `select ${" ".repeat(300)}1`, "InvalidParameter"],
    columns: [5, "select 1, 2, 3, 4, 5, 6", "SqlSyntax"],
    exprDepth: [10, `select ${"1+".repeat(20)}1`, "SqlSyntax"],
    compoundSelect: [3, "select 1 union select 2 union select 3 union select 4", "SqlSyntax"],
    vdbeOps: [50, `select ${Array.from({ length: 40 }, (_, i) => `abs(${i})`).join()}`, "Unknown"],
    functionArgs: [3, "select max(1, 2, 3, 4)", "SqlSyntax"],
    attached: [0, "attach ':memory:' as other", "SqlSyntax"],
    likePatternLength: [5, "select 'a' like 'abcdef'", "InvalidParameter"],
    variables: [3, "select ?4", "SqlSyntax"],
    triggerDepth: [2, "insert into chain values (9)", "InvalidParameter"]
  }

  for (const [name, [limit, text, reason]] of Object.entries(beyond)) {
    it.scopedLive(`the limit ${name} is kept`, () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { limits: { [name]: limit } })
        if (name === "triggerDepth") {
          yield* sql`create table chain (n)`
          yield* sql`pragma recursive_triggers=on`
          yield* sql`create trigger tr after insert on chain when new.n > 0 begin insert into chain values (new.n - 1); end`
        }
        const failure = yield* reasonOf(sql.unsafe(text, name === "variables" ? [1, 2, 3, 4] : []))
        assert.strictEqual(failure.reason, reason, failure.message)
        assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
      })
    )
  }

  it.scopedLive("a limit that is none is refused at once", () =>
    Effect.gen(function* () {
      for (const length of [-1, 1.5, NaN, 2 ** 31]) {
        const failure = yield* reasonOf(Effect.scoped(open(engine, { limits: { length } })))
        assert.strictEqual(failure.reason, "InvalidParameter")
        assert.include(failure.message, "length")
      }
    })
  )
})
