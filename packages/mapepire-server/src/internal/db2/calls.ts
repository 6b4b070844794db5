/** Functions that Db2 has and SQLite calls otherwise, or calculates otherwise. */
import * as failures from "./failures.js"
import { formatted, parsed } from "./formats.js"
import { raise } from "./raise.js"
import { isSymbol, type Token } from "./scan.js"
import { type Db2Type, integerRanges, kindOf, storedAsText } from "./types.js"

const isNumberText = "$1 GLOB '*[0-9]*' AND $1 NOT GLOB '*[^-+.eE0-9 ]*'"
const noNumber = `WHEN typeof($1) = 'text' AND NOT (${isNumberText}) THEN ${raise("NUMBER")}`
const noDate = (value: string): string =>
  `CASE WHEN $1 IS NOT NULL THEN CASE WHEN ${value} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' THEN ${raise("DATE")} ELSE ${raise("SYNTAX")} END END`

const part = (format: string): string => `CAST(coalesce(strftime('${format}', $1), ${noDate("$1")}) AS INTEGER)`
/** Of the day alone, so that a clock of another spelling does no harm. */
const dayPart = (format: string): string =>
  `CAST(coalesce(strftime('${format}', substr($1, 1, 10)), ${noDate("$1")}) AS INTEGER)`
const named = (format: string, names: ReadonlyArray<string>): string =>
  `CASE ${dayPart(format)} ${names.map((name, i) => `WHEN ${i} THEN '${name}'`).join(" ")} END`

const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
const months = [
  ...["", "January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"]
]

/** A whole number is the day's own. */
const date =
  "CASE WHEN date(substr($1, 1, 10)) IS substr($1, 1, 10) AND length($1) >= 10 THEN substr($1, 1, 10) " +
  `WHEN typeof($1) = 'integer' THEN date($1 + 1721424.5) ELSE ${noDate("$1")} END`
const clockOf = "replace(CASE WHEN length($1) <= 8 THEN $1 ELSE substr($1, 12, 8) END, '.', ':')"
const time = `coalesce(time(${clockOf}), CASE WHEN $1 IS NOT NULL THEN ${raise("SYNTAX")} END)`
const timestamp =
  "CASE WHEN length($1) = 10 AND date($1) IS $1 THEN $1 || ' 00:00:00.000000' " +
  "WHEN date(substr($1, 1, 10)) IS substr($1, 1, 10) AND substr($1, 11, 1) IN (' ', '-', 'T') " +
  "AND time(replace(substr($1, 12, 8), '.', ':')) IS NOT NULL " +
  "THEN substr($1, 1, 10) || ' ' || time(replace(substr($1, 12, 8), '.', ':')) || '.' || substr(substr($1, 21) || '000000', 1, 6) " +
  `ELSE ${noDate("$1")} END`
/** How long a text may be made. */
const size = (value: string): string =>
  `CASE WHEN ${value} NOT BETWEEN 0 AND 2000000 THEN ${raise("ARGUMENT")} ELSE ${value} END`
const blanks = (value: string): string => `printf('%*s', ${size(value)}, '')`
const repeated = (text: string, count: string): string => `replace(hex(zeroblob(${size(count)})), '00', ${text})`
const lastDay = "date(substr($1, 1, 10), 'start of month', '+1 month', '-1 day')"
const addMonths = "date(substr($1, 1, 10), 'start of month', ($2) || ' months', '+1 month', '-1 day')"

const nonZero = (value: string): string =>
  `CASE WHEN CAST(${value} AS NUMERIC) = 0 THEN ${raise("ZERO")} ELSE ${value} END`
/** SQLite divides by zero, and has NULL. */
export const divisor = nonZero("$1")

type Templates = Readonly<Record<number, string>>

