/** Failures in Db2's words. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, serve } from "./support.js"

describe("failures", () => {
  it.scopedLive("have Db2's codes and message ids", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "libraries=SHOP,*LIBL")
      yield* client.sql("create table parent (id int not null primary key)")
      yield* client.sql(
        "create table child (id int not null primary key, p int references parent (id), q int constraint positive check (q > 0))"
      )
      yield* client.sql("insert into parent values (1)")
      yield* client.sql("insert into child values (1, 1, 1)")
      const cases: ReadonlyArray<readonly [string, number, string, RegExp]> = [
        ["select * from nope", -204, "42704", /^\[SQL0204\] NOPE in SHOP type \*FILE not found\.$/],
        ["select * from sample.nope", -204, "42704", /NOPE/],
        ["select nope from parent", -206, "42703", /^\[SQL0206\] Column or global variable NOPE not found\.$/],
        ['select "id" from parent, child', -203, "42702", /ambiguous/],
        ["insert into parent (nope) values (1)", -206, "42703", /NOPE/],
        ["selec 1", -104, "42601", /^\[SQL0104\] Token SELEC was not valid/],
        ["select from parent", -104, "42601", /FROM/],
        ["select 'open", -104, "42601", /^\[SQL0104\]/],
        ["", -99999, "43617", /zero length/],
        ["  -- nothing\n", -99999, "43617", /zero length/],
        ["insert into parent values (1)", -803, "23505", /^\[SQL0803\]/],
        ["insert into parent values (null)", -407, "23502", /ID/],
        ["insert into child values (2, 99, 1)", -530, "23503", /^\[SQL0530\]/],
        ["delete from parent", -532, "23504", /^\[SQL0532\]/],
        ["insert into child values (2, 1, 0)", -545, "23513", /POSITIVE/],
        ["insert into parent values (1, 2)", -117, "42802", /number of values/],
        ["create table parent (a int)", -601, "42710", /PARENT in SHOP/],
        ["values nope(1)", -440, "42884", /NOPE/],
        ["select ? from parent", -418, "42610", /marker/],
        ["merge into parent using child on 1 = 1", -84, "42612", /development server/]
      ]
      for (const [sql, code, state, message] of cases) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.success, answer.sql_rc, answer.sql_state]).toEqual([sql, false, code, state])
        expect(answer.error).toMatch(message)
      }
    })
  )

  it.scopedLive("are what a NULL in a primary key is, whatever its type and wherever the key is declared", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const [columns, values] of [
        ["id integer not null primary key", "1"],
        ["id integer primary key", "1"],
        ["id int primary key", "1"],
        ["id bigint primary key", "1"],
        ["id char(3) primary key", "'A10'"],
        ["id integer, primary key (id)", "1"],
        ['"id" integer, constraint k primary key (id)', "1"],
        ["id integer, n integer, primary key (n, id)", "1, 2"],
        ["id integer primary key, n integer generated always as identity", "1, 2"]
      ] as const) {
        expect([columns, (yield* client.sql(`create table keyed (${columns})`)).error]).toEqual([columns, undefined])
        yield* client.sql(`insert into keyed values (${values})`)
        for (const sql of [
          `insert into keyed values (${values.replace(/^[^,]+/, "null")})`,
          "update keyed set id = null"
        ]) {
          const answer = yield* client.sql(sql)
          expect([columns, sql, answer.sql_rc, answer.sql_state]).toEqual([columns, sql, -407, "23502"])
        }
        expect((yield* client.run("insert into keyed (id) values (?)", [null])).sql_rc).toBe(-407)
        const { data, metadata } = yield* client.sql("select id from keyed")
        expect([data.length, metadata.columns[0].nullable]).toEqual([1, 0])
        const type =
          "select data_type, is_nullable from qsys2.syscolumns where table_name = 'KEYED' and ordinal_position = 1"
        expect((yield* client.sql(type)).data).toEqual([
          [expect.stringMatching(/^(?:INTEGER|BIGINT|CHAR ?\(.*\))$/), "N"]
        ])
        yield* client.sql("drop table keyed")
      }
      for (const sql of ["create table keyed (id int, primary key)", "create table keyed (id int, primary key ())"]) {
        expect([sql, (yield* client.sql(sql)).sql_rc]).toEqual([sql, -104])
      }
    })
  )

  it.scopedLive("meet what SQLite would take and Db2 does not", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const sql of [
        "pragma journal_mode",
        "attach 'x.db' as x",
        "vacuum",
        "explain select 1",
        "create table if not exists department (a int)",
        "insert or replace into department values (1)",
        "insert into department values ('A10', 'x', null, 'A10', null) on conflict do nothing",
        "delete from department returning deptno",
        "select [deptno] from department",
        "select * from sqlite_schema",
        "select * from pragma_table_info('x')",
        'select "nosuchcolumn" from department',
        "replace into department values (1)",
        "select deptno from department limit -1",
        "select deptno from department offset -1 rows",
        "select deptno from department where deptno glob 'A*'",
        "set transaction isolation level bogus",
        "set transaction isolation level",
        "set transaction read committed"
      ]) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.success, [-104, -204, -206].includes(answer.sql_rc)]).toEqual([sql, false, true])
      }
      for (const name of ["typeof(deptno)", "iif(1 = 1, 2, 3)", "glob('A*', deptno)"]) {
        const answer = yield* client.sql(`select ${name} from department`)
        expect([name, answer.sql_rc, answer.sql_state]).toEqual([name, -440, "42884"])
      }
      expect((yield* client.sql("select * from json_each('[1]') j")).sql_rc).toBe(-440)
      yield* client.sql("create table lists (first int, next int, offset int, glob int)")
      expect((yield* client.sql("select first - 1, next -1, offset - 1, glob from lists")).error).toBeUndefined()
      const savepoint = yield* client.sql("savepoint sysx on rollback retain cursors")
      expect([savepoint.sql_rc, savepoint.sql_state]).toEqual([-707, "42939"])
    })
  )

  it.scopedLive("are what a second statement in a text is, and what follows the only one", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql("create table kept (id integer)")
      for (const first of [
        "create table more (id integer)",
        "create table trigger (id integer)",
        "create index more on kept (id)",
        "create view more as select * from kept",
        "create schema more",
        "alter table kept add column more integer",
        "drop table kept",
        "insert into kept values (1)",
        "delete from kept",
        "select * from kept",
        "select * from final table (insert into kept values (1))",
        "values 1",
        "commit",
        "rollback",
        "set schema more",
        "set current degree = '1'",
        "lock table kept in exclusive mode",
        "call qsys2.qcmdexc('ADDLIBLE LIB(SAMPLE)')"
      ]) {
        for (const second of ["insert into kept values (2)", ""]) {
          const answer = yield* client.sql(`${first}; ${second};`)
          expect([first, second, answer.sql_rc, answer.error]).toEqual([
            first,
            second,
            -104,
            expect.stringContaining("Token ; was not valid")
          ])
        }
      }
      for (const rest of ["create table more (id integer) garbage", "call qsys2.qcmdexc('DSPLIBL') garbage"]) {
        expect(yield* client.sql(rest)).toMatchObject({ sql_rc: -104, error: expect.stringContaining("GARBAGE") })
      }
      expect((yield* client.sql("select * from kept")).data).toEqual([])
      expect((yield* client.sql("select * from more")).sql_rc).toBe(-204)
      expect((yield* client.sql("values 1; -- the end\n /* of it */ ")).data).toEqual([[1]])
      expect((yield* client.sql("create table more (id integer) rcdfmt morer")).success).toBe(true)
      expect((yield* client.sql("insert into kept values (length('a;b')) ;")).update_count).toBe(1)
    })
  )

  it.scopedLive("are what a word is that a statement cannot have, with nothing done", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "auto commit=false;libraries=SHOP")
      yield* client.sql("create table kept (id integer)")
      yield* client.sql("commit")
      yield* client.sql("insert into kept values (1)")
      for (const [sql, token] of [
        ["commit garbage", "GARBAGE"],
        ["commit work garbage", "GARBAGE"],
        ["commit hold work", "WORK"],
        ["commit insert into kept values (2)", "INSERT"],
        ["rollback garbage", "GARBAGE"],
        ["rollback work hold garbage", "GARBAGE"],
        ["rollback to kept", "KEPT"],
        ["rollback to savepoint", "<END-OF-STATEMENT>"],
        ["rollback to savepoint kept garbage", "GARBAGE"],
        ["savepoint kept garbage on rollback retain cursors", "GARBAGE"],
        ["savepoint kept on rollback retain cursors garbage", "GARBAGE"],
        ["savepoint kept", "<END-OF-STATEMENT>"],
        ["release savepoint kept garbage", "GARBAGE"],
        ["set schema other garbage", "GARBAGE"],
        ["set current schema = other garbage", "GARBAGE"],
        ["set schema =", "<END-OF-STATEMENT>"],
        ["lock table kept", "<END-OF-STATEMENT>"],
        ["lock kept in share mode", "KEPT"],
        ["lock table kept in share mode allow read", "ALLOW"],
        ["lock table kept in exclusive mode garbage", "GARBAGE"],
        ["truncate table kept garbage", "GARBAGE"],
        ["truncate kept immediate garbage", "GARBAGE"],
        ["truncate table", "<END-OF-STATEMENT>"],
        ["call qsys2.qcmdexc('DSPJOB' garbage)", "GARBAGE"]
      ] as const) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.sql_rc, answer.sql_state]).toEqual([sql, -104, "42601"])
        expect([sql, answer.error]).toEqual([sql, expect.stringContaining(`Token ${token} was not valid`)])
      }
      expect((yield* client.sql("values current schema")).data).toEqual([["SHOP"]])
      expect((yield* client.sql("select id from kept")).data).toEqual([[1]])
      for (const sql of [
        "commit work hold",
        "commit work",
        "commit hold",
        "savepoint a unique on rollback retain cursors on rollback retain locks",
        "savepoint b on rollback retain locks on rollback retain cursors",
        "rollback work to savepoint b",
        "release to savepoint b",
        "release savepoint a",
        "rollback work hold",
        "rollback work",
        "rollback hold",
        "lock table shop.kept in share mode",
        "lock table kept in exclusive mode",
        "lock table kept in exclusive mode allow read",
        "truncate kept",
        "truncate table shop.kept drop storage ignore delete triggers continue identity immediate",
        "truncate table kept reuse storage restrict when delete triggers restart identity",
        "truncate table kept immediate restart identity",
        "set schema 'OTHER'",
        "set current schema other",
        "set current_schema = shop"
      ]) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
      expect((yield* client.sql("values current schema")).data).toEqual([["SHOP"]])
      expect((yield* client.sql("select id from kept")).data).toEqual([])
    })
  )

  it.scopedLive("never tell a parameter's value", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const [sql, value] of [
        ["insert into department (deptno, deptname, admrdept) values (?, 'x', 'x')", "topsecretvalue"],
        ["select * from employee where edlevel = ?", "topsecretvalue"],
        ["select * from employee where hiredate = ?", "topsecretvalue"]
      ] as const) {
        const answer = yield* client.run(sql, [value])
        expect(answer.success).toBe(false)
        expect(client.textOf(answer.id)).not.toContain("topsecret")
      }
    })
  )
})

