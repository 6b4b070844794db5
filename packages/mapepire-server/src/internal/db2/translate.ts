/** From a text in Db2's dialect to what SQLite runs. */
import { assignedBy } from "./assigned.js"
import { call } from "./call.js"
import { lock, setting, transactionControl } from "./control.js"
import { addColumn, createTable } from "./createTable.js"
import { readArithmetic } from "./dateArithmetic.js"
import type { Environment } from "./environment.js"
import { expectWords, nameAt, refuseAfter, skipWords } from "./expected.js"
import * as failures from "./failures.js"
import { finalTable } from "./finalTable.js"
import { readAliases, refuseUngrouped } from "./grouping.js"
import { withCommas } from "./keywordForms.js"
import { readMarkers, refuseUntyped, tableOf } from "./markers.js"
import { resultColumns, selectList } from "./results.js"
import {
  backquoted,
  closing,
  isName,
  isSymbol,
  isWord,
  nameAfterSchema,
  nameOf,
  render,
  scan,
  snippet,
  split,
  type Token,
  token,
  Unterminated,
  unqualified,
  wordsAt
} from "./scan.js"
import { refuseSqlite } from "./refusals.js"
import { readRowNumbers } from "./rowNumbers.js"
import { rewrite } from "./spellings.js"
import type { Run, Statement } from "./statement.js"

/** SQLite itself follows a thousand levels of an expression, and most calls are more than one of these. */
const deepest = 250

/** The tokens of a statement. Throws `Refused` for a text without any. */
export const tokensOf = (text: string): ReadonlyArray<Token> => {
  let tokens: Array<Token>
  try {
    tokens = scan(text)
  } catch (error) {
    return failures.refuse(error instanceof Unterminated ? error.near : "<UNKNOWN>")
  }
  if (isSymbol(tokens.at(-1), ";")) {
    tokens.pop()
  }
  if (tokens.length === 0) {
    throw new failures.Refused(failures.emptyText)
  }
  // What is within parentheses is read by functions that call themselves.
  if (tokens.some(({ depth }) => depth > deepest)) {
    throw new failures.Refused(failures.tooComplex)
  }
  return tokens
}

/** A text is one statement: a semicolon stands at its end, or in a compound one, which is refused under its own name. */
const refuseSeveral = (tokens: ReadonlyArray<Token>): void => {
  const kind = tokens[wordsAt(tokens, 1, "OR", "REPLACE") ? 3 : 1]
  const routine = isWord(tokens[0], "CREATE") && isWord(kind, "PROCEDURE", "FUNCTION", "TRIGGER")
  const compound = routine || isWord(tokens[0], "BEGIN")
  if (!compound && tokens.some((item) => isSymbol(item, ";"))) {
    failures.refuse(";")
  }
}

/** Throws `Refused`, as Db2 would. */
export const translate = (text: string, environment: Environment): Statement => {
  const written = tokensOf(text)
  refuseSeveral(written)
  const tokens = withCommas(written)
  const control = transactionControl(tokens)
  if (control !== undefined) {
    return control
  }
  refuseSqlite(tokens)
  switch (tokens[0]!.text) {
    case "SELECT":
    case "WITH":
    case "(":
      return query(tokens, environment)
    case "VALUES":
      return values(tokens, environment)
    case "INSERT":
      return { ...change("INSERT", withoutDefaults(ofQuery(tokens)), environment), assigned: assignedBy(tokens) }
    case "UPDATE":
    case "DELETE":
      return { ...change(tokens[0]!.text, tokens, environment), assigned: assignedBy(tokens) }
    case "TRUNCATE":
      return change("DELETE", truncation(tokens), environment)
    case "MERGE":
      throw new failures.Refused(failures.unsupported("MERGE"))
    case "CREATE":
    case "ALTER":
    case "DROP":
    case "DECLARE":
      return definition(tokens, environment)
    case "CALL":
      return call(tokens)
    case "LOCK":
      return lock(tokens)
    case "GRANT":
    case "REVOKE":
    case "COMMENT":
    case "LABEL":
      return { _tag: "Nothing" }
    case "SET":
      return setting(tokens)
    case "RENAME":
      return renaming(tokens)
    case "PREPARE":
    case "EXECUTE":
    case "OPEN":
    case "FETCH":
    case "CLOSE":
    case "CONNECT":
    case "DISCONNECT":
    case "DESCRIBE":
    case "GET":
    case "SIGNAL":
    case "REFRESH":
    case "TRANSFER":
    case "ALLOCATE":
    case "ASSOCIATE":
      throw new failures.Refused(failures.unsupported(tokens[0]!.text))
    case "BEGIN":
      throw new failures.Refused(failures.unsupported("compound statements"))
    default:
      return failures.refuse(tokens[0]!.text)
  }
}

