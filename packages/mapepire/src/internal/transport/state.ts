/**
 * Statements that stay with the job: what they set holds for whatever is run on it later, by anybody. A session of the
 * pool must not be given to the next one like that.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import { isSign, isWord, type Token, tokensOf } from "../db2/tokens.js"
import { fromVerb, isPlain } from "../job/text.js"
import { commandStays } from "./clCommand.js"
import { beginningsOf } from "./compound.js"

/** Schema, path, special registers and users. Not SET TRANSACTION, nor variables. */
const register =
  /^(?:CURRENT(?:_SCHEMA|_PATH|_FUNCTION_PATH|_SQLID)?|SCHEMA|PATH|SESSION(?:_USER)?|ENCRYPTION|CONNECTION)$/

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

/** A statement that sets something by itself, or goes to another server. */
const verbStays = (tokens: ReadonlyArray<Token>, at: number): boolean => {
  const [verb, next, third] = [tokens[at], tokens[at + 1], tokens[at + 2]]
  return (
    (isWord(verb, "SET") && next?.kind === "word" && register.test(next.text) && !isSign(third, ".")) ||
    (isWord(verb, "DECLARE") && isWord(next, "GLOBAL")) ||
    isWord(verb, "CONNECT", "DISCONNECT") ||
    (isWord(verb, "RELEASE") && !isWord(isWord(next, "TO") ? third : next, "SAVEPOINT"))
  )
}

/** A statement that runs a text, which may be in a variable. */
const runsText = (tokens: ReadonlyArray<Token>, at: number): boolean =>
  isWord(tokens[at], "PREPARE") || (isWord(tokens[at], "EXECUTE") && isWord(tokens[at + 1], "IMMEDIATE"))

type Rows = ReadonlyArray<ReadonlyArray<unknown>>

/** Whether the name here is a table's, whose columns follow. */
const isTable = (tokens: ReadonlyArray<Token>, at: number): boolean => {
  let first = at
  while (isSign(tokens[first - 1], ".", "/") && nameOf(tokens[first - 2]) !== undefined) {
    first -= 2
  }
  return isWord(tokens[first - 1], "INTO", "TABLE", "REFERENCES", "WITH", "AS")
}

const altering = new Set(["WLM_SET_CLIENT_INFO", "OVERRIDE_QAQQINI", "OVERRIDE_TABLE", "REMOVE_TABLE_OVERRIDE"])

/** Whether a routine is called here that leaves something behind. `markers`: which parameter each of them is. */
const callStays = (
  tokens: ReadonlyArray<Token>,
  at: number,
  rows: Rows,
  markers: ReadonlyMap<Token | undefined, number>
): boolean => {
  if (!isSign(tokens[at + 1], "(")) {
    return false
  }
  const routine = nameOf(tokens[at])
  if (routine !== "QCMDEXC") {
    return routine !== undefined && altering.has(routine)
  }
  if (isTable(tokens, at)) {
    return false
  }
  // The command may be named: QCMDEXC(COMMAND => '…').
  const value = isSign(tokens[at + 3], "=") && isSign(tokens[at + 4], ">") ? at + 5 : at + 2
  const complete = isSign(tokens[value + 1], ",", ")")
  const marker = markers.get(tokens[value])
  if (marker !== undefined && complete) {
    return rows.some(({ [marker]: given }) => typeof given === "string" && commandStays(given, true))
  }
  const command = textOf(tokens[value])
  return commandStays(command ?? "", complete && command !== undefined)
}

/** `rows`: parameters, one array for each time the statement is run. */
export const staysWithJob = (text: string, rows: Rows = []): boolean => {
  const sql = fromVerb(text)
  if (isPlain(sql)) {
    return false
  }
  const tokens = tokensOf(sql)
  const markers = new Map(tokens.filter(({ kind }) => kind === "marker").map((marker, index) => [marker, index]))
  const beginnings = beginningsOf(tokens)
  return (
    !runsNothing(tokens) &&
    (beginnings.some((at) => verbStays(tokens, at)) ||
      // Any text that is written here may be the one.
      (beginnings.some((at) => runsText(tokens, at)) && tokens.some((token) => staysWithJob(textOf(token) ?? ""))) ||
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
