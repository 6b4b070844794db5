/** From a request's values to those that are bound: the driver converts every text to the marker's type. */
import * as dates from "./dates.js"
import * as failures from "./db2/failures.js"
import { type Db2Type, fitsBigint, integerRanges, kindOf, padded, storedAsText } from "./db2/types.js"
import { wholeDigits, withScale } from "./decimal.js"
import type { Properties } from "./properties.js"

const mismatch = (): never => {
  throw new failures.Refused(failures.typeMismatch)
}

const trueTexts = new Set(["TRUE", "T", "Y", "YES", "ON", "1"])
const falseTexts = new Set(["FALSE", "F", "N", "NO", "OFF", "0"])

/** A value of unknown destination: numbers stay numbers, SQLite compares them as its columns want. */
const untyped = (value: unknown): unknown => {
  switch (typeof value) {
    case "bigint":
      return fitsBigint(value) ? value : value.toString()
    case "boolean":
      return value ? 1 : 0
    default:
      return value
  }
}

/** Converts one value; throws `Refused` as the driver would. `base64`: how newer daemons want binary values. */
export const bind = (value: unknown, type: Db2Type | undefined, properties: Properties, base64: boolean): unknown => {
  if (value === null) {
    return null
  }
  if (Array.isArray(value) && value.length === 1) {
    return bind(value[0], type, properties, base64)
  }
  if (typeof value === "object") {
    // What the daemon's JSON library says.
    throw new failures.Refused({
      message: Array.isArray(value) ? "JsonArray" : "JsonObject",
      state: undefined,
      code: 0
    })
  }
  if (type === undefined) {
    return untyped(value)
  }
  const text = String(value)
  switch (kindOf(type)) {
    case "integer":
      return integer(typeof value === "boolean" ? String(Number(value)) : text)
    case "decimal":
      return decimal(text, type)
    case "decfloat":
      return withScale(text, 0) === undefined && !/^[+-]?(NaN|Infinity)$/i.test(text) ? mismatch() : text
    case "float": {
      const number = text.trim() === "" ? NaN : Number(text)
      const held = type.single === true ? Math.fround(number) : number
      return Number.isFinite(held) ? held : mismatch()
    }
    case "date":
      return dates.parseDate(text.slice(0, 10), properties) ?? mismatch()
    case "time":
      return dates.parseTime(text) ?? mismatch()
    case "timestamp":
      return dates.parseTimestamp(text, type.scale) ?? mismatch()
    case "boolean": {
      const upper = text.trim().toUpperCase()
      return trueTexts.has(upper) ? 1 : falseTexts.has(upper) ? 0 : mismatch()
    }
    case "binary":
      return binary(text, type, base64)
    default:
      if (text.length > type.precision) {
        throw new failures.Refused(failures.truncated)
      }
      return text
  }
}

/**
 * What a procedure gets of a value that was bound: by the type alone, where SQLite's storage has reasons of its own. Throws
 * `Refused` for what the type does not hold; a column refuses that itself.
 */
export const forProcedure = (bound: unknown, type: Db2Type | undefined): unknown => {
  if (type === undefined || bound === null) {
    return bound
  }
  switch (kindOf(type)) {
    case "integer": {
      const [least, most] = integerRanges[type.name]!
      const value = bound as bigint
      return value < least || value > most ? mismatch() : type.name === "BIGINT" ? value : Number(value)
    }
    case "decimal":
      return typeof bound === "number" ? bound.toFixed(type.scale) : String(bound)
    case "boolean":
      return bound === 1
    default:
      return bound
  }
}

const integer = (text: string): bigint => {
  const whole = withScale(text, 0)
  const value = whole === undefined ? mismatch() : BigInt(whole)
  return fitsBigint(value) ? value : mismatch()
}

const decimal = (text: string, type: Db2Type): unknown => {
  const exact = withScale(text, type.scale)
  if (exact === undefined || wholeDigits(exact) > type.precision - type.scale) {
    return mismatch()
  }
  return storedAsText(type) ? exact : type.scale === 0 ? BigInt(exact) : Number(exact)
}

const binary = (text: string, type: Db2Type, base64: boolean): Uint8Array => {
  if (base64 ? !/^[A-Za-z0-9+/]*={0,2}$/.test(text) : !/^(?:[0-9A-Fa-f]{2})*$/.test(text)) {
    return mismatch()
  }
  const bytes = new Uint8Array(Buffer.from(text, base64 ? "base64" : "hex"))
  // Files of other programs have BLOBs of no length: theirs is left to their own constraints.
  if (type.name !== "BLOB" && bytes.length > type.precision) {
    throw new failures.Refused(failures.truncated)
  }
  return type.name === "BINARY" ? padded(bytes, type.precision) : bytes
}
