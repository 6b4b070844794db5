import { afterAll, assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { assertIdle, open } from "../conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "../support.js"

afterAll(() => Effect.runPromise(leftovers))

onEngines("snapshot reads", (engine) => {
  it.scopedLive("one state for all reads, while another client writes; nothing is written in it", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, readers: 1 })
      const other = yield* open(engine, { filename })
      yield* sql`create table t (n)`
      yield* sql`insert into t values (1)`
      const count = sql`select count(*) as n from t`
      const seen = yield* sql.snapshot(
        Effect.gen(function* () {
          // Begun before the first read of its own.
          yield* other`insert into t values (2)`
          const first = yield* count
          yield* other`insert into t values (3)`
          assert.strictEqual((yield* reasonOf(sql`insert into t values (4)`)).reason, "Authorization")
          return [first, yield* count]
        })
      )
      assert.deepStrictEqual(seen, [[{ n: 1 }], [{ n: 1 }]])
      assert.deepStrictEqual(yield* count, [{ n: 3 }])
      yield* sql`insert into t values (4)`
      const failed = yield* Effect.flip(sql.snapshot(Effect.fail("mine" as const)))
      assert.strictEqual(failed, "mine")
      const waiting = yield* Effect.fork(sql.snapshot(Effect.never))
      yield* Effect.sleep(50)
      yield* Fiber.interrupt(waiting)
      yield* sql`insert into t values (5)`
      yield* assertIdle(sql)
    })
  )
})
