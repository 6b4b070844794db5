/** Statements that a connection carries out by itself: about its unit of work, its schema, its locks. */
import { expectWords, nameAt, refuseAfter, refuseAt, skipWords } from "./expected.js"
import * as failures from "./failures.js"
import { isName, isSymbol, isWord, nameAfterSchema, nameOf, split, type Token, unqualified, wordsAt } from "./scan.js"
import type { Statement } from "./statement.js"

/** Statements about the unit of work; they are the same over every transport. */
export const transactionControl = (tokens: ReadonlyArray<Token>): Statement | undefined => {
  switch (tokens[0]?.text) {
    case "COMMIT": {
      const at = skipWords(tokens, 1, "WORK")
      refuseAfter(tokens, skipWords(tokens, at, "HOLD"))
      return { _tag: "Commit", hold: isWord(tokens[at], "HOLD") }
    }
    case "ROLLBACK": {
      const at = skipWords(tokens, 1, "WORK")
      if (isWord(tokens[at], "TO")) {
        return { _tag: "RollbackTo", name: lastName(tokens, expectWords(tokens, at, "TO", "SAVEPOINT")) }
      }
      refuseAfter(tokens, skipWords(tokens, at, "HOLD"))
      return { _tag: "Rollback" }
    }
    case "SAVEPOINT":
      return savepoint(tokens)
    case "RELEASE":
      return { _tag: "Release", name: lastName(tokens, expectWords(tokens, skipWords(tokens, 1, "TO"), "SAVEPOINT")) }
    case "SET":
      if (isWord(tokens[1], "TRANSACTION")) {
        return isolation(tokens)
      }
      return setSchema(tokens)
    default:
      return undefined
  }
}

/** The name at this place, with which the statement ends. */
const lastName = (tokens: ReadonlyArray<Token>, at: number): string => {
  const name = nameAt(tokens, at)
  refuseAfter(tokens, at + 1)
  return name
}

/** `SAVEPOINT name [UNIQUE] ON ROLLBACK RETAIN CURSORS [ON ROLLBACK RETAIN LOCKS]`; these two in any order. */
const savepoint = (tokens: ReadonlyArray<Token>): Statement => {
  const name = nameAt(tokens, 1)
  if (name.startsWith("SYS")) {
    throw new failures.Refused(failures.reservedName(name))
  }
  const locks = ["ON", "ROLLBACK", "RETAIN", "LOCKS"]
  const at = skipWords(tokens, skipWords(tokens, 2, "UNIQUE"), ...locks)
  refuseAfter(tokens, skipWords(tokens, expectWords(tokens, at, "ON", "ROLLBACK", "RETAIN", "CURSORS"), ...locks))
  return { _tag: "Savepoint", name }
}

/** `LOCK TABLE name IN SHARE MODE`, or `IN EXCLUSIVE MODE [ALLOW READ]`. */
export const lock = (tokens: ReadonlyArray<Token>): Statement => {
  const named = unqualified(tokens, expectWords(tokens, 1, "TABLE"))
  nameAt(named, 0)
  const exclusive = isWord(named[2], "EXCLUSIVE")
  const end = expectWords(named, 1, "IN", exclusive ? "EXCLUSIVE" : "SHARE", "MODE")
  refuseAfter(named, exclusive ? skipWords(named, end, "ALLOW", "READ") : end)
  return { _tag: "Lock" }
}

const levels = [
  ...["SERIALIZABLE", "NO COMMIT", "READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ"],
  ...["RR", "RS", "ALL", "CS", "UR", "CHG", "NC", "NONE"]
]
const modes = new Set([...levels.map((level) => `ISOLATION LEVEL ${level}`), "READ ONLY", "READ WRITE"])

/** `SET TRANSACTION mode, mode`. */
const isolation = (tokens: ReadonlyArray<Token>): Statement => {
  const given = split(tokens.slice(2), 0)
  const bad = given.find((mode) => !modes.has(mode.map(({ text }) => text).join(" ")))
  return bad === undefined
    ? { _tag: "Isolation", readOnly: tokens.some((_, i) => wordsAt(tokens, i, "READ", "ONLY")) }
    : refuseAt(bad, bad.length - 1)
}

const schemaNames = ["SCHEMA", "CURRENT_SCHEMA", "SQLID", "CURRENT_SQLID"]
const userRegisters = ["USER", "SESSION_USER", "SYSTEM_USER", "CURRENT_USER"]

const setSchema = (tokens: ReadonlyArray<Token>): Statement | undefined => {
  const at = isWord(tokens[1], "CURRENT") ? 2 : 1
  if (!isWord(tokens[at], ...schemaNames)) {
    return undefined
  }
  const value = isSymbol(tokens[at + 1], "=") ? at + 2 : at + 1
  const two = wordsAt(tokens, value, "CURRENT", "USER") ? 1 : 0
  refuseAfter(tokens, value + two + 1)
  const item = tokens[value]
  if (item?.kind === "marker") {
    return { _tag: "SetSchema", to: { _tag: "Marker" } }
  }
  if (two === 1 || isWord(item, ...userRegisters)) {
    return { _tag: "SetSchema", to: { _tag: "User" } }
  }
  if (isWord(item, "DEFAULT")) {
    return { _tag: "SetSchema", to: { _tag: "Default" } }
  }
  const literal = item?.kind === "string" ? item.text.slice(1, -1).replaceAll("''", "'") : undefined
  return { _tag: "SetSchema", to: { _tag: "Name", name: literal ?? nameAt(tokens, value) } }
}

/** Registers that may be set, and mean nothing here. */
const settable = ["DEGREE", "DEBUG", "DECFLOAT", "IMPLICIT", "PATH", "FUNCTION"]

/** Any other SET. There are no variables that could be set, for none can be created. */
export const setting = (tokens: ReadonlyArray<Token>): Statement => {
  const first = tokens[1]
  if (
    isWord(first, "PATH", "CURRENT_PATH") ||
    (isWord(first, "CURRENT") && isWord(tokens[2], ...settable)) ||
    wordsAt(tokens, 1, "ENCRYPTION", "PASSWORD")
  ) {
    return { _tag: "Nothing" }
  }
  if (isWord(first, "CURRENT")) {
    return refuseAt(tokens, 2)
  }
  const start = isSymbol(first, "(") ? 2 : 1
  const end = nameAfterSchema(tokens, start)
  if (isName(tokens[end]) && (start === 2 || isSymbol(tokens[end + 1], "="))) {
    const name = tokens.slice(start, end + 1).map((item) => (item.kind === "symbol" ? "." : nameOf(item)))
    throw new failures.Refused(failures.columnNotFound(name.join("")))
  }
  if (first?.kind === "word" || first?.kind === "marker") {
    throw new failures.Refused(failures.unsupported(`SET ${first.text}`))
  }
  return refuseAt(tokens, 1)
}
