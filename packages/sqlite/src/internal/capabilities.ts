/** What each engine has. One line per capability: `true`, or why not. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"

const needsPump = "it needs the native engine: the portable one goes through an API that does not have it"
const noTime =
  "a file system is the whole process's, and SQLite calls it within every step: no Effect could answer in time"
const ownTokens =
  "SQLite calls it for each text, and it answers by callbacks of its own: use one in C, by loadExtension"
const ownPointers = "it works on pointers that are valid within one call only: use one in C, by loadExtension"
const noHandle = "it is not among the functions that SQLite gives to extensions: read within `sql.snapshot`"
const ownRows = "rows come as Streams: map, filter or tap those"

/** What the native engine has, and what the portable one. Named after the member of the client, where there is one. */
export const table = {
  /** Interrupts, deadlines and `interrupt` end a statement that computes without giving rows. */
  stopInside: [true, "it stops between rows only; a statement that does not stop costs its session after `grace`"],
  readers: [true, true],
  batch: [true, true],
  explain: [true, true],
  counters: [true, needsPump],
  backup: [true, true],
  serialize: [true, true],
  deserialize: [true, needsPump],
  blob: [true, needsPump],
  snapshot: [true, true],
  /** A state of the database that is opened again later, `sqlite3_snapshot_get`. */
  snapshotHandle: [noHandle, noHandle],
  changeSession: [true, true],
  applyChangeset: [true, true],
  loadExtension: [true, true],
  function: [true, true],
  aggregate: [true, true],
  window: [true, needsPump],
  tableFunction: [true, needsPump],
  collation: [true, needsPump],
  collationNeeded: [true, needsPump],
  authorizer: [true, needsPump],
  busyHandler: [true, needsPump],
  progressHandler: [true, needsPump],
  updateHook: [true, needsPump],
  commitHook: [true, needsPump],
  rollbackHook: [true, needsPump],
  walHook: [true, needsPump],
  autovacuumPages: [true, needsPump],
  trace: [true, needsPump],
  profile: [true, needsPump],
  changes: [true, needsPump],
  workerModule: [true, true],
  runInWorker: [true, true],
  /** Functions that say of themselves that an untrusted schema may call them. */
  innocuous: [true, needsPump],
  layerUntrusted: [true, "it stops between rows only, and strangers ask for statements that compute for ever"],
  /** Called for each row before it reaches the program, which may change or drop it. */
  rowTracer: [ownRows, ownRows],
  /** A file system of the program's own. */
  vfs: [noTime, noTime],
  fts5Tokenizer: [ownTokens, ownTokens],
  fts5Function: [ownPointers, ownPointers]
} as const satisfies Readonly<Record<string, readonly [native: true | string, portable: true | string]>>

/** What an engine may have or not, named after the client's member, where there is one. */
export type Capability = keyof typeof table

/** Whether the engine at hand has it. */
export type Capabilities = Readonly<Record<Capability, boolean>>

/** What only tells of the engine, and asks nothing of SQLite. */
export interface CapabilityFace {
  /**
   * What the engine at hand can do: what is `false` here fails with reason `Unsupported` wherever it is tried.
   */
  readonly capabilities: Capabilities
  /**
   * Fails with reason `Unsupported`, and why, unless the engine has all of these. For programs that would rather not
   * start: `sql.require("changes", "window")`.
   */
  readonly require: (...capabilities: ReadonlyArray<Capability>) => Effect.Effect<void, SqlError>
}

export const names = Object.keys(table) as ReadonlyArray<Capability>

export const make = (engine: "native" | "portable"): CapabilityFace => {
  const why = (name: Capability) => table[name][engine === "native" ? 0 : 1]
  return {
    capabilities: Object.fromEntries(names.map((name) => [name, why(name) === true])) as Capabilities,
    require: (...capabilities) =>
      Effect.suspend(() => {
        const missing = [...new Set(capabilities)].filter((name) => why(name) !== true)
        if (missing.length === 0) return Effect.void
        const reasons = [...new Set(missing.map(why))].map(
          (reason) => `${missing.filter((name) => why(name) === reason).join(", ")}: ${reason}`
        )
        const message = `The ${engine} engine has no ${reasons.join("; no ")}`
        return Effect.fail(SqlFailure.make({ reason: "Unsupported", message }))
      })
  }
}
