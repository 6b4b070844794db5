/**
 * What the worker needs of SQLite. Two engines provide it: the pump (`nativeEngine.ts`, can stop inside a statement) and
 * the carrier's own JavaScript API (`portableEngine.ts`, can stop between rows). Both write the same pages.
 */
import type { BlobPlace, ChangesMessage, ErrorMessage, HookKind, Registration } from "../messages.js"
import type { Safety } from "../opening.js"
import { OwnCode } from "../resultCode.js"
import type { Signals } from "../signals.js"

export interface Engine {
  readonly kind: "native" | "portable"
  /** SQLite's version, such as "3.50.4". */
  readonly version: string
  readonly signals?: Signals
  /** Throws `EngineError`. */
  readonly open: (options: OpenOptions) => Connection
}

export interface OpenOptions {
  readonly filename: string
  readonly readonly: boolean
  /** False: the file must exist. */
  readonly create: boolean
  readonly shared: SharedArrayBuffer
  readonly progressSteps: number
  readonly busyTimeout: number
  /** Throws `EngineError` with `OwnCode.unsupported` for limits that the engine cannot set. */
  readonly safety: Safety
}

export interface Connection {
  /**
   * Names the request that the following calls work for, and looks at its control words once. Answers a `Why`: not 0
   * means that the request must not begin. From here to `end` the engine looks at the words as often as it can.
   */
  readonly start: (seq: number, slot: number) => number
  readonly end: () => void
  /** Looks at the words of the current request: a `Why`. */
  readonly check: () => number
  /** Prepares the first statement of the text; undefined when there is none in it. Throws `EngineError`. */
  readonly prepare: (text: string) => Prepared | undefined
  /** How many statements have been prepared. */
  readonly prepares: () => number
  /** The same for what the worker itself asks: no authorizer is. */
  readonly prepareOwn: (text: string) => Prepared | undefined
  /** Runs statements whose rows nobody wants. Throws `EngineError`. */
  readonly exec: (text: string) => void
  /** From here on statements read, and do nothing else, for good. Throws `EngineError` where the engine cannot. */
  readonly restrict: () => void
  /** The same for our own temporary objects: statements may run on other connections as before. */
  readonly execOwn: (text: string) => void
  readonly inTransaction: () => boolean
  readonly loadExtension: (path: string) => void
  /** The whole database as SQLite would write it to a file. */
  readonly serialize: () => ArrayBuffer
  /**
   * Puts this in the place of the main database, in memory; `before` is called once nothing stands in its way. Throws
   * `EngineError`.
   */
  readonly deserialize: (image: ArrayBuffer, before?: () => void) => void
  /** Copies the database into a file, page by page. Throws `EngineError`. */
  readonly backup: (destination: string) => Backup
  /** Opens one value for reading and writing parts of it. Throws `EngineError`, also where the engine cannot. */
  readonly openBlob: (place: BlobPlace) => Blob
  /**
   * Functions, collations and hooks in JavaScript; undefined takes one away. A function that throws fails its statement.
   * Aggregates get an `AggregateOp` and their group's number before the arguments. Throw `EngineError`, also for what
   * the engine does not have.
   */
  readonly setFunction: (definition: FunctionDefinition, run: Callback | undefined) => void
  readonly setCollation: (name: string, compare: Callback | undefined) => void
  /** A table whose rows `run` gives as pages of tagged values; it gets a `TableOp`, the scan's number, the arguments. */
  readonly setTable: (definition: TableDefinition, run: Callback | undefined) => void
  readonly setHook: (hook: HookKind, run: Callback | undefined) => void
  /** Notes which rows are changed, from here on or no more. Throws `EngineError`, also where the engine cannot. */
  readonly setChanges: (on: boolean) => void
  /** Those committed since the last call; undefined when there are none. */
  readonly takeChanges: () => ChangesMessage | undefined
  /** Finalizes what is left and closes. */
  readonly close: () => void
}

