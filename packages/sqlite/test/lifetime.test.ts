import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Effect, Exit, Scope, Stream, TestClock } from "effect"
import { isMemory } from "../src/internal/isMemory.js"
import { open } from "./conformance/stopping.js"
import { leftovers, onEngines, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const pool = { maxLifetime: "1 minute" } as const

const fill = (sql: SqliteClient.SqliteClient) =>
  Effect.zipRight(
    sql`create table t (n integer primary key, b blob)`,
    sql.many(
      "insert into t values (?, zeroblob(4000))",
      Array.from({ length: 100 }, (_, n) => [n + 1])
    )
  )

/** Sessions that were closed on purpose. */
const retired = (sql: SqliteClient.SqliteClient) =>
  Effect.map(sql.statistics, (pools) => pools.reduce((sum, pool) => sum + pool.retired, 0))

/** Longer than a session may live, with statements meanwhile. */
const age = (sql: SqliteClient.SqliteClient) =>
  TestClock.adjust("2 minutes").pipe(
    Effect.zipRight(sql`select 1`),
    Effect.zipRight(sql.withTransaction(sql`select 1`)),
    Effect.zipRight(TestClock.adjust("10 seconds"))
  )

it("a file stays a file, however its name looks", () => {
  for (const name of [
    "memory",
    "mode=memory",
    "file:a",
    "file::memory:x",
    "file:/:memory:",
    "file:///tmp/a?cache=shared",
    "file:a?mode=rw",
    "file:a?MODE=memory",
    "file:a?mode%3Dmemory",
    "file:a#?mode=memory",
    "file:a%3Fmode=memory"
  ]) {
    assert.isFalse(isMemory(name), name)
  }
  for (const name of ["file:#a", "file://", "file:%00a", "file:%3Amemory:#a", "file:a?mode=rw&mode=memory#a"]) {
    assert.isTrue(isMemory(name), name)
  }
})

onEngines("a session that is too old", (engine) => {
  it.scoped("stays while a stream reads from it, and goes then", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, pool })
      yield* fill(sql)
      const rows = sql`select n from t`.stream.pipe(
        SqlClient.withPrefetch(10),
        Stream.tap(({ n }) => (n === 5 ? age(sql) : Effect.void))
      )
      assert.strictEqual(yield* Stream.runCount(rows), 100)
      assert.strictEqual(yield* retired(sql), 0)
      yield* age(sql)
      assert.strictEqual(yield* retired(sql), 1)
      assert.strictEqual((yield* sql`select n from t`).length, 100)
    })
  )

  it.scoped("stays while it makes a backup", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, pool })
      yield* fill(sql)
      let steps = 0
      yield* Stream.runForEach(sql.backupStream(`${filename}-copy`, { pages: 10 }), () =>
        ++steps === 1 ? age(sql) : Effect.void
      )
      assert.strictEqual(yield* retired(sql), 0)
      yield* age(sql)
      assert.strictEqual(yield* retired(sql), 1)
    })
  )

  for (const filename of [
    ":memory:",
    "",
    "file:",
    "file:?cache=private",
    "file:x?mode=mem%6fry",
    "file:/x?vfs=memdb"
  ]) {
    it.scoped(`stays when nobody else has its database: "${filename}"`, () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename, pool })
        yield* fill(sql)
        yield* age(sql)
        assert.strictEqual((yield* sql`select n from t`).length, 100)
      })
    )
  }

  if (engine === "native") {
    it.scoped("stays while it has a blob handle, or records changes", () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile, pool })
        yield* fill(sql)
        const scope = yield* Scope.make()
        const blob = yield* Scope.extend(sql.blob({ table: "t", column: "b", rowid: 1 }), scope)
        const recording = yield* Scope.extend(sql.changeSession(), scope)
        yield* sql`insert into t (b) values (null)`
        yield* age(sql)
        assert.strictEqual((yield* blob.read(0, 4)).length, 4)
        assert.isFalse(yield* recording.isEmpty)
        yield* Scope.close(scope, Exit.void)
        yield* age(sql)
        assert.strictEqual(yield* retired(sql), 1)
      })
    )
  }
})