const quotedNames = (tokens: ReadonlyArray<Token>): ReadonlySet<string> =>
  new Set(tokens.filter(({ kind }) => kind === "quoted").map(nameOf))

const columnQuery = (tokens: ReadonlyArray<Token>): Pick<Run, "markers" | "columnQuery"> => {
  const { markers, table, wholeRow } = readMarkers(tokens)
  const columns = [...new Set(markers.flatMap((marker) => (marker?._tag === "Column" ? [marker.column] : [])))]
  if (table === undefined || columns.length === 0) {
    return { markers, columnQuery: undefined }
  }
  const indexes = markers.map((marker) =>
    marker?._tag !== "Column" ? undefined : wholeRow ? Number(marker.column.slice(1)) : columns.indexOf(marker.column)
  )
  const list = wholeRow ? "*" : columns.map(backquoted).join(", ")
  return { markers, columnQuery: { text: `SELECT ${list} FROM ${backquoted(table)}`, indexes } }
}

const query = (tokens: ReadonlyArray<Token>, environment: Environment): Run => {
  const final = finalTable(tokens)
  if (final !== undefined) {
    const tokens = final.verb === "INSERT" ? withoutDefaults(ofQuery(final.change)) : final.change
    const assigned = assignedBy(final.change)
    return { ...change(final.verb, tokens, environment, final.returning), query: true, assigned }
  }
  const inner = isSymbol(tokens[0], "(") ? tokens.map((item) => ({ ...item, depth: item.depth - 1 })) : tokens
  const items = selectList(inner)
  refuseUntyped(tokens, items)
  refuseUngrouped(tokens)
  return {
    _tag: "Run",
    text: render(rewrite(tokens, environment)),
    query: true,
    verb: "OTHER",
    writes: false,
    schemaChange: false,
    columns: items === undefined ? undefined : resultColumns(items, false),
    quotedNames: quotedNames(tokens),
    ...columnQuery(tokens),
    table: tableOf(tokens),
    arithmetic: readArithmetic(tokens),
    rowNumbers: readRowNumbers(tokens) ?? readAliases(tokens),
    typeQuery: undefined
  }
}

/** `VALUES 1, 2` are two rows, `VALUES (1, 2)` is one. */
const values = (tokens: ReadonlyArray<Token>, environment: Environment): Run => {
  const end = tokens.findIndex(
    (item, i) => i > 0 && item.depth === 0 && isWord(item, "UNION", "ORDER", "FETCH", "LIMIT")
  )
  const rows = split(tokens.slice(1, end < 0 ? tokens.length : end), 0)
  // A query in parentheses is one value.
  const wrapped = rows.map(
    (row) => isSymbol(row[0], "(") && closing(row, 0) === row.length - 1 && !isWord(row[1], "SELECT", "WITH", "VALUES")
  )
  const first = rows[0]!
  const items = wrapped[0] === true ? split(first.slice(1, -1), 1) : [first]
  refuseUntyped(tokens, items)
  const jobNames = (row: ReadonlyArray<Token>): ReadonlyArray<Token> =>
    row.flatMap((item, i) =>
      isWord(item, "JOB_NAME") && !isSymbol(row[i - 1], ".") ? snippet("QSYS2.JOB_NAME", item.depth) : [item]
    )
  const out = [
    token("word", "VALUES"),
    ...rows.flatMap((row, i) => [
      ...(i === 0 ? [] : [token("symbol", ",")]),
      ...(wrapped[i] === true ? jobNames(row) : [token("symbol", "("), ...jobNames(row), token("symbol", ")")])
    ]),
    ...(end < 0 ? [] : tokens.slice(end))
  ]
  const rewritten = rewrite(out, environment)
  const ordered = end >= 0 && !isWord(tokens[end], "UNION")
  return {
    _tag: "Run",
    text: ordered ? orderedValues(rewritten) : render(rewritten),
    query: true,
    verb: "OTHER",
    writes: false,
    schemaChange: false,
    columns: resultColumns(items, true),
    quotedNames: new Set(),
    ...columnQuery(out),
    table: tableOf(out),
    arithmetic: readArithmetic(out),
    rowNumbers: readRowNumbers(tokens),
    typeQuery: undefined
  }
}

