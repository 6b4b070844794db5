/**
 * `UPDATE … ORDER BY … LIMIT …` and the same DELETE, for carriers whose SQLite was built without them
 * (SQLITE_ENABLE_UPDATE_DELETE_LIMIT): the rows are chosen by a query inside, as SQLite itself does it.
 */
import { ResultCode } from "../resultCode.js"
import { firstStatement, Scanner, Token } from "../split.js"
import { EngineError } from "./engine.js"

/** Prepares a text; one that the carrier's grammar refuses for its LIMIT is prepared in the other spelling. */
export const prepareLimited = <A>(text: string, prepare: (text: string) => A): A => {
  try {
    return prepare(text)
  } catch (error) {
    const other = refusesLimit(error) ? limitInside(text) : undefined
    if (other === undefined) throw error
    try {
      return prepare(other)
    } catch (second) {
      // A table without rowid, or a view: nothing to choose rows by.
      throw second instanceof EngineError && second.message.includes(rowid) ? error : second
    }
  }
}

const refusesLimit = (error: unknown): boolean =>
  error instanceof EngineError &&
  error.code === ResultCode.error &&
  /^near "(order|limit)": syntax error$/i.test(error.message)

/** Of its three names the one that columns are least likely to have. */
const rowid = "_rowid_"

const clauses = new Set(["SET", "FROM", "WHERE", "RETURNING", "ORDER", "LIMIT"])

/** The other spelling; undefined for a statement that is not of this kind, or that cannot be rewritten safely. */
export const limitInside = (text: string): string | undefined => {
  const statement = firstStatement(text)
  if (statement === undefined) return undefined
  const sql = statement.text
  const at = new Map<string, number>()
  const scanner = new Scanner(sql)
  let verb: string | undefined
  /** Where the table of an UPDATE stands: behind the verb and its OR IGNORE. */
  let table = 0
  let depth = 0
  let previous = ""
  for (let kind = scanner.next(); kind !== Token.end; kind = scanner.next()) {
    const token = sql.slice(scanner.start, scanner.end)
    if (token === "(") depth++
    if (token === ")") depth--
    const word = kind === Token.word && depth === 0 ? token.toUpperCase() : ""
    if (verb === undefined) {
      if (word === "UPDATE" || word === "DELETE") {
        verb = word
        table = scanner.end
      } else if (word === "INSERT" || word === "REPLACE" || word === "SELECT") return undefined
      else if (previous === "" && word !== "WITH") return undefined
    } else if (previous === "OR" && !at.has("SET")) {
      table = scanner.end
    } else if (word === "INDEXED") {
      return undefined // a hint that only the query inside could follow
    } else if (clauses.has(word) && !(word === "FROM" && previous === "DISTINCT")) {
      if (at.has(word)) return undefined
      at.set(word, scanner.start)
    }
    // In RETURNING, its parameters would change places with those of LIMIT.
    if (kind === Token.variable && at.has("RETURNING") && !at.has("ORDER") && !at.has("LIMIT")) return undefined
    previous = word === "" ? token : word
  }
  const from = at.get("FROM")
  const set = at.get("SET")
  const limit = at.get("LIMIT")
  // UPDATE … FROM joins: SQLite takes no LIMIT there either.
  if (limit === undefined || (verb === "UPDATE" ? set === undefined || from !== undefined : from === undefined)) {
    return undefined
  }
  const choice = Math.min(at.get("ORDER") ?? limit, limit)
  const returning = at.get("RETURNING") ?? choice
  const where = at.get("WHERE") ?? returning
  const target = verb === "UPDATE" ? sql.slice(table, set) : sql.slice(from! + 4, where)
  return (
    `${sql.slice(0, where)} WHERE ${rowid} IN (SELECT ${rowid} FROM ${target} ` +
    `${sql.slice(where, returning)} ${sql.slice(choice)}) ${sql.slice(returning, choice)};${statement.tail}`
  )
}
