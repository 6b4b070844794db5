/** What a statement does to the transaction it is in. The protocol does not tell: its text has to. */
import { tokensOf } from "../db2/tokens.js"
import { fromVerb } from "../job/text.js"

/** `SAVEPOINT`: ends one, or undoes what was done since. */
export type TransactionWord = "BEGIN" | "COMMIT" | "ROLLBACK" | "SAVEPOINT"

/** All others need no look at what they consist of. */
const mayBeOne = /^(?:begin|commit|rollback|release)\b/i

/** Alone: `BEGIN … END` is a compound statement. HOLD keeps cursors, and ends the transaction all the same. */
const transaction = /^(?:(BEGIN)(?: WORK| TRANSACTION)?|(COMMIT|ROLLBACK)(?: WORK| TRANSACTION)?(?: HOLD)?)(?: ;)*$/

const savepoint = /^(?:ROLLBACK (?:WORK )?TO|RELEASE(?: TO)?) SAVEPOINT\b/

export const transactionWordOf = (text: string): TransactionWord | undefined => {
  const sql = fromVerb(text)
  if (!mayBeOne.test(sql)) {
    return undefined
  }
  // Comments are no tokens.
  const words = tokensOf(sql)
    .map((token) => token.text)
    .join(" ")
  const [, begin, end] = transaction.exec(words) ?? []
  return ((begin ?? end) as TransactionWord | undefined) ?? (savepoint.test(words) ? "SAVEPOINT" : undefined)
}
