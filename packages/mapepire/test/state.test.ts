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
    "begin declare c varchar(99); call qcmdexc(c); end"
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