/** SQLite's VALUES takes no ORDER BY or LIMIT. */
const orderedValues = (tokens: ReadonlyArray<Token>): string => {
  const end = tokens.findIndex((item) => item.depth === 0 && isWord(item, "ORDER", "LIMIT"))
  return `SELECT * FROM (${render(tokens.slice(0, end))}) ${render(tokens.slice(end))}`
}

/** What may follow the table of a TRUNCATE, and is nothing to SQLite. */
const truncateClauses = [
  ["DROP", "STORAGE"],
  ["REUSE", "STORAGE"],
  ["IGNORE", "DELETE", "TRIGGERS"],
  ["RESTRICT", "WHEN", "DELETE", "TRIGGERS"],
  ["CONTINUE", "IDENTITY"],
  ["RESTART", "IDENTITY"],
  ["IMMEDIATE"]
]

const truncation = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> => {
  const named = unqualified(tokens, skipWords(tokens, 1, "TABLE"))
  nameAt(named, 0)
  const clauseAt = (at: number) => truncateClauses.find((words) => wordsAt(named, at, ...words))?.length ?? 0
  let at = 1
  while (clauseAt(at) > 0) {
    at += clauseAt(at)
  }
  refuseAfter(named, at)
  return [...snippet("DELETE FROM"), named[0]!]
}

const change = (
  verb: "INSERT" | "UPDATE" | "DELETE",
  tokens: ReadonlyArray<Token>,
  environment: Environment,
  returning?: { readonly items: ReadonlyArray<Token>; readonly table: Token }
): Run => {
  refuseUntyped(tokens, undefined)
  if (verb === "INSERT") {
    refuseDuplicates(tokens)
  }
  if (tokens.some((item, i) => wordsAt(tokens, i, "OVERRIDING", "USER", "VALUE") && item.depth === 0)) {
    throw new failures.Refused(failures.unsupported("OVERRIDING USER VALUE"))
  }
  const clean = correlated(tokens).filter(
    (item, i) =>
      !(isWord(item, "OVERRIDING") || (isWord(item, "SYSTEM", "USER") && isWord(tokens[i - 1], "OVERRIDING"))) &&
      !(isWord(item, "VALUE") && isWord(tokens[i - 2], "OVERRIDING"))
  )
  const rewritten = rewrite(clean, environment)
  const items = returning === undefined ? undefined : rewrite(returning.items, environment)
  return {
    _tag: "Run",
    text: render(rewritten) + (items === undefined ? "" : ` RETURNING ${render(items)}`),
    query: false,
    verb,
    writes: true,
    schemaChange: false,
    columns: returning === undefined ? undefined : resultColumns(split(returning.items, 0), false),
    quotedNames: quotedNames(tokens),
    ...columnQuery(clean),
    table: tableOf(clean),
    arithmetic: readArithmetic(clean),
    rowNumbers: readRowNumbers([...(returning?.items ?? []), ...clean]),
    typeQuery: items === undefined ? undefined : `SELECT ${render(items)} FROM ${render([returning!.table])}`
  }
}

/** `UPDATE t x SET …`, `DELETE FROM t x`: SQLite wants AS before the correlation name. */
const correlated = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> => {
  if (isWord(tokens[0], "INSERT")) {
    return tokens
  }
  const at = nameAfterSchema(tokens, isWord(tokens[0], "UPDATE") ? 1 : 2) + 1
  return isName(tokens[at]) && !isWord(tokens[at], ...afterTarget)
    ? [...tokens.slice(0, at), token("word", "AS"), ...tokens.slice(at)]
    : tokens
}

/** Words that may follow the table of a change; any other is a name for it. */
const afterTarget = [
  ...["AS", "SET", "WHERE", "WITH", "ORDER", "FETCH", "LIMIT", "OFFSET", "FOR"],
  ...["SKIP", "USE", "WAIT", "OVERRIDING", "INCLUDE"]
]

