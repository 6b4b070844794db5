/** SQL from strangers: hostile statements, each with the refusal that it must meet; after them all is as it was. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { SqlClient, type SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Context, Effect, Exit, Fiber, Layer, Schedule, Stream } from "effect"
import { open } from "./conformance/stopping.js"
import { countTo, engines, leftovers, reasonOf, spin, tempFile, stuckWhile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

type Config = Partial<SqliteClient.UntrustedConfig>

const openUntrusted = (filename: string, config: Config = {}) =>
  Effect.map(Layer.build(SqliteClient.layerUntrusted({ filename, engine: "native", ...config })), (context) =>
    Context.get(context, SqliteClient.Untrusted)
  )

/** A file with tables, views, triggers, indexes and virtual tables. */
const shop = (disableWAL = true) =>
  Effect.gen(function* () {
    const filename = yield* tempFile
    yield* Effect.scoped(
      Effect.gen(function* () {
        const sql = yield* open("native", { filename, disableWAL })
        yield* sql`create table goods (id integer primary key, name text unique, price real, note blob)`
        yield* sql`insert into goods values (1, 'screw', 0.1, x'00ff'), (2, 'nut', 0.2, null), (3, 'bolt', 1.5, 'ü')`
        yield* sql`create view cheap as select name from goods where price < 1`
        yield* sql`create trigger tr after insert on goods begin delete from goods where id = new.id; end`
        yield* sql`create virtual table texts using fts5(words)`
        yield* sql`insert into texts values ('one two'), ('two three')`
        yield* sql`create virtual table boxes using rtree(id, x0, x1)`
        yield* sql`insert into boxes values (1, 0, 2), (2, 1, 3)`
      })
    )
    return filename
  })

const hash = (filename: string) => createHash("sha256").update(readFileSync(filename)).digest("hex")

/** Everything of the directory: names and content. */
const picture = (filename: string) =>
  readdirSync(dirname(filename))
    .sort()
    .map((name) => [name, hash(join(dirname(filename), name))])

const usable = (sql: SqliteClient.Untrusted) =>
  Effect.map(sql.query("select name from cheap order by name"), (result) =>
    assert.deepStrictEqual(result, { columns: ["name"], rows: [["nut"], ["screw"]], truncated: false, bytes: 8 })
  )

type Attacks = Readonly<Record<string, ReadonlyArray<string>>>

const notAllowed: Attacks = {
  writes: [
    "insert into goods values (9, 'x', 1, null)",
    "insert into goods (name) values ('x') returning *",
    "with x as (select 1) insert into goods select * from goods",
    "update goods set price = 0",
    "update or ignore goods set price = 0 where id in (select id from goods) returning id",
    "delete from goods",
    "replace into goods values (1, 'x', 1, null)",
    "insert into texts(texts) values ('rebuild')",
    "insert into texts values ('x')",
    "insert into boxes values (9, 1, 2)",
    "delete from boxes_node",
    "update boxes_rowid set nodeno = 7",
    "insert into boxes_parent values (1, 2)",
    "update sqlite_schema set sql = 'x'",
    "delete from sqlite_schema",
    "explain insert into goods values (9, 'x', 1, null)"
  ],
  "changes of the schema": [
    "create table t (a)",
    "create table if not exists t as select * from goods",
    "create view v as select 1",
    "create index i on goods(price)",
    "create trigger t2 after insert on goods begin select 1; end",
    "create virtual table v using fts5(a)",
    "create virtual table temp.v using fts5vocab(main, texts, row)",
    "drop table goods",
    "drop view cheap",
    "drop trigger tr",
    "alter table goods rename to bads",
    "alter table goods add column more",
    "alter table goods drop column note",
    "reindex",
    "analyze",
    "vacuum"
  ],
  "temporary objects": [
    "create temp table t (a)",
    "create table temp.t (a)",
    "create temporary view v as select 1",
    "create temp trigger tt after insert on goods begin select 1; end"
  ],
  "other files": [
    "attach 'other.db' as other",
    "attach ':memory:' as other",
    "attach database '' as other",
    "attach 'file:other.db?mode=rwc' as other",
    "attach (select '/etc/passwd') as other",
    "detach main",
    "detach temp",
    "vacuum into 'copy.db'",
    "vacuum main into '/tmp/sluice-stolen.db'"
  ],
  transactions: [
    "begin",
    "begin immediate",
    "begin exclusive",
    "commit",
    "rollback",
    "end",
    "savepoint s",
    "release s",
    "rollback to s"
  ],
  pragmas: [
    "pragma writable_schema=on",
    "pragma query_only=off",
    "pragma query_only(0)",
    "pragma trusted_schema=on",
    "pragma journal_mode=delete",
    "pragma journal_mode",
    "pragma user_version=7",
    "pragma user_version(7)",
    "pragma main.application_id = 7",
    "pragma schema_version=7",
    "pragma cache_size=1000000000",
    "pragma temp_store=memory",
    "pragma temp_store_directory='/tmp'",
    "pragma mmap_size=1000000000000",
    "pragma page_size=512",
    "pragma synchronous=off",
    "pragma locking_mode=exclusive",
    "pragma wal_checkpoint(truncate)",
    "pragma optimize",
    "pragma incremental_vacuum",
    "pragma foreign_keys=off",
    "pragma recursive_triggers=on",
    "pragma threads=8",
    "pragma soft_heap_limit=1",
    "pragma hard_heap_limit=1",
    "pragma busy_timeout=1000000",
    "pragma case_sensitive_like=on",
    "pragma encoding='UTF-16'",
    "pragma database_list",
    "pragma integrity_check",
    "pragma data_store_directory='/tmp'",
    "pragma shrink_memory",
    "select * from pragma_database_list",
    "select * from pragma_integrity_check",
    "select * from pragma_quick_check('goods')"
  ],
  "extensions and functions that are not for strangers": [
    "select load_extension('evil')",
    "select load_extension('evil', 'init')",
    "select name from goods where load_extension(name)",
    "select (select LOAD_EXTENSION('/lib/x86_64-linux-gnu/libc.so.6'))",
    "with recursive up(n) as (select 1 union all select n + 1 from up) select percentile(n, 50) from up"
  ],
  "two statements at once": [
    "select 1; select 2",
    "select 1; drop table goods",
    "select 1;; delete from goods",
    "select 1; -- and\n/* then */ delete from goods",
    "select ';'; attach ':memory:' as other",
    "select 1; garbage"
  ]
}

