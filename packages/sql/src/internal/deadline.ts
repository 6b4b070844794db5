/** Deadlines that nobody below keeps. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlFailure from "../SqlFailure.js"

/** The failure of a passed deadline. */
export const timedOut = (statement: string | undefined, outcome: SqlFailure.Outcome): SqlError =>
  SqlFailure.make({
    reason: "StatementTimeout",
    message: "The deadline passed before the statement had ended",
    statement,
    outcome
  })

/** Ends an effect by interruption at a time of `performance.now()`. */
export const within = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  deadline: number,
  statement: string | undefined,
  outcome: SqlFailure.Outcome
): Effect.Effect<A, E | SqlError, R> =>
  Effect.suspend(() =>
    Effect.timeoutFail(effect, {
      duration: Duration.millis(Math.max(0, deadline - performance.now())),
      onTimeout: () => timedOut(statement, outcome)
    })
  )
