/** The face of the SQLite client: what a program written for `@effect/sql-sqlite-node` finds, and what there is beside. */
import { existsSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as EffectSql from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { afterAll, assert, it, vi } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Chunk, Config, ConfigProvider, Context, Effect, Exit, Fiber, Layer, Queue, Stream, Tracer } from "effect"
import { WorkerSession } from "../src/internal/session.js"
import {
  eventually,
  layerOf,
  layerOnFile,
  leftovers,
  onEngines,
  reasonOf,
  spinFor,
  tempDirectory,
  tempFile,
  workersAlive
} from "./support.js"

const pump = fileURLToPath(new URL("../native/build/pump.node", import.meta.url))

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** A tracer that keeps every span that ended, the first one first. */
const recordingTracer = () => {
  const spans: Array<{ name: string; attributes: Record<string, unknown>; exit: Exit.Exit<unknown, unknown> }> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      return {
        _tag: "Span",
        name,
        spanId: String(spans.length),
        traceId: "trace",
        parent,
        context,
        links,
        kind,
        sampled: true,
        status: { _tag: "Started", startTime },
        attributes,
        attribute: (key, value) => void attributes.set(key, value),
        addLinks: () => {},
        event: () => {},
        end: (_, exit) => void spans.push({ name, attributes: Object.fromEntries(attributes), exit })
      }
    },
    context: (run) => run()
  })
  return { spans, tracer }
}

