/** The carriers' errors as `EngineError` with SQLite's extended result code. */
import { ExtendedCode, OwnCode, primaryCode, ResultCode } from "../resultCode.js"
import { EngineError } from "./engine.js"

/** Thrown in the worker for a request that its control words have stopped. */
export class Stopped extends EngineError {
  readonly why: number
  constructor(why: number) {
    super(ResultCode.interrupt, "interrupted")
    this.name = "Stopped"
    this.why = why
  }
}

/** Waiting can help: not so for a snapshot that has become old inside a transaction. */
export const isBusy = (error: EngineError): boolean =>
  primaryCode(error.code) === ResultCode.busy && error.code !== ExtendedCode.busySnapshot

/** The iterator of `@photostructure/sqlite` throws without a code; then the message has to tell. */
export const engineError = (error: unknown): EngineError => {
  if (error instanceof EngineError) return error
  const { code, errcode, message } = error as { code?: unknown; errcode?: unknown; message?: unknown }
  const text = typeof message === "string" ? message : String(error)
  if (typeof errcode === "number") return new EngineError(errcode, text)
  // Not SQLite's own: wrong use of the carrier, or values that JavaScript cannot hold.
  if (code !== "ERR_SQLITE_ERROR" && code !== "ERR_LOAD_SQLITE_EXTENSION") return new EngineError(OwnCode.failed, text)
  return new EngineError(messages.find(([start]) => text.startsWith(start))?.[1] ?? ResultCode.error, text)
}

/** SQLite's texts of codes (sqlite3ErrStr, and those of constraints) that matter to a caller. */
const messages: ReadonlyArray<readonly [string, number]> = [
  ["abort due to ROLLBACK", ExtendedCode.abortRollback],
  ["database is locked", ResultCode.busy],
  ["database table is locked", ResultCode.locked],
  ["out of memory", ResultCode.nomem],
  ["attempt to write a readonly database", ResultCode.readonly],
  ["interrupted", ResultCode.interrupt],
  ["disk I/O error", ResultCode.ioerr],
  ["database disk image is malformed", ResultCode.corrupt],
  ["database or disk is full", ResultCode.full],
  ["unable to open database file", ResultCode.cantopen],
  ["string or blob too big", ResultCode.toobig],
  ["CHECK constraint failed", ExtendedCode.check],
  ["FOREIGN KEY constraint failed", ExtendedCode.foreignKey],
  ["NOT NULL constraint failed", ExtendedCode.notNull],
  ["UNIQUE constraint failed", ExtendedCode.unique],
  ["cannot store ", ExtendedCode.datatype],
  ["datatype mismatch", ResultCode.mismatch],
  ["file is not a database", ResultCode.notadb]
]
