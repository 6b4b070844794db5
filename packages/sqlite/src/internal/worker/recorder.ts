/**
 * Records what is changed on a connection, as SQLite's session extension does (carriers do not let others call that):
 * for each row that is touched, by its primary key, what it was before the first change. A changeset compares that
 * with what the row is then.
 *
 * Temporary triggers hear of the changes. They tell a function of the worker the row before it is changed or deleted, and
 * those that an INSERT or UPDATE may displace, which have no trigger of their own: every row that has one of the new row's
 * unique values. To note one too many is harmless, as it has not changed.
 */
import {
  type Change,
  keyOf,
  RawText,
  type Row,
  same,
  type Table,
  textOf,
  type Value,
  write
} from "../changeset/format.js"
import type { RecordingOptions } from "../messages.js"
import { folded } from "../folded.js"
import { quoted } from "../quoting.js"
import { OwnCode, ResultCode } from "../resultCode.js"
import { type Connection, EngineError } from "./engine.js"
import { termsOf } from "./indexTerms.js"
import { Query, queryRows } from "./queryRows.js"

/** Arguments of a SQL function (SQLITE_LIMIT_FUNCTION_ARG, 127 before 3.48), less our own three. */
const mostColumns = 124

const triggersOfTable = 5

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

interface Noted {
  /** Undefined: there was no row with this key. */
  readonly before: Row | undefined
  /** Its key's values, the others undefined. */
  readonly key: Row
}

class Recorded {
  readonly notes = new Map<string, Noted>()
  readonly table: Table

  constructor(
    readonly name: string,
    readonly columns: ReadonlyArray<string>,
    readonly key: ReadonlyArray<number>,
    readonly uniques: ReadonlyArray<Unique>,
    readonly shape: string
  ) {
    this.table = { name, key, patchset: false }
  }

  note(present: boolean, row: Row): void {
    // As SQLite has it: what has NULL in its key cannot be told from others.
    if (row.some((value, i) => this.key[i]! > 0 && value === null)) {
      return
    }
    const id = keyOf(row, this.key)
    if (!this.notes.has(id)) {
      const key = row.map((value, i) => (this.key[i]! > 0 ? value : undefined))
      this.notes.set(id, { before: present ? row : undefined, key })
    }
  }
}

/** Of the bytes of a text in a database of that encoding. */
const decoderOf = (encoding: string): ((bytes: Uint8Array) => string | RawText) => {
  if (encoding === "UTF-8") {
    return textOf
  }
  const decoder = new TextDecoder(encoding, { ignoreBOM: true })
  return (bytes) => decoder.decode(bytes)
}

/** Tells the columns of a row with their types. Texts as their bytes, as a string has not all that a text may be. */
const told = (row: string, columns: ReadonlyArray<string>): string => {
  const names = columns.map((column) => `${row}.${quoted(column)}`)
  return [
    names.map((name) => `substr(typeof(${name}), 1, 1)`).join(" || "),
    ...names.map((name) => `CASE typeof(${name}) WHEN 'text' THEN CAST(${name} AS BLOB) ELSE ${name} END`)
  ].join(", ")
}

export class Recorder {
  private readonly tables: ReadonlyArray<Recorded>
  private readonly name: string
  private readonly schema: string
  private readonly text: (bytes: Uint8Array) => string | RawText
  private closed = false

