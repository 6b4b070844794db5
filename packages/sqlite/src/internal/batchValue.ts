/** What became of a batch, and what is said of a structured request that was late. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlFailure } from "@sluice/sql"
import type { BatchResult, ChangesResult, ErrorMessage } from "./messages.js"
import type { Call } from "./call.js"
import * as failure from "./failure.js"
import { ResultCode } from "./resultCode.js"
import { callbackError, stoppedInCallback } from "./readPage.js"

export const lateError = (call: Call, error: ErrorMessage, outcome: SqlFailure.Outcome): SqlError | undefined =>
  error.code === ResultCode.interrupt && call.request.deadline <= performance.now()
    ? failure.late(call.request.text, outcome)
    : undefined

/** The worker's result with what the event loop knows. */
export type Settled<Result> = Result & { readonly failure: SqlError | undefined }

/**
 * A batch answers its failure as a value, as changes do; what only the event loop knows of it is added here. `ended` is the
 * session's own reason, where it has been ended.
 */
export const batchValue = (
  call: Call,
  value: unknown,
  ended: SqlError | undefined
): Settled<BatchResult | ChangesResult> => {
  const result = value as BatchResult | ChangesResult
  const { error } = result
  const failed =
    error === undefined
      ? callbackError(call, "executed")
      : (lateError(call, error, "notExecuted") ??
        callbackError(call, "notExecuted") ??
        stoppedInCallback(call, error.message, ended) ??
        (error.code === ResultCode.interrupt ? ended : undefined))
  return { ...result, failure: failed }
}
