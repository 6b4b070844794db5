/** The columns of a result as a daemon tells them, made whole: every one has a name and a type. */
import type { ColumnMetadata } from "../Protocol.js"

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

/** An item of a list of descriptions; one that is none describes nothing. */
export const recordOf = (item: unknown): Readonly<Record<string, unknown>> => (isRecord(item) ? item : {})

export const textIn = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

export const numberIn = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