  constructor(
    private readonly connection: Connection,
    id: number,
    private readonly options: RecordingOptions
  ) {
    this.name = `sluice_record_${id}`
    this.schema = options.schema
    this.text = decoderOf(queryRows(connection, "select encoding from pragma_encoding")[0]![0] as string)
    this.tables = this.find()
    connection.setFunction(
      { name: this.name, arity: -1, deterministic: false, directOnly: false, innocuous: false, shape: "scalar" },
      (index, present, types, ...values) => {
        if (this.closed) {
          return null
        }
        const row = this.row(types, values)
        this.tables[index as number]!.note(present === 1, row)
        return null
      }
    )
    try {
      connection.execOwn(this.tables.flatMap((table, index) => this.triggers(table, index)).join(";\n"))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** By the first letters of `typeof`: a function gets 1 and 1.0 as the same number. */
  private row(types: unknown, values: ReadonlyArray<unknown>): Row {
    return values.map((value, i) => {
      switch ((types as string)[i]) {
        case "i":
          return BigInt(value as number | bigint)
        case "r":
          return Number(value)
        case "t":
          return this.text(value as Uint8Array)
        default:
          return value as Value
      }
    })
  }

  /** Those that were asked for, or all that have a primary key. */
  private find(): ReadonlyArray<Recorded> {
    const { connection, options, schema } = this
    const every = queryRows(
      connection,
      "select name from pragma_table_list where schema = ? and type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
      [schema]
    ).map(([name]) => name as string)
    const wanted = options.tables?.map((name) => {
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
      return [new Recorded(name, names, key, this.uniques(name, names, key, defaulted), this.shape(name))]
    })
  }

  /** What the triggers of a table have been made of. */
  private shape(table: string): string {
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

  private triggers(table: Recorded, index: number): ReadonlyArray<string> {
    const { columns, key, uniques } = table
    const at = `${quoted(this.schema)}.${quoted(table.name)}`
    const keys = columns.filter((_, i) => key[i]! > 0)
    const note = (present: 0 | 1, row: string) => `${this.name}(${index}, ${present}, ${told(row, columns)})`
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
      `CREATE TEMP TRIGGER ${quoted(`${this.name}_${index}_${name}`)} ${event} BEGIN ${body.join(" ")} END`
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

  /** What was changed up to now, from what it was to what it is. */
  changeset(patchset: boolean): Uint8Array {
    this.assertListening()
    return write(this.changes(patchset))
  }

  isEmpty(): boolean {
    this.assertListening()
    return this.changes(false).next().done === true
  }

  /** Takes the triggers away. A rollback may bring them back, so what they call stays until there can be none. */
  close(): void {
    const { connection, name } = this
    const left = this.listening()
    this.tables.forEach(({ notes }) => notes.clear())
    connection.execOwn(left.map((trigger) => `DROP TRIGGER temp.${quoted(trigger)}`).join(";\n"))
    this.closed = true
    if (!connection.inTransaction()) {
      try {
        connection.setFunction(
          { name, arity: -1, deterministic: false, directOnly: false, innocuous: false, shape: "scalar" },
          undefined
        )
      } catch {
        // A statement runs, a stream's: SQLite takes no function away then. It does nothing any more.
      }
    }
  }

  /** Its triggers would be left behind, or come to be of other tables. */
  databaseReplaced(): void {
    if (folded(this.schema) === "main") {
      this.close()
    }
  }

  private listening(): ReadonlyArray<string> {
    return queryRows(
      this.connection,
      "select name from temp.sqlite_schema where type = 'trigger' and name like ? escape '\\'",
      [`${this.name.replaceAll("_", "\\_")}\\_%`]
    ).map(([name]) => name as string)
  }

  /** Triggers go with a transaction that is rolled back, with their tables, and with the database that is replaced. */
  private assertListening(): void {
    const listening = this.listening()
    this.tables.forEach(({ name, shape }, index) => {
      const own = `${this.name}_${index}_`
      if (
        listening.filter((trigger) => trigger.startsWith(own)).length < triggersOfTable ||
        this.shape(name) !== shape
      ) {
        throw new EngineError(
          -1,
          `nothing is recorded any more of ${name}: the transaction that the recording was begun in was rolled back, the ` +
            "table was dropped, renamed or altered or got a unique index, or the database was replaced (deserialize, or a " +
            "backup into it)"
        )
      }
    })
  }

  private *changes(patchset: boolean): Generator<Change, undefined> {
    const { indirect } = this.options
    for (const { columns, key, name, notes } of this.tables) {
      if (notes.size === 0) {
        continue
      }
      const table: Table = { name, key, patchset }
      const at = (marks: ReadonlyArray<string>) => {
        const places = columns.filter((_, i) => key[i]! > 0).map((column, i) => `its.${quoted(column)} = ${marks[i]!}`)
        return new Query(
          this.connection,
          `select ${told("its", columns)} from ${quoted(this.schema)}.${quoted(name)} as its where ${places.join(" and ")}`
        )
      }
      const marks = key.filter((place) => place > 0).map(() => "?")
      const query = at(marks)
      const rows = (values: ReadonlyArray<Value>) => {
        if (!values.some((value) => value instanceof RawText)) {
          return query.rows(values)
        }
        const raw = at(values.map((value) => (value instanceof RawText ? "cast(? as text)" : "?")))
        try {
          return raw.rows(values)
        } finally {
          raw.close()
        }
      }
      try {
        for (const [id, noted] of notes) {
          const found = rows(noted.key.filter((value) => value !== undefined)).map(([types, ...values]) =>
            this.row(types, values)
          )
          // By the columns' collations it may be a row with another key.
          const now = found.find((row) => keyOf(row, key) === id)
          const change = difference(noted, now, key)
          if (change !== undefined) {
            yield { ...change, table, indirect }
          }
        }
      } finally {
        query.close()
      }
    }
    return undefined
  }
}

/** Takes away the triggers that a rollback has brought back after their recording had ended. */
export const dropLeft = (connection: Connection, isOpen: (id: number) => boolean): void => {
  const left = queryRows(connection, "select name from temp.sqlite_schema where type = 'trigger'").filter(([name]) => {
    const id = /^sluice_record_(\d+)_/.exec(name as string)?.[1]
    return id !== undefined && !isOpen(Number(id))
  })
  connection.execOwn(left.map(([name]) => `DROP TRIGGER temp.${quoted(name as string)}`).join(";\n"))
}

const difference = (
  { before, key: keyValues }: Noted,
  now: Row | undefined,
  key: ReadonlyArray<number>
): Omit<Change, "table" | "indirect"> | undefined => {
  if (before === undefined) {
    return now === undefined ? undefined : { operation: "insert", old: [], new: now }
  }
  if (now === undefined) {
    return { operation: "delete", old: before, new: [] }
  }
  const changed = key.map((place, i) => place === 0 && !same(before[i], now[i]))
  return changed.includes(true)
    ? {
        operation: "update",
        old: before.map((value, i) => (changed[i] ? value : keyValues[i])),
        new: now.map((value, i) => (changed[i] ? value : undefined))
      }
    : undefined
}
