/** `sql`: a statement without parameters. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { booleanField, type Client, defaultRows, type Entry, type Fields, integerField, textField } from "../client.js"
import type { Connection } from "../connection.js"
import * as failures from "../db2/failures.js"
import { field } from "../json.js"
import { failed, missing, type Reply, success } from "../reply.js"
import type { Known } from "../statementCache.js"
import { callProcedure } from "./call.js"
import { openResult, type Result } from "./results.js"

export const sql = (client: Client, id: string, request: Fields): Effect.Effect<Reply> => {
  const text = textField(request, "sql")
  if (text === undefined) {
    return Effect.succeed(missing)
  }
  const { connection } = client
  const entry: Entry = { connection, terse: booleanField(request, "terse"), handle: false }
  client.entries.set(id, entry)
  if (connection === undefined) {
    return Effect.succeed(failed(failures.notConnected))
  }
  const verb = verbOf(text)
  const work = Effect.flatMap(connection.known(text), (known) =>
    Effect.zipRight(
      takeHandle(connection, entry),
      run(client, connection, entry, known, integerField(request, "rows", defaultRows))
    )
  )
  return Effect.match(connection.exchange(verb, work), { onFailure: failed, onSuccess: (reply) => reply })
}

export const verbOf = (text: string): string => /^\s*(\w+)/.exec(text)?.[1]?.toUpperCase() ?? ""

export const takeHandle = (connection: Connection, entry: Entry): Effect.Effect<void, failures.Db2Failure> =>
  Effect.tap(connection.useHandle, () => Effect.sync(() => void (entry.handle = true)))

/** Only a result that was read to its end gives its handle back. */
export const giveHandle = (connection: Connection, entry: Entry): void => {
  if (entry.handle) {
    entry.handle = false
    connection.freeHandle()
  }
}

const run = (
  client: Client,
  connection: Connection,
  entry: Entry,
  known: Known,
  rows: number
): Effect.Effect<Reply, SqlError | failures.Db2Failure> => {
  const { statement } = known
  switch (statement._tag) {
    case "Call":
      return callProcedure(client, connection, entry, statement, [], rows, entry.terse).pipe(
        Effect.map(({ result, outputs: _outputs }) => (result === undefined ? counted(0) : withRows(result)))
      )
    case "Run":
      if ((statement.markers?.length ?? 0) > 0) {
        return Effect.fail(failures.wrongParameterCount)
      }
      if (!statement.query) {
        return Effect.map(connection.run(statement, []), counted)
      }
      return Effect.map(openResult(client, connection, entry, known, statement, [], rows, entry.terse), (result) => {
        if (result.done) {
          giveHandle(connection, entry)
        }
        return withRows(result)
      })
    default:
      return Effect.as(connection.control(statement), counted(0))
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
