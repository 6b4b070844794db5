/** What a query's text tells of its result: which columns have no name, and the types of casts and literals. */
import { castTypeOf } from "./calls.js"
import { registerAt } from "./environment.js"
import { argumentsOf } from "./functions.js"
import { closing, isName, isSymbol, isWord, nameOf, split, type Token } from "./scan.js"
import { type Db2Type, fitsBigint, fitsInteger, makeType, parseType } from "./types.js"
import { typeOf } from "./spellings.js"

export interface ResultColumn {
  /** Db2 numbers what has no name: `00001`. */
  readonly named: boolean
  readonly type: Db2Type | undefined
  /** The column that it is, if it is no more than that. */
  readonly source: string | undefined
}

/** The items of a select list or of a row of VALUES; undefined where a star hides how many columns there are. */
export const resultColumns = (
  items: ReadonlyArray<ReadonlyArray<Token>>,
  values: boolean
): ReadonlyArray<ResultColumn> | undefined => {
  if (!values && items.some((item) => isSymbol(item.at(-1), "*"))) {
    return undefined
  }
  return items.map((item) => {
    const alias = values ? 0 : aliasOf(item)
    const expression = alias === 0 ? item : item.slice(0, -alias)
    return {
      named: !values && (alias > 0 || isColumn(item)),
      type: expressionType(expression),
      source: isColumn(expression) ? nameOf(expression.at(-1)!) : undefined
    }
  })
}

/** Names and dots: `A`, `T.A`; but not `CURRENT DATE`. */
export const isColumn = (item: ReadonlyArray<Token>): boolean =>
  item.length % 2 === 1 &&
  item.every((part, i) => (i % 2 === 0 ? isName(part) : isSymbol(part, "."))) &&
  !isWord(item[0], "NULL", "TRUE", "FALSE") &&
  registerAt(item[0]!.text, undefined) === undefined

const noAlias = ["END", "NULL", "TRUE", "FALSE", "UNKNOWN"]
const expectsMore = ["IS", "NOT", "AND", "OR", "LIKE", "IN", "BETWEEN", "CONCAT", "CURRENT", "ESCAPE", "SELECT"]

/** How many words at the end of an item are its name. */
export const aliasOf = (item: ReadonlyArray<Token>): number => {
  const last = item.at(-1)
  const before = item.at(-2)
  if (before === undefined || !isName(last) || isWord(last, ...noAlias)) {
    return 0
  }
  if (isWord(before, "AS")) {
    return 2
  }
  const complete = before.kind !== "symbol" ? !isWord(before, ...expectsMore) : before.text === ")"
  return complete && !(isWord(before, "DATE", "TIME", "TIMESTAMP") && last.kind === "string") ? 1 : 0
}

const each = (type: string, names: string): Readonly<Record<string, string>> =>
  Object.fromEntries(names.split(" ").map((name) => [name, type]))

const functionTypes: Readonly<Record<string, string>> = {
  ...each(
    "INTEGER",
    "YEAR MONTH DAY DAYOFMONTH HOUR MINUTE SECOND MICROSECOND DAYS JULIAN_DAY DAYOFWEEK DAYOFWEEK_ISO DAYOFYEAR WEEK " +
      "WEEK_ISO QUARTER CHAR_LENGTH CHARACTER_LENGTH LOCATE LOCATE_IN_STRING POSSTR POSITION ASCII"
  ),
  ...each(
    "VARCHAR(32739)",
    "LEFT RIGHT UCASE LCASE REPEAT SPACE LPAD RPAD STRIP TRIM LTRIM RTRIM TRANSLATE REPLACE VARCHAR_FORMAT TO_CHAR " +
      "DAYNAME MONTHNAME CHR LISTAGG SUBSTRING"
  ),
  ...each("TIMESTAMP", "TIMESTAMP_FORMAT TO_DATE TO_TIMESTAMP NOW"),
  CURDATE: "DATE",
  CURTIME: "TIME",
  COUNT: "INTEGER",
  COUNT_BIG: "DECIMAL(31,0)",
  LENGTH: "INTEGER",
  ROW_NUMBER: "BIGINT",
  RANK: "BIGINT",
  DENSE_RANK: "BIGINT",
  DATE: "DATE",
  TIME: "TIME",
  TIMESTAMP: "TIMESTAMP",
  IDENTITY_VAL_LOCAL: "DECIMAL(31,0)",
  SUBSTR: "VARCHAR(32739)",
  UPPER: "VARCHAR(32739)",
  LOWER: "VARCHAR(32739)",
  HEX: "VARCHAR(32739)"
}

