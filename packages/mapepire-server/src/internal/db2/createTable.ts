/** CREATE TABLE and ALTER TABLE: Db2's types, identity columns and clauses that SQLite does not know. */
import { always, constraints } from "./constraints.js"
import type { Environment } from "./environment.js"
import { refuseAt } from "./expected.js"
import * as failures from "./failures.js"
import { closing, isName, isSymbol, isWord, nameOf, snippet, split, type Token, token, wordsAt } from "./scan.js"
import { rewrite, typeOf } from "./spellings.js"
import { type Kind, kindOf, lacksLength, parseDb2Type, parseType, storedAsText } from "./types.js"

/** Words that may belong to a type's name or follow its length. */
const typeWords = new Set([
  ...["VARYING", "LARGE", "OBJECT", "PRECISION", "CHARACTER", "CHAR"],
  ...["CCSID", "SBCS", "MIXED", "BIT", "DATA", "NORMALIZED"]
])

/** A column's definition: name, type, the rest. */
const column = (item: ReadonlyArray<Token>, environment: Environment, defaults: Defaults) => {
  const name = item[0]!
  let at = 1
  if (
    wordsAt(item, at, "FOR", "COLUMN") ||
    (isWord(item[at], "FOR") && isName(item[at + 1]) && !isWord(item[at + 1], "BIT"))
  ) {
    at += isWord(item[at + 1], "COLUMN") ? 3 : 2
  }
  const start = at++
  for (;;) {
    if (isSymbol(item[at], "(") && at === start + 1) {
      at = closing(item, at) + 1
    } else if (wordsAt(item, at, "FOR", "BIT", "DATA") || wordsAt(item, at, "FOR", "MIXED", "DATA")) {
      at += 3
    } else if (isWord(item[at], "CCSID")) {
      at += 2
    } else if (item[at]?.kind === "word" && typeWords.has(item[at]!.text)) {
      at++
      if (isSymbol(item[at], "(")) {
        at = closing(item, at) + 1
      }
    } else {
      break
    }
  }
  const declared = typeOf(item.slice(start, at))
  const type = parseDb2Type(declared)
  if (type === undefined) {
    return refuseAt(item, start)
  }
  if (lacksLength(declared, type)) {
    return failures.refuse(item[at]?.text ?? ")")
  }
  return { name, declared, type, rest: rest(item.slice(at), environment, defaults[kindOf(type)] ?? "''") }
}

/**
 * SQLite chooses how values are stored by the declared name: texts that look like numbers must stay texts, and decimals
 * beyond a double's digits, too. The prefix makes it so and is taken off where types are told (types.ts). SQLite's own REAL
 * is a double, so Db2's goes by its other name; so does INTEGER, for a primary key of that name numbers its rows by itself.
 */
const sqliteType = (declared: string): string => {
  const type = parseType(declared)!
  if (type.name === "REAL") {
    return "FLOAT(24)"
  }
  if (type.name === "INTEGER") {
    return "INT"
  }
  const text = kindOf(type) === "char" || kindOf(type) === "text"
  return storedAsText(type) || (text && !/CHAR|CLOB|TEXT/.test(declared)) ? `TEXT_${declared}` : declared
}

interface Rest {
  readonly tokens: ReadonlyArray<Token>
  readonly identity: boolean
  /** It takes no values. */
  readonly always: boolean
  readonly primary: boolean
}

const rest = (tokens: ReadonlyArray<Token>, environment: Environment, zero: string): Rest => {
  const kept: Array<Token> = []
  let identity = false
  let always = false
  let primary = false
  for (let at = 0; at < tokens.length; at++) {
    if (isWord(tokens[at], "GENERATED")) {
      const as = tokens.findIndex((item, i) => i > at && isWord(item, "AS"))
      if (isWord(tokens[as + 1], "IDENTITY")) {
        identity = true
        always = isWord(tokens[at + 1], "ALWAYS")
        at = isSymbol(tokens[as + 2], "(") ? closing(tokens, as + 2) : as + 1
      } else if (wordsAt(tokens, as + 1, "ROW", "CHANGE", "TIMESTAMP")) {
        kept.push(...snippet("DEFAULT CURRENT TIMESTAMP"))
        at = as + 3
      } else {
        kept.push(tokens[at]!)
      }
    } else if (isWord(tokens[at], "WITH") && isWord(tokens[at + 1], "DEFAULT")) {
      continue
    } else if (wordsAt(tokens, at, "PRIMARY", "KEY")) {
      primary = true
      kept.push(tokens[at]!, tokens[++at]!)
    } else if (wordsAt(tokens, at, "IMPLICITLY", "HIDDEN")) {
      at++
    } else if (isWord(tokens[at], "AUTOINCREMENT")) {
      return refuseAt(tokens, at)
    } else {
      kept.push(tokens[at]!)
    }
  }
  return { tokens: rewrite(withDefaults(kept, zero), environment), identity, always, primary }
}

type Defaults = Readonly<Partial<Record<Kind, string>>>

const numbers: Defaults = { integer: "0", decimal: "0", decfloat: "0", float: "0", boolean: "0" }
const ofTable: Defaults = { ...numbers, date: "CURRENT DATE", time: "CURRENT TIME", timestamp: "CURRENT TIMESTAMP" }
/** SQLite adds no column whose default is the moment's; Db2 gives these to the rows that are there. */
const ofAddedColumn: Defaults = {
  ...numbers,
  date: "'0001-01-01'",
  time: "'00:00:00'",
  timestamp: "'0001-01-01 00:00:00'"
}

