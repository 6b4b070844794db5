/**
 * The carrier: a prebuilt SQLite with the API of `node:sqlite`. The runtime's own where it is complete, else
 * `@photostructure/sqlite`, which brings the same API to Node 20. The native engine takes SQLite's function table from
 * it, the portable engine drives it.
 */
import { join } from "node:path"
import { bundleAdvice, here, packageFolder, requireFrom } from "./packageFolder.js"

export type CarrierValue = null | number | bigint | string | Uint8Array

export interface CarrierColumn {
  readonly name: string
  readonly type: string | null
  /** Where it comes from; null: it is computed. */
  readonly database: string | null
  readonly table: string | null
  readonly column: string | null
}

export interface CarrierStatement {
  readonly run: (...parameters: Array<unknown>) => {
    readonly changes: number | bigint
    readonly lastInsertRowid: number | bigint
  }
  readonly get: (...parameters: Array<unknown>) => unknown
  readonly iterate: (...parameters: Array<unknown>) => Iterator<unknown>
  readonly columns: () => ReadonlyArray<CarrierColumn>
  readonly setReadBigInts: (enabled: boolean) => void
  readonly setReturnArrays: (enabled: boolean) => void
  readonly setAllowBareNamedParameters: (enabled: boolean) => void
}

export interface CarrierFunctionOptions {
  readonly deterministic?: boolean
  readonly directOnly?: boolean
  /** Any number of arguments; else as many as the body has. */
  readonly varargs?: boolean
  readonly useBigIntArguments?: boolean
}

export interface CarrierDatabase {
  readonly isTransaction: boolean
  readonly prepare: (text: string) => CarrierStatement
  readonly exec: (text: string) => void
  readonly function: (
    name: string,
    options: CarrierFunctionOptions,
    body: (...values: Array<unknown>) => CarrierValue
  ) => void
  /** Missing in the first releases of `node:sqlite`. */
  readonly aggregate?: (
    name: string,
    options: CarrierFunctionOptions & {
      readonly start: () => unknown
      readonly step: (state: unknown, ...values: Array<unknown>) => unknown
      readonly result: (state: unknown) => CarrierValue
    }
  ) => void
  readonly enableLoadExtension: (enabled: boolean) => void
  readonly loadExtension: (path: string) => void
  readonly serialize?: () => Uint8Array
  /** Missing in some, as are the limits. */
  readonly enableDefensive?: (enabled: boolean) => void
  readonly limits?: Record<string, number>
  readonly close: () => void
}

export interface CarrierOptions {
  readonly readOnly?: boolean
  readonly allowExtension?: boolean
  readonly enableForeignKeyConstraints?: boolean
  readonly enableDoubleQuotedStringLiterals?: boolean
  readonly timeout?: number
}

export interface Carrier {
  readonly name: "node:sqlite" | "@photostructure/sqlite"
  readonly DatabaseSync: new (filename: string, options?: CarrierOptions) => CarrierDatabase
  /** SQLite's version. */
  readonly version: string
}

interface SqliteModule {
  readonly DatabaseSync: Carrier["DatabaseSync"]
  readonly StatementSync: { readonly prototype: object }
}

let chosen: Carrier | undefined

/** The carrier of this process. `SLUICE_SQLITE_CARRIER` (node, photostructure) names one for tests. */
export const carrier = (): Carrier => (chosen ??= choose(process.env.SLUICE_SQLITE_CARRIER))

const choose = (wanted: string | undefined): Carrier => {
  if (wanted !== "photostructure") {
    const builtin = loadBuiltin()
    if (builtin !== undefined) return make("node:sqlite", builtin)
    if (wanted === "node") throw new Error("This runtime has no node:sqlite, or one that lacks columns()")
  }
  return make("@photostructure/sqlite", loadPhotostructure())
}

/** A dependency of ours, which the program need not see. */
const loadPhotostructure = (): SqliteModule => {
  const require = requireFrom(join(packageFolder(), "package.json"))
  try {
    return require("@photostructure/sqlite") as SqliteModule
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error
    const [reason] = (error as Error).message.split("\n")
    throw new Error(`${reason}. ${bundleAdvice}`, { cause: error })
  }
}

const make = (name: Carrier["name"], module: SqliteModule): Carrier => {
  let version: string | undefined
  return {
    name,
    DatabaseSync: module.DatabaseSync,
    get version() {
      return (version ??= readVersion(module))
    }
  }
}

const readVersion = (module: SqliteModule): string => {
  const database = new module.DatabaseSync(":memory:")
  const row = database.prepare("SELECT sqlite_version() AS version").get() as { readonly version: string }
  database.close()
  return row.version
}

/** undefined where there is none, where it is behind a flag, and in the first versions, which cannot tell columns. */
const loadBuiltin = (): SqliteModule | undefined => {
  let module: SqliteModule
  const require = requireFrom(here)
  try {
    module = withoutExperimentalWarning(() => require("node:sqlite") as SqliteModule)
  } catch {
    return undefined
  }
  // Both came with `isTransaction`, in 22.16.
  const { prototype } = module.StatementSync
  return "columns" in prototype && "setReturnArrays" in prototype ? module : undefined
}

/**
 * Loading `node:sqlite` warns that it is experimental, which is our choice and not our users'. The warning is emitted
 * while the module loads, so only that one is kept back.
 */
const withoutExperimentalWarning = <A>(load: () => A): A => {
  const emitWarning = process.emitWarning
  const filtered = (...args: Array<unknown>): void => {
    if (args[1] === "ExperimentalWarning" && String(args[0]).startsWith("SQLite")) return
    Reflect.apply(emitWarning, process, args)
  }
  process.emitWarning = filtered
  try {
    return load()
  } finally {
    process.emitWarning = emitWarning
  }
}
