/** A session that is kept for one holder, until its scope closes. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as SessionPool from "../SessionPool.js"
import { LevelConnection } from "./connection.js"
import type { Core } from "./core.js"
import { withFiber } from "./fiber.js"
import { Level, rootOf } from "./level.js"
import { deadlineOf } from "./settings.js"

/**
 * A session for the holder alone, until its scope closes: outside of transactions its own, inside one the same. Waited for
 * until a time of the fiber's clock, by default its deadline.
 */
export const reserve = (core: Core, until?: number): Effect.Effect<LevelConnection, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    withFiber<LevelConnection, SqlError, Scope.Scope>((fiber) => {
      const level = core.levelOf(fiber.currentContext)
      if (level !== undefined) {
        const late = level.ended()
        return late === undefined ? Effect.succeed(level.connection as LevelConnection) : Effect.fail(late)
      }
      const deadline = until ?? deadlineOf(fiber.currentContext)
      return Effect.flatMap(core.lease(fiber, restore, core.pools.transaction, "exclusive", { deadline }), (lease) =>
        Effect.gen(function* () {
          const root = rootOf({ session: lease.session, use: "free", options: {}, around: undefined })
          const level = new Level(root, undefined, core.width, [], (level) => new LevelConnection(core, level))
          yield* Effect.addFinalizer(() => giveBack(core, level, lease))
          return level.connection as LevelConnection
        })
      )
    })
  )

const giveBack = (core: Core, level: Level, lease: SessionPool.Lease): Effect.Effect<void> =>
  level.turn
    .hold(
      Effect.uninterruptible,
      Effect.suspend(() => {
        level.close()
        const { session } = level
        if (session.altered?.() === true) {
          // Its end rolls back, too.
          return lease.retire
        }
        return session.inTransaction()
          ? Effect.catchAllCause(core.transport.transactions.rollback(session), () => lease.retire)
          : Effect.void
      })
    )
    .pipe(Effect.ensuring(lease.release))
