/**
 * The Mapepire protocol: every request and response of daemons 2.3.2 to 2.3.6 as Schema, and how requests become text.
 *
 * Requests are read as leniently as the daemon reads them (numbers and booleans may be texts, what cannot be read counts
 * as absent), responses as leniently as a client must: unknown fields are ignored, nothing optional is required.
 * Responses carry no type; `responseOf` tells which Schema answers which request.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Schema from "effect/Schema"
import * as jdbc from "./internal/jdbc.js"
import * as requests from "./internal/requests.js"

/** Absent and null mean the same everywhere in this protocol. */
const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

/**
 * A value that a marker can be sent. The daemon binds everything but null as text, and Db2 converts it to the marker's
 * type: a number that must be exact travels as text.
 *
 * @since 0.1.0
 * @category models
 */
export type Parameter = null | string | number | boolean

/**
 * Parameters of one execution, or of a batch: an array of rows.
 *
 * @since 0.1.0
 * @category models
 */
export type Parameters = ReadonlyArray<Parameter> | ReadonlyArray<ReadonlyArray<Parameter>>

const Id = Schema.Union(
  Schema.String,
  Schema.transform(Schema.Number, Schema.String, { decode: String, encode: Number, strict: true })
)

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

/**
 * A request's text, for one message. Numbers among the parameters are written as JavaScript prints them; whatever must
 * be exact beyond that is to be given as text.
 *
 * @since 0.1.0
 * @category codecs
 */
export const encode = (request: Request): string => JSON.stringify(request)

/**
 * What a message from a client turns out to be. The daemon answers each of these in its own way.
 *
 * @since 0.1.0
 * @category codecs
 */
export type ParsedRequest = requests.ParsedRequest

/**
 * Reads a client's message as the daemon does; never throws. Numbers among the parameters that a double cannot hold come
 * back as `bigint` (whole ones) or as their text.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parseRequest: (message: string) => ParsedRequest = (message) => requests.parse(message, schemaOf)

const schemas: { readonly [Type in RequestType]: Schema.Schema<Extract<Request, { type: Type }>, unknown> } = {
  connect: ConnectRequest,
  sql: SqlRequest,
  prepare_sql: PrepareSqlRequest,
  prepare_sql_execute: PrepareSqlExecuteRequest,
  execute: ExecuteRequest,
  sqlmore: SqlMoreRequest,
  sqlclose: SqlCloseRequest,
  cl: ClRequest,
  dove: DoveRequest,
  ping: PingRequest,
  getdbjob: GetDbJobRequest,
  getversion: GetVersionRequest,
  setconfig: SetConfigRequest,
  gettracedata: GetTraceDataRequest,
  exit: ExitRequest
} as never

const schemaOf = (type: string): Schema.Schema<Request, unknown> | undefined =>
  Object.hasOwn(schemas, type) ? (schemas[type as RequestType] as Schema.Schema<Request, unknown>) : undefined

/**
 * The JDBC properties of a connection, each with its type: `{ libraries: ["SHOP"], "transaction isolation": "none" }`.
 * `raw` takes what is not known here.
 *
 * @since 0.1.0
 * @category properties
 */
export type JdbcOptions = jdbc.JdbcOptions

/**
 * Every known property, with the values that it allows.
 *
 * @since 0.1.0
 * @category properties
 */
export const jdbcProperties: typeof jdbc.properties = jdbc.properties

/**
 * The `props` of a `connect` request; a failure with reason `InvalidParameter` for names that are not known or not
 * allowed, and for values that a property does not allow or that cannot be written (`;`).
 *
 * @since 0.1.0
 * @category properties
 */
export const encodeJdbc: (options: JdbcOptions) => string | SqlError = jdbc.encodeJdbc

/**
 * What the `props` of a `connect` request ask for. Names may be in any case; unknown ones are ignored.
 *
 * @since 0.1.0
 * @category properties
 */
export const parseJdbc: (props: string | undefined) => ReadonlyMap<string, string> = jdbc.parseJdbc

