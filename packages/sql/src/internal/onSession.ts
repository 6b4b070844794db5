/** What only a transport can do, on its own session: in turn like a statement, and told of like one. */
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as SqlTransport from "../SqlTransport.js"
import type { AnyFiber, Core } from "./core.js"
import { monotonicDeadline } from "./settings.js"
import { reserve } from "./reserve.js"

export const onSession =
  (core: Core) =>
  <A, E, R>(
    use: (session: SqlTransport.Session, request: SqlTransport.SqlRequest) => Effect.Effect<A, E, R>,
    texts: ReadonlyArray<string> = []
  ): Effect.Effect<A, E | SqlError, R> =>
    Effect.withFiberRuntime<A, E | SqlError, R>((self) => {
      const fiber = self as unknown as AnyFiber
      const asked = core.request(fiber, texts.join(";\n"), [], "objects", true, undefined)
      if (asked instanceof SqlError) {
        return Effect.fail(asked)
      }
      // A timeout for statements is none for a backup.
      const request = texts.length > 0 ? asked : { ...asked, deadline: monotonicDeadline(fiber) }
      const level = core.levelOf(fiber.currentContext)
      const used =
        level !== undefined
          ? level.use(request, () => use(level.session, request))
          : Effect.scoped(Effect.flatMap(reserve(core), (connection) => use(connection.level.session, request)))
      return texts.length === 0 ? used : core.telemetry.batch(fiber, texts, texts.length, used)
    })
