/** A result's columns, as JDBC would describe them, and its rows as JSON. */
import type { SqlTransport } from "@sluice/sql"
import type { ResultColumn } from "./db2/results.js"
import { type Db2Type, fitsInteger, kindOf, makeType, parseType } from "./db2/types.js"
import { field, type Fields, fields, rawField } from "./json.js"
import type { Properties } from "./properties.js"
import type { TableColumns } from "./statementCache.js"
import { type Bytes, type Encode, encoderOf } from "./values.js"

export interface Described {
  readonly name: string
  readonly type: Db2Type
  /** 0 no, 1 yes, 2 unknown. */
  readonly nullable: 0 | 1 | 2
}

/** Db2's name for a column without one. */
const position = (index: number): string => String(index + 1).padStart(5, "0")

const plainName = /^[A-Z_@#$][A-Z0-9_@#$]*$/

export interface Hints {
  readonly columns: ReadonlyArray<ResultColumn> | undefined
  readonly quotedNames: ReadonlySet<string>
  /** Types found by a description of the same columns. */
  readonly types: ReadonlyArray<SqlTransport.Column> | undefined
  /** Those of the one table that the query is about. */
  readonly table: TableColumns | undefined
}

export const describeColumns = (
  columns: ReadonlyArray<SqlTransport.Column>,
  hints: Hints | undefined,
  rows: ReadonlyArray<ReadonlyArray<unknown>>,
  complete: boolean
): ReadonlyArray<Described> =>
  columns.map((column, i) => {
    const hint = hints?.columns?.length === columns.length ? hints.columns[i] : undefined
    const declared = declaredType(column) ?? declaredType(hints?.types?.[i])
    const named =
      hints === undefined ||
      (hint?.named ?? (declared !== undefined || plainName.test(column.name) || hints.quotedNames.has(column.name)))
    const type = declared ?? hint?.type
    return {
      name: named ? column.name : position(i),
      type: type === undefined ? typeOfValues(rows, i, complete) : widened(type, rows, i),
      nullable:
        column.nullable === undefined && declared === undefined
          ? 2
          : (column.nullable ?? nullableIn(hints?.table, hints?.columns === undefined ? column.name : hint?.source))
            ? 1
            : 0
    }
  })

/** A column is nullable unless its table is known and does not say so. */
const nullableIn = (table: TableColumns | undefined, name: string | undefined): boolean => {
  const column = name === undefined ? undefined : table?.get(name.toUpperCase())
  return column === undefined || column.nullable === true
}

const declaredType = (column: SqlTransport.Column | undefined): Db2Type | undefined => {
  if (column?.type === undefined) {
    return undefined
  }
  const type = parseType(column.type)
  return type === undefined || column.precision === undefined || /\(/.test(column.type)
    ? type
    : makeType(type.name, type.name === "TIMESTAMP" ? column.scale : column.precision, column.scale)
}

/** SQLite's integers have eight bytes wherever they are stored; nothing may be announced as less than it is. */
const widened = (type: Db2Type, rows: ReadonlyArray<ReadonlyArray<unknown>>, at: number): Db2Type =>
  kindOf(type) === "integer" &&
  type.name !== "BIGINT" &&
  rows.some((row) => typeof row[at] === "bigint" && !fitsInteger(row[at]))
    ? makeType("BIGINT")
    : type

/** What the first rows look like. Values yet to come may be larger. */
const typeOfValues = (rows: ReadonlyArray<ReadonlyArray<unknown>>, at: number, complete: boolean): Db2Type => {
  let integer = false
  let wide = !complete
  let float = false
  let length = 0
  let bytes = -1
  let text = false
  let boolean = false
  for (const row of rows) {
    const value = row[at]
    switch (typeof value) {
      case "bigint":
        integer = true
        wide ||= !fitsInteger(value)
        break
      case "number":
        float = true
        break
      case "string":
        text = true
        length = Math.max(length, value.length)
        break
      case "boolean":
        boolean = true
        break
      default:
        if (value instanceof Uint8Array) {
          bytes = Math.max(bytes, value.byteLength)
        }
    }
  }
  if (text || (bytes < 0 && !integer && !float && !boolean)) {
    return makeType("VARCHAR", complete ? Math.max(1, length) : 32739)
  }
  if (bytes >= 0) {
    return makeType("VARBINARY", complete ? Math.max(1, bytes) : 32739)
  }
  if (boolean) {
    return makeType("BOOLEAN")
  }
  return makeType(float ? "DOUBLE" : wide ? "BIGINT" : "INTEGER")
}

/** How much a daemon of some version tells of a column. */
export type Detail = "prepared" | "old" | "full"

const columnJson = ({ name, nullable, type }: Described, detail: Detail): string =>
  `{${fields(
    field("name", name),
    field("type", type.name),
    field("display_size", type.displaySize),
    field("label", name),
    ...(detail === "prepared" ? [] : [field("precision", type.precision), field("scale", type.scale)]),
    ...(detail === "full"
      ? [field("autoIncrement", false), field("nullable", nullable), field("readOnly", true), field("writeable", false)]
      : [])
  )}}`

/** What metadata tells of a result. */
export const resultFields = (columns: ReadonlyArray<Described>, job: string, detail: Detail): Fields =>
  fields(
    field("column_count", columns.length),
    field("job", job),
    rawField("columns", `[${columns.map((column) => columnJson(column, detail)).join(",")}]`)
  )

/** Writes rows of one result. */
export class RowWriter {
  private readonly encoders: ReadonlyArray<Encode>
  /** For objects: which column stands under each name; the last one of a name wins. */
  private readonly keys: ReadonlyArray<readonly [key: string, column: number]>

  constructor(
    columns: ReadonlyArray<Described>,
    private readonly terse: boolean,
    properties: Properties,
    private readonly bytes: Bytes
  ) {
    this.encoders = columns.map(({ type }) => encoderOf(type, properties, bytes.encode))
    const keys = new Map<string, number>()
    columns.forEach(({ name }, i) => keys.set(name, i))
    this.keys = [...keys].map(([name, i]) => [JSON.stringify(name) + ":", i] as const)
  }

  rows(rows: ReadonlyArray<ReadonlyArray<unknown>>): string {
    this.bytes.page()
    return `[${rows.map((row) => (this.terse ? this.array(row) : this.object(row))).join(",")}]`
  }

  private array(row: ReadonlyArray<unknown>): string {
    let out = "["
    for (let i = 0; i < this.encoders.length; i++) {
      out += (i === 0 ? "" : ",") + this.encoders[i]!(row[i])
    }
    return out + "]"
  }

  private object(row: ReadonlyArray<unknown>): string {
    let out = "{"
    let first = true
    for (const [key, column] of this.keys) {
      out += (first ? "" : ",") + key + this.encoders[column]!(row[column])
      first = false
    }
    return out + "}"
  }
}
