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
    "call sysproc.wlm_set_client_info('a', null, null, null, null)"
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
      "settle"
    ]) {
      assert.isFalse(staysWithJob(text), text)
    }
  })

  it("are told by the command that they are given", () => {
    for (const text of ["call qsys2.qcmdexc(?)", "call qsys2/qcmdexc ( ?, 30 )", "call qcmdexc(command => ?)"]) {
      assert.isTrue(staysWithJob(text, [["dspjob"], ["  qsys/addlible lib(shop)"]]), text)
      assert.isFalse(staysWithJob(text, [["dspjob"]]), text)
      assert.isFalse(staysWithJob(text, [[1]]), text)
    }
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
