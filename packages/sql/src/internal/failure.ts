/** Failures that clients bring about themselves, in the words that transports have for theirs. */
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlFailure from "../SqlFailure.js"

export const closed = (): SqlError => SqlFailure.make({ reason: "Closed", message: "The client was closed" })

export const late = (statement: string | undefined, outcome: SqlFailure.Outcome): SqlError =>
  SqlFailure.make({
    reason: "StatementTimeout",
    message: "The deadline passed before the statement had ended",
    statement,
    outcome
  })

export const leftOpen = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Unsupported",
    message:
      "The statement left a transaction open outside of one, so it was rolled back. " +
      "Use sql.transaction or sql.withTransaction, or run it on a session from sql.reserve",
    statement,
    outcome: "notExecuted"
  })

export const poisoned = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Interrupted",
    message: "A pull of this result was interrupted, so its position is lost; run the statement again",
    statement
  })

export const stuck = (session: string): SqlError =>
  SqlFailure.make({
    reason: "SessionLost",
    message: `Session ${session} did not become quiet after an interrupt, so it was given up`,
    outcome: "unknown"
  })
