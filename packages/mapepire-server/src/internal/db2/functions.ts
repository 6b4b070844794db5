/** SQLite's own functions: those that Db2 has, too, and the others, which are refused. What SQLite does not know is its matter. */
import { beginsOperand } from "./operands.js"
import { closing, isSymbol, isWord, split, type Token } from "./scan.js"

const any = Infinity
type Counts = readonly [least: number, most: number]

const each = (names: string, counts: Counts): ReadonlyArray<readonly [string, Counts]> =>
  names.split(" ").map((name) => [name, counts] as const)

/** Both compute the same of so many arguments. CHAR, CONCAT and VARCHAR are put into SQLite's words (spellings.ts). */
const shared: ReadonlyMap<string, Counts> = new Map([
  ...each("ABS CEIL CEILING DEGREES EXP FLOOR LN LOG LOG10 RADIANS SIGN SQRT", [1, 1]),
  ...each("ACOS ASIN ATAN ATANH COS COSH SIN SINH TAN TANH", [1, 1]),
  ...each("MOD POW POWER IFNULL NULLIF CONCAT", [2, 2]),
  ...each("PI ROW_NUMBER RANK DENSE_RANK PERCENT_RANK CUME_DIST", [0, 0]),
  ...each("HEX LENGTH LOWER OCTET_LENGTH SOUNDEX TRIM UPPER DATE TIME", [1, 1]),
  ...each("LTRIM RTRIM ROUND CHAR TRUNC", [1, 2]),
  ...each("SUBSTR SUBSTRING", [2, 3]),
  ...each("REPLACE", [3, 3]),
  ...each("AVG COUNT SUM MEDIAN PERCENTILE_CONT PERCENTILE_DISC NTILE FIRST_VALUE LAST_VALUE", [1, 1]),
  ...each("LAG LEAD", [1, 3]),
  ...each("NTH_VALUE", [2, 2]),
  ...each("MAX MIN", [1, any]),
  ...each("COALESCE", [2, any])
])

/** Those that Db2 has not, or that compute something else there: its ATAN2 takes x before y, its JSON functions keywords. */
const own: ReadonlySet<string> = new Set([
  ...["ACOSH", "ASINH", "ATAN2", "LOG2", "TOTAL", "GROUP_CONCAT", "STRING_AGG", "PERCENTILE", "CONCAT_WS", "FORMAT"],
  ...["PRINTF", "GLOB", "LIKE", "IF", "IIF", "INSTR", "LIKELIHOOD", "LIKELY", "UNLIKELY", "LOAD_EXTENSION", "QUOTE"],
  ...["RANDOM", "RANDOMBLOB", "ZEROBLOB", "SUBTYPE", "TYPEOF", "UNHEX", "UNICODE", "UNISTR", "UNISTR_QUOTE"],
  ...["CHANGES", "TOTAL_CHANGES", "LAST_INSERT_ROWID", "DATETIME", "JULIANDAY", "STRFTIME", "TIMEDIFF", "UNIXEPOCH"],
  ...["JSON", "JSONB", "GENERATE_SERIES"]
])
const families = /^(?:JSONB?_|SQLITE_|FTS[35]|RTREE|GEOPOLY_|BM25$)/

/** Whether a function that SQLite has is refused: by its name, or with so many arguments. Others are not its own. */
export const isRefused = (name: string, count: number): boolean => {
  const counts = shared.get(name)
  return counts === undefined ? own.has(name) || families.test(name) : count < counts[0] || count > counts[1]
}

/** Functions of Db2 that neither SQLite nor this server has. */
const missing: ReadonlySet<string> = new Set([
  ...["DIGITS", "DIFFERENCE", "INITCAP", "INSERT", "OVERLAY", "REGEXP_COUNT", "REGEXP_INSTR", "REGEXP_LIKE"],
  ...["REGEXP_REPLACE", "REGEXP_SUBSTR", "XMLELEMENT", "XMLAGG", "XMLFOREST", "XMLPARSE", "XMLSERIALIZE", "XMLTABLE"],
  ...["JSON_OBJECT", "JSON_VALUE", "JSON_QUERY", "JSON_EXISTS", "JSON_TABLE", "JSON_ARRAYAGG", "JSON_OBJECTAGG"],
  ...["STDDEV", "STDDEV_POP", "STDDEV_SAMP", "VARIANCE", "VAR", "VAR_POP", "VAR_SAMP", "CORRELATION", "COVARIANCE"],
  ...["MONTHS_BETWEEN", "NEXT_DAY", "TIMESTAMPDIFF", "TIMESTAMP_ISO", "TRUNC_TIMESTAMP", "ROUND_TIMESTAMP"],
  ...["MIDNIGHT_SECONDS", "FIRST_DAY", "GENERATE_UNIQUE", "INTERPRET", "RRN", "RID", "HASH", "HASH_MD5", "HASH_SHA256"],
  ...["MULTIPLY_ALT", "TO_NUMBER", "COUNT_BIG", "RATIO_TO_REPORT", "BINARY", "VARBINARY", "BLOB", "CLOB", "DBCLOB"],
  ...["GRAPHIC", "VARGRAPHIC", "BITAND", "BITOR", "BITXOR", "BITNOT", "VERIFY_GROUP_FOR_USER", "WRAP", "ENCRYPT_AES"],
  ...["VARBINARY_FORMAT", "VARCHAR_FORMAT_BINARY", "UNNEST"]
])

export const isMissing = (name: string): boolean => missing.has(name)

/** What stands in the parentheses that open at a place. */
export const argumentsOf = (tokens: ReadonlyArray<Token>, open: number): ReadonlyArray<ReadonlyArray<Token>> => {
  const inside = tokens.slice(open + 1, closing(tokens, open))
  return inside.length === 0 ? [] : split(inside, tokens[open]!.depth + 1)
}

/** Whether the word at a place calls a function: before a parenthesis there are also names of tables, types and predicates. */
export const isCall = (tokens: ReadonlyArray<Token>, at: number): boolean => {
  const before = tokens[at - 1]
  if (at === 0 || tokens[at]!.kind !== "word" || !isSymbol(tokens[at + 1], "(")) {
    return false
  }
  const close = closing(tokens, at + 1)
  // Of a common table expression, with its columns.
  if (isWord(tokens[close + 1], "AS") && isSymbol(tokens[close + 2], "(")) {
    return false
  }
  if (isWord(before, "ON") && isWord(tokens[0], "CREATE") && isWord(tokens[1], "INDEX", "UNIQUE")) {
    return false
  }
  // `A NOT LIKE ('x')`.
  if (isWord(before, "NOT") && isWord(tokens[at], "LIKE", "GLOB")) {
    return beginsOperand(tokens, at - 1)
  }
  return beginsOperand(tokens, at) || isWord(before, "FROM", "JOIN", "ESCAPE")
}