/** `INSERT INTO t (a) (SELECT …)`: SQLite wants the query without its parentheses. */
const ofQuery = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> => {
  const open = tokens.findIndex(
    (item, i) => item.depth === 0 && isSymbol(item, "(") && isWord(tokens[i + 1], "SELECT", "WITH")
  )
  const end = open < 0 ? -1 : closing(tokens, open)
  const before = tokens.findIndex((item) => item.depth === 0 && isWord(item, "SELECT", "VALUES", "WITH"))
  return open < 0 || (before >= 0 && before < open) || isWord(tokens[end + 1], "UNION", "EXCEPT", "INTERSECT")
    ? tokens
    : [
        ...tokens.slice(0, open),
        ...tokens.slice(open + 1, end).map((item) => ({ ...item, depth: item.depth - 1 })),
        ...tokens.slice(end + 1)
      ]
}

/** The columns of an INSERT are other ones each. */
const refuseDuplicates = (tokens: ReadonlyArray<Token>): void => {
  const open = nameAfterSchema(tokens, 2) + 1
  if (isSymbol(tokens[open], "(") && !isWord(tokens[open + 1], "SELECT", "WITH")) {
    const names = split(tokens.slice(open + 1, closing(tokens, open)), 1).flatMap(([name]) =>
      isName(name) ? [nameOf(name)] : []
    )
    const twice = names.find((name, i) => names.indexOf(name) < i)
    if (twice !== undefined) {
      throw new failures.Refused(failures.duplicateName(twice))
    }
  }
}

/** A column that is to have its default is left out of the INSERT. Several rows must agree on it. */
const withoutDefaults = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> => {
  const at = tokens.findIndex((item) => item.depth === 0 && isWord(item, "VALUES"))
  const open = tokens.findIndex((item, i) => i < at && isSymbol(item, "("))
  if (at < 0 || open < 0 || !tokens.some((item, i) => i > at && item.depth === 1 && isWord(item, "DEFAULT"))) {
    return at >= 0 && open < 0
      ? tokens.map((item, i) =>
          i > at && item.depth === 1 && isWord(item, "DEFAULT") ? token("word", "NULL", 1) : item
        )
      : tokens
  }
  const columns = split(tokens.slice(open + 1, closing(tokens, open)), 1)
  const rows = split(tokens.slice(at + 1), 0).map((row) => split(row.slice(1, -1), 1))
  const left = columns.map((_, i) => rows.some((row) => isWord(row[i]?.[0], "DEFAULT")))
  const kept = <A>(list: ReadonlyArray<A>) => list.filter((_, i) => left[i] !== true)
  const listed = (lists: ReadonlyArray<ReadonlyArray<Token>>) => [
    token("symbol", "(", 0),
    ...lists.flatMap((part, i) => (i === 0 ? part : [token("symbol", ",", 1), ...part])),
    token("symbol", ")", 0)
  ]
  if (kept(columns).length === 0) {
    return [...tokens.slice(0, open), ...snippet("DEFAULT VALUES")]
  }
  return [
    ...tokens.slice(0, open),
    ...listed(kept(columns)),
    ...tokens.slice(closing(tokens, open) + 1, at + 1),
    ...rows.flatMap((row, i) => [...(i === 0 ? [] : [token("symbol", ",", 0)]), ...listed(kept(row))])
  ]
}

