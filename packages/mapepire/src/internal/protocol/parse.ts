/** A client's message, read as the daemon reads it. */
import * as Schema from "effect/Schema"
import { parseLossless } from "../lossless.js"
import * as requests from "./requests.js"
import type { Request, RequestType } from "./requests.js"

export type ParsedRequest =
  | { readonly _tag: "Request"; readonly request: Request }
  /** Not JSON, or not an object. */
  | { readonly _tag: "Unparseable"; readonly text: string }
  /** No id or no type. */
  | { readonly _tag: "Incomplete"; readonly text: string }
  | { readonly _tag: "UnknownType"; readonly id: string; readonly type: string }
  /** A field that the request needs is absent or of no use. */
  | {
      readonly _tag: "MissingField"
      readonly id: string
      readonly type: string
      readonly field: string
      /** Everything that did come. */
      readonly fields: Readonly<Record<string, unknown>>
    }

const schemas: {
  readonly [Type in RequestType]: Schema.Schema<Extract<Request, { type: Type }>, unknown>
} = {
  connect: requests.ConnectRequest,
  sql: requests.SqlRequest,
  prepare_sql: requests.PrepareSqlRequest,
  prepare_sql_execute: requests.PrepareSqlExecuteRequest,
  execute: requests.ExecuteRequest,
  sqlmore: requests.SqlMoreRequest,
  sqlclose: requests.SqlCloseRequest,
  cl: requests.ClRequest,
  dove: requests.DoveRequest,
  ping: requests.PingRequest,
  getdbjob: requests.GetDbJobRequest,
  getversion: requests.GetVersionRequest,
  setconfig: requests.SetConfigRequest,
  gettracedata: requests.GetTraceDataRequest,
  exit: requests.ExitRequest
} as never

const schemaOf = (type: string): Schema.Schema<Request, unknown> | undefined =>
  Object.hasOwn(schemas, type) ? (schemas[type as RequestType] as Schema.Schema<Request, unknown>) : undefined

/** Numbers that may not come through a double as they were, and whatever looks like them. */
const inexact = /\d{16}|\d[.eE]/

const plain = (message: string): unknown => {
  try {
    return JSON.parse(message)
  } catch {
    return undefined
  }
}

type Decode = ReturnType<typeof Schema.decodeUnknownEither<Request, unknown>>

const decoders = new WeakMap<object, Decode>()

/** Made once: that takes longer than a decoding. */
const decoderOf = (schema: Schema.Schema<Request, unknown>): Decode => {
  let decode = decoders.get(schema)
  if (decode === undefined) {
    decode = Schema.decodeUnknownEither(schema)
    decoders.set(schema, decode)
  }
  return decode
}

const needed = ["cont_id", "sql", "cmd", "parameters"] as const

export const parse = (message: string): ParsedRequest => {
  const value = inexact.test(message) ? parseLossless(message) : plain(message)
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { _tag: "Unparseable", text: message }
  }
  const fields = value as Record<string, unknown>
  const id = typeof fields.id === "number" || typeof fields.id === "bigint" ? String(fields.id) : fields.id
  const type = fields.type
  if (typeof id !== "string" || typeof type !== "string") {
    return { _tag: "Incomplete", text: message }
  }
  if (type === "sqlclose" && typeof fields.cont_id === "string") {
    // One comes for each statement, and there is nothing to decode.
    return { _tag: "Request", request: { id, type, cont_id: fields.cont_id } }
  }
  const schema = schemaOf(type)
  if (schema === undefined) {
    return { _tag: "UnknownType", id, type }
  }
  const decoded = decoderOf(schema)({ ...fields, id })
  if (decoded._tag === "Right") {
    return { _tag: "Request", request: decoded.right }
  }
  const wrong = { cont_id: isText, sql: isText, cmd: isText, parameters: Array.isArray }
  const field = needed.find((name) => name in schemaFields(schema) && !wrong[name](fields[name]))
  return { _tag: "MissingField", id, type, field: field ?? "unknown", fields }
}

const isText = (value: unknown): boolean => typeof value === "string" || typeof value === "number"

const schemaFields = (schema: Schema.Schema<Request, unknown>): object =>
  "fields" in schema ? (schema.fields as object) : {}
