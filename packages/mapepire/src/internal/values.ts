/** One value of a result, by the type of its column: what the daemon writes, and what the caller gets. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import { exactNumber, NumberText, withNumbers } from "./lossless.js"

export type Kind =
  "integer" | "exact" | "double" | "boolean" | "text" | "binary" | "date" | "time" | "timestamp" | "other"

/**
 * How values are given. Numbers are exact by their column's type: DECIMAL, NUMERIC and DECFLOAT as text.
 */
export interface CellOptions {
  /** `bigint`: every integer as a bigint. `number` (default): one that is not safe fails as `ConversionFailed`. */
  readonly integers?: "number" | "bigint" | undefined
  /** DATE and TIMESTAMP as text (default), or as `Date` in UTC (which keeps milliseconds only). TIME is always text. */
  readonly dates?: "string" | "date" | undefined
  /** How binary values that are texts are written. `auto` (default): upper-case hex, or what can only be base64. */
  readonly binary?: "auto" | "hex" | "base64" | undefined
  /** The bytes behind a blob's address, for values that the daemon hands out by HTTP. */
  readonly blob?: ((url: string) => Uint8Array | undefined) | undefined
}

/** A value that waits behind an address of the daemon's, where nobody has fetched it. */
interface BlobReference {
  readonly blob_url: string
  readonly size: number
}

// No prototype: a type may have any name, "constructor", too.
const kinds: Readonly<Record<string, Kind | undefined>> = Object.assign(
  Object.create(null) as object,
  {
    SMALLINT: "integer",
    INTEGER: "integer",
    INT: "integer",
    BIGINT: "integer",
    DECIMAL: "exact",
    NUMERIC: "exact",
    DECFLOAT: "exact",
    REAL: "double",
    DOUBLE: "double",
    FLOAT: "double",
    BOOLEAN: "boolean",
    BINARY: "binary",
    VARBINARY: "binary",
    BLOB: "binary",
    ROWID: "binary",
    CHAR: "text",
    VARCHAR: "text",
    NCHAR: "text",
    NVARCHAR: "text",
    GRAPHIC: "text",
    VARGRAPHIC: "text",
    CLOB: "text",
    DBCLOB: "text",
    NCLOB: "text",
    XML: "text",
    DATALINK: "text",
    DATE: "date",
    TIME: "time",
    TIMESTAMP: "timestamp"
  } as const
)

