import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { countTo, onEngines, reasonOf, tempFile } from "../support.js"
import { assertIdle, endless, open } from "./stopping.js"

onEngines("routing", (engine) => {
  const file = Effect.gen(function* () {
    const filename = yield* tempFile
    const sql = yield* open(engine, { filename, readers: 2 })
    yield* sql`create table t (n)`
    yield* sql`insert into t values (1)`
    return { filename, sql }
  })

  it.scopedLive("reads go to a reader once their text is known, beside a writer that is busy", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      yield* sql`select n from t`
      const holder = yield* Effect.fork(
        sql.withTransaction(Effect.zipRight(sql`insert into t values (2)`, Effect.never))
      )
      yield* Effect.sleep(30)
      // The uncommitted row is not seen.
      assert.deepStrictEqual(yield* Effect.timeout(sql`select n from t`, 2_000), [{ n: 1 }])
      yield* Fiber.interrupt(holder)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("readers see what this client has committed before", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      for (let i = 2; i < 300; i++) {
        yield* i % 3 === 0 ? sql.withTransaction(sql`insert into t values (${i})`) : sql`insert into t values (${i})`
        const [{ top }] = (yield* sql<{ top: number }>`select max(n) as top from t`) as [{ top: number }]
        assert.strictEqual(top, i)
      }
    })
  )

  it.scopedLive("a temporary table that shadows a table", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      yield* sql`select n from t`
      yield* sql`select n from t`
      yield* sql`create temp table t (n)`
      for (let i = 0; i < 5; i++) {
        assert.deepStrictEqual(yield* sql`select n from t`, [])
        assert.deepStrictEqual(
          yield* Stream.runCollect(sql`select n from t`.stream).pipe(Effect.map((c) => [...c])),
          []
        )
      }
    })
  )

  it.scopedLive("last_insert_rowid() and changes() after a read on a reader", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      for (let i = 2; i < 20; i++) {
        yield* sql`insert into t values (${i})`
        yield* sql`select n from t`
        assert.deepStrictEqual(yield* sql`select last_insert_rowid() as id, changes() as c`, [{ id: i, c: 1 }])
      }
    })
  )

  it.scopedLive("a view that speaks of its connection, made before, here, and by others", () =>
    Effect.gen(function* () {
      const { filename, sql } = yield* file
      const other = yield* open(engine, { filename })
      const check = (client: typeof sql, view: string) =>
        Effect.gen(function* () {
          for (let i = 100; i < 104; i++) {
            yield* client`insert into t (rowid, n) values ((select max(rowid) from t) + 1, ${i})`
            const [{ id }] = (yield* client<{ id: number }>`select max(rowid) as id from t`) as [{ id: number }]
            const rows = client.unsafe(`select id from ${view}`)
            assert.deepStrictEqual(yield* rows, [{ id }])
            assert.deepStrictEqual(Array.from(yield* Stream.runCollect(rows.stream)), [{ id }])
          }
        })
      yield* sql`select n from t`
      yield* other`create view theirs as select "last_insert_rowid"() as id`
      yield* check(sql, "theirs")
      const another = yield* open(engine, { filename, readers: 2 })
      yield* check(another, "theirs")
      yield* sql`drop view theirs`
      const fresh = yield* open(engine, { filename, readers: 2 })
      // A text that readers have had already.
      yield* fresh`create view mine as select max(n) as id from t`
      yield* fresh`select id from mine`
      yield* fresh`select id from mine`
      yield* Stream.runDrain(fresh`select id from mine`.stream)
      yield* fresh`drop view mine`
      yield* fresh`create view mine as select last_insert_rowid() as id`
      yield* check(fresh, "mine")
    })
  )

  it.scopedLive("a view that speaks of no connection is read by readers", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      yield* sql`create view v as select n as changes from t`
      yield* sql`select changes from v`
      const holder = yield* Effect.fork(sql.withTransaction(Effect.zipRight(sql`delete from t`, Effect.never)))
      yield* Effect.sleep(30)
      assert.deepStrictEqual(yield* Effect.timeout(sql`select changes from v`, 2_000), [{ changes: 1 }])
      yield* Fiber.interrupt(holder)
    })
  )

  it.scopedLive("a pragma that is sent twice acts twice on the writer", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      yield* sql`create table child (id references t(n))`
      for (const value of ["off", "on", "off"]) {
        yield* sql.unsafe(`pragma foreign_keys=${value}`)
        yield* sql.unsafe(`pragma foreign_keys=${value}`)
        assert.strictEqual(yield* sql.pragma("foreign_keys"), value === "on" ? 1 : 0)
      }
    })
  )

  it.scopedLive("attach stops the routing", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      const other = yield* tempFile
      yield* sql`select n from t`
      yield* sql.attach(other, "more")
      yield* sql`create table more.u (m)`
      yield* sql`insert into more.u values (7)`
      for (let i = 0; i < 4; i++) {
        assert.deepStrictEqual(yield* sql`select n, m from t, u`, [{ n: 1, m: 7 }])
        yield* sql`select n from t`
      }
    })
  )

  type Sql = Effect.Effect.Success<typeof file>["sql"]

  // What the connection answers to this depends on a PRAGMA; the third text is new each time.
  const like = (sql: Sql) =>
    Effect.all([
      sql.unsafe("select 'A' like 'a' as l from t").values,
      Effect.map(Stream.runCollect(sql.unsafe<{ l: number }>("select 'A' like 'a' as l from t").stream), (rows) =>
        Array.from(rows, ({ l }) => [l])
      ),
      Effect.map(
        Stream.runCollect(sql.unsafe<{ l: number }>(`select 'A' like 'a' as l from t /* ${Math.random()} */`).stream),
        (rows) => Array.from(rows, ({ l }) => [l])
      )
    ])

  const allGive = (l: number) => [[[l]], [[l]], [[l]]]

  for (const [name, set] of [
    ["sql.pragma", (sql) => sql.pragma("case_sensitive_like", 1)],
    ["a statement", (sql) => sql`pragma case_sensitive_like = on`],
    ["a script", (sql) => sql.unsafe("select 1; pragma main.case_sensitive_like(1); select 2")],
    ["a batch", (sql) => sql.batch(["select 1", 'pragma "case_sensitive_like" = 1'])],
    ["a transaction", (sql) => sql.withTransaction(sql.pragma("case_sensitive_like", 1))],
    ["a stream", (sql) => Stream.runDrain(sql`pragma case_sensitive_like = 1`.stream)],
    [
      "a reserved session",
      (sql) => Effect.scoped(Effect.flatMap(sql.reserve, (own) => own.executeRaw("pragma case_sensitive_like = 1", [])))
    ]
  ] as ReadonlyArray<readonly [string, (sql: Sql) => Effect.Effect<unknown, unknown>]>) {
    it.scopedLive(`a PRAGMA that changes the answers to reads stops the routing: ${name}`, () =>
      Effect.gen(function* () {
        const { sql } = yield* file
        assert.deepEqual<unknown>(yield* like(sql), allGive(1))
        assert.deepEqual<unknown>(yield* like(sql), allGive(1))
        yield* set(sql)
        assert.deepEqual<unknown>(yield* like(sql), allGive(0))
        assert.deepEqual<unknown>(yield* like(sql), allGive(0))
      })
    )
  }

  it.scopedLive("other PRAGMAs, those that only ask, and those of the configuration cost no readers", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const pragmas = { case_sensitive_like: 1, cache_size: -4000 }
      const sql = yield* open(engine, { filename, readers: 1, pragmas })
      yield* sql`create table t (n)`
      yield* sql`insert into t values (1)`
      for (const text of [
        ...["case_sensitive_like", "writable_schema", "trusted_schema", "journal_mode", "wal_checkpoint", "optimize"],
        ...["cache_size = -2000", "foreign_keys = on", "synchronous = normal", "busy_timeout = 5000"],
        ...["user_version = 7", "application_id = 7", "table_info(case_sensitive_like)", "recursive_triggers = on"]
      ]) {
        yield* sql.unsafe(`pragma ${text}`)
      }
      yield* sql`select n, 'A' like 'a' as l from t`
      const holder = yield* Effect.fork(sql.withTransaction(Effect.zipRight(sql`delete from t`, Effect.never)))
      yield* Effect.sleep(30)
      assert.deepStrictEqual(yield* Effect.timeout(sql`select n, 'A' like 'a' as l from t`, 5_000), [{ n: 1, l: 0 }])
      yield* Fiber.interrupt(holder)
    })
  )

  it.scopedLive("a statement in a transaction never leaves its session", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      yield* sql`select n from t`
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into t values (2)`
          assert.deepStrictEqual(yield* sql`select n from t`, [{ n: 1 }, { n: 2 }])
          const streamed = yield* Stream.runCount(sql`select n from t`.stream)
          assert.strictEqual(streamed, 2)
        })
      )
    })
  )

  it.scopedLive("a reader cannot write, whatever it is given", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      const text = "select n from t"
      yield* sql.unsafe(text)
      yield* sql`drop table t`
      assert.strictEqual((yield* reasonOf(sql.unsafe(text))).reason, "SqlSyntax")
      yield* sql`create table t (n, m)`
      assert.deepStrictEqual(yield* sql.unsafe(text), [])
    })
  )

  it.scopedLive("an endless read on a reader leaves the writer free, and is stopped there", () =>
    Effect.gen(function* () {
      const { sql } = yield* file
      const text = `${endless(engine)}`
      yield* Effect.timeoutOption(Stream.runDrain(sql.unsafe(text).stream), 30)
      const fiber = yield* Effect.fork(Stream.runDrain(sql.unsafe(text).stream))
      yield* Effect.sleep(20)
      yield* Effect.timeout(sql`insert into t values (2)`, 2_000)
      yield* Fiber.interrupt(fiber)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("memory has one session and readers are no matter", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { readers: 3 })
      yield* sql.unsafe(`create table t as ${countTo(10)}`)
      assert.strictEqual(yield* Stream.runCount(sql`select n from t`.stream), 10)
      const statistics = yield* sql.statistics
      assert.deepStrictEqual(
        statistics.map(({ open }) => open),
        [1]
      )
    })
  )
})
