import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { pathToFileURL } from "node:url"
import type { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import {
  eventually,
  layerOf,
  layerOnFile,
  leftovers,
  onEngines,
  openFiles,
  reasonOf,
  spinFor,
  tempDirectory,
  tempFile,
  workersAlive
} from "../support.js"

const workerUrl = new URL("../../dist/worker.js", import.meta.url)

/** A worker entry of our own making, which may go on with the real one. */
const entry = (directory: string, lines: ReadonlyArray<string>) => {
  const path = join(directory, "entry.mjs")
  writeFileSync(path, lines.join("\n"))
  return pathToFileURL(path)
}

const realEntry = `await import(${JSON.stringify(workerUrl.href)})`

/** Opens, expects a failure, and that nothing is left of the attempt the moment it has failed. */
const failsToOpen = (layer: ReturnType<typeof layerOf>) =>
  Effect.gen(function* () {
    const failure = yield* reasonOf(Effect.scoped(Layer.build(layer)))
    assert.strictEqual(workersAlive(), 0)
    assert.deepStrictEqual(openFiles(), [])
    return failure
  })

onEngines("opening", (engine) => {
  it.scopedLive("row 1: answers, on exactly one worker", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      assert.strictEqual(sql.engine.kind, engine)
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
      assert.strictEqual(workersAlive(), 1)
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("row 2: a file in a missing directory", () =>
    Effect.gen(function* () {
      const filename = join(yield* tempDirectory, "missing", "x.db")
      const failure = yield* failsToOpen(layerOf(engine, { filename }))
      assert.strictEqual(failure.reason, "Connection")
      assert.strictEqual(failure.code, 14)
      assert.include(failure.message, filename)
      assert.strictEqual(failure.outcome, "notExecuted")
    })
  )

  it.scopedLive("row 2: a directory, a file that is no database, a missing file that is only to be read", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const garbage = join(directory, "garbage.db")
      writeFileSync(garbage, "this is not a database, but it is long enough to be looked at".repeat(100))
      mkdirSync(join(directory, "folder"))
      for (const config of [
        { filename: join(directory, "folder") },
        { filename: garbage },
        { filename: join(directory, "nothing.db"), readonly: true }
      ]) {
        const failure = yield* failsToOpen(layerOf(engine, config))
        assert.strictEqual(failure.reason, "Connection", failure.message)
      }
      assert.isTrue(readFileSync(garbage, "utf8").startsWith("this is not"), "left as it was")
    })
  )

  it.scopedLive("row 3: a failing hook fails the open with its own error and leaves no lock", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const failure = yield* failsToOpen(
        layerOf(engine, {
          filename,
          onOpen: ["create table t (a)", "begin immediate", "insert into nowhere values (1)"]
        })
      )
      assert.include(failure.message, "nowhere")
      const rows = yield* Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`insert into t values (1)`
        return yield* sql`select a from t`
      }).pipe(Effect.provide(layerOf(engine, { filename, busyTimeout: 0 })))
      assert.deepStrictEqual(rows, [{ a: 1 }])
    })
  )

  it.scopedLive("row 3: a constraint in a hook keeps its reason and code", () =>
    Effect.gen(function* () {
      const failure = yield* failsToOpen(
        layerOf(engine, { onOpen: ["create table t (a unique)", "insert into t values (1), (1)"] })
      )
      assert.strictEqual(failure.reason, "UniqueViolation")
      assert.strictEqual(failure.code, 2067)
      assert.strictEqual(failure.constraint, "t.a")
      assert.strictEqual(failure.statement, "insert into t values (1), (1)")
    })
  )

  it.scopedLive("row 3: what is wrong in a hook's statement is told as when it is run", () =>
    Effect.gen(function* () {
      const sql = yield* Effect.map(Layer.build(layerOf(engine)), Context.get(SqliteClient.SqliteClient))
      const others = workersAlive()
      for (const text of [
        "create tabel x(a)",
        "select * from nowhere",
        "select 1; insert into nowhere values (1)",
        "pragma user_version = ",
        "savepoint a; release b"
      ]) {
        const run = yield* reasonOf(sql.unsafe(text))
        const failure = yield* reasonOf(Effect.scoped(Layer.build(layerOf(engine, { onOpen: ["select 1", text] }))))
        assert.deepStrictEqual([failure.reason, failure.code, failure.statement], [run.reason, run.code, text])
        assert.strictEqual(failure.reason, "SqlSyntax")
        assert.isFalse(failure.isRetryable)
        assert.match(failure.message, /^Cannot open SQLite database ":memory:": /)
        assert.strictEqual(workersAlive(), others)
      }
    })
  )

  it.scopedLive("row 3: of what pragmas and attach ask for the statement is told, of the file none", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const missing = join(directory, "missing", "x.db")
      const attached = yield* failsToOpen(layerOf(engine, { attach: { other: missing } }))
      assert.strictEqual(attached.reason, "Connection")
      assert.strictEqual(attached.statement, `ATTACH '${missing}' AS "other"`)
      const twice = yield* failsToOpen(layerOf(engine, { attach: { main: ":memory:" } }))
      assert.strictEqual(twice.statement, `ATTACH ':memory:' AS "main"`)
      assert.strictEqual((yield* failsToOpen(layerOf(engine, { filename: missing }))).statement, undefined)
    })
  )

  it.scopedLive("row 3: an unusable extension, pragma or attachment", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      for (const config of [
        { extensions: [join(directory, "none.so")] },
        { pragmas: { journal_mode: "no\0good" } },
        { attach: { other: join(directory, "missing", "x.db") } }
      ]) {
        yield* failsToOpen(layerOf(engine, config))
      }
    })
  )

  it.scopedLive("row 4: a worker entry that is missing, broken, throws, or ends at once", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      const entries: ReadonlyArray<readonly [URL | string, RegExp]> = [
        [
          pathToFileURL(join(directory, "none.mjs")),
          /ended: Cannot find module '.*'\. Is the program a bundle\? .* workerUrl/
        ],
        [entry(directory, ["this is no JavaScript"]), /./],
        [entry(yield* tempDirectory, ["throw new Error('on purpose')"]), /on purpose/],
        [entry(yield* tempDirectory, ["process.exit(3)"]), /code 3/],
        [entry(yield* tempDirectory, ["export {}"]), /code 0/]
      ]
      for (const [workerUrl, message] of entries) {
        const failure = yield* failsToOpen(layerOf(engine, { workerUrl }))
        assert.strictEqual(failure.reason, "Connection")
        assert.match(failure.message, message)
      }
    })
  )

  it.scopedLive("row 4: an open that never answers can be interrupted", () =>
    Effect.gen(function* () {
      const workerUrl = entry(yield* tempDirectory, ["setInterval(() => {}, 1_000)"])
      const fiber = yield* Effect.fork(Effect.scoped(Layer.build(layerOf(engine, { workerUrl, grace: 100 }))))
      yield* Effect.sleep(200)
      yield* Fiber.interrupt(fiber).pipe(Effect.timeoutFail({ duration: 5_000, onTimeout: () => "hangs" }))
      yield* leftovers
    })
  )

  it.scopedLive("row 4: a hundred that open are not started all at once, and end at once", () =>
    Effect.gen(function* () {
      const directory = yield* tempDirectory
      // All readers but the first come to nothing.
      const workerUrl = entry(directory, [
        `import { mkdirSync, writeFileSync } from "node:fs"`,
        `import { threadId, workerData } from "node:worker_threads"`,
        `const isFirst = () => mkdirSync(${JSON.stringify(join(directory, "first"))}, { recursive: true }) !== undefined`,
        `const hang = () => (writeFileSync(${JSON.stringify(join(directory, "up"))} + threadId, ""), setInterval(() => {}, 1_000))`,
        `if (workerData.opening.queryOnly && !isFirst()) hang(); else ${realEntry}`
      ])
      let started = 0
      const count = () => void started++
      process.on("worker", count)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.off("worker", count)))
      const config = { filename: join(directory, "test.db"), readers: 100, grace: 500, workerUrl } as const
      const fiber = yield* Effect.fork(Effect.scoped(Layer.build(layerOf(engine, config))))
      const most = 2 + Math.max(16, availableParallelism())
      // A thread that is ended while it reads its modules keeps their files open: that is Node's.
      const up = () => readdirSync(directory).filter((name) => name.startsWith("up")).length
      yield* eventually("as many as may open at once", () => up() >= most - 2)
      yield* Effect.sleep(50)
      assert.strictEqual(started, most)
      yield* Fiber.interrupt(fiber).pipe(Effect.timeoutFail({ duration: "25 seconds", onTimeout: () => "hangs" }))
      assert.strictEqual(workersAlive(), 0)
      assert.strictEqual(started, most, "none is started after the interrupt")
    })
  )

  it.scopedLive("row 4: an open that is busy in a hook can be interrupted", () =>
    Effect.gen(function* () {
      const layer = layerOf(engine, { onOpen: [spinFor(2_000_000)], grace: 100 })
      const fiber = yield* Effect.fork(Effect.scoped(Layer.build(layer)))
      yield* Effect.sleep(300)
      yield* Fiber.interrupt(fiber).pipe(Effect.timeoutFail({ duration: 5_000, onTimeout: () => "hangs" }))
      // The portable engine cannot stop it, so its thread ends when the hook has.
      yield* leftovers
    })
  )

  it.scopedLive("a URI says whether a file is made, with readers, too", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const none = yield* failsToOpen(layerOf(engine, { filename: `file:${filename}?mode=rw`, readers: 1 }))
      assert.strictEqual(none.reason, "Connection")
      for (const uri of [`file:${filename}?mode=rwc`, `file:${filename}?cache=private&mode=rwc#end`]) {
        yield* Effect.gen(function* () {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`create table if not exists t (a)`
          yield* sql`insert into t values (1)`
          const count = sql<{ n: number }>`select count(*) > 0 as n from t`
          assert.deepStrictEqual([yield* count, yield* count], [[{ n: 1 }], [{ n: 1 }]])
          assert.lengthOf(yield* Stream.runCollect(count.stream), 1)
        }).pipe(Effect.provide(layerOf(engine, { filename: uri, readers: 1 })))
      }
    })
  )

  it.scopedLive("row 9: the scope's end is the end of worker and files", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      yield* Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`create table t (a)`
        yield* sql`select a from t`
        yield* Stream.runDrain(sql`select a from t`.stream)
        assert.isAtLeast(workersAlive(), 2)
        assert.isNotEmpty(openFiles())
      }).pipe(Effect.provide(layerOf(engine, { filename, readers: 2 })))
      assert.strictEqual(workersAlive(), 0)
      assert.deepStrictEqual(openFiles(), [])
    })
  )

  it.scopedLive("row 9: a client that is used by nobody is closed, too", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      for (let i = 0; i < 5; i++) {
        yield* Effect.scoped(Layer.build(layerOf(engine, { filename })))
        assert.strictEqual(workersAlive(), 0)
      }
    })
  )
})

