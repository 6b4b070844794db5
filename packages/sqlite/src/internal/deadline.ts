/** What is left of the fiber's time, for callbacks. */
import { SqlClient } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Milliseconds until the fiber's deadline. */
export const remaining: Effect.Effect<number> = Effect.withFiberRuntime((fiber) => {
  const at = Context.get(fiber.currentContext, SqlClient.Deadline)
  return at === Infinity
    ? Effect.succeed(Infinity)
    : Effect.clockWith((clock) => Effect.succeed(at - Number(clock.unsafeCurrentTimeNanos()) / 1e6))
})
