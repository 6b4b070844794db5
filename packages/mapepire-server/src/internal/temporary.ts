/** The database of a server that was given none. Loaded only then: a gateway to another database needs no SQLite. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { SqlTransport } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A directory that goes with the scope. */
export const directory = (prefix: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), prefix))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )

/** A file, for each socket has a session of its own: in memory every one would be another, empty database. */
export const transport: Effect.Effect<SqlTransport.SqlTransport, never, Scope.Scope> = Effect.map(
  directory(`sluice-mapepire-${process.pid}-`),
  (path) => SqliteTransport.make({ filename: join(path, "sample.db") })
)
