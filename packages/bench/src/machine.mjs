/** On what was measured: the machine, and the versions of everything compared. */
import { readFileSync } from "node:fs"
import { cpus, loadavg, release, totalmem } from "node:os"
import { Effect } from "effect"
import { aiosqliteVersion } from "./aio/clients.mjs"
import { withClient } from "./sluice.mjs"

const version = (folder) =>
  JSON.parse(readFileSync(new URL(`../${folder}/package.json`, import.meta.url), "utf8")).version

const peers = ["@effect/sql-sqlite-node", "@ibm/mapepire-js", "libsql", "sqlite3", "effect"]

export const describeMachine = async () => {
  const { Database } = await import("../peers/index.mjs")
  const engine = await withClient({ filename: ":memory:" }, (sql) => Effect.succeed(sql.engine))
  const sqlite = new Database(":memory:").prepare("select sqlite_version()").pluck().get()
  return {
    date: new Date().toISOString(),
    node: process.version,
    machine: `${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${release()}`,
    load: loadavg()
      .map((load) => load.toFixed(2))
      .join(" "),
    sluice: `${version("../sqlite")} (${engine.kind} engine, SQLite ${engine.version})`,
    "better-sqlite3": `${version("peers/node_modules/better-sqlite3")} (SQLite ${sqlite})`,
    ...Object.fromEntries(peers.map((name) => [name, version(`peers/node_modules/${name}`)])),
    aiosqlite: aiosqliteVersion() ?? "not installed (Debian: python3-aiosqlite)"
  }
}
