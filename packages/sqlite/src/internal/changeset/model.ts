/** The public face of recorded changes. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { SqlValue } from "../parameterReader.js"

/** What is recorded. */
export interface ChangeSessionOptions {
  /** Tables whose changes are recorded; each must have a declared primary key. Default: all that have one by then. */
  readonly tables?: ReadonlyArray<string> | undefined
  /** The database that they are in. Default `main`. */
  readonly schema?: string | undefined
  /** Marks all changes as indirect: made by the program by itself, say, not by its user. Default false. */
  readonly indirect?: boolean | undefined
}

/** How changes are cut into elements of a stream. */
export interface BlockOptions {
  /** Bytes of an element, but for the last. Default 65,536. */
  readonly blockSize?: number | undefined
}

/**
 * Records which rows are changed on the writer, by whomever and in whatever transaction, until its scope closes.
 *
 * Everything it gives is what has come of the changes up to then: a row that was inserted and deleted again, or that a
 * rollback has put back, is not in it. Changesets hold the values before, too; patchsets only what is needed to apply them.
 */
export interface ChangeSession {
  readonly changeset: Effect.Effect<Uint8Array, SqlError>
  readonly patchset: Effect.Effect<Uint8Array, SqlError>
  /** The changeset in blocks. It is made at once when the stream begins. */
  readonly changesetStream: (options?: BlockOptions) => Stream.Stream<Uint8Array, SqlError>
  readonly patchsetStream: (options?: BlockOptions) => Stream.Stream<Uint8Array, SqlError>
  /** Whether nothing has changed. */
  readonly isEmpty: Effect.Effect<boolean, SqlError>
}

/** Values of a row by the names of its columns; an integer beyond 2^53 is a bigint. */
export type ChangedValues = Readonly<Record<string, SqlValue>>

/** A change that cannot be made as it is. */
export interface Conflict {
  /**
   * - `data`: the row is there, but holds other values than before the change (update, delete)
   * - `notFound`: the row is not there (update, delete)
   * - `conflict`: a row with this primary key is there already (insert)
   * - `constraint`: it would violate a constraint, also when it is tried again after all others
   */
  readonly type: "data" | "notFound" | "conflict" | "constraint"
  readonly table: string
  readonly operation: "insert" | "update" | "delete"
  readonly indirect: boolean
  /** What the row was before: its key, and of a changeset the columns that change; of a delete all of it. */
  readonly old: ChangedValues
  /** What it is to be: of an insert all of it, of an update the columns that change. */
  readonly new: ChangedValues
  /** The row that is in the way, `data` and `conflict` only. */
  readonly current: ChangedValues | undefined
}

/**
 * - `omit`: leaves the change out
 * - `replace`: makes it all the same, of `data` and `conflict` only: another failure otherwise
 * - `abort`: makes none of the changes
 */
export type Resolution = "omit" | "replace" | "abort"

/** How changes are applied. */
export interface ApplyOptions<E = never, R = never> {
  /** Asked for each conflict, within the transaction that applies the changes. A failure undoes all. Default: `abort`. */
  readonly onConflict?: ((conflict: Conflict) => Effect.Effect<Resolution, E, R>) | undefined
  /** Tables whose changes are made. Default: all. */
  readonly filter?: ((table: string) => boolean) | undefined
  /** The database that the tables are in. Default `main`. */
  readonly schema?: string | undefined
}

/** What became of the changes. */
export interface Applied {
  readonly applied: number
  /** Of those applied, the ones that took the place of something else. */
  readonly replaced: number
  /** Left out for a conflict. */
  readonly omitted: number
}

/** The part of a client that records changes and applies them. */
export interface Changesets {
  /**
   * Begins to record changes of the writer as changesets: the format of SQLite's session extension, which all its
   * tools read. Tables that are made later are not recorded, nor are those without a primary key and virtual ones.
   *
   * It works by temporary triggers, on both engines: a write of a recorded table takes some microseconds more per row, and a
   * recorded column cannot be dropped meanwhile. Begun inside a transaction that is rolled back, it fails with `Unsupported`
   * from then on; so it does when the database is replaced (`deserialize`), and when a recorded table is dropped, renamed,
   * made anew, or gets a column or a unique index. A key that becomes one that is the same for its
   * collation only, such as `A` that becomes `a`, is told as a delete and an insert.
   *
   * @example
   * ```ts
   * import { SqliteClient } from "@sluice/sqlite"
   * import { Effect } from "effect"
   *
   * const changesOf = (edit: Effect.Effect<void>) =>
   *   Effect.gen(function*() {
   *     const sql = yield* SqliteClient.SqliteClient
   *     const session = yield* sql.changeSession({ tables: ["people"] })
   *     yield* edit
   *     return yield* session.changeset
   *   }).pipe(Effect.scoped)
   * ```
   */
  readonly changeSession: (options?: ChangeSessionOptions) => Effect.Effect<ChangeSession, SqlError, Scope.Scope>
  /**
   * Makes the changes of a changeset or patchset, all or none: in a transaction of its own, or a savepoint of one.
   * Foreign keys are looked at when that transaction commits; their actions do not act on what is applied, which has done
   * them already. Triggers fire. Fails with `InvalidParameter` for bytes that are no changeset
   * and for tables that are not as they were, with `Constraint` when a conflict was answered with `abort`.
   */
  readonly applyChangeset: <E2 = never, R2 = never, E = never, R = never>(
    changeset: Uint8Array | Stream.Stream<Uint8Array, E2, R2>,
    options?: ApplyOptions<E, R>
  ) => Effect.Effect<Applied, SqlError | E | E2, R | R2>
}
