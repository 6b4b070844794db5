/** The layers of TestTransport that go around a transport, around a real one. */
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { NodeFileSystem } from "@effect/platform-node"
import * as EffectSql from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, SqlTransport, TestTransport } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Cause, Chunk, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { engines, reasonOf, spin, tempDirectory, tempFile } from "./support.js"

const rolledBack = (filename: string) =>
  SqlClient.layer.pipe(Layer.provide(TestTransport.rolledBack), Layer.provide(SqliteTransport.layer({ filename })))

const plain = (filename: string) => SqlClient.layer.pipe(Layer.provide(SqliteTransport.layer({ filename })))

/** A file with a table `t (n)` that holds 1. */
const prepared = Effect.tap(tempFile, (filename) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.zipRight(sql`create table t (n integer primary key)`, sql`insert into t values (1)`)
  ).pipe(Effect.provide(plain(filename)))
)

const content = Effect.flatMap(SqlClient.SqlClient, (sql) => sql<{ n: number }>`select n from t order by n`).pipe(
  Effect.map((rows) => rows.map(({ n }) => n))
)

describe("TestTransport.rolledBack", () => {
  it.scopedLive("undoes everything, committed transactions and new tables included", () =>
    Effect.gen(function* () {
      const filename = yield* prepared
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`insert into t values (2)`
        yield* sql.withTransaction(Effect.zipRight(sql`delete from t where n = 1`, sql`insert into t values (3)`))
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql`insert into t values (4)`, Effect.fail("undo"))))
        yield* sql.many("insert into t values (?)", [[5], [6]])
        yield* sql`create table other (n)`
        assert.deepStrictEqual(yield* content, [2, 3, 5, 6])
      }).pipe(Effect.provide(rolledBack(filename)))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* content, [1])
        assert.deepStrictEqual(yield* sql`select name from sqlite_master`, [{ name: "t" }])
      }).pipe(Effect.provide(plain(filename)))
    })
  )

  it.scopedLive(
    "a session that is lost inside a transaction, or cannot roll it back, takes it along, and it alone",
    () =>
      Effect.gen(function* () {
        const filename = yield* prepared
        const { drop, fail } = TestTransport.fault
        const Transport = TestTransport.rolledBack.pipe(
          // The RELEASE that stands for the commit is done, and nobody hears of it: there is nothing to roll back to.
          Layer.provide(
            TestTransport.faults({ on: ["control"], only: /^release/i, schedule: { 1: fail("Unknown", "after") } })
          ),
          Layer.provide(SqliteTransport.layer({ filename }))
        )
        const Sql = SqlClient.layer.pipe(
          Layer.provide(TestTransport.faults({ only: /values \(3\)/, schedule: { 1: drop() } })),
          Layer.provide(Transport)
        )
        yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          assert.strictEqual((yield* reasonOf(sql.withTransaction(sql`insert into t values (2)`))).reason, "Unknown")
          assert.deepStrictEqual(yield* content, [1, 2])
          const lost = sql.withTransaction(Effect.zipRight(sql`delete from t`, sql`insert into t values (3)`))
          assert.strictEqual((yield* reasonOf(lost)).reason, "SessionLost")
          assert.deepStrictEqual(yield* content, [1, 2])
          yield* sql.withTransaction(sql`insert into t values (4)`)
          assert.deepStrictEqual(yield* content, [1, 2, 4])
        }).pipe(Effect.provide(Sql))
        assert.deepStrictEqual(yield* Effect.provide(content, plain(filename)), [1])
      })
  )

  it.scopedLive("undoes what a test did before it failed or was interrupted", () =>
    Effect.gen(function* () {
      const filename = yield* prepared
      const test = (end: Effect.Effect<never, string>) =>
        Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.zipRight(sql`delete from t`, end)).pipe(
          Effect.provide(rolledBack(filename))
        )
      yield* Effect.exit(test(Effect.fail("mine")))
      yield* Effect.exit(test(Effect.dieMessage("bug")))
      yield* Effect.exit(test(Effect.interrupt))
      assert.deepStrictEqual(yield* Effect.provide(content, plain(filename)), [1])
    })
  )

  it.scopedLive("refuses what would end the test's transaction, and what one transaction cannot give", () =>
    Effect.gen(function* () {
      const filename = yield* prepared
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        for (const text of ["begin", "COMMIT;", "rollback", "end transaction", "/* so */ commit", "-- so\n; commit;"]) {
          const refused = yield* reasonOf(sql.unsafe(text))
          assert.strictEqual(refused.reason, "Unsupported")
          assert.include(refused.message, "Use sql.transaction")
        }
        assert.strictEqual((yield* reasonOf(sql.transaction({ readOnly: true })(sql`select 1`))).reason, "Unsupported")
        yield* sql`insert into t values (2)`
      }).pipe(Effect.provide(rolledBack(filename)))
      assert.deepStrictEqual(yield* Effect.provide(content, plain(filename)), [1])
    })
  )

  it.scopedLive("a script that commits is noticed: nothing runs after it, and the close complains", () =>
    Effect.gen(function* () {
      const filename = yield* prepared
      const exit = yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.exit(sql.unsafe("insert into t values (2); commit"))
        assert.strictEqual((yield* reasonOf(sql`insert into t values (3)`)).reason, "TransactionGone")
      }).pipe(Effect.provide(rolledBack(filename)), Effect.exit)
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(exit), "a script has ended the test's transaction")
      assert.notInclude(yield* Effect.provide(content, plain(filename)), 3)
    })
  )

  for (const engine of engines) {
    it.scopedLive(`a script that commits while it is streamed is noticed, too (${engine})`, () =>
      Effect.gen(function* () {
        const filename = yield* prepared
        const Transport = Layer.provide(TestTransport.rolledBack, SqliteTransport.layer({ filename, engine }))
        const exit = yield* Effect.flatMap(SqlClient.SqlClient, (sql) =>
          Effect.exit(Stream.runDrain(sql.unsafe("select 1; insert into t values (2); select 2; commit").stream))
        ).pipe(Effect.provide(Layer.provide(SqlClient.layer, Transport)), Effect.exit)
        assert.include(String(exit), "a script has ended the test's transaction")
      })
    )
  }

  it.scopedLive("a statement that ends the transaction by failing is no COMMIT, whatever its values say", () =>
    Effect.gen(function* () {
      const filename = yield* prepared
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const text = "insert or rollback into t /* commit; */ select n from t where 'the end' <> '; end' -- ; commit"
        assert.strictEqual((yield* reasonOf(sql.unsafe(text))).reason, "UniqueViolation")
      }).pipe(Effect.provide(rolledBack(filename)))
      const exit = yield* Effect.exit(
        Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql.unsafe("insert into t values (2); /* so */ end transaction")
        ).pipe(Effect.provide(rolledBack(filename)))
      )
      assert.include(String(exit), "a script has ended the test's transaction")
    })
  )

  it.scopedLive("has one session: a second client at the same time is told so, a later one is not", () =>
    Effect.gen(function* () {
      const filename = yield* prepared
      const transport = yield* Layer.build(Layer.provide(TestTransport.rolledBack, SqliteTransport.layer({ filename })))
      const use = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
        effect.pipe(Effect.provide(Layer.fresh(SqlClient.layer)), Effect.provide(transport))
      const second = yield* use(reasonOf(use(content)))
      assert.strictEqual(second.reason, "Unsupported")
      assert.include(second.message, "another client has it")
      assert.deepStrictEqual(yield* use(content), [1])
    })
  )
})

