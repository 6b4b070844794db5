/** What an index is over, from its CREATE INDEX: of expressions SQLite itself tells no more than that there are some. */
import { Scanner, Token } from "../split.js"

/** One text per column or expression, without its direction. */
export const termsOf = (sql: string): ReadonlyArray<string> => {
  const scanner = new Scanner(sql)
  const terms: Array<string> = []
  let depth = 0
  let start = -1
  let end = -1
  for (let kind = scanner.next(); kind !== Token.end; kind = scanner.next()) {
    const text = sql.slice(scanner.start, scanner.end)
    const closes = text === ")" && depth === 1
    if (depth === 1 && (closes || text === ",")) {
      terms.push(sql.slice(start, end))
      start = -1
      if (closes) {
        break
      }
    } else if (depth > 0 && !(depth === 1 && kind === Token.word && /^(asc|desc)$/i.test(text))) {
      start = start < 0 ? scanner.start : start
      end = scanner.end
    }
    depth += text === "(" ? 1 : text === ")" ? -1 : 0
  }
  return terms
}
