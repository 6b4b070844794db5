/** What of a schema's tables can be recorded (see recorder.ts), and the triggers that tell of it. */
import { folded } from "../folded.js"
import { quoted } from "../quoting.js"
import { OwnCode, ResultCode } from "../resultCode.js"
import { type Connection, EngineError } from "./engine.js"
import { termsOf } from "./indexTerms.js"
import { Query, queryRows } from "./queryRows.js"

/** Arguments of a SQL function (SQLITE_LIMIT_FUNCTION_ARG, 127 before 3.48), less our own three. */
const mostColumns = 124

export const triggersOfTable = 5

/** What a unique index compares, as SQL. */
interface Term {
  /** Of the rows that are there, and of the new one. */
  readonly its: string
  readonly coming: string
  /** Of a row that REPLACE gives a default to, what a BEFORE trigger sees is not what will be compared. */
  readonly settled: boolean
}

/** Which rows are in the way of a new one. */
interface Unique {
  readonly terms: ReadonlyArray<Term>
  /** Columns that REPLACE gives a default where they are NULL, and that the terms depend on. */
  readonly defaulted: ReadonlyArray<string>
}

/** A table as its triggers have been made for it. */
export interface RecordedTable {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  /** By column: its place in the primary key from 1, 0: none. */
  readonly key: ReadonlyArray<number>
  readonly uniques: ReadonlyArray<Unique>
  readonly shape: string
}

/** Tells the columns of a row with their types. Texts as their bytes, as a string has not all that a text may be. */
export const told = (row: string, columns: ReadonlyArray<string>): string => {
  const names = columns.map((column) => `${row}.${quoted(column)}`)
  return [
    names.map((name) => `substr(typeof(${name}), 1, 1)`).join(" || "),
    ...names.map((name) => `CASE typeof(${name}) WHEN 'text' THEN CAST(${name} AS BLOB) ELSE ${name} END`)
  ].join(", ")
}

export class RecordedTables {
  constructor(
    private readonly connection: Connection,
    private readonly schema: string
  ) {}

  /** Those that were asked for, or all that have a primary key. */
  find(asked: ReadonlyArray<string> | undefined): ReadonlyArray<RecordedTable> {
    const { connection, schema } = this
    const every = queryRows(
      connection,
      "select name from pragma_table_list where schema = ? and type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
      [schema]
    ).map(([name]) => name as string)
    const wanted = asked?.map((name) => {
      const found = every.find((other) => folded(other) === folded(name))
      if (found === undefined) {
        throw new EngineError(ResultCode.error, `no such table: ${schema}.${name}`)
      }
      return found
    })
    return (wanted ?? every).flatMap((name) => {
      const columns = queryRows(
        connection,
        `select name, pk, "notnull" and dflt_value is not null from pragma_table_info(?, ?)`,
        [name, schema]
      )
      if (columns.every(([, place]) => place === 0n)) {
        if (wanted === undefined) {
          return []
        }
        throw new EngineError(OwnCode.failed, `changes of ${name} cannot be recorded: it has no PRIMARY KEY`)
      }
      if (columns.length > mostColumns) {
        throw new EngineError(
          OwnCode.failed,
          `changes of ${name} cannot be recorded: it has more than ${mostColumns} columns`
        )
      }
      const names = columns.map(([column]) => column as string)
      const key = columns.map(([, place]) => Number(place))
      const defaulted = names.filter((_, i) => columns[i]![2] === 1n)
      const uniques = this.uniques(name, names, key, defaulted)
      return [{ name, columns: names, key, uniques, shape: this.shape(name) }]
    })
  }

  /** What the triggers of a table have been made of. */
  shape(table: string): string {
    const columns = queryRows(this.connection, 'select name, pk, "notnull", dflt_value from pragma_table_info(?, ?)', [
      table,
      this.schema
    ])
    return JSON.stringify([columns, this.uniqueIndexes(table)], (_, value: unknown) =>
      typeof value === "bigint" ? Number(value) : value
    )
  }

  private uniqueIndexes(table: string) {
    return queryRows(
      this.connection,
      `select its.name, indexed.sql from pragma_index_list(?, ?) as its
       left join ${quoted(this.schema)}.sqlite_schema as indexed on indexed.type = 'index' and indexed.name = its.name
       where its."unique" order by 1`,
      [table, this.schema]
    )
  }

