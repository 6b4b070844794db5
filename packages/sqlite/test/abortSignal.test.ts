/** Where Effect ends and promises begin: an AbortSignal stops the statement itself, not just the waiting for it. */
import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Cause, Effect, Exit, ManagedRuntime, Stream } from "effect"
import { endless } from "./conformance/stopping.js"
import { layerOf, layerOnFile, leftovers, onEngines } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const wait = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

onEngines("AbortSignal", (engine) => {
  const statement = Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(endless(engine)))

  const interrupted = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)

  it("stops the statement of a runtime, and the session goes on", async () => {
    const runtime = ManagedRuntime.make(layerOf(engine))
    try {
      await runtime.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`create table t(n)`))
      const controller = new AbortController()
      const running = runtime.runPromiseExit(statement, { signal: controller.signal })
      await wait(100)
      controller.abort()
      assert.isTrue(interrupted(await running))
      // In memory there is one session, with the table: it has not been replaced, and it is free.
      const count = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select count(*) as n from t`)
      assert.deepStrictEqual(await runtime.runPromise(count), [{ n: 0 }])
    } finally {
      await runtime.dispose()
    }
  })

  it("stops a program as a whole: the transaction is undone, the layer closed", async () => {
    const controller = new AbortController()
    let closed = false
    const program = Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t(n)`
      return yield* sql
        .withTransaction(Effect.zipRight(sql`insert into t values (1)`, statement))
        .pipe(
          Effect.onExit(() =>
            Effect.orDie(Effect.map(sql`select * from t`, (rows) => assert.deepStrictEqual(rows, [])))
          )
        )
    }).pipe(Effect.provide(layerOnFile(engine)), Effect.ensuring(Effect.sync(() => (closed = true))))
    const running = Effect.runPromiseExit(program, { signal: controller.signal })
    await wait(500)
    controller.abort()
    assert.isTrue(interrupted(await running))
    assert.isTrue(closed)
  })

  it("stops a stream, and what is run with a signal that has fired before", async () => {
    const runtime = ManagedRuntime.make(layerOf(engine))
    try {
      const controller = new AbortController()
      const rows = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Stream.runForEach(
          sql.unsafe("with recursive up(n) as (select 1 union all select n + 1 from up) select n from up").stream,
          () => Effect.sync(() => controller.abort())
        )
      )
      assert.isTrue(interrupted(await runtime.runPromiseExit(rows, { signal: controller.signal })))
      // Effect starts a fiber also for a signal that has fired, and stops it at once: the answer is the same.
      assert.isTrue(interrupted(await runtime.runPromiseExit(statement, { signal: AbortSignal.abort() })))
      const one = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select 1 as one`)
      assert.deepStrictEqual(await runtime.runPromise(one), [{ one: 1 }])
    } finally {
      await runtime.dispose()
    }
  })
})
