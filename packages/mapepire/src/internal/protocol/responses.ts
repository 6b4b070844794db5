/** Every response as Schema, read as leniently as a client must. */
import * as Schema from "effect/Schema"
import { Id, maybe } from "./fields.js"

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
