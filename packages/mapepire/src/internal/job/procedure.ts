/** CALL: its parameters need a look before it runs, and have values afterwards. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, type SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type * as MapepireJob from "../../MapepireJob.js"
import { numberIn, recordOf, textIn } from "../columns.js"
import type { Frame } from "../frame.js"
import { isNull } from "../parameters.js"
import { resultNames } from "../rows.js"
import type { JobAnswer } from "./answer.js"
import { single } from "./commands.js"
import type { JobSession } from "./session.js"
import { fromVerb } from "./text.js"

/** Stands for an OUT parameter. */
export const out: unique symbol = Symbol.for("@sluice/mapepire/out")

/** Any text that converts to an OUT parameter's type would do; zero nearly always does. */
export const withoutOut = (params: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  params.map((value) => (value === out ? 0 : value))

/**
 * CALL: NULL for an INOUT parameter cannot be sent (the procedure would run, and reading it back would fail), so where a
 * NULL is given the modes are looked at first.
 */
export const call = (session: JobSession, request: SqlTransport.SqlRequest): Effect.Effect<JobAnswer, SqlError> =>
  Effect.suspend(() => {
    const run = session.run({ ...request, params: withoutOut(request.params) })
    if (!request.params.some(isNull)) {
      return run
    }
    const described = single(session, request, { type: "prepare_sql", sql: fromVerb(request.text) }, (frame, id) => {
      session.wire.close(id, session.wire.epoch)
      return frame.success ? parametersOf(frame) : session.refusal(frame, request.text)
    })
    return Effect.flatMap(described, (described) => {
      const wrong = nullRefused(described, request.params, request.text)
      return wrong === undefined ? run : Effect.fail(wrong)
    })
  })

/** What is wrong with parameters that the daemon would only find out about once the procedure has run. */
export const nullRefused = (
  described: MapepireJob.Prepared["parameters"],
  parameters: ReadonlyArray<unknown>,
  statement: string
): SqlError | undefined => {
  const wrong = described.findIndex(
    ({ mode }, i) => (mode === "OUT" || mode === "INOUT") && i < parameters.length && isNull(parameters[i])
  )
  return wrong < 0
    ? undefined
    : SqlFailure.make({
        reason: "InvalidParameter",
        message:
          `Parameter ${wrong + 1} is ${described[wrong]!.mode}: NULL cannot be sent to it through Mapepire. ` +
          "Pass MapepireJob.out for an OUT parameter, a value for INOUT",
        statement
      })
}

/** The markers of a statement, as the answer to `prepare_sql` describes them. */
export const parametersOf = (frame: Pick<Frame, "body">): MapepireJob.Prepared["parameters"] => {
  const { metadata } = frame.body as { readonly metadata?: { readonly parameters?: unknown } | null }
  return Array.isArray(metadata?.parameters)
    ? metadata.parameters.map(recordOf).map((parameter) => ({
        name: textIn(parameter.name),
        type: textIn(parameter.type),
        mode: textIn(parameter.mode),
        precision: numberIn(parameter.precision),
        scale: numberIn(parameter.scale)
      }))
    : []
}

/** Parameters by name beside the rows. */
export const callResult = <A>(answer: JobAnswer, config: MapepireJob.JobConfig): MapepireJob.CallResult<A> => {
  const named = answer.outputs.filter(({ name, value }) => name !== undefined && value !== undefined)
  const names = resultNames(named as ReadonlyArray<{ readonly name: string }>, config.resultNames ?? "lower")
  return {
    rows: answer.objects() as ReadonlyArray<A>,
    columns: answer.columns,
    rowCount: answer.changes,
    parameters: answer.outputs,
    out: Object.fromEntries(named.map(({ value }, i) => [names[i]!, value]))
  }
}
