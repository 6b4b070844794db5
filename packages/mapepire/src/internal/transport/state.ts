/**
 * Statements that stay with the job: what they set holds for whatever is run on it later, by anybody. A session of the
 * pool must not be given to the next one like that.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import { isSign, isWord, type Token, tokensOf } from "../db2/tokens.js"
import { fromVerb } from "../job/text.js"
import { commandStays } from "./clCommand.js"

/** All others need no look at what they consist of. A command may be run from anywhere in a statement. */
const mayStay = /^(?:\W*(?:set|call|begin|declare|connect)\b|[\w@#$]+\s*:)/i
const mayRunCommand = /qcmdexc/i

/** Schema, path, special registers and users. Not SET TRANSACTION, nor variables. */
const register = /^(?:CURRENT(?:_SCHEMA|_PATH|_FUNCTION_PATH|_SQLID)?|SCHEMA|PATH|SESSION|ENCRYPTION|CONNECTION)$/

/** A name as Db2 reads it: delimited ones are as they are written. */
const nameOf = (token: Token | undefined): string | undefined =>
  token?.kind === "word"
    ? token.text
    : token?.kind === "name"
      ? token.text.slice(1, -1).replaceAll('""', '"')
      : undefined

const textOf = (token: Token | undefined): string | undefined =>
  token?.kind === "literal" && token.text.startsWith("'") ? token.text.slice(1, -1).replaceAll("''", "'") : undefined

/** What it says is run later, and by others: the body of a routine, a view, the rights to one. */
const runsNothing = ([verb, second, , fourth]: ReadonlyArray<Token>): boolean =>
  isWord(verb, "ALTER", "COMMENT", "DROP", "GRANT", "LABEL", "REVOKE") ||
  (isWord(verb, "CREATE") && !isWord(second, "TABLE") && !isWord(fourth, "TABLE"))

/** Where in a compound statement another one begins. */
const beginsAfter = (token: Token | undefined): boolean =>
  isSign(token, ";", ":") ||
  isWord(token, "BEGIN", "ATOMIC", "THEN", "ELSE", "DO", "LOOP", "REPEAT", "SQLEXCEPTION", "SQLWARNING", "FOUND")

/** Where the statement begins, which may stand in the braces of an escape; and those that it consists of. */
const beginnings = (tokens: ReadonlyArray<Token>): ReadonlyArray<number> => {
  const first = tokens.findIndex(({ kind }) => kind === "word")
  const compound = isWord(tokens[first], "BEGIN") || isSign(tokens[first + 1], ":")
  return compound ? tokens.flatMap((_, i) => (i === first || beginsAfter(tokens[i - 1]) ? [i] : [])) : [first]
}

const verbStays = (tokens: ReadonlyArray<Token>, at: number): boolean => {
  const verb = tokens[at]
  const next = tokens[at + 1]
  if (isWord(verb, "SET")) {
    return next?.kind === "word" && register.test(next.text)
  }
  return (
    isWord(verb, "CONNECT") ||
    (isWord(verb, "DECLARE") && isWord(next, "GLOBAL")) ||
    (isWord(verb, "EXECUTE") && isWord(next, "IMMEDIATE") && staysWithJob(textOf(tokens[at + 2]) ?? ""))
  )
}

type Rows = ReadonlyArray<ReadonlyArray<unknown>>

/** Whether a routine is called here that leaves something behind. */
const callStays = (tokens: ReadonlyArray<Token>, at: number, rows: Rows, markers: ReadonlyArray<Token>): boolean => {
  if (!isSign(tokens[at + 1], "(")) {
    return false
  }
  const routine = nameOf(tokens[at])
  if (routine !== "QCMDEXC") {
    return routine === "WLM_SET_CLIENT_INFO" || routine === "OVERRIDE_QAQQINI"
  }
  // The command may be named: QCMDEXC(COMMAND => '…').
  const value = isSign(tokens[at + 3], "=") && isSign(tokens[at + 4], ">") ? at + 5 : at + 2
  const complete = isSign(tokens[value + 1], ",", ")")
  if (tokens[value]?.kind === "marker" && complete) {
    const marker = markers.indexOf(tokens[value])
    return rows.some(({ [marker]: given }) => typeof given === "string" && commandStays(given, true))
  }
  const command = textOf(tokens[value])
  return commandStays(command ?? "", complete && command !== undefined)
}

/** `rows`: parameters, one array for each time the statement is run. */
export const staysWithJob = (text: string, rows: Rows = []): boolean => {
  const sql = fromVerb(text)
  if (!mayStay.test(sql) && !mayRunCommand.test(sql)) {
    return false
  }
  const tokens = tokensOf(sql)
  const markers = tokens.filter(({ kind }) => kind === "marker")
  return (
    !runsNothing(tokens) &&
    (beginnings(tokens).some((at) => verbStays(tokens, at)) ||
      tokens.some((_, at) => callStays(tokens, at, rows, markers)))
  )
}

export const wouldStay = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Unsupported",
    message:
      "What this sets, or may set, would stay with a session that others get next. Set it for all sessions (libraries, " +
      "registers or onOpen of the layer), or use sql.reserve: its session is closed afterwards",
    statement
  })
