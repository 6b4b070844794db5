/** Every command of a transaction fails once, in every way: nothing that was reported as failed is there in the end. */
import * as EffectSql from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, TestTransport } from "@sluice/sql"
import { SqliteClient, SqliteTransport } from "@sluice/sqlite"
import { Deferred, Effect, Either, Fiber, Layer, Schedule, Stream } from "effect"
import { layerOf, layerOnFile, onEngines, tempFile } from "./support.js"

const { fault } = TestTransport

const faults = {
  "fails before it is done": fault.fail("LockTimeout"),
  "fails after it was done": fault.fail("Unknown", "after"),
  "loses the session before": fault.drop(),
  "loses the session after": fault.drop("after")
}

/** The first command of this kind goes wrong, on a database with a table `t`. */
const using = <A, E>(
  only: RegExp,
  first: TestTransport.Fault,
  body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>
) =>
  Effect.flatMap(tempFile, (filename) => {
    const Faulty = TestTransport.faults({ on: ["control"], only, schedule: { 1: first } })
    const Sql = SqlClient.layer.pipe(Layer.provide(Faulty), Layer.provide(SqliteTransport.layer({ filename })))
    return Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`create table t(a text)`
      return yield* body(sql)
    }).pipe(Effect.provide(Sql))
  })

const insert = (sql: SqlClient.SqlClient, a: string) => sql`insert into t values (${a})`

/** Also the proof that the next statement has a session that works. */
const rowsOf = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ a: string }>`select a from t`, (rows) => rows.map(({ a }) => a))

const reasonOf = (error: unknown) => SqlFailure.from(error).reason

describe("a transaction's command goes wrong", () => {
  for (const [how, wrong] of Object.entries(faults)) {
    it.scopedLive(`ROLLBACK TO ${how}: what the savepoint did is not committed with the rest`, () =>
      using(/^rollback to/i, wrong, (sql) =>
        Effect.gen(function* () {
          let after: unknown
          const outer = yield* Effect.gen(function* () {
            yield* insert(sql, "outer")
            yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(sql, "inner"), Effect.fail("no"))))
            after = yield* Effect.either(insert(sql, "later"))
          }).pipe(sql.withTransaction, Effect.either)
          const rows = yield* rowsOf(sql)
          assert.notInclude(rows, "inner")
          // Done after all: the transaction went on. Else it has ended, and everybody in it was told.
          assert.deepStrictEqual(rows, Either.isRight(outer) ? ["outer", "later"] : [])
          assert.strictEqual(Either.isRight(outer), Either.isRight(after as Either.Either<unknown, unknown>))
          if (how === "fails before it is done" && Either.isLeft(outer)) {
            assert.strictEqual(reasonOf(outer.left), "TransactionGone")
          }
        })
      )
    )

    it.scopedLive(`RELEASE ${how}: the inner transaction that failed is undone`, () =>
      using(/^release/i, wrong, (sql) =>
        Effect.gen(function* () {
          let heard = false
          const told = Effect.sync(() => {
            heard = true
          })
          let inner: unknown
          const outer = yield* Effect.gen(function* () {
            yield* insert(sql, "outer")
            inner = yield* Effect.flip(
              sql.withTransaction(Effect.zipRight(insert(sql, "inner"), sql.afterCommit(told)))
            )
          }).pipe(sql.withTransaction, Effect.either)
          assert.include(["LockTimeout", "Unknown", "SessionLost"], reasonOf(inner))
          assert.deepStrictEqual(yield* rowsOf(sql), Either.isRight(outer) ? ["outer"] : [])
          assert.isFalse(heard)
        })
      )
    )

    it.scopedLive(`SAVEPOINT ${how}: the inner transaction has not begun, the outer one goes on if it can`, () =>
      using(/^savepoint/i, wrong, (sql) =>
        Effect.gen(function* () {
          const outer = yield* Effect.gen(function* () {
            yield* insert(sql, "outer")
            yield* Effect.flip(sql.withTransaction(insert(sql, "inner")))
            yield* insert(sql, "later")
          }).pipe(sql.withTransaction, Effect.either)
          assert.deepStrictEqual(yield* rowsOf(sql), how.startsWith("fails") ? ["outer", "later"] : [])
          assert.strictEqual(Either.isRight(outer), how.startsWith("fails"))
        })
      )
    )

    it.scopedLive(`BEGIN, COMMIT, ROLLBACK ${how}: typed, and the next one has a session that works`, () =>
      Effect.gen(function* () {
        for (const only of [/^begin/i, /^commit/i, /^rollback$/i]) {
          const rows = yield* using(only, wrong, (sql) =>
            Effect.gen(function* () {
              const undone = Effect.zipRight(insert(sql, "first"), Effect.fail("no"))
              const first = yield* Effect.flip(
                sql.withTransaction(only.test("ROLLBACK") ? undone : insert(sql, "first"))
              )
              assert.isTrue(first === "no" || ["LockTimeout", "Unknown", "SessionLost"].includes(reasonOf(first)))
              yield* sql.withTransaction(insert(sql, "second"))
              return yield* rowsOf(sql)
            })
          )
          const done = only.test("COMMIT") && /after/.test(how)
          assert.deepStrictEqual(rows, done ? ["first", "second"] : ["second"], String(only))
        }
      })
    )
  }
})