/** By name and number of arguments. */
const templates: Readonly<Record<string, Templates>> = {
  LEFT: { 2: "substr($1, 1, $2)" },
  RIGHT: { 2: "substr($1, -($2), $2)" },
  UCASE: { 1: "upper($1)" },
  LCASE: { 1: "lower($1)" },
  CHAR_LENGTH: { 1: "length($1)" },
  CHARACTER_LENGTH: { 1: "length($1)" },
  REPEAT: { 2: repeated("$1", "$2") },
  SPACE: { 1: blanks("$1") },
  LPAD: {
    2: `substr(${blanks("$2")}, 1, max($2 - length($1), 0)) || substr($1, 1, $2)`,
    3: `substr(${repeated("$3", "$2")}, 1, max($2 - length($1), 0)) || substr($1, 1, $2)`
  },
  RPAD: {
    2: `substr($1 || ${blanks("$2")}, 1, $2)`,
    3: `substr($1 || ${repeated("$3", "$2")}, 1, $2)`
  },
  LOCATE: { 2: "instr($2, $1)", 3: "instr(substr($2, $3), $1) + ($3 - 1) * (instr(substr($2, $3), $1) > 0)" },
  LOCATE_IN_STRING: { 2: "instr($1, $2)" },
  POSSTR: { 2: "instr($1, $2)" },
  POSITION: { 2: "instr($2, $1)" },
  ASCII: { 1: "unicode($1)" },
  ABSVAL: { 1: "abs($1)" },
  MOD: { 2: `mod($1, ${nonZero("$2")})` },
  NVL: { 2: "ifnull($1, $2)" },
  RAND: { 0: "abs(random() / 2) / 4611686018427387904.0" },
  TRUNC: { 2: "CAST(round($1 * pow(10, $2), 6) AS INTEGER) / pow(10, $2)" },
  TRUNCATE: { 1: "trunc($1)", 2: "CAST(round($1 * pow(10, $2), 6) AS INTEGER) / pow(10, $2)" },
  YEAR: { 1: dayPart("%Y") },
  MONTH: { 1: dayPart("%m") },
  DAY: { 1: dayPart("%d") },
  DAYOFMONTH: { 1: dayPart("%d") },
  HOUR: { 1: part("%H") },
  MINUTE: { 1: part("%M") },
  SECOND: { 1: part("%S") },
  MICROSECOND: { 1: "CAST(substr(substr($1, 21) || '000000', 1, 6) AS INTEGER)" },
  DAYS: { 1: `CAST(coalesce(julianday(substr($1, 1, 10)), ${noDate("$1")}) - 1721424.5 AS INTEGER)` },
  JULIAN_DAY: { 1: `CAST(coalesce(julianday(substr($1, 1, 10)), ${noDate("$1")}) + 0.5 AS INTEGER)` },
  DAYOFWEEK: { 1: `${dayPart("%w")} + 1` },
  DAYOFWEEK_ISO: { 1: `(${dayPart("%w")} + 6) % 7 + 1` },
  DAYOFYEAR: { 1: dayPart("%j") },
  WEEK: { 1: `(${dayPart("%j")} + 5 - ${dayPart("%w")}) / 7 + 1` },
  WEEK_ISO: { 1: "(strftime('%j', date(substr($1, 1, 10), '-3 days', 'weekday 4')) - 1) / 7 + 1" },
  QUARTER: { 1: `(${dayPart("%m")} + 2) / 3` },
  DAYNAME: { 1: named("%w", weekdays) },
  MONTHNAME: { 1: named("%m", months) },
  DATE: { 1: date },
  TIME: { 1: time },
  TIMESTAMP: {
    1: timestamp,
    2: "substr($1, 1, 10) || ' ' || replace($2, '.', ':') || '.000000'"
  },
  LAST_DAY: { 1: `${lastDay} || substr($1, 11)` },
  ADD_MONTHS: {
    2:
      `CASE WHEN substr($1, 1, 10) = ${lastDay} THEN ${addMonths} ` +
      `ELSE min(date(substr($1, 1, 8) || '01', ($2) || ' months', '+' || (substr($1, 9, 2) - 1) || ' days'), ${addMonths}) END ` +
      "|| substr($1, 11)"
  },
  NOW: { 0: "strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime') || '000'" },
  CURDATE: { 0: "strftime('%Y-%m-%d', 'now', 'localtime')" },
  CURTIME: { 0: "strftime('%H:%M:%S', 'now', 'localtime')" }
}

