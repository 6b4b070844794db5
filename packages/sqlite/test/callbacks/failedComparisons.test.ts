import { afterAll, assert, describe, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import type { SqlError } from "@effect/sql/SqlError"
import type { SqliteClient } from "@sluice/sqlite"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { assertIdle, open } from "../conformance/stopping.js"
import { leftovers, reasonOf, tempFile } from "../support.js"

afterAll(() => Effect.runPromise(leftovers))

type Client = SqliteClient.SqliteClient

/** A collation that fails, or waits for ever, at a comparison; the hundred rows of `t` are in an index by it. */
const fragile = Effect.gen(function* () {
  const sql = yield* open("native", { filename: yield* tempFile })
  let left = Infinity
  let breaking: Effect.Effect<number, string> = Effect.fail("no order")
  yield* sql.collation("fragile", (a, b) =>
    Effect.suspend(() => (left-- <= 0 ? breaking : Effect.succeed(a < b ? -1 : a > b ? 1 : 0)))
  )
  yield* sql`create table t (id integer primary key, a text collate fragile)`
  yield* sql`create index ta on t (a)`
  const rows = Array.from({ length: 100 }, (_, i) => [`k${100 + ((i * 37) % 100)}`])
  yield* sql.many("insert into t (a) values (?)", rows)
  return {
    sql,
    /** Runs it with a collation that breaks after so many comparisons. */
    breakAt: <A, E>(after: number, how: Effect.Effect<number, string>, work: Effect.Effect<A, E>) =>
      Effect.suspend(() => {
        left = after
        breaking = how
        return Effect.ensuring(
          work,
          Effect.sync(() => void (left = Infinity))
        )
      })
  }
})

const stands = (sql: Client) =>
  Effect.gen(function* () {
    assert.strictEqual(yield* sql.pragma("integrity_check"), "ok")
    const [row] = yield* sql<{ n: number; last: string }>`select count(*) as n, max(a) as last from t not indexed`
    assert.deepStrictEqual(row, { n: 100, last: "k199" })
    const [schema] = yield* sql<{ n: number }>`select count(*) as n from sqlite_schema`
    assert.strictEqual(schema!.n, 2)
  })

const writes = (sql: Client): Record<string, Effect.Effect<unknown, SqlError>> => ({
  insert: sql`insert into t (a) values ('k150x')`,
  returning: sql`insert into t (a) values ('k150x'), ('k150y') returning id`,
  "a stream of returning": Stream.runDrain(sql`update t set a = a || 'x' where id < 50 returning id`.stream),
  update: sql`update t set a = 'k150x' where id = 3`,
  delete: sql`delete from t where a = 'k150'`,
  "delete without the index": sql`delete from t where +a = 'k150'`,
  transaction: sql.withTransaction(sql`insert into t (a) values ('k150x')`),
  many: sql.many("insert into t (a) values (?)", [["k150x"], ["k150y"]]),
  batch: sql.batch(["insert into t (a) values ('k150x')"]),
  script: sql.unsafe("insert into t (a) values ('k150x'); insert into t (a) values ('k150y')"),
  "a script with a transaction": sql.unsafe("begin; insert into t (a) values ('k150x'); commit"),
  "create index": sql`create index tb on t (a, id)`,
  reindex: sql`reindex`,
  vacuum: sql`vacuum`
})

describe("comparisons that fail (native)", () => {
  it.scopedLive("a write leaves nothing, and the index as it was", () =>
    Effect.gen(function* () {
      const { breakAt, sql } = yield* fragile
      for (const [name, write] of Object.entries(writes(sql))) {
        for (const after of [0, 2]) {
          const failure = yield* reasonOf(breakAt(after, Effect.fail("no order"), write))
          assert.strictEqual(failure.cause, "no order", name)
          yield* stands(sql)
        }
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("so does one that is late, or interrupted, while it waits for a comparison", () =>
    Effect.gen(function* () {
      const { breakAt, sql } = yield* fragile
      for (const [name, write] of Object.entries(writes(sql))) {
        const late = breakAt(2, Effect.never, SqlClient.withDeadline("60 millis")(Effect.asVoid(write)))
        assert.strictEqual((yield* reasonOf(late)).reason, "StatementTimeout", name)
        yield* stands(sql)
        const reached = yield* Deferred.make<void>()
        const waiting = Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never)
        const fiber = yield* Effect.fork(breakAt(2, waiting, write))
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)
        yield* stands(sql)
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("the transaction of such a write is gone; that of a read goes on", () =>
    Effect.gen(function* () {
      const { breakAt, sql } = yield* fragile
      const broken = <A>(work: Effect.Effect<A, SqlError>) => reasonOf(breakAt(2, Effect.fail("no order"), work))
      for (const name of ["insert", "delete", "many", "batch"]) {
        const caught = sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into t (a) values ('k150x')`
            assert.strictEqual((yield* broken(writes(sql)[name]!)).cause, "no order", name)
            yield* sql`insert into t (a) values ('k150y')`
          })
        )
        assert.strictEqual((yield* reasonOf(caught)).reason, "TransactionGone", name)
        yield* stands(sql)
      }
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update t set a = 'k099' where a = 'k100'`
          assert.strictEqual((yield* broken(sql`select a from t order by +a`)).cause, "no order")
          yield* sql`update t set a = 'k100' where a = 'k099'`
        })
      )
      yield* stands(sql)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("no rows are handed out that were found with one", () =>
    Effect.gen(function* () {
      const { breakAt, sql } = yield* fragile
      const reads: Record<string, Effect.Effect<unknown, SqlError>> = {
        order: sql`select a from t not indexed order by a`,
        limit: sql`select a from (select a from t not indexed order by a limit 5)`,
        distinct: sql`select count(distinct a) from t not indexed`,
        group: sql`select a, count(*) from t not indexed group by a`,
        max: sql`select max(a), min(a) from t not indexed`,
        where: sql`select id from t where a = 'k150'`,
        scan: sql`select id from t where +a = 'k150'`,
        in: sql`select count(*) from t where a in (select a from t where a > 'k150')`,
        stream: Stream.runDrain(sql`select a from t not indexed order by a`.stream)
      }
      for (const [name, read] of Object.entries(reads)) {
        for (const after of [0, 1]) {
          assert.strictEqual((yield* reasonOf(breakAt(after, Effect.fail("no order"), read))).cause, "no order", name)
        }
        const late = breakAt(1, Effect.never, SqlClient.withDeadline("60 millis")(Effect.asVoid(read)))
        assert.strictEqual((yield* reasonOf(late)).reason, "StatementTimeout", name)
      }
      // Another result that is open on the session goes on.
      const seen = yield* Stream.runFoldEffect(sql`select id from t`.stream.pipe(Stream.rechunk(1)), 0, (n) =>
        Effect.as(n === 0 ? reasonOf(breakAt(1, Effect.fail("no order"), reads["order"]!)) : Effect.void, n + 1)
      )
      assert.strictEqual(seen, 100)
      yield* stands(sql)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a commit hook of the program is asked beside, and only of what may be committed", () =>
    Effect.gen(function* () {
      const { breakAt, sql } = yield* fragile
      let asked = 0
      const { remove } = yield* sql.commitHook(Effect.sync(() => asked++ < 0))
      yield* reasonOf(breakAt(2, Effect.fail("no order"), sql`insert into t (a) values ('k150x')`))
      assert.strictEqual(asked, 0)
      yield* sql`update t set a = 'k100' where a = 'k100'`
      assert.strictEqual(asked, 1)
      yield* remove
      yield* reasonOf(breakAt(2, Effect.fail("no order"), sql`insert into t (a) values ('k150x')`))
      yield* stands(sql)
      yield* assertIdle(sql)
    })
  )
})
