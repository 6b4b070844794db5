import { assert, describe, it } from "@effect/vitest"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Fiber } from "effect"
import { layerOf, leftovers, onEngines, reasonOf, spinFor } from "../support.js"

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
const inWorker = 64

onEngines("admission", (engine) => {
  /** Forks inserts behind a statement that takes its time; answers `true` or the failure of each. */
  const crowd = (sql: SqliteClient.SqliteClient, count: number, value: (n: number) => unknown) =>
    Effect.gen(function* () {
      yield* sql`create table if not exists t (id integer primary key, n, v)`
      const busy = yield* Effect.fork(sql.unsafe(spinFor(500_000)))
      yield* Effect.yieldNow()
      const fibers = yield* Effect.forEach(upTo(count), (n) =>
        Effect.fork(Effect.either(sql`insert into t (n, v) values (${n}, ${value(n) as string})`))
      )
      yield* Fiber.join(busy)
      return yield* Effect.forEach(fibers, (fiber) =>
        Effect.map(Fiber.join(fiber), (result) => result._tag === "Right")
      )
    })

  it.scopedLive("a thousand statements wait for their turn, and keep their order", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const results = yield* crowd(sql, 1_000, String)
      assert.isTrue(results.every((done) => done))
      assert.deepStrictEqual((yield* sql`select n from t order by id`.values).flat(), upTo(1_000))
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("maxQueued counts those beyond the 64 that the worker has", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const results = yield* crowd(sql, 100, String)
      // One of the 64 is the long one.
      const accepted = inWorker - 1 + 10
      assert.deepStrictEqual(
        results,
        upTo(100).map((n) => n <= accepted)
      )
      assert.deepStrictEqual((yield* sql`select n from t order by id`.values).flat(), upTo(accepted))
      assert.isTrue(
        (yield* crowd(sql, 50, String)).every((done) => done),
        "there is room again"
      )
    }).pipe(Effect.provide(layerOf(engine, { maxQueued: 10 })))
  )

  it.scopedLive("maxQueued: 0 lets nobody wait; the failure is typed, and says that nothing ran", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (n)`
      const busy = yield* Effect.fork(sql.unsafe(spinFor(500_000)))
      yield* Effect.yieldNow()
      const fibers = yield* Effect.forEach(upTo(inWorker - 1), (n) => Effect.fork(sql`insert into t values (${n})`))
      yield* Effect.yieldNow()
      const late: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        sql`insert into t values (0)`,
        sql`insert into t values (0)`.values
      ]
      for (const statement of late) {
        const failure = yield* reasonOf(statement)
        assert.strictEqual(failure.reason, "PoolTimeout")
        assert.strictEqual(failure.outcome, "notExecuted")
        assert.isTrue(failure.isRetryable)
        assert.include(failure.message, "maxQueued")
        assert.strictEqual(failure.statement, "insert into t values (0)")
      }
      assert.strictEqual((yield* reasonOf(sql.many("insert into t values (?)", [[0]]))).reason, "PoolTimeout")
      yield* Fiber.join(busy)
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual((yield* sql`select n from t`.values).flat(), upTo(inWorker - 1))
    }).pipe(Effect.provide(layerOf(engine, { maxQueued: 0 })))
  )

  it.scopedLive("maxQueuedBytes bounds what the waiting ones weigh", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const results = yield* crowd(sql, 80, (n) => (n < inWorker ? "" : "x".repeat(n === 75 ? 1 : 10_000)))
      // 63 beside the long one; 4 of 10 kB; then only the small one fits.
      assert.deepStrictEqual(
        upTo(80).filter((n) => results[n - 1]),
        [...upTo(inWorker - 1), 64, 65, 66, 67, 75]
      )
      assert.isTrue(
        (yield* crowd(sql, 66, () => "x".repeat(10_000))).every((done) => done),
        "there is room again"
      )
    }).pipe(Effect.provide(layerOf(engine, { maxQueuedBytes: 45_000 })))
  )

  it.scopedLive("those that gave up waiting make room, and never run", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (n)`
      const busy = yield* Effect.fork(sql.unsafe(spinFor(500_000)))
      yield* Effect.yieldNow()
      const inside = yield* Effect.forEach(upTo(inWorker - 1), () => Effect.fork(sql`select 1`))
      for (let i = 0; i < 100; i++) {
        const waiting = yield* Effect.fork(sql`insert into t values (${"x".repeat(900)})`)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(waiting)
      }
      const last = yield* Effect.fork(sql`insert into t values (${"last"})`)
      yield* Fiber.join(busy)
      yield* Fiber.joinAll(inside)
      yield* Fiber.join(last)
      assert.deepStrictEqual(yield* sql`select n from t`, [{ n: "last" }])
    }).pipe(Effect.provide(layerOf(engine, { maxQueued: 1, maxQueuedBytes: 1_000 })))
  )

  it.scopedLive("a statement that cannot be sent is refused when its turn to queue comes, and takes no room", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const busy = yield* Effect.fork(sql.unsafe(spinFor(300_000)))
      yield* Effect.yieldNow()
      const inside = yield* Effect.forEach(upTo(inWorker - 1), () => Effect.fork(sql`select 1`))
      yield* Effect.yieldNow()
      for (let i = 0; i < 5; i++) {
        assert.strictEqual((yield* reasonOf(sql`select ${NaN}`)).reason, "InvalidParameter")
      }
      const waiting = yield* Effect.fork(sql`select 2 as two`)
      yield* Fiber.join(busy)
      yield* Fiber.joinAll(inside)
      assert.deepStrictEqual(yield* Fiber.join(waiting), [{ two: 2 }])
    }).pipe(Effect.provide(layerOf(engine, { maxQueued: 1 })))
  )
})

describe("admission", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
