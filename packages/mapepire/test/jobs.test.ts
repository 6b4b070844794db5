/** The jobs behind a session of the pool, one after the other. */
import { assert, describe, it } from "@effect/vitest"
import type { PoolSession } from "@sluice/mapepire/MapepireJob"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { Jobs } from "../src/internal/transport/jobs.js"
import { until } from "./support.js"

describe("jobs that are replaced", () => {
  it.scopedLive("are all closed, also where two of them end at once", () =>
    Effect.gen(function* () {
      const closed: Array<string> = []
      let opened = 0
      const connect = Effect.suspend(() => {
        const id = "abcd"[opened++]!
        const session = { id, transactionOpen: false, statements: () => 10, whenLost: () => {} }
        return Effect.as(
          Effect.addFinalizer(() => Effect.sync(() => closed.push(id))),
          session as unknown as PoolSession
        )
      })
      const jobs = yield* Jobs.make(connect, 10)
      /** One request, after which the next job is there. */
      const use = Effect.gen(function* () {
        const lent = jobs.take(true)
        const { id } = lent.session
        yield* jobs.giveBack(lent)
        yield* Effect.sleep(1)
        return id
      })
      const cursor = jobs.take(true)
      assert.strictEqual(yield* use, "a")
      assert.strictEqual(yield* use, "b")
      assert.strictEqual(opened, 3)
      const third = jobs.take(true)
      assert.strictEqual(third.session.id, "c") // b is to be closed
      yield* jobs.giveBack(cursor) // and a
      yield* jobs.giveBack(third)
      yield* until(() => closed.length === 2)
      assert.sameMembers(closed, ["a", "b"])
    })
  )

  it.scopedLive("a connect that hangs does not keep the session from closing", () =>
    Effect.gen(function* () {
      let opened = 0
      const connect = Effect.suspend(() => {
        const session = { transactionOpen: false, statements: () => 10, whenLost: () => {} }
        return opened++ === 0 ? Effect.succeed(session as unknown as PoolSession) : Effect.never
      })
      const scope = yield* Scope.make()
      const jobs = yield* Scope.extend(Jobs.make(connect, 10), scope)
      yield* Effect.uninterruptible(jobs.giveBack(jobs.take(true)))
      yield* until(() => opened === 2)
      const closed = yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
      yield* Effect.timeout(Fiber.join(closed), "20 seconds")
    })
  )
})
