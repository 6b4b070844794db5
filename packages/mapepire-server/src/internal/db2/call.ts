/** CALL: the procedure's name, and literals or markers as its arguments. */
import { refuseAfter } from "./expected.js"
import * as failures from "./failures.js"
import { closing, isName, isSymbol, isWord, nameOf, split, type Token } from "./scan.js"
import type { Argument, Statement } from "./statement.js"

export const call = (tokens: ReadonlyArray<Token>): Statement => {
  const open = tokens.findIndex((item) => isSymbol(item, "("))
  const name = tokens
    .slice(1, open < 0 ? tokens.length : open)
    .map((item) => (item.kind === "symbol" ? "." : nameOf(item)))
  const end = open < 0 ? tokens.length : closing(tokens, open)
  refuseAfter(tokens, end + 1)
  const inside = open < 0 ? [] : tokens.slice(open + 1, end)
  const items = inside.length === 0 ? [] : split(inside, 1)
  return { _tag: "Call", name: name.join(""), arguments: items.map(argument) }
}

/** `value`, or `PARAMETER => value`. */
const argument = (item: ReadonlyArray<Token>): Argument => {
  if (isName(item[0]) && isSymbol(item[1], "=>")) {
    return { ...value(item.slice(2)), parameter: nameOf(item[0]) }
  }
  return value(item)
}

const operators = ["+", "-", "*", "/", "||"]

const value = (item: ReadonlyArray<Token>): Argument => {
  const sign = isSymbol(item[0], "-") && item[1]?.kind === "number" ? 1 : 0
  const found = single(item[sign], sign === 0 ? "" : "-")
  const next = item[sign + 1]
  if (found._tag === "Expression" || (next?.kind === "symbol" && operators.includes(next.text))) {
    return { _tag: "Expression" }
  }
  refuseAfter(item, sign + 1)
  return found
}

const single = (item: Token | undefined, sign: string): Argument => {
  if (item === undefined) {
    return failures.refuse(")")
  }
  switch (item.kind) {
    case "marker":
      return { _tag: "Marker" }
    case "string":
      return item.text.startsWith("'")
        ? { _tag: "Literal", value: item.text.slice(1, -1).replaceAll("''", "'") }
        : { _tag: "Expression" }
    case "number":
      return { _tag: "Literal", value: sign + item.text }
    default:
      if (isWord(item, "TRUE", "FALSE")) {
        return { _tag: "Literal", value: item.text }
      }
      return isWord(item, "NULL") ? { _tag: "Literal", value: null } : { _tag: "Expression" }
  }
}