const definition = (tokens: ReadonlyArray<Token>, environment: Environment): Statement => {
  const verb = tokens[0]!.text
  readArithmetic(tokens)
  const kind = tokens.findIndex((item, i) => i > 0 && isWord(item, "TABLE", "VIEW", "INDEX", "SCHEMA", "COLLECTION"))
  if (kind < 0 || kind > 4) {
    throw new failures.Refused(failures.unsupported(`${verb} ${tokens[1]?.text ?? ""}`.trim()))
  }
  if (isWord(tokens[kind], "SCHEMA", "COLLECTION")) {
    const name = tokens[kind + 1]
    // There is one schema, whatever it is called.
    if (verb !== "CREATE") {
      throw new failures.Refused(failures.unsupported(`${verb} SCHEMA`))
    }
    return isName(name) ? { _tag: "CreateSchema", name: nameOf(name) } : failures.refuse(tokens[kind]!.text)
  }
  const exists = wordsAt(tokens, kind + 1, "IF", "EXISTS") ? 2 : 0
  // Nothing depends on what is dropped but views, which fail then.
  const last = verb === "DROP" && isWord(tokens.at(-1), "CASCADE", "RESTRICT") ? tokens.length - 1 : tokens.length
  const named = unqualified(tokens.slice(0, last), kind + 1 + exists)
  const plain = [...tokens.slice(0, kind + 1 + exists), ...named]
  const at = kind + 1 + exists
  const qualifier = named.length < tokens.length - at ? tokens[at] : undefined
  const library = verb === "CREATE" && qualifier !== undefined ? nameOf(qualifier) : undefined
  if (wordsAt(plain, 1, "OR", "REPLACE")) {
    if (!isWord(plain[kind], "VIEW")) {
      throw new failures.Refused(failures.unsupported("OR REPLACE of anything but a view"))
    }
    const created = [plain[0]!, ...plain.slice(3)]
    return {
      ...ddl(render(defined(created, at - 2, environment)), library),
      before: `DROP VIEW IF EXISTS ${render([plain[at]!])}`
    }
  }
  const rowNumbers = verb === "CREATE" && isWord(plain[kind], "VIEW") ? readRowNumbers(plain) : undefined
  return { ...ddl(render(defined(plain, at, environment)), library), rowNumbers }
}

/** What SQLite can alter of a table: it adds and drops columns, and what is NOT NULL. */
const refuseAlteration = (plain: ReadonlyArray<Token>, at: number): void => {
  const constraint = isWord(plain[at + 2], "CONSTRAINT") ? plain[at + 4] : plain[at + 2]
  const alters =
    isWord(plain[at + 1], "ALTER") && !plain.slice(at + 2).some((_, i, rest) => wordsAt(rest, i, "NOT", "NULL"))
  const keyed = isWord(plain[at + 1], "ADD", "DROP") && isWord(constraint, "PRIMARY", "FOREIGN", "UNIQUE")
  if (alters || keyed || isWord(plain[at + 1], "ACTIVATE", "DEACTIVATE", "VOLATILE", "ORGANIZE", "PARTITION")) {
    const what = alters ? "ALTER COLUMN" : keyed ? `${plain[at + 1]!.text} ${constraint!.text}` : plain[at + 1]!.text
    throw new failures.Refused(failures.unsupported(`ALTER TABLE … ${what}`))
  }
}

const defined = (plain: ReadonlyArray<Token>, at: number, environment: Environment): ReadonlyArray<Token> => {
  const kind = plain[at - 1]!
  if (!isWord(plain[0], "CREATE", "DECLARE")) {
    if (isWord(plain[0], "ALTER") && isWord(kind, "TABLE")) {
      refuseAlteration(plain, at)
    }
    const add = plain.findIndex((item) => isWord(item, "ADD"))
    if (
      isWord(plain[0], "ALTER") &&
      add > 0 &&
      !isWord(plain[add + 1], "CONSTRAINT", "PRIMARY", "FOREIGN", "UNIQUE", "CHECK")
    ) {
      return addColumn(plain, isWord(plain[add + 1], "COLUMN") ? add + 2 : add + 1, environment)
    }
    return plain
  }
  if (isWord(kind, "TABLE")) {
    return createTable(plain, at, environment)
  }
  if (isWord(kind, "INDEX")) {
    const on = plain.findIndex((item) => isWord(item, "ON"))
    return [...plain.slice(0, on + 1), ...unqualified(plain, on + 1)]
  }
  return rewrite(plain, environment)
}

/** `RENAME TABLE t TO u`. */
const renaming = (tokens: ReadonlyArray<Token>): Run => {
  if (!isWord(tokens[1], "TABLE")) {
    throw new failures.Refused(failures.unsupported(`RENAME ${tokens[1]?.text ?? ""}`.trim()))
  }
  const named = unqualified(tokens, 2)
  nameAt(named, 0)
  const at = expectWords(named, 1, "TO")
  nameAt(named, at)
  refuseAfter(named, at + 1)
  return ddl(render([...snippet("ALTER TABLE"), named[0]!, ...snippet("RENAME TO"), named[at]!]), undefined)
}

const ddl = (text: string, library: string | undefined): Run => ({
  _tag: "Run",
  text,
  library,
  query: false,
  verb: "OTHER",
  writes: true,
  schemaChange: true,
  columns: undefined,
  quotedNames: new Set(),
  markers: undefined,
  columnQuery: undefined,
  typeQuery: undefined
})
