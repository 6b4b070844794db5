/** What is to be done once a transaction has committed. */
import * as EffectSql from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Core } from "./core.js"
import { withFiber } from "./fiber.js"
import { Deadline, deadlineOf } from "./settings.js"

/** Nobody is left whom a failure would help. */
const warned = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  Effect.matchCauseEffect(effect, {
    onFailure: (cause) => Effect.logWarning("What was to be done after the commit has failed", cause),
    onSuccess: () => Effect.void
  })

/** Runs the effect after the fiber's transaction has committed, never if it does not; at once outside of one. */
export const afterCommit =
  (core: Core) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
    withFiber((fiber) => {
      const level = core.levelOf(fiber.currentContext)
      return level === undefined || level.root.use === "free"
        ? warned(effect)
        : Effect.flatMap(Effect.context<R>(), (context) => {
            // Not in the transaction any more: its level and the deadlines of all levels are left out. Another client's
            // around it may go on.
            const { around } = level.root
            let outside: Context.Context<never> = Context.omit(
              core.tag,
              EffectSql.TransactionConnection
            )(context as Context.Context<never>)
            if (around !== undefined) {
              outside = Context.add(outside, EffectSql.TransactionConnection, around)
            }
            for (const { around, own } of level.bounds) {
              if (deadlineOf(outside) === own) {
                outside = Context.add(outside, Deadline, around)
              }
            }
            const later = warned(
              Effect.mapInputContext(effect, (_: Context.Context<never>) => outside as Context.Context<R>)
            )
            const { owner } = level
            // A fiber that has outlived the transaction finds it committed, or comes in vain.
            if (level.root.committed && owner.depth === 0) {
              return later
            }
            owner.afterCommit.push(later)
            return Effect.void
          })
    })
