/**
 * Full-text search: SQL of FTS5 as fragments, for `` sql`…` `` on both engines. A table is described once, as a value:
 * what makes it, what searches it and what keeps it in order is made of that. What people type becomes a query that never
 * fails for its syntax. All of it is plain SQL, by https://www.sqlite.org/fts5.html.
 *
 * @example
 * ```ts
 * import { Fts5, SqliteClient } from "@sluice/sqlite"
 * import { Effect } from "effect"
 *
 * const articles = Fts5.table("articles_fts", {
 *   columns: ["title", "body"],
 *   tokenize: "porter unicode61",
 *   content: { table: "articles", rowid: "id" }
 * })
 *
 * const migration = Effect.gen(function*() {
 *   const sql = yield* SqliteClient.SqliteClient
 *   yield* sql`create table articles (id integer primary key, title text, body text)`
 *   yield* sql`${Fts5.create(articles)}`
 * })
 *
 * const search = (typed: string) =>
 *   Effect.flatMap(SqliteClient.SqliteClient, (sql) => sql<{ id: number; excerpt: string }>`
 *     select rowid as id, ${Fts5.snippet(articles, { open: "<b>", close: "</b>" })} as excerpt
 *     from articles_fts
 *     where ${Fts5.match(articles, typed)}
 *     order by ${Fts5.bm25(articles, { title: 10 })}
 *     limit 20`)
 * ```
 *
 * @since 0.1.0
 */
import * as Statement from "@effect/sql/Statement"
import * as queries from "./internal/fts5/query.js"
import * as tables from "./internal/fts5/table.js"
import { quoted } from "./internal/quoting.js"

export type { WordsOptions } from "./internal/fts5/query.js"
export type { ExternalContent, TableOptions } from "./internal/fts5/table.js"

/**
 * A full-text table.
 *
 * @since 0.1.0
 * @category models
 */
export interface Table<Column extends string = string> {
  readonly name: string
  readonly options: tables.TableOptions<Column>
  /** The name that a statement gives it, see `as`. */
  readonly alias: string | undefined
}

/**
 * A query in FTS5's language, with everything quoted that is not meant to be syntax.
 *
 * @since 0.1.0
 * @category models
 */
export interface Query {
  readonly _tag: "Fts5Query"
  readonly text: string
}

const query = (text: string): Query => ({ _tag: "Fts5Query", text })

/**
 * Describes a full-text table, new or there already. Nothing is run.
 *
 * @since 0.1.0
 * @category tables
 */
export const table = <const Column extends string>(
  name: string,
  options: tables.TableOptions<Column>
): Table<Column> => ({ name, options, alias: undefined })

/**
 * The table as a statement calls it: `` sql`select … from articles_fts as a where ${Fts5.match(Fts5.as(articles, "a"), …)}` ``.
 *
 * @since 0.1.0
 * @category tables
 */
export const as = <Column extends string>(table: Table<Column>, alias: string): Table<Column> => ({ ...table, alias })

/**
 * Makes the table; with external content the triggers, too, which keep the index in step with it. Of rows that the content
 * table has already the index knows nothing until `rebuild`. A script of several statements: in `sql.withTransaction`
 * all of it is done or nothing.
 *
 * With triggers, `insert or replace` into the content table wants `pragma recursive_triggers`: without it SQLite does not
 * tell them of the row that is displaced.
 *
 * @since 0.1.0
 * @category tables
 */
export const create = (
  table: Table,
  options: { readonly ifNotExists?: boolean | undefined } = {}
): Statement.Fragment =>
  Statement.unsafeFragment(tables.create(table.name, table.options, options.ifNotExists ?? false))

/**
 * Drops the table and its triggers, where they are there. The content table stays.
 *
 * @since 0.1.0
 * @category tables
 */
export const drop = (table: Table): Statement.Fragment =>
  Statement.unsafeFragment(tables.drop(table.name, table.options))

/**
 * What somebody typed, as words that must all be found, in any order: nothing in it is syntax. White space separates words;
 * what the tokenizer cuts further, such as `e-mail`, is a phrase. Without a single word it matches nothing; of more than
 * 256 words the first ones count.
 *
 * @example
 * ```ts
 * import { Fts5 } from "@sluice/sqlite"
 *
 * console.log(Fts5.words(`C++ "AND" rea`, { prefix: true }).text) // "C++" """AND""" "rea" *
 * ```
 *
 * @since 0.1.0
 * @category queries
 */
