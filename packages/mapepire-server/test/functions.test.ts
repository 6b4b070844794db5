/** Functions: those of Db2 that are known, and SQLite's own, which are not. */
import { assert, describe, expect, it } from "@effect/vitest"
import { SqliteTransport } from "@sluice/sqlite"
import { SqlTransport } from "@sluice/sql"
import { Effect } from "effect"
import { isRefused } from "../src/internal/db2/functions.js"
import { connected, serve } from "./support.js"

/** Those of SQLite that programs for Db2 may call, some with so many arguments only. */
const known = (
  "ABS ACOS ASIN ATAN ATANH AVG CEIL CEILING CHAR COALESCE CONCAT COS COSH COUNT CUME_DIST DATE DEGREES DENSE_RANK EXP " +
  "FIRST_VALUE FLOOR HEX IFNULL LAG LAST_VALUE LEAD LENGTH LN LOG LOG10 LOWER LTRIM MAX MEDIAN MIN MOD NTH_VALUE NTILE " +
  "NULLIF OCTET_LENGTH PERCENTILE_CONT PERCENTILE_DISC PERCENT_RANK PI POW POWER RADIANS RANK REPLACE ROUND ROW_NUMBER " +
  "RTRIM SIGN SIN SINH SOUNDEX SQRT SUBSTR SUBSTRING SUM TAN TANH TIME TRIM TRUNC UPPER"
).split(" ")

describe("SQLite's functions", () => {
  it.scoped("are known by name, or refused, all of them", () =>
    Effect.gen(function* () {
      const session = yield* SqliteTransport.make({ filename: ":memory:" }).connect({
        access: "write",
        use: "statement"
      })
      const text =
        "select distinct upper(name) from pragma_function_list where builtin and name not like '->%' and name not like 'current%'"
      const page = yield* session.run(SqlTransport.request(text, { shape: "arrays", prefetch: 1_000 }))
      const names = page.arrays().map(([name]) => String(name))
      const taken = names.filter((name) => [0, 1, 2, 3].some((count) => !isRefused(name, count)))
      assert.isAbove(names.length, 100)
      assert.deepStrictEqual(
        taken.filter((name) => !known.includes(name)),
        []
      )
      // One that a program has added to SQLite is no matter of the server's.
      assert.isFalse(isRefused("SLUG", 1))
    })
  )

  it.scopedLive("have no routine in Db2, nor have Db2's with other arguments", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const call of [
        "changes()",
        "unicode(deptno)",
        "random()",
        "like('A%', deptno)",
        "date('2024-01-01', '+1 day')",
        "date()",
        "total(1)",
        "instr(deptno, 'A')",
        "json_array(1)",
        "atan2(1, 2)",
        "trim(deptno, 'A')",
        "concat(deptno)",
        "char(65, 66, 67)",
        "char(deptno, usa)",
        "case when not like('A%', deptno) then 1 end",
        "sqlite_version()"
      ]) {
        const answer = yield* client.sql(`select ${call} from department`)
        expect([call, answer.success, [-440, -204].includes(answer.sql_rc)]).toEqual([call, false, true])
      }
      expect((yield* client.sql("select 1 from department where random() > 0")).sql_state).toBe("42884")
      expect((yield* client.sql("create table r (a int, b int default (random()))")).sql_state).toBe("42884")
      expect((yield* client.sql("create view r as select changes() as n from department")).sql_state).toBe("42884")
      expect((yield* client.sql("select * from generate_series(1, 3)")).sql_state).toBe("42884")
    })
  )

  it.scopedLive("may share their names with tables, columns and predicates", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const sql of [
        "create table changes (total int not null primary key, random int, date date, quote varchar(3))",
        "insert into changes (total, random) values (1, 2)",
        "create unique index format on changes (random)",
        "create table likely (n int not null primary key, foreign key (n) references changes (total))",
        "with random(n) as (values 1), total (n) as (select n from random) select n from total",
        "select quote, total, date from changes where quote not like ('A%') or not quote like ('B%')",
        "select t.n from (values 1) as unicode(n), (values (1)) t(n)",
        "select total from final table (insert into changes (total) values (5))"
      ]) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
    })
  )
})

describe("CHAR, VARCHAR, CONCAT and casts to texts", () => {
  it.scopedLive("make texts as Db2 does", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const cases: ReadonlyArray<readonly [string, unknown, string?]> = [
        ["char(deptno)", "A10"],
        ["char(deptno, 2)", "A1", "CHAR"],
        ["char('abc')", "abc", "CHAR"],
        ["char(65)", "65", "CHAR"],
        ["char(date '2024-06-15')", "2024-06-15", "CHAR"],
        ["varchar(12)", "12", "VARCHAR"],
        ["varchar(deptname, 4)", "HEAD", "VARCHAR"],
        ["upper(char(lower(deptno)))", "A10"],
        ["char(deptno) concat char(1)", "A101"],
        ["concat(deptno, 'x')", "A10x"],
        ["concat(deptno, cast(null as varchar(3)))", null],
        ["concat(concat('a', 'b'), 'c') || 'd'", "abcd"],
        ["cast(deptname as char(3))", "HEA", "CHAR"],
        ["cast('abcdef' as varchar(3))", "abc", "VARCHAR"],
        ["length(cast(deptno as char(9)))", 3]
      ]
      for (const [call, value, type] of cases) {
        const answer = yield* client.sql(`select ${call} from department where deptno = 'A10'`)
        expect([call, answer.error, answer.data]).toEqual([call, undefined, [[value]]])
        if (type !== undefined) {
          expect([call, answer.metadata.columns[0].type]).toEqual([call, type])
        }
      }
      expect((yield* client.sql("values char(65), varchar('x')")).data).toEqual([["65"], ["x"]])
      for (const value of ["12.50", "cast(1 as decimal(9, 2))", "1e3"]) {
        const answer = yield* client.sql(`values char(${value})`)
        expect([value, answer.sql_rc, answer.error]).toEqual([value, -84, expect.stringMatching(/CHAR of numbers/)])
      }
    })
  )
})

describe("types that Db2 has not", () => {
  it.scopedLive("are refused, and VARCHAR without a length", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const type of ["text", "varchar", "varchar ccsid 1208", "char varying", "int8", "bool", "datetime", "foo"]) {
        expect([type, (yield* client.sql(`create table t (a ${type})`)).sql_rc]).toEqual([type, -104])
      }
      expect((yield* client.sql("alter table department add column note text")).sql_rc).toBe(-104)
      for (const type of ["text", "foo", "bool"]) {
        expect([type, (yield* client.sql(`values cast('1' as ${type})`)).sql_rc]).toEqual([type, -104])
      }
      const all =
        "a char, b clob, c decimal, d varchar(9) ccsid 1208, e blob, f character varying (5), g num(5), h timestamp"
      expect((yield* client.sql(`create table t (${all})`)).error).toBeUndefined()
    })
  )
})
