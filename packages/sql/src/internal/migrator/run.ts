/** Applies what is pending, each migration in a transaction of its own that keeps other processes out. */
import type * as Upstream from "@effect/sql/Migrator"
import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Options, Step } from "../../Migrator.js"
import * as SqlClient from "../../SqlClient.js"
import * as SqlFailure from "../../SqlFailure.js"
import { called, fromLoader, MigrationError } from "./error.js"
import { list, type Listed, load } from "./load.js"
import { difference, make as plan } from "./plan.js"
import { open, type Table } from "./table.js"

/** Another process, or another fiber of this one, is at work. */
const isContended = SqlFailure.is("LockTimeout", "Serialization", "Deadlock", "UniqueViolation", "PoolTimeout")

/** Soon at first, then every second. */
const often = Schedule.jittered(Schedule.union(Schedule.exponential("20 millis"), Schedule.spaced("1 second")))

/** Migrations take as long as they take: whoever comes second waits for the lock again and again. */
const waiting = <A, E>(
  effect: Effect.Effect<A, E | SqlError>,
  limit: Duration.DurationInput
): Effect.Effect<A, E | SqlError | MigrationError> =>
  Effect.catchIf(
    Effect.retry(effect, {
      while: (error) => !(error instanceof MigrationError) && isContended(error),
      schedule: Schedule.upTo(often, limit)
    }),
    (error) => !(error instanceof MigrationError) && isContended(error),
    (cause) =>
      new MigrationError({
        reason: "locked",
        message:
          `Somebody else has kept the lock for ${Duration.format(limit)}, another process that migrates perhaps. ` +
          "Wait for it and run the migrator again, or raise lockTimeout",
        cause
      })
  )

/** `done`: all of it was run, and what failed is its COMMIT. */
const failed = (migration: Listed, error: unknown, done: boolean) =>
  new MigrationError({
    reason: "failed",
    message:
      `Migration ${called(migration)} ` +
      (done && SqlFailure.from(error).outcome !== "notExecuted"
        ? "was run, and whether it has been committed is not known. Run the migrator again: it sees whether it has"
        : SqlFailure.is("TransactionGone")(error)
          ? "failed, since its transaction ended before it did. If it has a COMMIT of its own, take that out, and look what it did"
          : "failed and was undone; those before it are kept. Mend it and run the migrator again") +
      (error instanceof Error && error.message !== "" ? `: ${error.message}` : ""),
    migration: { id: migration.id, name: migration.name },
    cause: error
  })

/** What a migration asks for is the client that runs it. */
const provided = (step: Step, sql: SqlClient.SqlClient): Effect.Effect<unknown, unknown> =>
  Effect.provideService(Effect.provideService(step, SqlClient.SqlClient, sql), EffectSql.SqlClient, sql)

/** False: another process had applied it when the lock was ours. */
const apply = (
  sql: SqlClient.SqlClient,
  table: Table,
  migration: Listed,
  step: Step
): Effect.Effect<boolean, SqlError | MigrationError> =>
  Effect.suspend(() => {
    // What fails before is the migrator's own and may be tried again; what fails from here on is the migration's.
    let begun = false
    let done = false
    const inside = Effect.gen(function* () {
      yield* table.lock
      const row = yield* table.row(migration.id)
      if (row !== undefined) {
        const changed = difference(migration, row)
        return changed === undefined ? false : yield* changed
      }
      yield* Effect.logDebug("Running migration")
      begun = true
      yield* provided(step, sql)
      yield* table.insert(migration)
      done = true
      return true
    })
    return Effect.catchAllCause(
      sql.withTransaction(inside),
      (cause): Effect.Effect<never, SqlError | MigrationError> => {
        if (!begun || Cause.isInterruptedOnly(cause)) {
          return Effect.failCause(cause as Cause.Cause<SqlError | MigrationError>)
        }
        return Effect.fail(failed(migration, Cause.squash(cause), done))
      }
    )
  }).pipe(Effect.annotateLogs({ migration_id: migration.id, migration_name: migration.name }))

export const run = <R>(
  options: Options<R>
): Effect.Effect<
  ReadonlyArray<readonly [id: number, name: string]>,
  MigrationError | SqlError,
  SqlClient.SqlClient | R
> =>
  Effect.gen(function* () {
    const { lockTimeout = "5 minutes", onChanged = "fail", onLate = "fail", table: name } = options
    const sql = yield* SqlClient.SqlClient
    const table = yield* open(sql.withoutTransforms(), name ?? "effect_sql_migrations")
    const migrations = yield* Effect.flatMap(
      Effect.mapError(options.loader as Effect.Effect<never, MigrationError | Upstream.MigrationError, R>, fromLoader),
      list
    )
    const applied = yield* waiting(table.applied, lockTimeout)
    const { pending, updates, warnings } = yield* plan(migrations, applied, { onChanged, onLate })
    const steps = yield* Effect.forEach(pending, load)
    yield* Effect.forEach(warnings, (warning) => Effect.logWarning(warning))
    if (updates.length > 0) {
      const all = Effect.forEach(updates, (row) => table.update(row), { discard: true })
      yield* waiting(sql.withTransaction(all), lockTimeout)
    }
    const done: Array<readonly [id: number, name: string]> = []
    for (const [i, migration] of pending.entries()) {
      if (yield* waiting(apply(sql, table, migration, steps[i]!), lockTimeout)) {
        done.push([migration.id, migration.name])
      }
    }
    yield* Effect.annotateLogs(Effect.logDebug("Migrations complete"), "migrations_applied", done.length)
    return done
  })