export const words = (text: string, options: queries.WordsOptions = {}): Query => query(queries.words(text, options))

/**
 * What somebody typed, with what people know from search engines: `"a phrase"`, `-without`, `begin*`, `one OR other`.
 * Everything else in it is a word, of which the first 256 count. Only words to leave out match nothing.
 *
 * @since 0.1.0
 * @category queries
 */
export const search = (text: string): Query => query(queries.search(text))

/**
 * The words one after the other.
 *
 * @since 0.1.0
 * @category queries
 */
export const phrase = (text: string): Query => query(queries.quote(text))

/**
 * The words one after the other, of the last one the beginning: `prefix("one two thr")`.
 *
 * @since 0.1.0
 * @category queries
 */
export const prefix = (text: string): Query => query(queries.prefix(text))

/**
 * The words one after the other, where a column begins.
 *
 * @since 0.1.0
 * @category queries
 */
export const first = (text: string): Query => query(`^ ${queries.quote(text)}`)

/**
 * Phrases with at most so many words between them, 10 unless told.
 *
 * @since 0.1.0
 * @category queries
 */
export const near = (phrases: ReadonlyArray<string>, distance = 10): Query => query(queries.near(phrases, distance))

const texts = (all: ReadonlyArray<Query>): ReadonlyArray<string> => all.map(({ text }) => text)

/**
 * All of them. One that matches nothing makes this match nothing; so do no queries at all.
 *
 * @since 0.1.0
 * @category queries
 */
export const and = (...all: ReadonlyArray<Query>): Query => query(queries.combined("AND", texts(all)))

/**
 * At least one of them. No queries at all match nothing.
 *
 * @since 0.1.0
 * @category queries
 */
export const or = (...all: ReadonlyArray<Query>): Query => query(queries.combined("OR", texts(all)))

/**
 * The first, but not the second.
 *
 * @since 0.1.0
 * @category queries
 */
export const not = (wanted: Query, unwanted: Query): Query => query(queries.combined("NOT", texts([wanted, unwanted])))

/**
 * A query of some columns only. A column that the table does not have fails the statement.
 *
 * @since 0.1.0
 * @category queries
 */
export const inColumns = (columns: string | ReadonlyArray<string>, of: Query): Query =>
  query(queries.within([columns].flat(), of.text, false))

/**
 * A query of all columns but some.
 *
 * @since 0.1.0
 * @category queries
 */
export const notInColumns = (columns: string | ReadonlyArray<string>, of: Query): Query =>
  query(queries.within([columns].flat(), of.text, true))

/** The hidden column by which FTS5 knows which table is meant. */
const self = ({ alias, name }: Table): string =>
  alias === undefined ? quoted(name) : `${quoted(alias)}.${quoted(name)}`

const owner = ({ alias, name }: Table): string => quoted(alias ?? name)

/**
 * The condition that a row matches. A string is what somebody typed: `words`.
 *
 * @since 0.1.0
 * @category searching
 */
export const match = (table: Table, wanted: Query | string): Statement.Fragment =>
  Statement.unsafeFragment(`${self(table)} MATCH ?`, [(typeof wanted === "string" ? words(wanted) : wanted).text])

/**
 * How well a row matches: the better, the smaller. `` order by ${Fts5.rank(table)} `` is the fastest way to the best rows.
 *
 * @since 0.1.0
 * @category searching
 */
export const rank = (table: Table): Statement.Fragment => Statement.unsafeFragment(`${owner(table)}.rank`)

/**
 * The same with weights of columns, 1 where none is given.
 *
 * @since 0.1.0
 * @category searching
 */
export const bm25 = <Column extends string>(
  table: Table<Column>,
  weights: { readonly [C in NoInfer<Column>]?: number } = {}
): Statement.Fragment => {
  const all = weightsOf(table, weights)
  return Statement.unsafeFragment(`bm25(${[self(table), ...all.map(() => "?")].join(", ")})`, all)
}

const weightsOf = ({ options: { columns } }: Table, weights: { readonly [column: string]: number | undefined }) =>
  columns.map((column) => weights[column] ?? 1)

