/** Columns of a select list that a query's groups do not have, and names of it that only its ORDER BY may use. */
import { catalog } from "./environment.js"
import * as failures from "./failures.js"
import { argumentsOf } from "./functions.js"
import { tableOf } from "./markers.js"
import { aliasOf, isColumn, selectList } from "./results.js"
import type { RowNumbers } from "./rowNumbers.js"
import { closing, isName, isSymbol, isWord, nameOf, split, type Token, wordsAt } from "./scan.js"

const aggregates = ["COUNT", "SUM", "AVG", "MIN", "MAX", "LISTAGG", "MEDIAN"]

const isAggregate = (item: ReadonlyArray<Token>): boolean =>
  !item.some((part) => isWord(part, "SELECT")) &&
  item.some(
    (part, i) =>
      isWord(part, ...aggregates) &&
      isSymbol(item[i + 1], "(") &&
      !isWord(item[closing(item, i + 1) + 1], "OVER") &&
      !(isWord(part, "MIN", "MAX") && argumentsOf(item, i + 1).length > 1)
  )

const outside = (tokens: ReadonlyArray<Token>, from: number, ...words: ReadonlyArray<string>): number =>
  tokens.findIndex((item, i) => i >= from && item.depth === 0 && isWord(item, ...words))

const nameIn = (item: ReadonlyArray<Token>): string => nameOf(item.at(-1)!).toUpperCase()

/** SQLite takes any row's value. Looks at a statement that is one SELECT; its subselects may name columns of it. */
export const refuseUngrouped = (tokens: ReadonlyArray<Token>): void => {
  const list = selectList(tokens)
  if (!isWord(tokens[0], "SELECT") || list === undefined || outside(tokens, 0, "UNION", "EXCEPT", "INTERSECT") > 0) {
    return
  }
  const items = list.map((item) => item.slice(0, item.length - aliasOf(item)))
  const group = tokens.findIndex((item, i) => item.depth === 0 && wordsAt(tokens, i, "GROUP", "BY"))
  if (group < 0 && !items.some(isAggregate)) {
    return
  }
  const end = outside(tokens, group + 2, "HAVING", "ORDER", "FETCH", "LIMIT", "OFFSET", "FOR", "WITH", "OPTIMIZE")
  const grouped = group < 0 ? [] : split(tokens.slice(group + 2, end < 0 ? tokens.length : end), 0)
  // A number is the item at its place.
  const names = new Set(
    grouped
      .map((item) =>
        item.length === 1 && item[0]!.kind === "number" ? (items[Number(item[0]!.text) - 1] ?? item) : item
      )
      .filter(isColumn)
      .map(nameIn)
  )
  const bad = items.find((item) => isColumn(item) && !names.has(nameIn(item)))
  if (bad !== undefined) {
    throw new failures.Refused(failures.notGrouped(nameIn(bad)))
  }
}

/** Names of the select list in WHERE, GROUP BY or HAVING, which must be columns of the one table. */
export const readAliases = (tokens: ReadonlyArray<Token>): RowNumbers | undefined => {
  const table = tableOf(tokens)
  const list = selectList(tokens)
  const start = outside(tokens, 0, "WHERE", "GROUP", "HAVING")
  if (
    !isWord(tokens[0], "SELECT") ||
    table === undefined ||
    list === undefined ||
    start < 0 ||
    Object.hasOwn(catalog, table)
  ) {
    return undefined
  }
  const end = outside(tokens, start, "ORDER", "FETCH", "LIMIT", "OFFSET", "UNION", "EXCEPT", "INTERSECT", "FOR", "WITH")
  const aliases = new Set(list.filter((item) => aliasOf(item) > 0).map(nameIn))
  const used = tokens.slice(start, end < 0 ? tokens.length : end).flatMap((item, i, part) => {
    const is = isName(item) && !isSymbol(part[i - 1], ".") && !isSymbol(part[i + 1], ".") && !isSymbol(part[i + 1], "(")
    return is && aliases.has(nameOf(item).toUpperCase()) ? [nameOf(item).toUpperCase()] : []
  })
  return used.length === 0 ? undefined : { names: [...new Set(used)], tables: [table] }
}
