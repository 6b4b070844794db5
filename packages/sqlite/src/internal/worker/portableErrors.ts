/** The carriers' errors as `EngineError` with SQLite's extended result code. */
import { abortRollback, busySnapshot, ResultCode } from "../resultCode.js"
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
  (error.code & 0xff) === ResultCode.busy && error.code !== busySnapshot

/** The iterator of `@photostructure/sqlite` throws without a code; then the message has to tell. */
export const engineError = (error: unknown): EngineError => {
  if (error instanceof EngineError) return error
  const { code, errcode, message } = error as { code?: unknown; errcode?: unknown; message?: unknown }
  const text = typeof message === "string" ? message : String(error)
  if (typeof errcode === "number") return new EngineError(errcode, text)
  // Not SQLite's own: wrong use of the carrier, or values that JavaScript cannot hold.
  if (code !== "ERR_SQLITE_ERROR" && code !== "ERR_LOAD_SQLITE_EXTENSION") return new EngineError(-1, text)
  return new EngineError(messages.find(([start]) => text.startsWith(start))?.[1] ?? ResultCode.error, text)
}

/** SQLite's texts of codes (sqlite3ErrStr, and those of constraints) that matter to a caller. */
const messages: ReadonlyArray<readonly [string, number]> = [
  ["abort due to ROLLBACK", abortRollback],
  ["database is locked", 5],
  ["database table is locked", 6],
  ["out of memory", 7],
  ["attempt to write a readonly database", 8],
  ["interrupted", 9],
  ["disk I/O error", 10],
  ["database disk image is malformed", 11],
  ["database or disk is full", 13],
  ["unable to open database file", 14],
  ["string or blob too big", 18],
  ["CHECK constraint failed", 275],
  ["FOREIGN KEY constraint failed", 787],
  ["NOT NULL constraint failed", 1299],
  ["UNIQUE constraint failed", 2067],
  ["cannot store ", 3091],
  ["datatype mismatch", 20],
  ["file is not a database", 26]
]