/** Each asks for more than there is. */
const tooLarge: Attacks = {
  "large values": [
    "select randomblob(1000000000)",
    "select zeroblob(2000000000)",
    "select hex(zeroblob(500000000))",
    "select replace(hex(zeroblob(45000)), '0', 'xxxxxxxx')",
    "select replace(printf('%.*c', 99999, 'x'), 'x', printf('%.*c', 99999, 'y'))",
    "select group_concat(a.name, printf('%.*c', 90000, 'x')) from goods a, goods b",
    "select json_group_array(randomblob(1)||printf('%.*c', 60000, 'x')) from goods",
    "with recursive big(s) as (select 'x' union all select s || s from big) select length(s) from big",
    "with recursive big(s) as (select zeroblob(2) union all select s || s from big) select max(length(s)) from big",
    `select ${"quote(".repeat(30)}zeroblob(50000)${")".repeat(30)}`
  ],
  patterns: [
    `select 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' like '${"%a".repeat(60)}b'`,
    `select 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' glob '${"*a".repeat(60)}b'`
  ],
  "long texts": [
    `select ${"1,".repeat(10_000)}1`,
    `select '${"x".repeat(20_000)}'`,
    `/* ${"x".repeat(20_000)} */ select 1`
  ],
  "wide results": [
    `select ${Array.from({ length: 101 }, (_, i) => i).join()}`,
    `select ${Array.from({ length: 30 }, () => "g.*").join()} from goods as g`
  ]
}

/** Refused before they run, whatever the reason is called. */
const tooComplex: Attacks = {
  "deep and wide statements": [
    `select ${"-".repeat(3)}${"not ".repeat(500)}1`,
    `select ${"1 + ".repeat(1000)}1`,
    Array.from({ length: 100 }, () => "select 1").join(" union all "),
    `select max(${Array.from({ length: 100 }, (_, i) => i).join()})`,
    `select * from ${Array.from({ length: 70 }, (_, i) => `goods g${i}`).join()}`,
    `select ${"case when 1 then ".repeat(200)}1${" end".repeat(200)}`,
    "select ?500",
    `${"with a as (select 1) ".repeat(2)}select 1`,
    "select",
    "\u0000",
    "select 1;\u0000drop table goods",
    "'",
    "select * from nowhere",
    "select * from sqlite_dbpage",
    "select * from sqlite_stmt"
  ]
}

/** Each expression mentions the one before it twice. Twelve levels make 4,096 copies: a second of work at most. */
const doubling = (level: (name: string) => string, main: (name: string) => string, named = (name: string) => name) =>
  "with a0(c) as (select 1), " +
  Array.from({ length: 12 }, (_, i) => `${named(`a${i + 1}`)}(c) as (${level(`a${i}`)})`).join(", ") +
  ` ${main("a12")}`

const union = (name: string) => `select c from ${name} union all select c from ${name}`
const one = (name: string) => `select 1 from ${name}`
/** The expressions of the inner WITH have the name of the outer. */
const shadowed = (levels: number): string =>
  levels === 0 ? "select 1 as c" : `with a as (${shadowed(levels - 1)}) select x.c from a x, a y`
const small = (letter: string) => Array.from({ length: 13 }, (_, i) => `${letter}${i}(c) as (select 1)`).join(", ")
const nested = (levels: number): string =>
  levels === 0 ? "select 1 as c" : `with a${levels} as (${nested(levels - 1)}) ${union(`a${levels}`)}`