onEngines("SqliteClient", (engine) => {
  const make = (config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
    SqliteClient.make({ filename: ":memory:", ...config, engine }).pipe(Effect.provide(Reactivity.layer))

  afterAll(() => Effect.runPromise(leftovers))

  it.scopedLive("make opens the database, and the scope closes it", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const client = yield* Effect.scoped(
        Effect.tap(make({ filename }), (sql) => sql`CREATE TABLE t(a); INSERT INTO t VALUES (1)`)
      )
      assert.isTrue(existsSync(filename))
      assert.isFalse(existsSync(`${filename}-wal`))
      const failure = yield* reasonOf(client`SELECT 1`)
      assert.strictEqual(failure.reason, "Closed")
      const again = yield* make({ filename })
      assert.deepStrictEqual(yield* again`SELECT a FROM t`, [{ a: 1 }])
    })
  )

  it.scopedLive("a layer provides the three tags with one client", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(layerOf(engine))
      const own = Context.get(context, SqliteClient.SqliteClient)
      assert.strictEqual(Context.get(context, SqlClient.SqlClient) as unknown, own)
      assert.strictEqual(Context.get(context, EffectSql.SqlClient) as unknown, own)
      assert.strictEqual(own[SqliteClient.TypeId], SqliteClient.TypeId)
      assert.isTrue(EffectSql.TypeId in own)
    })
  )

  it.scopedLive("layerConfig reads Config values, and fails with a ConfigError without them", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const layer = SqliteClient.layerConfig({
        filename: Config.string("DATABASE"),
        readonly: Config.succeed(false),
        engine: Config.succeed(engine)
      })
      const open = Effect.map(SqliteClient.SqliteClient, (sql) => [sql.config.filename, sql.engine.kind])
      const configured = Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["DATABASE", filename]])))
      assert.deepStrictEqual(yield* open.pipe(Effect.provide(layer), configured), [filename, engine])
      const error = yield* open.pipe(
        Effect.provide(layer),
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map())),
        Effect.flip
      )
      assert.deepInclude(error, { _op: "MissingData", path: ["DATABASE"] })
    })
  )

  it.scopedLive("a file that cannot be opened is a typed failure", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const nowhere = join(directory, "no", "where.db")
      assert.strictEqual((yield* reasonOf(Effect.scoped(make({ filename: nowhere })))).reason, "Connection")
      const text = join(directory, "text.db")
      writeFileSync(text, "this is a text and no database. ".repeat(40))
      const failure = yield* reasonOf(Effect.scoped(make({ filename: text })))
      assert.strictEqual(failure.reason, "Connection")
      assert.include(failure.message, text)
      const missing = yield* reasonOf(Effect.scoped(make({ filename: join(directory, "missing.db"), readonly: true })))
      assert.strictEqual(missing.reason, "Connection")
    })
  )

  it.scopedLive("config is the one it was made with; the fields of sql-sqlite-node are taken", () =>
    Effect.gen(function* () {
      const config = { prepareCacheSize: 2, prepareCacheTTL: "1 minute", spanAttributes: { team: "a" } } as const
      const sql = yield* make(config)
      assert.deepStrictEqual(sql.config, { filename: ":memory:", ...config, engine })
      // Two statements are kept; more of them than that, again and again, all answer.
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 5; n++) {
          assert.deepStrictEqual(yield* sql.unsafe(`SELECT ${n} AS n`), [{ n }])
        }
      }
    })
  )

  it.scopedLive("a file is in WAL mode unless disableWAL, foreign keys count, readonly refuses writes", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const wal = yield* make({ filename: join(directory, "wal.db") })
      assert.strictEqual(yield* wal.pragma("journal_mode"), "wal")
      assert.strictEqual(yield* wal.pragma("foreign_keys"), 1)
      const plain = yield* make({ filename: join(directory, "plain.db"), disableWAL: true })
      assert.strictEqual(yield* plain.pragma("journal_mode"), "delete")
      yield* wal`CREATE TABLE t(a)`
      const reading = yield* make({ filename: join(directory, "wal.db"), readonly: true })
      assert.deepStrictEqual(yield* reading`SELECT a FROM t`, [])
      assert.strictEqual((yield* reasonOf(reading`INSERT INTO t VALUES (1)`)).reason, "Authorization")
    })
  )

  it.scopedLive("export gives the bytes of a database file", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      yield* sql`CREATE TABLE t(a)`
      yield* sql`INSERT INTO t VALUES ('kept')`
      const bytes = yield* sql.export
      assert.instanceOf(bytes, Uint8Array)
      assert.strictEqual(Buffer.from(bytes.subarray(0, 15)).toString(), "SQLite format 3")
      const filename = yield* tempFile
      writeFileSync(filename, bytes)
      const copy = yield* make({ filename })
      assert.deepStrictEqual(yield* copy`SELECT a FROM t`, [{ a: "kept" }])
    })
  )

  it.scopedLive("backup copies into a file and tells its pages; statements run meanwhile", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const sql = yield* make({ filename: join(directory, "source.db") })
      yield* sql`CREATE TABLE t(a, b)`
      yield* sql.many(
        "INSERT INTO t VALUES (?, ?)",
        Array.from({ length: 3_000 }, (_, i) => [i, "x".repeat(1_000)])
      )
      const [metadata] = yield* Effect.all([sql.backup(join(directory, "copy.db")), sql`SELECT count(*) FROM t`], {
        concurrency: "unbounded"
      })
      const pages = yield* sql.pragma("page_count")
      assert.deepStrictEqual(metadata, { totalPages: pages as number, remainingPages: 0 })
      const copy = yield* make({ filename: join(directory, "copy.db") })
      assert.deepStrictEqual(yield* copy`SELECT count(*) AS n, sum(a) AS s FROM t`, [{ n: 3_000, s: 4_498_500 }])
    })
  )

  it.scopedLive("a backup to an unusable place is a typed failure, and the client goes on", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const sql = yield* make({ filename: join(directory, "source.db") })
      yield* sql`CREATE TABLE t(a)`
      const error = yield* Effect.flip(sql.backup(join(directory, "no", "copy.db")))
      assert.instanceOf(error, SqlError)
      assert.strictEqual(SqlFailure.from(error).reason, "Connection")
      assert.strictEqual((yield* sql.backup(join(directory, "copy.db"))).remainingPages, 0)
    })
  )

  it.scopedLive("loadExtension loads for the sessions of now and later; SQL's load_extension() stays off", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* make({ filename, readers: 1 })
      yield* sql.loadExtension(pump)
      yield* sql`CREATE TABLE t(a)`
      // A stream opens a session of its own, which loads it, too.
      assert.strictEqual(yield* Stream.runCount(sql`SELECT * FROM t`.stream), 0)
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM t`, [{ n: 0 }])
      const failure = yield* reasonOf(sql`SELECT load_extension(${pump})`)
      assert.match(failure.message, /not authorized|no such function/)
    })
  )

  it.scopedLive("what is loaded and registered while a session opens is there, too", () =>
    Effect.gen(function* () {
      const others = workersAlive()
      const sql = yield* make({ filename: yield* tempFile, readers: 1 })
      // The first run of a text goes to the writer.
      yield* sql`SELECT 1 AS one`
      const before = workersAlive()
      const submit = yield* Effect.acquireRelease(
        Effect.sync(() => vi.spyOn(WorkerSession.prototype, "submit")),
        (spy) => Effect.sync(() => spy.mockRestore())
      )
      const stream = yield* Effect.fork(Stream.runCollect(sql`SELECT 1 AS one`.stream))
      yield* eventually("a session is opening", () => workersAlive() > before)
      yield* sql.loadExtension(pump)
      yield* sql.function("twice", (n) => Effect.succeed(Number(n) * 2))
      assert.deepStrictEqual(yield* Fiber.join(stream), Chunk.of({ one: 1 }))
      for (const tag of ["LoadExtension", "Register"]) {
        const told = submit.mock.contexts.filter((_, i) => submit.mock.calls[i]![0].command?._tag === tag)
        assert.strictEqual(new Set(told).size, workersAlive() - others, tag)
      }
    })
  )

  it.scopedLive("loadExtension of something else is a typed failure, and the client goes on", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* make({ filename, readers: 1 })
      const error = yield* Effect.flip(sql.loadExtension(join(dirname(filename), "missing.so")))
      assert.instanceOf(error, SqlError)
      assert.instanceOf(error.cause, SqlFailure.SqlFailure)
      assert.include(error.message, "missing.so")
      // It is not tried again when sessions open.
      assert.deepStrictEqual(yield* Stream.runCollect(sql`SELECT 1 AS a`.stream), Chunk.of({ a: 1 }))
    })
  )

  it.scopedLive("raw gives changes and lastInsertRowid for writes, rows for reads", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      assert.deepStrictEqual(yield* sql`CREATE TABLE t(id INTEGER PRIMARY KEY, a)`.raw, {
        changes: 0,
        lastInsertRowid: 0
      })
      assert.deepStrictEqual(yield* sql`INSERT INTO t(a) VALUES (1), (2)`.raw, { changes: 2, lastInsertRowid: 2 })
      assert.deepStrictEqual(yield* sql`UPDATE t SET a = 3 WHERE id = 1`.raw, { changes: 1, lastInsertRowid: 2 })
      assert.deepStrictEqual(yield* sql`SELECT id, a FROM t ORDER BY id`.raw, [
        { id: 1, a: 3 },
        { id: 2, a: 2 }
      ])
      assert.deepStrictEqual(yield* sql`INSERT INTO t(a) VALUES (4) RETURNING id`.raw, [{ id: 3 }])
      const big = 2n ** 53n + 1n
      assert.deepStrictEqual(yield* sql`INSERT INTO t(id) VALUES (${big})`.raw, { changes: 1, lastInsertRowid: big })
    })
  )

  it.scopedLive("names are transformed on the way in and out, and not without transforms", () =>
    Effect.gen(function* () {
      const sql = yield* make({ transformQueryNames: snake, transformResultNames: camel })
      yield* sql`CREATE TABLE ${sql("userNames")} (${sql("firstName")} TEXT)`
      yield* sql`INSERT INTO user_names ${sql.insert({ firstName: "Ada" })}`
      const query = sql<{ firstName: string }>`SELECT ${sql("firstName")} FROM ${sql("userNames")}`
      assert.deepStrictEqual(yield* query, [{ firstName: "Ada" }])
      assert.deepStrictEqual(yield* query.unprepared, [{ firstName: "Ada" }])
      assert.deepStrictEqual(yield* Stream.runCollect(query.stream), Chunk.of({ firstName: "Ada" }))
      assert.deepStrictEqual(yield* query.values, [["Ada"]])
      assert.deepStrictEqual(query.compile(), ['SELECT "first_name" FROM "user_names"', []])
      assert.deepStrictEqual(query.compile(true), ['SELECT "firstName" FROM "userNames"', []])
      const plain = sql`SELECT first_name FROM user_names`
      assert.deepStrictEqual(yield* plain.withoutTransform, [{ first_name: "Ada" }])
      assert.deepStrictEqual(yield* plain.raw, [{ first_name: "Ada" }])
      const without = sql.withoutTransforms()
      assert.deepStrictEqual(without`SELECT ${without("firstName")}`.compile(), ['SELECT "firstName"', []])
      assert.deepStrictEqual(yield* without`SELECT first_name FROM user_names`, [{ first_name: "Ada" }])
      assert.deepStrictEqual(yield* plain, [{ firstName: "Ada" }])
    })
  )

  it.scopedLive("SafeIntegers counts for the call only, on every path", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      const big = 2n ** 60n
      const safe = Effect.provideService(EffectSql.SafeIntegers, true)
      const query = sql`SELECT 1 AS a`
      assert.deepStrictEqual(yield* safe(query), [{ a: 1n }])
      assert.deepStrictEqual(yield* query, [{ a: 1 }])
      assert.deepStrictEqual(yield* safe(query.values), [[1n]])
      assert.deepStrictEqual(yield* query.values, [[1]])
      assert.deepStrictEqual(yield* safe(query.raw), [{ a: 1n }])
      assert.deepStrictEqual(yield* safe(query.unprepared), [{ a: 1n }])
      const stream = Stream.provideService(query.stream, EffectSql.SafeIntegers, true)
      assert.deepStrictEqual(yield* Stream.runCollect(stream), Chunk.of({ a: 1n }))
      assert.deepStrictEqual(yield* Stream.runCollect(query.stream), Chunk.of({ a: 1 }))
      const failure = yield* reasonOf(sql`SELECT ${big} AS far`)
      assert.strictEqual(failure.reason, "ConversionFailed")
      assert.include(failure.message, "far")
      assert.deepStrictEqual(yield* safe(sql`SELECT ${big} AS far`), [{ far: big }])
    })
  )

  it.scopedLive("values gives arrays, also of columns with the same name", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      assert.deepStrictEqual(yield* sql`SELECT 1 AS a, 'x' AS a, NULL AS a`.values, [[1, "x", null]])
      assert.deepStrictEqual(yield* sql`CREATE TABLE t(a)`.values, [])
    })
  )

  it.scopedLive("a statement that does not compile is a typed failure, prepared or not", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      const statement = sql`SELEKT 1`
      const runs = [
        statement,
        statement.unprepared,
        statement.raw,
        statement.values,
        statement.withoutTransform,
        Stream.runDrain(statement.stream)
      ]
      for (const run of runs) {
        const exit = yield* Effect.exit(run)
        assert.isTrue(Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error instanceof SqlError)
        const failure = yield* reasonOf(run)
        assert.strictEqual(failure.reason, "SqlSyntax")
        assert.strictEqual(failure.statement, "SELEKT 1")
      }
      assert.deepStrictEqual(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
    })
  )

  it.scopedLive("statements that are kept survive those beside them that are not", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      // Answers and next requests cross: what the session forgets must be the statement that was answered.
      const kept = (n: number) => sql<{ a: number }>`SELECT ${n} AS a`
      const turn = (n: number) => Effect.zipRight(kept(n), Effect.zipRight(kept(n).unprepared, kept(n)))
      const rows = yield* Effect.forEach(
        Array.from({ length: 3_000 }, (_, n) => n),
        turn,
        { concurrency: 3 }
      )
      assert.deepStrictEqual(
        rows.map((answer) => answer[0]!.a),
        Array.from({ length: 3_000 }, (_, n) => n)
      )
    })
  )

  it.scopedLive("the dialect is SQLite's, and so are the helpers", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      const word = (text: string) => () => text
      const dialects = {
        sqlite: word("sqlite"),
        pg: word("pg"),
        mysql: word("mysql"),
        mssql: word("mssql"),
        clickhouse: word("clickhouse")
      }
      assert.strictEqual(sql.onDialect(dialects), "sqlite")
      assert.strictEqual(sql.onDialectOrElse({ pg: word("pg"), orElse: word("else") }), "else")
      yield* sql`CREATE TABLE ${sql("t")} (id INTEGER PRIMARY KEY, name TEXT, nick TEXT)`
      const people = [
        { id: 1, name: "Ada", nick: null },
        { id: 2, name: "Bob", nick: "B" },
        { id: 3, name: "Cleo", nick: null }
      ]
      assert.deepStrictEqual(yield* sql`INSERT INTO t ${sql.insert(people).returning("*")}`, people)
      const changed =
        yield* sql`UPDATE t SET ${sql.update({ id: 2, nick: "Bobby" }, ["id"])} WHERE id = 2 RETURNING nick`
      assert.deepStrictEqual(changed, [{ nick: "Bobby" }])
      assert.deepStrictEqual(yield* sql`SELECT name FROM t WHERE ${sql.in("id", [1, 3])} ORDER BY id`, [
        { name: "Ada" },
        { name: "Cleo" }
      ])
      assert.deepStrictEqual(yield* sql`SELECT name FROM t WHERE ${sql.in("id", [])}`, [])
      const where = sql.and([sql`nick IS NULL`, sql.or([sql`id = ${1}`, sql`id = ${2}`])])
      assert.deepStrictEqual(yield* sql`SELECT id FROM t WHERE ${where}`, [{ id: 1 }])
      assert.deepStrictEqual(yield* sql`SELECT ${sql.csv(["id", sql`name`])} FROM t WHERE id = ${sql.literal("3")}`, [
        { id: 3, name: "Cleo" }
      ])
      assert.strictEqual(sql.safe, sql as unknown)
    })
  )

  it.scopedLive("reactive runs again when its key is invalidated", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const reactivity = yield* Reactivity.Reactivity
      yield* sql`CREATE TABLE t(a)`
      const counts = yield* Queue.unbounded<number>()
      const count = Effect.map(sql<{ n: number }>`SELECT count(*) AS n FROM t`, (rows) => rows[0]!.n)
      yield* sql.reactive(["t"], count).pipe(
        Stream.runForEach((n) => counts.offer(n)),
        Effect.fork
      )
      assert.strictEqual(yield* counts.take, 0)
      yield* reactivity.mutation(["t"], sql`INSERT INTO t VALUES (1)`)
      assert.strictEqual(yield* counts.take, 1)
      const mailbox = yield* sql.reactiveMailbox(["t"], count)
      assert.strictEqual(yield* mailbox.take, 1)
      yield* reactivity.mutation(["t"], sql`INSERT INTO t VALUES (2)`)
      assert.strictEqual(yield* mailbox.take, 2)
    }).pipe(
      Effect.provide(
        Layer.effect(SqliteClient.SqliteClient, SqliteClient.make({ filename: ":memory:", engine })).pipe(
          Layer.provideMerge(Reactivity.layer)
        )
      ),
      Effect.scoped
    )
  )

  it.scopedLive("pragma reads and sets, and takes no text for a name", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      assert.strictEqual(yield* sql.pragma("user_version"), 0)
      yield* sql.pragma("user_version", 7)
      assert.strictEqual(yield* sql.pragma("main.user_version"), 7)
      assert.strictEqual(yield* sql.pragma("foreign_keys", false), undefined)
      assert.strictEqual(yield* sql.pragma("foreign_keys"), 0)
      yield* sql.pragma("encoding", "UTF-8")
      assert.strictEqual(yield* sql.pragma("encoding"), "UTF-8")
      const failure = yield* reasonOf(sql.pragma("user_version; DROP TABLE t"))
      assert.strictEqual(failure.reason, "InvalidParameter")
    })
  )

  it.scopedLive("attach makes another file reachable under a name", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const other = join(directory, "it's another.db")
      yield* Effect.scoped(Effect.flatMap(make({ filename: other }), (sql) => sql`CREATE TABLE t AS SELECT 5 AS a`))
      const sql = yield* make({ filename: join(directory, "main.db"), readers: 1 })
      yield* sql.attach(other, 'my "schema"')
      assert.deepStrictEqual(yield* sql`SELECT a FROM "my ""schema""".t`, [{ a: 5 }])
      assert.deepStrictEqual(yield* sql`SELECT a FROM "my ""schema""".t`, [{ a: 5 }])
      assert.strictEqual((yield* reasonOf(sql.attach(join(directory, "no", "x.db"), "x"))).reason, "Connection")
      const configured = yield* make({ attach: { other } })
      assert.deepStrictEqual(yield* configured`SELECT a FROM other.t`, [{ a: 5 }])
    })
  )

  it.scopedLive("batch is one transaction, which none of its statements ends", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      for (const end of ["commit", "/* x */ end transaction", "rollback"]) {
        const texts = ["insert into t values (1)", end, "insert into t values (2)"]
        for (const batch of [sql.batch(texts), sql.withTransaction(sql.batch(texts))]) {
          const { failedRow, outcome, reason } = yield* reasonOf(batch)
          assert.deepStrictEqual([reason, outcome, failedRow], ["Unsupported", "notExecuted", 1])
        }
      }
      assert.deepStrictEqual(yield* sql`select * from t`, [])
      const undone = ["savepoint s", "insert into t values (2)", "rollback to s", "release s"]
      yield* sql.batch(["insert into t values (1)", ...undone])
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("batch runs all statements or none", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      const answers = yield* sql.batch([
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        sql`INSERT INTO t(a) VALUES (${"x"}) RETURNING id`,
        sql`SELECT a FROM t`
      ])
      assert.deepStrictEqual(answers, [[], [{ id: 1 }], [{ a: "x" }]])
      const failure = yield* reasonOf(
        sql.batch(["INSERT INTO t(a) VALUES ('y')", sql`INSERT INTO t(id) VALUES (${1})`])
      )
      assert.strictEqual(failure.reason, "UniqueViolation")
      assert.strictEqual(failure.failedRow, 1)
      const unsendable = yield* reasonOf(sql.batch(["SELECT 1", sql.unsafe("SELECT ?", [Symbol("no")])]))
      assert.strictEqual(unsendable.reason, "InvalidParameter")
      assert.strictEqual(unsendable.failedRow, 1)
      assert.deepStrictEqual(yield* sql`SELECT a FROM t`, [{ a: "x" }])
      assert.deepStrictEqual(yield* sql.batch([]), [])
    })
  )

  it.scopedLive("engine says which one it is, and of which SQLite", () =>
    Effect.gen(function* () {
      const sql = yield* make()
      assert.strictEqual(sql.engine.kind, engine)
      const [row] = yield* sql<{ version: string }>`SELECT sqlite_version() AS version`
      assert.strictEqual(sql.engine.version, row!.version)
    })
  )

  it.scopedLive("toJSON tells the state: open, busy, closed", () =>
    Effect.gen(function* () {
      const look = (sql: SqliteClient.SqliteClient) => JSON.parse(JSON.stringify(sql)) as Record<string, unknown>
      const client = yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* make()
          assert.include(look(sql), { _id: "@sluice/sqlite/SqliteClient", filename: ":memory:", state: "open" })
          const busy = yield* Effect.fork(sql.unsafe(spinFor(3_000_000)))
          yield* eventually("the statement runs", () => look(sql).state === "busy")
          assert.include(inspect(sql), "busy")
          yield* Fiber.join(busy)
          yield* eventually("it has ended", () => look(sql).state === "open")
          return sql
        })
      )
      assert.include(look(client), { state: "closed" })
    })
  )

  it.scopedLive("spans carry the client's attributes and the conventions' ones", () =>
    Effect.gen(function* () {
      const sql = yield* make({ spanAttributes: { "service.part": "orders" } })
      yield* sql`CREATE TABLE t(a)`
      const { spans, tracer } = recordingTracer()
      const traced = Effect.gen(function* () {
        yield* sql`INSERT INTO t VALUES (${"secret"})`
        yield* sql.withTransaction(sql`SELECT a FROM t`)
        yield* Stream.runDrain(sql`SELECT a FROM t`.stream)
        yield* Effect.ignore(sql`SELECT nothing FROM t`)
      })
      yield* Effect.withTracer(traced, tracer)
      const names = spans.map((span) => [span.name, span.attributes["db.operation.name"], span.exit._tag])
      assert.deepStrictEqual(names, [
        ["INSERT t", "INSERT", "Success"],
        ["SELECT t", "SELECT", "Success"],
        ["sql.transaction", undefined, "Success"],
        ["SELECT t", "SELECT", "Success"],
        ["SELECT t", "SELECT", "Failure"]
      ])
      for (const { attributes } of spans) {
        assert.include(attributes, { "service.part": "orders", "db.system.name": "sqlite", "db.namespace": ":memory:" })
      }
      assert.strictEqual(spans[0]!.attributes["db.query.text"], "INSERT INTO t VALUES (?)")
      assert.notInclude(JSON.stringify(spans.map((span) => span.attributes)), "secret")
    })
  )

  it.layer(layerOnFile(engine, { readers: 1 }))("over one file", (it) => {
    it.effect("UPDATE and DELETE take ORDER BY and LIMIT, whatever the carrier was built with", () =>
      Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`CREATE TABLE job(id INTEGER PRIMARY KEY, state TEXT, weight INTEGER)`
        yield* sql.many(
          "INSERT INTO job VALUES (?, 'new', ?)",
          Array.from({ length: 10 }, (_, i) => [i, 10 - i])
        )
        const taken = yield* sql`
          UPDATE job AS j SET state = ${"taken"} WHERE state = ${"new"} AND (id <> 9 OR weight > 5)
          RETURNING id ORDER BY weight ASC LIMIT ${2}`
        assert.sameDeepMembers([...taken], [{ id: 8 }, { id: 7 }])
        assert.deepStrictEqual(yield* sql`DELETE FROM job WHERE id < 5 ORDER BY id DESC LIMIT 2 OFFSET 1`.raw, {
          changes: 2,
          lastInsertRowid: 9
        })
        assert.deepStrictEqual(yield* sql`SELECT group_concat(id, ' ') AS ids FROM job`, [{ ids: "0 1 4 5 6 7 8 9" }])
        assert.strictEqual((yield* reasonOf(sql`UPDATE job SET state = 'x' LIMIT`)).reason, "SqlSyntax")
        assert.strictEqual((yield* reasonOf(sql`UPDATE nothing SET a = 1 LIMIT 1`)).reason, "SqlSyntax")
      })
    )
  })
})
