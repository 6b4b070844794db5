import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import { Effect, Exit, Scope, Stream } from "effect"
import { sqliteFailure } from "../src/internal/failure.js"
import { assertIdle, open } from "./conformance/stopping.js"
import { countTo, leftovers, onEngines, reasonOf, tempDirectory, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

describe("result codes of SQLite", () => {
  // https://www.sqlite.org/rescode.html
  const codes: ReadonlyArray<
    readonly [code: number, message: string, reason: SqlFailure.Reason, advice: RegExp, retryable: boolean]
  > = [
    [1, "integer overflow", "InvalidParameter", /^integer overflow$/, false],
    [1, "malformed JSON", "InvalidParameter", /^malformed JSON$/, false],
    [5, "unable to delete/modify user-function due to active statements", "LockTimeout", /end its stream/, true],
    ...[
      "table p has 2 columns but 3 values were supplied",
      "1st ORDER BY term out of range - should be between 1 and 1",
      "aggregate functions are not allowed in the GROUP BY clause",
      "row value misused",
      "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint",
      "missing datatype for z.a",
      'table "z" has more than one primary key',
      "multiple references to recursive table: r",
      "RAISE() may only be used within a trigger-program",
      "unable to identify the object to be reindexed"
    ].map((message) => [1, message, "SqlSyntax", /./, false] as const),
    [3, "access permission denied", "Authorization", /denied/, false],
    [5, "database is locked", "LockTimeout", /busy timeout/, true],
    [6, "database table is locked", "LockTimeout", /end its stream/, true],
    [7, "out of memory", "Unknown", /vdbeOps/, false],
    [8, "attempt to write a readonly database", "Authorization", /may not be written/, false],
    [10, "disk I/O error", "Connection", /look at the disk/, false],
    [778, "disk I/O error", "Connection", /look at the disk/, false],
    [11, "database disk image is malformed", "Unknown", /integrity_check/, false],
    [13, "database or disk is full", "Unknown", /make room/, false],
    [14, "unable to open database file", "Connection", /look at the path/, true],
    [15, "locking protocol", "LockTimeout", /^locking protocol$/, true],
    [20, "datatype mismatch", "Constraint", /^datatype mismatch$/, false],
    [517, "database is locked", "Serialization", /run the transaction again/, true],
    [1032, "attempt to write a readonly database", "Connection", /moved or replaced/, true]
  ]

  for (const [code, message, reason, advice, retryable] of codes) {
    it(`${code}: ${reason}`, () => {
      const failure = SqlFailure.from(sqliteFailure({ code, message }, "select 1"))
      assert.strictEqual(failure.reason, reason)
      assert.strictEqual(failure.code, code)
      assert.match(failure.message, advice)
      assert.strictEqual(failure.isRetryable, retryable)
    })
  }
})

describe("SqlFailure.from", () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const thrown = () => {
    throw new Error("not to be looked at")
  }
  for (const [what, error] of [
    ["an object without a text", Object.create(null)],
    ["a proxy that was revoked", proxy],
    ["a cause that throws", Object.defineProperty({}, "cause", { get: thrown })],
    ["a text that throws", { toString: thrown }],
    ["a message that throws", Object.defineProperty(new Error(), "message", { get: thrown })]
  ] as const) {
    it(`${what} is Unknown`, () => {
      assert.strictEqual(SqlFailure.from(error).reason, "Unknown")
      assert.isFalse(SqlFailure.is("LockTimeout")(error))
    })
  }
})

onEngines("when the machine refuses", (engine) => {
  it.scopedLive("a full database: typed, the statement undone, and room again after some is made", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, pragmas: { max_page_count: 20 } })
      yield* sql`create table t (a)`
      const fill = sql.unsafe(`insert into t select zeroblob(4000) from (${countTo(100)})`)
      const statements = [
        fill,
        Stream.runDrain(sql.unsafe(`insert into t select zeroblob(4000) from (${countTo(100)}) returning a`).stream),
        sql.many(
          "insert into t values (zeroblob(?))",
          Array.from({ length: 100 }, () => [4000])
        ),
        sql.batch([`insert into t select zeroblob(4000) from (${countTo(100)})`]),
        sql.withTransaction(fill),
        sql.withTransaction(Effect.zipRight(sql`insert into t values (1)`, sql.withTransaction(fill)))
      ]
      for (const [i, statement] of statements.entries()) {
        const failure = yield* reasonOf(statement as Effect.Effect<unknown, unknown>)
        assert.strictEqual(failure.code, 13, String(i))
        assert.match(failure.message, /max_page_count/, String(i))
        assert.strictEqual(failure.outcome, "notExecuted", String(i))
        assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 0 }], String(i))
      }
      yield* sql.pragma("max_page_count", 1000)
      yield* fill
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 100 }])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a file that cannot be opened while the client runs", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const sql = yield* open(engine, { filename: join(directory, "a.db") })
      const failure = yield* reasonOf(sql.attach(join(directory, "missing", "b.db"), "b"))
      assert.strictEqual(failure.reason, "Connection")
      assert.match(failure.message, /look at the path/)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a session that is opened later finds no file any more", () =>
    Effect.gen(function* () {
      const directory = join(yield* tempDirectory, "gone")
      mkdirSync(directory)
      const sql = yield* open(engine, { filename: join(directory, "a.db"), readers: 1 })
      yield* sql`create table t (a)`
      const scope = yield* Scope.make()
      rmSync(directory, { recursive: true })
      const failure = yield* reasonOf(Scope.extend(Stream.runDrain(sql`select a from t`.stream), scope))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(failure.reason, "Connection")
    })
  )

  it.scopedLive("writing where one may only read", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const writer = yield* open(engine, { filename })
      yield* writer`create table t (a)`
      const sql = yield* open(engine, { filename, readonly: true })
      const failure = yield* reasonOf(sql`insert into t values (1)`)
      assert.strictEqual(failure.reason, "Authorization")
      assert.match(failure.message, /only reads/)
      yield* assertIdle(sql)
    })
  )
})
