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
import { OwnCode } from "../resultCode.js"
import { type Connection, EngineError } from "./engine.js"
import { Query, queryRows } from "./queryRows.js"
import { type RecordedTable, RecordedTables, told, triggersOfTable } from "./recordedTables.js"

interface Noted {
  /** Undefined: there was no row with this key. */
  readonly before: Row | undefined
  /** Its key's values, the others undefined. */
  readonly key: Row
}

class Recorded {
  readonly notes = new Map<string, Noted>()

  constructor(readonly table: RecordedTable) {}

  note(present: boolean, row: Row): void {
    const { key } = this.table
    // As SQLite has it: what has NULL in its key cannot be told from others.
    if (row.some((value, i) => key[i]! > 0 && value === null)) {
      return
    }
    const id = keyOf(row, key)
    if (!this.notes.has(id)) {
      const values = row.map((value, i) => (key[i]! > 0 ? value : undefined))
      this.notes.set(id, { before: present ? row : undefined, key: values })
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

export class Recorder {
  private readonly source: RecordedTables
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
    this.source = new RecordedTables(connection, this.schema)
    this.tables = this.source.find(options.tables).map((table) => new Recorded(table))
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
      connection.execOwn(
        this.tables.flatMap(({ table }, index) => this.source.triggers(this.name, table, index)).join(";\n")
      )
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
    this.tables.forEach(({ table: { name, shape } }, index) => {
      const own = `${this.name}_${index}_`
      if (
        listening.filter((trigger) => trigger.startsWith(own)).length < triggersOfTable ||
        this.source.shape(name) !== shape
      ) {
        throw new EngineError(
          OwnCode.failed,
          `nothing is recorded any more of ${name}: the transaction that the recording was begun in was rolled back, the ` +
            "table was dropped, renamed or altered or got a unique index, or the database was replaced (deserialize, or a " +
            "backup into it)"
        )
      }
    })
  }

  private *changes(patchset: boolean): Generator<Change, undefined> {
    const { indirect } = this.options
    for (const {
      notes,
      table: { columns, key, name }
    } of this.tables) {
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
