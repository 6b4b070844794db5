/** A client's message, read as the daemon reads it. */
import * as Schema from "effect/Schema"
import type { Request } from "../Protocol.js"
import { parseLossless } from "./lossless.js"

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

type SchemaOf = (type: string) => Schema.Schema<Request, unknown> | undefined

const needed = ["cont_id", "sql", "cmd", "parameters"] as const

export const parse = (message: string, schemaOf: SchemaOf): ParsedRequest => {
  const value = parseLossless(message)
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { _tag: "Unparseable", text: message }
  }
  const fields = value as Record<string, unknown>
  const id = typeof fields.id === "number" || typeof fields.id === "bigint" ? String(fields.id) : fields.id
  const type = fields.type
  if (typeof id !== "string" || typeof type !== "string") {
    return { _tag: "Incomplete", text: message }
  }
  const schema = schemaOf(type)
  if (schema === undefined) {
    return { _tag: "UnknownType", id, type }
  }
  const decoded = Schema.decodeUnknownEither(schema)({ ...fields, id })
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
