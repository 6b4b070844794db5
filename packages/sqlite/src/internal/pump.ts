/**
 * The pump (`native/`): an addon that is also a SQLite extension. The carrier's SQLite loads it once and so hands over its
 * table of functions; from then on the pump opens connections of its own in that library.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import type { Loaded } from "./opening.js"
import type { Carrier } from "./carrier.js"
import { here, packageFolder, requireFrom } from "./packageFolder.js"
import type { Signals } from "./signals.js"

const require = requireFrom(here)

type Opaque<Name extends string> = { readonly _handle: Name }
export type Library = Opaque<"library">
export type ConnectionHandle = Opaque<"connection">
type StatementHandle = Opaque<"statement">
export type BackupHandle = Opaque<"backup">
export type BlobHandle = Opaque<"blob">
/** What the pump calls of ours; hooks and collations answer numbers. */
type Callback = (...args: ReadonlyArray<unknown>) => unknown

/** What the addon exports (`native/js_*.c`). Errors thrown have SQLite's extended result code as `code`. */
export interface Pump extends Signals {
  /** Missing in pumps from before there was one. */
  readonly revision?: () => number
  readonly library: () => Library | undefined
  readonly address: (library: Library) => bigint
  readonly libraryAt: (address: bigint) => Library | undefined
  readonly version: (library: Library) => string
  readonly open: (
    library: Library,
    filename: string,
    readonly: boolean,
    create: boolean,
    words: Int32Array,
    progressSteps: number,
    busyTimeout: number
  ) => ConnectionHandle
  readonly close: (connection: ConnectionHandle) => void
  readonly setOption: (connection: ConnectionHandle, option: number, on: boolean) => void
  readonly setLimit: (connection: ConnectionHandle, limit: number, value: number) => void
  /** Answers whether this SQLite can be kept from copying expressions. */
  readonly restrict: (connection: ConnectionHandle) => boolean
  readonly start: (connection: ConnectionHandle, seq: number, slot: number) => number
  readonly end: (connection: ConnectionHandle) => void
  readonly check: (connection: ConnectionHandle) => number
  readonly exec: (connection: ConnectionHandle, text: string, own: boolean) => void
  readonly inTransaction: (connection: ConnectionHandle) => boolean
  readonly loadExtension: (connection: ConnectionHandle, path: string) => void
  readonly serialize: (connection: ConnectionHandle) => ArrayBuffer
  readonly assertReplaceable: (connection: ConnectionHandle) => void
  readonly deserialize: (connection: ConnectionHandle, image: Uint8Array) => void
  /** `own`: without asking an authorizer. */
  readonly prepare: (
    connection: ConnectionHandle,
    text: string,
    own: boolean
  ) =>
    | readonly [statement: StatementHandle, tail: string, parameterCount: number, readonly: boolean, routable: boolean]
    | undefined
  readonly columnCount: (statement: StatementHandle) => number
  readonly columns: (statement: StatementHandle) => ReadonlyArray<string | boolean | undefined>
  readonly bind: (statement: StatementHandle, bytes: Uint8Array, offset: number, count: number, keep: boolean) => number
  readonly fetch: (
    statement: StatementHandle,
    maxRows: number,
    out: Uint8Array,
    offset: number,
    capacity: number
  ) => number
  readonly batch: (
    statement: StatementHandle,
    bytes: Uint8Array,
    offset: number,
    parameters: number,
    rows: number,
    out: Uint8Array,
    outOffset: number,
    capacity: number
  ) => number
  readonly counters: (statement: StatementHandle) => ReadonlyArray<number>
  readonly reset: (statement: StatementHandle) => void
  readonly finalize: (statement: StatementHandle) => void
  readonly backup: (connection: ConnectionHandle, destination: string) => BackupHandle
  readonly backupStep: (backup: BackupHandle, pages: number) => boolean
  readonly backupRemaining: (backup: BackupHandle) => number
  readonly backupPageCount: (backup: BackupHandle) => number
  readonly backupFinish: (backup: BackupHandle) => void
  readonly openBlob: (
    connection: ConnectionHandle,
    schema: string,
    table: string,
    column: string,
    rowid: bigint,
    write: boolean
  ) => BlobHandle
  readonly blobSize: (blob: BlobHandle) => number
  readonly readBlob: (blob: BlobHandle, out: Uint8Array, offset: number, keep: boolean) => void
  readonly writeBlob: (blob: BlobHandle, bytes: Uint8Array, offset: number) => void
  readonly reopenBlob: (blob: BlobHandle, rowid: bigint) => void
  readonly closeBlob: (blob: BlobHandle) => void
  readonly setFunction: (
    connection: ConnectionHandle,
    name: string,
    arity: number,
    flags: number,
    kind: number,
    run: Callback | undefined
  ) => void
  readonly setCollation: (connection: ConnectionHandle, name: string, compare: Callback | undefined) => void
  readonly setTable: (
    connection: ConnectionHandle,
    name: string,
    schema: string,
    columns: number,
    parameters: number,
    run: Callback | undefined
  ) => void
  readonly setHook: (connection: ConnectionHandle, hook: number, run: Callback | undefined) => void
  readonly setChanges: (connection: ConnectionHandle, on: boolean) => void
  readonly takeChanges: (
    connection: ConnectionHandle
  ) => readonly [names: ReadonlyArray<string>, entries: ArrayBuffer, unknown: boolean] | undefined
}

