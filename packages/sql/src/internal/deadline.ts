/** Deadlines that nobody below keeps. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as SqlFailure from "../SqlFailure.js"
import type * as SqlTransport from "../SqlTransport.js"
import { late } from "./failure.js"
import { nowOf } from "./settings.js"
import { stoppable } from "./stoppable.js"

/**
 * A request, and until when it must be done as its fiber's clock counts. `deadline` is the same time for the session, which
 * knows no clock but the machine's: with another one (a TestClock) it is told of none.
 */
export interface BoundedRequest extends SqlTransport.SqlRequest {
  readonly until: number
}

/** Ends an effect by interruption at a time of the fiber's clock, wherever it runs; one that is too late is not begun. */
export const within = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  until: number,
  statement: string | undefined,
  outcome: SqlFailure.Outcome
): Effect.Effect<A, E | SqlError, R> =>
  Effect.clockWith((clock): Effect.Effect<A, E | SqlError, R> => {
    const remaining = until - nowOf(clock)
    return remaining > 0
      ? stoppable(
          Effect.timeoutFail(effect, {
            duration: Duration.millis(remaining),
            onTimeout: () => late(statement, outcome)
          })
        )
      : Effect.fail(late(statement, outcome))
  })

/** Whether the session keeps the request's deadline by itself. */
const isKept = (request: BoundedRequest, session: SqlTransport.Session): boolean =>
  request.until === Infinity || (session.keepsContract && request.deadline !== Infinity)

/** Keeps the deadline of what a session does, by interruption, where the session does not. */
export const bounded = <A, E, R>(
  request: BoundedRequest,
  session: SqlTransport.Session,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  isKept(request, session) ? effect : within(effect, request.until, request.text, "unknown")

/** The same for a cursor and all its pages. Whoever pulls them, the clock is that of the fiber that opened it. */
export const boundedCursor = (
  request: BoundedRequest,
  session: SqlTransport.Session,
  open: Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope>
): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> =>
  isKept(request, session)
    ? open
    : Effect.clockWith((clock) =>
        Effect.map(bounded(request, session, open), ({ columns, first, next }) => ({
          columns,
          first,
          next: Effect.withClock(bounded(request, session, next), clock)
        }))
      )
