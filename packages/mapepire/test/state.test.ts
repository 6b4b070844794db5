/** What stays with a job is nobody else's surprise. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient } from "@sluice/mapepire"
import { SqlClient, SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { staysWithJob } from "../src/internal/transport/state.js"
import { scriptedDaemon } from "./scriptedDaemon.js"
import { until } from "./support.js"

describe("statements that stay with the job", () => {
  const staying = [
    "set schema other",
    "SET CURRENT SCHEMA = X",
    " \n-- elsewhere\n/* now */ set path = a, b",
    "set current degree = 'ANY'",
    "set session authorization bob",
    "call qsys2.qcmdexc('chglibl libl(other)')",
    "CALL QCMDEXC ( 'QSYS/ADDLIBLE LIB(SHOP)' )",
    "set current_schema = x",
    "SET CURRENT_PATH = x",
    "/* a /* b */ c */ set schema x",
    `call "QSYS2"."QCMDEXC"('CHGLIBL LIBL(X)')`,
    "call qsys2.qcmdexc(command => 'chgjob datfmt(*dmy)')",
    "call sysproc.wlm_set_client_info('a', null, null, null, null)",
    "values qsys2.qcmdexc('ADDLIBLE LIB(X)')",
    "select 1, qsys2.qcmdexc(command => 'CHGLIBL LIBL(X)') from sysibm.sysdummy1",
    "with a as (values qcmdexc('chgcurlib x')) select * from a",
    "create table t as (select qcmdexc('chgjob ccsid(37)') as done from sysibm.sysdummy1) with data",
    "{call qsys2.qcmdexc('CHGLIBL LIBL(X)')}",
    "{ ? = call qsys2.qcmdexc('CHGLIBL LIBL(X)') }",
    "begin set schema archive; end",
    "begin atomic declare n int; if n > 1 then set path = x; end if; end",
    "begin declare exit handler for sqlexception set current degree = 'ANY'; delete from t; end",
    "here: begin call qsys2.qcmdexc('CHGLIBL LIBL(X)'); end here",
    "begin execute immediate 'set schema ''X'''; end",
    "begin declare global temporary table session.t (a int); end",
    "declare global temporary table session.t (a int) on commit preserve rows",
    "connect to elsewhere",
    "set connection elsewhere",
    "call qsys2.override_qaqqini(2, 'QUERY_TIME_LIMIT', '1')",
    "call qsys2.qcmdexc('?ADDLIBLE X')",
    "call qsys2.qcmdexc('??QSYS/ADDLIBLE LIB(X)')",
    "call qsys2.qcmdexc('SETASPGRP X')",
    "call qsys2.qcmdexc('OVRDBF FILE(A) TOFILE(B) OVRSCOPE( *JOB )')",
    "call qsys2.qcmdexc('OVRDBF FILE(' concat name concat ')')",
    "call qsys2.qcmdexc('ADDLIBL' || 'E X')",
    "begin declare c varchar(99); call qcmdexc(c); end",
    "disconnect current",
    "DISCONNECT ALL SQL",
    "release all",
    "-- for good\nRelease /* this */ Current",
    "release elsewhere",
    "connect",
    "CONNECT\n  RESET",
    "set session_user = bob",
    "begin declare continue handler for sqlstate '42704' set schema x; delete from t; end",
    "begin declare exit handler for sqlstate value '42704', not found, sqlwarning, gone SET CURRENT PATH x; end",
    "begin declare exit handler for sqlexception begin set schema x; end; delete from t; end",
    "begin if case when a = 1 then b else c end = 1 then set schema x; end if; end",
    "begin case a when 1 then set b = case when c then 1 else 2 end; else set schema x; end case; end",
    "begin not atomic while a do repeat set schema x; until b end repeat; end while; end",
    "begin for a as select b from t do release current; end for; end",
    '"set" : begin here : loop connect reset; end loop here; end',
    "begin declare s varchar(99); set s = 'set schema x'; execute immediate s; end",
    "begin declare s varchar(99) default 'call qcmdexc(''CHGLIBL X'')'; prepare p from s; execute p; end",
    "call\n/* of the system */ QSYS2 -- !\n/ QCMDEXC\n(\n'chglibl\nlibl(x)')",
    "call QSYS2/QCMDEXC('addenvvar x y')",
    'values "QSYS2" . "QCMDEXC" (\'chgcurdir dir(x)\')',
    "select a/qcmdexc('STRDBG') from t",
    "insert into t select qcmdexc('CHGQRYA QRYTIMLMT(1)') from qcmdexc",
    "insert into qcmdexc (a) values (qcmdexc('CHGLIBL X'))",
    "call qsys2.override_table('SHOP', 'T', '512K')",
    ...[
      "STRCMTCTL LCKLVL(*CHG)",
      "endcmtctl",
      "ALCOBJ OBJ((SHOP/T *FILE *EXCL)) WAIT(5)",
      "DlcObj OBJ((SHOP/T *FILE *EXCL))",
      "RMVLIBLE SHOP",
      "CHGCURLIB SHOP",
      "CHGSYSLIBL SHOP",
      "DLTOVR FILE(*ALL) LVL(*JOB)",
      "DLTOVR *ALL *JOB",
      "OVRPRTF FILE(A) OVRSCOPE(/* all */ *JOB)",
      "OPNDBF FILE(A) OPTION(*INP) OPNSCOPE(*JOB)",
      "/* first */ /**/ ADDLIBLE X",
      '? "QSYS"/"CHGJOB" DATFMT(*DMY)',
      "CALL PGM(QSYS/QCMDEXC) PARM(''ADDLIBLE X'' 10)"
    ].map((command) => `call qcmdexc('${command}')`)
  ]
  it("are told by their text", () => {
    for (const text of staying) {
      assert.isTrue(staysWithJob(text), text)
    }
    for (const text of [
      "set transaction isolation level serializable, read write",
      "set shop.counter = 1",
      "update t set schema = 1",
      "select 'set schema x' from t",
      "call qsys2.qcmdexc('dspjob')",
      "call shop.qcmdexc_of_ours('chglibl')",
      "set current_total = 1",
      "values qsys2.qcmdexc('DSPJOB')",
      "select qcmdexc('SBMJOB CMD(ADDLIBLE X)') from sysibm.sysdummy1",
      "select qcmdexc, 'qcmdexc(''chglibl'')' from t where qcmdexc = 1",
      "{call shop.price(?)}",
      "{call qsys2.qcmdexc('DSPOBJD OBJ(QSYS/CHGJOB)')}",
      "call qsys2.qcmdexc('DSPJOB JOB(' || name || ')')",
      "call qsys2.qcmdexc('OVRDBF FILE(A) TOFILE(B)')",
      "begin update t set schema = 1, path = 2; call shop.price(1); call qcmdexc('DSPJOB'); end",
      "begin declare n int; set n = 1; execute immediate 'drop table t'; end",
      "declare c cursor for select 1 from t",
      "create procedure p () begin set schema x; call qcmdexc('CHGLIBL LIBL(X)'); end",
      "create or replace function f () returns int return qcmdexc('CHGLIBL LIBL(X)')",
      "grant execute on function qsys2.qcmdexc(varchar(32)) to ada",
      "release savepoint connect",
      "release /* that */ to savepoint a",
      "begin set a = case b when 1 then connect else disconnect end; end",
      "begin update t set a = case when b = 1 then release else connect end; end",
      "begin case a when 1 then delete from t; else set b = 1; end case; release savepoint a; end",
      "begin declare continue handler for sqlstate '42704' set gone = 1; drop table t; end",
      "begin declare undo handler for not found, sqlstate value '02000' begin end; end",
      "connect: begin set n = connect; end connect",
      "here: begin declare path varchar(9); set here.path = 'x'; end",
      "begin merge into t using u on a = b when matched then update set schema = c else ignore; end",
      "begin declare s varchar(99); set s = 'drop table t'; execute immediate s; end",
      "create table qcmdexc (a int)",
      "declare global_of_ours cursor for select 1 from t",
      "insert into qcmdexc (a, b) values (1, 2)",
      'insert into shop . "QCMDEXC" (a) select 1 from qcmdexc',
      "create table t (a int references shop/qcmdexc (a))",
      "with qcmdexc (a) as (values 1) select * from qcmdexc",
      "select * from t as qcmdexc (a)",
      "call qcmdexc('/* chglibl x */ DSPJOB')",
      "call qcmdexc('DLTOVR FILE(*ALL)')",
      "call qcmdexc('CALL PGM(SHOP/CHGLIBL)')",
      "settle"
    ]) {
      assert.isFalse(staysWithJob(text), text)
    }
  })

  it("are told by the command that they are given", () => {
    for (const text of [
      "call qsys2.qcmdexc(?)",
      "call qsys2/qcmdexc ( ?, 30 )",
      "call qcmdexc(command => ?)",
      "values qcmdexc(?)"
    ]) {
      assert.isTrue(staysWithJob(text, [["dspjob"], ["  qsys/addlible lib(shop)"]]), text)
      assert.isFalse(staysWithJob(text, [["dspjob"]]), text)
      assert.isFalse(staysWithJob(text, [[1]]), text)
    }
    const second = "select * from t where a = ? and 1 = qcmdexc(?)"
    assert.isTrue(staysWithJob(second, [["dspjob", "chglibl x"]]))
    assert.isFalse(staysWithJob(second, [["chglibl x", "dspjob"]]))
    assert.isTrue(staysWithJob("values qcmdexc(cast(? as varchar(99)))", [["dspjob"]]))
  })

  it("a command of a million blanks, and ten thousand commands, are read in no time", () => {
    const before = performance.now()
    assert.isFalse(staysWithJob("call qcmdexc(?)", [[" ".repeat(1_000_000)]]))
    assert.isTrue(staysWithJob("call qcmdexc(?)", [[`${" ".repeat(1_000_000)}?? chglibl x`]]))
    assert.isFalse(
      staysWithJob(`values ${"qcmdexc(?),".repeat(10_000)}1`, [Array.from({ length: 10_000 }, () => "dspjob")])
    )
    assert.isBelow(performance.now() - before, 5_000)
  })

  it("statements of 100 kB are read in no time", () => {
    const before = performance.now()
    const many = (text: string) => text.repeat(Math.ceil(100_000 / text.length))
    for (const [text, stays] of [
      [`begin ${many("execute immediate 'drop table t'; ")} end`, false],
      [`begin ${many("execute immediate s; ")} set s = 'set schema x'; end`, true],
      [`begin declare continue handler for ${many("sqlstate '42704', ")} sqlexception set schema x; end`, true],
      [`begin declare continue handler for ${many("not found, ")}`, false],
      [`begin ${many("declare exit handler for ")}`, false],
      [`begin set a = ${many("case when b then ")} connect`, false],
      [`begin ${many("case a when 1 then ")} set schema x; end`, true],
      [`begin ${many("a: ")} set schema x; end`, true],
      [`set ${many("/* */ ")} schema x`, true],
      [`call ${many("a / ")} qcmdexc('chglibl x')`, true],
      [`insert into ${many("a.")}qcmdexc (a) values (1)`, false],
      [`values ${many("qcmdexc (a), ")} 1`, true],
      [`call qcmdexc('${many("/* */ ")} dspjob')`, false],
      [`call qcmdexc('${many("/* ")} dspjob')`, false],
      [`call qcmdexc('${many("a")}')`, false],
      [`call qcmdexc('dltovr ${many("lvl(*")}')`, false],
      [many("'\""), false],
      [many("{ ? = "), false]
    ] as const) {
      assert.strictEqual(staysWithJob(text), stays, text.slice(0, 60))
    }
    assert.isBelow(performance.now() - before, 5_000)
  })

  it.scopedLive("are refused on a session that others get next, also in a transaction", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/./, {})
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        for (const text of staying) {
          const ways: ReadonlyArray<Effect.Effect<unknown, SqlError>> = [
            sql.unsafe(text),
            sql.withTransaction(sql.unsafe(text)),
            sql.many(text, [[1]]),
            Stream.runDrain(sql.unsafe(text).stream)
          ]
          for (const refused of ways) {
            const failed = SqlFailure.from(yield* Effect.flip(refused))
            assert.deepStrictEqual([failed.reason, failed.outcome], ["Unsupported", "notExecuted"])
            assert.include(failed.message, "sql.reserve")
          }
        }
        const [call, command] = ["call qsys2.qcmdexc(?)", "chglibl libl(other)"]
        for (const refused of [sql.unsafe(call, [command]), sql.many(call, [["dspjob"], [command]])]) {
          assert.strictEqual(
            SqlFailure.from(yield* Effect.flip<unknown, SqlError, never>(refused)).reason,
            "Unsupported"
          )
        }
        yield* sql.transaction({ isolation: "serializable" })(sql.unsafe("select 1"))
      })
      yield* Effect.provide(program, MapepireClient.layer(daemon.config))
      assert.isEmpty(daemon.statements.filter((text) => staysWithJob(text) || /qcmdexc/i.test(text)))
    })
  )

  it.scopedLive("end a reserved session with its reservation", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/./, {})
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const reserved = (...texts: ReadonlyArray<string>) =>
          Effect.scoped(
            Effect.flatMap(sql.reserve, (session) =>
              Effect.forEach(texts, (text) => session.execute(text, [], undefined), { discard: true })
            )
          )
        yield* reserved("select 1")
        yield* reserved("select 2")
        const connection = daemon.requests.find((request) => request.sql === "select 1")!.connection
        assert.isTrue(
          daemon.requests.some((request) => request.sql === "select 2" && request.connection === connection)
        )
        yield* reserved("set schema other", "select 3")
        yield* sql.withTransaction(sql.unsafe("select 4"))
        const on = (text: string) => daemon.requests.find((request) => request.sql === text)!.connection
        assert.strictEqual(on("select 3"), connection)
        assert.notStrictEqual(on("select 4"), connection)
        yield* until(() => connection.closed !== undefined)
      })
      yield* Effect.provide(program, MapepireClient.layer({ ...daemon.config, transactions: 1 }))
    })
  )
})
