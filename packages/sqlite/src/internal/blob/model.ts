/** The public face of blob handles. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"

/** Which value is opened, and for what. */
export interface BlobOptions {
  readonly table: string
  readonly column: string
  readonly rowid: number | bigint
  /** The database that the table is in. Default `main`. */
  readonly schema?: string | undefined
  /** Whether it is to be written to, too. Default false. */
  readonly write?: boolean | undefined
}

/** What part of a value is read, and how. */
export interface BlobStreamOptions {
  /** Where it begins, in bytes. Default 0. */
  readonly offset?: number | undefined
  /** How much of it, in bytes. Default: to the end. */
  readonly length?: number | undefined
  /** Bytes of an element, but for the last. Default 262,144. */
  readonly chunkSize?: number | undefined
}

/**
 * One value of one row, read and written in parts; its size stays as it is. Offsets and lengths are in bytes and always
 * given, so that fibers can share a handle.
 *
 * Failures: `InvalidParameter` for what goes past the end, then nothing is read or written; `Closed` once the row has been
 * changed otherwise or deleted, and after a reopening that failed, until one that succeeds; `SessionLost` when the session
 * that it was opened on is gone.
 */
export interface Blob {
  /** In bytes. */
  readonly size: Effect.Effect<number, SqlError>
  readonly read: (offset: number, length: number) => Effect.Effect<Uint8Array, SqlError>
  /** Puts bytes in the place of others. Outside a transaction they are committed when this ends. */
  readonly write: (offset: number, bytes: Uint8Array) => Effect.Effect<void, SqlError>
  /** Goes on with the same column of another row: cheaper than another handle. */
  readonly reopen: (rowid: number | bigint) => Effect.Effect<void, SqlError>
  /** Its bytes in order; one element is in memory at a time. */
  readonly stream: (options?: BlobStreamOptions) => Stream.Stream<Uint8Array, SqlError>
  /** Writes what it takes, one after the other from an offset on (default 0); answers the offset behind the last byte. */
  readonly sink: (offset?: number) => Sink.Sink<number, Uint8Array, never, SqlError>
}

/** The part of a client that reads and writes parts of values. */
export interface Blobs {
  /**
   * Opens a value, a blob or a text, until the scope closes. It belongs to the writer's session: inside a transaction
   * it works in that. Fails with `InvalidParameter` when there is no such row, or NULL or a number in it, with
   * `Unsupported` for what SQLite does not open (views, tables WITHOUT ROWID, indexed columns for writing).
   *
   * Native engine only; the portable one fails with reason `Unsupported`.
   *
   * @example
   * ```ts
   * import { SqliteClient } from "@sluice/sqlite"
   * import { Effect, Stream } from "effect"
   *
   * const store = (id: number, size: number, content: Stream.Stream<Uint8Array>) =>
   *   Effect.gen(function*() {
   *     const sql = yield* SqliteClient.SqliteClient
   *     yield* sql`insert into files (id, content) values (${id}, zeroblob(${size}))`
   *     const blob = yield* sql.blob({ table: "files", column: "content", rowid: id, write: true })
   *     yield* Stream.run(content, blob.sink())
   *   }).pipe(Effect.scoped)
   * ```
   */
  readonly blob: (options: BlobOptions) => Effect.Effect<Blob, SqlError, Scope.Scope>
}
