/** What a migration run fails with; here, so that the modules beneath `Migrator` can make one. */
import type * as Upstream from "@effect/sql/Migrator"
import * as Data from "effect/Data"

/**
 * What a run fails with, beside a `SqlError` of the migrator's own statements.
 *
 * | reason | meaning | what to do |
 * | --- | --- | --- |
 * | `duplicates` | two migrations have one number | renumber one |
 * | `bad-state` | a key without a number; a number that was applied under another name; one that comes too late | see the message |
 * | `checksum` | an applied migration has changed since | undo the change, write a new migration |
 * | `import-error` | a migration cannot be read or imported, or is no Effect; none was run | mend the file |
 * | `failed` | a migration failed (`cause`) and was undone; those before it are kept | mend it, run again |
 * | `locked` | somebody else kept the lock longer than `lockTimeout` | wait, run again |
 * | `unsupported` | no lock is known for this kind of database | use `@effect/sql`'s Migrator |
 *
 * @since 0.1.0
 * @category errors
 */
export class MigrationError extends Data.TaggedError("MigrationError")<{
  readonly reason: "bad-state" | "import-error" | "failed" | "duplicates" | "locked" | "checksum" | "unsupported"
  readonly message: string
  readonly migration?: { readonly id: number; readonly name: string } | undefined
  readonly cause?: unknown
}> {}

/** A loader of `@effect/sql` fails with that package's error of the same name. */
export const fromLoader = (error: MigrationError | Upstream.MigrationError): MigrationError =>
  error instanceof MigrationError
    ? error
    : new MigrationError({
        reason: error.reason === "failed" ? "import-error" : error.reason,
        message: `The migrations could not be listed: ${error.message}`,
        cause: error
      })

/** How messages name a migration: as its file or key is called. */
export const called = ({ id, name }: { readonly id: number; readonly name: string }): string => `${id}_${name}`
