/** Pieces of SQLite's SQL with places for arguments: `$1`, `$2`. */
import { isSymbol, isWord, snippet, type Token, token } from "./scan.js"

const place = /^\$(\d+)$/

/** An argument that is copied as often as it is needed; any other is calculated once, in a query of its own. */
const isShort = (argument: ReadonlyArray<Token>): boolean =>
  argument.length <= 8 && argument.every(({ kind }) => kind !== "marker")

const aggregates = ["COUNT", "COUNT_BIG", "SUM", "AVG", "MIN", "MAX", "LISTAGG", "GROUP_CONCAT", "MEDIAN", "OVER"]

/** A query of its own would be another query's aggregate. */
const aggregated = (argument: ReadonlyArray<Token>): boolean =>
  argument.some((item, i) => isWord(item, ...aggregates) && isSymbol(argument[i + 1], "("))

/** What is copied although it is longer must end somewhere, for it may be copied again. */
const longest = 100

/** Undefined where an argument can neither be copied nor be calculated apart. */
export const filled = (
  template: string,
  args: ReadonlyArray<ReadonlyArray<Token>>,
  depth: number
): ReadonlyArray<Token> | undefined => {
  const written = snippet(`(${template})`, depth)
  const uses = args.map((_, i) => written.filter(({ text }) => text === `$${i + 1}`).length)
  const apart = args.map((argument, i) => uses[i]! > 1 && !isShort(argument) && !aggregated(argument))
  const copied = args.filter((argument, i) => uses[i]! > 1 && aggregated(argument))
  if (copied.some((argument) => argument.length > longest || argument.some(({ kind }) => kind === "marker"))) {
    return undefined
  }
  const put = written.flatMap((item) => {
    const at = Number(place.exec(item.text)?.[1] ?? 0) - 1
    const argument = args[at]
    if (item.kind !== "word" || argument === undefined) {
      return [item]
    }
    return apart[at] === true
      ? [token("word", `V${at}_`, item.depth)]
      : argument.length === 1
        ? argument
        : [token("symbol", "(", item.depth), ...argument, token("symbol", ")", item.depth)]
  })
  const columns = args.flatMap((argument, at) =>
    apart[at] === true ? [token("symbol", ",", depth), ...argument, ...snippet(`AS V${at}_`, depth)] : []
  )
  return columns.length === 0
    ? put
    : [
        ...snippet("( SELECT", depth),
        ...put,
        ...snippet("FROM ( SELECT", depth),
        ...columns.slice(1),
        ...snippet(") )", depth)
      ]
}
