/** From refusals that are thrown to failures. */
import * as Effect from "effect/Effect"
import { type Db2Failure, Refused } from "./db2/failures.js"

/** Works at once. What is refused is a failure; whatever else is thrown goes on as it is. */
export const orRefused = <A>(work: () => A): Effect.Effect<A, Db2Failure> => {
  try {
    return Effect.succeed(work())
  } catch (error) {
    if (error instanceof Refused) {
      return Effect.fail(error.failure)
    }
    throw error
  }
}
