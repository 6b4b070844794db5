/** Names that every table of SQLite answers to with a row's number. Db2's have such a column only if it was created. */
import { beginsOperand } from "./operands.js"
import { closing, isName, isSymbol, isWord, nameAfterSchema, nameOf, type Token } from "./scan.js"

export interface RowNumbers {
  /** In upper case. */
  readonly names: ReadonlyArray<string>
  /** Where columns of these names may come from; some may be no tables. */
  readonly tables: ReadonlyArray<string>
}

const rowNumbers = ["ROWID", "OID", "_ROWID_"]

/** The uses of such names that the text itself does not explain; undefined if there is none. */
export const readRowNumbers = (tokens: ReadonlyArray<Token>): RowNumbers | undefined => {
  const used = new Set<string>()
  const given = new Set<string>()
  tokens.forEach((item, i) => {
    const name = isName(item) ? nameOf(item).toUpperCase() : ""
    if (rowNumbers.includes(name) && !isSymbol(tokens[i + 1], ".")) {
      ;(isUse(tokens, i) ? used : given).add(name)
    }
  })
  const names = [...used].filter((name) => !given.has(name))
  return names.length === 0 ? undefined : { names, tables: tablesOf(tokens) }
}

/** A column in an expression or in an INSERT's list; what follows an expression or a table is a name for it. */
const isUse = (tokens: ReadonlyArray<Token>, at: number): boolean => {
  const before = tokens[at - 1]
  return (
    (beginsOperand(tokens, at) || isSymbol(before, ".") || isWord(before, "SET")) && !(at > 0 && isNaming(tokens, at))
  )
}

/** In a list of names: `WITH x(a) AS (…)`, `… AS t(a)`, `CREATE VIEW v (a)`. */
const isNaming = (tokens: ReadonlyArray<Token>, at: number): boolean => {
  const { depth } = tokens[at]!
  const open = tokens.findLastIndex((item, i) => i < at && item.depth === depth - 1 && isSymbol(item, "("))
  if (open < 1 || !isName(tokens[open - 1])) {
    return false
  }
  const close = closing(tokens, open)
  return (
    (isWord(tokens[close + 1], "AS") && isSymbol(tokens[close + 2], "(")) ||
    isWord(tokens[open - 2], "AS", "VIEW") ||
    isSymbol(tokens[open - 2], ")")
  )
}

const tablesOf = (tokens: ReadonlyArray<Token>): ReadonlyArray<string> => [
  ...new Set(
    tokens.flatMap((item, i) => {
      if (!isWord(item, "FROM", "JOIN", "INTO", "UPDATE") && !isSymbol(item, ",")) {
        return []
      }
      const name = tokens[nameAfterSchema(tokens, i + 1)]
      return isName(name) ? [nameOf(name)] : []
    })
  )
]
