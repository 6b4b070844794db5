/** The file between `recording` and `replay`: one version of it, how it is written and how it is read. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Either from "effect/Either"
import * as SqlFailure from "../../SqlFailure.js"
import type * as SqlTransport from "../../SqlTransport.js"
import type { Verb } from "./control.js"
import { type Json, textOf } from "./values.js"

const format = "sluice-recording"
const version = 1

/** A typed failure as data: all of it but its cause. */
export type FailureData = Omit<SqlFailure.Details, "cause" | "message"> & { readonly message: string }

/** How a request was made; a replay prefers the answer to one made the same way. */
export interface Way {
  readonly use: "run" | "open" | "batch" | "describe"
  readonly shape: "objects" | "arrays"
  readonly integers: "number" | "bigint"
}

/** A row of a script that has other columns than its answer: each statement has its own. */
export interface OtherRow {
  readonly columns: ReadonlyArray<string>
  readonly row: ReadonlyArray<Json>
}

export type RowData = ReadonlyArray<Json> | OtherRow

export const isOther = (row: RowData): row is OtherRow => !Array.isArray(row)

/** One answer of the database; while a result is read it grows. */
export interface AnswerData extends Way {
  columns?: ReadonlyArray<SqlTransport.Column>
  rows?: Array<RowData>
  /** False when the program stopped reading before the end. */
  done?: boolean
  changes?: number
  routable?: boolean
  private?: boolean
  raw?: Json
  failure?: FailureData
  /** Nobody waited for the answer: a replay gives none. */
  interrupted?: boolean
  /** What the request did to the transaction of its session, beside what transaction control does. */
  transaction?: "opened" | "ended"
  description?: SqlTransport.Description
}

export interface StatementData {
  readonly text: string
  readonly params: ReadonlyArray<Json>
  readonly answers: ReadonlyArray<AnswerData>
}

/** A command of transaction control, with what became of each time it was given. */
export interface ControlData {
  readonly verb: Verb
  readonly options?: SqlTransport.BeginOptions | undefined
  readonly answers: ReadonlyArray<{ readonly failure?: FailureData; readonly ended?: boolean }>
}

export interface RecordingData {
  readonly system: string
  readonly dialect: string
  readonly limits: SqlTransport.Limits
  readonly control: ReadonlyArray<ControlData>
  readonly statements: ReadonlyArray<StatementData>
}

export const failureData = (error: SqlError): FailureData => {
  const { code, columns, constraint, failedRow, holders, message, outcome, permanent, reason, sqlState, statement } =
    SqlFailure.from(error)
  const named = { constraint, columns, failedRow, permanent, holders }
  return JSON.parse(JSON.stringify({ reason, message, code, sqlState, statement, outcome, ...named })) as FailureData
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Statements in the order of their text and parameters, not of their time: which of two fibers was first must not make
 * another file. One line per row keeps a difference readable.
 */
export const write = ({ control, statements, ...head }: RecordingData): string => {
  const sorted = {
    format,
    version,
    ...head,
    control: [...control].sort((a, b) =>
      compare(JSON.stringify([a.verb, a.options]), JSON.stringify([b.verb, b.options]))
    ),
    statements: [...statements].sort((a, b) => compare(a.text, b.text) || compare(textOf(a.params), textOf(b.params)))
  }
  return `${render(sorted, "")}\n`
}

/** JSON with one entry a line, down to what fits into a line. */
const render = (value: unknown, indent: string): string => {
  const flat = JSON.stringify(value)
  if (value === null || typeof value !== "object" || flat.length + indent.length <= 100) {
    return flat
  }
  const inner = `${indent}  `
  const lines = Array.isArray(value)
    ? value.map((part: unknown) => render(part, inner))
    : Object.entries(value)
        .filter(([, part]) => part !== undefined)
        .map(([key, part]) => `${JSON.stringify(key)}: ${render(part, inner)}`)
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"]
  return `${open}\n${lines.map((line) => inner + line).join(",\n")}\n${indent}${close}`
}

/** The recording in a text, or what is wrong with it. */
export const read = (text: string): Either.Either<RecordingData, string> => {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    return Either.left(`it is no JSON (${error instanceof Error ? error.message : String(error)})`)
  }
  const head = parsed as { readonly format?: unknown; readonly version?: unknown } | null
  if (typeof head !== "object" || head === null || head.format !== format) {
    return Either.left("it is no recording of TestTransport")
  }
  return head.version === version
    ? Either.right(parsed as RecordingData)
    : Either.left(`it has version ${String(head.version)}, and this is version ${version}: record it again`)
}
