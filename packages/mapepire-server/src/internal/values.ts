/** Values as JSON, by their column's type. */
import { formatDate, formatTime, formatTimestamp } from "./dates.js"
import { type Db2Type, kindOf, padded } from "./db2/types.js"
import { withScale } from "./decimal.js"
import type { Properties } from "./properties.js"

export type Encode = (value: unknown) => string

/** How a binary value travels: its hex digits, or a reference to fetch it by. */
export type EncodeBytes = (bytes: Uint8Array) => string

export interface Bytes {
  /** Called before the values of each page. */
  readonly page: () => void
  readonly encode: EncodeBytes
}

export const hex: EncodeBytes = (bytes) =>
  `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex").toUpperCase()}"`

export const asHex: Bytes = { page: () => {}, encode: hex }

/** JSON has no such numbers; the daemon sends their names. */
const double = (value: number): string => (Number.isFinite(value) ? String(value) : `"${value}"`)

/** By the value alone: SQLite's columns may hold anything, whatever their type. */
const generic = (value: unknown, bytes: EncodeBytes): string => {
  switch (typeof value) {
    case "bigint":
      return value.toString()
    case "number":
      return double(value)
    case "string":
      return JSON.stringify(value)
    case "boolean":
      return String(value)
    default:
      if (value === null || value === undefined) {
        return "null"
      }
      return value instanceof Uint8Array
        ? bytes(value)
        : JSON.stringify(
            value instanceof Date ? value.toISOString().replace("T", " ").replace("Z", "000") : String(value)
          )
  }
}

const text =
  (change: (value: string) => string, bytes: EncodeBytes): Encode =>
  (value) =>
    typeof value === "string" ? JSON.stringify(change(value)) : generic(value, bytes)

/** The shortest text of a number may have an exponent; a decimal has none. */
const plain = (value: number): string =>
  Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(value).toString() : String(value)

const decimal = (scale: number, bytes: EncodeBytes): Encode => {
  const zeros = scale === 0 ? "" : "." + "0".repeat(scale)
  return (value) => {
    switch (typeof value) {
      case "bigint":
        return value.toString() + zeros
      case "number":
        // Up to fifteen digits come back from a double as they went in; rounding takes off what arithmetic has added.
        return Number.isFinite(value)
          ? (withScale(Math.abs(value) < 1e15 ? value.toFixed(scale) : plain(value), scale) ?? double(value))
          : double(value)
      case "string":
        return withScale(value, scale) ?? JSON.stringify(value)
      default:
        return generic(value, bytes)
    }
  }
}

/** The number with the fewest digits that is the same in single precision. */
const shortest = (value: number): number => {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) {
      return short
    }
  }
  return value
}

const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

const decfloat =
  (bytes: EncodeBytes): Encode =>
  (value) =>
    typeof value === "string" && number.test(value) ? value : generic(value, bytes)

export const encoderOf = (type: Db2Type, properties: Properties, bytes: EncodeBytes): Encode => {
  switch (kindOf(type)) {
    case "decimal":
      return decimal(type.scale, bytes)
    case "decfloat":
      return decfloat(bytes)
    case "float":
      return (value) =>
        typeof value === "bigint"
          ? `${value}.0`
          : generic(typeof value === "number" && type.single === true ? shortest(Math.fround(value)) : value, bytes)
    case "binary":
      return (value) =>
        generic(type.name === "BINARY" && value instanceof Uint8Array ? padded(value, type.precision) : value, bytes)
    case "char":
      return text((value) => value.replace(/ +$/, ""), bytes)
    case "date":
      return text((value) => formatDate(value, properties), bytes)
    case "time":
      return text((value) => formatTime(value, properties), bytes)
    case "timestamp":
      return text((value) => formatTimestamp(value, type.scale, properties), bytes)
    case "boolean":
      return (value) =>
        typeof value === "bigint" || typeof value === "number" ? String(Number(value) !== 0) : generic(value, bytes)
    default:
      return (value) => generic(value, bytes)
  }
}
