import { afterAll, assert, describe, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { Effect, Fiber } from "effect"
import { assertIdle, open, timed } from "./conformance/stopping.js"
import { leftovers, reasonOf, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

for (const engine of ["native", "portable"] as const) {
  describe(`PRAGMA busy_timeout (${engine})`, () => {
    it.scopedLive("sets how long a lock is waited for, and what waits is stopped as ever", () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        const holder = yield* open(engine, { filename })
        yield* holder`create table t (n)`
        const waits = { filename, grace: 10_000 }
        const configured = yield* open(engine, { ...waits, busyTimeout: 0, pragmas: { busy_timeout: 20_000 } })
        const told = yield* open(engine, { ...waits, busyTimeout: 0 })
        assert.deepStrictEqual(yield* told`PRAGMA main."busy_timeout" ( 20000 )`.values, [[20_000]])
        yield* holder.withTransaction(
          Effect.gen(function* () {
            yield* holder`insert into t values (1)`
            for (const sql of [configured, told]) {
              const insert = sql`insert into t values (2)`
              const [late, failure] = yield* timed(reasonOf(insert.pipe(SqlClient.withDeadline("300 millis"))))
              assert.strictEqual(failure.reason, "StatementTimeout")
              const fiber = yield* Effect.fork(insert)
              yield* Effect.sleep(100)
              const [stopped] = yield* timed(Fiber.interrupt(fiber))
              // A lock that is waited for without a look would hold both up until the grace is over.
              assert.isBelow(late + stopped, 5_000)
              yield* sql`pragma busy_timeout = 0`
              assert.strictEqual((yield* reasonOf(insert)).reason, "LockTimeout")
            }
          })
        )
        yield* Effect.forEach([configured, told], assertIdle, { discard: true })
      })
    )
  })
}

describe("PRAGMA busy_timeout and handlers (native)", () => {
  it.scopedLive("a busy handler goes on being asked, and a PRAGMA that is denied sets nothing", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const holder = yield* open("native", { filename })
      yield* holder`create table t (n)`
      const sql = yield* open("native", { filename, pragmas: { busy_timeout: 60_000 } })
      let asked = 0
      const { remove } = yield* sql.busyHandler(() => Effect.sync(() => asked++ < 0))
      const insert = sql`insert into t values (2)`
      yield* holder.withTransaction(
        Effect.gen(function* () {
          yield* holder`insert into t values (1)`
          assert.strictEqual((yield* reasonOf(insert)).reason, "LockTimeout")
          assert.strictEqual(asked, 1)
          yield* sql`pragma busy_timeout = 100`
          assert.strictEqual((yield* reasonOf(insert)).reason, "LockTimeout")
          assert.strictEqual(asked, 2)
          yield* remove
          assert.strictEqual((yield* reasonOf(insert)).reason, "LockTimeout")
          // SQLITE_PRAGMA
          yield* sql.authorizer(({ action }) => Effect.succeed(action === 19 ? "ignore" : "ok"))
          yield* sql`pragma busy_timeout = 60000`
          const [waited, failure] = yield* timed(reasonOf(insert))
          assert.strictEqual(failure.reason, "LockTimeout")
          assert.isBelow(waited, 20_000)
        })
      )
      assert.strictEqual(asked, 2)
      yield* assertIdle(sql)
    })
  )
})
