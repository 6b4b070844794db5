/** The statements that make a full-text table, and those that keep its index in step with a table of one's own. */
import { literal, quoted } from "../quoting.js"

/** The table that has the texts: the index keeps none of them. */
export interface ExternalContent {
  readonly table: string
  /** Its column that is the rowid. Default `rowid`, which may be given a name: `id integer primary key`. */
  readonly rowid?: string | undefined
  /** Makes triggers on it that keep the index in step with it. Default true. */
  readonly triggers?: boolean | undefined
}

/** What an FTS5 table is made with. */
export interface TableOptions<Column extends string = string> {
  /** At least one. With external content by the names that they have there. */
  readonly columns: ReadonlyArray<Column>
  /** Columns that are kept but not searched. */
  readonly unindexed?: ReadonlyArray<NoInfer<Column>> | undefined
  /**
   * The tokenizer in FTS5's own words, such as `porter unicode61` or `trigram`; as an array each word is quoted:
   * `["unicode61", "tokenchars", "-_"]`. Default: `unicode61`.
   */
  readonly tokenize?: string | ReadonlyArray<string> | undefined
  /** Lengths in characters of beginnings that are indexed as such: `[2, 3]` makes queries for prefixes faster. */
  readonly prefix?: ReadonlyArray<number> | undefined
  /** Where the texts are: in the full-text table (default), in another table, or nowhere (`"none"`: only their index). */
  readonly content?: ExternalContent | "none" | undefined
  /** With content `"none"`: rows can be deleted, and replaced as a whole. SQLite 3.43. Default false. */
  readonly contentlessDelete?: boolean | undefined
  /** What the index knows of a word: its place (default), its column or its row only. Phrases and NEAR want the place. */
  readonly detail?: "full" | "column" | "none" | undefined
  /** Whether it keeps the sizes of columns, which `bm25` wants. Default true. */
  readonly columnSize?: boolean | undefined
}

const settingsOf = (options: TableOptions): Array<string> => {
  const { columnSize, content, contentlessDelete, detail, prefix = [], tokenize } = options
  const settings: Array<string> = []
  const set = (name: string, value: string) => settings.push(`${name} = ${value}`)
  if (tokenize !== undefined) {
    set("tokenize", literal(typeof tokenize === "string" ? tokenize : tokenize.map(literal).join(" ")))
  }
  if (prefix.length > 0) {
    set("prefix", literal(prefix.join(" ")))
  }
  if (content === "none") {
    set("content", "''")
  } else if (content !== undefined) {
    set("content", literal(content.table))
    set("content_rowid", literal(content.rowid ?? "rowid"))
  }
  if (contentlessDelete === true) {
    set("contentless_delete", "1")
  }
  if (detail !== undefined) {
    set("detail", detail)
  }
  if (columnSize === false) {
    set("columnsize", "0")
  }
  return settings
}

/** What the triggers do: the index forgets a row by being told its old texts. */
const triggersOf = (name: string, { columns }: TableOptions, { rowid = "rowid", table }: ExternalContent) => {
  const index = quoted(name)
  const names = columns.map(quoted)
  const values = (row: "new" | "old") => [quoted(rowid), ...names].map((column) => `${row}.${column}`).join(", ")
  const add = `INSERT INTO ${index}(${["rowid", ...names].join(", ")}) VALUES (${values("new")});`
  const forget = `INSERT INTO ${index}(${[index, "rowid", ...names].join(", ")}) VALUES ('delete', ${values("old")});`
  return [
    ["insert", add],
    ["delete", forget],
    ["update", `${forget} ${add}`]
  ].map(([event, body]) => ({
    name: quoted(`${name}_${event}`),
    definition: `AFTER ${event} ON ${quoted(table)} BEGIN ${body} END`
  }))
}

const triggers = (name: string, options: TableOptions) =>
  typeof options.content === "object" && options.content.triggers !== false
    ? triggersOf(name, options, options.content)
    : []

const script = (statements: ReadonlyArray<string>): string => statements.join(";\n")

export const create = (name: string, options: TableOptions, ifNotExists: boolean): string => {
  const unindexed = new Set<string>(options.unindexed)
  const columns = options.columns.map((column) => quoted(column) + (unindexed.has(column) ? " UNINDEXED" : ""))
  const unless = ifNotExists ? "IF NOT EXISTS " : ""
  return script([
    `CREATE VIRTUAL TABLE ${unless}${quoted(name)} USING fts5(${[...columns, ...settingsOf(options)].join(", ")})`,
    ...triggers(name, options).map(({ definition, name }) => `CREATE TRIGGER ${unless}${name} ${definition}`)
  ])
}

export const drop = (name: string, options: TableOptions): string =>
  script([
    ...triggers(name, options).map(({ name }) => `DROP TRIGGER IF EXISTS ${name}`),
    `DROP TABLE IF EXISTS ${quoted(name)}`
  ])
