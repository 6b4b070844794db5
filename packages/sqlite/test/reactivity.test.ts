import { Reactivity } from "@effect/experimental"
import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { Deferred, Effect, Fiber, Layer, Mailbox, Queue, Stream } from "effect"
import { layerOf, leftovers, onEngines } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

/** The counts that a reactive query has given so far, and one more. */
const watch = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table t(n)`
  const seen = yield* Queue.unbounded<number>()
  const count = Effect.map(sql<{ n: number }>`select count(*) as n from t`, ([row]) => row!.n)
  yield* sql.reactive(["t"], count).pipe(
    Stream.runForEach((n) => Queue.offer(seen, n)),
    Effect.forkScoped
  )
  const next = Effect.timeout(Queue.take(seen), "10 seconds")
  assert.strictEqual(yield* next, 0)
  // Were one on its way, it would have come by the time that another statement has been answered and a timer has fired.
  const nothing = Effect.gen(function* () {
    yield* Effect.sleep(100)
    assert.strictEqual(yield* Queue.size(seen), 0)
  })
  return { sql, next, nothing, insert: sql`insert into t values (1)` }
})

onEngines("reactivity", (engine) => {
  const layers = Layer.merge(layerOf(engine), Reactivity.layer)

  it.scopedLive("a mutation inside a transaction takes effect after the commit", () =>
    Effect.gen(function* () {
      const { insert, next, nothing, sql } = yield* watch
      yield* Reactivity.mutation(insert, ["t"])
      assert.strictEqual(yield* next, 1)
      yield* sql.withTransaction(Effect.zipRight(Reactivity.mutation(insert, ["t"]), nothing))
      assert.strictEqual(yield* next, 2)
      yield* sql.withTransaction(Effect.zipRight(insert, Reactivity.invalidate({ t: [1] })))
      assert.strictEqual(yield* next, 3)
    }).pipe(Effect.provide(layers))
  )

  it.scopedLive("after a rollback there is nothing to see; of levels inside only what they kept", () =>
    Effect.gen(function* () {
      const { insert, next, nothing, sql } = yield* watch
      const mutate = Reactivity.mutation(insert, ["t"])
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(mutate, Effect.fail("undo"))))
      yield* nothing
      yield* sql.withTransaction(
        Effect.zipRight(Effect.ignore(sql.withTransaction(Effect.zipRight(mutate, Effect.fail("undo")))), nothing)
      )
      yield* nothing
      yield* sql.withTransaction(Effect.zipRight(sql.withTransaction(mutate), nothing))
      assert.strictEqual(yield* next, 1)
      // The inner level was kept, the outer was not.
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql.withTransaction(mutate), Effect.fail("undo"))))
      yield* nothing
      // An inner level that is undone does not take along what belongs to the outer one.
      const opened = yield* Deferred.make<void>()
      const registered = yield* Deferred.make<void>()
      const after: Array<string> = []
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const inner = yield* Effect.fork(
            Effect.ignore(
              sql.withTransaction(
                Effect.zipRight(
                  Deferred.succeed(opened, void 0),
                  Effect.zipRight(Deferred.await(registered), Effect.fail(""))
                )
              )
            )
          )
          yield* Deferred.await(opened)
          yield* sql.afterCommit(Effect.sync(() => after.push("outer")))
          yield* Deferred.succeed(registered, void 0)
          yield* Fiber.join(inner)
        })
      )
      assert.deepStrictEqual(after, ["outer"])
    }).pipe(Effect.provide(layers))
  )

  it.scopedLive("a fiber that outlives its level waits for what that has become a part of", () =>
    Effect.gen(function* () {
      const { insert, next, nothing, sql } = yield* watch
      const outlives = <E>(end: Effect.Effect<void, E>) =>
        sql.withTransaction(
          Effect.gen(function* () {
            const go = yield* Deferred.make<void>()
            const fiber = yield* sql.withTransaction(
              Effect.zipRight(
                insert,
                Effect.forkDaemon(Effect.zipRight(Deferred.await(go), Reactivity.invalidate(["t"])))
              )
            )
            yield* Deferred.succeed(go, undefined)
            yield* Fiber.join(fiber)
            yield* nothing
            yield* end
          })
        )
      yield* Effect.ignore(outlives(Effect.fail("undo")))
      yield* nothing
      yield* outlives(Effect.void)
      assert.strictEqual(yield* next, 1)
    }).pipe(Effect.provide(layers))
  )

  it.scopedLive("so it is for who got the service before, and for mailboxes", () =>
    Effect.gen(function* () {
      const reactivity = yield* Reactivity.Reactivity
      const { insert, next, nothing, sql } = yield* watch
      const mailbox = yield* sql.reactiveMailbox(["t"], sql`select n from t`)
      const counts = yield* Effect.fork(Stream.runCollect(Stream.take(Mailbox.toStream(mailbox), 2)))
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* reactivity.mutation(["t"], insert)
          reactivity.unsafeInvalidate(["t"])
          yield* nothing
        })
      )
      assert.strictEqual(yield* next, 1)
      assert.deepStrictEqual(
        Array.from(yield* Fiber.join(counts), (rows) => rows.length),
        [0, 1]
      )
    }).pipe(Effect.provide(layers))
  )

  it.scopedLive("in transactions of two clients, after the outer one's commit", () =>
    Effect.gen(function* () {
      const { nothing, sql } = yield* watch
      // Not into the table that is watched: what the inner one commits is there, whatever becomes of the outer one.
      yield* sql`create table u (n)`
      const insert = sql`insert into u values (1)`
      yield* Effect.gen(function* () {
        const outer = yield* SqlClient.SqlClient
        const reactivity = yield* Reactivity.Reactivity
        const runs: Array<string> = []
        yield* Effect.acquireRelease(
          Effect.sync(() => reactivity.unsafeRegister(["both"], () => runs.push("run"))),
          (stop) => Effect.sync(stop)
        )
        yield* outer.withTransaction(
          Effect.gen(function* () {
            yield* sql.withTransaction(reactivity.mutation(["both"], insert))
            yield* nothing
            assert.deepStrictEqual(runs, [])
          })
        )
        assert.deepStrictEqual(runs, ["run"])
        // The outer one is undone, what the inner one has committed is not.
        const both = sql.withTransaction(reactivity.mutation(["both"], insert))
        yield* Effect.ignore(outer.withTransaction(Effect.zipRight(both, Effect.fail("undo"))))
        assert.deepStrictEqual(runs, ["run", "run"])
        const undone = Effect.ignore(sql.withTransaction(Effect.zipRight(both, Effect.fail("undo"))))
        yield* outer.withTransaction(undone)
        assert.deepStrictEqual(runs, ["run", "run"])
      }).pipe(Effect.provide(layers))
    }).pipe(Effect.provide(layers))
  )
})
