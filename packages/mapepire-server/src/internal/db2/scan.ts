/** Db2's words: what a text consists of, without white space and comments. */

export type TokenKind = "word" | "quoted" | "string" | "number" | "marker" | "symbol"

export interface Token {
  readonly kind: TokenKind
  /** As SQLite shall read it: ordinary words in upper case, quotes as they were. */
  readonly text: string
  /** How many parentheses are open around it; the parentheses themselves count as outside. */
  readonly depth: number
}

export const token = (kind: TokenKind, text: string, depth = 0): Token => ({ kind, text, depth })

/** A text that does not even consist of words: an open quote, an open comment, a number with letters. */
export class Unterminated extends Error {
  constructor(readonly near: string) {
    super("unterminated")
  }
}

const space = /(?:\s+|--[^\n]*)*/y
const word = /[\p{L}_@#$][\p{L}\p{N}_@#$]*/uy
const number = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y
const symbol = /\|\||<>|!=|¬=|<=|>=|=>|[^]/y
const prefixes = new Set(["X", "BX", "GX", "UX", "N", "G"])

const match = (pattern: RegExp, text: string, at: number): string | undefined => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/** Comments of the bracketed kind nest in Db2. */
const commentEnd = (text: string, at: number): number => {
  let open = 0
  for (let i = at; i < text.length - 1; i++) {
    const pair = text.slice(i, i + 2)
    if (pair === "/*") {
      open++
      i++
    } else if (pair === "*/") {
      i++
      if (--open === 0) {
        return i + 1
      }
    }
  }
  throw new Unterminated("/*")
}

const quotedEnd = (text: string, at: number): number => {
  const quote = text[at]!
  for (let end = text.indexOf(quote, at + 1); end >= 0; end = text.indexOf(quote, end + 2)) {
    if (text[end + 1] !== quote) {
      return end + 1
    }
  }
  throw new Unterminated(quote)
}

/** All the tokens of a text. Throws `Unterminated`. */
export const scan = (text: string): Array<Token> => {
  const tokens: Array<Token> = []
  let depth = 0
  let at = 0
  for (;;) {
    at += match(space, text, at)?.length ?? 0
    if (at >= text.length) {
      return tokens
    }
    const c = text[at]!
    if (c === "/" && text[at + 1] === "*") {
      at = commentEnd(text, at)
      continue
    }
    if (c === "'" || c === '"') {
      const end = quotedEnd(text, at)
      tokens.push(token(c === "'" ? "string" : "quoted", text.slice(at, end), depth))
      at = end
      continue
    }
    const name = match(word, text, at)
    if (name !== undefined) {
      const upper = name.toUpperCase()
      at += name.length
      if (text[at] === "'" && prefixes.has(upper)) {
        const end = quotedEnd(text, at)
        // SQLite's only prefixed literal is X'…', its bytes.
        tokens.push(token("string", (upper.endsWith("X") ? "X" : "") + text.slice(at, end), depth))
        at = end
      } else {
        tokens.push(token("word", upper, depth))
      }
      continue
    }
    const digits = match(number, text, at)
    if (digits !== undefined) {
      const letters = match(word, text, at + digits.length)
      if (letters !== undefined && !/^[KMG]$/i.test(letters)) {
        throw new Unterminated(digits + letters)
      }
      tokens.push(token("number", digits, depth))
      at += digits.length
      continue
    }
    if (c === "?") {
      tokens.push(token("marker", "?", depth))
      at++
      continue
    }
    const sign = match(symbol, text, at)!
    if (sign === ")") {
      depth = Math.max(0, depth - 1)
    }
    tokens.push(token("symbol", sign === "¬=" ? "<>" : sign, depth))
    if (sign === "(") {
      depth++
    }
    at += sign.length
  }
}

/** The first word of a text. */
export const verbOf = (text: string): string => /^\s*(\w+)/.exec(text)?.[1]?.toUpperCase() ?? ""

/** SQLite takes an unknown name in double quotes for a text, one in backticks never. */
export const backquoted = (name: string): string => "`" + name.replaceAll("`", "``") + "`"

/** Letters of a name in Db2, to SQLite signs of its parameters. */
const nationalLetter = /[@#$]/

const rendered = (item: Token): string =>
  item.kind === "quoted" || (item.kind === "word" && nationalLetter.test(item.text))
    ? backquoted(nameOf(item))
    : item.text

export const render = (tokens: ReadonlyArray<Token>): string => tokens.map(rendered).join(" ")

/** The name that a word or a quoted name stands for. */
export const nameOf = ({ kind, text }: Token): string =>
  kind === "quoted" ? text.slice(1, -1).replaceAll('""', '"') : text

export const isName = (token: Token | undefined): token is Token =>
  token !== undefined && (token.kind === "word" || token.kind === "quoted")

export const isWord = (token: Token | undefined, ...words: ReadonlyArray<string>): boolean =>
  token !== undefined && token.kind === "word" && words.includes(token.text)

export const isSymbol = (token: Token | undefined, text: string): boolean =>
  token !== undefined && token.kind === "symbol" && token.text === text

/** Whether these words stand at this place. */
export const wordsAt = (tokens: ReadonlyArray<Token>, at: number, ...words: ReadonlyArray<string>): boolean =>
  words.every((expected, i) => isWord(tokens[at + i], expected))

/** The place of the parenthesis that closes the one at `open`; the end if there is none. */
export const closing = (tokens: ReadonlyArray<Token>, open: number): number => {
  const depth = tokens[open]!.depth
  for (let i = open + 1; i < tokens.length; i++) {
    if (tokens[i]!.depth === depth && isSymbol(tokens[i], ")")) {
      return i
    }
  }
  return tokens.length
}

/** The place of a table's own name, behind its schema if it has one. */
export const nameAfterSchema = (tokens: ReadonlyArray<Token>, from: number): number => {
  let at = from
  while (isSymbol(tokens[at + 1], ".") || isSymbol(tokens[at + 1], "/")) {
    at += 2
  }
  return at
}

/** From `at` on, with a table's name in front that has lost its schema. */
export const unqualified = (tokens: ReadonlyArray<Token>, at: number): ReadonlyArray<Token> =>
  tokens.slice(nameAfterSchema(tokens, at))

/** Cut at the commas of one depth. */
export const split = (tokens: ReadonlyArray<Token>, depth: number): ReadonlyArray<ReadonlyArray<Token>> => {
  const parts: Array<Array<Token>> = [[]]
  for (const item of tokens) {
    if (item.depth === depth && isSymbol(item, ",")) {
      parts.push([])
    } else {
      parts.at(-1)!.push(item)
    }
  }
  return parts
}

/** Tokens of a piece of SQL that is ours. */
export const snippet = (text: string, depth = 0): ReadonlyArray<Token> =>
  scan(text).map((item) => ({ ...item, depth: item.depth + depth }))
