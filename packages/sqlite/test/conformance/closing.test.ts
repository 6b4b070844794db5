import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Cause, Context, Deferred, Effect, Either, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import {
  type EngineName,
  layerOf,
  leftovers,
  onEngines,
  openFiles,
  reasonOf,
  spinFor,
  tempDirectory,
  tempFile,
  workersAlive
} from "../support.js"

/** A client whose scope is closed by hand. */
const opened = (engine: EngineName, config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(layerOf(engine, config), scope)
    return { sql: Context.get(context, SqliteClient.SqliteClient), close: Scope.close(scope, Exit.void) }
  })

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

onEngines("closing", (engine) => {
  it.scopedLive("row 30: a close waits for the query that runs, which gets its answer", () =>
    Effect.gen(function* () {
      const { close, sql } = yield* opened(engine)
      const order: Array<string> = []
      const query = yield* Effect.fork(
        Effect.tap(sql.unsafe(spinFor(2_000_000)), () => Effect.sync(() => order.push("query")))
      )
      yield* Effect.sleep(20)
      yield* close
      order.push("closed")
      assert.deepStrictEqual(yield* Fiber.join(query), [{ n: 2_000_000 }])
      assert.deepStrictEqual(order, ["query", "closed"])
      assert.strictEqual(workersAlive(), 0)
    })
  )

  it.scopedLive("row 30: everything that was given to the session before the close is answered, and done", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const { close, sql } = yield* opened(engine, { filename })
      yield* sql`create table t (a)`
      const fibers = yield* Effect.forEach(upTo(500), (n) => Effect.fork(sql`insert into t values (${n})`))
      yield* Effect.yieldNow()
      yield* close
      yield* Fiber.joinAll(fibers)
      const again = yield* opened(engine, { filename })
      assert.deepStrictEqual(yield* again.sql`select count(*) as n from t`, [{ n: 500 }])
    })
  )

  it.scopedLive("row 31: write, close, read, close, run: ok, ok, closed, ok, closed", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const { close, sql } = yield* opened(engine, { filename })
      yield* sql`create table t (a)`
      const write = yield* Effect.fork(sql.unsafe(`insert into t select n from (${spinFor(300_000)})`))
      yield* Effect.yieldNow()
      const first = yield* Effect.fork(close)
      yield* Effect.yieldNow()
      const read = yield* Effect.fork(reasonOf(sql`select a from t`))
      const second = yield* Effect.fork(close)
      const run = yield* Effect.fork(reasonOf(sql`insert into t values (0)`))
      assert.deepStrictEqual(yield* Fiber.join(write), [])
      yield* Fiber.join(first)
      assert.strictEqual((yield* Fiber.join(read)).reason, "Closed")
      yield* Fiber.join(second)
      assert.strictEqual((yield* Fiber.join(run)).reason, "Closed")
      const again = yield* opened(engine, { filename })
      assert.deepStrictEqual(yield* again.sql`select a from t`, [{ a: 300_000 }])
    }).pipe(Effect.timeout("20 seconds"))
  )

  it.scopedLive("row 32: twice, at once, and after the scope", () =>
    Effect.gen(function* () {
      const { close } = yield* opened(engine)
      yield* Effect.all([close, close, close], { concurrency: 3 })
      yield* close
      assert.strictEqual(workersAlive(), 0)
    })
  )

  it.scopedLive("row 33: after the close every call fails typed, at once, without a hop", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      for (const config of [{}, { filename, readers: 2 }]) {
        const { close, sql } = yield* opened(engine, config)
        yield* sql`select 1`
        yield* sql`select 1`
        yield* close
        const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          sql`select 1`,
          sql`select 1`.values,
          Stream.runDrain(sql`select 1`.stream),
          sql.many("select ?", [[1]]),
          sql.withTransaction(sql`select 1`),
          Effect.scoped(sql.reserve),
          sql.export,
          sql.pragma("user_version"),
          sql.batch(["select 1"]),
          sql.function("late", () => Effect.succeed(1)),
          sql.updateHook(() => Effect.void),
          sql.loadExtension("/nowhere"),
          sql.workerModule(new URL("file:///nowhere.mjs")),
          Stream.runDrain(sql.changes),
          Stream.runDrain(sql.reactive(["t"], sql`select 1`)),
          Effect.scoped(sql.reactiveMailbox(["t"], sql`select 1`))
        ]
        for (const [index, call] of calls.entries()) {
          const exit = Effect.runSyncExit(call)
          const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
          assert.strictEqual(error === undefined ? `${exit}` : SqlFailure.from(error).reason, "Closed", `call ${index}`)
          assert.strictEqual(SqlFailure.from(error).outcome, "notExecuted")
        }
        yield* sql.interrupt
      }
      assert.strictEqual(workersAlive(), 0)
      assert.deepStrictEqual(openFiles(), [])
    })
  )

  it.scopedLive("close with an open stream: what comes after is a typed failure, never a hang", () =>
    Effect.gen(function* () {
      const { close, sql } = yield* opened(engine, { prefetch: 2 })
      const pull = yield* Stream.toPull(sql<{ value: number }>`select value from json_each('[1, 2, 3, 4, 5]')`.stream)
      assert.strictEqual((yield* pull).length, 2)
      yield* close
      const next = yield* Effect.either(pull)
      const error = Either.isLeft(next) ? Option.getOrUndefined(next.left) : undefined
      assert.strictEqual(SqlFailure.from(error).reason, "Closed")
      assert.strictEqual(workersAlive(), 0)
    }).pipe(Effect.scoped, Effect.timeout("10 seconds"))
  )

  it.scopedLive("many with a source that stalls fails when the client closes, inside a transaction, too", () =>
    Effect.gen(function* () {
      const { close, sql } = yield* opened(engine, { filename: yield* tempFile })
      yield* sql`create table t (a)`
      const insert = "insert into t values (?)"
      const chunk = Stream.fromIterable(upTo(4_096)).pipe(Stream.map((n) => [n]))
      const first = yield* Effect.fork(sql.many(insert, Stream.never))
      const second = yield* Effect.fork(sql.many(insert, Stream.concat(chunk, Stream.never)))
      yield* Effect.sleep(100)
      const third = yield* Effect.fork(sql.withTransaction(sql.many(insert, Stream.never)))
      yield* Effect.sleep(50)
      yield* close
      const outcomes = yield* Effect.forEach([first, second, third], (fiber) => reasonOf(Fiber.join(fiber)))
      assert.deepStrictEqual(
        outcomes.map(({ outcome, reason }) => [reason, outcome]),
        [
          ["Closed", "notExecuted"],
          ["Closed", "unknown"],
          ["Closed", "notExecuted"]
        ]
      )
      assert.strictEqual((yield* reasonOf(sql.many(insert, Stream.never))).reason, "Closed")
    }).pipe(Effect.scoped, Effect.timeout("10 seconds"))
  )

  it.scopedLive("a transaction that is open then hears that the client was closed, and is undone", () =>
    Effect.gen(function* () {
      const nothing = () => Effect.void
      const uses: ReadonlyArray<(sql: SqliteClient.SqliteClient) => Effect.Effect<unknown, unknown>> = [
        (sql) => sql`select 1`,
        (sql) => sql.many("insert into t values (?)", [[2]]),
        (sql) => sql.withTransaction(Effect.void),
        nothing
      ]
      for (const onClose of ["wait", "interrupt"] as const) {
        for (const use of uses) {
          const filename = yield* tempFile
          const { close, sql } = yield* opened(engine, { filename, onClose })
          yield* sql`create table t (a)`
          const used = yield* Deferred.make<unknown>()
          const body = Effect.gen(function* () {
            yield* sql`insert into t values (1)`
            yield* close
            yield* Deferred.succeed(used, use === nothing ? undefined : (yield* reasonOf(use(sql))).reason)
          })
          const { outcome, reason } = yield* reasonOf(sql.withTransaction(body))
          assert.deepStrictEqual([reason, outcome], ["Closed", "notExecuted"])
          assert.strictEqual(yield* Deferred.await(used), use === nothing ? undefined : "Closed")
          const again = yield* opened(engine, { filename })
          assert.deepStrictEqual(yield* again.sql`select * from t`, [])
          yield* again.close
        }
      }
    })
  )

  /** Runs a program of its own, with an open client in `sql`, and answers what it printed. */
  const run = (lines: ReadonlyArray<string>, more = "") =>
    execFileSync(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        [
          `import { SqliteClient } from "@sluice/sqlite"`,
          `import { Effect, Layer, Scope, Context } from "effect"`,
          `import { writeFileSync } from "node:fs"`,
          `const layer = SqliteClient.layer({ filename: ":memory:", engine: "${engine}", ${more} })`,
          `const scope = Effect.runSync(Scope.make())`,
          `const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))`,
          `const sql = Context.get(context, SqliteClient.SqliteClient)`,
          ...lines
        ].join("\n")
      ],
      { cwd: fileURLToPath(new URL("../..", import.meta.url)), timeout: 20_000, encoding: "utf8" }
    )

  it.live("row 99: a process with an open idle client reaches its end; one that waits for a statement does not", () =>
    Effect.sync(() => {
      assert.strictEqual(run([`await Effect.runPromise(sql\`select 1\`)`, `console.log("idle")`]), "idle\n")
      assert.strictEqual(
        run([`Effect.runPromise(sql.unsafe("${spinFor(300_000)}")).then((rows) => console.log(rows[0].n))`]),
        "300000\n"
      )
      assert.strictEqual(
        run([`process.on("exit", (code) => console.log("code", code))`, `process.exit(0)`]),
        "code 0\n"
      )
    })
  )

  it.scopedLive("row 5: a process hears of the death of its worker, also when nothing else keeps it alive", () =>
    Effect.gen(function* () {
      const worker = new URL("../../dist/worker.js", import.meta.url).href
      for (let i = 0; i < 2; i++) {
        const directory = yield* tempDirectory
        const now = JSON.stringify(join(directory, "now"))
        const entry = join(directory, "entry.mjs")
        writeFileSync(
          entry,
          [
            `import { existsSync } from "node:fs"`,
            `const real = process.hrtime.bigint`,
            `process.hrtime.bigint = () => { if (existsSync(${now})) { process.exit(7) } return real() }`,
            `await import(${JSON.stringify(worker)})`
          ].join("\n")
        )
        const program = [
          `writeFileSync(${now}, "")`,
          `const result = await Effect.runPromise(Effect.either(sql\`select 1\`))`,
          `console.log(result._tag)`
        ]
        assert.strictEqual(run(program, `workerUrl: ${JSON.stringify(entry)}`), "Left\n")
      }
    })
  )
})

describe("closing", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
