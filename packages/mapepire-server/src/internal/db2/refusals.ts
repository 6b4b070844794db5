/** What SQLite would take and Db2 for i does not. */
import * as failures from "./failures.js"
import { beginsOperand } from "./operands.js"
import { isSymbol, isWord, type Token, wordsAt } from "./scan.js"

/** Functions that only SQLite has. Those whose names could be names of tables, too, are left to it. */
const functions = [
  ...["TYPEOF", "IIF", "GLOB", "JSON_EACH", "JSON_TREE", "JSON_EXTRACT", "STRFTIME", "JULIANDAY", "UNIXEPOCH"],
  ...["LAST_INSERT_ROWID", "RANDOMBLOB", "ZEROBLOB", "GROUP_CONCAT", "PRINTF"]
]

/** Throws `Refused`. */
export const refuseSqlite = (tokens: ReadonlyArray<Token>): void => {
  tokens.forEach((item, i) => {
    const next = tokens[i + 1]
    if (isWord(item, "RETURNING") && i > 0 && !isSymbol(tokens[i - 1], ".")) {
      failures.refuse("RETURNING")
    }
    if (wordsAt(tokens, i, "ON", "CONFLICT")) {
      failures.refuse("CONFLICT")
    }
    if (wordsAt(tokens, i, "IF", "NOT", "EXISTS") || wordsAt(tokens, i, "INSERT", "OR")) {
      failures.refuse(next!.text)
    }
    if (item.kind === "symbol" && ["`", "[", "]", ":", "\\"].includes(item.text)) {
      failures.refuse(item.text)
    }
    const counts = isWord(item, "LIMIT", "OFFSET") ? !beginsOperand(tokens, i) : isWord(tokens[i - 1], "FETCH")
    if (counts && isSymbol(next, "-")) {
      failures.refuse("-")
    }
    if (isWord(item, "GLOB") && !beginsOperand(tokens, i) && (next?.kind === "string" || next?.kind === "marker")) {
      failures.refuse("GLOB")
    }
    if (isWord(item, ...functions) && isSymbol(next, "(")) {
      throw new failures.Refused(failures.routineNotFound(item.text))
    }
    if (item.kind === "word" && /^(SQLITE_|PRAGMA_)/.test(item.text)) {
      throw new failures.Refused(failures.notFound(item.text, "*LIBL"))
    }
  })
}
