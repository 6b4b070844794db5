/** Forms that SQLite takes and Db2 does not, and those of Db2 that SQLite would take for something else. */
import * as failures from "./failures.js"
import { beginsOperand } from "./operands.js"
import { isName, isSymbol, isWord, nameAfterSchema, nameOf, type Token, wordsAt } from "./scan.js"

const unsupported = (what: string): never => {
  throw new failures.Refused(failures.unsupported(what))
}

const afterJoin = ["WHERE", "GROUP", "HAVING", "ORDER", "FETCH", "LIMIT", "OFFSET", "UNION", "EXCEPT", "INTERSECT"]

/** SQLite joins without a condition. */
const refuseJoin = (tokens: ReadonlyArray<Token>, at: number): void => {
  const { depth } = tokens[at]!
  let end = at + 1
  while (
    end < tokens.length &&
    tokens[end]!.depth >= depth &&
    !(tokens[end]!.depth === depth && isWord(tokens[end], "ON", "USING", ...afterJoin))
  ) {
    end++
  }
  if (!isWord(tokens[end], "ON", "USING")) {
    failures.refuse(tokens[end]?.text ?? "<END-OF-STATEMENT>")
  }
}

const afterIs = ["NULL", "DISTINCT", "TRUE", "FALSE", "UNKNOWN"]
const operators = ["ISNULL", "NOTNULL", "COLLATE"]
const matching = ["REGEXP", "MATCH"]

/** What does not depend on the statement. */
const refuseForm = (tokens: ReadonlyArray<Token>, at: number): void => {
  const item = tokens[at]!
  const before = tokens[at - 1]
  const next = tokens[at + 1]
  if (next?.kind === "string" && (["string", "number", "quoted"].includes(item.kind) || isWord(item, "AS"))) {
    failures.refuse(next.text)
  }
  if (item.kind !== "word" || isSymbol(before, ".") || isSymbol(next, ".")) {
    return
  }
  switch (item.text) {
    case "JOIN":
      if ((isName(next) || isSymbol(next, "(")) && !beginsOperand(tokens, at) && !isWord(before, "CROSS")) {
        if (isWord(before, "EXCEPTION")) {
          unsupported("EXCEPTION JOIN")
        }
        refuseJoin(tokens, at)
      }
      return
    case "NATURAL":
      return isWord(next, "JOIN", "INNER", "LEFT", "RIGHT", "FULL") ? failures.refuse("NATURAL") : undefined
    case "LATERAL":
      return isSymbol(next, "(") && (isSymbol(before, ",") || isWord(before, "JOIN", "FROM"))
        ? unsupported("LATERAL")
        : undefined
    case "TABLE":
      return isSymbol(next, "(") && (isSymbol(before, ",") || isWord(before, "JOIN", "FROM"))
        ? unsupported("TABLE with a function or a query")
        : undefined
    case "IS": {
      const operand = isWord(next, "NOT") ? tokens[at + 2] : next
      return beginsOperand(tokens, at) || isWord(operand, ...afterIs) || operand === undefined
        ? undefined
        : failures.refuse(operand.text)
    }
    case "FILTER":
      return isSymbol(before, ")") && isSymbol(next, "(") && isWord(tokens[at + 2], "WHERE")
        ? failures.refuse("FILTER")
        : undefined
    case "INDEXED":
      return isWord(next, "BY") ? failures.refuse("INDEXED") : undefined
    case "GROUPING":
      return isWord(next, "SETS") ? unsupported("GROUPING SETS") : undefined
    case "ROLLUP":
    case "CUBE":
      return isSymbol(next, "(") && isWord(before, "BY") ? unsupported(item.text) : undefined
    case "CONNECT":
      return isWord(next, "BY") && at > 0 ? unsupported("CONNECT BY") : undefined
    case "NEXT":
    case "PREVIOUS":
      return wordsAt(tokens, at + 1, "VALUE", "FOR") ? sequence(tokens, at + 3) : undefined
    case "NEXTVAL":
    case "PREVVAL":
      return isWord(next, "FOR") ? sequence(tokens, at + 2) : undefined
  }
  if (operators.includes(item.text) && !beginsOperand(tokens, at) && !isWord(before, "AS")) {
    failures.refuse(item.text)
  }
  if (
    matching.includes(item.text) &&
    !beginsOperand(tokens, at) &&
    (next?.kind === "string" || next?.kind === "marker")
  ) {
    failures.refuse(item.text)
  }
}

/** There are none, for none can be created. */
const sequence = (tokens: ReadonlyArray<Token>, at: number): never => {
  const name = tokens[nameAfterSchema(tokens, at)]
  throw new failures.Refused(failures.sequenceNotFound(isName(name) ? nameOf(name) : ""))
}

const refuseInsert = (tokens: ReadonlyArray<Token>): void => {
  const at = nameAfterSchema(tokens, 2) + 1
  if (isWord(tokens[at], "AS", "DEFAULT")) {
    failures.refuse(tokens[at]!.text)
  }
}

const outside = (tokens: ReadonlyArray<Token>, ...words: ReadonlyArray<string>): number =>
  tokens.findIndex((item, i) => item.depth === 0 && isWord(item, ...words) && !isSymbol(tokens[i - 1], "."))

/** Throws `Refused`. */
export const refuseForeign = (tokens: ReadonlyArray<Token>): void => {
  const [verb] = tokens
  if (isWord(verb, "COMMENT", "LABEL", "GRANT", "REVOKE")) {
    return
  }
  tokens.forEach((_, i) => refuseForm(tokens, i))
  switch (verb!.text) {
    case "SELECT":
    case "VALUES":
      if (outside(tokens, "INTO") > 0) {
        unsupported(`${verb!.text} INTO`)
      }
      return
    case "INSERT":
      return refuseInsert(tokens)
    case "UPDATE":
      if (outside(tokens, "FROM") > 0) {
        failures.refuse("FROM")
      }
      if (tokens.some((item, i) => item.depth === 0 && isWord(item, "DEFAULT") && isSymbol(tokens[i - 1], "="))) {
        unsupported("DEFAULT in UPDATE")
      }
      return
    case "CREATE":
      if (isWord(tokens[1], "GLOBAL", "TEMPORARY", "TEMP")) {
        failures.refuse(tokens[1]!.text)
      }
      return
    case "ALTER":
      if (outside(tokens, "RENAME") > 2) {
        failures.refuse("RENAME")
      }
      return
  }
}