const bombs: Attacks = {
  "expressions that double": [
    doubling(union, one),
    doubling(union, one, (name) => `${name} `.toUpperCase()),
    doubling((name) => union(`"${name.toUpperCase()}"`), one),
    doubling(
      (name) => union(`[${name}]`),
      one,
      (name) => `'${name}'`
    ),
    doubling(
      (name) => union(`'${name}'`),
      one,
      (name) => `\`${name}\``
    ),
    doubling((name) => union(`/* main. */ ${name} /* . */`), one),
    doubling(union, one).replaceAll("as (", "as not materialized ("),
    doubling((name) => `select x.c from ${name} x, ${name} y limit 5`, one),
    doubling((name) => `select x.c from ${name} x join ${name} as y using (c) limit 5`, one),
    doubling((name) => `select x.c from (${name} x left join (${name}) y on 1) limit 5`, one),
    doubling((name) => `select (select max(c) from ${name}) + (select min(c) from ${name})`, one),
    doubling((name) => `select 1 in ${name} or 2 in (select c from ${name})`, one),
    doubling((name) => `with b as (select * from ${name}), d as (${union(name)}) select c from d`, one),
    doubling(union, (name) => `select 1 where exists (with z as (select * from ${name}) select * from z)`),
    `explain ${doubling(union, one)}`,
    `select 1; ${doubling(union, one)}; with a12 as (select 1) select 1 from a12`,
    nested(12),
    shadowed(12),
    // Recursion copies nothing; what stands beside it does.
    doubling((name) => `${union(name)} union all select c + 1 from a99 where c < 0`, one).replace(
      "with",
      "with recursive"
    ),
    // What would hide the names from a tokenizer that is not SQLite's.
    doubling(union, one).replaceAll("a1", "a\ufeff1").replaceAll(", ", ", \v"),
    // Two names each for SQLite, which knows the case of ASCII alone: the small one is not the other.
    `${doubling(union, () => "").replaceAll(/\ba(?=\d)/g, "É")}, ${small("é")} select 1 from É12`,
    `${doubling(union, () => "").replaceAll(/\ba(?=\d)/g, "K")}, ${small("\u212a")} select 1 from K12`,
    // A window's name is no table's, nor is a type.
    doubling((name) => `select c from ${name} union all select c from ${name} window ${name} as ()`, one),
    doubling(
      (name) => `select c from ${name} where c is not cast(1 as ${name}(1)) union all select c from ${name}`,
      one
    )
  ]
}

/** Run until somebody ends them. */
const endless: ReadonlyArray<string> = [
  spin,
  "with recursive up(n) as (select 1 union all select n + 1 from up) select n from up where n < 0",
  "with recursive up(n) as (select 1 union select n + 1 from up) select max(n) from up",
  "with recursive up(n) as (values (1) union all select n + 1 from up order by 1 desc) select sum(n) from up",
  "with d(n) as (values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) " +
    "select count(*) from d a, d b, d c, d e, d f, d g, d h, d i, d j, d k, d l, d m",
  "with recursive up(n) as (select 1 union all select n + 1 from up) select count(distinct n) from up",
  "with recursive up(n) as (select 1 union all select n + 1 from up) select n from up order by n desc limit 1",
  "with recursive up(n) as (select 1 union all select n + 1 from up) select row_number() over (order by n desc) from up",
  "with recursive up(n) as (select 1 union all select n + 1 from up) " +
    "select count(*) from up where printf('%.*c%d', 50000, 'a', n) glob '*a*a*a*a*a*a*b'",
  "with recursive r(s) as (select randomblob(1000) union all select randomblob(50000) from r) select max(s) from r"
]

const table = (attacks: Attacks, expected: (failure: SqlFailure.SqlFailure, text: string) => void) => {
  for (const [name, texts] of Object.entries(attacks)) {
    it.scopedLive(name, () =>
      Effect.gen(function* () {
        const filename = yield* shop()
        const before = picture(filename)
        const sql = yield* openUntrusted(filename)
        for (const text of texts) {
          expected(yield* reasonOf(sql.query(text)), text)
          // The other ways to run it are no way around.
          expected(yield* reasonOf(sql.unsafe(text)), text)
          expected(yield* reasonOf(Stream.runDrain(sql.unsafe(text).stream)), text)
        }
        yield* usable(sql)
        assert.deepStrictEqual(picture(filename), before)
      })
    )
  }
}

