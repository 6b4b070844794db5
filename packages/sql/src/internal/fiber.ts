/** The fiber that runs an effect, whatever it answers. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** `Effect.withFiberRuntime`, for all who look at the fiber and not at its result. */
export const withFiber: <A, E = never, R = never>(
  use: (fiber: AnyFiber) => Effect.Effect<A, E, R>
) => Effect.Effect<A, E, R> = Effect.withFiberRuntime
