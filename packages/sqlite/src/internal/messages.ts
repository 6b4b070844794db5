/** What crosses the thread boundary as messages: what does not fit into the shared memory (boundary.ts), and what is rare. */
/** In the order of `Hook` in native/pump.h. */
export const hookKinds = [
  "authorizer",
  "busy",
  "progress",
  "update",
  "commit",
  "rollback",
  "wal",
  "trace",
  "profile",
  "collationNeeded",
  "autovacuumPages"
] as const

export type HookKind = (typeof hookKinds)[number]

/** A callback as the worker knows it. `id` undefined takes it away; functions and modules go by a registration of their own. */
export type Registration =
  | {
      readonly kind: "function"
      readonly name: string
      /** −1: any number of arguments. */
      readonly arity: number
      readonly deterministic: boolean
      readonly directOnly: boolean
      readonly innocuous: boolean
      readonly shape: "scalar" | "aggregate" | "window"
      readonly id: number
    }
  | ModuleRegistration
  /** The function or module with this number goes. The worker knows what it covers: a module's arities are known there only. */
  | { readonly kind: "removal"; readonly id: number }
  | { readonly kind: "collation"; readonly name: string; readonly id: number | undefined }
  | {
      readonly kind: "table"
      readonly name: string
      readonly columns: ReadonlyArray<string>
      /** At most 31. */
      readonly parameters: ReadonlyArray<string>
      readonly id: number | undefined
    }
  | { readonly kind: "hook"; readonly hook: HookKind; readonly id: number | undefined }
  /** Changes of rows are to be told, see `ChangesMessage`. */
  | { readonly kind: "changes"; readonly id: number | undefined }

/** Rows that were changed by what has been committed. */
export interface ChangesMessage {
  /** Of table n the database is name 2n and its own 2n + 1. */
  readonly names: ReadonlyArray<string>
  /**
   * 16 bytes each: table (Int32); operation as SQLite numbers it, or 0 for rows that are not told one by one (Int32);
   * rowid, or how many such rows, −1 unknown (BigInt64).
   */
  readonly entries: ArrayBuffer
  /** There was more, of which nothing is known. */
  readonly unknown: boolean
}

/** A module to import, and what of it becomes functions of SQL. */
export interface ModuleRegistration {
  readonly kind: "module"
  readonly url: string
  readonly functions: ReadonlyArray<ChosenExport>
  readonly aggregates: ReadonlyArray<ChosenExport>
  readonly id: number
}

export interface ChosenExport {
  readonly exported: string
  /** In SQL. */
  readonly name: string
  /** Undefined: that of the function. */
  readonly arity: number | undefined
  readonly deterministic: boolean
  readonly directOnly: boolean
  readonly innocuous: boolean
}

/** What SQLite is told when a callback fails; the loop knows the reason. */
export const callbackFailed = "a callback failed"

/** How an error crosses as a message. `code` is SQLite's extended result code, or one of `OwnCode`. */
export interface ErrorMessage {
  readonly code: number
  readonly message: string
}

/** The rare requests, carried as structured messages. */
export type Command =
  | { readonly _tag: "LoadExtension"; readonly path: string }
  | { readonly _tag: "Export" }
  | { readonly _tag: "Deserialize"; readonly image: ArrayBuffer }
  | { readonly _tag: "BackupStart"; readonly id: number; readonly destination: string }
  | { readonly _tag: "BackupStep"; readonly id: number; readonly pages: number }
  | { readonly _tag: "BackupFinish"; readonly id: number }
  | { readonly _tag: "Blob"; readonly request: BlobRequest }
  | { readonly _tag: "Recording"; readonly request: RecordingRequest }
  | { readonly _tag: "Batch"; readonly statements: ReadonlyArray<BatchStatement> }
  | { readonly _tag: "Changes"; readonly statements: ReadonlyArray<ChangeStatement> }
  | { readonly _tag: "Check" }
  | { readonly _tag: "DataVersion" }
  | {
      readonly _tag: "RunInWorker"
      readonly url: string
      readonly name: string
      readonly args: ReadonlyArray<unknown>
    }
  | { readonly _tag: "Register"; readonly registration: Registration }

