/** Arithmetic with dates: SQLite would calculate with their years, so it is refused. */
import * as failures from "./failures.js"
import { beginsOperand, operandAfter, operandBefore } from "./operands.js"
import { expressionType } from "./results.js"
import { isName, isSymbol, isWord, nameOf, type Token } from "./scan.js"
import { type Db2Type, kindOf } from "./types.js"

const durations = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "MICROSECOND"].flatMap((unit) => [
  unit,
  `${unit}S`
])

export const isDated = (type: Db2Type | undefined): boolean =>
  type !== undefined && ["date", "time", "timestamp"].includes(kindOf(type))

export const refused = failures.unsupported("arithmetic with dates")

/** The columns that are added to or subtracted from: names between dots, the last one counts. */
const columnOf = (operand: ReadonlyArray<Token>): ReadonlyArray<string> =>
  operand.every((item, i) => (i % 2 === 0 ? isName(item) : isSymbol(item, "."))) && operand.length > 0
    ? [nameOf(operand.at(-1)!).toUpperCase()]
    : []

/** Refuses what the text alone shows to be such arithmetic; else the columns that must not be dates. */
export const readArithmetic = (tokens: ReadonlyArray<Token>): ReadonlyArray<string> =>
  tokens.flatMap((item, i) => {
    if (!(isSymbol(item, "+") || isSymbol(item, "-")) || beginsOperand(tokens, i)) {
      return []
    }
    const left = operandBefore(tokens, i)
    const right = operandAfter(tokens, i + 1)
    const last = right.at(-1)
    const end = last === undefined ? i : tokens.indexOf(last, i + 1)
    if (isDated(expressionType(left)) || isDated(expressionType(right)) || isWord(tokens[end + 1], ...durations)) {
      throw new failures.Refused(refused)
    }
    return [...columnOf(left), ...columnOf(right)]
  })
