/** What goes to the writer by other ways than a statement is in turn, in time and told of all the same. */
import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient, SqlTransport } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Fiber, Layer, Stream } from "effect"
import { moduleUrl } from "./callbacks/moduleUrl.js"
import type * as functions from "./callbacks/workerFunctions.js"
import { endless, open } from "./conformance/stopping.js"
import { noting } from "./noting.js"
import { countTo, layerOf, leftovers, onEngines, reasonOf, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const url = moduleUrl(new URL("./callbacks/workerFunctions.ts", import.meta.url))

onEngines("beside statements", (engine) => {
  it.scopedLive("an outer level waits while an inner one is open, so nothing of it is undone with that", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const module = yield* sql.workerModule<typeof functions>(url)
      yield* sql`create table t (a)`
      const ways: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        sql.batch(["insert into t values (1)"]),
        module.runInWorker("calls", "insert into t values (1)"),
        sql.onSession((session) =>
          session.run({ ...SqlTransport.request("insert into t values (1)"), transaction: "required" })
        )
      ]
      for (const way of ways) {
        yield* sql.withTransaction(
          Effect.gen(function* () {
            const inner = yield* Effect.fork(
              sql.withTransaction(
                Effect.gen(function* () {
                  yield* sql`insert into t values (2)`
                  yield* Effect.sleep("150 millis")
                  return yield* Effect.fail("undone")
                })
              )
            )
            yield* Effect.sleep("30 millis")
            yield* way
            assert.strictEqual(String(yield* Effect.flip(Fiber.join(inner))), "undone")
          })
        )
        assert.strictEqual((yield* sql`select * from t`).length, 1)
        yield* sql`delete from t`
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a batch that comes after its transaction is not run", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      const late = yield* sql.withTransaction(
        Effect.forkDaemon(Effect.delay(reasonOf(sql.batch(["insert into t values (1)"])), "50 millis"))
      )
      const { outcome, reason } = yield* Fiber.join(late)
      assert.deepStrictEqual([reason, outcome], ["TransactionGone", "notExecuted"])
      assert.deepStrictEqual(yield* sql`select * from t`, [])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("integers of a batch are those of statements", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const big = 2n ** 53n + 1n
      const failed = yield* reasonOf(sql.batch(["select 1 as b", sql`select 2 as a, ${big} as wide`]))
      assert.deepStrictEqual([failed.reason, failed.failedRow, failed.outcome], ["ConversionFailed", 1, "executed"])
      assert.include(failed.message, "wide")
      const answers = yield* Effect.provideService(
        sql.batch(["select 1 as a", sql`select ${big} as a`]),
        SqlClient.SafeIntegers,
        true
      )
      assert.deepStrictEqual(answers, [[{ a: 1n }], [{ a: big }]])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("names of a batch's results are those of statements", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      assert.deepStrictEqual(yield* sql.batch(["select 1 as user_id"]), [[{ userId: 1 }]])
      const plain = sql.withoutTransforms()
      assert.deepStrictEqual(yield* plain.batch(["select 1 as user_id"]), [[{ user_id: 1 }]])
    }).pipe(
      Effect.provide(
        layerOf(engine, {
          transformResultNames: (name) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
        })
      )
    )
  )

  it.scopedLive("a batch has the time of a statement, a backup has not", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const { reason } = yield* reasonOf(sql.batch(["select 1", countTo(3_000_000)]))
      assert.strictEqual(reason, "StatementTimeout")
      assert.isAbove((yield* sql.export).length, 0)
    }).pipe(Effect.provide(layerOf(engine, { statementTimeout: "100 millis" })))
  )

  it.scopedLive("a member with another number of parameters fails as the statement does", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      for (const [text, params] of [
        ["insert into t values (?)", []],
        ["select ?, ?", [1]],
        ["insert into t values (1)", [1]],
        ["-- nothing", [1]]
      ] as const) {
        const member = sql.unsafe(text, params)
        const { message, reason, statement } = yield* reasonOf(member)
        assert.strictEqual(reason, "InvalidParameter")
        const failed = yield* reasonOf(sql.batch(["insert into t values (1)", member]))
        assert.deepInclude(failed, { message, reason, statement, failedRow: 1, outcome: "notExecuted" })
      }
      assert.deepStrictEqual(yield* sql`select * from t`, [])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a temporary table that it makes is seen beside readers", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      yield* sql`create table t (a)`
      for (let i = 0; i < 3; i++) {
        // Texts that readers answer from now on.
        yield* sql`SELECT 1`
        assert.deepStrictEqual(yield* sql`select * from t`, [])
      }
      yield* sql.batch(["create temp table t (a)", "insert into t values (99)"])
      assert.deepStrictEqual(yield* sql`select * from t`, [{ a: 99 }])
    })
  )

  it.scopedLive("what is refused before it begins leaves nothing in the worker", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const module = yield* sql.workerModule<typeof functions>(url)
      yield* sql`create table t (b)`
      const size = 1 << 20
      const batch = sql.batch([sql`insert into t values (${new Uint8Array(size)})`])
      let texts = 0
      const text = Effect.suspend(
        () => sql.unsafe(`insert into t values ('${String(texts++).padEnd(size)}')`).unprepared
      )
      const description = Effect.suspend(() => sql.describe(`select '${String(texts++).padEnd(size)}'`))
      const busy = sql.unsafe(endless(engine)).pipe(SqlClient.withDeadline("400 millis"), reasonOf)
      // Rows of a write that are too many to wait in the worker hold the session until they are taken.
      const rows = sql.unsafe(`insert into t ${countTo(200)} returning zeroblob(100000)`).stream
      const times = (run: Effect.Effect<unknown, unknown>) =>
        Effect.forEach(Array.from({ length: 8 }), () => Effect.ignore(run), { concurrency: "unbounded", discard: true })
      const round = Effect.forEach([batch, text, description], (refused) =>
        Effect.gen(function* () {
          const running = yield* Effect.fork(busy)
          yield* Effect.sleep(30)
          yield* times(refused.pipe(SqlClient.withDeadline("100 millis")))
          yield* Fiber.join(running)
          yield* Stream.runHead(Stream.tap(rows, () => times(refused))).pipe(SqlClient.withPrefetch(10))
        })
      )
      yield* round
      const before = yield* module.runInWorker("held")
      yield* round
      yield* round
      assert.isBelow((yield* module.runInWorker("held")) - before, 8 * size)
    }).pipe(Effect.provide(layerOf(engine, { busyTimeout: "50 millis" })))
  )

  it.scopedLive("a transaction that a stopped batch has ended is gone", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      const heavy = `insert into t ${countTo(1_000_000_000)}`
      const late = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.ignore(SqlClient.withDeadline("100 millis")(effect))
      const interrupted = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.ignore(Effect.timeout(effect, "100 millis"))
      // The portable engine stops between rows, of which this has none.
      for (const stopped of engine === "native" ? [late, interrupted] : []) {
        for (const way of [sql.unsafe(heavy), sql.batch([heavy])]) {
          const gone = yield* reasonOf(
            sql.withTransaction(Effect.zipRight(sql`insert into t values (1)`, stopped(way)))
          )
          assert.strictEqual(gone.reason, "TransactionGone")
          const inside = yield* sql
            .withTransaction(Effect.zipRight(stopped(way), reasonOf(sql`insert into t values (1)`)))
            .pipe(reasonOf)
          assert.strictEqual(inside.reason, "TransactionGone")
          assert.deepStrictEqual(yield* sql`select * from t`, [])
        }
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("what was sent before its transaction was ended is not run outside of it", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const module = yield* sql.workerModule<typeof functions>(url)
      yield* sql`create table t (a integer primary key, b)`
      yield* sql`insert into t values (1, zeroblob(1))`
      const insert = "insert into t values (2, null)"
      const ways = [sql.batch([insert]), module.runInWorker("calls", insert)]
      const ending = Effect.ignore(sql.batch(["insert or rollback into t values (1, null)"]))
      const meet = (way: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function* () {
          const both = [ending, reasonOf(way)] as const
          const [, { outcome, reason }] = yield* Effect.all(both, { concurrency: "unbounded" })
          assert.deepStrictEqual([reason, outcome], ["TransactionGone", "notExecuted"])
        })
      for (const way of ways) {
        assert.strictEqual((yield* reasonOf(sql.withTransaction(meet(way)))).reason, "TransactionGone")
      }
      if (engine === "native") {
        const written = Effect.gen(function* () {
          const blob = yield* sql.blob({ table: "t", column: "b", rowid: 1, write: true })
          yield* meet(blob.write(0, new Uint8Array([7])))
        })
        assert.strictEqual((yield* reasonOf(sql.withTransaction(Effect.scoped(written)))).reason, "TransactionGone")
      }
      assert.deepStrictEqual(yield* sql`select a, hex(b) as b from t`, [{ a: 1, b: "00" }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("no statement has failed where COMMIT fails", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table p (a integer primary key)`
      yield* sql`create table t (a references p deferrable initially deferred)`
      const failed = yield* reasonOf(sql.batch(["insert into t values (1)", "insert into t values (2)"]))
      assert.deepInclude(failed, { reason: "Constraint", outcome: "notExecuted" })
      assert.isUndefined(failed.failedRow)
      assert.deepStrictEqual(yield* sql`select * from t`, [])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a batch is a span, with the operation where all have the same", () => {
    const { layer, spans } = noting()
    return Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.batch(["create table t (a)"])
      yield* sql.batch(["insert into t values (1)", "insert into t values (2)"])
      yield* sql.batch(["insert into t values (3)", "select * from t"])
      yield* Effect.ignore(sql.batch(["insert into t values (4)", "select * from nowhere"]))
      const told = spans
        .filter((attributes) => attributes.has("db.query.text"))
        .map((attributes) => [
          attributes.get("name"),
          attributes.get("db.operation.name"),
          attributes.get("db.operation.batch.size"),
          attributes.get("error.type")
        ])
      assert.deepStrictEqual(told, [
        ["CREATE TABLE t", "CREATE", undefined, undefined],
        ["BATCH INSERT t", "BATCH INSERT", 2, undefined],
        ["BATCH", "BATCH", 2, undefined],
        ["BATCH", "BATCH", 2, "SqlSyntax"]
      ])
      assert.strictEqual(spans.at(-1)!.get("db.query.text"), "insert into t values (4);\nselect * from nowhere")
    }).pipe(Effect.provide(Layer.provideMerge(layerOf(engine), layer)))
  })
})
