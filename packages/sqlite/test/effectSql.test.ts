/** What `@effect/sql` leaves open where drivers share its code: transactions, tags and caches of two clients. */
import { join } from "node:path"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as EffectSql from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as SqlResolver from "@effect/sql/SqlResolver"
import * as Statement from "@effect/sql/Statement"
import { afterAll, assert, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Chunk, Context, Deferred, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { leftovers, onEngines, reasonOf, tempDirectory, tempFile } from "./support.js"

onEngines("effect/sql behaviours", (engine) => {
  const make = (config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
    SqliteClient.make({ filename: ":memory:", ...config, engine }).pipe(Effect.provide(Reactivity.layer))

  const withTable = (config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
    Effect.tap(make(config), (sql) => sql`CREATE TABLE t(a INTEGER UNIQUE)`)

  const add = (sql: SqliteClient.SqliteClient, a: number) => sql`INSERT INTO t VALUES (${a})`

  const all = (sql: SqliteClient.SqliteClient) =>
    Effect.map(sql`SELECT a FROM t ORDER BY a`.values, (rows) => rows.map((row) => row[0]))

  afterAll(() => Effect.runPromise(leftovers))

  // ---- two clients

  it.scopedLive("a statement of another client inside a transaction runs on that client", () =>
    Effect.gen(function* () {
      const one = yield* withTable()
      const two = yield* withTable()
      const exit = yield* Effect.exit(
        one.withTransaction(Effect.all([add(one, 1), add(two, 2), Effect.fail("undo one only")], { discard: true }))
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(yield* all(one), [])
      assert.deepStrictEqual(yield* all(two), [2])
    })
  )

  it.scopedLive("a transaction of another client inside one is a transaction, and each keeps its own end", () =>
    Effect.gen(function* () {
      const one = yield* withTable()
      const two = yield* withTable()
      const exit = yield* Effect.exit(
        one.withTransaction(
          Effect.gen(function* () {
            yield* add(one, 1)
            yield* two.withTransaction(Effect.zipRight(add(two, 2), add(one, 3)))
            // Committed, although the outer one is still open.
            assert.deepStrictEqual(yield* all(two), [2])
            yield* Effect.ignore(two.withTransaction(Effect.zipRight(add(two, 4), Effect.fail("undo"))))
            assert.deepStrictEqual(yield* all(one), [1, 3])
            return yield* Effect.fail("undo one")
          })
        )
      )
      assert.deepStrictEqual(exit, Exit.fail("undo one"))
      assert.deepStrictEqual(yield* all(one), [])
      assert.deepStrictEqual(yield* all(two), [2])
    })
  )

  it.scopedLive("two clients on one file: the other one does not see what is not committed", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const one = yield* withTable({ filename })
      const two = yield* make({ filename, busyTimeout: 50 })
      yield* one.withTransaction(
        Effect.gen(function* () {
          yield* add(one, 1)
          assert.deepStrictEqual(yield* all(two), [])
          assert.strictEqual((yield* reasonOf(add(two, 2))).reason, "LockTimeout")
        })
      )
      assert.deepStrictEqual(yield* all(two), [1])
    })
  )

  it.scopedLive("each has its Statement: transforms and compilers are not shared through caches", () =>
    Effect.gen(function* () {
      const upper = yield* make({ transformResultNames: (name) => name.toUpperCase() })
      const marked = yield* make({
        transformQueryNames: (name) => `${name}_`,
        transformResultNames: (name) => `<${name}>`
      })
      const plain = yield* make()
      const select = (sql: SqliteClient.SqliteClient) => sql`SELECT 1 AS ${sql("a")}`
      for (let round = 0; round < 2; round++) {
        assert.deepStrictEqual(yield* select(upper), [{ A: 1 }])
        assert.deepStrictEqual(yield* select(marked), [{ "<a_>": 1 }])
        assert.deepStrictEqual(yield* select(plain), [{ a: 1 }])
      }
    })
  )

  // ---- withoutTransforms

  it.scopedLive("withoutTransforms also takes off the transform of query names, inside a transaction, too", () =>
    Effect.gen(function* () {
      const sql = yield* make({ transformQueryNames: (name) => `${name}_x` })
      const plain = sql.withoutTransforms()
      assert.deepStrictEqual(sql`${sql("a")}`.compile(), ['"a_x"', []])
      assert.deepStrictEqual(plain`${plain("a")}`.compile(), ['"a"', []])
      yield* plain`CREATE TABLE ${plain("t")}(a)`
      yield* sql.withTransaction(plain`INSERT INTO ${plain("t")} ${plain.insert({ a: 1 })}`)
      const undone = sql.withTransaction(Effect.zipRight(plain`INSERT INTO t VALUES (2)`, Effect.fail("undo")))
      yield* Effect.ignore(undone)
      assert.deepStrictEqual(yield* plain`SELECT * FROM t`, [{ a: 1 }])
      assert.strictEqual(plain.withoutTransforms(), plain)
    })
  )

  it.scopedLive("what SQLite adds to the client is on the variant without transforms", () =>
    Effect.gen(function* () {
      const sql = yield* make({ transformResultNames: (name) => name.toUpperCase() })
      const plain = sql.withoutTransforms()
      assert.strictEqual(plain.engine.kind, engine)
      assert.strictEqual(yield* plain.pragma("user_version"), 0)
      assert.deepStrictEqual(yield* plain.withTransaction(plain`SELECT 1 AS a`), [{ a: 1 }])
      assert.deepStrictEqual(yield* sql`SELECT 1 AS a`, [{ A: 1 }])
    })
  )

  // ---- the generic tag

  it.scopedLive("a resolver that knows only the generic tag stays in the transaction", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      const other = yield* withTable()
      const FindA = yield* SqlResolver.findById("FindA", {
        Id: Schema.Number,
        Result: Schema.Struct({ a: Schema.Number }),
        ResultId: (row) => row.a,
        execute: (ids) => sql`SELECT a FROM t WHERE ${sql.in("a", ids)}`
      })
      const find = Effect.forEach([1, 2], (id) => FindA.execute(id), { batching: true })
      const inside = sql.withTransaction(
        Effect.gen(function* () {
          yield* add(sql, 1)
          const found = yield* find
          yield* Effect.fail(found)
        })
      )
      // It would wait for the session for ever if it were asked for another one.
      assert.deepStrictEqual(yield* Effect.flip(inside), [Option.some({ a: 1 }), Option.none()])
      assert.deepStrictEqual(yield* find, [Option.none(), Option.none()])
      // Within a transaction of another client it runs outside of that one.
      assert.deepStrictEqual(yield* other.withTransaction(find), [Option.none(), Option.none()])
    })
  )

  it.scopedLive("the generic tag holds a connection of the transaction, and its depth", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      const depth = Effect.serviceOption(EffectSql.TransactionConnection).pipe(
        Effect.map(Option.map(([connection, depth]) => ({ connection, depth })))
      )
      assert.isTrue(Option.isNone(yield* depth))
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const outer = Option.getOrThrow(yield* depth)
          assert.strictEqual(outer.depth, 0)
          yield* add(sql, 1)
          assert.deepStrictEqual(yield* outer.connection.execute("SELECT a FROM t", [], undefined), [{ a: 1 }])
          assert.deepStrictEqual(yield* outer.connection.executeValues("SELECT a FROM t", []), [[1]])
          assert.deepStrictEqual(yield* outer.connection.executeRaw("DELETE FROM t WHERE a = ?", [1]), {
            changes: 1,
            lastInsertRowid: 1
          })
          assert.deepStrictEqual(yield* outer.connection.executeUnprepared("SELECT a FROM t", [], undefined), [])
          const stream = outer.connection.executeStream("SELECT ? AS a", [5], (rows) => rows)
          assert.deepStrictEqual(yield* Stream.runCollect(stream), Chunk.of({ a: 5 }))
          yield* sql.withTransaction(
            Effect.map(depth, (inner) => assert.strictEqual(Option.getOrThrow(inner).depth, 1))
          )
        })
      )
    })
  )

  it.scopedLive("a connection of the transaction cannot be used when it has ended", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      const own = Effect.serviceOptional(EffectSql.TransactionConnection)
      const [connection] = yield* sql.withTransaction(own)
      const failure = yield* reasonOf(connection.execute("INSERT INTO t VALUES (1)", [], undefined))
      assert.strictEqual(failure.reason, "TransactionGone")
      assert.deepStrictEqual(yield* all(sql), [])
    })
  )

  // ---- waiting, begin, commit

  it.scopedLive("withTransaction that waits for a held session can be timed out", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      const held = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(
        sql.withTransaction(Effect.zipRight(Deferred.succeed(held, void 0), Effect.never))
      )
      yield* Deferred.await(held)
      const started = performance.now()
      const result = yield* Effect.timeoutOption(sql.withTransaction(add(sql, 1)), 200)
      const took = performance.now() - started
      assert.isTrue(Option.isNone(result))
      assert.isAtLeast(took, 190)
      assert.isBelow(took, 10_000)
      yield* Fiber.interrupt(holder)
      assert.deepStrictEqual(yield* all(sql), [])
      // The one that gave up has not kept its place.
      yield* sql.withTransaction(add(sql, 2))
      assert.deepStrictEqual(yield* all(sql), [2])
    })
  )

  it.scopedLive("a failed BEGIN is a typed failure, the body does not run, the session is usable", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const one = yield* withTable({ filename })
      const two = yield* make({ filename, busyTimeout: 20 })
      let ran = false
      yield* one.withTransaction(
        Effect.gen(function* () {
          yield* add(one, 1)
          const exit = yield* Effect.exit(two.withTransaction(Effect.sync(() => (ran = true))))
          assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error instanceof SqlError)
          const failure = yield* reasonOf(two.withTransaction(Effect.void))
          assert.strictEqual(failure.reason, "LockTimeout")
        })
      )
      assert.isFalse(ran)
      yield* two.withTransaction(add(two, 2))
      assert.deepStrictEqual(yield* all(one), [1, 2])
    })
  )

  it.scopedLive("a failed COMMIT is a typed failure and leaves a clean session", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      yield* sql`CREATE TABLE child(a REFERENCES t(a) DEFERRABLE INITIALLY DEFERRED)`
      const orphan = sql.withTransaction(Effect.as(sql`INSERT INTO child VALUES (99)`, "body"))
      const exit = yield* Effect.exit(orphan)
      assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error instanceof SqlError)
      const failure = yield* reasonOf(orphan)
      assert.strictEqual(failure.reason, "Constraint")
      assert.deepStrictEqual(yield* sql`SELECT * FROM child`, [])
      yield* sql.withTransaction(Effect.zipRight(add(sql, 99), sql`INSERT INTO child VALUES (99)`))
      assert.deepStrictEqual(yield* sql`SELECT * FROM child`, [{ a: 99 }])
    })
  )

  it.scopedLive("a ROLLBACK where SQLite has already rolled back does not hide the failure", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      yield* add(sql, 1)
      const failure = yield* reasonOf(
        sql.withTransaction(Effect.zipRight(add(sql, 2), sql`INSERT OR ROLLBACK INTO t VALUES (1)`))
      )
      assert.strictEqual(failure.reason, "UniqueViolation")
      assert.deepStrictEqual(yield* all(sql), [1])
      yield* sql.withTransaction(add(sql, 3))
      assert.deepStrictEqual(yield* all(sql), [1, 3])
    })
  )

  // ---- savepoints

  it.scopedLive("savepoints are released: a thousand nested successes leave none behind", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      yield* sql.withTransaction(
        Effect.gen(function* () {
          for (let a = 0; a < 1_000; a++) {
            yield* sql.withTransaction(add(sql, a))
          }
          // Each name is gone, the first as well as the last.
          for (const name of ["sluice_1", "sluice_1000"]) {
            assert.match((yield* reasonOf(sql.unsafe(`RELEASE ${name}`))).message, /no such savepoint/)
          }
        })
      )
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM t`, [{ n: 1_000 }])
    })
  )

  it.scopedLive("siblings are serialised: one's rollback takes nothing of the other", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      const sibling = (a: number) =>
        sql.withTransaction(
          Effect.gen(function* () {
            yield* add(sql, a)
            yield* Effect.sleep(5)
            yield* add(sql, a + 100)
            if (a % 2 === 1) {
              yield* Effect.fail("odd")
            }
          })
        )
      const exits = yield* sql.withTransaction(
        Effect.forEach([0, 1, 2, 3, 4, 5], (a) => Effect.exit(sibling(a)), { concurrency: "unbounded" })
      )
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true, false, true, false])
      assert.deepStrictEqual(yield* all(sql), [0, 2, 4, 100, 102, 104])
    })
  )

  it.scopedLive("a statement of the outer level waits while an inner one is open", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const open = yield* Deferred.make<void>()
          const inner = sql.withTransaction(
            Effect.gen(function* () {
              yield* add(sql, 1)
              yield* Deferred.succeed(open, void 0)
              yield* Effect.sleep(30)
              yield* Effect.fail("undo")
            })
          )
          const fiber = yield* Effect.fork(Effect.ignore(inner))
          yield* Deferred.await(open)
          yield* add(sql, 2)
          assert.deepStrictEqual(yield* all(sql), [2])
          yield* Fiber.join(fiber)
        })
      )
      assert.deepStrictEqual(yield* all(sql), [2])
    })
  )

  it.scopedLive("a daemon that outlives its transaction is told, and opens none of its own", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      const ended = yield* Deferred.make<void>()
      const late = Effect.zipRight(
        Deferred.await(ended),
        Effect.all([reasonOf(add(sql, 1)), reasonOf(sql.withTransaction(add(sql, 2)))])
      )
      const fiber = yield* sql.withTransaction(Effect.forkDaemon(late))
      yield* Deferred.succeed(ended, void 0)
      const failures = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        failures.map((failure) => failure.reason),
        ["TransactionGone", "TransactionGone"]
      )
      assert.deepStrictEqual(yield* all(sql), [])
      yield* sql.withTransaction(add(sql, 3))
      assert.deepStrictEqual(yield* all(sql), [3])
    })
  )

  it.scopedLive("reserve inside a transaction gives the transaction's own connection", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* add(sql, 1)
          const connection = yield* sql.reserve
          assert.deepStrictEqual(yield* connection.executeValues("SELECT a FROM t", []), [[1]])
        }).pipe(Effect.scoped)
      )
      assert.deepStrictEqual(yield* all(sql), [1])
    })
  )

  // ---- transformers and values

  it.scopedLive("a statement transformer sees statements and streams, and may change them", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      const seen: Array<string> = []
      const tagged = Statement.withTransformer((statement, sql) =>
        Effect.sync(() => {
          seen.push(statement.compile()[0])
          return sql`${statement} -- tagged`
        })
      )
      assert.deepStrictEqual(yield* tagged(sql`SELECT ${1} AS a`), [{ a: 1 }])
      assert.deepStrictEqual(yield* tagged(Stream.runCollect(sql`SELECT ${2} AS a`.stream)), Chunk.of({ a: 2 }))
      assert.deepStrictEqual(seen, ["SELECT ? AS a", "SELECT ? AS a"])
    })
  )

  it.scopedLive("a program asks for the generic tag and gets the client that is provided", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const program = Effect.flatMap(EffectSql.SqlClient, (sql) => sql`SELECT 1 AS a`)
      const layer = SqliteClient.layer({ filename: join(directory, "a.db"), engine })
      assert.deepStrictEqual(yield* Effect.provide(program, layer), [{ a: 1 }])
      const sql = yield* make()
      assert.deepStrictEqual(yield* Effect.provide(program, Context.make(EffectSql.SqlClient, sql)), [{ a: 1 }])
    })
  )

  it.scopedLive("the cause of every SqlError is a SqlFailure that is an Error", () =>
    Effect.gen(function* () {
      const sql = yield* withTable()
      yield* add(sql, 1)
      const caught = yield* add(sql, 1).pipe(Effect.catchTag("SqlError", (error) => Effect.succeed(error)))
      assert.instanceOf(caught, SqlError)
      const { cause } = caught
      assert.instanceOf(cause, Error)
      assert.instanceOf(cause, SqlFailure.SqlFailure)
      assert.deepStrictEqual(cause.columns, ["a"])
    })
  )

  it.scopedLive("a column that must not be null is named", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      yield* sql`create table strict_one(a text not null)`
      const failure = SqlFailure.from(yield* Effect.flip(sql`insert into strict_one values (null)`))
      assert.strictEqual(failure.reason, "Constraint")
      assert.strictEqual(failure.constraint, "strict_one.a")
      assert.deepStrictEqual(failure.columns, ["a"])
    })
  )
})
