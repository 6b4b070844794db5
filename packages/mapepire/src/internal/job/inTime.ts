/** Deadlines while a statement waits for something else than the daemon, who does not know of it yet. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as failure from "../failure.js"
import { longestTimer } from "../longestTimer.js"
import type { TaskRequest } from "./task.js"

/**
 * Fails when the deadline passes before `begin` was run; from then on whoever sends the request looks at the deadline.
 * Nothing begins after that failure.
 */
export const beginInTime = <A, B>(
  { deadline, text }: TaskRequest,
  begin: Effect.Effect<B, SqlError>,
  run: (begin: Effect.Effect<B, SqlError>) => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> =>
  deadline === Infinity
    ? run(begin)
    : Effect.suspend(() => {
        let begun = false
        let late = false
        const passed = Effect.async<never, SqlError>((resume) => {
          const timer = setTimeout(
            () => {
              if (!begun) {
                late = true
                resume(Effect.fail(failure.late({ job: undefined, statement: text }, "notExecuted")))
              }
            },
            Math.min(Math.max(0, deadline - performance.now()), longestTimer)
          )
          return Effect.sync(() => clearTimeout(timer))
        })
        const first = Effect.suspend(() => {
          begun = !late
          return begun ? begin : Effect.never
        })
        return SqlTransport.stoppable(Effect.raceFirst(run(first), passed))
      })
