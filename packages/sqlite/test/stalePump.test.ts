import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { tempDirectory } from "./support.js"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const href = (path: string) => JSON.stringify(pathToFileURL(join(root, path)).href)

/** Opens a database in a process of its own, with a pump that answers another revision, or none. */
const run = (engine: string, pump: string) =>
  Effect.map(tempDirectory, (directory) => {
    const path = join(directory, "pump.cjs")
    writeFileSync(path, pump)
    const program = join(directory, "program.mjs")
    writeFileSync(
      program,
      `import { SqlFailure } from ${href("packages/sql/dist/index.js")}
import { SqliteClient } from ${href("packages/sqlite/dist/index.js")}
import { Effect } from ${href("node_modules/effect/dist/esm/index.js")}
const kind = Effect.map(SqliteClient.SqliteClient, (sql) => sql.engine.kind)
const open = () => Effect.provide(kind, SqliteClient.layer({ filename: ":memory:", engine: "${engine}" }))
const told = Effect.zipRight(open(), open()).pipe(
  Effect.catchAll((error) => Effect.succeed(SqlFailure.from(error).reason + " " + error.message))
)
Effect.runPromise(told).then((text) => console.log(text))
`
    )
    const { status, stderr, stdout } = spawnSync(process.execPath, [program], {
      encoding: "utf8",
      env: { ...process.env, SLUICE_SQLITE_PUMP: path }
    })
    return { status, stdout: stdout.trim(), warnings: stderr.split("\n").filter((line) => line.includes("Warning")) }
  })

describe("a pump that was built from other sources", () => {
  for (const [name, pump] of [
    ["one without a revision", "exports.library = () => {}"],
    ["one of another revision", "exports.revision = () => -1"]
  ] as const) {
    it.scopedLive(`${name}: the portable engine, and one line that says what to do`, () =>
      Effect.map(run("auto", pump), ({ status, stdout, warnings }) => {
        assert.deepStrictEqual([status, stdout], [0, "portable"])
        assert.strictEqual(warnings.length, 1)
        assert.match(warnings[0]!, /pump\.cjs was built from other sources.*npm run build.*npm run prepare.*portable/)
      })
    )

    it.scopedLive(`${name}: the typed open error, where the native engine is asked for`, () =>
      Effect.map(run("native", pump), ({ status, stdout, warnings }) => {
        assert.strictEqual(status, 0)
        assert.match(stdout, /^Connection .*built from other sources.*npm run build.*npm run prepare/)
        assert.deepStrictEqual(warnings, [])
      })
    )
  }

  it.scopedLive("nobody is told who has asked for the portable engine", () =>
    Effect.map(run("portable", "exports.revision = () => -1"), ({ stdout, warnings }) => {
      assert.strictEqual(stdout, "portable")
      assert.deepStrictEqual(warnings, [])
    })
  )
})
