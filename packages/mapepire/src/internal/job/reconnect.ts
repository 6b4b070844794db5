/** Connecting anew over a link that has a job, by callers who may leave meanwhile. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as failure from "../failure.js"
import type { Wire } from "./wire.js"

const givenUp = "connecting anew was given up"

/**
 * It cannot be taken back, and which job answers from then on nobody knows: so who leaves leaves the link of no more use. But
 * it is kept until the daemon has said whether the password is wrong, as long as somebody else watches over the attempt.
 */
export class Reconnect {
  /** Attempts that have begun. */
  private underWay = 0
  /** By the caller of one of them. */
  private left = false
  private closing: Effect.Effect<void> | undefined

  constructor(private readonly wire: Wire) {}

  /** The caller's side. */
  run(again: Effect.Effect<void, SqlError, Scope.Scope>): Effect.Effect<void, SqlError> {
    const { wire } = this
    return Effect.suspend(() =>
      // Else it would wait for an attempt that was left behind, and over this link.
      wire.refusal !== undefined
        ? Effect.fail(failure.withOutcome(wire.refusal, "notExecuted"))
        : Effect.onInterrupt(Effect.scoped(again), () =>
            Effect.sync(() => {
              if (this.underWay > 0 && !wire.dead) {
                this.left = true
                const error = failure.lost(givenUp, "notExecuted", { job: wire.job })
                wire.retire(error)
                wire.abort(error, (call) => call.request.type !== "connect")
              }
            })
          )
    )
  }

  /** The attempt's. */
  under(connect: Effect.Effect<void, SqlError>): Effect.Effect<void, SqlError, Scope.Scope> {
    return Effect.zipRight(
      Effect.acquireRelease(
        Effect.sync(() => void this.underWay++),
        () =>
          Effect.suspend(() => {
            this.underWay--
            return this.underWay === 0 && this.closing !== undefined ? this.closing : Effect.void
          })
      ),
      Effect.onInterrupt(connect, () => Effect.sync(() => this.wire.ended(givenUp)))
    )
  }

  readonly close = (close: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (this.underWay === 0 || !this.left) {
        return close
      }
      this.closing = close
      return Effect.void
    })
}
