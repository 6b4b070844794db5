/**
 * Migrations: numbered programs that bring a database up to date, each of them run once.
 *
 * The loaders are those of `@effect/sql`'s Migrator, and so is the table (`effect_sql_migrations`, with one more column): a
 * program may change over from it, and back. What is different: every migration has a transaction of its own, whatever
 * goes wrong is a `MigrationError` and never a defect, a migration that was changed after it was applied is noticed, and
 * of processes that start together each migration is run by one.
 *
 * @since 0.1.0
 */
import type { FileSystem } from "@effect/platform/FileSystem"
import type * as Upstream from "@effect/sql/Migrator"
import type * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { MigrationError } from "./internal/migrator/error.js"
import * as loaders from "./internal/migrator/loaders.js"
import * as internal from "./internal/migrator/run.js"
import type { SqlClient } from "./SqlClient.js"

export { MigrationError }

/**
 * What a migration does. Its client is the one that the migrator was given; it is in a transaction.
 *
 * @since 0.1.0
 * @category models
 */
export type Step = Effect.Effect<unknown, unknown, SqlClient | EffectSql.SqlClient>

/**
 * A migration in a record: a text of SQL, an Effect, or an Effect with a checksum of your own (any text that you change
 * with it, a version say).
 *
 * @since 0.1.0
 * @category models
 */
export type Migration = string | Step | { readonly run: Step; readonly checksum: string }

/**
 * A migration as loaders give it: `@effect/sql`'s triple, and a checksum where one can be known without running it.
 *
 * @since 0.1.0
 * @category models
 */
export type ResolvedMigration = readonly [
  id: number,
  name: string,
  load: Effect.Effect<unknown, unknown, SqlClient | EffectSql.SqlClient>,
  checksum?: string | undefined
]

/**
 * Lists the migrations. Every loader for `@effect/sql`'s Migrator is one.
 *
 * @since 0.1.0
 * @category models
 */
export type Loader<R = never> = Effect.Effect<
  ReadonlyArray<ResolvedMigration>,
  MigrationError | Upstream.MigrationError,
  R
>

/**
 * Options of a run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> {
  readonly loader: Loader<R>
  /** The table of what was applied. Default `effect_sql_migrations`. */
  readonly table?: string | undefined
  /** How long to wait for another process that migrates, each time the lock is needed. Default 5 minutes. */
  readonly lockTimeout?: Duration.DurationInput | undefined
  /**
   * What to do about an applied migration that has another checksum, or another name, by now: `fail` (the default),
   * `warn` in the log and go on, or `accept` it and remember it as it is now. In no case is it run again.
   */
  readonly onChanged?: "fail" | "warn" | "accept" | undefined
  /**
   * What to do about a migration that was never applied although one with a higher number was: `fail` (the default),
   * `run` it, or `skip` it silently, as `@effect/sql`'s Migrator does.
   */
  readonly onLate?: "fail" | "run" | "skip" | undefined
}

/**
 * Applies what is pending, in order of numbers, and answers what this call has applied.
 *
 * Each migration runs in a transaction of its own, which also remembers that it was applied: it is there as a whole or
 * not at all, also when the process is killed. That transaction is the lock, too: of processes that start together, one
 * runs a migration and the others wait for it (`lockTimeout`). With nothing pending nothing is written.
 *
 * @example
 * ```ts
 * import { Migrator, SqlClient } from "@sluice/sql"
 * import { Effect } from "effect"
 *
 * const migrate = Migrator.run({
 *   loader: Migrator.fromRecord({
 *     "1_people": "create table people(id integer primary key, name text not null)",
 *     "2_names": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`update people set name = trim(name)`)
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const run: <R = never>(
  options: Options<R>
) => Effect.Effect<ReadonlyArray<readonly [id: number, name: string]>, MigrationError | SqlError, SqlClient | R> =
  internal.run

/**
 * The same when a layer is built: put it over the client's, and what depends on it finds an up-to-date database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(options: Options<R>): Layer.Layer<never, MigrationError | SqlError, SqlClient | R> =>
  Layer.effectDiscard(run(options))

/**
 * From a record whose keys are `<number>_<name>`; another key is a failure. Texts of SQL have a checksum, Effects have the
 * one that you give or none: nothing can be known of an Effect without running it.
 *
 * @since 0.1.0
 * @category loaders
 */
export const fromRecord: (migrations: Readonly<Record<string, Migration>>) => Loader = loaders.fromRecord

/**
 * From what `import.meta.glob` gives: modules `<number>_<name>.ts` (or `.js`, …) whose default export is the Effect.
 *
 * Give the sources (`import.meta.glob` with `query: "?raw"`, `import: "default"`, `eager: true`), under the same keys, to
 * have checksums.
 *
 * @since 0.1.0
 * @category loaders
 */
export const fromGlob: (
  modules: Readonly<Record<string, () => Promise<unknown>>>,
  sources?: Readonly<Record<string, string>>
) => Loader = loaders.fromGlob

/**
 * From what babel's glob import gives: keys `_<number>_<name>`. These have no checksums.
 *
 * @since 0.1.0
 * @category loaders
 */
export const fromBabelGlob: (modules: Readonly<Record<string, unknown>>) => Loader = loaders.fromBabelGlob

/**
 * From the files of a directory: modules `<number>_<name>.ts` (or `.js`, …) whose default export is the Effect, and texts
 * `<number>_<name>.sql`. Other files are left alone. The checksum is of a file's content as it is there, line ends aside.
 *
 * A database that is migrated by the sources here and by what they were compiled to there sees two different contents:
 * use one of them for it, or `.sql` files.
 *
 * @since 0.1.0
 * @category loaders
 */
export const fromFileSystem: (directory: string) => Loader<FileSystem> = loaders.fromFileSystem
