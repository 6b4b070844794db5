/** What became of a batch, and what is said of a structured request that was late. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlFailure } from "@sluice/sql"
import type { BatchResult, ErrorMessage } from "./boundary.js"
import type { Call } from "./call.js"
import * as failure from "./failure.js"
import { callbackError, stoppedInCallback } from "./readPage.js"

export const lateError = (call: Call, error: ErrorMessage, outcome: SqlFailure.Outcome): SqlError | undefined =>
  error.code === 9 && call.request.deadline <= performance.now() ? failure.late(call.request.text, outcome) : undefined

/**
 * A batch answers its failure as a value; what only the event loop knows of it is added here. `ended` is the session's
 * own reason, where it has been ended.
 */
export const batchValue = (
  call: Call,
  value: unknown,
  ended: SqlError | undefined
): BatchResult & { readonly failure: SqlError | undefined } => {
  const result = value as BatchResult
  const { error } = result
  const failed =
    error === undefined
      ? callbackError(call, "executed")
      : (lateError(call, error, "notExecuted") ??
        callbackError(call, "notExecuted") ??
        stoppedInCallback(call, error.message, ended) ??
        (error.code === 9 ? ended : undefined))
  return { ...result, failure: failed }
}
