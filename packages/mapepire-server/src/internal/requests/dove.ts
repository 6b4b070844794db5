/** `dove`: how a statement would run. The plan is the database's own; its columns mean nothing to Db2's tools. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import { booleanField, type Client, defaultRows, type Entry, type Fields, integerField, textField } from "../client.js"
import { type Described, resultFields } from "../columns.js"
import type { Connection } from "../connection.js"
import * as failures from "../db2/failures.js"
import { verbOf } from "../db2/scan.js"
import { makeType } from "../db2/types.js"
import { field, type Fields as Json, fields, rawField } from "../json.js"
import { failed, missing, type Reply, success } from "../reply.js"
import { openResult } from "./results.js"

const columns: ReadonlyArray<Described> = [
  { name: "IFA_ID", type: makeType("INTEGER"), nullable: 1 },
  { name: "IFA_PARENT_ID", type: makeType("INTEGER"), nullable: 1 },
  { name: "ICON_LABEL", type: makeType("VARCHAR", 256), nullable: 1 }
]

export const dove = (client: Client, _id: string, request: Fields): Effect.Effect<Reply> => {
  const text = textField(request, "sql")
  if (text === undefined) {
    return Effect.succeed(missing)
  }
  const { connection } = client
  if (connection === undefined) {
    return Effect.succeed(failed(failures.notConnected))
  }
  const terse = booleanField(request, "terse")
  const detail = client.server.behaviour.fullColumns ? "full" : "old"
  const work = Effect.flatMap(connection.known(text), (known) => {
    const { statement } = known
    if (statement._tag !== "Run" || !client.server.sqlite) {
      return Effect.fail(failures.unsupported("a plan for this statement"))
    }
    const opened: Entry = { connection, terse, handle: false }
    const rows = integerField(request, "rows", defaultRows)
    const ran = booleanField(request, "run")
      ? statement.query
        ? Effect.zipLeft(
            Effect.map(openResult({ client, connection, entry: opened, known, rows }, statement, []), (result): Json =>
              fields(result.metadata, result.data)
            ),
            // The id is not remembered, so nobody could ask for more.
            Effect.suspend(() => opened.cursor?.close ?? Effect.void)
          )
        : Effect.as(connection.run(statement, []), "")
      : Effect.succeed("")
    return Effect.zipWith(plan(connection, statement.text), ran, (rows, more) =>
      success(
        rawField("vemetadata", `{${resultFields(columns, connection.job, detail)}}`),
        rawField("vedata", client.writer(columns, terse, connection).rows(rows)),
        more,
        field("is_done", true)
      )
    )
  })
  return Effect.match(connection.exchange(verbOf(text), work), { onFailure: failed, onSuccess: (reply) => reply })
}

const plan = (connection: Connection, text: string): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> =>
  Effect.map(
    connection.session.run(
      SqlTransport.request(`EXPLAIN QUERY PLAN ${text}`, { shape: "arrays", transaction: "free", prepared: false })
    ),
    (answer) => answer.arrays().map(([id, parent, , detail]) => [id, parent, detail])
  )