/** A callback in JavaScript; hooks and collations answer numbers. */
export type Callback = (...args: ReadonlyArray<unknown>) => unknown

export type FunctionDefinition = Omit<Extract<Registration, { readonly kind: "function" }>, "kind" | "id">

export type TableDefinition = Omit<Extract<Registration, { readonly kind: "table" }>, "kind" | "id">

export interface Backup {
  /** Whether the destination has nothing of the copy until all of it. */
  readonly atOnce: boolean
  /** Copies up to so many pages (−1: all); true when done. A busy source or destination throws `EngineError` (busy, locked). */
  readonly step: (pages: number) => boolean
  readonly remaining: () => number
  readonly pageCount: () => number
  /** Ends it; an unfinished copy is rolled back. */
  readonly finish: () => void
}

/** All calls throw `EngineError`: abort once the row has been changed, or when it is not there any more. */
export interface Blob {
  /** In bytes. */
  readonly size: () => number
  /** Fills the array from so many bytes on. `keep`: more is about to be read. */
  readonly read: (out: Uint8Array, offset: number, keep: boolean) => void
  readonly write: (bytes: Uint8Array, offset: number) => void
  /** Goes on with another row; when that fails, it is good for nothing but this. */
  readonly reopen: (rowid: bigint) => void
  readonly close: () => void
}

export interface Prepared {
  /** What follows the statement in its text, "" when nothing but white space and comments does. */
  readonly tail: string
  readonly parameterCount: number
  /** 0 for a statement without result. May change when the schema changes. */
  readonly columnCount: () => number
  readonly columns: () => ReadonlyArray<DescribedColumn>
  readonly readonly: boolean
  /**
   * May run on another connection that only reads: it reads nothing but `main`, by SELECT, and calls nothing that
   * speaks of its own connection (`last_insert_rowid()`, `changes()`, …).
   */
  readonly routable: boolean
  /** Binds one row of tagged parameters that starts at `offset`; answers the offset after it. `keep`: they outlive the call. */
  readonly bind: (bytes: Uint8Array, offset: number, count: number, keep: boolean) => number
  /**
   * Steps up to `maxRows` rows and writes a page with them at `out[offset]`, at most `capacity` bytes long. A row that
   * no longer fits stays for the next call. Answers the page's bytes, or −n when the very next row alone needs n bytes
   * (call again with that much room; nothing is lost). After `done` or an error the statement has been reset.
   *
   * Never throws: an error stands in the page (code, why, error block) behind the rows that came before it. Sets all of
   * the header but seq, queueNanos and the flag `more`. The columns block is written on the first page of each Prepared
   * and whenever its columns changed.
   */
  readonly fetch: (maxRows: number, out: Uint8Array, offset: number, capacity: number) => number
  /**
   * Runs the statement once per row of parameters and writes a page without rows: `changes` is the sum; on a failure
   * code, error block and `detail` (the row that failed, from 0).
   */
  readonly batch: (
    bytes: Uint8Array,
    offset: number,
    parameters: number,
    rows: number,
    out: Uint8Array,
    outOffset: number,
    capacity: number
  ) => number
  /** What it has counted since the last call, see `counterNames`; undefined where the engine cannot tell. */
  readonly counters: () => ReadonlyArray<number> | undefined
  /** Ends the run and drops the parameters. */
  readonly reset: () => void
  readonly finalize: () => void
}

export interface DescribedColumn {
  readonly name: string
  readonly type: string | undefined
  /** The schema lets it be NULL. Never false: behind an outer join any column may be. */
  readonly nullable: true | undefined
}

/** An error of SQLite: its extended result code and message. */
export class EngineError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.name = "EngineError"
    this.code = code
  }
}

/** What is told of any error on the other side. */
export const errorMessage = (error: unknown): ErrorMessage => ({
  code: error instanceof EngineError ? error.code : OwnCode.failed,
  message: error instanceof Error ? error.message : String(error)
})