describe("TestTransport.recording on SQLite", () => {
  it.scopedLive("is the same file, whatever the order of the fibers", () =>
    Effect.gen(function* () {
      const folder = yield* tempDirectory
      const record = (file: string, ids: ReadonlyArray<number>) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`create table v (id integer primary key, n)`
          const insert = (id: number) => sql`insert into v values (${id}, ${id})`
          const update = (id: number) => sql.withTransaction(sql`update v set n = n + ${id} where id = ${id}`)
          yield* Effect.forEach(ids, insert, { concurrency: "unbounded" })
          yield* Effect.forEach(ids, update, { concurrency: "unbounded" })
          yield* Effect.forEach(ids, (id) => sql`select n from v where id = ${id}`, { concurrency: "unbounded" })
          return yield* sql`delete from v where id = 3`.raw
        }).pipe(
          Effect.provide(SqlClient.layer),
          Effect.provide(TestTransport.recording(join(folder, file))),
          Effect.provide(SqliteTransport.layer({ filename: join(folder, `${file}.db`), readers: 2 })),
          Effect.provide(NodeFileSystem.layer)
        )
      const raw = yield* record("up", [1, 2, 3])
      assert.deepInclude(raw, { changes: 1 })
      yield* record("down", [3, 2, 1])
      // What SQLite says of the last inserted row, whoever inserted it, is written for the statement that asked alone.
      const without = (file: string) => readFileSync(join(folder, file), "utf8").replace(/"lastInsertRowid":\d/g, "")
      assert.strictEqual(without("down"), without("up"))
      assert.lengthOf(readFileSync(join(folder, "up"), "utf8").match(/lastInsertRowid/g)!, 1)
    })
  )

  it.scopedLive("replays values, failures, transactions, streams and a stopped statement as they were", () =>
    Effect.gen(function* () {
      const folder = yield* tempDirectory
      mkdirSync(join(folder, "a"))
      const file = join(folder, "a", "recording.json")
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table v (id integer primary key, i, r, s, b)`
        yield* sql`insert into v values (1, ${2n ** 60n}, ${-0.5}, ${"é\u0000x"}, ${new Uint8Array([1, 0, 255])})`
        const rows = yield* Effect.provideService(sql`select i, r, s, b from v`, EffectSql.SafeIntegers, true)
        const twice = yield* reasonOf(sql`insert into v (id) values (1)`)
        const undone = yield* Effect.exit(
          sql.withTransaction(Effect.zipRight(sql`insert into v (id) values (2)`, Effect.fail("undo")))
        )
        yield* sql.transaction({ mode: "deferred" })(sql`insert into v (id) values (3)`)
        const ids = yield* Effect.forEach([1, 2, 3], (id) => sql`select id from v where id = ${id}`, {
          concurrency: "unbounded"
        })
        const streamed = yield* Stream.runCollect(
          sql`select id from v order by id`.pipe(SqlClient.withPrefetch(1)).stream
        )
        const stuck = yield* Effect.fork(sql.unsafe(spin))
        yield* Effect.sleep(30)
        const stopped = Exit.isInterrupted(yield* Fiber.interrupt(stuck))
        return {
          rows,
          failed: [twice.reason, twice.message, twice.code, twice.constraint, twice.columns],
          undone: Exit.isFailure(undone) ? Cause.squash(undone.cause) : undefined,
          ids,
          streamed: Chunk.toReadonlyArray(streamed),
          stopped
        }
      }).pipe(Effect.provide(SqlClient.layer))
      const record = program.pipe(
        Effect.provide(TestTransport.recording(file)),
        Effect.provide(SqliteTransport.layer({ filename: join(folder, "test.db"), readers: 1 })),
        Effect.provide(NodeFileSystem.layer)
      )
      const recorded = yield* record
      assert.deepStrictEqual(recorded.ids, [[{ id: 1 }], [], [{ id: 3 }]])
      const replayed = yield* program.pipe(
        Effect.provide(TestTransport.replay(file)),
        Effect.provide(NodeFileSystem.layer)
      )
      assert.deepStrictEqual(replayed, recorded)
      assert.match(readFileSync(file, "utf8"), /"system": "sqlite"/)
    })
  )

  it.scopedLive("replays each row of a script with the columns of its statement", () =>
    Effect.gen(function* () {
      const file = join(yield* tempDirectory, "recording.json")
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const streamed = (text: string) =>
          Effect.map(Stream.runCollect(sql.unsafe(text).stream), (rows) => Chunk.toReadonlyArray(rows))
        return [
          yield* sql.unsafe("select 1 as id, 'Ada' as name; select 2 as total"),
          yield* sql.unsafe("select 1 as a; select 2 as a, 3 as b"),
          yield* sql.unsafe("select 1 as a, 'x' as secret; select 2 as b").values,
          yield* sql.unsafe("select 'x' as secret; select 4 as c"),
          yield* streamed("select 1 as a; select 2 as b"),
          yield* streamed("select 1 as a, 2 as b; select 3 as b, 4 as a"),
          yield* streamed("create table q (x); select 1 as a")
        ]
      }).pipe(Effect.provide(SqlClient.layer))
      const recorded = yield* program.pipe(
        Effect.provide(TestTransport.recording(file, { redact: ["secret"] })),
        Effect.provide(SqliteTransport.layerMemory),
        Effect.provide(NodeFileSystem.layer)
      )
      assert.deepStrictEqual(recorded[0], [{ id: 1, name: "Ada" }, { total: 2 }])
      const replayed = yield* program.pipe(
        Effect.provide(TestTransport.replay(file)),
        Effect.provide(NodeFileSystem.layer)
      )
      const [, , , secret] = replayed
      assert.deepStrictEqual(secret, [{ secret: "redacted" }, { c: 4 }])
      assert.deepStrictEqual(
        [...replayed.slice(0, 2), ...replayed.slice(4)],
        [...recorded.slice(0, 2), ...recorded.slice(4)]
      )
      assert.notInclude(readFileSync(file, "utf8"), '"x"')
    })
  )

  it.scopedLive("adds nothing that the client could see: the session keeps its own contract", () =>
    Effect.gen(function* () {
      const file = join(yield* tempDirectory, "recording.json")
      const kept = yield* Effect.flatMap(SqlTransport.SqlTransport, (transport) =>
        Effect.map(transport.connect({ access: "write", use: "statement" }), (session) => session.keepsContract)
      ).pipe(
        Effect.provide(TestTransport.recording(file)),
        Effect.provide(SqliteTransport.layerMemory),
        Effect.provide(NodeFileSystem.layer)
      )
      assert.isTrue(kept)
    })
  )
})

describe("TestTransport.faults on SQLite", () => {
  it.live("a COMMIT that is refused once: the retry does the transaction once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`create table t (n)`
      yield* sql.transaction({ retry: SqlFailure.retryPolicy })(sql`insert into t values (1)`)
      assert.deepStrictEqual(yield* content, [1])
    }).pipe(
      Effect.provide(SqlClient.layer),
      Effect.provide(
        TestTransport.faults({
          on: ["control"],
          only: /^commit/i,
          schedule: { 1: TestTransport.fault.fail("Serialization") }
        })
      ),
      Effect.provide(SqliteTransport.layerMemory)
    )
  )
})
