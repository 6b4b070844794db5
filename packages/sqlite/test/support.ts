/** What the tests of the whole client share: both engines, temporary files, failures as values, a look at what is left. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Worker } from "node:worker_threads"
import { describe } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Layer, type Scope } from "effect"

export type EngineName = "native" | "portable"

export const engines: ReadonlyArray<EngineName> = ["native", "portable"]

/** One group of tests per engine. */
export const onEngines = (name: string, body: (engine: EngineName) => void): void => {
  for (const engine of engines) {
    describe(`${name} (${engine})`, () => body(engine))
  }
}

/** The client on one engine; in memory unless the configuration names a file. */
export const layerOf = (engine: EngineName, config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
  SqliteClient.layer({ filename: ":memory:", ...config, engine })

const prefix = "sluice-test-"

/** A fresh directory, removed with its content when the scope closes. */
export const tempDirectory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), prefix))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** The path of a database file that does not exist yet, in a directory of its own. */
export const tempFile: Effect.Effect<string, never, Scope.Scope> = Effect.map(tempDirectory, (path) =>
  join(path, "test.db")
)

/** The client on a file of its own, which goes with it. */
export const layerOnFile = (engine: EngineName, config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
  Layer.unwrapScoped(Effect.map(tempFile, (filename) => layerOf(engine, { ...config, filename })))

/** The failure of an effect that fails; a success is a defect. */
export const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<SqlFailure.SqlFailure, never, R> =>
  Effect.flatMap(Effect.either(effect), (result) =>
    result._tag === "Left"
      ? Effect.succeed(SqlFailure.from(result.left))
      : Effect.dieMessage(`should have failed, but answered ${show(result.right)}`)
  )

const show = (value: unknown): string =>
  String(JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? `${part}n` : part))).slice(0, 200)

/** A statement that keeps a processor busy and never ends. */
export const spin = "with recursive spin(n) as (select 1 union all select n + 1 from spin) select count(*) from spin"

/** The same, for so many turns: some 5 million a second. */
export const spinFor = (turns: number): string =>
  `with recursive spin(n) as (select 1 union all select n + 1 from spin limit ${turns}) select count(*) as n from spin`

/** A statement that gives the rows `{ n: 1 } … { n: count }`. */
export const countTo = (count: number): string =>
  `with recursive up(n) as (select 1 union all select n + 1 from up limit ${count}) select n from up`

const workers = new Set<Worker>()
process.on("worker", (worker) => {
  workers.add(worker)
  worker.once("exit", () => workers.delete(worker))
})

/** Worker threads of this process that have not ended. */
export const workersAlive = (): number => workers.size

/** Files of temporary directories that this process has open. */
export const openFiles = (): Array<string> => {
  try {
    return readdirSync("/proc/self/fd")
      .map((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`)
        } catch {
          return ""
        }
      })
      .filter((path) => path.includes(prefix))
  } catch {
    return []
  }
}

/** Message ports and workers that keep the process alive. */
const resources = (): Array<string> =>
  process.getActiveResourcesInfo().filter((name) => name === "MessagePort" || name === "Worker")

const resourcesBefore = resources().length

/** Waits, five seconds at most, until a condition holds. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let wait = 0; !holds(); wait++) {
      if (wait >= 500) {
        return yield* Effect.dieMessage(`not within five seconds: ${what}`)
      }
      yield* Effect.sleep(10)
    }
  })

/** Asserts that no worker, message port or file is left once all clients of the test file are closed. */
export const leftovers: Effect.Effect<void> = Effect.suspend(() =>
  eventually(
    `nothing left (${workersAlive()} workers, files ${openFiles().join()}, ${resources().join()})`,
    () => workersAlive() === 0 && openFiles().length === 0 && resources().length <= resourcesBefore
  )
)

/** A worker's module with `stuck(path)`: nothing stops it while the file is there. */
export const stuckWhile = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { existsSync } from "node:fs"
    const word = new Int32Array(new SharedArrayBuffer(4))
    export const stuck = (path) => {
      while (existsSync(path)) Atomics.wait(word, 0, 0, 10)
      return 1
    }`)}`
)