  /** Its primary key, which need not have an index, and its unique indexes. */
  private uniques(
    table: string,
    columns: ReadonlyArray<string>,
    key: ReadonlyArray<number>,
    defaulted: ReadonlyArray<string>
  ): ReadonlyArray<Unique> {
    const { connection, schema } = this
    const column = (name: string, collation: string | undefined): Term => ({
      its: `its.${quoted(name)}`,
      coming: `NEW.${quoted(name)}${collation === undefined ? "" : ` COLLATE ${quoted(collation)}`}`,
      settled: columns.includes(name) && !defaulted.includes(name)
    })
    const unique = (terms: ReadonlyArray<Term>): Unique => ({
      terms,
      // Which of them an expression depends on is not known: all.
      defaulted: terms.every(({ settled }) => settled) ? [] : defaulted
    })
    const indexes = this.uniqueIndexes(table)
    const primary = columns.filter((_, i) => key[i]! > 0).map((name) => column(name, undefined))
    return [
      unique(primary),
      ...indexes.map(([index, sql]) => {
        const parts = queryRows(
          connection,
          "select name, coll from pragma_index_xinfo(?, ?) where key order by seqno",
          [index, schema]
        ).map(([name, collation]) => [name as string | null, collation as string] as const)
        return unique(
          parts.some(([name]) => name === null)
            ? this.expressions(table, sql as string, parts)
            : parts.map(([name, collation]) => column(name!, collation))
        )
      })
    ]
  }

  /** Of an index over expressions: each with the columns of the row that is there, and with those of the new one. */
  private expressions(
    table: string,
    sql: string,
    parts: ReadonlyArray<readonly [name: string | null, collation: string]>
  ): ReadonlyArray<Term> {
    const { connection, schema } = this
    const names = queryRows(connection, "select name from pragma_table_xinfo(?, ?) where hidden <> 1", [table, schema])
    const row = (value: (column: string) => string) =>
      `(SELECT ${names.map(([name]) => `${value(quoted(name as string))} AS ${quoted(name as string)}`).join(", ")})`
    const texts = termsOf(sql)
    return parts.map(([, collation], i) => {
      const text = texts[i] ?? ""
      try {
        new Query(connection, `SELECT (${text}) FROM ${row(() => "NULL")}`).close()
      } catch {
        throw new EngineError(
          OwnCode.failed,
          `changes of ${table} cannot be recorded: ${text} in a unique index is not understood`
        )
      }
      return {
        its: `(${text}) COLLATE ${quoted(collation)}`,
        coming: `(SELECT (${text}) FROM ${row((column) => `NEW.${column}`)})`,
        settled: false
      }
    })
  }

  /** Of a recording of this name; they tell the table by its number. */
  triggers(recording: string, table: RecordedTable, index: number): ReadonlyArray<string> {
    const { columns, key, uniques } = table
    const at = `${quoted(this.schema)}.${quoted(table.name)}`
    const keys = columns.filter((_, i) => key[i]! > 0)
    const note = (present: 0 | 1, row: string) => `${recording}(${index}, ${present}, ${told(row, columns)})`
    const noteThose = (conditions: ReadonlyArray<string>) =>
      `SELECT ${note(1, "its")} FROM ${at} AS its WHERE ${conditions.join(" AND ")};`
    const equal = ({ coming, its }: Term) => `${its} = ${coming}`
    const displaced = uniques.flatMap(({ defaulted, terms }) => {
      const isNull = defaulted.map((name) => `NEW.${quoted(name)} IS NULL`).join(" OR ")
      const settled = terms.filter((term) => term.settled)
      return [
        noteThose(terms.map(equal)),
        // Only ever with REPLACE, or to fail: all rows that may be in the way of whatever the default is.
        ...(defaulted.length === 0 ? [] : [noteThose([`(${isNull})`, ...settled.map(equal)])])
      ]
    })
    // Exactly: another key for a changeset may be the same one for the column's collation, or as a number.
    const moved = keys
      .map((name) => [`OLD.${quoted(name)}`, `NEW.${quoted(name)}`])
      .map(([old, now]) => `${old} COLLATE BINARY IS NOT ${now} OR typeof(${old}) <> typeof(${now})`)
      .join(" OR ")
    // As it is stored: NEW may tell it without the affinity of its column, when a foreign key refers to it. That of NEW, too,
    // for a row that is gone by then.
    const come = [
      `SELECT ${note(0, "its")} FROM ${at} AS its WHERE ${keys.map((name) => `its.${quoted(name)} = +NEW.${quoted(name)}`).join(" AND ")};`,
      `SELECT ${note(0, "NEW")};`
    ]
    const trigger = (name: string, event: string, body: ReadonlyArray<string>) =>
      `CREATE TEMP TRIGGER ${quoted(`${recording}_${index}_${name}`)} ${event} BEGIN ${body.join(" ")} END`
    return [
      trigger("0", `BEFORE INSERT ON ${at}`, displaced),
      trigger("1", `AFTER INSERT ON ${at}`, come),
      // Not only behind it: by then a foreign key to the row itself has acted on the row with its new key.
      trigger("2", `BEFORE UPDATE ON ${at}`, [
        `SELECT ${note(1, "OLD")};`,
        ...displaced,
        `SELECT ${note(0, "NEW")} WHERE ${moved};`
      ]),
      trigger("3", `AFTER UPDATE ON ${at} WHEN ${moved}`, come),
      trigger("4", `BEFORE DELETE ON ${at}`, [`SELECT ${note(1, "OLD")};`])
    ]
  }
}
