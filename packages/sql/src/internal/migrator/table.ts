/**
 * The table that remembers what was applied: `@effect/sql`'s own, with one more column for checksums.
 *
 * Here is all that depends on the database: how the table is created, and what keeps a second process out. A database
 * that is not here is refused before anything happens.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { SqlClient } from "../../SqlClient.js"
import * as SqlFailure from "../../SqlFailure.js"
import { MigrationError } from "./error.js"

/** What the table knows of a migration; no checksum where Effect SQL's migrator applied it. */
export interface Row {
  readonly id: number
  readonly name: string
  readonly checksum: string | undefined
}

interface Dialect {
  /** Type of the moment at which a migration was applied, filled in by the database. */
  readonly moment: string
  /**
   * Keeps other processes out until the transaction ends, run as its first statement; the table's name is its argument.
   * Undefined: beginning the transaction does it.
   */
  readonly lock: ((table: string) => string) | undefined
}

const dialects: Readonly<Record<string, Dialect>> = {
  // BEGIN IMMEDIATE takes the one write lock of the file.
  sqlite: { moment: "datetime NOT NULL DEFAULT current_timestamp", lock: undefined },
  pg: {
    moment: "timestamp with time zone NOT NULL DEFAULT now()",
    lock: (table) => `LOCK TABLE ${table} IN EXCLUSIVE MODE`
  },
  db2: {
    moment: "timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP",
    lock: (table) => `LOCK TABLE ${table} IN EXCLUSIVE MODE`
  }
}

/** The dialect that the client's compiler writes; for what it is not asked for here, nothing. */
const dialectOf = (sql: SqlClient): Dialect | undefined => {
  const known = Object.fromEntries(Object.entries(dialects).map(([name, dialect]) => [name, () => dialect]))
  return sql.onDialectOrElse<Dialect | undefined>({ ...known, orElse: () => undefined })
}

/** So answers a database that does not know a table or a column, or knows it already. */
const refused = SqlFailure.is("SqlSyntax")

type Found = ReadonlyArray<Row> | "absent" | "withoutChecksums"

export const open = (sql: SqlClient, name: string): Effect.Effect<Table, MigrationError> => {
  const dialect = dialectOf(sql)
  return dialect === undefined
    ? new MigrationError({
        reason: "unsupported",
        message:
          `Migrations need a lock and a table, which are written for ${Object.keys(dialects).join(", ")} only. ` +
          "For another database use @effect/sql's Migrator"
      })
    : Effect.succeed(new Table(sql, name, dialect))
}

export class Table {
  constructor(
    private readonly sql: SqlClient,
    private readonly name: string,
    private readonly dialect: Dialect
  ) {}

  private get table() {
    return this.sql(this.name)
  }

  /** What was applied. Nothing is written unless the table has to be made. */
  readonly applied: Effect.Effect<ReadonlyArray<Row>, SqlError> = Effect.suspend(() =>
    Effect.flatMap(this.find, (found) => (typeof found === "string" ? this.prepared : Effect.succeed(found)))
  )

  /**
   * In a transaction: asks again, since another process may have been faster. Where beginning keeps nobody out, it may be
   * faster even then: the table is there already, and what it holds is the answer.
   */
  private get prepared(): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    const made = this.sql.withTransaction(
      Effect.flatMap(this.find, (found) =>
        typeof found !== "string"
          ? Effect.succeed(found)
          : Effect.zipRight(
              found === "absent" ? this.create : this.sql`ALTER TABLE ${this.table} ADD COLUMN checksum VARCHAR(64)`,
              this.rows
            )
      )
    )
    return Effect.catchIf(made, refused, (error) =>
      Effect.flatMap(this.find, (found) => (typeof found === "string" ? Effect.fail(error) : Effect.succeed(found)))
    )
  }

  /** Unquoted column names: SQLite takes a quoted one that does not exist for a text. */
  private get rows(): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return Effect.map(
      this.sql<Stored>`SELECT migration_id, name, checksum FROM ${this.table} ORDER BY migration_id`,
      (rows) => rows.map(toRow)
    )
  }

  /** Savepoints inside of a transaction: in some databases a refused statement spoils it. */
  private get find(): Effect.Effect<Found, SqlError> {
    const attempt = <A>(effect: Effect.Effect<A, SqlError>) =>
      this.dialect.lock === undefined ? effect : this.sql.withTransaction(effect)
    return Effect.catchIf(attempt<Found>(this.rows), refused, () =>
      attempt(this.sql`SELECT migration_id FROM ${this.table}`).pipe(
        Effect.as<Found>("withoutChecksums"),
        Effect.catchIf(refused, () => Effect.succeed<Found>("absent"))
      )
    )
  }

  private get create(): Effect.Effect<unknown, SqlError> {
    return this.sql`CREATE TABLE ${this.table} (
  migration_id integer PRIMARY KEY NOT NULL,
  created_at ${this.sql.literal(this.dialect.moment)},
  name VARCHAR(255) NOT NULL,
  checksum VARCHAR(64)
)`
  }

  /** The first statement of a transaction that applies a migration. */
  get lock(): Effect.Effect<unknown, SqlError> {
    const { lock } = this.dialect
    if (lock === undefined) {
      return Effect.void
    }
    const [name] = this.sql`${this.table}`.compile()
    return this.sql.unsafe(lock(name))
  }

  row(id: number): Effect.Effect<Row | undefined, SqlError> {
    return Effect.map(
      this.sql<Stored>`SELECT migration_id, name, checksum FROM ${this.table} WHERE migration_id = ${id}`,
      ([row]) => (row === undefined ? undefined : toRow(row))
    )
  }

  insert({ checksum, id, name }: Row): Effect.Effect<unknown, SqlError> {
    return this
      .sql`INSERT INTO ${this.table} (migration_id, name, checksum) VALUES (${id}, ${name}, ${checksum ?? null})`
  }

  update({ checksum, id, name }: Row): Effect.Effect<unknown, SqlError> {
    return this.sql`UPDATE ${this.table} SET name = ${name}, checksum = ${checksum ?? null} WHERE migration_id = ${id}`
  }
}

interface Stored {
  readonly migration_id: number | bigint
  readonly name: string
  readonly checksum: string | null
}

const toRow = ({ checksum, migration_id, name }: Stored): Row => ({
  id: Number(migration_id),
  name,
  checksum: checksum ?? undefined
})