describe("hostile statements", () => {
  describe("are not authorized", () =>
    table(notAllowed, (failure, text) =>
      assert.strictEqual(failure.reason, "Authorization", `${text}: ${failure.message}`)
    ))

  describe("are too large", () =>
    table(tooLarge, (failure, text) =>
      assert.strictEqual(failure.reason, "InvalidParameter", `${text.slice(0, 80)}: ${failure.message}`)
    ))

  describe("grow while they are prepared", () =>
    table(bombs, (failure, text) => {
      assert.strictEqual(failure.reason, "InvalidParameter", `${text.slice(0, 120)}: ${failure.message}`)
      assert.include(failure.message, "common table expressions", text.slice(0, 120))
    }))

  describe("do not compile", () =>
    table(tooComplex, (failure, text) =>
      assert.include(
        ["SqlSyntax", "Authorization", "InvalidParameter", "Unknown"],
        failure.reason,
        `${text.slice(0, 80)}: ${failure.message}`
      )
    ))

  it.scopedLive("those without end meet the deadline, and memory stays bounded", () =>
    Effect.gen(function* () {
      const filename = yield* shop()
      const before = picture(filename)
      const sql = yield* openUntrusted(filename, { deadline: "400 millis" })
      yield* usable(sql)
      const memory = process.memoryUsage().rss
      for (const text of endless) {
        const failure = yield* reasonOf(sql.query(text))
        assert.strictEqual(failure.reason, "StatementTimeout", text)
        yield* usable(sql)
      }
      // Sorters and tables of recursion spill to files that have no name; what stays is a few megabytes.
      assert.isBelow(process.memoryUsage().rss - memory, 300_000_000)
      assert.deepStrictEqual(picture(filename), before)
    })
  )

  it.scopedLive("functions whose time grows with the product of two lengths end at once", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop(), { deadline: "1 second", progressSteps: 1_000_000 })
      const text = (bytes: number, character = "a") => `replace(hex(zeroblob(${bytes / 2})), '0', '${character}')`
      const keys = `'{' || (with recursive up(n) as (select 1 union all select n + 1 from up limit 8000)
        select group_concat('"k' || n || '":1') from up) || '}'`
      const calls = {
        trim: `length(trim(${text(96_000)}, ${text(4_000, "b")} || 'a'))`,
        ltrim: `length(ltrim(${text(96_000)}, ${text(4_000, "b")} || 'a'))`,
        rtrim: `length(rtrim(${text(96_000)}, ${text(4_000, "b")} || 'a'))`,
        unhex: `length(unhex(${text(96_000, "x")}, ${text(90_000, "y")} || 'x'))`,
        instr: `instr(${text(96_000)}, ${text(48_000)} || 'b')`,
        replace: `length(replace(${text(96_000)}, ${text(48_000)} || 'b', ''))`,
        json_patch: `length(json_patch(${keys}, ${keys}))`,
        jsonb_patch: `length(jsonb_patch(${keys}, ${keys}))`
      }
      for (const [name, call] of Object.entries(calls)) {
        const failure = yield* reasonOf(sql.query(`select ${call}`))
        assert.strictEqual(failure.reason, "InvalidParameter", name)
        assert.include(failure.message, `the second argument of ${name}() is longer than`)
      }
      // Gigabytes of indentation.
      assert.strictEqual((yield* reasonOf(sql.query("select json_pretty('[1]')"))).reason, "Authorization")
      // What is within the bounds is a tenth of a second for each call: the deadline is looked at between them.
      const one = "length(trim(x, y))"
      const many = `select ${Array.from({ length: 90 }, () => one).join("+")} from
        (select ${text(99_000)} as x, ${text(98, "b")} || 'a' as y)`
      const failure = yield* reasonOf(
        sql.query(`${many}, (select 1 union all select 2), (select 1 union all select 2)`)
      )
      assert.strictEqual(failure.reason, "StatementTimeout")
      yield* usable(sql)
    })
  )

  it.scopedLive("they answer as SQLite's own", () =>
    Effect.gen(function* () {
      const filename = yield* shop()
      const [sql, own] = [yield* openUntrusted(filename), yield* open("native", { filename, readonly: true })]
      const calls = [
        ...["trim", "ltrim", "rtrim"].flatMap((name) => [
          `${name}('xxüxyx', 'xü')`,
          `${name}(null, 'x')`,
          `${name}(' a ', null)`,
          `${name}(121, 1)`,
          `${name}(x'616263', 'a')`,
          `${name}(' a ')`
        ]),
        ...["instr('aüb', 'b')", "instr(x'00ff01', x'01')", "instr('a', null)", "instr(1234, 3)"],
        ...["replace('aba', 'a', 'üü')", "replace('aba', '', 'c')", "replace(12, 1, 2)", "replace('a', 'a', null)"],
        ...["hex(unhex('61-62', '-'))", "unhex('6', '')", "hex(replace(x'6100', x'00', 'b'))"],
        ...[`json_patch('{"a":1}', '{"b":2}')`, `json_array(json_patch('{"a":1}', '{"a":null}'))`],
        ...["typeof(jsonb_patch('{}', '{}'))", "(select group_concat(trim(name, 's')) from goods)"]
      ]
      for (const call of calls) {
        const text = `select ${call} as a, typeof(${call}) as b`
        const wanted = yield* own.unsafe<{ a: unknown; b: unknown }>(text)
        assert.deepStrictEqual((yield* sql.query(text)).rows, [[wanted[0]!.a, wanted[0]!.b]], call)
      }
      assert.include((yield* reasonOf(sql.query("select json_patch('{', '{}')"))).message, "malformed JSON")
      assert.include(
        (yield* reasonOf(sql.query("select replace(hex(zeroblob(40000)), '0', '000')"))).message,
        "string or blob too big"
      )
    })
  )

  it.scopedLive("what cannot be stopped is left to a few sessions at most", () =>
    Effect.gen(function* () {
      const [filename, end] = [yield* shop(), yield* tempFile]
      const sql = yield* openUntrusted(filename, { deadline: "50 millis", grace: "20 millis" })
      yield* sql.workerModule(stuckWhile, { functions: ["stuck"] })
      writeFileSync(end, "")
      const reasons = new Set<string>()
      for (let i = 0; i < 50 && !reasons.has("PoolTimeout"); i++) {
        reasons.add((yield* reasonOf(sql.query("select stuck(?)", [end]))).reason)
      }
      assert.isTrue(reasons.has("PoolTimeout"), [...reasons].join())
      rmSync(end)
      yield* Effect.retry(sql.query("select 1"), { schedule: Schedule.spaced("20 millis"), times: 500 })
    })
  )

  it.scopedLive("subqueries whose columns double are copied nowhere, in views neither", () =>
    Effect.gen(function* () {
      const levels = 18
      const filename = yield* tempFile
      const nest = (level: (inner: string) => string) => {
        let text = "select a as x from ones"
        for (let i = 0; i < levels; i++) text = level(text)
        return text
      }
      const double = nest((inner) => `select x+x as x from (${inner})`)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* open("native", { filename })
          yield* sql`create table ones (a, id integer primary key)`
          yield* sql`insert into ones (a) values (1)`
          yield* sql`create view v0 as select a as x from ones`
          for (let i = 1; i <= levels; i++) yield* sql.unsafe(`create view v${i} as select x+x as x from v${i - 1}`)
          const generated = Array.from({ length: levels }, (_, i) => `g${i + 1} as (g${i}+g${i})`)
          yield* sql.unsafe(`create table generated (g0, ${generated.join()})`)
        })
      )
      const sql = yield* openUntrusted(filename, { deadline: "1 minute" })
      yield* sql.query("select 1")
      const memory = process.memoryUsage().rss
      const cte = Array.from({ length: levels }, (_, i) => `c${i + 1} as (select x+x as x from c${i})`).join()
      for (const text of [
        double,
        `${double} where x > 0`,
        `${double} order by x+x`,
        `select x from (${double}) group by x having x+x > 0`,
        nest((inner) => `select x+x as x from (${inner}) where x+x > 0`),
        nest((inner) => `select distinct x+x as x from (${inner}) where x+x > 0`),
        nest((inner) => `select x+x as x from (${inner}) order by x+x`),
        nest((inner) => `select x+x as x from (${inner} union all select 0 from ones where 0)`),
        `${nest((inner) => `select x+x as x from (${inner} union select 1 from ones) where x > 0`)} order by x desc limit 1`,
        nest((inner) => `select x+x as x from (${inner}), ones`),
        nest((inner) => `select p.x+p.x as x from ones left join (${inner}) p on p.x+p.x > 0`),
        nest((inner) => `select (select x+x) as x from (${inner})`),
        nest((inner) => `select x+x as x from (${inner}) p where exists (select 1 from ones where id <= x+x)`),
        `with c0 as (select a as x from ones), ${cte} select x from c${levels}`,
        `select x from v${levels}`,
        `select x from v${levels} where x+x > 0`
      ]) {
        assert.deepStrictEqual((yield* sql.query(text)).rows, [[2 ** levels]], text.slice(-100))
      }
      // SQLite copies these, but into the program, which is bounded.
      assert.isTrue(Exit.isFailure(yield* Effect.exit(sql.query(`select g${levels} from generated`))))
      assert.isBelow(process.memoryUsage().rss - memory, 300_000_000)
    })
  )

  it.scopedLive("many constants of the greatest length stay within some megabytes", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop())
      yield* usable(sql)
      const memory = process.memoryUsage().rss
      const constants = Array.from({ length: 350 }, (_, i) => `printf('%.99999c',${i})`)
      const sum = (terms: ReadonlyArray<string>): string =>
        terms.length === 1
          ? `length(${terms[0]})`
          : `(${sum(terms.slice(0, terms.length / 2))}+${sum(terms.slice(terms.length / 2))})`
      yield* Effect.exit(sql.query(`select ${sum(constants)}`))
      yield* Effect.exit(sql.query(`select 1 where 'x' in (${constants.slice(0, 300).join()})`))
      assert.isBelow(process.memoryUsage().rss - memory, 300_000_000)
      yield* usable(sql)
    })
  )
})

