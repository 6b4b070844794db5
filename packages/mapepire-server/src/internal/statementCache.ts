/** What is known of the statements of a connection, by their texts. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type { Db2Type } from "./db2/types.js"
import { parseType } from "./db2/types.js"
import { isDated, refused as dateArithmetic } from "./db2/dateArithmetic.js"
import { alwaysIn } from "./db2/constraints.js"
import { columnNotFound, type Db2Failure, generatedAlways, unsupported } from "./db2/failures.js"
import { backquoted } from "./db2/scan.js"
import type { Run, Statement } from "./db2/statement.js"
import { orRefused } from "./refused.js"

/** What such a statement says is put into its text, and is true only now. */
const ofTheMoment = /\bdb_transaction_info\b/i

/** A temporary table hides another one. */
const definition =
  "SELECT sql FROM (SELECT sql, 1 AS n, name FROM sqlite_temp_schema WHERE name = ? COLLATE NOCASE " +
  "UNION ALL SELECT sql, 2, name FROM sqlite_schema WHERE name = ? COLLATE NOCASE) ORDER BY n LIMIT 1"

const withDefault = "SELECT cid FROM pragma_table_info(?) WHERE dflt_value IS NOT NULL"

/** Least recently used out first. */
const maxEntries = 500

export interface Known {
  readonly statement: Statement
  /** Types of the markers, once they have been looked up. */
  types?: ReadonlyArray<Db2Type | undefined> | undefined
  /** The statement as the database describes it. */
  description?: SqlTransport.Description | undefined
  /** A query whose last answer was the whole result, and a short one. */
  brief?: boolean | undefined
  /** Columns with types, where the statement's own have none. */
  typed?: ReadonlyArray<SqlTransport.Column> | undefined
}

export type TableColumns = ReadonlyMap<string, SqlTransport.Column>

export class StatementCache {
  private readonly known = new Map<string, Known>()
  private readonly tables = new Map<string, TableColumns>()
  /** By table: its column that is GENERATED ALWAYS. */
  private readonly always = new Map<string, string | undefined>()

  constructor(
    private readonly session: SqlTransport.Session,
    private readonly read: (text: string) => Statement
  ) {}

  clear(): void {
    this.known.clear()
    this.tables.clear()
    this.always.clear()
  }

  /** Asks the database nothing. */
  find(text: string): Known | undefined {
    const known = this.known.get(text)
    if (known !== undefined) {
      this.known.delete(text)
      this.known.set(text, known)
    }
    return known
  }

  get(text: string): Effect.Effect<Known, Db2Failure> {
    return Effect.suspend(() => {
      const known = this.find(text)
      if (known !== undefined) {
        return Effect.succeed(known)
      }
      return Effect.flatMap(
        orRefused(() => this.read(text)),
        (statement) =>
          this.refuseDates(statement).pipe(
            Effect.zipRight(this.refuseRowNumbers(statement)),
            Effect.zipRight(this.refuseGenerated(statement)),
            Effect.zipRight(this.refuseDefaults(statement)),
            Effect.map(() => this.keep(text, { statement }))
          )
      )
    })
  }

  private keep(text: string, entry: Known): Known {
    if (!ofTheMoment.test(text)) {
      if (this.known.size >= maxEntries) {
        this.known.delete(this.known.keys().next().value!)
      }
      this.known.set(text, entry)
    }
    return entry
  }

  /** What is calculated with must not be dates; only the database knows its columns' types. */
  private refuseDates(statement: Statement): Effect.Effect<void, Db2Failure> {
    const { arithmetic = [], table } = statement._tag === "Run" ? statement : {}
    return table === undefined || arithmetic.length === 0
      ? Effect.void
      : Effect.flatMap(this.table(table), (columns) =>
          arithmetic.some((name) => isDated(parseType(columns.get(name)?.type ?? "")))
            ? Effect.fail(dateArithmetic)
            : Effect.void
        )
  }

  /** SQLite takes a few names for a row's number in any table that has no such column. */
  private refuseRowNumbers(statement: Statement): Effect.Effect<void, Db2Failure> {
    const used = statement._tag === "Run" ? statement.rowNumbers : undefined
    return used === undefined
      ? Effect.void
      : Effect.flatMap(
          Effect.forEach(used.tables, (name) => this.table(name)),
          (tables) => {
            const missing = used.names.find((name) => !tables.some((columns) => columns.has(name)))
            return missing === undefined ? Effect.void : Effect.fail(columnNotFound(missing))
          }
        )
  }

