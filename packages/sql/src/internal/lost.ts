/** After a session has died: whoever tries again at once must not get it again. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as SqlFailure from "../SqlFailure.js"
import type { Level } from "./level.js"

/** Fibers that its message may pass through on its way to the pool, and some more. */
const turns = 10

/** Lets the pool hear of a session's end before whoever waits here goes on. */
export const poolHears: Effect.Effect<void> = Effect.asVoid(Effect.repeatN(Effect.yieldNow(), turns))

const isLost = SqlFailure.is("SessionLost")

/**
 * Fails with the cause. A session that dies tells the pool by a fiber of the pool's, in the same moment in which its
 * statements fail by theirs: where that is the cause, those go first.
 */
export const failAfterLoss = <E>(cause: Cause.Cause<E>): Effect.Effect<never, E> =>
  Cause.isFailType(cause) && isLost(cause.error)
    ? Effect.zipRight(poolHears, Effect.failCause(cause))
    : Effect.failCause(cause)

/** The same for a statement of a transaction, or of a reserved session, which is told. */
export const failIn = (level: Level, cause: Cause.Cause<SqlError>): Effect.Effect<never, SqlError> => {
  if (Cause.isFailType(cause)) {
    level.failed(cause.error)
  }
  return failAfterLoss(cause)
}
