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
    "CALL QCMDEXC ( 'QSYS/ADDLIBLE LIB(SHOP)' )"
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
      "settle"
    ]) {
      assert.isFalse(staysWithJob(text), text)
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
        yield* sql.transaction({ isolation: "serializable" })(sql.unsafe("select 1"))
      })
      yield* Effect.provide(program, MapepireClient.layer(daemon.config))
      assert.isEmpty(daemon.statements.filter(staysWithJob))
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
