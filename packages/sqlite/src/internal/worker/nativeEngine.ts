/** The engine over the pump: what the worker asks for, as the pump's functions. */
import { hookKinds } from "../messages.js"
import { limitNames, type Safety } from "../opening.js"
import type { BackupHandle, BlobHandle, ConnectionHandle, LoadedPump, Pump } from "../pump.js"
import { quoted } from "../quoting.js"
import { OwnCode } from "../resultCode.js"
import type { Backup, Blob, Connection, Engine, OpenOptions, Prepared, TableDefinition } from "./engine.js"
import { EngineError } from "./engine.js"
import { firstStatement } from "../split.js"
import { prepareLimited } from "./limitedWrites.js"

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

const makeConnection = (pump: Pump, handle: ConnectionHandle): Connection => {
  let made = 0
  const prepareOne = (text: string, own: boolean) => {
    made++
    return attempt(() => pump.prepare(handle, text, own))
  }
  return {
    start: (seq, slot) => pump.start(handle, seq, slot),
    end: () => pump.end(handle),
    check: () => pump.check(handle),
    prepare: (text) => {
      const prepare = (text: string) => prepareLimited(text, (text) => prepareOne(text, false))
      const prepared = prepareHead(text, prepare) ?? prepare(text)
      return prepared === undefined ? undefined : makePrepared(pump, prepared)
    },
    prepares: () => made,
    prepareOwn: (text) => makePrepared(pump, prepareOne(text, true)!),
    restrict: () => {
      if (!pump.restrict(handle)) {
        throw new EngineError(
          OwnCode.unsupported,
          "SQL from strangers needs a SQLite with sqlite3_test_control: without, it copies expressions while it prepares"
        )
      }
    },
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
  }
}

/** The engine over this pump. */
export const nativeEngine = ({ library, pump }: LoadedPump): Engine => ({
  kind: "native",
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