const text = (argument: ReadonlyArray<Token> | undefined): string | undefined =>
  argument?.length === 1 && argument[0]!.kind === "string" && argument[0]!.text.startsWith("'")
    ? argument[0]!.text.slice(1, -1).replaceAll("''", "'")
    : undefined
const literal = (value: string): string => `'${value.replaceAll("'", "''")}'`

/** `TRANSLATE(x, to, from, pad)`. What was put for one character must not be taken for another: so two steps where it could. */
const translation = (to: string, from: string, pad: string): string => {
  const targets = [...to]
  const pairs = [...new Set(from)].map((letter) => [letter, targets[[...from].indexOf(letter)] ?? pad] as const)
  const again = pairs.some(([, target]) => from.includes(target))
  const mark = (i: number): string => literal(String.fromCodePoint(0xf0000 + i))
  const replaced = (value: string, what: string, by: string) => `replace(${value}, ${what}, ${by})`
  return again
    ? pairs.reduce(
        (value, [, target], i) => replaced(value, mark(i), literal(target)),
        pairs.reduce((value, [letter], i) => replaced(value, literal(letter), mark(i)), "$1")
      )
    : pairs.reduce((value, [letter, target]) => replaced(value, literal(letter), literal(target)), "$1")
}

const trims: Readonly<Record<string, string>> = {
  BOTH: "trim",
  B: "trim",
  LEADING: "ltrim",
  L: "ltrim",
  TRAILING: "rtrim",
  T: "rtrim"
}

const places = (count: number, from = 0): string =>
  Array.from({ length: count }, (_, i) => `$${from + i + 1}`).join(", ")

/** Those whose form depends on what stands in the text. */
const special = (name: string, args: ReadonlyArray<ReadonlyArray<Token>>): string | undefined => {
  switch (name) {
    case "STRIP": {
      const side = args.length === 1 ? "BOTH" : (args[1]![0]?.text ?? "")
      const call = Object.hasOwn(trims, side) && (args[1]?.length ?? 1) === 1 ? trims[side] : undefined
      return call === undefined || args.length > 3 ? undefined : args.length === 3 ? `${call}($1, $3)` : `${call}($1)`
    }
    case "TRANSLATE": {
      if (args.length === 1) {
        return "upper($1)"
      }
      const [to, from, pad] = [text(args[1]), text(args[2]), args.length === 4 ? text(args[3]) : " "]
      if (to === undefined || from === undefined || pad === undefined || args.length > 4 || from.length > 100) {
        throw new failures.Refused(failures.unsupported("TRANSLATE with anything but short literals"))
      }
      return translation(to, from, pad)
    }
    case "VARCHAR_FORMAT":
    case "TO_CHAR":
    case "TIMESTAMP_FORMAT":
    case "TO_DATE":
    case "TO_TIMESTAMP": {
      const format = text(args[1])
      if (format === undefined || args.length !== 2) {
        throw new failures.Refused(failures.unsupported(`${name} without a literal as its format`))
      }
      return name === "VARCHAR_FORMAT" || name === "TO_CHAR" ? formatted(format, name) : parsed(format, name)
    }
    case "ROUND": {
      const digits = args.length === 2 && isSymbol(args[1]![0], "-") && args[1]!.length === 2 ? args[1]![1]!.text : ""
      return /^\d$/.test(digits) ? `round($1 / 1e${digits}) * 1e${digits}` : undefined
    }
    case "SUBSTR": {
      const start = args[1] ?? []
      if (isSymbol(start[0], "-") || (start.length === 1 && start[0]!.text === "0") || isSymbol(args[2]?.[0], "-")) {
        throw new failures.Refused(failures.substringRange)
      }
      return undefined
    }
    case "DECODE":
      return args.length < 3
        ? undefined
        : `CASE ${Array.from({ length: Math.floor((args.length - 1) / 2) }, (_, i) => `WHEN $1 IS $${2 * i + 2} THEN $${2 * i + 3}`).join(" ")}` +
            (args.length % 2 === 0 ? ` ELSE $${args.length} END` : " END")
    case "GREATEST":
    case "LEAST":
      return args.length < 2 ? undefined : `${name === "LEAST" ? "min" : "max"}(${places(args.length)})`
    case "CHR":
      return args.length === 1 ? "char($1)" : undefined
    default:
      return undefined
  }
}

