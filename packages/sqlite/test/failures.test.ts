import { execFileSync } from "node:child_process"
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Effect, Exit, Option, Scope, Stream } from "effect"
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
    ...[
      "cannot VACUUM - SQL statements in progress",
      "cannot change out of wal mode from within a transaction",
      "database other is locked"
    ].map((message) => [1, message, "LockTimeout", /end it first/, true] as const),
    [1, "cannot start a transaction within a transaction", "Unsupported", /withTransaction/, false],
    [1, "cannot VACUUM from within a transaction", "Unsupported", /outside/, false],
    [1, "Safety level may not be changed inside a transaction", "Unsupported", /outside/, false],
    [5, "cannot commit transaction - SQL statements in progress", "LockTimeout", /end its stream/, true],
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

/** The first page of a result with more rows, which stays open. */
const openResult = (sql: SqliteClient.SqliteClient) =>
  Effect.gen(function* () {
    yield* sql.unsafe(`create table t as ${countTo(100)}`)
    const pull = yield* Stream.toPull(sql`select n from t`.stream.pipe(SqlClient.withPrefetch(1)))
    yield* pull
    return Effect.mapError(pull, Option.getOrThrow)
  })

onEngines("failures say what is true, and what to do", (engine) => {
  it.scopedLive("a script with another number of parameters than its statements have together", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      for (const [text, params, message] of [
        ["select ?, ?", [1], "The statement has 2 parameters, but 1 was given"],
        ["select 1; select ?, ?", [1], "The statements of the text have at least 2 parameters, but 1 was given"],
        ["select ?; select ?, ?", [1, 2], "The statements of the text have at least 3 parameters, but 2 were given"],
        ["select ?; select ?", [1, 2, 3], "The statements of the text have 2 parameters, but 3 were given"]
      ] as const) {
        const failure = yield* reasonOf(sql.unsafe(text, params))
        assert.strictEqual(failure.reason, "InvalidParameter")
        assert.strictEqual(failure.message, message)
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a copy inside a transaction that writes", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* sql`create table t (a)`
      const to = Effect.map(tempFile, (path) => sql.backup(path))
      const backup = yield* reasonOf(sql.withTransaction(Effect.flatten(to))).pipe(Effect.timeout("4 seconds"))
      assert.strictEqual(backup.reason, "Unsupported")
      assert.match(backup.message, /transaction/)
      if (engine === "portable") {
        const copy = yield* reasonOf(sql.withTransaction(sql.export))
        assert.strictEqual(copy.reason, "Unsupported")
        assert.match(copy.message, /outside/)
      } else {
        yield* sql.snapshot(Effect.flatten(to))
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a copy while a result is open", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* openResult(sql)
      for (const copy of [sql.export, sql.backup(yield* tempFile)]) {
        if (engine === "native") {
          yield* copy
          continue
        }
        const failure = yield* reasonOf<unknown, unknown, never>(copy)
        assert.strictEqual(failure.reason, "Unsupported")
        assert.match(failure.message, /while a result is open/)
      }
    })
  )

  it.scopedLive("an extension that is not there", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const failure = yield* reasonOf(sql.loadExtension("/nowhere/to/be/found"))
      assert.strictEqual(failure.reason, "InvalidParameter")
      assert.include(failure.message, '"/nowhere/to/be/found"')
      assert.isFalse(failure.isRetryable)
    })
  )

  it.scopedLive("what can never be opened is not tried again, what may be there in a moment is", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const text = join(directory, "text.db")
      writeFileSync(text, "no database ".repeat(1_000))
      const failureOf = (config: Partial<SqliteClient.SqliteClientConfig>) => reasonOf(open(engine, config))
      for (const config of [
        { filename: text },
        { filename: directory },
        { filename: "a\0b" },
        { filename: `file:${join(directory, "a.db")}?vfs=none` },
        { workerUrl: join(directory, "missing.js") },
        { extensions: [join(directory, "missing")] }
      ]) {
        const failure = yield* failureOf(config)
        assert.strictEqual(failure.reason, "Connection", failure.message)
        assert.isFalse(failure.isRetryable, failure.message)
      }
      const missing = yield* failureOf({ filename: join(directory, "later", "a.db") })
      assert.strictEqual(missing.reason, "Connection")
      assert.isTrue(missing.isRetryable)
    })
  )

  it.scopedLive("what is no file is told apart, and never waited for", () =>
    Effect.gen(function* () {
      if (process.platform === "win32") {
        return
      }
      const directory = yield* tempDirectory
      const at = (name: string) => join(directory, name)
      symlinkSync(at("loop"), at("loop"))
      writeFileSync(at("beside"), "")
      symlinkSync(at("beside"), at("link"))
      execFileSync("mkfifo", [at("fifo"), at("beside-journal")])
      const cases: ReadonlyArray<readonly [name: string, message: string]> = [
        [directory, "it is a directory"],
        [`file:${directory}`, "it is a directory"],
        [at("loop"), "unable to open database file"],
        [at("fifo"), `${at("fifo")} is a FIFO`],
        [`file:${at("fifo")}?cache=private`, "is a FIFO"],
        [at("link"), "beside-journal is a FIFO"]
      ]
      for (const [filename, message] of cases) {
        for (const readonly of [true, false]) {
          const failure = yield* reasonOf(open(engine, { filename, readonly }))
          assert.strictEqual(failure.reason, "Connection", filename)
          assert.include(failure.message, message)
        }
      }
    })
  )

  it.scopedLive("a result that the rollback of another fiber's transaction has ended", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const rest = yield* openResult(sql)
      yield* Effect.either(sql.withTransaction(Effect.zipRight(sql`create table u (a)`, Effect.fail("no"))))
      const failure = yield* reasonOf(rest)
      assert.strictEqual(failure.reason, "TransactionGone")
      assert.match(failure.message, /was rolled back, which ended this result/)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("the locking mode cannot be exclusive beside readers", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      for (const config of [
        { pragmas: { locking_mode: "exclusive" } },
        { pragmas: { LOCKING_MODE: "EXCLUSIVE" } },
        { onOpen: ["pragma main.locking_mode(exclusive)"] }
      ]) {
        const failure = yield* reasonOf(
          Effect.scoped(open(engine, { filename, readers: 1, busyTimeout: 50, ...config }))
        )
        assert.strictEqual(failure.reason, "Unsupported")
        assert.include(failure.message, "readers: 0")
      }
      yield* Effect.gen(function* () {
        const sql = yield* open(engine, { filename, readers: 1, busyTimeout: 50 })
        for (const name of ["locking_mode", "main.locking_mode"]) {
          assert.strictEqual((yield* reasonOf(sql.pragma(name, "exclusive"))).reason, "Unsupported")
        }
        assert.strictEqual(yield* sql.pragma("locking_mode"), "normal")
        yield* sql`create table t (a)`
      }).pipe(Effect.scoped)
      const alone = yield* open(engine, { filename, pragmas: { locking_mode: "exclusive" } })
      assert.strictEqual(yield* alone.pragma("locking_mode"), "exclusive")
    })
  )

  it.scopedLive("a number of readers that is none", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      for (const readers of [NaN, 1.5, -1, Infinity]) {
        const failure = yield* reasonOf(Effect.scoped(open(engine, { filename, readers })))
        assert.strictEqual(failure.reason, "InvalidParameter")
        assert.include(failure.message, "readers")
      }
    })
  )

  it.scopedLive("an option that is none", () =>
    Effect.gen(function* () {
      const durations = ["soon", "-1 second", -1, -1n, NaN, [0, -1], ["a", 1], null, {}, true]
      const sizes = [-1, 0.5, NaN, -Infinity, "many", 2 ** 60]
      const counts = [...sizes, Infinity, 2 ** 31]
      const wrong: Record<string, ReadonlyArray<unknown>> = {
        onClose: ["x", null],
        readers: counts,
        progressSteps: [...counts, 0],
        busyTimeout: durations,
        grace: durations,
        statementCacheSize: sizes,
        prepareCacheSize: sizes,
        prepareCacheTTL: durations,
        maxQueued: sizes,
        maxQueuedBytes: sizes,
        prefetch: [0.5, NaN, Infinity, "many", null],
        statementTimeout: durations,
        "limits.length": counts,
        "pragmas.cache_size": [NaN, Infinity, null, {}, 1n],
        "attach.other": [NaN, null, {}],
        "limits.bogus": [1],
        "changes.capacity": [...sizes, 0],
        "changes.interval": durations,
        "pool.min": [-1, 0.5, NaN, Infinity, "many"],
        "pool.max": [0, 1],
        "pool.acquireTimeout": durations,
        "pool.idleTimeout": durations,
        "pool.maxLifetime": durations,
        "pool.bypassWindow": durations
      }
      for (const [name, values] of Object.entries(wrong)) {
        const [option, inner] = name.split(".") as [string, string | undefined]
        for (const value of values) {
          const config = { [option]: inner === undefined ? value : { [inner]: value } }
          const failure = yield* reasonOf(Effect.scoped(open(engine, config)))
          const what = `${name}: ${String(value)}`
          assert.strictEqual(failure.reason, "InvalidParameter", what)
          assert.isFalse(failure.isRetryable, what)
          assert.include(failure.message, option === "limits" ? inner! : name, what)
          assert.match(failure.message, /must be (a|one of|the name of) |there are /, what)
        }
      }
      const failure = yield* reasonOf(Effect.scoped(open("bogus" as never)))
      assert.strictEqual(failure.reason, "InvalidParameter")
      assert.include(failure.message, "engine")
    })
  )

  it.scopedLive("no option that is none: the least, the most, and undefined", () =>
    Effect.gen(function* () {
      const least = yield* open(engine, {
        readers: 0,
        progressSteps: 1,
        busyTimeout: 0,
        grace: "0 millis",
        statementCacheSize: 0,
        prepareCacheSize: 0,
        prepareCacheTTL: 0n,
        maxQueued: 0,
        maxQueuedBytes: 0,
        prefetch: 0,
        statementTimeout: [0, 0],
        limits: { triggerDepth: 0 },
        changes: { capacity: 1, interval: 0 },
        pool: { min: 0, acquireTimeout: "5 seconds", idleTimeout: 0, maxLifetime: 0, bypassWindow: 0 }
      })
      assert.strictEqual((yield* reasonOf(least`select 1`)).reason, "StatementTimeout")
      const none = yield* open(engine, {
        statementCacheSize: undefined,
        maxQueued: undefined,
        changes: { capacity: undefined, interval: undefined },
        pool: { min: undefined, acquireTimeout: undefined, max: undefined } as object
      })
      yield* assertIdle(none)
      const most = yield* open(engine, {
        progressSteps: 2 ** 31 - 1,
        busyTimeout: Infinity,
        grace: Infinity,
        statementCacheSize: Infinity,
        maxQueued: Infinity,
        maxQueuedBytes: Infinity,
        prefetch: 2 ** 40,
        statementTimeout: Infinity,
        limits: { length: 2 ** 31 - 1 },
        changes: { capacity: Infinity, interval: Infinity },
        pool: {
          min: 100,
          acquireTimeout: Infinity,
          idleTimeout: Infinity,
          maxLifetime: Infinity,
          bypassWindow: Infinity
        }
      })
      yield* assertIdle(most)
    })
  )

  it.scopedLive("a pragma that SQLite does not know", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      for (const name of ["synchronos", "main.synchronous", "a;b", ""]) {
        const failure = yield* reasonOf(
          Effect.scoped(open(engine, { filename, pragmas: { cache_size: -100, [name]: "full" } }))
        )
        assert.strictEqual(failure.reason, "InvalidParameter", name)
        assert.include(failure.message, `"${name}"`)
        assert.isFalse(failure.isRetryable)
      }
      const sql = yield* open(engine, {
        filename,
        pragmas: { Synchronous: "full", cache_size: undefined, nonsense: undefined },
        attach: { other: undefined },
        onOpen: ["pragma nonsense = 1"]
      })
      assert.strictEqual(yield* sql.pragma("synchronous"), 2)
      assert.strictEqual(yield* sql.pragma("cache_size"), -2000)
      assert.deepStrictEqual(yield* sql`pragma database_list`.values, [[0, "main", filename]])
    })
  )

  it.scopedLive("sql.pragma with a name that SQLite does not know, or a value that is none", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      for (const set of [
        sql.pragma("synchronos", "full"),
        sql.pragma("main.synchronos", "full"),
        sql.pragma("synchronos.user_versio"),
        sql.withTransaction(sql.pragma("user_versio"))
      ]) {
        const failure = yield* reasonOf(set)
        assert.strictEqual(failure.reason, "InvalidParameter")
        assert.match(failure.message, /"(main\.)?synchronos(\.user_versio)?"|"user_versio"/)
        assert.isFalse(failure.isRetryable)
      }
      for (const value of [NaN, Infinity, null, {}]) {
        assert.strictEqual((yield* reasonOf(sql.pragma("user_version", value as number))).reason, "InvalidParameter")
      }
      yield* sql.pragma("USER_VERSION", 7)
      assert.strictEqual(yield* sql.pragma("main.User_Version"), 7)
      yield* sql.attach(":memory:", "other")
      yield* sql.pragma("other.user_version", 8)
      assert.strictEqual(yield* sql.pragma("other.user_version"), 8)
      assert.strictEqual(yield* sql.pragma("user_version"), 7)
      // All that it lists are known, such as those of its compile options.
      for (const [name] of yield* sql`pragma pragma_list`.values) {
        if (/_(version|count|size|list|store|mode)$/.test(String(name))) {
          yield* sql.pragma(String(name))
        }
      }
    })
  )

  it.scopedLive("onOpen that leaves a transaction open", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const left = yield* reasonOf(Effect.scoped(open(engine, { filename, onOpen: ["begin", "create table t (a)"] })))
      assert.strictEqual(left.reason, "Unsupported")
      assert.include(left.message, "transaction open")
      const sql = yield* open(engine, { filename, onOpen: ["begin", "create table t (a)", "commit"] })
      yield* sql`insert into t values (1)`
    })
  )

  it.scopedLive("what wants the connection for itself, beside an open result and in a transaction", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* sql.unsafe(`create table t as ${countTo(200)}`)
      const beside = yield* sql`select * from t`.stream.pipe(
        SqlClient.withPrefetch(1),
        Stream.mapEffect(() => reasonOf(sql`vacuum`)),
        Stream.runHead
      )
      assert.strictEqual(Option.getOrThrow(beside).reason, "LockTimeout")
      for (const text of ["begin", "vacuum"]) {
        assert.strictEqual((yield* reasonOf(sql.withTransaction(sql.unsafe(text)))).reason, "Unsupported")
      }
      yield* sql`vacuum`
    })
  )

  it.scopedLive("the journal mode while readers are open", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1, busyTimeout: 50 })
      yield* sql`create table t (a)`
      for (const change of [sql.pragma("journal_mode", "delete"), sql`pragma main.journal_mode = delete`]) {
        const failure = yield* reasonOf<unknown, unknown, never>(change)
        assert.strictEqual(failure.reason, "Unsupported")
        assert.match(failure.message, /disableWAL/)
      }
      assert.strictEqual(yield* sql.pragma("journal_mode"), "wal")
      yield* assertIdle(sql)
    })
  )
})