/** Undefined where the text alone does not tell. */
export const expressionType = (expression: ReadonlyArray<Token>): Db2Type | undefined => {
  const tokens = unwrapped(expression)
  const first = tokens[0]
  if (first === undefined) {
    return undefined
  }
  if (tokens.length === 1) {
    return literalType(first, false)
  }
  if (tokens.length === 2 && isSymbol(first, "-")) {
    return literalType(tokens[1]!, true)
  }
  const register = first.kind === "word" ? registerAt(first.text, tokens[1]?.text) : undefined
  if (register !== undefined && tokens.length === register[1]) {
    return parseType(register[0].type)
  }
  if (isWord(first, "DATE", "TIME", "TIMESTAMP") && tokens.length === 2 && tokens[1]!.kind === "string") {
    return makeType(first.text)
  }
  if (first.kind !== "word" || !isSymbol(tokens[1], "(")) {
    return undefined
  }
  const close = closing(tokens, 1)
  if (close === tokens.length - 1 && first.text === "CAST") {
    const inside = tokens.slice(2, close)
    const as = inside.findLastIndex((item) => item.depth === first.depth + 1 && isWord(item, "AS"))
    return parseType(typeOf(inside.slice(as + 1)))
  }
  if (close === tokens.length - 1) {
    const [, ...more] = argumentsOf(tokens, 1)
    const declared = castTypeOf(
      first.text,
      more.map((item) => (item.length === 1 ? item[0]!.text : ""))
    )
    if (declared !== undefined) {
      return parseType(declared)
    }
  }
  if (close === tokens.length - 1 && isWord(first, "CHAR", "VARCHAR")) {
    const [value, length] = argumentsOf(tokens, 1)
    const size = length === undefined ? expressionType(value ?? [])?.displaySize : Number(length[0]!.text)
    return size === undefined || Number.isNaN(size) ? undefined : makeType(first.text, size)
  }
  const whole = close === tokens.length - 1 || isWord(tokens[close + 1], "OVER")
  const type = whole && Object.hasOwn(functionTypes, first.text) ? functionTypes[first.text] : undefined
  return type === undefined ? undefined : parseType(type)
}

const unwrapped = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> =>
  isSymbol(tokens[0], "(") && closing(tokens, 0) === tokens.length - 1 ? unwrapped(tokens.slice(1, -1)) : tokens

const literalType = ({ kind, text }: Token, negative: boolean): Db2Type | undefined => {
  if (kind === "string") {
    return text.startsWith("X") ? undefined : makeType("VARCHAR", text.slice(1, -1).replaceAll("''", "'").length)
  }
  if (kind === "word" && (text === "TRUE" || text === "FALSE")) {
    return makeType("BOOLEAN")
  }
  if (kind === "word") {
    const register = registerAt(text, undefined)
    return register === undefined ? undefined : parseType(register[0].type)
  }
  if (kind !== "number") {
    return undefined
  }
  if (/e/i.test(text)) {
    return makeType("DOUBLE")
  }
  const [whole, fraction] = text.split(".")
  if (fraction !== undefined) {
    return makeType("DECIMAL", Math.max(1, whole!.length + fraction.length), fraction.length)
  }
  const value = negative ? -BigInt(text) : BigInt(text)
  if (fitsInteger(value)) {
    return makeType("INTEGER")
  }
  return fitsBigint(value) ? makeType("BIGINT") : makeType("DECIMAL", text.length, 0)
}

/** The select list of a query: what stands between its first SELECT outside of parentheses and the FROM after it. */
export const selectList = (tokens: ReadonlyArray<Token>): ReadonlyArray<ReadonlyArray<Token>> | undefined => {
  const select = tokens.findIndex((item) => item.depth === 0 && isWord(item, "SELECT"))
  if (select < 0) {
    return undefined
  }
  const from = tokens.findIndex(
    (item, i) =>
      i > select && item.depth === 0 && isWord(item, "FROM", "WHERE", "UNION", "ORDER", "EXCEPT", "FETCH", "LIMIT")
  )
  const start = select + (isWord(tokens[select + 1], "DISTINCT", "ALL") ? 2 : 1)
  return split(tokens.slice(start, from < 0 ? tokens.length : from), 0)
}