onEngines("two connections", (engine) => {
  it.scopedLive("row 6: two connections work at the same time", () =>
    Effect.gen(function* () {
      const client = Effect.map(Layer.build(layerOf(engine)), Context.get(SqliteClient.SqliteClient))
      const a = yield* client
      const b = yield* client
      const order: Array<string> = []
      const long = yield* Effect.fork(a.unsafe(spinFor(4_000_000)).pipe(Effect.tap(() => void order.push("long"))))
      yield* Effect.sleep(20)
      for (let i = 0; i < 10; i++) {
        yield* b.unsafe(spinFor(1_000))
        order.push("short")
      }
      yield* Fiber.join(long)
      assert.strictEqual(order.indexOf("long"), 10, "the short ones went past")
    })
  )

  it.scopedLive("row 10: the event loop goes on during a long query", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`select 1`
      const delay = monitorEventLoopDelay({ resolution: 5 })
      delay.enable()
      const before = performance.now()
      yield* sql.unsafe(spinFor(5_000_000))
      const took = performance.now() - before
      delay.disable()
      assert.isAbove(took, 200)
      // Waiting for the statement would be one delay as long as it.
      assert.isBelow(delay.max / 1e6, took / 2)
    }).pipe(Effect.provide(layerOf(engine)))
  )
})