  /** SQLite's own generated numbers give way to any that is given. */
  private refuseGenerated(statement: Statement): Effect.Effect<void, Db2Failure> {
    const assigned = statement._tag === "Run" ? statement.assigned : undefined
    return assigned === undefined
      ? Effect.void
      : Effect.flatMap(this.generated(assigned.table), (column) =>
          column === undefined
            ? Effect.void
            : Effect.flatMap(this.table(assigned.table), (columns) => {
                const place = [...columns.keys()].indexOf(column)
                const given = assigned.columns?.some((of) => of === column || of === place) ?? true
                return given ? Effect.fail(generatedAlways(column)) : Effect.void
              })
        )
  }

  /** NULL is what DEFAULT means of a column that has no other. */
  private refuseDefaults(statement: Statement): Effect.Effect<void, Db2Failure> {
    const { defaults = [], table = "" } = (statement._tag === "Run" ? statement.assigned : undefined) ?? {}
    if (defaults.length === 0) {
      return Effect.void
    }
    const request = SqlTransport.request(withDefault, {
      params: [table],
      shape: "arrays",
      prefetch: 10_000,
      transaction: "free"
    })
    return Effect.matchEffect(this.session.run(request), {
      onFailure: () => Effect.void,
      onSuccess: (answer) =>
        answer.arrays().some(([place]) => defaults.includes(Number(place)))
          ? Effect.fail(unsupported("DEFAULT of such a column in an INSERT without a list of columns"))
          : Effect.void
    })
  }

  private generated(table: string): Effect.Effect<string | undefined> {
    if (this.always.has(table)) {
      return Effect.succeed(this.always.get(table))
    }
    const request = SqlTransport.request(definition, { params: [table, table], shape: "arrays", transaction: "free" })
    return Effect.match(this.session.run(request), {
      onFailure: () => undefined,
      onSuccess: (answer) => {
        const column = alwaysIn(String(answer.arrays()[0]?.[0] ?? ""))
        this.always.set(table, column)
        return column
      }
    })
  }

  /** A table's columns by their names in upper case; asks the database once. */
  table(name: string): Effect.Effect<TableColumns> {
    const found = this.tables.get(name)
    return found !== undefined
      ? Effect.succeed(found)
      : Effect.map(this.columns(`SELECT * FROM ${backquoted(name)}`), (columns) => {
          const byName = new Map(columns.map((column) => [column.name.toUpperCase(), column]))
          if (byName.size > 0) {
            this.tables.set(name, byName)
          }
          return byName
        })
  }

  /** Parameters and columns; asks the database once. */
  describe(entry: Known, run: Run): Effect.Effect<SqlTransport.Description, SqlError> {
    return entry.description === undefined
      ? Effect.tap(this.session.describe(run.text), (description) =>
          Effect.sync(() => (entry.description = description))
        )
      : Effect.succeed(entry.description)
  }

  /** The markers' types, of their casts or of their columns; undefined where neither is known. */
  types(entry: Known, run: Run): Effect.Effect<ReadonlyArray<Db2Type | undefined>> {
    if (entry.types !== undefined) {
      return Effect.succeed(entry.types)
    }
    const { columnQuery, markers = [] } = run
    const columns = columnQuery === undefined ? Effect.succeed([]) : this.columns(columnQuery.text)
    return Effect.map(columns, (found) => {
      entry.types = markers.map((marker, i) => {
        if (marker?._tag === "Typed") {
          return marker.type
        }
        const at = columnQuery?.indexes[i]
        const declared = at === undefined ? undefined : found[at]?.type
        return declared === undefined ? undefined : parseType(declared)
      })
      return entry.types
    })
  }

  /** Types for the columns of `FINAL TABLE`. */
  resultTypes(entry: Known, run: Run): Effect.Effect<ReadonlyArray<SqlTransport.Column> | undefined> {
    if (run.typeQuery === undefined || entry.typed !== undefined) {
      return Effect.succeed(entry.typed)
    }
    return Effect.tap(this.columns(run.typeQuery), (columns) => Effect.sync(() => (entry.typed = columns)))
  }

  /** A query that cannot be described tells nothing; what is wrong shows when the statement itself runs. */
  private columns(query: string): Effect.Effect<ReadonlyArray<SqlTransport.Column>> {
    return Effect.match(this.session.describe(query), {
      onFailure: () => [],
      onSuccess: ({ columns }) => columns
    })
  }
}
