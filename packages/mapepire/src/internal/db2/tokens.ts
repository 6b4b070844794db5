/** What a statement's text consists of, as far as the compiler must know: words, markers, parentheses, commas. */

export interface Token {
  /** `name`: a delimited one. `literal`: text or number. `sign`: any other character. */
  readonly kind: "word" | "name" | "literal" | "marker" | "sign"
  /** Words in upper case, everything else as it is written. */
  readonly text: string
  readonly start: number
  readonly end: number
  /** Parentheses open around it; the parentheses themselves count as outside. */
  readonly depth: number
}

const pattern =
  /(?<space>\s+|--[^\n]*)|(?<literal>'(?:[^']|'')*'|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?<name>"(?:[^"]|"")*")|(?<word>[\p{L}_@#$][\p{L}\p{N}_@#$]*)|(?<sign>\|\||[^])/uy

/** The tokens of a text. What is not closed is left to Db2 to complain about. */
export const tokensOf = (text: string): ReadonlyArray<Token> => {
  const tokens: Array<Token> = []
  let depth = 0
  let at = 0
  while (at < text.length) {
    if (text.startsWith("/*", at)) {
      at = commentEnd(text, at)
      continue
    }
    pattern.lastIndex = at
    const { literal, name, space, word } = pattern.exec(text)!.groups!
    const start = at
    at = pattern.lastIndex
    if (space !== undefined) {
      continue
    }
    const written = text.slice(start, at)
    if (written === ")") {
      depth--
    }
    const kind =
      literal !== undefined
        ? "literal"
        : name !== undefined
          ? "name"
          : word !== undefined
            ? "word"
            : written === "?"
              ? "marker"
              : "sign"
    tokens.push({ kind, text: kind === "word" ? written.toUpperCase() : written, start, end: at, depth })
    if (written === "(") {
      depth++
    }
  }
  return tokens
}

/** The place after the comment that begins at `start` with a slash and an asterisk: these nest in Db2. */
export const commentEnd = (text: string, start: number): number => {
  let open = 0
  for (let at = start; at < text.length; at++) {
    if (text.startsWith("/*", at)) {
      open++
      at++
    } else if (text.startsWith("*/", at)) {
      at++
      if (--open === 0) {
        return at + 1
      }
    }
  }
  return text.length
}

export const isWord = (token: Token | undefined, ...words: ReadonlyArray<string>): boolean =>
  token?.kind === "word" && words.includes(token.text)

export const isSign = (token: Token | undefined, ...signs: ReadonlyArray<string>): boolean =>
  token?.kind === "sign" && signs.includes(token.text)
