/** What SQLite would take and Db2 for i does not. */
import * as failures from "./failures.js"
import { refuseForeign } from "./foreignForms.js"
import { argumentsOf, isCall, isMissing, isRefused } from "./functions.js"
import { beginsOperand } from "./operands.js"
import { expressionType } from "./results.js"
import { isSymbol, isWord, type Token, wordsAt } from "./scan.js"
import { kindOf } from "./types.js"

/** Its texts have all the digits of its type, which the value in SQLite has not. */
const refuseFractions = (name: string, value: ReadonlyArray<Token>): void => {
  const type = expressionType(value)
  if (type !== undefined && ["decimal", "decfloat", "float"].includes(kindOf(type))) {
    throw new failures.Refused(failures.unsupported(`${name} of numbers with a fraction`))
  }
}

/** Throws `Refused`. */
export const refuseSqlite = (tokens: ReadonlyArray<Token>): void => {
  refuseForeign(tokens)
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
    if (item.kind === "symbol" && ["`", "[", "]", ":", "\\", "&", "|", "~"].includes(item.text)) {
      failures.refuse(item.text)
    }
    const counts = isWord(item, "LIMIT", "OFFSET") ? !beginsOperand(tokens, i) : isWord(tokens[i - 1], "FETCH")
    if (counts && isSymbol(next, "-")) {
      failures.refuse("-")
    }
    if (isWord(item, "GLOB") && !beginsOperand(tokens, i) && (next?.kind === "string" || next?.kind === "marker")) {
      failures.refuse("GLOB")
    }
    if (isCall(tokens, i)) {
      const given = argumentsOf(tokens, i + 1)
      if (isMissing(item.text)) {
        throw new failures.Refused(failures.unsupported(`the function ${item.text}`))
      }
      if (isRefused(item.text, given.length)) {
        throw new failures.Refused(failures.routineNotFound(item.text))
      }
      if (isWord(item, "CHAR", "VARCHAR")) {
        refuseFractions(item.text, given[0] ?? [])
      }
    }
    if (item.kind === "word" && /^(SQLITE_|PRAGMA_)/.test(item.text)) {
      throw new failures.Refused(failures.notFound(item.text, "*LIBL"))
    }
  })
}
