/** What must stand at a place of a statement, and what may. */
import * as failures from "./failures.js"
import { isName, isWord, nameOf, type Token, wordsAt } from "./scan.js"

export const refuseAt = (tokens: ReadonlyArray<Token>, at: number): never =>
  failures.refuse(tokens[at]?.text ?? "<END-OF-STATEMENT>")

/** A statement ends before this place. */
export const refuseAfter = (tokens: ReadonlyArray<Token>, at: number): void => {
  if (at < tokens.length) {
    refuseAt(tokens, at)
  }
}

/** The place behind words that must stand at this place. */
export const expectWords = (tokens: ReadonlyArray<Token>, at: number, ...words: ReadonlyArray<string>): number => {
  words.forEach((word, i) => isWord(tokens[at + i], word) || refuseAt(tokens, at + i))
  return at + words.length
}

export const nameAt = (tokens: ReadonlyArray<Token>, at: number): string => {
  const item = tokens[at]
  return isName(item) ? nameOf(item) : refuseAt(tokens, at)
}

/** The place behind these words, if they stand at this place; else this place. */
export const skipWords = (tokens: ReadonlyArray<Token>, at: number, ...words: ReadonlyArray<string>): number =>
  wordsAt(tokens, at, ...words) ? at + words.length : at
