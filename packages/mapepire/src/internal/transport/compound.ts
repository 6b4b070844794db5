/** Where the statements begin that a compound statement consists of. */
import { isSign, isWord, type Token } from "../db2/tokens.js"

/** The place after `DECLARE … HANDLER FOR` and its conditions: there the handler's statement begins. */
const afterConditions = (tokens: ReadonlyArray<Token>, declare: number): number => {
  let at = declare + 3
  do {
    at++
    // SQLSTATE VALUE '…', NOT FOUND, or one word.
    at += isWord(tokens[at], "SQLSTATE") ? (isWord(tokens[at + 1], "VALUE") ? 3 : 2) : isWord(tokens[at], "NOT") ? 2 : 1
  } while (isSign(tokens[at], ","))
  return at
}

/**
 * The places of first words; of a statement that is not a compound one there is one. It may stand in the braces of an
 * escape, or after a label.
 */
export const beginningsOf = (tokens: ReadonlyArray<Token>): ReadonlyArray<number> => {
  const first = tokens.findIndex(({ kind }) => kind === "word" || kind === "name")
  if (!isWord(tokens[first], "BEGIN") && !isSign(tokens[first + 1], ":")) {
    return [first]
  }
  const found: Array<number> = []
  let next = first
  /** CASE expressions that are open: what follows their THEN and ELSE is no statement. */
  let cases = 0
  for (let at = first; at < tokens.length; at++) {
    const token = tokens[at]
    if (isSign(token, ";")) {
      cases = 0
      next = at + 1
    } else if (at === next && isSign(tokens[at + 1], ":")) {
      next = at + 2
    } else if (!isSign(tokens[at - 1], ".")) {
      if (at === next) {
        found.push(at)
      }
      if (isWord(token, "END")) {
        cases = Math.max(0, cases - 1)
      } else if (isWord(token, "CASE")) {
        cases += at === next || isWord(tokens[at - 1], "END") ? 0 : 1
      } else if (cases === 0 && isWord(token, "BEGIN", "ATOMIC", "THEN", "ELSE", "DO", "LOOP", "REPEAT")) {
        next = at + 1
      } else if (at === next && isWord(token, "DECLARE") && isWord(tokens[at + 2], "HANDLER")) {
        next = afterConditions(tokens, at)
      }
    }
  }
  return found
}
