/**
 * Records what is changed on a connection, as SQLite's session extension does (carriers do not let others call that):
 * for each row that is touched, by its primary key, what it was before the first change. A changeset compares that
 * with what the row is then.
 *
 * Temporary triggers hear of the changes. They tell a function of the worker the row before it is changed or deleted, and
 * those that an INSERT or UPDATE may displace, which have no trigger of their own: every row that has one of the new row's
 * unique values. To note one too many is harmless, as it has not changed.
 */
import { type Change, keyOf, type Row, same, type Table, type Value, write } from "../changeset/format.js"
import type { RecordingOptions } from "../boundary.js"
import { ResultCode } from "../resultCode.js"
import { type Connection, EngineError } from "./engine.js"
import { Query, queryRows } from "./queryRows.js"

/** Arguments of a SQL function (SQLITE_LIMIT_FUNCTION_ARG, 127 before 3.48), less our own three. */
const mostColumns = 124

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

interface UniqueKey {
  readonly name: string
  readonly collation: string | undefined
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
    readonly uniques: ReadonlyArray<ReadonlyArray<UniqueKey>>
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

/** By the first letters of `typeof`: a function gets 1 and 1.0 as the same number. */
const typed = (value: unknown, type: string | undefined): Value =>
  type === "i" ? BigInt(value as number | bigint) : type === "r" ? Number(value) : (value as Value)

/** Arguments that tell the columns of a row with their types. */
const told = (row: string, columns: ReadonlyArray<string>): string =>
  [
    columns.map((column) => `substr(typeof(${row}.${quoted(column)}), 1, 1)`).join(" || "),
    ...columns.map((column) => `${row}.${quoted(column)}`)
  ].join(", ")

export class Recorder {
  private readonly tables: ReadonlyArray<Recorded>
  private readonly name: string
  private readonly schema: string
  private closed = false

  constructor(
    private readonly connection: Connection,
    id: number,
    private readonly options: RecordingOptions
  ) {
    this.name = `sluice_record_${id}`
    this.schema = options.schema
    this.tables = this.find()
    connection.setFunction(
      { name: this.name, arity: -1, deterministic: false, directOnly: false, innocuous: false, shape: "scalar" },
      (index, present, types, ...values) => {
        if (this.closed) {
          return null
        }
        const row = values.map((value, i) => typed(value, (types as string)[i]))
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

  /** Those that were asked for, or all that have a primary key. */
  private find(): ReadonlyArray<Recorded> {
    const { connection, options, schema } = this
    const every = queryRows(
      connection,
      "select name from pragma_table_list where schema = ? and type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
      [schema]
    ).map(([name]) => name as string)
    const wanted = options.tables?.map((name) => {
      const found = every.find((other) => other.toLowerCase() === name.toLowerCase())
      if (found === undefined) {
        throw new EngineError(ResultCode.error, `no such table: ${schema}.${name}`)
      }
      return found
    })
    return (wanted ?? every).flatMap((name) => {
      const columns = queryRows(connection, "select name, pk from pragma_table_info(?, ?)", [name, schema])
      if (columns.every(([, place]) => place === 0n)) {
        if (wanted === undefined) {
          return []
        }
        throw new EngineError(-1, `changes of ${name} cannot be recorded: it has no PRIMARY KEY`)
      }
      if (columns.length > mostColumns) {
        throw new EngineError(-1, `changes of ${name} cannot be recorded: it has more than ${mostColumns} columns`)
      }
      const names = columns.map(([column]) => column as string)
      const key = columns.map(([, place]) => Number(place))
      return [new Recorded(name, names, key, [names.filter((_, i) => key[i]! > 0).map(plain), ...this.uniques(name)])]
    })
  }

  /** The columns of its unique indexes. Of one over expressions those that are columns. */
  private uniques(table: string): ReadonlyArray<ReadonlyArray<UniqueKey>> {
    const indexes = queryRows(this.connection, `select name from pragma_index_list(?, ?) where "unique"`, [
      table,
      this.schema
    ])
    return indexes
      .map(([index]) =>
        queryRows(
          this.connection,
          "select name, coll from pragma_index_xinfo(?, ?) where key and name is not null order by seqno",
          [index, this.schema]
        ).map(([name, collation]) => ({ name: name as string, collation: collation as string }))
      )
      .filter((columns) => columns.length > 0)
  }

  private triggers(table: Recorded, index: number): ReadonlyArray<string> {
    const { columns, key, uniques } = table
    const at = `${quoted(this.schema)}.${quoted(table.name)}`
    const keys = columns.filter((_, i) => key[i]! > 0)
    const note = (present: 0 | 1, row: string) => `${this.name}(${index}, ${present}, ${told(row, columns)})`
    const displaced = uniques.map((unique) => {
      const equal = unique.map(
        ({ collation, name }) =>
          `its.${quoted(name)} = NEW.${quoted(name)}${collation === undefined ? "" : ` COLLATE ${quoted(collation)}`}`
      )
      return `SELECT ${note(1, "its")} FROM ${at} AS its WHERE ${equal.join(" AND ")};`
    })
    const moved = keys.map((name) => `OLD.${quoted(name)} IS NOT NEW.${quoted(name)}`).join(" OR ")
    const trigger = (name: string, event: string, body: ReadonlyArray<string>) =>
      `CREATE TEMP TRIGGER ${quoted(`${this.name}_${index}_${name}`)} ${event} BEGIN ${body.join(" ")} END`
    return [
      trigger("0", `BEFORE INSERT ON ${at}`, displaced),
      trigger("1", `AFTER INSERT ON ${at}`, [`SELECT ${note(0, "NEW")};`]),
      trigger("2", `BEFORE UPDATE ON ${at}`, [`SELECT ${note(1, "OLD")};`, ...displaced]),
      trigger("3", `AFTER UPDATE ON ${at} WHEN ${moved}`, [`SELECT ${note(0, "NEW")};`]),
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
    if (this.schema.toLowerCase() === "main") {
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
    if (this.tables.length > 0 && this.listening().length === 0) {
      throw new EngineError(
        -1,
        "nothing is recorded any more: the transaction that the recording was begun in was rolled back, the tables were " +
          "dropped, or the database was replaced (deserialize, or a backup into it)"
      )
    }
  }

  private *changes(patchset: boolean): Generator<Change, undefined> {
    const { indirect } = this.options
    for (const { columns, key, name, notes } of this.tables) {
      if (notes.size === 0) {
        continue
      }
      const table: Table = { name, key, patchset }
      const places = columns.flatMap((column, i) => (key[i]! > 0 ? [`${quoted(column)} = ?`] : []))
      const query = new Query(
        this.connection,
        `select ${columns.map(quoted).join(", ")} from ${quoted(this.schema)}.${quoted(name)} where ${places.join(" and ")}`
      )
      try {
        for (const noted of notes.values()) {
          const [now] = query.rows(noted.key.filter((value) => value !== undefined))
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

const plain = (name: string): UniqueKey => ({ name, collation: undefined })

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
