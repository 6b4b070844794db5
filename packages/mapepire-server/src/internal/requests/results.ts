/** The parts of responses that tell of results. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { describeColumns, type Hints, resultFields } from "../columns.js"
import type { ResultCursor } from "../cursor.js"
import type { Db2Failure } from "../db2/failures.js"
import type { Run } from "../db2/statement.js"
import { type Db2Type, makeType } from "../db2/types.js"
import { field, type Fields, fields, rawField } from "../json.js"
import type { Execution } from "./execution.js"

export interface Result {
  readonly metadata: Fields
  readonly data: Fields
  readonly done: boolean
}

/** Characters of a result that others like it may be made beside: what a client has not taken yet is bounded. */
const briefLength = 16_384

/** Opens a query's result and takes the first page. The entry gets the cursor. */
export const openResult = (
  execution: Execution,
  run: Run,
  params: ReadonlyArray<unknown>
): Effect.Effect<Result, SqlError | Db2Failure> => {
  const { client, connection, entry, known, rows } = execution
  return Effect.flatMap(connection.open(run, params, rows), (cursor) =>
    Effect.flatMap(hintsOf(execution, run, cursor.columns), (hints) => {
      const columns = describeColumns(cursor.columns, hints, cursor.fetched, cursor.complete)
      const writer = client.writer(columns, entry.terse, connection)
      const detail = client.server.behaviour.fullColumns ? "full" : "old"
      const metadata = rawField("metadata", `{${resultFields(columns, connection.job, detail)}}`)
      entry.cursor = cursor
      entry.writer = writer
      entry.closings = connection.closings
      return Effect.map(page(cursor, rows), ({ done, rows }) => {
        const data = writer.rows(rows)
        known.brief = done && !run.writes && data.length <= briefLength
        return { metadata, data: rawField("data", data), done }
      })
    })
  )
}

/** What is known of the columns besides what the result itself says; only of SQLite's is there more. */
const hintsOf = (
  { client, connection, known }: Execution,
  run: Run,
  columns: ResultCursor["columns"]
): Effect.Effect<Hints | undefined> => {
  if (!client.server.sqlite) {
    return Effect.succeed(undefined)
  }
  const { columns: named, quotedNames, table } = run
  // Expressions have no types; their table tells nothing of them.
  const typed = table !== undefined && columns.some(({ type }) => type !== undefined)
  return Effect.flatMap(connection.statements.resultTypes(known, run), (types) =>
    Effect.map(typed ? connection.statements.table(table) : Effect.succeed(undefined), (found) => ({
      columns: named,
      quotedNames,
      types,
      table: found
    }))
  )
}

/** Done is only who met the end while filling the page: never with no rows wanted, nor with exactly as many as there are. */
export const page = (
  cursor: ResultCursor,
  rows: number
): Effect.Effect<
  { readonly rows: ReadonlyArray<ReadonlyArray<unknown>>; readonly done: boolean },
  SqlError | Db2Failure
> =>
  rows <= 0
    ? Effect.succeed({ rows: [], done: false })
    : Effect.flatMap(cursor.take(rows), (taken) => {
        const done = taken.length < rows
        return Effect.as(done ? cursor.close : Effect.void, { rows: taken, done })
      })

export const noResult: Fields = fields(rawField("data", "[]"), field("has_results", false))

const unknownParameter: Db2Type = { ...makeType("VARCHAR", 0), displaySize: 0 }

export const parameterJson = (
  type: Db2Type | undefined,
  mode: "IN" | "OUT" | "INOUT" = "IN",
  name: string | null = null
): string => {
  const shown = type ?? unknownParameter
  return `{${fields(
    field("type", shown.name),
    field("mode", mode),
    field("precision", shown.precision),
    field("scale", shown.scale),
    field("name", name)
  )}}`
}
