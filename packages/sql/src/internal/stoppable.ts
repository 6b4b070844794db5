/** Timeouts and races that work in an uninterruptible region, too. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/**
 * For what a timeout or a race may end. In an uninterruptible region (a finalizer, say) neither could: it would wait for the
 * loser. So there it runs in a fiber of its own, which can be interrupted, but which no interrupt of the program reaches: a
 * child would get those of its parent, uninterruptible or not.
 */
export const stoppable = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.checkInterruptible((isInterruptible) =>
    isInterruptible ? effect : Effect.flatMap(Effect.forkDaemon(Effect.interruptible(effect)), Fiber.join)
  )
