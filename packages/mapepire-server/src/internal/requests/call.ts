/** CALL: procedures of the server, not of the database. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Client } from "../client.js"
import type { Connection } from "../connection.js"
import * as failures from "../db2/failures.js"
import type { Statement } from "../db2/statement.js"
import { parseType } from "../db2/types.js"
import { field, fields, rawField } from "../json.js"
import { bind, forProcedure } from "../parameters.js"
import { failureOf, find, type Procedure, type ProcedureAnswer, type ProcedureParameter } from "../procedures.js"
import { orRefused } from "../refused.js"
import { encoderOf, hex } from "../values.js"
import type { Execution } from "./execution.js"
import { openResult, parameterJson, type Result } from "./results.js"

export type Call = Extract<Statement, { _tag: "Call" }>

/** The procedure of a CALL; Db2 finds it by its name and its arguments. */
export const procedureOf = (
  client: Client,
  connection: Connection,
  call: Call
): Effect.Effect<Procedure, failures.Db2Failure> =>
  orRefused(() => {
    const procedure = find(client.server, connection, call.name)
    const name = call.name.slice(call.name.lastIndexOf(".") + 1)
    const places = procedure === undefined ? [] : placesOf(procedure, call)
    if (
      procedure === undefined ||
      places.some((at) => procedure.parameters[at] === undefined) ||
      new Set(places).size < places.length
    ) {
      throw new failures.Refused(failures.routineNotFound(name))
    }
    if (call.arguments.some(({ _tag }) => _tag === "Expression")) {
      throw new failures.Refused(failures.unsupported("arguments of CALL other than literals and markers"))
    }
    return procedure
  })

/** The parameter that each argument is for: the one at its place, or the one that it names; -1 if there is none. */
const placesOf = (procedure: Procedure, call: Call): ReadonlyArray<number> =>
  call.arguments.map(({ parameter }, i) =>
    parameter === undefined
      ? i
      : procedure.parameters.findIndex(({ name }) => name.toUpperCase() === parameter.toUpperCase())
  )

/** The parameters that have markers, in the order of these. */
const marked = (procedure: Procedure, call: Call): ReadonlyArray<ProcedureParameter> =>
  placesOf(procedure, call)
    .filter((_, i) => call.arguments[i]!._tag === "Marker")
    .map((at) => procedure.parameters[at]!)

export const callParameters = (procedure: Procedure, call: Call): ReadonlyArray<string> =>
  marked(procedure, call).map(({ mode, name, type }) => parameterJson(parseType(type), mode, name))

export interface Called {
  readonly procedure: Procedure
  readonly result: Result | undefined
  /** As JSON. */
  readonly outputs: string
}

export const callProcedure = (
  execution: Execution,
  call: Call,
  given: ReadonlyArray<unknown>
): Effect.Effect<Called, SqlError | failures.Db2Failure> => {
  const { client, connection } = execution
  return Effect.flatMap(procedureOf(client, connection, call), (procedure) => {
    const parameters = marked(procedure, call)
    if (given.length !== parameters.length) {
      return Effect.fail(
        given.length > parameters.length
          ? failures.noSuchMarker(given.length, parameters.length)
          : failures.wrongParameterCount
      )
    }
    return Effect.flatMap(values(execution, procedure, call, given), (bound) =>
      Effect.flatMap(
        ran(procedure, call.name, bound),
        ({ outputs, query }): Effect.Effect<Called, SqlError | failures.Db2Failure> => {
          // The daemon registers no output where it has set NULL: it is read in vain when all has been done.
          if (parameters.some(({ mode }, i) => mode === "INOUT" && given[i] === null)) {
            return Effect.fail(failures.parameterType)
          }
          const json = outputsJson(connection, parameters, outputs ?? [], procedure)
          if (query === undefined) {
            return Effect.succeed({ procedure, result: undefined, outputs: json })
          }
          return Effect.flatMap(connection.known(query), (known) =>
            known.statement._tag === "Run"
              ? Effect.map(openResult({ ...execution, known }, known.statement, []), (result) => ({
                  procedure,
                  result,
                  outputs: json
                }))
              : Effect.fail(failures.unsupported("such a result"))
          )
        }
      )
    )
  })
}

/** A defect of a procedure is its own: the client is told that it has failed, and the log tells how. */
const ran = (
  procedure: Procedure,
  name: string,
  values: ReadonlyArray<unknown>
): Effect.Effect<ProcedureAnswer, failures.Db2Failure> =>
  Effect.suspend(() => procedure.run(values)).pipe(
    Effect.mapError(failureOf),
    Effect.tapDefect((cause) => Effect.logError(`The procedure ${name} has met a defect`, cause)),
    Effect.catchAllDefect(() =>
      Effect.fail(failures.routineFailed(`Procedure ${name} has failed, and the server's log tells why.`))
    )
  )

const values = (
  { client, connection }: Execution,
  procedure: Procedure,
  call: Call,
  given: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<unknown>, failures.Db2Failure> =>
  orRefused(() => {
    const places = placesOf(procedure, call)
    const parameters = marked(procedure, call)
    return procedure.parameters.map((parameter, i) => {
      const { mode, type } = parameter
      const argument = call.arguments[places.indexOf(i)]
      const value =
        argument?._tag === "Marker"
          ? given[parameters.indexOf(parameter)]
          : argument?._tag === "Literal"
            ? argument.value
            : null
      if (mode === "OUT" && argument?._tag === "Marker" && value === null) {
        throw new failures.Refused(failures.parameterType)
      }
      if (mode === "OUT") {
        return null
      }
      const of = parseType(type)
      return forProcedure(bind(value, of, connection.login.properties, client.server.behaviour.blobs), of)
    })
  })

/** All of them, in order; values only of those that come out. Texts lose their blanks at both ends. */
const outputsJson = (
  connection: Connection,
  parameters: ReadonlyArray<ProcedureParameter>,
  outputs: ReadonlyArray<unknown>,
  procedure: Procedure
): string => {
  const items = parameters.map((parameter, i) => {
    const type = parseType(parameter.type)!
    const value = outputs[procedure.parameters.indexOf(parameter)] ?? null
    const text = typeof value === "string" ? value.trim() : value
    return `{${fields(
      field("index", i + 1),
      field("type", type.name),
      field("precision", type.precision),
      field("scale", type.scale),
      field("name", parameter.name),
      field("ccsid", /CHAR|CLOB/.test(type.name) ? 37 : 0),
      parameter.mode === "IN" ? undefined : rawField("value", encoderOf(type, connection.login.properties, hex)(text))
    )}}`
  })
  return `[${items.join(",")}]`
}
