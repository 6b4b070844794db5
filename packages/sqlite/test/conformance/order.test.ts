import { assert, describe, it } from "@effect/vitest"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Fiber } from "effect"
import { layerOf, layerOnFile, leftovers, onEngines, reasonOf, spinFor } from "../support.js"

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

onEngines("order", (engine) => {
  it.scopedLive("row 7: 100 fibers insert in the order in which they were started", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (id integer primary key, a)`
      const fibers = yield* Effect.forEach(upTo(100), (n) => Effect.fork(sql`insert into t (a) values (${n})`))
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual((yield* sql`select a from t order by id`.values).flat(), upTo(100))
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 7: a thousand of them, most of which must wait on the loop's side", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (id integer primary key, a)`
      yield* Effect.forEach(upTo(1_000), (n) => sql`insert into t (a) values (${n})`, {
        concurrency: "unbounded",
        discard: true
      })
      assert.deepStrictEqual((yield* sql`select a from t order by id`.values).flat(), upTo(1_000))
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 7: answers come in that order, too, each to its own fiber", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const order: Array<number> = []
      const answers = yield* Effect.forEach(
        upTo(500),
        (n) => Effect.tap(sql<{ n: number }>`select ${n} as n`, () => Effect.sync(() => order.push(n))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(order, upTo(500))
      assert.deepStrictEqual(
        answers.map((rows) => rows[0]!.n),
        upTo(500)
      )
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 8: described as a, b and run as b, a: b is first", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (id integer primary key, a)`
      const a = sql`insert into t (a) values ('a')`
      const b = sql`insert into t (a) values ('b')`
      yield* Effect.all([b, a], { concurrency: 2 })
      assert.deepStrictEqual((yield* sql`select a from t order by id`.values).flat(), ["b", "a"])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 8: a statement is a description: it may be run never, or often", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      const insert = sql`insert into t values (1)`
      assert.deepStrictEqual(yield* sql`select a from t`, [])
      yield* insert
      yield* insert
      assert.strictEqual((yield* sql`select a from t`).length, 2)
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("what failed in between disturbs neither order nor neighbours", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a unique)`
      const results = yield* Effect.forEach(
        upTo(300),
        (n) =>
          n % 3 === 0
            ? Effect.map(reasonOf(sql`insert into t values (1)`), (failure) => failure.reason)
            : n % 3 === 1
              ? Effect.as(sql`insert into t values (${n})`, "inserted")
              : Effect.map(reasonOf(sql`select ${{} as never}`), (failure) => failure.reason),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        results,
        upTo(300).map((n) => (n % 3 === 0 ? "UniqueViolation" : n % 3 === 1 ? "inserted" : "InvalidParameter"))
      )
      assert.strictEqual((yield* sql`select a from t`).length, 100)
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("reads go past a long write on a file with readers, and see what was committed before", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      yield* sql`select count(*) as n from t`
      const write = yield* Effect.fork(sql.unsafe(`insert into t select n from (${spinFor(4_000_000)})`))
      yield* Effect.sleep(20)
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 0 }])
      assert.isNull(yield* Fiber.poll(write).pipe(Effect.map((exit) => (exit._tag === "None" ? null : exit))))
      yield* Fiber.join(write)
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 1 }])
    }).pipe(Effect.provide(layerOnFile(engine, { readers: 1 })))
  )
})

describe("order", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
