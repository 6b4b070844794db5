/** `sql`: a statement without parameters. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type Client, defaultRows, type Fields, integerField, textField } from "../client.js"
import * as failures from "../db2/failures.js"
import { field } from "../json.js"
import { failed, missing, type Reply, success } from "../reply.js"
import { callProcedure } from "./call.js"
import { giveHandle, newEntry, takeHandle } from "./entries.js"
import type { Execution } from "./execution.js"
import { openResult, type Result } from "./results.js"

export const sql = (client: Client, id: string, request: Fields): Effect.Effect<Reply> => {
  const text = textField(request, "sql")
  if (text === undefined) {
    return Effect.succeed(missing)
  }
  const entry = newEntry(client, id, request)
  const { connection } = client
  if (connection === undefined) {
    return Effect.succeed(failed(failures.notConnected))
  }
  const rows = integerField(request, "rows", defaultRows)
  const work = connection.statement(text, (known) =>
    Effect.zipRight(takeHandle(connection, entry), run({ client, connection, entry, known, rows }))
  )
  return Effect.match(work, { onFailure: failed, onSuccess: (reply) => reply })
}

const run = (execution: Execution): Effect.Effect<Reply, SqlError | failures.Db2Failure> => {
  const { connection, entry } = execution
  const { statement } = execution.known
  switch (statement._tag) {
    case "Call":
      return Effect.map(callProcedure(execution, statement, []), ({ result }) =>
        result === undefined ? counted(0) : withRows(result)
      )
    case "Run":
      if ((statement.markers?.length ?? 0) > 0) {
        return Effect.fail(failures.wrongParameterCount)
      }
      if (!statement.query) {
        return Effect.map(connection.run(statement, []), counted)
      }
      return Effect.map(openResult(execution, statement, []), (result) => {
        if (result.done) {
          giveHandle(connection, entry)
        }
        return withRows(result)
      })
    default:
      return statement._tag === "SetSchema" && statement.to._tag === "Marker"
        ? Effect.fail(failures.wrongParameterCount)
        : Effect.as(connection.control(statement), counted(0))
  }
}

const counted = (count: number): Reply => success(field("has_results", false), field("update_count", count))

const withRows = (result: Result): Reply =>
  success(
    field("has_results", true),
    field("update_count", -1),
    result.metadata,
    result.data,
    field("is_done", result.done)
  )
