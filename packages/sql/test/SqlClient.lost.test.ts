/** A session dies under a statement: whoever tries again at once finds another one. */
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import { Deferred, Effect, Layer, Stream } from "effect"
import type { SqlError } from "@effect/sql/SqlError"
import { answer, fake } from "./fakeTransport.js"

/** Every session dies of the statement "die", and says so after the statement has failed. */
const mortal = (sharing: SqlTransport.Sharing, keepsContract: boolean, outcome?: SqlFailure.Outcome) => {
  const seen = fake()
  const opened: Array<string> = []
  const death = SqlFailure.make({ reason: "SessionLost", message: "died" })
  const connect = Effect.gen(function* () {
    const lost = yield* Deferred.make<SqlError>()
    const id = `session ${opened.length + 1}`
    opened.push(id)
    let dead = false
    let inTransaction = false
    const run = (request: SqlTransport.SqlRequest) =>
      Effect.async<SqlTransport.Answer, SqlError>((resume) => {
        if (/\bdie\b/.test(request.text)) {
          dead = true
          // What it last said, it says still.
          inTransaction &&= outcome !== undefined
          const { text: statement } = request
          resume(Effect.fail(outcome === undefined ? death : SqlFailure.annotate(death, { outcome, statement })))
          Deferred.unsafeDone(lost, Effect.succeed(death))
        } else if (dead) {
          resume(Effect.fail(death))
        } else {
          inTransaction = /^begin/i.test(request.text) || (inTransaction && !/^(commit|rollback)$/i.test(request.text))
          resume(Effect.succeed(answer([{ id }], { inTransaction })))
        }
      })
    return {
      id,
      keepsContract,
      run,
      batch: run,
      describe: () => Effect.succeed({ parameters: 0, columns: [], routable: true, private: false }),
      check: Effect.void,
      inTransaction: () => inTransaction,
      lost: Deferred.await(lost),
      open: (request) =>
        Effect.map(run(request), (first) => ({ first, columns: first.columns, next: Effect.succeed(first) }))
    } satisfies SqlTransport.Session
  })
  const transport = Layer.effect(
    SqlTransport.SqlTransport,
    Effect.map(SqlTransport.SqlTransport, (transport) => ({
      ...transport,
      compiler: Statement.makeCompilerSqlite(),
      sharing,
      connect: () => connect
    }))
  )
  return { opened, layer: SqlClient.layer.pipe(Layer.provide(transport), Layer.provide(seen.layer)) }
}

describe("SqlClient, a session that dies", () => {
  for (const sharing of ["fifo", "exclusive"] as const) {
    for (const keepsContract of [true, false]) {
      it.effect(`${sharing}${keepsContract ? "" : ", guarded"}: the next statement has another session`, () => {
        const { layer, opened } = mortal(sharing, keepsContract)
        const wayOf = {
          statement: (sql: SqlClient.SqlClient) => Effect.asVoid(sql`die`),
          stream: (sql: SqlClient.SqlClient) => Stream.runDrain(sql`die`.stream),
          many: (sql: SqlClient.SqlClient) => Effect.asVoid(sql.many("die", [[1]])),
          transaction: (sql: SqlClient.SqlClient) => Effect.asVoid(sql.withTransaction(sql`die`)),
          reserved: (sql: SqlClient.SqlClient) =>
            Effect.scoped(
              Effect.flatMap(sql.reserve, (connection) => Effect.asVoid(connection.execute("die", [], undefined)))
            )
        }
        return Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          let sessions = 1
          for (const [way, die] of Object.entries(wayOf)) {
            assert.strictEqual(SqlFailure.from(yield* Effect.flip(die(sql))).reason, "SessionLost", way)
            assert.deepStrictEqual(yield* sql`select`, [{ id: `session ${++sessions}` }], way)
          }
          // Retrying is enough, then.
          let first = true
          const retried = Effect.suspend(() => (first ? ((first = false), sql`die`) : sql`select`))
          assert.deepStrictEqual(yield* Effect.retry(retried, { times: 1 }), [{ id: `session ${++sessions}` }])
          assert.strictEqual(opened.length, sessions)
        }).pipe(Effect.provide(layer))
      })
    }
  }

  for (const [text, outcome] of [
    ["insert into t values ('die')", "notExecuted"],
    ["with a as (select 1) select die from a;", "notExecuted"],
    ["/* die */ merge into t using a on b = c", "notExecuted"],
    ["commit -- die", "unknown"],
    ["insert into t values ('die'); commit", "unknown"],
    ["call die()", "unknown"]
  ] as const) {
    it.effect(`under a statement of a transaction, before any COMMIT: ${outcome} (${text})`, () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const statement = sql.unsafe(text)
        const inside = SqlFailure.from(yield* Effect.flip(sql.withTransaction(Effect.zipRight(sql`insert`, statement))))
        assert.deepStrictEqual([inside.reason, inside.outcome], ["SessionLost", outcome])
        assert.strictEqual(inside.isRetryable, outcome === "notExecuted")
        // By itself it may have done its work.
        assert.strictEqual(SqlFailure.from(yield* Effect.flip(statement)).outcome, "unknown")
      }).pipe(Effect.provide(mortal("exclusive", true, "unknown").layer))
    )
  }
})
