/** Ever more readers of one file, each with a thread of its own. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SqliteClient } from "@sluice/sqlite"
import { Effect } from "effect"
import { fastest, growth } from "../growth.mjs"

export default growth({
  name: "growth-sessions",
  title: "Opening a file with ever more readers, using each once and closing them",
  axis: "readers",
  label: "per session",
  unit: "ms",
  sizes: [1, 2, 4, 8, 16, 32, 64],
  run: async (readers) => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"))
    try {
      const use = Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`select 1`
        // The first run of a text is the writer's; from then on readers share it.
        yield* Effect.replicateEffect(sql`select 1`, readers * 4, { concurrency: "unbounded", discard: true })
      }).pipe(Effect.provide(SqliteClient.layer({ filename: join(directory, "a.db"), readers })))
      return { figure: (await fastest(3, () => Effect.runPromise(use))) / (readers + 1) }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
})
