/**
 * Changesets and patchsets as values: bytes in the format of SQLite's session extension, recorded by
 * `sql.changeSession`, made by `sql.applyChangeset`. What is here needs no database.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import { attempt } from "./internal/changeset/apply.js"
import * as combine from "./internal/changeset/combine.js"
import { type Change, RawText, read, type Row, type Table, type Value } from "./internal/changeset/format.js"

export type { Change, Row, Table, Value }
export { RawText }

/**
 * The changes, in their order. INTEGER values are bigints, REAL values numbers; a text that is not UTF-8 is a `RawText`.
 * Fails with `InvalidParameter` for bytes that are no changeset.
 *
 * @since 0.1.0
 * @category accessors
 */
export const changes = (changeset: Uint8Array): Effect.Effect<ReadonlyArray<Change>, SqlError> =>
  attempt(() => Array.from(read(changeset)))

/**
 * The changeset that undoes this one. Fails with `InvalidParameter` for a patchset, which does not tell what was before.
 *
 * @example
 * ```ts
 * import { Changeset, SqliteClient } from "@sluice/sqlite"
 * import { Effect } from "effect"
 *
 * const undo = (changeset: Uint8Array) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqliteClient.SqliteClient
 *     return yield* sql.applyChangeset(yield* Changeset.invert(changeset))
 *   })
 * ```
 *
 * @since 0.1.0
 * @category combining
 */
export const invert = (changeset: Uint8Array): Effect.Effect<Uint8Array, SqlError> =>
  attempt(() => combine.invert(changeset))

/**
 * One changeset that does what these do one after the other; what they do to the same row becomes one change. All of them
 * must be changesets, or all patchsets, and agree on the columns of their tables; else it fails with `InvalidParameter`.
 *
 * @since 0.1.0
 * @category combining
 */
export const concat = (...changesets: ReadonlyArray<Uint8Array>): Effect.Effect<Uint8Array, SqlError> =>
  attempt(() => combine.concat(changesets))
