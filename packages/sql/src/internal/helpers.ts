/**
 * `sql.insert`, `sql.update` and `sql.updateValues` where `@effect/sql`'s lose what they are given: it takes the columns
 * from the first row alone, makes NULL of an expression among the values, and dies without rows.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { identity } from "effect/Function"
import * as SqlFailure from "../SqlFailure.js"

type Row = Readonly<Record<string, unknown>>
type Segments = ReadonlyArray<Statement.Segment>
type Returned = string | Statement.Identifier | Statement.Fragment

const literal = (value: string): Statement.Literal => ({ _tag: "Literal", value })
const identifier = (value: string): Statement.Identifier => ({ _tag: "Identifier", value })

/** Stands where there is nothing to write; the statement fails with it instead of being sent. */
interface Impossible extends Statement.Literal {
  readonly failure: SqlError
}

/** Why a statement of these segments cannot be sent. */
export const impossible = (segments: Segments): SqlError | undefined => {
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i]!
    if (segment._tag === "Literal" && "failure" in segment) {
      return (segment as Impossible).failure
    }
  }
  return undefined
}

/** A helper in the words of a statement. */
class Spelled implements Statement.Fragment {
  constructor(
    private readonly words: Segments,
    private readonly returned: Segments = []
  ) {}

  get segments(): Segments {
    return [...this.words, ...this.returned]
  }

  get [Statement.FragmentId]() {
    return identity
  }

  returning(what: Returned): Spelled {
    const list =
      typeof what === "string" ? [literal(what)] : Statement.isFragment(what) ? what.segments : [identifier(what.value)]
    return new Spelled(this.words, [literal(" RETURNING "), ...list])
  }
}

const refusal = (message: string): Spelled => {
  const failure = SqlFailure.make({ reason: "InvalidParameter", message })
  const segment: Impossible = { ...literal(""), failure }
  return new Spelled([segment])
}

/** What is no parameter by itself: the compiler would send NULL. */
const isExpression = (value: unknown): value is Statement.Fragment =>
  Statement.isFragment(value) && !(value.segments.length === 1 && value.segments[0]!._tag === "Parameter")

/** Its own: a column may be called `constructor`. */
const cell = (row: Row, column: string): unknown => (Object.hasOwn(row, column) ? row[column] : undefined)

const hasExpression = (rows: ReadonlyArray<Row>, columns: ReadonlyArray<string>): boolean =>
  rows.some((row) => columns.some((column) => isExpression(cell(row, column))))

const valueOf = (value: unknown): Segments =>
  Statement.isFragment(value) ? value.segments : [{ _tag: "Parameter", value: value ?? null }]

const list = (items: ReadonlyArray<Segments>): Segments =>
  items.flatMap((item, i) => (i === 0 ? item : [literal(","), ...item]))

const inParentheses = (items: ReadonlyArray<Segments>): Segments => [literal("("), ...list(items), literal(")")]

/** Those of all rows, in the order in which they come. */
const columnsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const columns = Object.keys(rows[0] ?? {})
  const known = new Set(columns)
  for (const row of rows) {
    for (const column of Object.keys(row)) {
      if (!known.has(column)) {
        known.add(column)
        columns.push(column)
      }
    }
  }
  return columns
}

/** The compiler goes by the first row, and takes for a column what a row has from its prototype. What a row lacks is NULL. */
const withColumns = (rows: ReadonlyArray<Row>, columns: ReadonlyArray<string>): ReadonlyArray<Row> => {
  const filled = (row: Row): Row => Object.fromEntries(columns.map((column) => [column, cell(row, column)]))
  const [first, ...others] = rows
  return columns.some((column) => column in Object.prototype)
    ? rows.map(filled)
    : Object.keys(first!).length === columns.length
      ? rows
      : [filled(first!), ...others]
}

/** More than any SQLite or Db2 takes; with twice as many the compiler runs out of stack. */
const mostValues = 65_535

type Helpers = Pick<Statement.Constructor, "insert" | "update" | "updateValues">

export const helpers = (upstream: Statement.Constructor): Helpers => {
  const insert = (given: Row | ReadonlyArray<Row>) => {
    const rows = Array.isArray(given) ? (given as ReadonlyArray<Row>) : [given as Row]
    const columns = columnsOf(rows)
    if (columns.length === 0) {
      return refusal(
        rows.length === 0
          ? "sql.insert was given no rows: leave the statement out"
          : "sql.insert was given a row without columns: write DEFAULT VALUES instead"
      )
    }
    return hasExpression(rows, columns)
      ? new Spelled([
          ...inParentheses(columns.map((column) => [identifier(column)])),
          literal(" VALUES "),
          ...list(rows.map((row) => inParentheses(columns.map((column) => valueOf(cell(row, column))))))
        ])
      : upstream.insert(withColumns(rows, columns))
  }

  const update = (row: Row, omit: ReadonlyArray<string> = []) => {
    const columns = Object.keys(row).filter((column) => !omit.includes(column))
    if (columns.length === 0) {
      return refusal("sql.update was given no columns: leave the statement out")
    }
    return hasExpression([row], columns)
      ? new Spelled(list(columns.map((column) => [identifier(column), literal(" = "), ...valueOf(row[column])])))
      : upstream.update(row, omit)
  }

  const updateValues = (rows: ReadonlyArray<Row>, alias: string) => {
    const columns = columnsOf(rows)
    if (columns.length === 0) {
      return refusal("sql.updateValues was given no rows, or rows without columns: leave the statement out")
    }
    if (rows.length * columns.length > mostValues) {
      return refusal("sql.updateValues was given more values than a statement can have: do it in parts")
    }
    return hasExpression(rows, columns)
      ? refusal("sql.updateValues takes values only: write an expression into the statement itself")
      : upstream.updateValues(withColumns(rows, columns), alias)
  }

  return { insert, update, updateValues } as unknown as Helpers
}
