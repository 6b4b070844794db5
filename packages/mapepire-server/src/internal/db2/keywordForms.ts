/** Calls whose arguments stand between words: `SUBSTRING(x FROM 2 FOR 3)`. They are put with commas. */
import * as failures from "./failures.js"
import { isCall } from "./functions.js"
import { closing, isWord, snippet, type Token, token } from "./scan.js"

const names = ["SUBSTRING", "POSITION", "EXTRACT", "TRIM"]
const units = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "DOW", "DOY", "WEEK", "QUARTER"]

const find = (tokens: ReadonlyArray<Token>, depth: number, ...words: ReadonlyArray<string>): number =>
  tokens.findIndex((item) => item.depth === depth && isWord(item, ...words))

/** What stands in the parentheses at a depth, with commas; undefined: as it is. And the function's name. */
const plain = (
  name: string,
  inside: ReadonlyArray<Token>,
  depth: number
): readonly [string, ReadonlyArray<Token>] | undefined => {
  const comma = token("symbol", ",", depth)
  const from = find(inside, depth, "FROM")
  switch (name) {
    case "POSITION": {
      const at = find(inside, depth, "IN")
      return at < 0 ? undefined : [name, [...inside.slice(0, at), comma, ...inside.slice(at + 1)]]
    }
    case "SUBSTRING": {
      const commas = inside.map((item, i) =>
        i > 0 && item.depth === depth && isWord(item, "FROM", "FOR") ? comma : item
      )
      return from < 0 ? undefined : [name, commas]
    }
    case "EXTRACT": {
      const unit = inside[0]
      if (from !== 1 || !isWord(unit, ...units)) {
        throw new failures.Refused(failures.unsupported(`EXTRACT of ${unit?.text ?? ")"}`))
      }
      const other: Readonly<Record<string, string>> = { DOW: "DAYOFWEEK", DOY: "DAYOFYEAR" }
      return [other[unit!.text] ?? unit!.text, inside.slice(2)]
    }
    default: {
      if (from < 0) {
        return undefined
      }
      const side = isWord(inside[0], "BOTH", "LEADING", "TRAILING", "B", "L", "T") && from > 0 ? 1 : 0
      const of = side === 1 ? inside[0]!.text : "BOTH"
      const sides = snippet(of, depth)
      const letter = inside.slice(side, from)
      return ["STRIP", [...inside.slice(from + 1), comma, ...sides, ...(letter.length === 0 ? [] : [comma, ...letter])]]
    }
  }
}

export const withCommas = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> => {
  if (!tokens.some((item) => isWord(item, ...names))) {
    return tokens
  }
  const out: Array<Token> = []
  for (let at = 0; at < tokens.length; at++) {
    const item = tokens[at]!
    const call = isWord(item, ...names) && isCall(tokens, at)
    const close = call ? closing(tokens, at + 1) : at
    const written = call ? plain(item.text, tokens.slice(at + 2, close), item.depth + 1) : undefined
    if (written === undefined) {
      out.push(item)
    } else {
      const [name, inside] = written
      out.push(
        token("word", name, item.depth),
        tokens[at + 1]!,
        ...withCommas(inside),
        ...tokens.slice(close, close + 1)
      )
      at = close
    }
  }
  return out
}
