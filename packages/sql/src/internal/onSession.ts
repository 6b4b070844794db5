/** What only a transport can do, on its own session: in turn like a statement, and told of like one. */
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as SqlTransport from "../SqlTransport.js"
import type { Core } from "./core.js"
import { bounded, type BoundedRequest } from "./deadline.js"
import { type AnyFiber, withFiber } from "./fiber.js"
import type { Level, Root } from "./level.js"
import { reserve } from "./reserve.js"
import { clockOf, deadlineOf, machineTime, nowOf } from "./settings.js"

/** A timeout for statements is none for a backup. */
const withoutTimeout = (fiber: AnyFiber, request: BoundedRequest): BoundedRequest => {
  const clock = clockOf(fiber)
  const until = deadlineOf(fiber.currentContext)
  return { ...request, until, deadline: machineTime(clock, until - nowOf(clock)) }
}

/** A transaction is told of a failure as it is of a statement's: what was done may be undone with all of it. */
const telling = <A, E, R>(level: Level, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapError(effect, (error) => Effect.sync(() => error instanceof SqlError && level.failed(error)))

export const onSession =
  (core: Core) =>
  <A, E, R>(
    use: (session: SqlTransport.Session, request: SqlTransport.SqlRequest) => Effect.Effect<A, E, R>,
    texts: ReadonlyArray<string> = []
  ): Effect.Effect<A, E | SqlError, R> =>
    withFiber<A, E | SqlError, R>((fiber) => {
      const asked = core.request(fiber, texts.join(";\n"), [], "objects", true, undefined)
      if (asked instanceof SqlError) {
        return Effect.fail(asked)
      }
      const request = texts.length > 0 ? asked : withoutTimeout(fiber, asked)
      const of = (root: Root): SqlTransport.SqlRequest => ({ ...request, transaction: root.use })
      const level = core.levelOf(fiber.currentContext)
      const used =
        level !== undefined
          ? level.use(request, () =>
              telling(level, bounded(request, level.session, use(level.session, of(level.root))))
            )
          : Effect.scoped(
              Effect.flatMap(reserve(core, request.until), ({ level: { root, session } }) =>
                bounded(request, session, use(session, of(root)))
              )
            )
      return texts.length === 0 ? used : core.telemetry.batch(fiber, texts, texts.length, used)
    })
