/** What is left of the fiber's time, for requests that are no statements. */
import { SqlClient } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** The fiber's deadline, as requests have it: by `performance.now()`. */
export const deadline: Effect.Effect<number> = Effect.withFiberRuntime((fiber) => {
  const at = Context.get(fiber.currentContext, SqlClient.Deadline)
  return at === Infinity
    ? Effect.succeed(Infinity)
    : Effect.clockWith((clock) => Effect.succeed(performance.now() + at - Number(clock.unsafeCurrentTimeNanos()) / 1e6))
})
