/**
 * Values as a statement is given them, and as the daemon takes them. It binds every parameter as text, which Db2 converts
 * to the marker's type: so what is sent is a text that stands for exactly the value, or nothing is sent.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import type { Parameter } from "../Protocol.js"
import { isSqlError } from "./failure.js"
import { plainDecimal } from "./values.js"

export interface ParameterOptions {
  /**
   * How bytes are written: `hex` (default; daemons up to 2.3.6), or `base64` for BLOB and BINARY on newer ones. `ask`: it is
   * not known yet, and where there are bytes the answer is `shapeUnknown`.
   */
  readonly binary?: "hex" | "base64" | "ask" | undefined
}

/** There are bytes among the parameters, and how they are to be written has to be found out first. */
export const shapeUnknown: SqlError = SqlFailure.make({
  reason: "InvalidParameter",
  message: "How the daemon takes bytes is not known"
})

/** What is sent as NULL. */
export const isNull = (parameter: unknown): boolean => parameter === null || parameter === undefined

/** The parameters of one execution, or what cannot be sent. The failure names the place and the kind, never the value. */
export const encodeParameters = (
  params: ReadonlyArray<unknown>,
  options: ParameterOptions = {}
): ReadonlyArray<Parameter> | SqlError => {
  const out: Array<Parameter> = new Array<Parameter>(params.length)
  for (let i = 0; i < params.length; i++) {
    const encoded = encode(params[i], options)
    if (encoded instanceof Refused) {
      return encoded === askFirst ? shapeUnknown : failed(i, encoded.why)
    }
    out[i] = encoded
  }
  return out
}

/** Rows of a batch: all of one length, none empty. The failure tells the row. */
export const encodeParameterRows = (
  rows: ReadonlyArray<ReadonlyArray<unknown>>,
  options: ParameterOptions = {}
): ReadonlyArray<ReadonlyArray<Parameter>> | SqlError => {
  const out: Array<ReadonlyArray<Parameter>> = []
  for (const row of rows) {
    const wrong = row.length === 0 ? "is empty" : row.length === rows[0]!.length ? undefined : "differs in length"
    const encoded =
      wrong === undefined
        ? encodeParameters(row, options)
        : SqlFailure.make({ reason: "InvalidParameter", message: `Row ${out.length} of the parameters ${wrong}` })
    if (isSqlError(encoded)) {
      return encoded === shapeUnknown ? encoded : SqlFailure.annotate(encoded, { failedRow: out.length })
    }
    out.push(encoded)
  }
  return out
}

class Refused {
  constructor(readonly why: string) {}
}

const askFirst = new Refused("")

const failed = (index: number, why: string): SqlError =>
  SqlFailure.make({ reason: "InvalidParameter", message: `Parameter ${index + 1} cannot be sent to Db2: ${why}` })

interface WellFormed {
  readonly isWellFormed: () => boolean
}

const encode = (value: unknown, options: ParameterOptions): Parameter | Refused => {
  switch (typeof value) {
    case "string":
      return (value as unknown as WellFormed).isWellFormed()
        ? value
        : new Refused("a text with half a surrogate pair, which has no form in Unicode encodings")
    case "number":
      return Number.isFinite(value)
        ? // JSON would make 0 of it, which for a DOUBLE is another value.
          Object.is(value, -0)
          ? "-0"
          : value
        : new Refused(`${value}, which is no number in Db2; for a DECFLOAT give it as text`)
    case "bigint":
      return value.toString()
    case "boolean":
      return value
    case "undefined":
      return null
    case "object":
      return value === null ? null : encodeObject(value, options)
    default:
      return new Refused(`a ${typeof value}`)
  }
}

const encodeObject = (value: object, options: ParameterOptions): Parameter | Refused => {
  if (value instanceof Date) {
    return timestamp(value)
  }
  if (ArrayBuffer.isView(value)) {
    return bytes(Buffer.from(value.buffer, value.byteOffset, value.byteLength), options)
  }
  if (
    value instanceof ArrayBuffer ||
    (typeof SharedArrayBuffer !== "undefined" && value instanceof SharedArrayBuffer)
  ) {
    return bytes(Buffer.from(value), options)
  }
  if (BigDecimal.isBigDecimal(value)) {
    return plainDecimal(`${value.value}E${-value.scale}`)
  }
  if (DateTime.isDateTime(value)) {
    return timestamp(DateTime.toDateUtc(value))
  }
  return new Refused(
    Array.isArray(value)
      ? "an array; use sql.in for lists, sql.many for rows"
      : `an object of ${value.constructor?.name ?? "no"} class; encode it first (JSON.stringify, Schema.encode)`
  )
}

const bytes = (buffer: Buffer, { binary = "hex" }: ParameterOptions): string | Refused =>
  binary === "ask" ? askFirst : binary === "hex" ? buffer.toString("hex").toUpperCase() : buffer.toString("base64")

/** TIMESTAMP has no zone: what is written is the time in UTC, in the form that every job takes. */
const timestamp = (date: Date): string | Refused => {
  const time = date.getTime()
  if (Number.isNaN(time)) {
    return new Refused("an invalid Date")
  }
  const year = date.getUTCFullYear()
  return year < 1 || year > 9999
    ? new Refused("a Date outside of the years 1 to 9999")
    : date.toISOString().replace("T", " ").replace("Z", "")
}
