/** Values as JSON that gives them back as they were: what JSON has no word for gets a tag that starts with `$`. */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"

/** What `JSON.parse` gives. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** A parameter that was kept out of the file. It equals every other value. */
export const redactedParameter: Json = { $redacted: true }

const isSpecial = (value: number): boolean => !Number.isFinite(value) || Object.is(value, -0)

const bytesOf = (value: ArrayBufferView | ArrayBufferLike): Uint8Array =>
  ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value)

const isBuffer = (value: object): value is ArrayBufferLike =>
  value instanceof ArrayBuffer || (typeof SharedArrayBuffer !== "undefined" && value instanceof SharedArrayBuffer)

export const encode = (value: unknown): Json => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return isSpecial(value) ? { $number: Object.is(value, -0) ? "-0" : String(value) } : value
    case "bigint":
      return { $bigint: String(value) }
    case "undefined":
      return { $undefined: true }
    case "object":
      return value === null ? null : encodeObject(value)
    default:
      // No database takes or gives a function or a symbol; what it was is all that can be told.
      return { $unknown: String(value) }
  }
}

const encodeObject = (value: object): Json => {
  if (value instanceof Date) {
    return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() }
  }
  if (ArrayBuffer.isView(value) || isBuffer(value)) {
    return { $bytes: Encoding.encodeBase64(bytesOf(value)) }
  }
  if (Array.isArray(value)) {
    return value.map(encode)
  }
  const entries = Object.entries(value).map(([key, part]): [string, Json] => [key, encode(part)])
  // An object of the user's that looks like a tag is wrapped, so that it is not taken for one.
  return entries.some(([key]) => key.startsWith("$")) ? { $object: fromEntries(entries) } : fromEntries(entries)
}

/** Keys in order: two objects with the same content are the same text. `__proto__` stays a key. */
const fromEntries = (entries: ReadonlyArray<[string, Json]>): { readonly [key: string]: Json } =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))

export const decode = (json: Json): unknown => {
  if (json === null || typeof json !== "object") {
    return json
  }
  if (Array.isArray(json)) {
    return json.map(decode)
  }
  const tagged = json as { readonly [key: string]: Json }
  const keys = Object.keys(tagged)
  return keys.length === 1 && keys[0]!.startsWith("$") ? decodeTag(keys[0]!, tagged[keys[0]!]!) : decodeEntries(tagged)
}

const decodeEntries = (object: { readonly [key: string]: Json }): unknown =>
  Object.fromEntries(Object.entries(object).map(([key, part]) => [key, decode(part)]))

const decodeTag = (tag: string, content: Json): unknown => {
  switch (tag) {
    case "$number":
      return Number(content)
    case "$bigint":
      return BigInt(content as string)
    case "$date":
      return new Date((content as string | null) ?? NaN)
    case "$bytes":
      return Either.getOrThrow(Encoding.decodeBase64(content as string))
    case "$object":
      return decodeEntries(content as { readonly [key: string]: Json })
    default:
      return undefined
  }
}

/** The text of an encoded value: equal for equal values, whatever objects they are. */
export const textOf = (json: Json): string => JSON.stringify(json)

/** A value as a failure shows it. */
export const show = (value: unknown): string => {
  const text = showWhole(value)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

const showWhole = (value: unknown): string => {
  if (typeof value === "bigint") {
    return `${value}n`
  }
  if (Array.isArray(value)) {
    return `[${value.map(show).join(", ")}]`
  }
  if (typeof value === "string") {
    return JSON.stringify(value)
  }
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? "Date(invalid)" : `Date(${value.toISOString()})`
  }
  if (typeof value === "object" && value !== null && (ArrayBuffer.isView(value) || isBuffer(value))) {
    const bytes = bytesOf(value)
    return `bytes(${bytes.length}: ${Encoding.encodeHex(bytes.subarray(0, 16))}${bytes.length > 16 ? "…" : ""})`
  }
  return typeof value === "object" && value !== null ? JSON.stringify(encode(value)) : String(value)
}
