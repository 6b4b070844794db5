/** Sessions that do not keep the port's contract by themselves. */
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlTransport } from "@sluice/sql"
import { Cause, Effect, Exit, Layer, Option, Stream } from "effect"
import { fake } from "./fakeTransport.js"

const defect = new Error("not a mock for this")

const boom = (text: string) => {
  if (text === "boom") throw defect
}

/** One session; it throws where the text is "boom", instead of answering an Effect. */
const throwing = (sharing: SqlTransport.Sharing) => {
  const transport = Effect.map(SqlTransport.SqlTransport, (transport): SqlTransport.SqlTransport => ({
    ...transport,
    connect: (options) =>
      Effect.map(transport.connect(options), (session) => ({
        ...session,
        run: (request) => (boom(request.text), session.run(request)),
        batch: (request, rows) => (boom(request.text), session.batch(request, rows)),
        open: (request) => (boom(request.text), session.open(request)),
        describe: (text) => (boom(text), session.describe(text))
      }))
  }))
  return SqlClient.layer.pipe(
    Layer.provide(Layer.effect(SqlTransport.SqlTransport, transport)),
    Layer.provide(fake({ sharing }).layer)
  )
}

const uses: Record<string, (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>> = {
  "a statement": (sql) => sql.unsafe("boom"),
  "a stream": (sql) => Stream.runDrain(sql.unsafe("boom").stream),
  many: (sql) => sql.many("boom", [[1]]),
  "a description": (sql) => sql.describe("boom")
}

describe("a session that throws instead of answering an Effect", () => {
  for (const sharing of ["fifo", "exclusive"] as const) {
    for (const [name, use] of Object.entries(uses)) {
      it.effect(`${name}: a defect of its caller alone (${sharing})`, () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          for (const attempt of [use(sql), sql.withTransaction(use(sql))]) {
            const exit = yield* Effect.exit(attempt)
            assert.isTrue(Exit.isFailure(exit))
            const thrown = Exit.isFailure(exit) ? Cause.dieOption(exit.cause) : Option.none()
            assert.strictEqual(Option.getOrUndefined(thrown), defect)
            // The only session is free for the next one.
            yield* sql`select 1`
            yield* sql.withTransaction(sql`select 1`)
          }
        }).pipe(Effect.provide(throwing(sharing)))
      )
    }
  }
})
