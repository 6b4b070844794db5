/** Statements that SQLite would take in a sense of its own, and what becomes of them. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, serve } from "./support.js"

const invalid = [-104, "42601"] as const
const unsupported = [-84, "42612"] as const
const ungrouped = [-122, "42803"] as const
const noColumn = [-206, "42703"] as const

describe("what SQLite takes otherwise", () => {
  it.scopedLive("is refused as Db2 does, or by name where Db2 takes it", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql("create table t (a integer not null, b varchar(10))")
      for (const [[code, state], ...statements] of [
        [
          invalid,
          "select deptno from department join employee",
          "select deptno from department natural join employee",
          "select deptno from department left join employee where deptno = 'A10'",
          "select deptno from department where location is 'HARBOUR'",
          "select deptno from department where location isnull",
          "select deptno from department where location notnull",
          "select deptno collate nocase from department",
          "select deptno from department indexed by x",
          "select deptno from department where deptno regexp 'A'",
          "select count(*) filter (where 1 = 1) from department",
          "select 'a' 'b' from department",
          "select deptno as 'b' from department",
          "select 0x10 from department",
          "select 1_000 from department",
          "insert into t default values",
          "insert into t as x values (1, 'x')",
          "update t set b = 'x' from department where a = 1",
          "select a from final table (delete from t)",
          "select a from old table (insert into t (a) values (1))",
          "create temporary table u (a integer)",
          "create global temporary table u (a integer)",
          "alter table t rename to u",
          "rename table t u"
        ],
        [
          unsupported,
          "select b from old table (update t set b = 'x')",
          "select * from department d left exception join employee e on e.workdept = d.deptno",
          "select * from department d, lateral (select 1 from employee e where e.workdept = d.deptno) x",
          "select * from table(qsys2.object_statistics('SAMPLE', '*ALL')) x",
          "select workdept, count(*) from employee group by grouping sets (workdept, ())",
          "select workdept, count(*) from employee group by rollup(workdept)",
          "select deptno from department connect by prior deptno = admrdept",
          "values 1 into ?",
          "select deptno into ? from department",
          "update t set b = default",
          "prepare s from 'select 1'",
          "execute immediate 'select 1'",
          "signal sqlstate '75000'",
          "rename index x to y"
        ],
        [
          ungrouped,
          "select workdept, count(*) from employee",
          "select e.workdept as d, max(e.salary) + 1 from employee e",
          "select workdept, firstnme from employee group by workdept",
          "select lastname, count(*) from employee group by workdept having count(*) > 1 order by 1"
        ],
        [
          noColumn,
          "select deptno as d from department where d = 'A10'",
          "select deptno d, deptname as n from department where deptno = 'A10' and upper(n) = 'X'",
          "select count(*) as n from employee having n > 1"
        ],
        [[-121, "42701"], "insert into t (a, a) values (1, 2)"],
        [[-204, "42704"], "values next value for s", "select nextval for sample.s from department"]
      ] as const) {
        for (const sql of statements) {
          const answer = yield* client.run(sql, sql.includes("?") ? ["x"] : [])
          expect([sql, answer.sql_rc, answer.sql_state]).toEqual([sql, code, state])
        }
      }
      expect((yield* client.sql("select * from t")).data).toEqual([])
    })
  )

  it.scopedLive("is nothing else that looks like it", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "libraries=SAMPLE")
      for (const [sql, rows] of [
        ["select deptno from department where deptno like 'a%'", []],
        ["select deptno from department where deptname like 'FUTURE%'", [["E50"]]],
        ["select deptno from department cross join employee where empno = '000100' and deptno = 'A10'", [["A10"]]],
        [
          "select e.empno from employee e join (department d join project p on p.deptno = d.deptno) on d.deptno = e.workdept where p.projno = 'PLN001' order by 1",
          [["000200"], ["000210"]]
        ],
        ["select min(deptno), max(location) from department where location is not null", [["A10", "OLD MILL"]]],
        ["select workdept as d, count(*) from employee group by workdept having count(*) > 3", [["D40", 4]]],
        [
          "select e.workdept, count(*) as n from employee as e group by e.workdept order by n desc, 1 fetch first row only",
          [["D40", 4]]
        ],
        [
          "select (select d.deptname from department d where d.deptno = 'A10'), count(*) from employee",
          [["HEAD OFFICE", 11]]
        ],
        ["select current schema, count(*) from employee", [["SAMPLE", 11]]],
        ["select deptno, count(*) over (partition by admrdept) from department where deptno = 'A10'", [["A10", 1]]],
        ["select deptno as location from department where location = 'OLD MILL' order by 1", [["C30"], ["C31"]]],
        ["select deptno from department where deptno = 'A10' with rs use and keep exclusive locks", [["A10"]]],
        ["select deptno from department where deptno = 'A10' optimize for 10 rows for fetch only with ur", [["A10"]]],
        ["select deptno from department where deptno = 'A10' optimize for all rows", [["A10"]]]
      ] as const) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.error, answer.data]).toEqual([sql, undefined, rows])
      }
    })
  )
})

describe("an INSERT", () => {
  it.scopedLive("takes a query in parentheses, or without", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql("create table t (a integer not null, b varchar(36))")
      for (const sql of [
        "insert into t (a) (select 1 from sysibm.sysdummy1)",
        "insert into t (select 2, deptname from department where deptno = 'A10')",
        "insert into t (a, b) (with x(n) as (values 3) select n, 'x' from x)",
        "insert into t select 4, 'y' from sysibm.sysdummy1",
        "insert into t (a) with x(n) as (values 5) select n from x",
        "insert into t (a) values ((select 6 from sysibm.sysdummy1))"
      ]) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.error, answer.update_count]).toEqual([sql, undefined, 1])
      }
      const final = yield* client.run(
        "select a, b from final table (insert into t (a, b) (select 7, deptno from department where deptno = ?))",
        ["A10"]
      )
      expect([final.error, final.data]).toEqual([undefined, [[7, "A10"]]])
      expect((yield* client.sql("select a from t order by a")).data).toEqual([[1], [2], [3], [4], [5], [6], [7]])
    })
  )
})

describe("DEFAULT in an INSERT without a list of columns", () => {
  it.scopedLive("is NULL or the next number, and refused where it would be anything else", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(
        "create table t (id integer generated always as identity, a integer, b varchar(9) not null with default 'x')"
      )
      expect((yield* client.sql("insert into t values (default, default, 'y')")).error).toBeUndefined()
      expect((yield* client.sql("insert into t values (default, 1, 'y'), (default, 1, default)")).sql_rc).toBe(-84)
      expect((yield* client.sql("insert into t (a, b) values (2, default)")).error).toBeUndefined()
      expect((yield* client.sql("select a, b from t order by id")).data).toEqual([
        [null, "y"],
        [2, "x"]
      ])
    })
  )
})

describe("RENAME TABLE", () => {
  it.scopedLive("gives a table another name", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql("create table t (a integer)")
      expect((yield* client.sql("rename table sample.t to u")).error).toBeUndefined()
      expect((yield* client.sql("select * from u")).data).toEqual([])
      expect((yield* client.sql("select * from t")).sql_rc).toBe(-204)
    })
  )
})

describe("an identity column", () => {
  it.scopedLive("GENERATED ALWAYS takes no value but with OVERRIDING SYSTEM VALUE", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      yield* client.sql("create table u (id integer generated always as identity, a integer)")
      yield* client.sql("create table w (a integer, id bigint not null generated by default as identity primary key)")
      yield* client.sql("declare global temporary table v (id integer generated always as identity, a integer)")
      for (const [sql, params] of [
        ["insert into u (id, a) values (5, 1)", []],
        ["insert into sample.u (a, ID) values (1, 5), (2, default)", []],
        ["insert into u values (5, 1)", []],
        ["insert into u values (default, 1), (6, 1)", []],
        ["insert into u values (?, ?)", [5, 1]],
        ['insert into u ("ID", a) values (?, ?)', [null, 1]],
        ["insert into u select 5, 1 from sysibm.sysdummy1", []],
        ["insert into u (id) (select 5 from sysibm.sysdummy1)", []],
        ["select id from final table (insert into u (id, a) values (5, 1))", []],
        ["update u set a = 1, id = 5", []],
        ["update u x set (a, id) = (1, 5) where x.id = 1", []],
        ["insert into session.v values (5, 1)", []]
      ] as const) {
        const answer = yield* client.run(sql, params)
        expect([sql, answer.sql_rc, answer.sql_state, answer.error]).toEqual([
          ...[sql, -798, "428C9"],
          expect.stringContaining("column ID.")
        ])
      }
      // Another connection knows it, too.
      const other = yield* connected(server)
      expect((yield* other.sql("insert into u (id) values (7)")).sql_rc).toBe(-798)
      for (const sql of [
        "insert into u (a) values (1)",
        "insert into u values (default, 2)",
        "insert into u (id, a) values (default, 3), (default, 4)",
        "insert into u (id, a) overriding system value values (9, 5)",
        "insert into u overriding system value values (11, 6)",
        "insert into u (a) select 7 from sysibm.sysdummy1",
        "update u set a = id where id = 1",
        "insert into session.v (a) values (1)",
        "insert into w (id, a) values (5, 1)",
        "insert into w values (2, 6)",
        "insert into w (a) values (3)",
        "update w set id = 8 where id = 5"
      ]) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
      expect((yield* client.sql("select id from u order by id")).data).toEqual([[1], [2], [3], [4], [9], [11], [12]])
      expect((yield* client.sql("select id from w order by id")).data).toEqual([[6], [7], [8]])
      expect((yield* client.sql("insert into w (id, a) overriding user value values (1, 1)")).sql_rc).toBe(-84)
      yield* client.sql("drop table u")
      yield* client.sql("create table u (id integer generated by default as identity, a integer)")
      expect((yield* client.sql("insert into u (id, a) values (5, 1)")).error).toBeUndefined()
    })
  )
})

describe("definitions", () => {
  it.scopedLive("that SQLite has not, or takes otherwise, are refused by name", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql("create table t (a integer not null, b varchar(10))")
      yield* client.sql("create view v as select a from t")
      for (const [sql, code, state] of [
        ["create table u as (select a, b from t) with data", -84, "42612"],
        ["create table u as (select a, b from t) with no data", -84, "42612"],
        ["create table u like t", -84, "42612"],
        ["create table u (like t)", -84, "42612"],
        ["declare global temporary table u as (select * from t) with data", -84, "42612"],
        ["declare global temporary table u like t", -84, "42612"],
        ["create table u (a int, a int)", -612, "42711"],
        ["create table u (a int primary key autoincrement)", -104, "42601"],
        ["alter table t alter column b set data type varchar(20)", -84, "42612"],
        ["alter table t alter a restart with 100", -84, "42612"],
        ["alter table t add unique (b)", -84, "42612"],
        ["alter table t add constraint k primary key (a)", -84, "42612"],
        ["alter table t drop primary key", -84, "42612"],
        ["drop schema sample", -84, "42612"],
        ["drop view t", -159, "42809"],
        ["drop table v", -159, "42809"],
        ["select a from t order by 2", -125, "42805"],
        ["select * from qsys2.syscst", -84, "42612"],
        ["select * from sysibm.sqltables t", -84, "42612"],
        ["select * from sysibmadm.env_sys_info", -84, "42612"],
        ["select * from syscat.tables", -204, "42704"]
      ] as const) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.sql_rc, answer.sql_state]).toEqual([sql, code, state])
      }
      for (const sql of ["drop view v restrict", "drop table sample.t cascade"]) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
    })
  )

  it.scopedLive("are told by the catalog", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(
        "create table t (id bigint generated always as identity primary key, c char(3) not null, v varchar(20), " +
          "d decimal(9, 2) not null default 1, x decimal(31, 5), n int, ts timestamp, r real, f double, b varbinary(9))"
      )
      for (const view of ["syscolumns", "syscolumns2"]) {
        const { data } = yield* client.sql(
          "select column_name, data_type, length, numeric_scale, is_nullable, has_default, column_default, is_identity " +
            `from qsys2.${view} where table_name = 'T' order by ordinal_position`
        )
        expect(data).toEqual([
          ["ID", "INTEGER", 4, 0, "N", "I", null, "YES"],
          ["C", "CHAR", 3, null, "N", "N", null, "NO"],
          ["V", "VARCHAR", 20, null, "Y", "Y", null, "NO"],
          ["D", "DECIMAL", 9, 2, "N", "Y", "1", "NO"],
          ["X", "DECIMAL", 31, 5, "Y", "Y", null, "NO"],
          ["N", "INTEGER", 4, 0, "Y", "Y", null, "NO"],
          ["TS", "TIMESTMP", 10, null, "Y", "Y", null, "NO"],
          ["R", "FLOAT", 4, null, "Y", "Y", null, "NO"],
          ["F", "FLOAT", 8, null, "Y", "Y", null, "NO"],
          ["B", "VARBIN", 9, null, "Y", "Y", null, "NO"]
        ])
      }
    })
  )
})
