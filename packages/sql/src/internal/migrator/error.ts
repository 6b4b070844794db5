/** What a migration run fails with; here, so that the modules beneath `Migrator` can make one. */
import type * as Upstream from "@effect/sql/Migrator"
import * as Data from "effect/Data"

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
