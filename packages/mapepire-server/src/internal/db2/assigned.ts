/** The columns that a statement gives values to: GENERATED ALWAYS takes none. */
import { closing, isName, isSymbol, isWord, nameAfterSchema, nameOf, split, type Token } from "./scan.js"

export interface Assigned {
  readonly table: string
  /** By name, in upper case; or by place, of an INSERT without a list of columns: undefined are all of them. */
  readonly columns: ReadonlyArray<string | number> | undefined
  /** Places of DEFAULT in an INSERT without a list of columns, which is written as NULL. */
  readonly defaults?: ReadonlyArray<number> | undefined
}

const columnName = (item: ReadonlyArray<Token>): ReadonlyArray<string> =>
  isName(item.at(-1)) ? [nameOf(item.at(-1)!).toUpperCase()] : []

const ofInsert = (tokens: ReadonlyArray<Token>): Assigned | undefined => {
  const at = nameAfterSchema(tokens, 2)
  if (!isName(tokens[at]) || tokens.some((item, i) => isWord(item, "OVERRIDING") && isWord(tokens[i + 1], "SYSTEM"))) {
    return undefined
  }
  const table = nameOf(tokens[at])
  const listed = isSymbol(tokens[at + 1], "(") && !isWord(tokens[at + 2], "SELECT", "WITH")
  const names = listed
    ? split(tokens.slice(at + 2, closing(tokens, at + 1)), 1).map((item) => columnName(item)[0] ?? "")
    : undefined
  const values = tokens.findIndex((item) => item.depth === 0 && isWord(item, "VALUES"))
  if (values < 0) {
    return { table, columns: names }
  }
  const rows = split(tokens.slice(values + 1), 0).map((row) =>
    isSymbol(row[0], "(") ? split(row.slice(1, closing(row, 0)), 1) : [row]
  )
  const width = Math.max(...rows.map(({ length }) => length))
  const given = Array.from({ length: width }, (_, i) => i).filter((i) =>
    rows.some((row) => !isWord(row[i]?.[0], "DEFAULT"))
  )
  const isDefault = (i: number) => rows.some((row) => isWord(row[i]?.[0], "DEFAULT"))
  const defaults = names === undefined ? Array.from({ length: width }, (_, i) => i).filter(isDefault) : []
  return { table, columns: given.map((i) => names?.[i] ?? i), defaults }
}

const ofUpdate = (tokens: ReadonlyArray<Token>): Assigned | undefined => {
  const table = tokens[nameAfterSchema(tokens, 1)]
  const set = tokens.findIndex((item) => item.depth === 0 && isWord(item, "SET"))
  if (!isName(table) || set < 0) {
    return undefined
  }
  const columns = split(tokens.slice(set + 1), 0).flatMap((part) => {
    const left = part.slice(
      0,
      part.findIndex((item) => item.depth === 0 && isSymbol(item, "="))
    )
    return isSymbol(left[0], "(") ? split(left.slice(1, -1), 1).flatMap(columnName) : columnName(left)
  })
  return { table: nameOf(table), columns }
}

export const assignedBy = (tokens: ReadonlyArray<Token>): Assigned | undefined =>
  isWord(tokens[0], "INSERT") ? ofInsert(tokens) : isWord(tokens[0], "UPDATE") ? ofUpdate(tokens) : undefined
