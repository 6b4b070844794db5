/** The columns of a result as a daemon tells them, made whole: every one has a name and a type. */
import type { ColumnMetadata } from "../Protocol.js"
import type { RawRows } from "./frame.js"
import { parseLossless } from "./lossless.js"

/** Of a column that comes without one: its values are given as they are. */
const unknownType = "UNKNOWN"

/** Undefined if an answer has none. The very array of the answer where nothing is odd about it. */
export const columnsOf = (frame: {
  readonly body: Readonly<Record<string, unknown>>
}): ReadonlyArray<ColumnMetadata> | undefined => {
  const metadata = frame.body.metadata
  if (typeof metadata !== "object" || metadata === null || !("columns" in metadata)) {
    return undefined
  }
  const { columns } = metadata
  return Array.isArray(columns) ? (columns.every(isWhole) ? columns : columns.map(mended)) : undefined
}

const isWhole = (column: unknown): column is ColumnMetadata =>
  isRecord(column) && typeof column.name === "string" && typeof column.type === "string"

/** Db2 numbers columns that have no name like this, too. */
const mended = (column: unknown, i: number): ColumnMetadata => {
  const { name, type, ...more } = isRecord(column) ? column : {}
  return {
    ...more,
    name: typeof name === "string" ? name : String(i + 1).padStart(5, "0"),
    type: typeof type === "string" ? type : unknownType
  }
}

/** The columns of rows that are objects, by their own keys; of other rows none. */
export const columnsIn = (data: RawRows): ReadonlyArray<ColumnMetadata> => {
  const rows: unknown = parseLossless(data.text.slice(data.start, data.end))
  const names = new Set(
    Array.isArray(rows) ? rows.flatMap((row) => (isRecord(row) && !Array.isArray(row) ? Object.keys(row) : [])) : []
  )
  return Array.from(names, (name) => mended({ name }, 0))
}

/** An item of a list of descriptions; one that is none describes nothing. */
export const recordOf = (item: unknown): Readonly<Record<string, unknown>> => (isRecord(item) ? item : {})

export const textIn = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

export const numberIn = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