onEngines("a worker that dies", (engine) => {
  /** A worker that does `deed` at the first statement after the file `now` has come. */
  const mortal = (deed: string) =>
    Effect.map(tempDirectory, (directory) => ({
      workerUrl: entry(directory, [
        `import { existsSync } from "node:fs"`,
        `const real = process.hrtime.bigint`,
        `process.hrtime.bigint = () => { if (existsSync(${JSON.stringify(join(directory, "now"))})) { ${deed} } return real() }`,
        realEntry
      ]),
      kill: Effect.sync(() => writeFileSync(join(directory, "now"), ""))
    }))

  for (const [name, deed] of [
    ["process.exit", "process.exit(7)"],
    ["an uncaught error", "throw new Error('worker bug')"]
  ] as const) {
    it.scopedLive(`row 5: by ${name}: all pending calls fail typed, a database in memory is never replaced`, () =>
      Effect.gen(function* () {
        const { kill, workerUrl } = yield* mortal(deed)
        yield* Effect.gen(function* () {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`create table t (a)`
          yield* kill
          const failures = yield* Effect.forEach(
            Array.from({ length: 200 }, (_, i) => i),
            (i) => reasonOf(sql`insert into t values (${i})`),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual([...new Set(failures.map((failure) => failure.reason))], ["SessionLost"])
          assert.isAtLeast(failures.filter((failure) => failure.outcome === "notExecuted").length, 199)
          for (let i = 0; i < 3; i++) {
            assert.strictEqual((yield* reasonOf(sql`select 1`)).reason, "SessionLost")
          }
        }).pipe(Effect.provide(layerOf(engine, { workerUrl })))
        yield* leftovers
      })
    )
  }

  // Between statements on the portable engine: its carrier's binding aborts the process when its thread is terminated
  // inside of one.
  it.scopedLive("row 5: terminated from outside: typed failures, a file is opened again", () =>
    Effect.gen(function* () {
      const workers: Array<Worker> = []
      const listen = (worker: Worker) => void workers.push(worker)
      process.on("worker", listen)
      yield* Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        yield* sql`create table t (a)`
        yield* sql`insert into t values (1)`
        if (engine === "native") {
          const running = yield* Effect.fork(reasonOf(sql.unsafe(spinFor(3_000_000))))
          const queued = yield* Effect.fork(reasonOf(sql`insert into t values (2)`))
          yield* Effect.sleep(50)
          yield* Effect.promise(() => workers[0]!.terminate())
          const first = yield* Fiber.join(running)
          assert.strictEqual(first.reason, "SessionLost")
          assert.strictEqual(first.outcome, "unknown")
          const second = yield* Fiber.join(queued)
          assert.strictEqual(second.reason, "SessionLost")
          assert.strictEqual(second.outcome, "notExecuted")
        } else {
          yield* Effect.promise(() => workers[0]!.terminate())
        }
        const rows = yield* Effect.retry(sql`select a from t`, SqlFailure.retryPolicy)
        assert.deepStrictEqual(rows, [{ a: 1 }])
      }).pipe(Effect.provide(layerOnFile(engine)), Effect.ensuring(Effect.sync(() => process.off("worker", listen))))
      yield* leftovers
    })
  )

  it.scopedLive("row 5: an open stream fails, too", () =>
    Effect.gen(function* () {
      const { kill, workerUrl } = yield* mortal("process.exit(7)")
      yield* Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        let rows = 0
        const stream = sql`select value from json_each('[1,2,3,4,5,6,7,8,9]')`.stream
        const failure = yield* reasonOf(
          Stream.runForEach(stream, () =>
            Effect.zipRight(
              kill,
              Effect.sync(() => rows++)
            )
          )
        )
        assert.strictEqual(failure.reason, "SessionLost")
        assert.strictEqual(rows, 2)
      }).pipe(Effect.provide(layerOf(engine, { workerUrl, prefetch: 2 })))
    })
  )
})

describe("opening", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
