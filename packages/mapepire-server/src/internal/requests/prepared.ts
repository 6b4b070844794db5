/** `prepare_sql`, `prepare_sql_execute`, `execute`: statements with parameters. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import {
  booleanField,
  type Client,
  closeResults,
  defaultRows,
  type Entry,
  type Fields,
  integerField,
  textField
} from "../client.js"
import { describeColumns, resultFields } from "../columns.js"
import type { Connection } from "../connection.js"
import * as failures from "../db2/failures.js"
import { verbOf } from "../db2/scan.js"
import type { Run, Statement } from "../db2/statement.js"
import { type Db2Type, makeType } from "../db2/types.js"
import { field, fields, type Fields as Json, rawField } from "../json.js"
import { bind } from "../parameters.js"
import { orRefused } from "../refused.js"
import { failed, missing, refused, type Reply, success } from "../reply.js"
import type { Known } from "../statementCache.js"
import { type Call, callParameters, callProcedure, procedureOf } from "./call.js"
import { continued } from "./continued.js"
import { newEntry, takeHandle } from "./entries.js"
import type { Execution } from "./execution.js"
import { noResult, openResult, parameterJson, type Result } from "./results.js"

type Failure = SqlError | failures.Db2Failure

/** An execution that has been refused before it came to SQL. */
class Malformed {
  readonly _tag = "Malformed"
  constructor(readonly message: string) {}
}

const prepare = (connection: Connection, entry: Entry, text: string): Effect.Effect<void, failures.Db2Failure> =>
  Effect.map(takeHandle(connection, entry), () => {
    entry.prepared = text
  })

export const prepareSql = (client: Client, id: string, request: Fields): Effect.Effect<Reply> => {
  const text = textField(request, "sql")
  if (text === undefined) {
    return Effect.succeed(missing)
  }
  const entry = newEntry(client, id, request)
  const { connection } = client
  if (connection === undefined) {
    return Effect.succeed(failed(failures.notConnected))
  }
  const work = connection.statement(text, (known) =>
    Effect.zipRight(prepare(connection, entry, text), description(client, connection, known))
  )
  return Effect.match(work, { onFailure: failed, onSuccess: success })
}

/** `parameter_count` and `metadata`, as far as they are known before anything runs. */
const description = (client: Client, connection: Connection, known: Known): Effect.Effect<Json, Failure> => {
  const { statement } = known
  switch (statement._tag) {
    case "Call":
      return Effect.map(procedureOf(client, connection, statement), (procedure) =>
        prepared(callParameters(procedure, statement), undefined)
      )
    case "Run":
      return runDescription(client, connection, known, statement)
    default:
      return Effect.succeed(prepared(controlParameters(statement), undefined))
  }
}

/** Only SET SCHEMA may have a marker. */
const controlParameters = (statement: Exclude<Statement, Run | Call>): ReadonlyArray<string> =>
  statement._tag === "SetSchema" && statement.to._tag === "Marker" ? [parameterJson(makeType("VARCHAR", 128))] : []

const runDescription = (client: Client, connection: Connection, known: Known, run: Run): Effect.Effect<Json, Failure> =>
  Effect.flatMap(connection.statements.describe(known, run), (described) =>
    Effect.flatMap(connection.statements.types(known, run), (types) =>
      Effect.map(connection.statements.resultTypes(known, run), (resultTypes) => {
        const count = run.markers?.length ?? described.parameters
        const markers = Array.from({ length: count }, (_, i) => parameterOf(types[i]))
        if (!run.query) {
          return prepared(markers, undefined)
        }
        const hints = client.server.sqlite
          ? { columns: run.columns, quotedNames: run.quotedNames, types: resultTypes, table: undefined }
          : undefined
        const columns = describeColumns(described.columns, hints, [], false)
        return prepared(markers, resultFields(columns, connection.job, "prepared"))
      })
    )
  )

const parameterOf = (type: Db2Type | undefined): string => parameterJson(type)

const prepared = (parameters: ReadonlyArray<string>, columns: Json | undefined): Json =>
  fields(
    field("parameter_count", parameters.length),
    rawField("metadata", `{${fields(columns, rawField("parameters", `[${parameters.join(",")}]`))}}`)
  )

export const prepareSqlExecute = (client: Client, id: string, request: Fields): Effect.Effect<Reply> => {
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
    Effect.zipRight(
      prepare(connection, entry, text),
      // Prepared it was: a failure is told along with what the preparation has found.
      Effect.catchAll(carryOut({ client, connection, entry, known, rows }, request.parameters, true), (failure) =>
        Effect.match(description(client, connection, known), {
          onFailure: () => failureReply(connection, failure, verbOf(text), ""),
          onSuccess: (partial) => failureReply(connection, failure, verbOf(text), partial)
        })
      )
    )
  )
  return Effect.match(work, { onFailure: failed, onSuccess: (reply) => reply })
}

const failureReply = (connection: Connection, failure: Failure | Malformed, verb: string, partial: Json): Reply =>
  failure instanceof Malformed ? refused(failure.message, partial) : failed(connection.failure(failure, verb), partial)

export const execute = (client: Client, _id: string, request: Fields): Effect.Effect<Reply> =>
  continued(client, request, (connection, entry) => {
    const rows = integerField(request, "rows", defaultRows)
    const work = Effect.suspend(() => {
      const { prepared } = entry
      if (prepared === undefined) {
        return Effect.succeed(missing)
      }
      if (entry.connection !== connection) {
        return Effect.fail(failures.functionSequence)
      }
      const verb = verbOf(prepared)
      // The driver closes the result that the same statement had before.
      const opened: Entry = { connection, terse: booleanField(request, "terse"), handle: false }
      return closeResults(entry).pipe(
        Effect.zipRight(
          // Read again where its tables were changed since.
          Effect.flatMap(connection.known(prepared), (known) =>
            carryOut({ client, connection, entry: opened, known, rows }, request.parameters, false)
          )
        ),
        Effect.catchAll((failure) => Effect.succeed(failureReply(connection, failure, verb, ""))),
        Effect.tap(() =>
          Effect.sync(() => {
            entry.last = opened.cursor
            opened.cursor?.forget()
          })
        )
      )
    })
    return Effect.match(connection.exchange("", work), { onFailure: failed, onSuccess: (reply) => reply })
  })