/** What is put for a call; undefined if it is none of these. */
export const templateOf = (name: string, args: ReadonlyArray<ReadonlyArray<Token>>): string | undefined =>
  (Object.hasOwn(templates, name) ? templates[name]![args.length] : undefined) ?? special(name, args)

/** Functions that are casts: `DEC(x, 9, 2)`. */
const castNames: Readonly<Record<string, string>> = {
  INT: "INTEGER",
  INTEGER: "INTEGER",
  SMALLINT: "SMALLINT",
  BIGINT: "BIGINT",
  DOUBLE: "DOUBLE",
  DOUBLE_PRECISION: "DOUBLE",
  FLOAT: "DOUBLE",
  REAL: "REAL",
  DECFLOAT: "DECFLOAT",
  DEC: "DECIMAL",
  DECIMAL: "DECIMAL",
  NUMERIC: "NUMERIC",
  ZONED: "NUMERIC"
}

/** The type that such a function makes, by the texts of its further arguments; undefined if it is none. */
export const castTypeOf = (name: string, more: ReadonlyArray<string>): string | undefined => {
  if (!Object.hasOwn(castNames, name) || more.length > 2 || more.some((text) => !/^\d+$/.test(text))) {
    return undefined
  }
  const type = castNames[name]!
  const sized = type === "DECIMAL" || type === "NUMERIC"
  if (sized) {
    return `${type}(${more[0] ?? 15},${more[1] ?? 0})`
  }
  return more.length === 0 || (type === "DECFLOAT" && more.length === 1) ? type : undefined
}

/** How a value becomes one of a type, and fails where it cannot; undefined where SQLite's CAST does the same. */
export const conversionTo = (type: Db2Type): string | undefined => {
  switch (kindOf(type)) {
    case "integer": {
      const [least, most] = integerRanges[type.name]!
      const whole = "CAST(CASE typeof($1) WHEN 'text' THEN CAST($1 AS NUMERIC) ELSE $1 END AS INTEGER)"
      return type.name === "BIGINT"
        ? `CASE ${noNumber} WHEN abs(CAST($1 AS REAL)) > 9223372036854775807.0 THEN ${raise("OVERFLOW")} ELSE ${whole} END`
        : `CASE ${noNumber} WHEN ${whole} NOT BETWEEN ${least} AND ${most} THEN ${raise("OVERFLOW")} ELSE ${whole} END`
    }
    case "float":
      return `CASE ${noNumber} ELSE CAST($1 AS REAL) END`
    case "decimal": {
      if (storedAsText(type)) {
        return undefined
      }
      const whole = `1${"0".repeat(type.precision - type.scale)}`
      const ones = `1${"0".repeat(type.scale)}`
      const cut = `CAST(round(CAST($1 AS NUMERIC) * ${ones}, 6) AS INTEGER)`
      return (
        `CASE ${noNumber} WHEN abs(CAST($1 AS NUMERIC)) >= ${whole} THEN ${raise("OVERFLOW")} ` +
        `ELSE ${type.scale === 0 ? cut : `${cut} / ${ones}.0`} END`
      )
    }
    case "date":
      return date
    case "time":
      return time
    case "timestamp":
      return type.scale === 6 ? timestamp : undefined
    default:
      return undefined
  }
}
