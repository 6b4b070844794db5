/** Finalizers and their like: what ends there by a deadline or with the client, and that nothing else ends it. */
import { assert, describe, it } from "@effect/vitest"
import { SessionPool, SqlClient, SqlFailure, type SqlTransport } from "@sluice/sql"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, Stream, TestClock } from "effect"
import { guard } from "../src/internal/guard.js"
import { failure, fake, type FakeOptions } from "./fakeTransport.js"

const using = <A, E>(options: FakeOptions, body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
  Effect.flatMap(SqlClient.SqlClient, body).pipe(Effect.provide(SqlClient.layer), Effect.provide(fake(options).layer))

const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => SqlFailure.from(error).reason)

const flushed = Effect.repeatN(Effect.yieldNow(), 100)

const soon = SqlClient.withDeadline("3 seconds")

const insert = "insert into t values (?)"

type Use = (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>

const uses: Record<string, Use> = {
  "a statement": (sql) => sql`select 1`,
  "a stream": (sql) => Stream.runDrain(sql`select 1`.stream),
  "a transaction": (sql) => sql.withTransaction(sql`select 1`),
  many: (sql) => sql.many(insert, [[1]]),
  "many from a Stream": (sql) => sql.many(insert, Stream.make([1])),
  "a description": (sql) => sql.describe("select 1")
}

/** Runs it uninterruptibly while another fiber has the turn; `meanwhile` is run before that one gives it back. */
const behind = <A>(
  sql: SqlClient.SqlClient,
  region: Effect.Effect<A>,
  meanwhile: (fiber: Fiber.RuntimeFiber<A>) => Effect.Effect<unknown>
) =>
  Effect.gen(function* () {
    const held = yield* Deferred.make<void>()
    const holder = yield* Effect.fork(
      sql.withTransaction(Effect.zipRight(Deferred.succeed(held, undefined), Effect.never))
    )
    yield* Deferred.await(held)
    const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(region))
    yield* flushed
    yield* meanwhile(fiber)
    yield* Fiber.interrupt(holder)
    return yield* Fiber.await(fiber)
  })

const places = {
  "a transaction": <A, E>(_: SqlClient.SqlClient, effect: Effect.Effect<A, E>): Effect.Effect<A, unknown> => effect,
  "a savepoint": <A, E>(sql: SqlClient.SqlClient, effect: Effect.Effect<A, E>): Effect.Effect<A, unknown> =>
    sql.withTransaction(effect)
}

describe("in an uninterruptible region", () => {
  for (const [place, within] of Object.entries(places)) {
    for (const [name, use] of Object.entries(uses)) {
      it.effect(`${name} behind ${place} keeps its deadline`, () =>
        using({}, (sql) =>
          within(
            sql,
            Effect.gen(function* () {
              const region = reasonOf(soon(use(sql)).pipe(Effect.asVoid))
              const exit = yield* behind(sql, region as Effect.Effect<unknown>, (fiber) =>
                Effect.gen(function* () {
                  yield* TestClock.adjust("4 seconds")
                  assert.strictEqual(yield* Fiber.join(fiber), "StatementTimeout")
                })
              )
              assert.isTrue(Exit.isSuccess(exit))
            })
          )
        )
      )

      it.effect(`${name} behind ${place} hears no interrupt`, () =>
        using({}, (sql) =>
          within(
            sql,
            Effect.gen(function* () {
              let ended: Exit.Exit<unknown, unknown> | undefined
              const region = Effect.map(Effect.exit(soon(use(sql))), (exit) => {
                ended = exit
              })
              yield* behind(sql, region, (fiber) =>
                Effect.gen(function* () {
                  yield* Fiber.interruptFork(fiber)
                  yield* flushed
                  assert.isUndefined(ended)
                })
              )
              assert.isTrue(ended !== undefined && Exit.isSuccess(ended), String(ended))
            })
          )
        )
      )
    }
  }

  for (const keepsContract of [false, true]) {
    it.effect(
      `a statement of a session that ${keepsContract ? "keeps" : "does not keep"} the contract is ended by its deadline alone`,
      () => {
        let stopped = false
        return using(
          {
            keepsContract,
            run: () =>
              Effect.onInterrupt(Effect.never, () =>
                Effect.sync(() => {
                  stopped = true
                })
              )
          },
          (sql) =>
            Effect.gen(function* () {
              // With a TestClock nobody but the client can keep it.
              const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(reasonOf(soon(sql`endless`))))
              yield* flushed
              yield* Fiber.interruptFork(fiber)
              yield* TestClock.adjust("2 seconds")
              assert.isFalse(stopped)
              yield* TestClock.adjust("2 seconds")
              yield* Fiber.await(fiber)
              assert.isTrue(stopped)
            })
        )
      }
    )
  }

  it.effect("many from a Stream ends with it, and is not ended by an interrupt", () =>
    using({}, (sql) =>
      Effect.gen(function* () {
        const all = Effect.uninterruptible(sql.many(insert, Stream.make([1], [2])))
        assert.deepStrictEqual(yield* all, { changes: 2 })
        assert.deepStrictEqual(yield* sql.withTransaction(all), { changes: 2 })
        const go = yield* Deferred.make<void>()
        const slow = Stream.concat(Stream.make([1]), Stream.fromEffect(Effect.as(Deferred.await(go), [2])))
        let sum: unknown
        const fiber = yield* Effect.forkDaemon(
          Effect.uninterruptible(
            Effect.map(Effect.exit(sql.many(insert, slow)), (exit) => {
              sum = exit
            })
          )
        )
        yield* flushed
        yield* Fiber.interruptFork(fiber)
        yield* flushed
        assert.isUndefined(sum)
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.await(fiber)
        assert.deepStrictEqual(sum, Exit.succeed({ changes: 2 }))
      })
    )
  )

  it.effect("many from a Stream that stalls fails when the client is closed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Layer.provide(SqlClient.layer, fake().layer), scope)
      const fiber = yield* Effect.forkDaemon(
        Effect.uninterruptible(
          Effect.flatMap(SqlClient.SqlClient, (sql) => reasonOf(sql.many(insert, Stream.never))).pipe(
            Effect.provide(context)
          )
        )
      )
      yield* flushed
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(fiber), "Closed")
    })
  )

  it.effect("a pool whose first session does not come is not waited for", () =>
    Effect.gen(function* () {
      const pool = SessionPool.make({
        name: "test",
        connect: Effect.never,
        sharing: "fifo",
        min: 1,
        max: 1,
        acquireTimeout: "3 seconds"
      })
      const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(reasonOf(Effect.scoped(pool))))
      yield* flushed
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "PoolTimeout")
    })
  )

  it.effect("the loss of a guarded session is told", () =>
    Effect.gen(function* () {
      const session = { lost: Effect.succeed(failure("SessionLost")) } as SqlTransport.Session
      const { lost } = yield* guard(session, "1 second")
      const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(lost))
      assert.strictEqual(SqlFailure.from(yield* Fiber.join(fiber)).reason, "SessionLost")
    })
  )

  it.effect("a second interrupt does not cut short the stop of a statement", () => {
    let quiet = false
    return using(
      {
        run: () =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.map(Effect.sleep("1 second"), () => {
              quiet = true
            })
          )
      },
      (sql) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.fork(sql`endless`)
          yield* flushed
          yield* Fiber.interruptFork(fiber)
          yield* flushed
          const second = yield* Effect.fork(Fiber.interrupt(fiber))
          yield* flushed
          assert.isNull(second.unsafePoll())
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(second)
          assert.isTrue(quiet)
        })
    )
  })
})
