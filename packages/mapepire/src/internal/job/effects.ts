/** Whether a statement may change something, as far as its text tells. */
import type { SqlError } from "@effect/sql/SqlError"
import { isWord, tokensOf } from "../db2/tokens.js"
import * as failure from "../failure.js"

/** Only asked after a failure: a query that changes nothing can be run again, whatever became of it. */
export const mayWrite = (text: string): boolean => {
  const tokens = tokensOf(text)
  const verb = tokens.find(({ kind, text }) => kind !== "sign" || text !== "(")
  return (
    !isWord(verb, "SELECT", "WITH", "VALUES") ||
    // A query of the rows that an INSERT, UPDATE or DELETE in it has changed.
    tokens.some((token, i) => isWord(token, "FINAL", "NEW", "OLD") && isWord(tokens[i + 1], "TABLE"))
  )
}

/** A failure after the statement was run: whatever kept the rows from coming, what it changed is changed. */
export const afterRun = (error: SqlError, statement: string): SqlError =>
  mayWrite(statement) ? failure.perhaps(error) : error
