/**
 * Statements that stay with the job: what they set holds for whatever is run on it later, by anybody. A session of the
 * pool must not be given to the next one like that.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import { isSign, isWord, type Token, tokensOf } from "../db2/tokens.js"
import { fromVerb } from "../job/text.js"

/** All others need no look at what they consist of. */
const mayStay = /^(?:set|call)\b/i

/** Schema, path, special registers and users. Not SET TRANSACTION, nor variables. */
const register = /^(?:CURRENT(?:_SCHEMA|_PATH|_FUNCTION_PATH|_SQLID)?|SCHEMA|PATH|SESSION|ENCRYPTION|CONNECTION)$/

/** CL that changes the library list, or attributes of the job. */
const command = /^\s*(?:\w+\/)?(?:chglibl|addlible|rmvlible|chgcurlib|chgsyslibl|chgjob)\b/i

/** A name as Db2 reads it: delimited ones are as they are written. */
const nameOf = (token: Token | undefined): string | undefined =>
  token?.kind === "word"
    ? token.text
    : token?.kind === "name"
      ? token.text.slice(1, -1).replaceAll('""', '"')
      : undefined

const textOf = (token: Token | undefined): string | undefined =>
  token?.kind === "literal" && token.text.startsWith("'") ? token.text.slice(1, -1).replaceAll("''", "'") : undefined

/** Whether the procedure leaves something behind. `given`: the first value of each row of parameters. */
const callStays = (tokens: ReadonlyArray<Token>, given: ReadonlyArray<unknown>): boolean => {
  const at = isSign(tokens[2], ".", "/") ? 3 : 1
  const procedure = nameOf(tokens[at])
  if (procedure === "WLM_SET_CLIENT_INFO") {
    return true
  }
  if (procedure !== "QCMDEXC") {
    return false
  }
  // The command may be named: QCMDEXC(COMMAND => '…').
  const value = isSign(tokens[at + 3], "=") && isSign(tokens[at + 4], ">") ? tokens[at + 5] : tokens[at + 2]
  const commands = value?.kind === "marker" ? given : [textOf(value)]
  return commands.some((text) => typeof text === "string" && command.test(text))
}

/** `rows`: parameters, one array for each time the statement is run. */
export const staysWithJob = (text: string, rows: ReadonlyArray<ReadonlyArray<unknown>> = []): boolean => {
  const sql = fromVerb(text)
  if (!mayStay.test(sql)) {
    return false
  }
  const tokens = tokensOf(sql)
  const [verb, name] = tokens
  return isWord(verb, "SET")
    ? name?.kind === "word" && register.test(name.text)
    : isWord(verb, "CALL") &&
        callStays(
          tokens,
          rows.map(([first]) => first)
        )
}

export const wouldStay = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Unsupported",
    message:
      "What this sets would stay with a session that others get next. Set it for all sessions (libraries, registers or " +
      "onOpen of the layer), or use sql.reserve: its session is closed afterwards",
    statement
  })