/** What a type's name says about its values. */
export const kindOf = (type: string): Kind => {
  const found = kinds[type]
  if (found !== undefined) {
    return found
  }
  const upper = type.toUpperCase()
  return /\bFOR BIT DATA\b/.test(upper) ? "binary" : (kinds[upper.replace(/\s*\(.*$/, "").trim()] ?? "other")
}

/** A value that cannot be given as asked. */
export class ConversionError extends Error {
  constructor(
    readonly column: string,
    message: string
  ) {
    super(message)
  }
}

/** What the user gets to see of it. */
export const conversionFailed = (error: ConversionError): SqlError =>
  SqlFailure.make({ reason: "ConversionFailed", message: error.message, columns: [error.column], outcome: "executed" })

/** A whole number's text as it was asked for. */
const integerOf = (text: string, column: string, integers: CellOptions["integers"]): number | bigint => {
  if (integers === "bigint") {
    return bigintOf(text, column)
  }
  const value = Number(text)
  if (Number.isSafeInteger(value)) {
    return value
  }
  throw Number.isInteger(value)
    ? new ConversionError(
        column,
        `Column "${column}" holds an integer beyond what a number keeps exactly; read it with SafeIntegers, or cast it to VARCHAR`
      )
    : noInteger(text, column)
}

/** A text in the place of a whole number. An empty one would be 0. */
const integerOfText = (text: string, column: string, integers: CellOptions["integers"]): number | bigint => {
  if (text.trim() === "") {
    throw noInteger(text, column)
  }
  return integerOf(text, column, integers)
}

const noInteger = (text: string, column: string): ConversionError =>
  new ConversionError(
    column,
    `Column "${column}" is of an integer type, but holds a ` +
      (text.trim() === "" || Number.isNaN(Number(text)) ? "text that is no number" : "number that is not whole")
  )

const bigintOf = (text: string, column: string): bigint => {
  if (/^-?\d+$/.test(text)) {
    return BigInt(text)
  }
  const value = Number(text)
  if (Number.isSafeInteger(value)) {
    return BigInt(value)
  }
  throw noInteger(text, column)
}

/** A decimal's text without an exponent (the driver writes 0.0000000 as 0E-7), its scale kept. */
export const plainDecimal = (text: string): string => {
  const found = /^(-?)(\d+)(?:\.(\d+))?[eE]([+-]?\d+)$/.exec(text)
  if (found === null) {
    return text
  }
  const [, sign, whole, fraction = "", exponent] = found as unknown as [
    string,
    string,
    string,
    string | undefined,
    string
  ]
  const shift = Number(exponent)
  // No DECIMAL has more than 63 digits; anything further off stays as it is.
  if (Math.abs(shift) > 100) {
    return text
  }
  const digits = whole + fraction
  const point = whole.length + shift
  if (point >= digits.length) {
    return sign + (digits + "0".repeat(point - digits.length)).replace(/^0+(?=\d)/, "")
  }
  const padded = point <= 0 ? "0".repeat(1 - point) + digits : digits
  const at = point <= 0 ? 1 : point
  return `${sign}${padded.slice(0, at).replace(/^0+(?=\d)/, "")}.${padded.slice(at)}`
}

/** A decimal's text; DECFLOAT keeps its exponent, which is part of the value there. */
const exactOf = (text: string, decfloat: boolean): string => (decfloat ? text : plainDecimal(text))

/** Bytes from the text of a binary value. */
export const bytesOf = (text: string, how: CellOptions["binary"]): Uint8Array => {
  const hex = how === "hex" || (how !== "base64" && text.length % 2 === 0 && /^[0-9A-F]*$/.test(text))
  const bytes = Buffer.from(text, hex ? "hex" : "base64")
  // Not a Buffer, and not a view on Node's shared pool.
  return new Uint8Array(bytes)
}

/** Bytes of a value behind an address, if somebody has fetched it; else the reference itself. */
const blobOf = (value: BlobReference, blob: CellOptions["blob"]): Uint8Array | BlobReference =>
  blob?.(value.blob_url) ?? value

const isReference = (value: unknown): value is BlobReference =>
  typeof value === "object" && value !== null && "blob_url" in value && typeof value.blob_url === "string"

/** A date's or timestamp's text in UTC; what is no ISO date stays text. */
export const dateOf = (text: string): Date | string => {
  const found = /^(\d{4}-\d\d-\d\d)(?:[ T-](\d\d)[:.](\d\d)[:.](\d\d)(?:\.(\d{1,12}))?)?$/.exec(text)
  if (found === null) {
    return text
  }
  const [, day, hour = "00", minute = "00", second = "00", fraction = ""] = found
  const date = new Date(`${day}T${hour}:${minute}:${second}.${fraction.slice(0, 3).padEnd(3, "0")}Z`)
  return Number.isNaN(date.getTime()) ? text : date
}

/** Infinity and NaN come as texts. */
const doubleOf = (text: string): number | string => {
  const value = Number(text)
  return Number.isNaN(value) && text !== "NaN" ? text : value
}

export interface CellDecoder {
  readonly kind: Kind
  /** From a number's text. */
  readonly number: (text: string) => unknown
  /** From any other JSON value. */
  readonly other: (value: unknown) => unknown
}

/** Reads the values of one column. Throws `ConversionError`. */
export const cellDecoder = (
  column: { readonly name: string; readonly type: string },
  options: CellOptions
): CellDecoder => {
  const kind = kindOf(column.type)
  const { name } = column
  switch (kind) {
    case "integer":
      return {
        kind,
        number: (text) => integerOf(text, name, options.integers),
        other: (value) => (typeof value === "string" ? integerOfText(value, name, options.integers) : value)
      }
    case "exact": {
      const decfloat = column.type.toUpperCase() === "DECFLOAT"
      return { kind, number: (text) => exactOf(text, decfloat), other: (value) => value }
    }
    case "double":
      return { kind, number: Number, other: (value) => (typeof value === "string" ? doubleOf(value) : value) }
    case "binary":
      return {
        kind,
        number: (text) => bytesOf(text, options.binary),
        other: (value) =>
          typeof value === "string"
            ? bytesOf(value, options.binary)
            : isReference(value)
              ? blobOf(value, options.blob)
              : value
      }
    case "date":
    case "timestamp":
      return {
        kind,
        number: (text) => text,
        other: (value) => (options.dates === "date" && typeof value === "string" ? dateOf(value) : value)
      }
    case "boolean":
      return { kind, number: (text) => text !== "0", other: (value) => value }
    case "time":
    case "text":
      return { kind, number: (text) => text, other: (value) => value }
    default:
      return { kind, number: exactNumber, other: (value) => value }
  }
}

/** A cell of JSON whose numbers are still texts. */
export const cellOf = (value: unknown, decoder: CellDecoder): unknown =>
  value === undefined || value === null
    ? null
    : value instanceof NumberText
      ? decoder.number(value.text)
      : decoder.other(withNumbers(value))
