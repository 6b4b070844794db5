/** CALL: the procedure's name, and literals or markers as its arguments. */
import { refuseAfter } from "./expected.js"
import * as failures from "./failures.js"
import { closing, isSymbol, isWord, nameOf, split, type Token } from "./scan.js"
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
  return {
    _tag: "Call",
    name: name.join(""),
    arguments: items.map((item) => {
      const found = argument(item)
      refuseAfter(item, isSymbol(item[0], "-") ? 2 : 1)
      return found
    })
  }
}

const argument = ([first, second]: ReadonlyArray<Token>): Argument => {
  switch (first?.kind) {
    case "marker":
      return { _tag: "Marker" }
    case "string":
      return { _tag: "Literal", value: first.text.slice(1, -1).replaceAll("''", "'") }
    case "number":
      return { _tag: "Literal", value: first.text }
    default:
      if (isSymbol(first, "-") && second?.kind === "number") {
        return { _tag: "Literal", value: `-${second.text}` }
      }
      return isWord(first, "NULL") ? { _tag: "Literal", value: null } : failures.refuse(first?.text ?? ")")
  }
}