/**
 * A column of a result. Daemons before 2.3.3, and every answer to `prepare_sql`, leave out the last ones; `table` comes
 * from newer daemons only. `nullable`: 0 no, 1 yes, 2 unknown.
 *
 * @since 0.1.0
 * @category responses
 */
export const ColumnMetadata = Schema.Struct({
  name: Schema.String,
  type: Schema.String,
  display_size: maybe(Schema.Number),
  label: maybe(Schema.String),
  precision: maybe(Schema.Number),
  scale: maybe(Schema.Number),
  autoIncrement: maybe(Schema.Boolean),
  nullable: maybe(Schema.Number),
  readOnly: maybe(Schema.Boolean),
  writeable: maybe(Schema.Boolean),
  table: maybe(Schema.String)
})

/**
 * A column of a result.
 *
 * @since 0.1.0
 * @category responses
 */
export type ColumnMetadata = typeof ColumnMetadata.Type

/**
 * A marker of a prepared statement. `mode`: `IN`, `OUT`, `INOUT` or `UNKNOWN`.
 *
 * @since 0.1.0
 * @category responses
 */
export const ParameterMetadata = Schema.Struct({
  type: maybe(Schema.String),
  mode: maybe(Schema.String),
  precision: maybe(Schema.Number),
  scale: maybe(Schema.Number),
  name: maybe(Schema.String)
})

/**
 * A marker of a prepared statement.
 *
 * @since 0.1.0
 * @category responses
 */
export type ParameterMetadata = typeof ParameterMetadata.Type

/**
 * Columns, or markers, or both.
 *
 * @since 0.1.0
 * @category responses
 */
export const Metadata = Schema.Struct({
  column_count: maybe(Schema.Number),
  job: maybe(Schema.String),
  columns: maybe(Schema.Array(ColumnMetadata)),
  parameters: maybe(Schema.Array(ParameterMetadata))
})

/**
 * Columns, or markers, or both.
 *
 * @since 0.1.0
 * @category responses
 */
export type Metadata = typeof Metadata.Type

/**
 * A parameter of a CALL after it ran; only OUT and INOUT ones have a `value`. Up to daemon 2.3.6 `scale` is that of the
 * last parameter, for all of them.
 *
 * @since 0.1.0
 * @category responses
 */
export const OutputParameter = Schema.Struct({
  index: Schema.Number,
  type: maybe(Schema.String),
  precision: maybe(Schema.Number),
  scale: maybe(Schema.Number),
  name: maybe(Schema.String),
  ccsid: maybe(Schema.Number),
  value: Schema.optional(Schema.Unknown)
})

/**
 * A parameter of a CALL after it ran.
 *
 * @since 0.1.0
 * @category responses
 */
export type OutputParameter = typeof OutputParameter.Type

/** The fields of every response. Absent `success` (a daemon out of memory) counts as failure. */
const envelope = {
  id: maybe(Id),
  success: Schema.optionalWith(Schema.Boolean, { nullable: true, default: () => false }),
  execution_time: maybe(Schema.Number),
  error: maybe(Schema.String),
  sql_state: Schema.optional(Schema.NullOr(Schema.String)),
  sql_rc: maybe(Schema.Number)
}

const result = {
  metadata: maybe(Metadata),
  data: maybe(Schema.Array(Schema.Unknown)),
  is_done: maybe(Schema.Boolean)
}

const counts = { has_results: maybe(Schema.Boolean), update_count: maybe(Schema.Number) }

/**
 * The fields that every response has; also the whole answer to `sqlclose` and `exit`. It is a failure unless `success`
 * is true, whatever else it carries.
 *
 * @since 0.1.0
 * @category responses
 */
export const Response = Schema.Struct(envelope)

/**
 * The fields that every response has.
 *
 * @since 0.1.0
 * @category responses
 */
export type Response = typeof Response.Type

/**
 * Answers `connect`.
 *
 * @since 0.1.0
 * @category responses
 */