/** The value that a blob handle is opened on. */
export interface BlobPlace {
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly rowid: bigint
  readonly write: boolean
}

/** What is asked of a blob handle. `id`: as the loop counts them. Answers the size, or the bytes read. */
export type BlobRequest =
  | { readonly kind: "open"; readonly id: number; readonly place: BlobPlace }
  | { readonly kind: "reopen"; readonly id: number; readonly rowid: bigint }
  | {
      readonly kind: "read"
      readonly id: number
      readonly offset: number
      readonly length: number
      /** More is about to be read. */
      readonly keep: boolean
    }
  | { readonly kind: "write"; readonly id: number; readonly offset: number; readonly bytes: ArrayBuffer }
  | { readonly kind: "close"; readonly id: number }

/** Which changes are recorded. */
export interface RecordingOptions {
  readonly schema: string
  /** Undefined: all that have a primary key. */
  readonly tables: ReadonlyArray<string> | undefined
  readonly indirect: boolean
}

/** What is asked of a recording of changes. `id`: as the loop counts them. */
export type RecordingRequest =
  | { readonly kind: "open"; readonly id: number; readonly options: RecordingOptions }
  | { readonly kind: "changeset"; readonly id: number; readonly patchset: boolean }
  | { readonly kind: "isEmpty"; readonly id: number }
  | { readonly kind: "close"; readonly id: number }

/** One statement of `SqliteClient.batch`. */
export interface BatchStatement {
  readonly text: string
  readonly parameters: ArrayBuffer
  readonly count: number
}

/** The SQL function that tells the guards of `applyChangeset` which row is being changed. */
export const rowKey = "sluice_row_key"

/** One change of `applyChangeset`. */
export interface ChangeStatement {
  readonly text: string
  readonly params: ReadonlyArray<unknown>
  /** Where there are guards. The number of its table is 0 where that one has none. */
  readonly row?: { readonly table: number; readonly key: ReadonlyArray<unknown> } | undefined
  /** It is for our own temporary objects: statements may run on other sessions as before. */
  readonly own?: boolean | undefined
}

/** What came of changes: so many were made; the next one failed, found no transaction, or else changed no row. */
export interface ChangesResult {
  readonly done: number
  readonly error: ErrorMessage | undefined
  readonly gone: boolean
}

/**
 * What came of a batch: pages per statement; at `failed` the statement whose pages end with an error. It wanted `wanted`
 * parameters where it got another number.
 */
export interface BatchResult {
  readonly pages: ReadonlyArray<ReadonlyArray<ArrayBuffer>>
  /** Which; undefined where COMMIT has failed. */
  readonly failed: number | undefined
  readonly error: (ErrorMessage & { readonly wanted?: number }) | undefined
  /** See `Flag.private`. */
  readonly private: boolean
}

/** Loop → worker, on the port. A message always precedes the request that needs it. */
export type ToWorker =
  | readonly [kind: "text", id: number, text: string]
  | readonly [kind: "forget", id: number]
  | readonly [kind: "parameters", seq: number, bytes: ArrayBuffer]
  | readonly [kind: "command", seq: number, command: Command]
  | readonly [kind: "result", serial: number, bytes: ArrayBuffer]

/** Worker → loop, on the port. `null` only wakes. */
export type ToLoop =
  | null
  | readonly [kind: "ready", engine: "native" | "portable", version: string, journalMode: string]
  /** `statement`: of those that the configuration asks for, the one that failed. */
  | readonly [kind: "failed", error: ErrorMessage, statement: string | undefined]
  | readonly [kind: "closed"]
  | readonly [kind: "buffer", seq: number, page: ArrayBuffer]
  | readonly [kind: "value", seq: number, value: unknown, inTransaction: boolean]
  | readonly [kind: "error", seq: number, error: ErrorMessage, inTransaction: boolean]
  | readonly [kind: "arguments", serial: number, bytes: ArrayBuffer]
  | readonly [kind: "counters", serial: number, counters: ReadonlyArray<number>]
  | readonly [kind: "changes", serial: number, changes: ChangesMessage]
