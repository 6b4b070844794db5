/** Keeps the port's contract around a session that does not keep it by itself. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlFailure from "../SqlFailure.js"
import { poisoned, stuck } from "./failure.js"
import { poolHears } from "./lost.js"
import { stoppable } from "./stoppable.js"
import type * as SqlTransport from "../SqlTransport.js"

/**
 * Every request runs in a fiber of its own, so that an interrupt can leave it behind: after the grace period the session
 * counts as lost, the pool replaces it, and the interrupt completes.
 */
export const guard = (
  session: SqlTransport.Session,
  grace: Duration.DurationInput
): Effect.Effect<SqlTransport.Session> =>
  Effect.map(Deferred.make<SqlError>(), (lost) => {
    const givenUp = stuck(session.id)
    let isGivenUp = false
    const giveUp = Effect.suspend(() => {
      isGivenUp = true
      return Deferred.succeed(lost, givenUp)
    })

    const stop = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<void> =>
      stoppable(Effect.raceFirst(Effect.as(Fiber.interrupt(fiber), true), Effect.as(Effect.sleep(grace), false))).pipe(
        Effect.flatMap((quiet) => (quiet ? Effect.void : Effect.zipRight(giveUp, poolHears)))
      )

    // Its pool closes the session meanwhile; a transaction on it must not hear that the client was closed.
    const tooLate = Effect.fail(SqlFailure.annotate(givenUp, { outcome: "notExecuted" }))
    const bounded = <A, R>(effect: Effect.Effect<A, SqlError, R>): Effect.Effect<A, SqlError, R> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(isGivenUp ? tooLate : Effect.forkDaemon(Effect.interruptible(effect)), (fiber) =>
          Effect.onInterrupt(restore(Effect.flatten(Fiber.await(fiber))), () => stop(fiber))
        )
      )

    // A pull that was interrupted may have lost its page: nothing may pass for the one after it.
    const pulls = (next: SqlTransport.Cursor["next"], statement: string): SqlTransport.Cursor["next"] => {
      let pulling = false
      return Effect.suspend(() => {
        if (pulling) {
          return Effect.fail(poisoned(statement))
        }
        pulling = true
        return Effect.matchCauseEffect(bounded(next), {
          onFailure: (cause) => {
            pulling = Cause.isInterrupted(cause)
            return Effect.failCause(cause)
          },
          onSuccess: (page) => {
            pulling = false
            return Effect.succeed(page)
          }
        })
      })
    }

    return {
      id: session.id,
      keepsContract: false,
      inTransaction: () => session.inTransaction(),
      pending: session.pending?.bind(session),
      reentrant: (context, statement) => session.reentrant?.(context, statement),
      altered: () => session.altered?.() === true,
      irreplaceable: () => session.irreplaceable?.() === true,
      // Suspended: one that throws instead of answering an Effect must not keep the lease it runs on.
      run: (request) => bounded(Effect.suspend(() => session.run(request))),
      batch: (request, rows) => bounded(Effect.suspend(() => session.batch(request, rows))),
      describe: (text) => bounded(Effect.suspend(() => session.describe(text))),
      check: bounded(session.check),
      open: (request) =>
        Effect.map(bounded(Effect.suspend(() => session.open(request))), (cursor) => ({
          first: cursor.first,
          columns: cursor.columns,
          next: pulls(cursor.next, request.text)
        })),
      lost: stoppable(Effect.raceFirst(session.lost, Deferred.await(lost)))
    }
  })
