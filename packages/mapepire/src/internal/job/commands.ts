/** Everything that is not a statement: one request, one answer. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, type SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type * as MapepireJob from "../../MapepireJob.js"
import type { ColumnMetadata } from "../../Protocol.js"
import { columnsIn, columnsOf, textIn } from "../columns.js"
import * as failure from "../failure.js"
import type { Frame } from "../frame.js"
import type { Call } from "./call.js"
import { ownRequest } from "./request.js"
import { scrubRows } from "./secrets.js"
import { hasBinary, type JobSession } from "./session.js"
import { type Blobs, Task, type TaskRequest } from "./task.js"
import { fromVerb } from "./text.js"

/** One request; the answer is made of its response, also of one that says "failure". */
export const single = <A>(
  session: JobSession,
  request: TaskRequest,
  message: Call["request"],
  answer: (frame: Frame, id: string, blobs?: Blobs) => A | SqlError,
  mayHaveBlobs?: (frame: Frame) => boolean
): Effect.Effect<A, SqlError> =>
  Effect.suspend(() => {
    const task = new Task(session.wire, session.stops, request)
    return Effect.onInterrupt(task.ask(message, answer, mayHaveBlobs), () => task.interrupted)
  })

/** One request without a statement, whose failure is a failure. */
const simple = <A>(
  session: JobSession,
  request: TaskRequest,
  message: Call["request"],
  answer: (body: Frame["body"]) => A
): Effect.Effect<A, SqlError> =>
  single(session, request, message, (frame) => (frame.success ? answer(frame.body) : session.refusal(frame, undefined)))

/** `ping` does not ask Db2, so this runs a statement. */
export const check = (session: JobSession, { deadline }: TaskRequest) =>
  Effect.asVoid(session.run({ ...ownRequest("VALUES 1"), deadline }))

export const ping = (
  session: JobSession,
  request: TaskRequest
): Effect.Effect<{ alive: boolean; databaseAlive: boolean }, SqlError> =>
  single(session, request, { type: "ping" }, ({ body }) => ({
    // Without a database connection this is a failure that says so, and alive all the same.
    alive: body.alive === true,
    databaseAlive: body.db_alive === true
  }))

export const version = (session: JobSession, request: TaskRequest) =>
  simple(session, request, { type: "getversion" }, (body) => ({
    version: textIn(body.version) ?? "unknown",
    buildDate: textIn(body.build_date)
  }))

export const job = (session: JobSession, request: TaskRequest) =>
  simple(session, request, { type: "getdbjob" }, (body) => textIn(body.job) ?? session.id)

export const setTrace = (session: JobSession, request: TaskRequest, settings: MapepireJob.TraceSettings) =>
  simple(
    session,
    request,
    {
      type: "setconfig",
      ...(settings.destination === undefined ? undefined : { tracedest: settings.destination }),
      ...(settings.level === undefined ? undefined : { tracelevel: settings.level }),
      ...(settings.driverDestination === undefined ? undefined : { jtopentracedest: settings.driverDestination }),
      ...(settings.driverLevel === undefined ? undefined : { jtopentracelevel: settings.driverLevel })
    },
    (body): MapepireJob.TraceState => ({
      destination: textIn(body.tracedest),
      level: textIn(body.tracelevel),
      driverDestination: textIn(body.jtopentracedest),
      driverLevel: textIn(body.jtopentracelevel)
    })
  )

export const trace = (session: JobSession, request: TaskRequest) =>
  simple(session, request, { type: "gettracedata" }, (body) => ({
    daemon: textIn(body.tracedata) ?? "",
    driver: textIn(body.jtopentracedata) ?? ""
  }))

export const cl = (
  session: JobSession,
  request: SqlTransport.SqlRequest
): Effect.Effect<MapepireJob.CommandResult, SqlError> =>
  single(session, request, { type: "cl", cmd: request.text, terse: true }, (frame) => {
    // It may have changed the library list.
    session.forget()
    const { error, rows: log } = rowsOf(session, request, logColumns(frame), frame.data)
    if (frame.success) {
      return error === undefined ? { log } : SqlFailure.annotate(error, { statement: request.text })
    }
    // The command may have done something before it failed.
    const { job, scrub } = session.wire
    return failure.refused(frame, { job, statement: request.text }, "unknown", scrubRows(log, scrub))
  })

/** Where a command fails the daemon may name no columns, and give rows that do. */
const logColumns = (frame: Frame): ReadonlyArray<ColumnMetadata> | undefined => {
  const columns = columnsOf(frame)
  return columns?.length === 0 && frame.data !== undefined ? columnsIn(frame.data) : columns
}

/** Those up to the first one that cannot be given as it is, and what is wrong with that one. */
const rowsOf = (
  session: JobSession,
  request: TaskRequest,
  columns: ReadonlyArray<ColumnMetadata> | undefined,
  data: Frame["data"]
): { readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>>; readonly error: SqlError | undefined } => {
  if (columns === undefined || data === undefined) {
    return { rows: [], error: undefined }
  }
  const read = session.decoder(columns, request).decode(data, { shape: "objects" })
  return { rows: read.objects(), error: read.error }
}

export const explain = (
  session: JobSession,
  request: SqlTransport.SqlRequest,
  run: boolean
): Effect.Effect<MapepireJob.Explanation, SqlError> =>
  single(
    session,
    request,
    { type: "dove", sql: fromVerb(request.text), run, rows: request.prefetch, terse: true },
    (frame, _id, blobs) => {
      if (!frame.success) {
        return session.refusal(frame, request.text)
      }
      const planColumns = columnsOf({ body: { metadata: frame.body.vemetadata } })
      const plan = rowsOf(session, request, planColumns, frame.plan === undefined ? undefined : rawRows(frame.plan))
      if (plan.error !== undefined) {
        const outcome = run ? "executed" : "notExecuted"
        return SqlFailure.annotate(plan.error, { statement: request.text, outcome })
      }
      const columns = frame.data === undefined ? undefined : columnsOf(frame)
      const result =
        columns === undefined ? undefined : session.answer(frame, session.decoder(columns, request), request, blobs)
      if (result?.error !== undefined) {
        return result.error
      }
      return {
        plan: plan.rows,
        planColumns: planColumns === undefined ? [] : session.decoder(planColumns, request).columns,
        result:
          result === undefined ? undefined : { rows: result.objects(), columns: result.columns, rowCount: undefined }
      }
    },
    hasBinary
  )

const rawRows = (text: string): NonNullable<Frame["data"]> => ({ text, start: 0, end: text.length })
