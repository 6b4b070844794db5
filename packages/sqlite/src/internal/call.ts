/** One request as the loop tracks it, from the caller to its last page. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import type * as Fiber from "effect/Fiber"
import type { SqlTransport } from "@sluice/sql"
import type { SqliteAnswer } from "./answer.js"
import type { Command } from "./messages.js"
import type { StatementEntry } from "./statementCache.js"

/** What a call ends with: a page, a structured value, or a failure. */
export interface Settle {
  (error: SqlError | undefined, answer: SqliteAnswer | undefined, value?: unknown): void
}

export class Call {
  /** 0 until it is sent. */
  seq = 0
  slot = -1
  done = false
  /** Nobody waits any more: whatever comes is dropped. */
  abandoned = false
  /** The slot's words were set to stop it. */
  cancelled = false
  /** Told once the worker has let go of it. */
  onQuiet: (() => void) | undefined
  entry: StatementEntry | undefined
  /** Parameters as they were when the call came, where it has to wait: copied, or encoded. */
  params: ReadonlyArray<unknown> | undefined
  encoded: ArrayBuffer | undefined
  /** Bytes that they count while it waits. */
  waiting = 0
  /** Pages so far, of an answer that takes several. */
  rows: Array<unknown> | undefined
  error: SqlError | undefined
  command: Command | undefined
  /** What of the command moves to the worker instead of being copied. */
  transfer: Array<ArrayBuffer> | undefined
  parameterRows: SqlTransport.ParameterRows | undefined
  /** The cursor that it opens, pulls or closes. */
  cursor = 0
  /** Whose call it is: callbacks run with its services, and as its own. */
  caller: Fiber.RuntimeFiber<unknown, unknown> | undefined
  /** The callback that the worker waits for. */
  callback: Fiber.RuntimeFiber<unknown, unknown> | undefined
  /** Why the answer of a callback could not be used. */
  refused: SqlError | undefined
  /** What the first callback that failed has failed with. */
  cause: Cause.Cause<unknown> | undefined
  /** The same, where that is no failure: a defect, or its own interruption. */
  died: Cause.Cause<never> | undefined
  /** What its statement has counted. */
  counters: ReadonlyArray<number> | undefined
  /** A cursor is open in the worker because of it. */
  opened = false

  constructor(
    readonly op: number,
    readonly request: SqlTransport.SqlRequest,
    readonly settle: Settle
  ) {}
}