/** A pump with the library that it works in. */
export interface LoadedPump {
  readonly pump: Pump
  readonly library: Library
  /** Where both are, for other threads. */
  readonly loaded: Loaded
}

const inLibrary = (path: string, pump: Pump, library: Library | undefined): LoadedPump | undefined =>
  library === undefined ? undefined : { pump, library, loaded: { pump: path, library: pump.address(library) } }

/**
 * Where a pump may lie, the best first; `SLUICE_SQLITE_PUMP` names one for tests. Of two for one platform, only the one for
 * its C library can be loaded.
 */
const candidates = (): Array<string> => {
  const platform = `${process.platform}-${process.arch}`
  const named = process.env.SLUICE_SQLITE_PUMP
  if (named !== undefined && named !== "") return [named]
  const paths = [`prebuilds/${platform}.node`, `prebuilds/${platform}.musl.node`, "native/build/pump.node"]
  return paths.map((path) => join(packageFolder(), path))
}

/** Of what this file shares with the pump (`REVISION` in native/pump.h): raise both with every change. */
const revision = 9

/** A pump that was built from other sources, as after a `git pull`. */
let stale: string | undefined

/** Why there is no usable pump, where one is there that does not fit; undefined otherwise. */
export const stalePump = (): string | undefined =>
  stale === undefined
    ? undefined
    : `the native pump ${stale} was built from other sources than this version: build both, with ` +
      '"npm run build" and "npm run prepare", or install the package again'

const loadFrom = (path: string, carrier: Pick<Carrier, "DatabaseSync">): LoadedPump | undefined => {
  try {
    const pump = require(path) as Pump
    if (pump.revision?.() !== revision) {
      stale = path
      return undefined
    }
    const database = new carrier.DatabaseSync(":memory:", { allowExtension: true })
    try {
      database.enableLoadExtension(true)
      database.loadExtension(path)
      return inLibrary(path, pump, pump.library())
    } finally {
      database.close()
    }
  } catch {
    // Not for this platform, or the carrier cannot: there is the portable engine.
    return undefined
  }
}

/** The pump in the carrier's library; undefined when there is none that can be used. */
export const load = (carrier: Pick<Carrier, "DatabaseSync">): LoadedPump | undefined => {
  for (const path of candidates()) {
    if (!existsSync(path)) continue
    const found = loadFrom(path, carrier)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * The same in what another thread has loaded. The carrier itself is not needed here: that saves its start, and a thread
 * that is terminated while it works for the carrier may take the process with it.
 */
export const adopt = ({ library, pump: path }: Loaded): LoadedPump | undefined => {
  const pump = require(path) as Pump
  return inLibrary(path, pump, pump.libraryAt(library))
}

let warned = false

/**
 * Loads pump and carrier on the calling thread. The main thread does so before it starts the first worker: a library
 * that only a worker has loaded is unmapped when that worker ends. `tell`: warns, once, of a pump that is there and does
 * not fit.
 */
export const pin = (carrier: Pick<Carrier, "DatabaseSync">, tell = false): LoadedPump | undefined => {
  const found = load(carrier)
  const reason = found === undefined ? stalePump() : undefined
  if (tell && reason !== undefined && !warned) {
    warned = true
    process.emitWarning(`@sluice/sqlite: ${reason}; the portable engine is used instead`)
  }
  return found
}
