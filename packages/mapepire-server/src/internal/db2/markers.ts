/** Parameter markers: which types they have, and those that Db2 refuses because they have none. */
import * as failures from "./failures.js"
import { closing, isName, isSymbol, isWord, nameAfterSchema, nameOf, split, type Token } from "./scan.js"
import { type Db2Type, makeType, parseType } from "./types.js"
import { typeOf } from "./spellings.js"

/** A marker's type as far as its place tells: by a cast, or that of a column. */
export type Marker =
  { readonly _tag: "Typed"; readonly type: Db2Type } | { readonly _tag: "Column"; readonly column: string } | undefined

export interface Markers {
  readonly markers: ReadonlyArray<Marker>
  /** The table whose columns they are compared with or stored in, and the columns that an INSERT without a list means. */
  readonly table: string | undefined
  /** An INSERT without a column list: the n-th value is for the n-th column. */
  readonly wholeRow: boolean
}

const comparisons = ["=", "<>", "!=", "<", ">", "<=", ">="]
const operators = ["+", "-", "*", "/", "||", ...comparisons]

const isMarker = (token: Token | undefined): boolean => token?.kind === "marker"
const isOperator = (token: Token | undefined): boolean =>
  token !== undefined && ((token.kind === "symbol" && operators.includes(token.text)) || isWord(token, "CONCAT"))

/** Db2 must know a marker's type: not alone in a select list, not with another marker only, not before IS NULL. */
export const refuseUntyped = (
  tokens: ReadonlyArray<Token>,
  resultItems: ReadonlyArray<ReadonlyArray<Token>> | undefined
): void => {
  const bare = (item: ReadonlyArray<Token>): boolean =>
    isMarker(item[0]) && (item.length === 1 || (!isOperator(item[1]) && item.length <= 3 && isName(item.at(-1))))
  const bad =
    (resultItems ?? []).some(bare) ||
    tokens.some(
      (item, i) =>
        isMarker(item) && ((isOperator(tokens[i + 1]) && isMarker(tokens[i + 2])) || isWord(tokens[i + 1], "IS"))
    )
  if (bad) {
    throw new failures.Refused(failures.untypedMarker)
  }
}

/** Looks at every marker's neighbours. */
export const readMarkers = (tokens: ReadonlyArray<Token>): Markers => {
  const verb = tokens[0]
  const table = tableOf(tokens)
  const found = new Map<Token, Marker>()
  let wholeRow = false
  if (isWord(verb, "INSERT")) {
    wholeRow = insertMarkers(tokens, found)
  }
  tokens.forEach((item, i) => {
    if (isMarker(item) && !found.has(item)) {
      found.set(item, neighbour(tokens, i))
    }
  })
  return { markers: tokens.filter(isMarker).map((item) => found.get(item)), table, wholeRow }
}

/** The one table of a statement without joins; types of columns are only looked up there. */
export const tableOf = (tokens: ReadonlyArray<Token>): string | undefined => {
  const names: Array<string> = []
  tokens.forEach((item, i) => {
    if (isWord(item, "FROM", "JOIN", "INTO") || (i === 0 && isWord(item, "UPDATE"))) {
      const name = tokens[nameAfterSchema(tokens, i + 1)]
      names.push(isName(name) ? nameOf(name) : "")
    }
  })
  return names.length === 1 && names[0] !== "" ? names[0] : undefined
}

/** Values that are bare markers get the types of their columns. True if there is no list of columns. */
const insertMarkers = (tokens: ReadonlyArray<Token>, found: Map<Token, Marker>): boolean => {
  const values = tokens.findIndex((item) => item.depth === 0 && isWord(item, "VALUES"))
  if (values < 0) {
    return false
  }
  const open = tokens.findIndex((item, i) => i < values && isSymbol(item, "("))
  const columns =
    open < 0 ? undefined : split(tokens.slice(open + 1, closing(tokens, open)), 1).map((item) => nameOf(item.at(-1)!))
  for (let at = values + 1; at < tokens.length; at++) {
    if (tokens[at]!.depth === 0 && isSymbol(tokens[at], "(")) {
      const close = closing(tokens, at)
      split(tokens.slice(at + 1, close), 1).forEach((item, i) => {
        const column = columns === undefined ? `#${i}` : columns[i]
        if (item.length === 1 && isMarker(item[0]) && column !== undefined) {
          found.set(item[0]!, { _tag: "Column", column })
        }
      })
      at = close
    }
  }
  return columns === undefined
}

const neighbour = (tokens: ReadonlyArray<Token>, at: number): Marker => {
  const before = tokens[at - 1]
  const after = tokens[at + 1]
  if (isWord(after, "AS") && isSymbol(before, "(") && isWord(tokens[at - 2], "CAST")) {
    const type = parseType(typeOf(tokens.slice(at + 2, closing(tokens, at - 1))))
    return type === undefined ? undefined : { _tag: "Typed", type }
  }
  if (isWord(before, "LIMIT", "OFFSET", "FIRST", "NEXT") && !isSymbol(after, "(")) {
    return { _tag: "Typed", type: makeType("BIGINT") }
  }
  return column(columnBefore(tokens, at)) ?? column(columnAfter(tokens, at))
}

const column = (name: Token | undefined): Marker =>
  name === undefined ? undefined : { _tag: "Column", column: nameOf(name) }

/** `C = ?`, `C BETWEEN ? AND ?`, `C IN (?, ?)`, `C LIKE ?`. */
const columnBefore = (tokens: ReadonlyArray<Token>, at: number): Token | undefined => {
  let i = at - 1
  while (i > 0 && (isMarker(tokens[i]) || isSymbol(tokens[i], ",")) && tokens[i]!.depth > 0) {
    i--
  }
  const first = tokens[i]
  const inList = isSymbol(first, "(") && isWord(tokens[i - 1], "IN")
  if (inList) {
    i--
  } else if (isWord(first, "AND") && isMarker(tokens[i - 1]) && isWord(tokens[i - 2], "BETWEEN")) {
    i -= 2
  } else if (!(first?.kind === "symbol" && comparisons.includes(first.text)) && !isWord(first, "BETWEEN", "LIKE")) {
    return undefined
  } else if (i !== at - 1) {
    return undefined
  }
  const name = isWord(tokens[i - 1], "NOT") ? tokens[i - 2] : tokens[i - 1]
  return isName(name) ? name : undefined
}

/** `? = C`. */
const columnAfter = (tokens: ReadonlyArray<Token>, at: number): Token | undefined => {
  const sign = tokens[at + 1]
  const name = tokens[at + 2]
  return sign?.kind === "symbol" &&
    comparisons.includes(sign.text) &&
    isName(name) &&
    !isSymbol(tokens[at + 3], "(") &&
    !isSymbol(tokens[at + 3], ".")
    ? name
    : undefined
}
