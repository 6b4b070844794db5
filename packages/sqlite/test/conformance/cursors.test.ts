import { assert, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Effect, Fiber, Stream } from "effect"
import { countTo, onEngines, reasonOf, tempFile } from "../support.js"
import { assertIdle, open, timed } from "./stopping.js"

const fill = (sql: SqliteClient.SqliteClient, count: number) => sql.unsafe(`create table t as ${countTo(count)}`)
const count = (sql: SqliteClient.SqliteClient) =>
  Effect.map(sql<{ c: number }>`select count(*) as c from t`, (rows) => rows[0]!.c)

onEngines("cursors", (engine) => {
  for (const where of ["memory", "file without readers", "file with a reader"] as const) {
    const client = Effect.gen(function* () {
      const sql =
        where === "memory"
          ? yield* open(engine)
          : yield* open(engine, { filename: yield* tempFile, readers: where === "file with a reader" ? 1 : 0 })
      yield* fill(sql, 300)
      return sql
    })
    const writeInLoop = (sql: SqliteClient.SqliteClient) =>
      SqlClient.withPrefetch(10)(sql<{ n: number }>`select n from t where n <= 300`).stream.pipe(
        Stream.runForEach(({ n }) => sql`insert into t values (${n + 1_000})`),
        Effect.timeout(20_000)
      )

    it.scopedLive(`a write in the loop of a stream (${where})`, () =>
      Effect.gen(function* () {
        const sql = yield* client
        yield* writeInLoop(sql)
        assert.strictEqual(yield* count(sql), 600)
        yield* assertIdle(sql)
      })
    )

    it.scopedLive(`the same inside a transaction, with a nested one for each (${where})`, () =>
      Effect.gen(function* () {
        const sql = yield* client
        yield* sql.withTransaction(writeInLoop(sql))
        yield* sql.withTransaction(
          SqlClient.withPrefetch(10)(sql<{ n: number }>`select n from t where n <= 50`).stream.pipe(
            Stream.runForEach(({ n }) => sql.withTransaction(sql`insert into t values (${n + 5_000})`)),
            Effect.timeout(20_000)
          )
        )
        assert.strictEqual(yield* count(sql), 650)
        yield* assertIdle(sql)
      })
    )

    it.scopedLive(`a transaction in the loop of a stream (${where})`, () =>
      Effect.gen(function* () {
        const sql = yield* client
        yield* SqlClient.withPrefetch(10)(sql<{ n: number }>`select n from t where n <= 50`).stream.pipe(
          Stream.runForEach(({ n }) => sql.withTransaction(sql`insert into t values (${n + 1_000})`)),
          Effect.timeout(20_000)
        )
        assert.strictEqual(yield* count(sql), 350)
        yield* assertIdle(sql)
      })
    )
  }

  it.scopedLive(
    "a stream on the shared session goes on beside a neighbour's transaction, and ends without ending it",
    () =>
      Effect.gen(function* () {
        for (const take of [3, 25, 1_000]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const sql = yield* open(engine)
              yield* fill(sql, 40)
              const streaming = yield* Effect.fork(
                SqlClient.withPrefetch(2)(sql`select n from t`).stream.pipe(
                  Stream.tap(() => Effect.sleep(2)),
                  Stream.take(take),
                  Stream.runCount
                )
              )
              yield* Effect.sleep(10)
              yield* sql.withTransaction(
                Effect.gen(function* () {
                  yield* sql`create table u (n)`
                  for (let i = 0; i < 20; i++) {
                    const [took] = yield* timed(sql`insert into u values (${i})`)
                    assert.isBelow(took, 5_000)
                    yield* Effect.sleep(2)
                  }
                  assert.strictEqual(yield* Fiber.join(streaming), Math.min(take, 40))
                  yield* sql`insert into u values (20)`
                })
              )
              assert.deepStrictEqual(yield* sql`select count(*) as c from u`, [{ c: 21 }])
            })
          )
        }
      })
  )

  it.scopedLive("a stream on a reader of its own does not see uncommitted rows, nor what comes after its start", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      yield* fill(sql, 100)
      yield* sql`select n from t`
      const holder = yield* Effect.fork(
        sql.withTransaction(Effect.zipRight(sql`insert into t values (0)`, Effect.never))
      )
      yield* Effect.sleep(30)
      const text = sql<{ n: number }>`select n, 1 as k from t`
      yield* Fiber.interrupt(holder)
      let rows = 0
      yield* SqlClient.withPrefetch(10)(text).stream.pipe(
        Stream.runForEach(() =>
          Effect.zipRight(
            sql`insert into t values (-1)`,
            Effect.sync(() => rows++)
          )
        )
      )
      assert.strictEqual(rows, 100)
      assert.strictEqual(yield* count(sql), 200)
    })
  )

  it.scopedLive("another client commits while we stream: Serialization without readers, nothing with them", () =>
    Effect.gen(function* () {
      for (const readers of [0, 1]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const filename = yield* tempFile
            const sql = yield* open(engine, { filename, readers })
            yield* fill(sql, 100)
            const other = yield* open(engine, { filename })
            let first = true
            const results: Array<string> = []
            yield* SqlClient.withPrefetch(10)(sql`select n from t`).stream.pipe(
              Stream.runForEach(() => {
                if (!first) {
                  return Effect.void
                }
                first = false
                return Effect.gen(function* () {
                  yield* other`insert into t values (0)`
                  const result = yield* Effect.either(sql`insert into t values (1)`)
                  if (result._tag === "Right") {
                    results.push("written")
                  } else {
                    const failure = yield* reasonOf(Effect.fail(result.left))
                    results.push(`${failure.reason} ${failure.code} ${failure.isRetryable}`)
                  }
                })
              })
            )
            assert.deepStrictEqual(results, readers === 0 ? ["Serialization 517 true"] : ["written"])
            yield* sql`insert into t values (2)`
          })
        )
      }
    })
  )

  it.scopedLive("an abandoned insert … returning does not undo a neighbour's insert", () =>
    Effect.gen(function* () {
      for (const config of [{}, { filename: yield* tempFile }, { filename: yield* tempFile, readers: 1 }]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const sql = yield* open(engine, config)
            yield* sql`create table t (n)`
            const rows = yield* SqlClient.withPrefetch(5)(
              sql<{
                n: number
              }>`insert into t with recursive up(n) as (select 1 union all select n + 1 from up limit 500) select n from up returning n`
            ).stream.pipe(
              Stream.tap(() => sql`insert into t values (1000)`),
              Stream.take(3),
              Stream.runCount
            )
            assert.strictEqual(rows, 3)
            assert.deepStrictEqual(yield* sql`select count(*) as c from t where n = 1000`, [{ c: 3 }])
            assert.strictEqual(yield* count(sql), 503)
            yield* assertIdle(sql)
          })
        )
      }
    })
  )

  it.scopedLive("more open streams than sessions: they wait, and the acquire timeout names who holds them", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1, pool: { acquireTimeout: "6 seconds" } })
      yield* fill(sql, 100)
      const stream = SqlClient.withPrefetch(10)(sql<{ n: number }>`select n from t`).stream
      const nest = (depth: number): Effect.Effect<number, unknown> =>
        depth === 0
          ? Effect.succeed(0)
          : Stream.runFoldEffect(Stream.take(stream, 1), 0, () => Effect.map(nest(depth - 1), (n) => n + 1))
      assert.strictEqual(yield* nest(10), 10)
      const failure = yield* reasonOf(nest(17))
      assert.strictEqual(failure.reason, "PoolTimeout")
      assert.strictEqual(failure.holders?.length, 16)
      // Those that do not stand in each other's way only wait.
      yield* Effect.forEach(Array.from({ length: 40 }), () => Stream.runDrain(stream), { concurrency: "unbounded" })
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("many open streams on one session, more than it has slots for", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* fill(sql, 100)
      const counts = yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => Stream.runCount(SqlClient.withPrefetch(3)(sql`select n from t`).stream),
        { concurrency: "unbounded" }
      )
      assert.isTrue(counts.every((n) => n === 100))
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a stream that fails at an integer which no number can hold leaves no cursor open", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, disableWAL: true })
      const other = yield* open(engine, { filename, disableWAL: true, busyTimeout: 0 })
      yield* fill(sql, 200)
      for (const at of [1, 50]) {
        yield* sql`update t set n = 9007199254740993 where rowid = ${at}`
        const failure = yield* reasonOf(Stream.runDrain(SqlClient.withPrefetch(10)(sql`select n from t`).stream))
        assert.strictEqual(failure.reason, "ConversionFailed")
        yield* sql`select 1`
        // An open cursor would hold its read lock against this.
        yield* other`update t set n = ${at} where rowid = ${at}`
      }
    })
  )

  it.scopedLive("no two sessions of one client are busy to each other under load", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 2, busyTimeout: 0 })
      yield* fill(sql, 1_000)
      const until = performance.now() + 3_000
      const forever = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.repeat(effect, { while: () => performance.now() < until })
      let written = 0
      yield* Effect.all(
        [
          forever(Effect.tap(sql`insert into t values (1)`, () => Effect.sync(() => written++))),
          forever(
            sql.withTransaction(Effect.zipRight(sql`select max(n) from t`, sql`update t set n = n + 1 where n = 5`))
          ),
          forever(sql.transaction({ readOnly: true })(sql`select count(*) from t`)),
          forever(sql`select count(*) as c from t where n > 3`),
          forever(Stream.runDrain(Stream.take(sql`select n from t`.stream, 300))),
          forever(
            Effect.zipRight(
              sql.many(
                "insert into t values (?)",
                Array.from({ length: 50 }, (_, i) => [i])
              ),
              Effect.sleep(5)
            )
          ),
          forever(Effect.zipRight(sql`pragma wal_checkpoint(passive)`, Effect.sleep(20))),
          forever(
            Effect.zipRight(sql`create table if not exists u (a)`, Effect.zipRight(sql`drop table u`, Effect.sleep(20)))
          )
        ],
        { concurrency: "unbounded", discard: true }
      )
      assert.isAbove(written, 0)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a streamed script does not go on inside somebody else's transaction", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* fill(sql, 6)
      const script = sql.unsafe("select n from t; insert into t values (100)").pipe(SqlClient.withPrefetch(3)).stream
      const pull = yield* Stream.toPull(script)
      assert.strictEqual((yield* pull).length, 3)
      const failure = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into t values (200)`
          // What is left of the open result is handed out; the next statement is not begun.
          return yield* reasonOf(
            Effect.forever(Effect.mapError(pull, (end) => (end._tag === "Some" ? end.value : "end of the script")))
          )
        })
      )
      assert.strictEqual(failure.reason, "LockTimeout")
      assert.strictEqual(yield* count(sql), 7)
      yield* assertIdle(sql)
    })
  )
})