export const ConnectResponse = Schema.Struct({ ...envelope, job: maybe(Schema.String) })

/**
 * Answers `sql`. Without a result set there are neither `metadata` nor `data` nor `is_done`.
 *
 * @since 0.1.0
 * @category responses
 */
export const SqlResponse = Schema.Struct({ ...envelope, ...counts, ...result })

/**
 * Answers `prepare_sql`.
 *
 * @since 0.1.0
 * @category responses
 */
export const PrepareSqlResponse = Schema.Struct({
  ...envelope,
  parameter_count: maybe(Schema.Number),
  metadata: maybe(Metadata)
})

/**
 * Answers `prepare_sql_execute` and (without `parameter_count`) `execute`. `batch_added`: rows of a batch. A negative
 * `update_count` other than -1 means unknown.
 *
 * @since 0.1.0
 * @category responses
 */
export const ExecuteResponse = Schema.Struct({
  ...envelope,
  ...counts,
  ...result,
  parameter_count: maybe(Schema.Number),
  batch_added: maybe(Schema.Number),
  output_parms: maybe(Schema.Array(OutputParameter))
})

/**
 * Answers `sqlmore`.
 *
 * @since 0.1.0
 * @category responses
 */
export const SqlMoreResponse = Schema.Struct({ ...envelope, data: result.data, is_done: result.is_done })

/**
 * Answers `cl`: rows of the job log, also when the command failed.
 *
 * @since 0.1.0
 * @category responses
 */
export const ClResponse = Schema.Struct({ ...envelope, ...result })

/**
 * Answers `dove`. `vedata` and `vemetadata` are the plan; the rest is there if the statement was run and has rows.
 *
 * @since 0.1.0
 * @category responses
 */
export const DoveResponse = Schema.Struct({
  ...envelope,
  ...counts,
  ...result,
  vemetadata: Schema.optional(Schema.Unknown),
  vedata: Schema.optional(Schema.Unknown)
})

/**
 * Answers `ping`.
 *
 * @since 0.1.0
 * @category responses
 */
export const PingResponse = Schema.Struct({
  ...envelope,
  alive: maybe(Schema.Boolean),
  db_alive: maybe(Schema.Boolean)
})

/**
 * Answers `getdbjob`. Without a connection the name consists of question marks.
 *
 * @since 0.1.0
 * @category responses
 */
export const GetDbJobResponse = Schema.Struct({ ...envelope, job: maybe(Schema.String) })

/**
 * Answers `getversion`.
 *
 * @since 0.1.0
 * @category responses
 */
export const GetVersionResponse = Schema.Struct({
  ...envelope,
  version: maybe(Schema.String),
  build_date: maybe(Schema.String)
})

/**
 * Answers `setconfig`: what is in force now.
 *
 * @since 0.1.0
 * @category responses
 */
export const SetConfigResponse = Schema.Struct({
  ...envelope,
  tracedest: maybe(Schema.String),
  tracelevel: maybe(Schema.String),
  jtopentracedest: maybe(Schema.String),
  jtopentracelevel: maybe(Schema.String)
})

/**
 * Answers `gettracedata`.
 *
 * @since 0.1.0
 * @category responses
 */
export const GetTraceDataResponse = Schema.Struct({
  ...envelope,
  tracedata: maybe(Schema.String),
  jtopentracedata: maybe(Schema.String)
})

/**
 * The Schema of the answer to each type of request.
 *
 * @since 0.1.0
 * @category responses
 */
export const responseOf = {
  connect: ConnectResponse,
  sql: SqlResponse,
  prepare_sql: PrepareSqlResponse,
  prepare_sql_execute: ExecuteResponse,
  execute: ExecuteResponse,
  sqlmore: SqlMoreResponse,
  sqlclose: Response,
  cl: ClResponse,
  dove: DoveResponse,
  ping: PingResponse,
  getdbjob: GetDbJobResponse,
  getversion: GetVersionResponse,
  setconfig: SetConfigResponse,
  gettracedata: GetTraceDataResponse,
  exit: Response
} as const