/** `DEFAULT` without a value, as in `NOT NULL WITH DEFAULT`, means the type's zero. */
const withDefaults = (tokens: ReadonlyArray<Token>, zero: string): ReadonlyArray<Token> =>
  tokens.flatMap((item, i) => {
    const next = tokens[i + 1]
    return isWord(item, "DEFAULT") &&
      (next === undefined || isWord(next, "NOT", "PRIMARY", "CHECK", "UNIQUE", "REFERENCES"))
      ? [item, ...snippet(zero, item.depth)]
      : [item]
  })

const constraintWords = ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "CONSTRAINT"]
const isConstraint = (item: ReadonlyArray<Token>): boolean =>
  isWord(item[0], ...constraintWords) && (isName(item[1]) || isSymbol(item[1], "("))

/** In upper case, for "id" and ID are one column. */
const columnName = (name: Token): string => nameOf(name).toUpperCase()

/** The columns of a constraint that is a PRIMARY KEY. */
const keyColumns = (constraint: ReadonlyArray<Token>): ReadonlyArray<string> | undefined => {
  const at = constraint.findIndex((_, i) => wordsAt(constraint, i, "PRIMARY", "KEY"))
  if (at < 0) {
    return undefined
  }
  const open = at + 2
  if (!isSymbol(constraint[open], "(")) {
    return failures.refuse(constraint[open]?.text ?? ")")
  }
  return split(constraint.slice(open + 1, closing(constraint, open)), constraint[open]!.depth + 1).map(([name]) =>
    name === undefined ? failures.refuse(")") : columnName(name)
  )
}

/** What may begin after the columns of a table: how it is kept, which is nothing to SQLite. */
const tableClauses = "CARDINALITY DATA IN KEEP MEDIA NOT ON PARTITION RCDFMT UNIT VOLATILE WITH".split(" ")

/** `tokens` begin with CREATE; the table's name is at `at`, without its schema. */
export const createTable = (
  tokens: ReadonlyArray<Token>,
  at: number,
  environment: Environment
): ReadonlyArray<Token> => {
  const name = tokens[at]!
  const open = tokens.findIndex((item, i) => i > at && isSymbol(item, "("))
  if (isWord(tokens[at + 1], "AS", "LIKE") || isWord(tokens[open + 1], "LIKE")) {
    // SQLite would know no more of the columns than how they are stored.
    throw new failures.Refused(failures.unsupported("CREATE TABLE with the columns of another one"))
  }
  if (open < 0 || isWord(tokens[open - 1], "AS")) {
    return rewrite(tokens, environment)
  }
  const end = closing(tokens, open)
  if (end + 1 < tokens.length && !isWord(tokens[end + 1], ...tableClauses)) {
    failures.refuse(tokens[end + 1]!.text)
  }
  const items = split(tokens.slice(open + 1, end), 1)
  const definitions = items.filter((item) => !isConstraint(item)).map((item) => column(item, environment, ofTable))
  const identity = definitions.find((definition) => definition.rest.identity)
  const tableConstraints = items.filter(isConstraint).map((item) => ({ item, key: keyColumns(item) }))
  const keyNames = new Set(tableConstraints.flatMap(({ key }) => key ?? []))
  const out = definitions.map(({ declared, name, rest, type }) => {
    if (!rest.identity) {
      const own = identity !== undefined && rest.primary ? uniqueInstead(rest.tokens) : rest.tokens
      // SQLite's primary keys may have NULL.
      const notNull = rest.primary || keyNames.has(columnName(name)) ? snippet("NOT NULL") : []
      return [name, ...snippet(sqliteType(declared)), ...own, ...notNull, ...constraints(name, type)]
    }
    // SQLite counts up only in a column of exactly this type.
    return [name, ...snippet("INTEGER PRIMARY KEY AUTOINCREMENT"), ...(rest.always ? always(name) : [])]
  })
  for (const { item, key } of tableConstraints) {
    const ofIdentity = identity !== undefined && key?.length === 1 && key[0] === columnName(identity.name)
    if (!ofIdentity) {
      out.push([...rewrite(identity !== undefined && key !== undefined ? uniqueInstead(item) : item, environment)])
    }
  }
  const temporary = isWord(tokens[0], "DECLARE") ? "CREATE TEMPORARY TABLE" : "CREATE TABLE"
  return [
    ...snippet(temporary),
    name,
    token("symbol", "("),
    ...out.flatMap((item, i) => (i === 0 ? item : [token("symbol", ","), ...item])),
    token("symbol", ")")
  ]
}

/** A table has one primary key, and an identity column of SQLite must be it. */
const uniqueInstead = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> =>
  tokens.flatMap((item, i) =>
    wordsAt(tokens, i, "PRIMARY", "KEY")
      ? [token("word", "UNIQUE", item.depth)]
      : isWord(item, "KEY") && isWord(tokens[i - 1], "PRIMARY")
        ? []
        : [item]
  )

/** `ALTER TABLE t ADD [COLUMN] …`; the rest is SQLite's own. The definition begins at `at`. */
export const addColumn = (tokens: ReadonlyArray<Token>, at: number, environment: Environment): ReadonlyArray<Token> => {
  const definition = column(tokens.slice(at), environment, ofAddedColumn)
  return [
    ...tokens.slice(0, at),
    definition.name,
    ...snippet(sqliteType(definition.declared)),
    ...definition.rest.tokens,
    ...constraints(definition.name, definition.type)
  ]
}