const indexOf = (table: Table, column: string | undefined): number =>
  column === undefined ? -1 : table.options.columns.indexOf(column)

/**
 * What stands around the words that were found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Marks {
  /** Default `<b>`. The text itself is not escaped: choose other marks and escape it, where it becomes HTML. */
  readonly open?: string | undefined
  /** Default `</b>`. */
  readonly close?: string | undefined
}

/**
 * A column's text with the words marked that were found.
 *
 * @since 0.1.0
 * @category searching
 */
export const highlight = <Column extends string>(
  table: Table<Column>,
  column: NoInfer<Column>,
  { close = "</b>", open = "<b>" }: Marks = {}
): Statement.Fragment =>
  Statement.unsafeFragment(`highlight(${self(table)}, ?, ?, ?)`, [indexOf(table, column), open, close])

/**
 * The part of a text with most of the words that were found, marked: of `column`, or of the column that FTS5 takes for
 * the best.
 *
 * @since 0.1.0
 * @category searching
 */
export const snippet = <Column extends string>(
  table: Table<Column>,
  options: Marks & {
    readonly column?: NoInfer<Column> | undefined
    /** Where text was left out. Default `…`. */
    readonly ellipsis?: string | undefined
    /** Its length in tokens, 1 to 64. Default 16. */
    readonly tokens?: number | undefined
  } = {}
): Statement.Fragment => {
  const { close = "</b>", column, ellipsis = "…", open = "<b>", tokens = 16 } = options
  const params = [indexOf(table, column), open, close, ellipsis, tokens]
  return Statement.unsafeFragment(`snippet(${self(table)}, ?, ?, ?, ?, ?)`, params)
}

const command = (table: Table, name: string, value?: string | number): Statement.Fragment => {
  const it = quoted(table.name)
  return value === undefined
    ? Statement.unsafeFragment(`INSERT INTO ${it}(${it}) VALUES ('${name}')`)
    : Statement.unsafeFragment(`INSERT INTO ${it}(${it}, rank) VALUES ('${name}', ?)`, [value])
}

/**
 * Makes the index anew from the texts; with external content after it was filled, or changed without triggers. Fails on
 * a table whose content is `"none"`.
 *
 * @since 0.1.0
 * @category upkeep
 */
export const rebuild = (table: Table): Statement.Fragment => command(table, "rebuild")

/**
 * Makes one of all parts of the index: queries are faster afterwards. Takes its time; `merge` does it bit by bit.
 *
 * @since 0.1.0
 * @category upkeep
 */
export const optimize = (table: Table): Statement.Fragment => command(table, "optimize")

/**
 * Does about so many pages of the work of `optimize`. A negative number begins with all parts of the index, a positive one goes
 * on; it is done when `select total_changes()` grows by less than 2.
 *
 * @since 0.1.0
 * @category upkeep
 */
export const merge = (table: Table, pages: number): Statement.Fragment => command(table, "merge", pages)

/**
 * Fails with `corrupt` in its message when the index does not agree with itself, or with the texts, those of an external
 * table included.
 *
 * @since 0.1.0
 * @category upkeep
 */
export const integrityCheck = (table: Table): Statement.Fragment => command(table, "integrity-check", 1)

/**
 * Empties the index. Only with content elsewhere or `"none"`; from others rows are deleted.
 *
 * @since 0.1.0
 * @category upkeep
 */
export const deleteAll = (table: Table): Statement.Fragment => command(table, "delete-all")

/**
 * Weights of columns for `rank`, kept in the table.
 *
 * @since 0.1.0
 * @category upkeep
 */
export const rankBy = <Column extends string>(
  table: Table<Column>,
  weights: { readonly [C in NoInfer<Column>]?: number }
): Statement.Fragment => command(table, "rank", `bm25(${weightsOf(table, weights).join(", ")})`)

/**
 * Settings of the index, kept in the table: see https://www.sqlite.org/fts5.html#special_insert_commands.
 *
 * @since 0.1.0
 * @category upkeep
 */
export const configure = (
  table: Table,
  setting: "automerge" | "crisismerge" | "deletemerge" | "pgsz" | "secure-delete" | "usermerge",
  value: number
): Statement.Fragment => command(table, setting, value)
