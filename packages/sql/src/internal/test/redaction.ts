/** What must not be written into a recording. */
import type { Row } from "./rows.js"
import { encode, type Json, redactedParameter } from "./values.js"

/** Secret parameters: all, those of statements that mention one of these columns, or those that a function picks. */
export type RedactParams = true | ReadonlyArray<string> | ((value: unknown, index: number, text: string) => boolean)

/** Secret cells: all, those in columns of these names, or whatever a function replaces. */
export type RedactRows = true | ReadonlyArray<string> | ((row: Row, text: string) => Row)

export type Redact =
  | ReadonlyArray<string>
  | {
      readonly params?: RedactParams | undefined
      readonly rows?: RedactRows | undefined
    }

/** Something of the same type, so that what decodes rows need not know: 0 for a number, and so on. */
const blank = (value: unknown): unknown => {
  switch (typeof value) {
    case "string":
      return "redacted"
    case "number":
      return 0
    case "bigint":
      return 0n
    case "boolean":
      return false
    default:
      return value instanceof Date ? new Date(0) : value instanceof Uint8Array ? new Uint8Array() : null
  }
}

const mentions = (text: string, names: ReadonlyArray<string>): boolean =>
  names.some((name) => new RegExp(`(?<![\\w$])${name.replace(/[^\w]/g, "\\$&")}(?![\\w$])`, "i").test(text))

export interface Redaction {
  readonly params: (params: ReadonlyArray<unknown>, text: string) => ReadonlyArray<Json>
  readonly row: (row: ReadonlyArray<unknown>, columns: ReadonlyArray<string>, text: string) => ReadonlyArray<Json>
  /** Takes secret parameters out of what the database said about the statement. */
  readonly message: (message: string, params: ReadonlyArray<unknown>, text: string) => string
}

const isNames = (redact: unknown): redact is ReadonlyArray<string> => Array.isArray(redact)

export const make = (redact: Redact | undefined): Redaction => {
  const given = redact === undefined ? {} : isNames(redact) ? { params: redact, rows: redact } : redact
  return {
    params: (params, text) => {
      const isSecret = secretParams(given.params, text)
      return params.map((value, i) => (isSecret(value, i) ? redactedParameter : encode(value)))
    },
    row: rowsWithout(given.rows),
    message: (message, params, text) => {
      const isSecret = secretParams(given.params, text)
      return params
        .filter((value, i) => isSecret(value, i))
        .map(String)
        .filter((secret) => secret.length > 0)
        .reduce((rest, secret) => rest.replaceAll(secret, "redacted"), message)
    }
  }
}

const secretParams = (redact: RedactParams | undefined, text: string): ((value: unknown, index: number) => boolean) => {
  if (redact === undefined) {
    return () => false
  }
  if (typeof redact === "function") {
    return (value, i) => redact(value, i, text)
  }
  const all = redact === true || mentions(text, redact)
  return () => all
}

const rowsWithout = (redact: RedactRows | undefined): Redaction["row"] => {
  if (redact === undefined) {
    return (row) => row.map(encode)
  }
  if (typeof redact === "function") {
    return (row, columns, text) => {
      const replaced = redact(Object.fromEntries(columns.map((name, i) => [name, row[i]])), text)
      return columns.map((name) => encode(replaced[name]))
    }
  }
  const names = redact === true ? undefined : new Set(redact.map((name) => name.toLowerCase()))
  // A cell that no column is known for, in a script of which the arrays were asked for, may be any of them.
  const isSecret = (name: string | undefined) =>
    names === undefined || name === undefined || names.has(name.toLowerCase())
  return (row, columns) => row.map((value, i) => encode(isSecret(columns[i]) ? blank(value) : value))
}