/** `first`: the same request has prepared the statement, so its answer tells of the parameters, too. */
const carryOut = (
  execution: Execution,
  parameters: unknown,
  first: boolean
): Effect.Effect<Reply, Failure | Malformed> => {
  if (parameters === undefined) {
    return Effect.fail(new Malformed("Internal Error: NullPointerException: null"))
  }
  if (!Array.isArray(parameters)) {
    return Effect.fail(new Malformed(`Not a JSON Array: ${JSON.stringify(parameters) ?? "null"}`))
  }
  const given = parameters as ReadonlyArray<unknown>
  const { statement } = execution.known
  switch (statement._tag) {
    case "Call":
      return call(execution, statement, given, first)
    case "Run":
      return Array.isArray(given[0])
        ? batch(execution, statement, given, first)
        : single(execution, statement, given, first)
    default: {
      const parameters = controlParameters(statement)
      return given.length === parameters.length
        ? Effect.as(execution.connection.control(statement, given), changed(prefix(first, parameters), 0))
        : Effect.fail(countFailure(given.length, parameters.length))
    }
  }
}

const countFailure = (given: number, wanted: number): failures.Db2Failure =>
  given > wanted ? failures.noSuchMarker(wanted + 1, wanted) : failures.wrongParameterCount

/** What preparation adds to the answer of a statement without rows. */
const prefix = (first: boolean, parameters: ReadonlyArray<string>): Json | undefined =>
  first ? prepared(parameters, undefined) : undefined

const changed = (before: Json | undefined, count: number, added?: number, outputs = "[]"): Reply =>
  success(
    before,
    added === undefined ? undefined : field("batch_added", added),
    noResult,
    field("update_count", count),
    rawField("output_parms", outputs),
    field("is_done", true)
  )

/** `parameters`: how many, where the answer shall tell. */
const withRows = (result: Result, parameters: number | undefined, outputs = "[]"): Reply =>
  success(
    parameters === undefined ? undefined : field("parameter_count", parameters),
    result.metadata,
    field("has_results", true),
    field("update_count", -1),
    result.data,
    rawField("output_parms", outputs),
    field("is_done", result.done)
  )

const single = (
  execution: Execution,
  run: Run,
  given: ReadonlyArray<unknown>,
  first: boolean
): Effect.Effect<Reply, Failure> =>
  Effect.flatMap(execution.connection.statements.types(execution.known, run), (types) =>
    Effect.flatMap(bound(execution, run, types, given), (params) => {
      if (!run.query) {
        return Effect.map(execution.connection.run(run, params), (count) =>
          changed(
            prefix(
              first,
              params.map((_, i) => parameterOf(types[i]))
            ),
            count
          )
        )
      }
      return Effect.map(openResult(execution, run, params), (result) =>
        withRows(result, first ? params.length : undefined)
      )
    })
  )

const bound = (
  { client, connection }: Execution,
  run: Run,
  types: ReadonlyArray<Db2Type | undefined>,
  given: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<unknown>, failures.Db2Failure> =>
  orRefused(() => {
    const wanted = run.markers?.length ?? given.length
    if (given.length !== wanted) {
      throw new failures.Refused(countFailure(given.length, wanted))
    }
    return given.map((value, i) => bind(value, types[i], connection.login.properties, client.server.behaviour.blobs))
  })

const batch = (
  execution: Execution,
  run: Run,
  rows: ReadonlyArray<unknown>,
  first: boolean
): Effect.Effect<Reply, Failure | Malformed> => {
  if (run.query) {
    return Effect.fail(failures.functionSequence)
  }
  const wrong = rows.find((row) => !Array.isArray(row))
  if (wrong !== undefined) {
    return Effect.fail(new Malformed(`Not a JSON Array: ${JSON.stringify(wrong)}`))
  }
  // A row that is too short keeps the values of the row before it, as the driver's statement does.
  const wanted = run.markers?.length ?? (rows[0] as ReadonlyArray<unknown>).length
  let before: ReadonlyArray<unknown> = []
  const full = (rows as ReadonlyArray<ReadonlyArray<unknown>>).map((row) => {
    before = row.length < wanted ? [...row, ...before.slice(row.length)] : row
    return before
  })
  const { connection, known } = execution
  return Effect.flatMap(connection.statements.types(known, run), (types) =>
    Effect.flatMap(
      Effect.forEach(full, (row) => bound(execution, run, types, row)),
      (params) =>
        Effect.map(connection.batch(run, params), (count) =>
          changed(
            prefix(
              first,
              Array.from({ length: wanted }, (_, i) => parameterOf(types[i]))
            ),
            count,
            params.length
          )
        )
    )
  )
}

const call = (
  execution: Execution,
  statement: Call,
  given: ReadonlyArray<unknown>,
  first: boolean
): Effect.Effect<Reply, Failure> =>
  Effect.map(callProcedure(execution, statement, given), ({ outputs, procedure, result }) => {
    const parameters = callParameters(procedure, statement)
    return result === undefined
      ? changed(prefix(first, parameters), 0, undefined, outputs)
      : withRows(result, first ? parameters.length : undefined, outputs)
  })
