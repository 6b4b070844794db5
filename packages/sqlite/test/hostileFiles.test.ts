/** Files from strangers: what is in them fails typed, in bounded time and memory, and the process lives on. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs"
import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Cause, Effect, Exit, Option } from "effect"
import type { SqliteClient } from "@sluice/sqlite"
import { open, random } from "./conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

onEngines("hostile files", (engine) => {
  const native = engine === "native"

  /** Makes a file by statements, with all protection off. */
  const made = (...statements: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* open(engine, { filename, disableWAL: true, defensive: false, trustedSchema: true })
          for (const statement of statements) {
            yield* sql.unsafe(statement)
          }
        })
      )
      return filename
    })

  const ordinary = made(
    "create table t (id integer primary key, a text, b blob)",
    "create index by_a on t (a)",
    "with recursive up(n) as (select 1 union all select n + 1 from up limit 600) " +
      "insert into t select n, hex(n * 7919), zeroblob(n % 300) from up",
    "create view v as select a, length(b) as size from t",
    "create trigger tr after insert on t begin update t set a = 'seen' where id = new.id; end",
    "create virtual table f using fts5(words)",
    "insert into f select a from t limit 100"
  )

  /** Reads all that there is and writes a little. Whatever happens is an answer or a typed failure. */
  const use = (filename: string, config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
    Effect.gen(function* () {
      const reasons: Array<SqlFailure.Reason | "answered"> = []
      const note = (exit: Exit.Exit<unknown, unknown>) => {
        if (Exit.isSuccess(exit)) {
          return reasons.push("answered")
        }
        const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
        assert.isTrue(failure !== undefined, `not a typed failure: ${Cause.pretty(exit.cause)}`)
        return reasons.push(SqlFailure.from(failure).reason)
      }
      const opened = yield* Effect.exit(
        Effect.scoped(
          Effect.gen(function* () {
            const sql = yield* open(engine, { filename, ...config })
            for (const text of [
              "select * from sqlite_schema",
              "select count(*), max(a), sum(length(b)) from t",
              "select * from t order by a desc",
              "select * from v",
              "select * from f where f match '7*'",
              "insert into t (a, b) values ('x', zeroblob(10000))",
              "delete from t where id % 3 = 0",
              "pragma integrity_check"
            ]) {
              note(yield* Effect.exit(sql.unsafe(text).pipe(SqlClient.withDeadline("5 seconds"))))
            }
          })
        )
      )
      note(opened)
      return reasons
    })

  it.scopedLive("corrupt pages: random bytes in random places", () =>
    Effect.gen(function* () {
      const filename = yield* ordinary
      const good = readFileSync(filename)
      const seen = new Set<string>()
      for (let seed = 1; seed <= (native ? 16 : 6); seed++) {
        const next = random(seed)
        const bad = Buffer.from(good)
        // Half of them in the headers of pages, where it hurts; the very first bytes are for the next test.
        for (let i = 0; i < 1 + seed * 3; i++) {
          const page = Math.floor(next() * (bad.length / 4096)) * 4096
          const at = page + Math.floor(next() * (next() < 0.5 ? 12 : 4096))
          bad[Math.max(100, at)] = Math.floor(next() * 256)
        }
        writeFileSync(filename, bad)
        for (const reason of yield* use(filename, { disableWAL: true })) {
          seen.add(reason)
        }
      }
      assert.isTrue(seen.has("answered") && seen.size > 1, [...seen].join())
    })
  )

  it.scopedLive("files that are cut off", () =>
    Effect.gen(function* () {
      const filename = yield* ordinary
      const good = readFileSync(filename)
      for (const length of [1, 99, 512, 4095, 4096, 5000, good.length >> 1, good.length - 1]) {
        writeFileSync(filename, good)
        truncateSync(filename, length)
        const reasons = yield* use(filename, { disableWAL: true })
        assert.isTrue(
          reasons.some((reason) => reason !== "answered"),
          `${length} bytes`
        )
      }
    })
  )

  it.scopedLive("files that are no database fail to open", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const magic = Buffer.from("SQLite format 3\0")
      const noise = Buffer.from(Array.from({ length: 8192 }, random(7)).map((n) => Math.floor(n * 256)))
      for (const content of [Buffer.from("hello, world. ".repeat(100)), noise, Buffer.concat([magic, noise])]) {
        writeFileSync(filename, content)
        for (const readonly of [false, true]) {
          const failure = yield* reasonOf(Effect.scoped(open(engine, { filename, readonly })))
          assert.strictEqual(failure.reason, "Connection")
          assert.isFalse(failure.message.includes("hello"))
        }
        assert.deepStrictEqual(readFileSync(filename), content)
      }
    })
  )

  it.scopedLive("a malformed sqlite_schema", () =>
    Effect.gen(function* () {
      for (const vandalism of [
        "update sqlite_schema set sql = 'create table t (' where name = 't'",
        "update sqlite_schema set sql = 'select 1' where name = 't'",
        "update sqlite_schema set sql = null where name = 't'",
        "update sqlite_schema set rootpage = 999999 where name = 't'",
        "update sqlite_schema set rootpage = 1 where name = 't'",
        "update sqlite_schema set rootpage = -5, type = 'index' where name = 't'",
        "update sqlite_schema set sql = 'create table t (' || hex(zeroblob(100000)) || ')' where name = 't'",
        "insert into sqlite_schema select * from sqlite_schema",
        "update sqlite_schema set name = zeroblob(5), tbl_name = 7",
        "update sqlite_schema set sql = 'create virtual table t using nothing(x)', rootpage = 0 where name = 't'"
      ]) {
        const filename = yield* made(
          "create table t (id integer primary key, a, b)",
          "pragma writable_schema=on",
          vandalism
        )
        const reasons = yield* use(filename, { disableWAL: true })
        assert.isTrue(
          reasons.some((reason) => reason !== "answered"),
          vandalism
        )
      }
    })
  )

  it.scopedLive("a huge schema: thousands of tables, and one with too many columns for the limits", () =>
    Effect.gen(function* () {
      const wide = Array.from({ length: 1000 }, (_, i) => `c${i}`).join()
      const many = Array.from({ length: 2000 }, (_, i) => `create table t${i} (a, b unique)`).join(";")
      const filename = yield* made(`begin; ${many}; create table wide (${wide}); commit`)
      const memory = process.memoryUsage().rss
      const sql = yield* open(engine, { filename, readonly: true })
      assert.deepStrictEqual(yield* sql`select count(*) as n from sqlite_schema where type = 'table'`, [{ n: 2001 }])
      assert.deepStrictEqual(yield* sql`select * from wide`, [])
      assert.isBelow(process.memoryUsage().rss - memory, 300_000_000)
      const strict = yield* Effect.exit(open(engine, { filename, readonly: true, limits: { columns: 100 } }))
      if (Exit.isSuccess(strict)) {
        const { reason } = yield* reasonOf(strict.value`select * from t1`)
        assert.include(["Unknown", "SqlSyntax"], reason)
      }
    })
  )

  it.scopedLive("views that contain themselves, and views that double with each level", () =>
    Effect.gen(function* () {
      const circle = yield* made(
        "create table a (n)",
        "create view b as select * from a",
        "pragma writable_schema=on",
        "update sqlite_schema set type = 'view', rootpage = 0, sql = 'create view a as select * from b' where name = 'a'"
      )
      const round = yield* Effect.exit(open(engine, { filename: circle }))
      if (Exit.isSuccess(round)) {
        const failure = yield* reasonOf(round.value`select * from b`)
        assert.strictEqual(failure.reason, "SqlSyntax")
      }
      const doubling = yield* made(
        "create view v0 as select 1 as n",
        ...Array.from({ length: 40 }, (_, i) => `create view v${i + 1} as select a.n from v${i} a, v${i} b`)
      )
      const memory = process.memoryUsage().rss
      const sql = yield* open(engine, { filename: doubling, readonly: true })
      const failure = yield* reasonOf(sql`select n from v40`.pipe(SqlClient.withDeadline("10 seconds")))
      assert.include(["SqlSyntax", "Unknown", "StatementTimeout"], failure.reason)
      assert.isBelow(process.memoryUsage().rss - memory, 1_000_000_000)
      assert.deepStrictEqual(yield* sql`select n from v3`, [{ n: 1 }])
    })
  )

  it.scopedLive("triggers, views, defaults and indexes that call functions of the program, or load extensions", () =>
    Effect.gen(function* () {
      const filename = yield* made("create table t (a)", "create table log (a)", "insert into t values (1)")
      let calls = 0
      const client = Effect.fnUntraced(function* (trustedSchema: boolean) {
        const sql = yield* open(engine, { filename, disableWAL: true, trustedSchema })
        yield* sql.function("leak", (value) => Effect.sync(() => (calls++, value)))
        return sql
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* client(true)
          yield* sql`create trigger tr after insert on t begin insert into log values (leak(new.a)); end`
          yield* sql`create view v as select leak(a) as a from t`
          yield* sql`create table d (a, b default (leak(7)))`
          yield* sql`create view ext as select load_extension('/tmp/evil.so') as e from t`.pipe(Effect.ignore)
        })
      )
      calls = 0
      const sql = yield* client(false)
      for (const text of ["insert into t values (2)", "select * from v", "insert into d (a) values (1)"]) {
        assert.strictEqual((yield* reasonOf(sql.unsafe(text))).reason, "Authorization", text)
      }
      assert.include(["Authorization", "SqlSyntax"], (yield* reasonOf(sql`select * from ext`)).reason)
      assert.strictEqual(calls, 0)
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }])
    })
  )

  const places: ReadonlyArray<readonly [what: string, ...statements: ReadonlyArray<string>]> = [
    ["a check", "create table t (x, check (evil(x)))"],
    ["a virtual generated column", "create table t (x, g as (evil(x)) virtual)"],
    ["a stored generated column", "create table t (x, g as (evil(x)) stored)"],
    ["an index of an expression", "create table t (x)", "create index i on t (evil(x))"],
    ["a partial index", "create table t (x)", "create index i on t (x) where evil(x)"]
  ]

  for (const [what, ...statements] of places) {
    it.scopedLive(`${what} that calls a function of the program, which is registered after the file was read`, () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        yield* Effect.scoped(
          Effect.gen(function* () {
            const sql = yield* open(engine, { filename, disableWAL: true, trustedSchema: true })
            yield* sql.function("evil", { deterministic: true }, (x) => Effect.succeed(x))
            for (const statement of [...statements, "insert into t (x) values (1)"]) {
              yield* sql.unsafe(statement)
            }
          })
        )
        for (const options of [{ deterministic: true }, { directOnly: true }, { directOnly: true, trusted: true }]) {
          const sql = yield* open(engine, { filename, disableWAL: true, trustedSchema: "trusted" in options })
          assert.deepStrictEqual(yield* sql`select x from t`, [{ x: 1 }])
          let calls = 0
          const evil = yield* sql.function("evil", options, (x) => Effect.sync(() => (calls++, x)))
          for (const text of [
            "select * from t",
            "insert into t (x) values (2)",
            "update t set x = 3",
            "delete from t",
            "reindex",
            "pragma integrity_check"
          ]) {
            const failure = yield* reasonOf(sql.unsafe(text))
            assert.strictEqual(failure.reason, "Authorization", `${text}: ${failure.message}`)
            assert.notInclude(failure.message, "damaged")
          }
          assert.strictEqual(calls, 0)
          yield* evil.remove
          if (native) {
            assert.deepStrictEqual(yield* sql`select x from t`, [{ x: 1 }])
          }
        }
      })
    )
  }
})
