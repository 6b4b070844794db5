/** Invalidations wait for the commit: until then a query that is run again would not see what has changed. */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as EffectSql from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { LevelConnection } from "./connection.js"
import type { Level } from "./level.js"

type Keys = Parameters<Reactivity.Reactivity.Service["invalidate"]>[0]

const waiting: unique symbol = Symbol.for("@sluice/sql/Reactivity")

/** The innermost transaction of any of our clients that the fiber is in, or what it has become a part of. */
const levelOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Level | undefined => {
  const generic = fiber.currentContext.unsafeMap.get(EffectSql.TransactionConnection.key) as
    readonly [unknown, number] | undefined
  const level = generic !== undefined && generic[0] instanceof LevelConnection ? generic[0].level.owner : undefined
  return level?.root.use === "required" && !level.root.ended ? level : undefined
}

const current = (): Level | undefined => Option.getOrUndefined(Option.map(Fiber.getCurrentFiber(), levelOf))

/**
 * Makes the service wait. In place, since programs hold on to it: those that got it before the client was made, too. An
 * invalidation that comes after the commit of a transaction within another client's waits for that one's end as well: its
 * commit, or its rollback, which does not undo what the other client has committed.
 */
export const waitForCommit = (service: Reactivity.Reactivity.Service): Reactivity.Reactivity.Service => {
  if (waiting in service) {
    return service
  }
  const { unsafeInvalidate: now } = service
  const unsafeInvalidate = (keys: Keys): void => {
    const level = current()
    // One that has ended and is not committed may have been undone, or its commit is on the way.
    if (level === undefined || level.ended() !== undefined) {
      now(keys)
    }
    level?.afterCommit.push(committed(keys))
  }
  const committed = (keys: Keys): Effect.Effect<void> =>
    Effect.sync(() => {
      const around = current()
      if (around === undefined || around.ended() !== undefined) {
        now(keys)
      } else {
        around.root.atEnd.push(committed(keys))
      }
    })
  const invalidate = (keys: Keys): Effect.Effect<void> => Effect.sync(() => unsafeInvalidate(keys))
  const mutation: Reactivity.Reactivity.Service["mutation"] = (keys, effect) => Effect.zipLeft(effect, invalidate(keys))
  return Object.assign(service, { [waiting]: true, unsafeInvalidate, invalidate, mutation })
}
