/** Opens one session in a scope of its own. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { Options } from "../SessionPool.js"
import type { Session } from "../SqlTransport.js"
import { closeScope } from "./poolFibers.js"
import { refused } from "./poolSettings.js"

/** Connects, and asks `onAcquire`, which may refuse a new session, too; then the answer is a failure. */
const welcomed = ({ connect, name, onAcquire }: Options): Effect.Effect<Session, SqlError, Scope.Scope> =>
  onAcquire === undefined
    ? connect
    : Effect.tap(connect, (session) =>
        Effect.filterOrFail(
          onAcquire(session),
          (usable) => usable,
          () => refused(name)
        )
      )

/**
 * The session goes from its connect to `onSuccess` without a moment in which an interrupt could lose it; what fails or is
 * interrupted before is closed, and only then `onFailure` is told. `bounded` puts the time limit on it.
 */
export const connectSession = (
  options: Options,
  bounded: <A, R>(effect: Effect.Effect<A, SqlError, R>) => Effect.Effect<A, SqlError, R>,
  then: {
    readonly onFailure: () => void
    readonly onSuccess: (session: Session, scope: Scope.CloseableScope) => Effect.Effect<void>
  }
): Effect.Effect<void, SqlError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (scope) =>
      Effect.matchCauseEffect(restore(bounded(Scope.extend(welcomed(options), scope))), {
        onFailure: (cause) =>
          Effect.flatMap(closeScope(scope), () => {
            then.onFailure()
            return Effect.failCause(cause)
          }),
        onSuccess: (session) => then.onSuccess(session, scope)
      })
    )
  )