describe("a COMMIT that may have been done", () => {
  for (const reason of ["Serialization", "Deadlock", "LockTimeout"] as const) {
    it.scopedLive(`${reason}: the transaction is not run again`, () =>
      using(/^commit/i, fault.fail(reason, "after"), (sql) =>
        Effect.gen(function* () {
          const retry = Schedule.recurs(3)
          const failure = SqlFailure.from(yield* Effect.flip(sql.transaction({ retry })(insert(sql, "once"))))
          assert.deepStrictEqual([failure.reason, failure.outcome], [reason, "unknown"])
          assert.deepStrictEqual(yield* rowsOf(sql), ["once"])
        })
      )
    )

    it.scopedLive(`${reason} before it: the transaction is run again`, () =>
      using(/^commit/i, fault.fail(reason), (sql) =>
        Effect.gen(function* () {
          yield* sql.transaction({ retry: Schedule.recurs(3) })(insert(sql, "once"))
          assert.deepStrictEqual(yield* rowsOf(sql), ["once"])
        })
      )
    )
  }
})

describe("deadlines of transactions", () => {
  it.scopedLive("does not count after the commit", () =>
    using(/never/, fault.lose, (sql) =>
      Effect.gen(function* () {
        const body = Effect.gen(function* () {
          yield* insert(sql, "in time")
          yield* sql.afterCommit(insert(sql, "after"))
          yield* Effect.sleep("3 seconds")
        })
        yield* sql.transaction({ deadline: "2900 millis" })(body)
        assert.deepStrictEqual(yield* rowsOf(sql), ["in time", "after"])
      })
    )
  )

  it.scopedLive("nor does an inner one's", () =>
    using(/never/, fault.lose, (sql) =>
      Effect.gen(function* () {
        const inner = Effect.zipRight(insert(sql, "inner"), sql.afterCommit(insert(sql, "after")))
        const body = Effect.zipRight(sql.transaction({ deadline: "2 seconds" })(inner), Effect.sleep("2100 millis"))
        yield* sql.transaction({ deadline: "1 minute" })(body)
        assert.deepStrictEqual(yield* rowsOf(sql), ["inner", "after"])
      })
    )
  )

  it.scopedLive("a SAVEPOINT whose answer never comes", () =>
    using(/^savepoint/i, fault.lose, (sql) =>
      Effect.gen(function* () {
        const inner = sql.transaction({ deadline: "200 millis" })(insert(sql, "inner"))
        const late = yield* sql.withTransaction(Effect.flip(inner))
        assert.strictEqual(reasonOf(late), "StatementTimeout")
        assert.deepStrictEqual(yield* rowsOf(sql), [])
      })
    )
  )

  it.scopedLive("the turn on a reserved session that somebody's transaction has", () =>
    using(/never/, fault.lose, (sql) =>
      Effect.gen(function* () {
        const there = Effect.provideService(EffectSql.TransactionConnection, [yield* sql.reserve, 0])
        const begun = yield* Deferred.make<void>()
        const holder = sql.withTransaction(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never))
        const held = yield* Effect.fork(there(holder))
        yield* Deferred.await(begun)
        const late = yield* Effect.flip(there(sql.transaction({ deadline: "200 millis" })(sql`select 1`)))
        assert.strictEqual(reasonOf(late), "StatementTimeout")
        yield* Fiber.interrupt(held)
        assert.deepStrictEqual(yield* there(sql.withTransaction(rowsOf(sql))), [])
      }).pipe(Effect.scoped)
    )
  )
})

onEngines("a BEGIN that never ran, behind a script with a transaction of its own", (engine) => {
  const script = `begin; insert into t values ('script');
    with recursive n(n) as (select 1 union all select n + 1 from n limit 20) select n from n; commit`
  const write = (sql: SqliteClient.SqliteClient) => sql`insert into t values ('other')`
  const others: Record<string, (sql: SqliteClient.SqliteClient) => Effect.Effect<unknown, unknown>> = {
    "is interrupted": (sql) => Effect.timeout(sql.withTransaction(write(sql)), 50),
    "has a deadline": (sql) => sql.transaction({ deadline: 50 })(write(sql)),
    "is on a reserved session": (sql) =>
      Effect.scoped(Effect.flatMap(sql.reserve, (session) => session.execute("begin", [], undefined))).pipe(
        Effect.timeout(50)
      ),
    "waits its busy timeout": (sql) => sql.withTransaction(write(sql))
  }
  const layers = {
    "in memory": () => layerOf(engine, { busyTimeout: 300 }),
    "on a file": () => layerOnFile(engine, { busyTimeout: 300, readers: 1 })
  }
  for (const [where, layer] of Object.entries(layers)) {
    for (const [how, other] of Object.entries(others)) {
      it.scopedLive(`${how}, ${where}: the script goes on, and its session is kept`, () =>
        Effect.gen(function* () {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`create table t(a)`
          const first = yield* Deferred.make<void>()
          const go = yield* Deferred.make<void>()
          const streamed = yield* sql.unsafe(script).stream.pipe(
            SqlClient.withPrefetch(4),
            Stream.tap(() => Effect.zipRight(Deferred.succeed(first, undefined), Deferred.await(go))),
            Stream.runCount,
            Effect.fork
          )
          yield* Deferred.await(first)
          const error = yield* Effect.flip(other(sql))
          if (how === "waits its busy timeout") {
            assert.strictEqual(reasonOf(error), "LockTimeout")
          }
          // Nor does whoever has the session next find anything to undo.
          yield* Effect.scoped(sql.reserve)
          yield* Deferred.succeed(go, undefined)
          assert.strictEqual(yield* Fiber.join(streamed), 20)
          assert.deepStrictEqual(yield* sql`select a from t`, [{ a: "script" }])
          assert.deepStrictEqual(
            (yield* sql.statistics).map(({ lost, retired }) => [lost, retired]),
            (yield* sql.statistics).map(() => [0, 0])
          )
          yield* sql.withTransaction(write(sql))
        }).pipe(Effect.provide(layer()))
      )
    }
  }
})
