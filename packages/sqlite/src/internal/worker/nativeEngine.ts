/**
 * The engine over the pump (`native/`): an addon that is also a SQLite extension. The carrier's SQLite loads it once and
 * so hands over its table of functions; from then on the pump opens connections of its own in that library.
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { hookKinds, limitNames, type Loaded, type Safety } from "../boundary.js"
import type { Signals } from "../signals.js"
import type { Carrier } from "./carrier.js"
import type { Backup, Blob, Callback, Connection, Engine, OpenOptions, Prepared, TableDefinition } from "./engine.js"
import { EngineError } from "./engine.js"
import { firstStatement } from "../split.js"
import { prepareLimited } from "./limitedWrites.js"

type Opaque<Name extends string> = { readonly _handle: Name }
type Library = Opaque<"library">
type ConnectionHandle = Opaque<"connection">
type StatementHandle = Opaque<"statement">
type BackupHandle = Opaque<"backup">
type BlobHandle = Opaque<"blob">

/** What the addon exports (`native/js_*.c`). Errors thrown have SQLite's extended result code as `code`. */
interface Pump extends Signals {
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
  readonly restrict: (connection: ConnectionHandle) => void
  readonly start: (connection: ConnectionHandle, seq: number, slot: number) => number
  readonly end: (connection: ConnectionHandle) => void
  readonly check: (connection: ConnectionHandle) => number
  readonly exec: (connection: ConnectionHandle, text: string, own: boolean) => void
  readonly inTransaction: (connection: ConnectionHandle) => boolean
  readonly loadExtension: (connection: ConnectionHandle, path: string) => void
  readonly serialize: (connection: ConnectionHandle) => ArrayBuffer
  readonly assertReplaceable: (connection: ConnectionHandle) => void
  readonly deserialize: (connection: ConnectionHandle, image: Uint8Array) => void
  readonly prepare: (
    connection: ConnectionHandle,
    text: string
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

/** Of https://www.sqlite.org/c3ref/c_deterministic.html */
const deterministic = 0x800
const directOnly = 0x80000
const innocuous = 0x200000

/** Of https://www.sqlite.org/c3ref/c_dbconfig_defensive.html */
const Option = { defensive: 1010, doubleQuotedInData: 1013, doubleQuotedInSchema: 1014, trustedSchema: 1017 } as const

const protect = (pump: Pump, handle: ConnectionHandle, safety: Safety): void => {
  pump.setOption(handle, Option.defensive, safety.defensive)
  pump.setOption(handle, Option.trustedSchema, safety.trustedSchema)
  pump.setOption(handle, Option.doubleQuotedInData, safety.doubleQuotedStrings)
  pump.setOption(handle, Option.doubleQuotedInSchema, safety.doubleQuotedStrings)
  limitNames.forEach((name, i) => {
    const limit = safety.limits[name]
    if (limit !== undefined) pump.setLimit(handle, i, limit)
  })
}

/** In the order of `FunctionKind` in native/pump.h. */
const functionKinds = ["scalar", "aggregate", "window"]

const attempt = <A>(run: () => A): A => {
  try {
    return run()
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "number") {
      throw new EngineError(error.code, error.message)
    }
    throw error
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** What SQLite is told of a table function: its parameters are hidden columns. */
const tableSchema = ({ columns, parameters }: TableDefinition): string =>
  `CREATE TABLE t(${[...columns.map(quoted), ...parameters.map((name) => `${quoted(name)} HIDDEN`)].join(", ")})`

const makeBackup = (pump: Pump, handle: BackupHandle): Backup => ({
  atOnce: false,
  step: (pages) => attempt(() => pump.backupStep(handle, pages)),
  remaining: () => pump.backupRemaining(handle),
  pageCount: () => pump.backupPageCount(handle),
  finish: () => pump.backupFinish(handle)
})

const makeBlob = (pump: Pump, handle: BlobHandle): Blob => ({
  size: () => pump.blobSize(handle),
  read: (out, offset, keep) => attempt(() => pump.readBlob(handle, out, offset, keep)),
  write: (bytes, offset) => attempt(() => pump.writeBlob(handle, bytes, offset)),
  reopen: (rowid) => attempt(() => pump.reopenBlob(handle, rowid)),
  close: () => pump.closeBlob(handle)
})

const makePrepared = (
  pump: Pump,
  [handle, tail, parameterCount, readonly, routable]: NonNullable<ReturnType<Pump["prepare"]>>
): Prepared => ({
  tail,
  parameterCount,
  readonly,
  routable,
  columnCount: () => pump.columnCount(handle),
  columns: () => {
    const flat = pump.columns(handle)
    return Array.from({ length: flat.length / 3 }, (_, i) => {
      const [name, type, nullable] = flat.slice(3 * i, 3 * i + 3) as [string | undefined, string | undefined, boolean]
      return { name: name ?? "", type, nullable: nullable || undefined }
    })
  },
  bind: (bytes, offset, count, keep) => attempt(() => pump.bind(handle, bytes, offset, count, keep)),
  fetch: (maxRows, out, offset, capacity) => pump.fetch(handle, maxRows, out, offset, capacity),
  batch: (bytes, offset, parameters, rows, out, outOffset, capacity) =>
    pump.batch(handle, bytes, offset, parameters, rows, out, outOffset, capacity),
  counters: () => pump.counters(handle),
  reset: () => pump.reset(handle),
  finalize: () => pump.finalize(handle)
})

/** Texts up to this many UTF-16 units go to SQLite as they are. */
const shortText = 4_096

/**
 * The first statement of a long script alone: SQLite takes a whole text to read one statement of it, again for each. Only
 * where it finds one statement in it; undefined: it is to see the whole text.
 */
const prepareHead = (
  text: string,
  prepare: (text: string) => ReturnType<Pump["prepare"]>
): NonNullable<ReturnType<Pump["prepare"]>> | undefined => {
  const first = text.length > shortText ? firstStatement(text) : undefined
  if (first === undefined || first.tail === "") {
    return undefined
  }
  try {
    const prepared = prepare(first.text)
    if (prepared === undefined || prepared[1] !== "") {
      return undefined
    }
    const [handle, , parameterCount, readonly, routable] = prepared
    return [handle, first.tail, parameterCount, readonly, routable]
  } catch {
    return undefined
  }
}

const makeConnection = (pump: Pump, handle: ConnectionHandle): Connection => ({
  start: (seq, slot) => pump.start(handle, seq, slot),
  end: () => pump.end(handle),
  check: () => pump.check(handle),
  prepare: (text) => {
    const prepare = (text: string) => prepareLimited(text, (text) => attempt(() => pump.prepare(handle, text)))
    const prepared = prepareHead(text, prepare) ?? prepare(text)
    return prepared === undefined ? undefined : makePrepared(pump, prepared)
  },
  restrict: () => pump.restrict(handle),
  exec: (text) => attempt(() => pump.exec(handle, text, false)),
  execOwn: (text) => attempt(() => pump.exec(handle, text, true)),
  inTransaction: () => pump.inTransaction(handle),
  loadExtension: (path) => attempt(() => pump.loadExtension(handle, path)),
  serialize: () => attempt(() => pump.serialize(handle)),
  deserialize: (image, before) =>
    attempt(() => {
      pump.assertReplaceable(handle)
      before?.()
      pump.deserialize(handle, new Uint8Array(image))
    }),
  backup: (destination) =>
    makeBackup(
      pump,
      attempt(() => pump.backup(handle, destination))
    ),
  openBlob: ({ column, rowid, schema, table, write }) =>
    makeBlob(
      pump,
      attempt(() => pump.openBlob(handle, schema, table, column, rowid, write))
    ),
  setFunction: (definition, run) =>
    attempt(() =>
      pump.setFunction(
        handle,
        definition.name,
        definition.arity,
        (definition.deterministic ? deterministic : 0) |
          (definition.directOnly ? directOnly : 0) |
          (definition.innocuous ? innocuous : 0),
        functionKinds.indexOf(definition.shape),
        run
      )
    ),
  setCollation: (name, compare) => attempt(() => pump.setCollation(handle, name, compare)),
  setTable: (definition, run) =>
    attempt(() =>
      pump.setTable(
        handle,
        definition.name,
        tableSchema(definition),
        definition.columns.length,
        definition.parameters.length,
        run
      )
    ),
  setHook: (hook, run) => attempt(() => pump.setHook(handle, hookKinds.indexOf(hook), run)),
  setChanges: (on) => attempt(() => pump.setChanges(handle, on)),
  takeChanges: () => {
    const taken = pump.takeChanges(handle)
    return taken === undefined ? undefined : { names: taken[0], entries: taken[1], unknown: taken[2] }
  },
  close: () => pump.close(handle)
})

const makeEngine = (path: string, pump: Pump, library: Library): Engine => ({
  kind: "native",
  loaded: { pump: path, library: pump.address(library) },
  version: pump.version(library),
  signals: pump,
  open: ({ busyTimeout, create, filename, progressSteps, readonly, safety, shared }: OpenOptions) => {
    const words = new Int32Array(shared)
    return attempt(() => {
      const handle = pump.open(library, filename, readonly, create, words, progressSteps, busyTimeout)
      protect(pump, handle, safety)
      return makeConnection(pump, handle)
    })
  }
})

/** Where a pump may lie, the best first; `SLUICE_SQLITE_PUMP` names one for tests. Of two for one platform, only the one for its C library can be loaded. */
const candidates = (): Array<string> => {
  const inPackage = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url))
  const platform = `${process.platform}-${process.arch}`
  const named = process.env.SLUICE_SQLITE_PUMP
  if (named !== undefined && named !== "") return [named]
  return [`prebuilds/${platform}.node`, `prebuilds/${platform}.musl.node`, "native/build/pump.node"].map(inPackage)
}

/** Of what this file shares with the pump (`REVISION` in native/pump.h): raise both with every change. */
const revision = 7

/** A pump that was built from other sources, as after a `git pull`. */
let stale: string | undefined

/** Why there is no usable pump, where one is there that does not fit; undefined otherwise. */
export const stalePump = (): string | undefined =>
  stale === undefined
    ? undefined
    : `the native pump ${stale} was built from other sources than this version: build it with "npm run prepare", ` +
      "or install the package again"

const require = createRequire(import.meta.url)

const loadFrom = (path: string, carrier: Pick<Carrier, "DatabaseSync">): Engine | undefined => {
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
      const library = pump.library()
      return library === undefined ? undefined : makeEngine(path, pump, library)
    } finally {
      database.close()
    }
  } catch {
    // Not for this platform, or the carrier cannot: there is the portable engine.
    return undefined
  }
}

