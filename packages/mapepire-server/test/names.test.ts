/** Names as Db2 has them: with @, # and $, and without SQLite's names for a row's number. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, serve } from "./support.js"

describe("@, # and $", () => {
  it.scopedLive("are letters of names, wherever these stand", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "libraries=SHOP,*LIBL")
      const names = (answer: any) => answer.metadata.columns.map(({ name }: any) => name)
      for (const sql of [
        "create table shop.ord@rs (cust# integer not null primary key, #line integer, $amt decimal(9, 2), a@b varchar(9))",
        'create table "$TT" ("B#" int references ord@rs (cust#), c$ char(3) check (c$ <> \'x\'))',
        "create index shop.ix# on shop.ord@rs (#line, a@b)",
        "insert into ord@rs (cust#, #line, $amt, a@b) values (1, 2, 3.5, 'x'), (2, 3, 4.5, 'y')",
        "insert into $tt values (1, 'abc')",
        "create view v# as select cust#, $amt as amt$ from ord@rs",
        "alter table $tt add column #d date",
        "update ord@rs set a@b = 'z' where cust# = 2"
      ]) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
      const joined = yield* client.sql(
        "select o.cust#, #line, o.$amt as total$, b# from ord@rs as o join shop.$tt t# on t#.b# = o.cust# order by cust#"
      )
      expect([joined.error, names(joined), joined.data]).toEqual([
        undefined,
        ["CUST#", "#LINE", "TOTAL$", "B#"],
        [[1, 2, 3.5, 1]]
      ])
      expect(names(yield* client.sql("select * from v#"))).toEqual(["CUST#", "AMT$"])
      const ctes = yield* client.sql("with x#(n$) as (values 1, 2) select max(n$) @m from x#")
      expect([names(ctes), ctes.data]).toEqual([["@M"], [[2]]])
      const inserted = yield* client.run(
        "select cust#, a@b from final table (insert into ord@rs (cust#, a@b) values (?, ?))",
        [7, "q"]
      )
      expect([names(inserted), inserted.data]).toEqual([["CUST#", "A@B"], [[7, "q"]]])
      expect(inserted.metadata.columns.map(({ type }: any) => type)).toEqual(["INTEGER", "VARCHAR"])
      const prepared = yield* client.ask({
        type: "prepare_sql",
        sql: "select $amt from ord@rs where cust# = ? and a@b = ?"
      })
      expect(names(prepared)).toEqual(["$AMT"])
      expect(prepared.metadata.parameters.map(({ type }: any) => type)).toEqual(["INTEGER", "VARCHAR"])
      const keyed = yield* client.sql("select cust#, c$ from ord@rs, $tt where b# = cust#", { terse: false })
      expect(keyed.data).toEqual([{ "CUST#": 1, C$: "abc" }])
      const catalog = "select column_name from qsys2.syscolumns where table_name = 'ORD@RS' order by ordinal_position"
      expect((yield* client.sql(catalog)).data).toEqual([["CUST#"], ["#LINE"], ["$AMT"], ["A@B"]])
    })
  )

  it.scopedLive("are told in failures, and stand for no parameter", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "auto commit=false")
      for (const sql of ["values @x", "values $1", "select #a from department"]) {
        expect([sql, (yield* client.sql(sql)).sql_rc]).toEqual([sql, -206])
      }
      expect((yield* client.sql("select * from no#")).error).toMatch(/NO# in/)
      yield* client.sql("create table t# (n# smallint not null)")
      expect((yield* client.sql("insert into t# values (null)")).error).toMatch(/variable N#\./)
      expect((yield* client.sql("insert into t# values (99999)")).error).toMatch(/column N#\./)
      expect((yield* client.sql("savepoint s# on rollback retain cursors")).error).toBeUndefined()
      expect((yield* client.sql("rollback to savepoint s#")).error).toBeUndefined()
      expect((yield* client.sql("rollback to savepoint q#")).error).toMatch(/SAVEPOINT Q# does/)
    })
  )
})

describe("ROWID and OID", () => {
  it.scopedLive("are columns only of tables that have such", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const sql of [
        "select rowid from department",
        "select oid, deptno from department d",
        "select d.rowid from employee e join department d on d.deptno = e.workdept",
        "select deptno from department where _rowid_ = 1",
        'select deptno from department order by "rowid"',
        "insert into department (rowid, deptno, deptname, admrdept) values (9, 'X', 'x', 'x')",
        "update department set rowid = 5",
        "delete from department where oid = 1",
        "select rowid from final table (insert into department (deptno, deptname, admrdept) values ('X', 'x', 'x'))",
        "create view v as select rowid as n from department"
      ]) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.sql_rc, answer.sql_state]).toEqual([sql, -206, "42703"])
      }
      for (const sql of [
        "create table things (oid int not null primary key, rowid varchar(9))",
        "insert into things (oid, rowid) values (1, 'a')",
        "select t.oid, rowid from things t order by oid",
        "select rowid from things, department where oid = 1",
        "select deptno as rowid, location oid from department order by rowid, oid",
        "with x(oid) as (values 1) select oid from x",
        "select s.oid from (values (1, 2)) as s(oid, n)",
        "update things set rowid = 'b' where oid = 1",
        "create view w (oid) as select deptno from department",
        "select oid from w"
      ]) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
    })
  )
})
