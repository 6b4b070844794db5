/** Every request as Schema, read as leniently as the daemon reads it. */
import * as Schema from "effect/Schema"
import { Id } from "./fields.js"

/** As the daemon reads whole numbers: also from text, without their fraction, and anything else is no number. */
const LenientInt = Schema.transform(Schema.Unknown, Schema.UndefinedOr(Schema.Int), {
  decode: (value) => {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value
    return typeof number === "number" && Number.isFinite(number) ? Math.trunc(number) : undefined
  },
  encode: (value) => value,
  strict: false
})

/** As the daemon reads booleans: also from text, and anything else is false. */
const LenientBoolean = Schema.transform(Schema.Unknown, Schema.Boolean, {
  decode: (value) => (typeof value === "string" ? value.toLowerCase() === "true" : value === true),
  encode: (value) => value,
  strict: false
})

const LenientString = Schema.transform(Schema.Unknown, Schema.UndefinedOr(Schema.String), {
  decode: (value) =>
    typeof value === "string"
      ? value
      : typeof value === "number" || typeof value === "boolean"
        ? String(value)
        : undefined,
  encode: (value) => value,
  strict: false
})

const lenient = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(schema)
const paging = { rows: lenient(LenientInt), terse: lenient(LenientBoolean) }

/**
 * Opens the database connection, with the job's properties. Until then everything that needs the database fails.
 *
 * @since 0.1.0
 * @category requests
 */
export const ConnectRequest = Schema.Struct({
  id: Id,
  type: Schema.Literal("connect"),
  props: lenient(LenientString),
  technique: lenient(LenientString),
  application: lenient(LenientString)
})

/**
 * Runs a statement without parameters.
 *
 * @since 0.1.0
 * @category requests
 */
export const SqlRequest = Schema.Struct({ id: Id, type: Schema.Literal("sql"), sql: Schema.String, ...paging })

/**
 * Prepares a statement; the request's id is the handle's.
 *
 * @since 0.1.0
 * @category requests
 */
export const PrepareSqlRequest = Schema.Struct({ id: Id, type: Schema.Literal("prepare_sql"), sql: Schema.String })

/**
 * The parameters of a request as Schema. The daemon wants an array, `[]` if there are none.
 *
 * @since 0.1.0
 * @category requests
 */
export const RequestParameters = Schema.Array(Schema.Unknown)

/**
 * Prepares and runs; the id is a handle and, if there are rows, a cursor.
 *
 * @since 0.1.0
 * @category requests
 */
export const PrepareSqlExecuteRequest = Schema.Struct({
  id: Id,
  type: Schema.Literal("prepare_sql_execute"),
  sql: Schema.String,
  parameters: RequestParameters,
  ...paging
})

/**
 * Runs a handle again. Only the first page of its rows can ever be read: `sqlmore` does not know the id.
 *
 * @since 0.1.0
 * @category requests
 */
export const ExecuteRequest = Schema.Struct({
  id: Id,
  type: Schema.Literal("execute"),
  cont_id: Id,
  parameters: RequestParameters,
  ...paging
})

/**
 * The next page of a cursor.
 *
 * @since 0.1.0
 * @category requests
 */
export const SqlMoreRequest = Schema.Struct({
  id: Id,
  type: Schema.Literal("sqlmore"),
  cont_id: Id,
  rows: lenient(LenientInt)
})

/**
 * Forgets a cursor or handle.
 *
 * @since 0.1.0
 * @category requests
 */
export const SqlCloseRequest = Schema.Struct({ id: Id, type: Schema.Literal("sqlclose"), cont_id: Id })

/**
 * Runs a CL command; blocks the socket while it runs.
 *
 * @since 0.1.0
 * @category requests
 */
export const ClRequest = Schema.Struct({
  id: Id,
  type: Schema.Literal("cl"),
  cmd: Schema.String,
  terse: lenient(LenientBoolean)
})

/**
 * Visual Explain; with `run` the statement is executed, too. Blocks the socket while it runs.
 *
 * @since 0.1.0
 * @category requests
 */
export const DoveRequest = Schema.Struct({
  id: Id,
  type: Schema.Literal("dove"),
  sql: Schema.String,
  run: lenient(LenientBoolean),
  ...paging
})

/**
 * Whether the daemon answers, and whether its driver believes the connection open (it does not ask Db2).
 *
 * @since 0.1.0
 * @category requests
 */
export const PingRequest = Schema.Struct({ id: Id, type: Schema.Literal("ping") })

/**
 * The name of the Db2 job.
 *
 * @since 0.1.0
 * @category requests
 */
export const GetDbJobRequest = Schema.Struct({ id: Id, type: Schema.Literal("getdbjob") })

/**
 * The daemon's version.
 *
 * @since 0.1.0
 * @category requests
 */
export const GetVersionRequest = Schema.Struct({ id: Id, type: Schema.Literal("getversion") })

/**
 * Tracing. Daemons 2.3.2 to 2.3.6 ignore it: judge by what the answer says.
 *
 * @since 0.1.0
 * @category requests
 */
export const SetConfigRequest = Schema.Struct({
  id: Id,
  type: Schema.Literal("setconfig"),
  tracedest: lenient(LenientString),
  tracelevel: lenient(LenientString),
  jtopentracedest: lenient(LenientString),
  jtopentracelevel: lenient(LenientString)
})

/**
 * What was traced.
 *
 * @since 0.1.0
 * @category requests
 */
export const GetTraceDataRequest = Schema.Struct({ id: Id, type: Schema.Literal("gettracedata") })

/**
 * Closes the database connection; the socket stays open.
 *
 * @since 0.1.0
 * @category requests
 */
export const ExitRequest = Schema.Struct({ id: Id, type: Schema.Literal("exit") })

/**
 * Every request.
 *
 * @since 0.1.0
 * @category requests
 */
export const Request = Schema.Union(
  ConnectRequest,
  SqlRequest,
  PrepareSqlRequest,
  PrepareSqlExecuteRequest,
  ExecuteRequest,
  SqlMoreRequest,
  SqlCloseRequest,
  ClRequest,
  DoveRequest,
  PingRequest,
  GetDbJobRequest,
  GetVersionRequest,
  SetConfigRequest,
  GetTraceDataRequest,
  ExitRequest
)

/**
 * Every request.
 *
 * @since 0.1.0
 * @category requests
 */
export type Request = typeof Request.Type

/**
 * The spelling of a request's type.
 *
 * @since 0.1.0
 * @category requests
 */
export type RequestType = Request["type"]