/** The native engine in the carrier's library; undefined when there is no usable pump. */
export const load = (carrier: Pick<Carrier, "DatabaseSync">): Engine | undefined => {
  for (const path of candidates()) {
    if (!existsSync(path)) continue
    const engine = loadFrom(path, carrier)
    if (engine !== undefined) return engine
  }
  return undefined
}

/**
 * The same in what another thread has loaded. The carrier itself is not needed here: that saves its start, and a thread
 * that is terminated while it works for the carrier may take the process with it.
 */
export const adopt = ({ library, pump: path }: Loaded): Engine | undefined => {
  const pump = require(path) as Pump
  const found = pump.libraryAt(library)
  return found === undefined ? undefined : makeEngine(path, pump, found)
}

let warned = false

/**
 * Loads pump and carrier on the calling thread. The main thread does so before it starts the first worker: a library
 * that only a worker has loaded is unmapped when that worker ends. `tell`: warns, once, of a pump that is there and does
 * not fit.
 */
export const pin = (carrier: Pick<Carrier, "DatabaseSync">, tell = false): Engine | undefined => {
  const engine = load(carrier)
  const reason = engine === undefined ? stalePump() : undefined
  if (tell && reason !== undefined && !warned) {
    warned = true
    process.emitWarning(`@sluice/sqlite: ${reason}; the portable engine is used instead`)
  }
  return engine
}
