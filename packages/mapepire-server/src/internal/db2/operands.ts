/** Operands in an expression: where they begin and where they end. */
import { registerAt } from "./environment.js"
import { closing, isName, isSymbol, isWord, type Token } from "./scan.js"

/** Words after which an operand begins, so that a sign there belongs to it. */
const beforeOperand = [
  ...["SELECT", "DISTINCT", "ALL", "VALUES", "WHERE", "ON", "HAVING", "BY", "AND", "OR", "NOT", "BETWEEN", "LIKE"],
  ...["IN", "CASE", "WHEN", "THEN", "ELSE", "CONCAT", "DEFAULT", "LIMIT", "OFFSET"]
]

/** Whether an operand begins at a place, with its sign if it has one. */
export const beginsOperand = (tokens: ReadonlyArray<Token>, at: number): boolean => {
  const before = tokens[at - 1]
  return (
    before === undefined ||
    (before.kind === "symbol" && before.text !== ")" && before.text !== ".") ||
    isWord(before, ...beforeOperand)
  )
}

const isTypedLiteral = (word: Token | undefined, value: Token | undefined): boolean =>
  isWord(word, "DATE", "TIME", "TIMESTAMP") && value?.kind === "string"

/** The operand that ends before `end`. */
export const operandBefore = (tokens: ReadonlyArray<Token>, end: number): ReadonlyArray<Token> => {
  const last = tokens[end - 1]
  let start = end - 1
  if (isSymbol(last, ")")) {
    do {
      start--
    } while (start >= 0 && !(tokens[start]!.depth === last!.depth && isSymbol(tokens[start], "(")))
    start -= isName(tokens[start - 1]) && !isWord(tokens[start - 1], ...beforeOperand) ? 1 : 0
  } else if (
    isTypedLiteral(tokens[end - 2], last) ||
    (isWord(tokens[end - 2], "CURRENT") && last?.kind === "word" && registerAt("CURRENT", last.text) !== undefined)
  ) {
    return tokens.slice(end - 2, end)
  }
  while (isSymbol(tokens[start - 1], ".") && isName(tokens[start - 2])) {
    start -= 2
  }
  return tokens.slice(Math.max(0, start), end)
}

/** The operand that begins at `start`, without its sign. */
export const operandAfter = (tokens: ReadonlyArray<Token>, start: number): ReadonlyArray<Token> => {
  const first = tokens[start]
  const next = tokens[start + 1]
  if (first === undefined) {
    return []
  }
  if (isSymbol(first, "+") || isSymbol(first, "-")) {
    return operandAfter(tokens, start + 1)
  }
  const register =
    first.kind === "word" ? registerAt(first.text, next?.kind === "word" ? next.text : undefined) : undefined
  if (register !== undefined || isTypedLiteral(first, next)) {
    return tokens.slice(start, start + (register?.[1] ?? 2))
  }
  let end = start
  while (isName(tokens[end]) && isSymbol(tokens[end + 1], ".")) {
    end += 2
  }
  const open = isSymbol(tokens[end], "(")
    ? end
    : isName(tokens[end]) && isSymbol(tokens[end + 1], "(")
      ? end + 1
      : undefined
  return tokens.slice(start, (open === undefined ? end : closing(tokens, open)) + 1)
}
