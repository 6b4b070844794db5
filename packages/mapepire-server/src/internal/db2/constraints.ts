/**
 * Constraints that keep to a column what its type holds, for SQLite's types refuse nothing. A failure of one of them is the
 * failure that Db2 has when it converts the value.
 */
import * as failures from "./failures.js"
import { nameOf, snippet, type Token, token } from "./scan.js"
import { type Db2Type, integerRanges, kindOf, storedAsText } from "./types.js"

const prefix = "SLUICE_"

/** Each kind has a name, in front of the column's. */
const kinds: Readonly<Record<string, (column: string) => failures.Db2Failure>> = {
  LENGTH: failures.tooLong,
  NUMBER: () => failures.noNumber,
  RANGE: failures.outOfRange,
  SYNTAX: () => failures.dateSyntax,
  DATE: () => failures.noDate
}

/** A constraint that says no more than that its column is GENERATED ALWAYS. */
export const always = (name: Token): ReadonlyArray<Token> => [
  token("word", "CONSTRAINT"),
  token("quoted", `"${prefix}ALWAYS_OF_${nameOf(name).replaceAll('"', '""')}"`),
  ...snippet("CHECK ( 1 )")
]

/** The column of the table with that definition that is GENERATED ALWAYS. */
export const alwaysIn = (definition: string): string | undefined =>
  /`SLUICE_ALWAYS_OF_((?:[^`]|``)+)`/.exec(definition)?.[1]?.replaceAll("``", "`").toUpperCase()

/** The failure that a constraint of that name stands for; undefined if it is none of ours. */
export const failureOf = (constraint: string): failures.Db2Failure | undefined => {
  const [, kind, column] = new RegExp(`^${prefix}([A-Z]+)_OF_([^]*)$`).exec(constraint) ?? []
  return kind === undefined || !Object.hasOwn(kinds, kind) ? undefined : kinds[kind]!(column!)
}

/** SQLite has converted what it could before it looks at constraints; whatever is no number then comes after all numbers. */
const isNumber = (column: string): string => `${column} < ''`
const isNumberText = (column: string): string => `${column} GLOB '*[0-9]*' AND ${column} NOT GLOB '*[^-+.eE0-9 ]*'`
const isSpecial = (column: string): string => `lower(ltrim(${column}, '+-')) IN ('nan', 'snan', 'infinity', 'inf')`

const isDay = (column: string): string => `substr(${column}, 1, 10) IS date(substr(${column}, 1, 10))`
const daySyntax = (column: string): string =>
  `${column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND substr(${column}, 11) NOT GLOB '*[^-T :.0-9]*'`
/** With colons or points. */
const isClock = (text: string): string => `time(replace(${text}, '.', ':')) IS NOT NULL`

const decimal = (column: string, type: Db2Type): Readonly<Record<string, string>> => {
  const whole = type.precision - type.scale
  return storedAsText(type)
    ? { NUMBER: isNumberText(column), RANGE: `instr(ltrim(${column}, '+-0 ') || '.', '.') <= ${whole + 1}` }
    : { NUMBER: isNumber(column), RANGE: `abs(${column}) < 1${"0".repeat(whole)}` }
}

/** The conditions by their kinds, in the order in which they are looked at. A NULL fulfills all of them. */
const conditions = (column: string, type: Db2Type): Readonly<Record<string, string>> => {
  switch (kindOf(type)) {
    case "integer": {
      const [least, most] = integerRanges[type.name]!
      return { NUMBER: isNumber(column), RANGE: `${column} BETWEEN ${least} AND ${most}` }
    }
    case "decimal":
      return decimal(column, type)
    case "decfloat":
      return { NUMBER: `${isNumberText(column)} OR ${isSpecial(column)}` }
    case "float":
      return {
        NUMBER: isNumber(column),
        ...(type.name === "REAL" ? { RANGE: `abs(${column}) < 3.4028235677973366e38` } : {})
      }
    case "binary":
      return { LENGTH: `length(${column}) <= ${type.precision}` }
    case "date":
      return { SYNTAX: daySyntax(column), DATE: isDay(column) }
    case "time":
      return { SYNTAX: `${column} GLOB '[0-9]*[:.][0-9][0-9]*'`, DATE: `${column} IS NULL OR ${isClock(column)}` }
    case "timestamp":
      return {
        SYNTAX: daySyntax(column),
        DATE: `${isDay(column)} AND (length(${column}) <= 10 OR ${isClock(`substr(${column}, 12, 8)`)})`
      }
    case "char":
      return { LENGTH: `length(${column}) <= ${type.precision}` }
    case "text":
      return /CHAR|GRAPHIC/.test(type.name) ? { LENGTH: `length(${column}) <= ${type.precision}` } : {}
    default:
      return {}
  }
}

/** What is to follow the definition of a column. */
export const constraints = (name: Token, type: Db2Type): ReadonlyArray<Token> =>
  Object.entries(conditions(name.text, type)).flatMap(([kind, condition]) => [
    token("word", "CONSTRAINT"),
    token("quoted", `"${prefix}${kind}_OF_${nameOf(name).replaceAll('"', '""')}"`),
    ...snippet(`CHECK ( ${condition} )`)
  ])