describe("what this server does not know", () => {
  it.scopedLive("is refused by name, with Db2's code", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const [sql, what] of [
        ["merge into sales t using (values 1) s(n) on t.sales_id = s.n when matched then delete", "MERGE"],
        ["begin declare n int; set n = 1; end", "compound statements"],
        ["create procedure shop.p() language sql begin end", "CREATE PROCEDURE"],
        ["create sequence shop.s", "CREATE SEQUENCE"]
      ] as const) {
        const answer = yield* client.sql(sql)
        expect([answer.success, answer.sql_rc, answer.sql_state]).toEqual([false, -84, "42612"])
        expect(answer.error).toMatch(new RegExp(`^\\[SQL0084\\] .*does not know ${what}`))
      }
    })
  )
})

describe("arithmetic with dates", () => {
  it.scopedLive("is refused by name, wherever its types are known", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql('create table dd (id int not null primary key, d date, t timestamp, n int, "x.d" int)')
      for (const sql of [
        "select d + 1 day from dd",
        "select d - (n + 1) months as x from dd",
        "select t - 1 hour from dd",
        "select d - n days from dd",
        "select id from dd where d > current date - 7 days",
        "values current timestamp + 5 minutes",
        "values current date - date '2024-01-01'",
        "values date('2024-01-01') - 1",
        "select cast('2024-01-01' as date) - 1 from dd",
        "select d - d from dd",
        "select x.d - 1 from dd x",
        "select 1 + x.t from dd x",
        "update dd set d = d + 1 day where id = 1",
        "update dd set n = n - d",
        "create view v as select d + 1 day as x from dd"
      ]) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.error, answer.sql_rc]).toEqual([sql, expect.stringMatching(/dates\.$/), -84])
      }
      const run = yield* client.run("select id from dd where d = current date - cast(? as int) days", [7])
      expect(run.sql_rc).toBe(-84)
      for (const sql of [
        'select n + 1 as day, n - 1 as "DAYS" from dd',
        "select n day, id hour from dd order by n - 1",
        'select "x.d" - 1, -n, n - -1, length(d) - 4 from dd',
        "select id from dd where d = '2024-01-01' and -1 < n - (id + 1)",
        "values (cast(1 as int) - 1, current date)"
      ]) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.error]).toEqual([sql, undefined])
      }
    })
  )
})