describe("untrusted", () => {
  it.scopedLive("reads tables, views, virtual tables and the schema, with parameters", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop())
      yield* usable(sql)
      assert.deepStrictEqual(yield* sql.query("select id, id, price from goods where name = ?", ["bolt"]), {
        columns: ["id", "id", "price"],
        rows: [[3, 3, 1.5]],
        truncated: false,
        bytes: 24
      })
      const rows = (text: string) => Effect.map(sql.query(text), (result) => result.rows)
      assert.deepStrictEqual(yield* rows("select words from texts where texts match 'three'"), [["two three"]])
      assert.deepStrictEqual(yield* rows("select id from boxes where x1 > 2.5"), [[2]])
      assert.deepStrictEqual(yield* rows("select count(*) from sqlite_schema where type = 'trigger'"), [[1]])
      assert.strictEqual((yield* rows("pragma table_info(goods)")).length, 4)
      assert.strictEqual((yield* rows("select * from pragma_table_xinfo('goods')")).length, 4)
      assert.strictEqual((yield* rows("pragma user_version")).length, 1)
      assert.isAbove((yield* rows("explain query plan select * from goods")).length, 0)
      assert.deepStrictEqual(yield* rows("select trim(' a '), upper('b'), json_extract('[1,2]', '$[1]')"), [
        ["a", "B", 2]
      ])
      assert.deepStrictEqual(yield* rows(" -- nothing"), [])
      assert.deepStrictEqual(yield* sql`select note from goods where id = ${1}`, [{ note: new Uint8Array([0, 255]) }])
    })
  )

  it.scopedLive("a bound that is none is refused, instead of bounding nothing", () =>
    Effect.gen(function* () {
      const filename = yield* shop()
      const wrong: ReadonlyArray<Config> = [
        { maxRows: NaN },
        { maxRows: -1 },
        { maxBytes: "many" as never },
        { maxExpandedText: NaN },
        { deadline: "soon" as never },
        { deadline: -1 }
      ]
      for (const config of wrong) {
        assert.strictEqual((yield* reasonOf(openUntrusted(filename, config))).reason, "InvalidParameter")
      }
      const sql = yield* openUntrusted(filename, { maxRows: Infinity })
      assert.isFalse((yield* sql.query("select 1")).truncated)
    })
  )

  it.scopedLive("a result is cut at the row cap, and says so; one that just fits does not", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop(), { maxRows: 10 })
      for (const count of [0, 1, 9, 10, 11, 1000]) {
        const { rows, truncated } = yield* sql.query(
          `select n from (${countTo(Math.max(1, count))}) where n <= ${count}`
        )
        assert.deepStrictEqual([rows.length, truncated], [Math.min(count, 10), count > 10 ? "rows" : false])
      }
      // What has no room for such a word fails instead.
      const failure = yield* reasonOf(sql.unsafe(countTo(12)))
      assert.strictEqual(failure.reason, "InvalidParameter")
      assert.include(failure.message, "more than")
      assert.strictEqual((yield* sql.unsafe(countTo(10))).length, 10)
    })
  )

  it.scopedLive("the default caps: a thousand rows of an endless result, a megabyte of values", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop())
      const endlessRows = "with recursive up(n) as (select 1 union all select n + 1 from up) select n from up"
      const many = yield* sql.query(endlessRows)
      assert.deepStrictEqual([many.rows.length, many.truncated, many.bytes], [1000, "rows", 8000])
      const large = yield* sql.query(`select printf('%.*c', 40000, 'é') as s from (${countTo(500)})`)
      assert.deepStrictEqual([large.rows.length, large.truncated, large.bytes], [12, "bytes", 960_000])
      const wide = Array.from({ length: 100 }, () => "zeroblob(99999)").join()
      assert.deepStrictEqual((yield* reasonOf(sql.query(`select ${wide}`))).reason, "InvalidParameter")
      // SQLite's own answer to a text that printf cannot make.
      assert.deepStrictEqual((yield* sql.query("select printf('%.*c', 1000000000, 'x')")).rows, [[null]])
      yield* usable(sql)
    })
  )

  it.scopedLive("the byte cap cuts between rows", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop(), { maxBytes: 100 })
      const { bytes, rows, truncated } = yield* sql.query(`select 'twelve bytes' as s, null from (${countTo(20)})`)
      assert.deepStrictEqual([rows.length, bytes, truncated], [7, 91, "bytes"])
      assert.deepStrictEqual((yield* sql.query("select zeroblob(100)")).truncated, false)
      const none = yield* sql.query("select zeroblob(101)")
      assert.deepStrictEqual([none.rows, none.truncated, none.bytes], [[], "bytes", 0])
    })
  )

  it.scopedLive("common table expressions, as programs write them", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop())
      const rows = (text: string) => Effect.map(sql.query(text), (result) => result.rows)
      assert.deepStrictEqual(
        yield* rows(
          "with total as (select sum(price) as total from goods), share as (select g.name, g.price / total.total as share, " +
            "total.total from goods g, total order by g.price, total.total), " +
            "best as (select share.name, share.share, total.total, total.total as again from share, total " +
            "where share.share = (select max(share.share) from share)) select best.name, best.again > 1 from best"
        ),
        [["bolt", 1]]
      )
      assert.deepStrictEqual(
        yield* rows(
          "with recursive up(n) as (select 1 union all select n + 1 from up where n < 100), " +
            "tree(n, depth) as (select n, 0 from up where n = 1 union all select up.n, tree.depth + 1 from tree " +
            "join up on up.n in (2 * tree.n, 2 * tree.n + 1)) select count(*), max(depth) from tree"
        ),
        [[100, 6]]
      )
      // Twenty levels of one mention each, and one that is mentioned twenty times.
      const chain = Array.from({ length: 20 }, (_, i) => `a${i + 1} as (select c + 1 as c from a${i})`).join(", ")
      assert.deepStrictEqual(yield* rows(`with a0(c) as (select 1), ${chain} select c from a20`), [[21]])
      const often = Array.from({ length: 20 }, () => "select c from a").join(" union all ")
      assert.deepStrictEqual(yield* rows(`with a(c) as (select 1) select sum(c) from (${often})`), [[20]])
      assert.deepStrictEqual(yield* rows(shadowed(3)), [[1]])
      const names = "with a as (select 1 as b), b as (select 2 as a) select a.b, b.a from a, b"
      assert.deepStrictEqual(yield* rows(names), [[1, 2]])
      const tight = yield* openUntrusted(yield* shop(), { maxExpandedText: 100 })
      const twice = "with a as (select 1 as c) select x.c from a x, a y"
      assert.deepStrictEqual((yield* tight.query(twice)).rows, [[1]])
      const failure = yield* reasonOf(tight.query(`${twice}, a z, a u, a v`))
      assert.strictEqual(failure.reason, "InvalidParameter")
    })
  )

  it.scopedLive("views count as what they stand for, whoever makes them and whatever an authorizer hides", () =>
    Effect.gen(function* () {
      const filename = yield* shop(false)
      const sql = yield* openUntrusted(filename)
      const writer = yield* open("native", { filename })
      const fat = Array.from({ length: 2_000 }, (_, i) => i).join()
      yield* writer.unsafe(`create view "the v" as select id as c from goods where id in (${fat})`)
      yield* writer.unsafe(`create view v0(c) as with v1 as (select c from 'The V') select c from v1`)
      for (let i = 1; i <= 12; i++) {
        yield* writer.unsafe(`create view v${i} as select x.c from v${i - 1} x, "V${i - 1}" y where x.c = y.c`)
      }
      yield* writer.unsafe("create view round as select * from and_round")
      yield* writer.unsafe("create view and_round as select * from round")
      const check = Effect.gen(function* () {
        yield* usable(sql)
        assert.deepStrictEqual((yield* sql.query("select count(*) from v3")).rows, [[3]])
        // A common table expression is not the view of that name.
        assert.deepStrictEqual((yield* sql.query("with v12 as (select 7 as c) select c from v12")).rows, [[7]])
        for (const name of ["v12", "main.v12", "[V12]", "(v12)", "goods, v12", "round"]) {
          const failure = yield* reasonOf(sql.query(`select 1 from ${name}`))
          assert.strictEqual(failure.reason, "InvalidParameter", name)
        }
        assert.strictEqual((yield* reasonOf(sql.query("select 1 in v12"))).reason, "InvalidParameter")
      })
      yield* check
      yield* sql.authorizer(({ action, first }) =>
        Effect.succeed(action === 20 && first === "sqlite_master" ? "deny" : "ok")
      )
      assert.strictEqual((yield* reasonOf(sql.query("select name from sqlite_schema"))).reason, "Authorization")
      yield* check
      yield* writer.unsafe("drop view v12; create view v12 as select 8 as c")
      assert.deepStrictEqual((yield* sql.query("select c from v12")).rows, [[8]])
    })
  )

  it.scopedLive("a long text is measured in no time", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop(), { maxText: 2_000_000 })
      const count = 10_000
      const texts = [
        `${"(".repeat(count)}from a`.repeat(2),
        "with a as (select * from a, ".repeat(count),
        `with ${Array.from({ length: count }, (_, i) => `a${i} as (select 1 from a${i + 1}, a${i + 2})`).join()} select 1 from a`
      ]
      for (const text of texts) {
        const started = performance.now()
        yield* Effect.exit(sql.query(text))
        assert.isBelow(performance.now() - started, 4_000, text.slice(0, 40))
      }
      yield* usable(sql)
    })
  )

  it.scopedLive("bounds are configured; the program's own deadline only tightens", () =>
    Effect.gen(function* () {
      const filename = yield* shop()
      const sql = yield* openUntrusted(filename, {
        maxText: 100,
        maxColumns: 2,
        limits: { length: 1000, functionArgs: 2 }
      })
      for (const text of [`select 1 ${" ".repeat(100)}`, "select 1, 2, 3", "select zeroblob(1001)"]) {
        assert.strictEqual((yield* reasonOf(sql.query(text))).reason, "InvalidParameter")
      }
      assert.strictEqual((yield* reasonOf(sql.query("select max(1, 2, 3)"))).reason, "SqlSyntax")
      const started = performance.now()
      const late = yield* reasonOf(sql.query(spin).pipe(SqlClient.withDeadline("200 millis")))
      assert.strictEqual(late.reason, "StatementTimeout")
      assert.isBelow(performance.now() - started, 10_000)
      yield* usable(sql)
    })
  )

  it.scopedLive("an interrupt ends a query, and a query that waits for another has the deadline, too", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop(), { deadline: "1 second" })
      const [first, second] = [yield* Effect.fork(sql.query(spin)), yield* Effect.fork(sql.query(spin))]
      yield* Effect.sleep(100)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(first)))
      assert.strictEqual((yield* reasonOf(Fiber.join(second))).reason, "StatementTimeout")
      yield* usable(sql)
    })
  )

  it.scopedLive("beside a writer in WAL mode: sees its commits, blocks it never, and changes nothing", () =>
    Effect.gen(function* () {
      const filename = yield* shop(false)
      const writer = yield* open("native", { filename })
      const sql = yield* openUntrusted(filename, { deadline: "2 seconds" })
      const running = yield* Effect.fork(sql.query(spin))
      yield* writer`insert into boxes values (3, 5, 6)`
      assert.strictEqual((yield* reasonOf(Fiber.join(running))).reason, "StatementTimeout")
      assert.deepStrictEqual((yield* sql.query("select count(*) from boxes")).rows, [[3]])
      assert.strictEqual((yield* reasonOf(sql.query("delete from goods"))).reason, "Authorization")
      assert.deepStrictEqual(yield* writer`pragma integrity_check`, [{ integrity_check: "ok" }])
    })
  )

  it.scopedLive("functions of the program can be called, its authorizer narrows further", () =>
    Effect.gen(function* () {
      const sql = yield* openUntrusted(yield* shop())
      yield* sql.function("shout", (text) => Effect.succeed(`${String(text).toUpperCase()}!`))
      assert.deepStrictEqual((yield* sql.query("select shout('nut')")).rows, [["NUT!"]])
      const { remove } = yield* sql.authorizer(({ action, second }) =>
        Effect.succeed(action === 20 && second === "price" ? "ignore" : "ok")
      )
      assert.deepStrictEqual((yield* sql.query("select price from goods")).rows, [[null], [null], [null]])
      assert.strictEqual((yield* reasonOf(sql.query("delete from goods"))).reason, "Authorization")
      yield* remove
      assert.strictEqual((yield* reasonOf(sql.query("drop table goods"))).reason, "Authorization")
    })
  )

  it.scopedLive("attachments and statements of the configuration come before the rules", () =>
    Effect.gen(function* () {
      const [filename, archive] = [yield* shop(), yield* shop()]
      const sql = yield* openUntrusted(filename, {
        attach: { archive },
        onOpen: ["create temp view v as select 7 as n"]
      })
      assert.deepStrictEqual((yield* sql.query("select name from archive.cheap")).rows.length, 2)
      assert.deepStrictEqual((yield* sql.query("select n from v")).rows, [[7]])
      for (const text of ["detach archive", "attach ':memory:' as more", "delete from archive.goods"]) {
        assert.strictEqual((yield* reasonOf(sql.query(text))).reason, "Authorization")
      }
      for (const wrong of [{ pragmas: { cache_sise: 100 } }, { limits: { length: 1000, bogus: 1 } }]) {
        const failure = yield* reasonOf(Effect.scoped(openUntrusted(filename, wrong)))
        assert.strictEqual(failure.reason, "InvalidParameter")
      }
    })
  )

  it.scopedLive("every session of the client is bound: readers, and one that takes the place of a lost one", () =>
    Effect.gen(function* () {
      const filename = yield* shop(false)
      yield* open("native", { filename })
      const sql = yield* openUntrusted(filename, { readers: 2 })
      for (let i = 0; i < 3; i++) {
        yield* sql`select name from cheap`
        assert.strictEqual((yield* reasonOf(sql`pragma query_only=off`)).reason, "Authorization")
        assert.strictEqual((yield* reasonOf(sql`delete from goods`)).reason, "Authorization")
      }
      assert.strictEqual((yield* Stream.runCollect(sql`select name from cheap`.stream)).length, 2)
    })
  )

  it.scopedLive("a file that is not there is not made; the portable engine is refused", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      assert.strictEqual((yield* reasonOf(Effect.scoped(openUntrusted(filename)))).reason, "Connection")
      assert.deepStrictEqual(readdirSync(dirname(filename)), [])
      assert.include(engines, "portable")
      const failure = yield* reasonOf(Effect.scoped(openUntrusted(yield* shop(), { engine: "portable" })))
      assert.strictEqual(failure.reason, "Unsupported")
      assert.include(failure.message, "native engine")
    })
  )
})