describe("Db2's spellings", () => {
  it.scopedLive("are understood", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "libraries=SAMPLE")
      const cases: ReadonlyArray<readonly [string, ReadonlyArray<ReadonlyArray<unknown>>]> = [
        ["values 1, 2", [[1], [2]]],
        [
          "values (1, 'a'), (2, 'b')",
          [
            [1, "a"],
            [2, "b"]
          ]
        ],
        ["values (select count(*) from department)", [[6]]],
        ["select 1 from sysibm.sysdummy1 d", [[1]]],
        ["select deptno from sample.department order by deptno fetch first 2 rows only with ur", [["A10"], ["B20"]]],
        ["select deptno from department order by 1 offset 1 row fetch next row only", [["B20"]]],
        ["select deptno from department order by 1 offset 5 rows for read only", [["E50"]]],
        ["select d.deptno from sample.department as d where d.deptno = 'A10' for update of location", [["A10"]]],
        ["select sample.department.deptno from sample.department where deptno = 'C30'", [["C30"]]],
        ["values current schema", [["SAMPLE"]]],
        ["values session_user", [["DEV"]]],
        ["values current_timestamp(3), current timestamp(0)", [[expect.any(String)], [expect.any(String)]]],
        ["values 'a' concat 'b'", [["ab"]]],
        ["values cast('12' as integer)", [[12]]],
        ["values date '2024-06-15'", [["2024-06-15"]]],
        ["select table_name from qsys2.systables where table_name = 'SALES'", [["SALES"]]],
        ["select count(*) from qsys2.syscolumns where table_name = 'DEPARTMENT'", [[5]]],
        ["select count(*) from (select 1 from department) x", [[6]]],
        ["with a(n) as (values 1, (2), 1 + 2) select n from a order by n desc", [[3], [2], [1]]],
        ["with a(n, t) as (values (1, 'x'), (2, 'y')) select t from a where n = 2", [["y"]]],
        ["with a(n) as (values 1 union all select n + 1 from a where n < 3) select sum(n) from a", [[6]]],
        [
          "select s.t, deptname from (values ('A10', 'x'), ('B20', 'y')) as s(d, t) join department on deptno = s.d order by 1",
          [
            ["x", "HEAD OFFICE"],
            ["y", expect.any(String)]
          ]
        ],
        ["select n + 1 from (values 1, 2) t(n), department where deptno = 'A10' order by 1", [[2], [3]]],
        ["select count(*) from department where deptno in (values 'A10', 'B20')", [[2]]],
        [
          "with a(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from a where n < 3) select n from a",
          [[1], [2], [3]]
        ]
      ]
      for (const [sql, rows] of cases) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.error, answer.data]).toEqual([sql, undefined, rows])
      }
    })
  )

  it.scopedLive("FINAL TABLE answers with what was inserted", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const insert =
        "insert into sales (sales_id, sales_date, sales_person, region, sales, amount) values (default, ?, ?, ?, ?, ?)"
      const answer = yield* client.run(`select sales_id, s.amount, sales_date from final table (${insert}) as s`, [
        ...["2024-05-05", "000410", "NORTH", 3, "99999999999999999999.5"]
      ])
      expect(client.textOf(answer.id)).toContain('[[9,99999999999999999999.50000,"2024-05-05"]]')
      expect(answer.metadata.columns.map(({ type }: any) => type)).toEqual(["INTEGER", "DECIMAL", "DATE"])
      expect((yield* client.sql("values identity_val_local()")).data).toEqual([[9]])
      const updated = yield* client.sql("select sales from final table (update sales set sales = 7 where sales_id = 9)")
      expect(updated.data).toEqual([[7]])
    })
  )

  it.scopedLive("markers may count rows, in their order", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const sql = "select deptno from department order by 1 offset ? rows fetch next ? rows only"
      expect((yield* client.run(sql, [1, "2"])).data).toEqual([["B20"], ["C30"]])
    })
  )

  it.scopedLive("what has no meaning here does no harm", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const sql of [
        "create schema shop",
        "set schema shop",
        "grant select on department to public",
        "comment on table department is 'x'",
        "label on table department is 'x'",
        "create or replace view shop.v as select deptno from sample.department",
        "select * from shop.v",
        "create unique index shop.ix on sample.department (deptname)",
        "alter table sample.department add column note varchar(10) ccsid 1208 not null with default",
        "truncate table sample.sales immediate",
        "update sample.department d set location = 'HERE' where d.deptno = 'A10' with cs",
        "update department set location = 'HERE' where deptno = 'A10'",
        "delete from sample.department as d where d.deptno = 'none'",
        "delete from department d where d.deptno = 'none'",
        "delete from sales with nc",
        "drop view shop.v",
        "drop table if exists nope"
      ]) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.error]).toEqual([sql, undefined])
      }
      expect((yield* client.sql("select note from department where deptno = 'A10'")).data).toEqual([[""]])
    })
  )
})
