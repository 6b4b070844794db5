import { spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import type { Worker } from "node:worker_threads"
import { assert, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import {
  countTo,
  eventually,
  leftovers,
  onEngines,
  openFiles,
  reasonOf,
  spinFor,
  tempFile,
  workersAlive
} from "../support.js"
import { assertIdle, endless, open, random, timed } from "./stopping.js"

const realWorker = new URL("../../dist/worker.js", import.meta.url)

const workers: Array<Worker> = []
process.on("worker", (worker) => workers.push(worker))

/** The real worker, which ends in the way of `code` as soon as it sees a file of that name. */
const dyingWorker = (directory: string, code: string) => {
  const path = join(directory, "dying.mjs")
  writeFileSync(
    path,
    `import { existsSync } from "node:fs"
// What wakes the loop when an answer has been written.
const exchange = Atomics.exchange
Atomics.exchange = function (...args) {
  if (existsSync(${JSON.stringify(join(directory, "die"))})) {
    ${code}
  }
  return exchange(...args)
}
await import(${JSON.stringify(realWorker.href)})
`
  )
  return pathToFileURL(path)
}

/** Runs a program in a process of its own; answers its exit code, and kills it when told to by its output. */
const child = (source: string, directory: string, killAt?: string) =>
  Effect.async<{ readonly code: number | null; readonly output: string; readonly killed: boolean }>((resume) => {
    const root = fileURLToPath(new URL("../../", import.meta.url))
    const path = join(directory, "child.mjs")
    const index = (name: string) => JSON.stringify(pathToFileURL(join(root, "..", name, "dist/index.js")).href)
    const effect = JSON.stringify(pathToFileURL(join(root, "../../node_modules/effect/dist/esm/index.js")).href)
    writeFileSync(
      path,
      `import { SqliteClient } from ${index("sqlite")}
import { Context, Effect, Exit, Fiber, Layer, Scope, Stream } from ${effect}
const open = (config) => Effect.map(Layer.build(SqliteClient.layer(config)), (c) => Context.get(c, SqliteClient.SqliteClient))
${source}
`
    )
    const started = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    let killed = false
    started.stdout.on("data", (data: Buffer) => {
      output += data.toString()
      if (killAt !== undefined && output.includes(killAt) && !killed) {
        killed = true
        started.kill("SIGKILL")
      }
    })
    started.on("exit", (code) => resume(Effect.succeed({ code, output, killed })))
    return Effect.sync(() => void started.kill("SIGKILL"))
  })

onEngines("teardown", (engine) => {
  it.scopedLive("a process that exits in the middle of statements ends", () =>
    Effect.gen(function* () {
      const directory = dirname(yield* tempFile)
      for (const end of ["process.exit(7)", 'setImmediate(() => { process.exitCode = 7; throw "out" })']) {
        // One runs, the other two wait behind it; on the portable engine they can be stopped between rows only.
        const [took, result] = yield* timed(
          child(
            `process.on("uncaughtException", () => process.exit(7))
Effect.runFork(Effect.gen(function*() {
  const sql = yield* open({ filename: ":memory:", engine: "${engine}" })
  const endless = sql.unsafe(${JSON.stringify(endless(engine))})
  yield* Effect.fork(Effect.all([endless, endless, endless], { concurrency: "unbounded" }))
  yield* Effect.sleep(100)
  ${end}
  yield* Effect.never
}).pipe(Effect.scoped))`,
            directory
          ).pipe(Effect.timeout("20 seconds"))
        )
        assert.strictEqual(result.code, 7, end)
        assert.isBelow(took, 20_000)
      }
    })
  )

  if (engine === "portable") {
    it.scopedLive("a process that exits in the middle of a statement that cannot be stopped waits for it", () =>
      Effect.gen(function* () {
        const directory = dirname(yield* tempFile)
        for (const before of ["", "yield* Fiber.interrupt(fiber)"]) {
          const result = yield* child(
            `Effect.runFork(Effect.gen(function*() {
  const sql = yield* open({ filename: ":memory:", engine: "portable", grace: "50 millis" })
  const fiber = yield* Effect.fork(sql.unsafe(${JSON.stringify(spinFor(6_000_000))}))
  yield* Effect.sleep(100)
  ${before}
  process.exit(7)
}).pipe(Effect.scoped))`,
            directory
          ).pipe(Effect.timeout("60 seconds"))
          assert.strictEqual(result.code, 7, before)
        }
      })
    )

    it.scopedLive("a process that exits after its worker has died in the middle of a statement waits for nothing", () =>
      Effect.gen(function* () {
        const directory = dirname(yield* tempFile)
        const workerUrl = dyingWorker(directory, 'throw new Error("out")')
        const result = yield* child(
          `import { writeFileSync } from "node:fs"
Effect.runFork(Effect.gen(function*() {
  const workerUrl = ${JSON.stringify(workerUrl.href)}
  const sql = yield* open({ filename: ":memory:", engine: "portable", workerUrl })
  yield* sql\`select 1\`
  writeFileSync(${JSON.stringify(join(directory, "die"))}, "")
  yield* Effect.fork(sql\`select 2\`)
  yield* Effect.yieldNow()
  // Nobody hears of it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
  process.exit(7)
}).pipe(Effect.scoped))`,
          directory
        ).pipe(Effect.timeout("60 seconds"))
        assert.strictEqual(result.code, 7)
      })
    )
  }

  // Nobody is left to set a cancel word then, and the thread that started the worker waits for its end.
  if (engine === "native") {
    it.scopedLive("a thread of the program that is terminated in the middle of statements ends", () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        const [took, result] = yield* timed(
          child(
            `import { isMainThread, parentPort, Worker } from "node:worker_threads"
const file = ${JSON.stringify(filename)}
if (isMainThread) {
  await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const sql = yield* open({ filename: file })
    yield* sql\`create table t (n)\`
    // Two threads compute, the third waits for the lock that this transaction has.
    yield* sql.withTransaction(Effect.gen(function*() {
      yield* sql\`insert into t values (1)\`
      const threads = ["run", "transaction", "lock"].map((argument) => new Worker(new URL(import.meta.url), { argv: [argument] }))
      yield* Effect.promise(() => Promise.all(threads.map((thread) => new Promise((resolve) => thread.once("message", resolve)))))
      yield* Effect.sleep(200)
      yield* Effect.promise(() => Promise.all(threads.map((thread) => thread.terminate())))
    }))
    console.log("terminated")
  })))
} else {
  const how = process.argv[2]
  Effect.runFork(Effect.scoped(Effect.gen(function*() {
    const sql = yield* open({ filename: how === "lock" ? file : ":memory:", busyTimeout: "1 hour" })
    const endless = sql.unsafe(${JSON.stringify(endless(engine))})
    parentPort.postMessage("go")
    yield* how === "lock" ? sql\`insert into t values (2)\` : how === "run" ? endless : sql.withTransaction(endless)
  })))
}`,
            dirname(filename)
          ).pipe(Effect.timeout("20 seconds"))
        )
        assert.deepStrictEqual(result, { code: 0, output: "terminated\n", killed: false })
        assert.isBelow(took, 20_000)
      })
    )
  }

  it.scopedLive("row 35: closing in the interrupting way", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      for (let i = 0; i < 10; i++) {
        const scope = yield* Scope.make()
        const sql = yield* Scope.extend(open(engine, { filename, onClose: "interrupt" }), scope)
        const running = yield* Effect.fork(reasonOf(sql.unsafe(endless(engine))))
        const queued = yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.fork(reasonOf(sql`select 1`)))
        yield* Effect.sleep(20)
        const [took] = yield* timed(Scope.close(scope, Exit.void))
        assert.isBelow(took, 5_000)
        assert.strictEqual((yield* Fiber.join(running)).reason, "Closed")
        for (const fiber of queued) {
          const { message, outcome, reason } = yield* Fiber.join(fiber)
          assert.deepStrictEqual({ outcome, reason }, { outcome: "notExecuted", reason: "Closed" }, message)
        }
        assert.strictEqual((yield* reasonOf(sql`select 1`)).reason, "Closed")
        assert.deepStrictEqual(openFiles(), [])
      }
    })
  )

  it.scopedLive("row 35: … waits for no statement that cannot be stopped longer than the grace period", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      // The native engine looks so seldom that it cannot be stopped either.
      const sql = yield* Scope.extend(
        open(engine, { onClose: "interrupt", grace: 200, progressSteps: 2_000_000_000 }),
        scope
      )
      const before = workersAlive()
      const running = yield* Effect.fork(reasonOf(sql.unsafe(spinFor(8_000_000))))
      yield* Effect.sleep(50)
      const [took] = yield* timed(Scope.close(scope, Exit.void))
      assert.isAtLeast(took, 150)
      assert.isAtLeast(workersAlive(), before)
      const { outcome, reason } = yield* Fiber.join(running)
      assert.deepStrictEqual({ outcome, reason }, { outcome: "unknown", reason: "Closed" })
      yield* eventually("the thread has ended", () => workersAlive() < before)
    })
  )

  it.scopedLive("row 35: … and waits for it without a limit where grace is infinite", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const sql = yield* Scope.extend(
        open(engine, { onClose: "interrupt", grace: Infinity, progressSteps: 2_000_000_000 }),
        scope
      )
      const before = workersAlive()
      yield* Effect.fork(reasonOf(sql.unsafe(spinFor(4_000_000))))
      yield* Effect.sleep(50)
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(workersAlive(), before)
    })
  )

  it.scopedLive("a client that waits at its close ends what it has been given, and loses nobody", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const sql = yield* Scope.extend(open(engine, { maxQueued: 3 }), scope)
      yield* sql.unsafe(`create table t as ${countTo(400)}`)
      // More streams than there are slots for pulls, and a queue that is full.
      const streams = yield* Effect.forEach(Array.from({ length: 40 }), () =>
        Effect.fork(Effect.either(Stream.runCount(SqlClient.withPrefetch(2)(sql`select n from t`).stream)))
      )
      yield* Effect.sleep(10)
      const statements = yield* Effect.forEach(
        Array.from({ length: 90 }, (_, i) => i),
        (i) => Effect.fork(Effect.either(i === 0 ? sql.unsafe(spinFor(300_000)) : sql`select ${i}`))
      )
      yield* Effect.yieldNow()
      yield* Effect.timeout(Scope.close(scope, Exit.void), 10_000)
      const results = yield* Effect.timeout(Effect.zip(Fiber.joinAll(streams), Fiber.joinAll(statements)), 10_000)
      assert.strictEqual(results.flat().length, 130)
    })
  )

  it.scopedLive(
    "500 clients closed in the middle of a statement",
    () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        yield* Effect.scoped(Effect.flatMap(open(engine, { filename }), (sql) => sql`create table t (n)`))
        const next = random(500)
        const one = (i: number) =>
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            const sql = yield* Scope.extend(
              open(engine, { filename, onClose: "interrupt", busyTimeout: 20_000 }),
              scope
            )
            const fiber = yield* Effect.fork(
              Effect.either(
                i % 3 === 0
                  ? Stream.runDrain(sql.unsafe(endless(engine)).stream)
                  : i % 3 === 1
                    ? Effect.asVoid(sql.unsafe(endless(engine)))
                    : Effect.asVoid(sql`insert into t values (${i})`)
              )
            )
            if (next() < 0.7) {
              yield* Effect.sleep(next() * 5)
            }
            yield* Effect.timeout(Scope.close(scope, Exit.void), 10_000)
            yield* Effect.timeout(Fiber.join(fiber), 10_000)
          })
        yield* Effect.forEach(
          Array.from({ length: engine === "native" ? 350 : 150 }, (_, i) => i),
          one,
          {
            concurrency: 4,
            discard: true
          }
        )
        assert.deepStrictEqual(openFiles(), [])
        const sql = yield* open(engine, { filename })
        assert.deepStrictEqual(yield* sql`pragma integrity_check`, [{ integrity_check: "ok" }])
      }),
    240_000
  )

  for (const [how, code] of [
    ["an uncaught throw", "throw new Error('worker bug')"],
    ["process.exit", "process.exit(3)"]
  ] as const) {
    it.scopedLive(`${how} inside the worker of a file`, () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        const directory = dirname(filename)
        const workerUrl = dyingWorker(directory, code)
        const sql = yield* open(engine, { filename, workerUrl })
        yield* sql`create table t (n)`
        const waiting = yield* Effect.forEach(
          Array.from({ length: 100 }, (_, n) => n),
          (n) =>
            // The first has ended when the worker dies, and its answer may have come through.
            Effect.fork(
              n === 0
                ? Effect.as(Effect.exit(sql.unsafe(spinFor(1_000_000))), undefined)
                : reasonOf(sql`insert into t values (${n})`)
            )
        )
        writeFileSync(join(directory, "die"), "")
        const ended = yield* Effect.timeout(Fiber.joinAll(waiting), 10_000)
        const failures = ended.filter((failure) => failure !== undefined)
        for (const { outcome, reason } of failures) {
          assert.strictEqual(reason, "SessionLost")
          assert.include(["notExecuted", "unknown"], outcome)
        }
        assert.isAtMost(failures.filter(({ outcome }) => outcome === "unknown").length, 1)
        yield* Effect.promise(() => import("node:fs/promises").then((fs) => fs.rm(join(directory, "die"))))
        yield* assertIdle(sql)
        const found = (yield* sql<{ n: number }>`select n from t`).map(({ n }) => n)
        const maybe = ended.findIndex((failure) => failure?.outcome === "unknown")
        assert.deepStrictEqual(
          found.filter((n) => n !== maybe),
          []
        )
        assert.strictEqual((yield* sql.statistics)[0]!.lost, 1)
      })
    )
  }

  it.scopedLive("terminate() from outside: file, reader, stream, transaction", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, readers: 1 })
      yield* sql.unsafe(`create table t as ${countTo(100)}`)
      const killAll = Effect.promise(() => Promise.all(workers.splice(0).map((worker) => worker.terminate())))
      const transaction = yield* reasonOf(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into t values (1000)`
            yield* killAll
            yield* sql`insert into t values (1001)`
          })
        )
      )
      assert.include(["SessionLost", "TransactionGone"], transaction.reason)
      yield* assertIdle(sql)
      const streamed = yield* reasonOf(
        Stream.runForEachChunk(SqlClient.withPrefetch(10)(sql`select n from t`).stream, () => killAll)
      )
      assert.strictEqual(streamed.reason, "SessionLost")
      yield* assertIdle(sql)
      assert.deepStrictEqual(yield* sql`select count(*) as c from t`, [{ c: 100 }])
    })
  )

  it.scopedLive("terminate() from outside: a database in memory is gone for good", () =>
    Effect.gen(function* () {
      const before = workers.length
      const sql = yield* open(engine)
      const reserved = yield* Effect.fork(sql.withTransaction(Effect.never))
      yield* Effect.sleep(10)
      yield* Effect.promise(() => Promise.all(workers.slice(before).map((worker) => worker.terminate())))
      yield* Fiber.interrupt(reserved)
      for (let i = 0; i < 3; i++) {
        const { outcome, reason } = yield* reasonOf(sql`select 1`)
        assert.deepStrictEqual({ outcome, reason }, { outcome: "notExecuted", reason: "SessionLost" })
        assert.strictEqual((yield* reasonOf(sql.withTransaction(Effect.void))).reason, "SessionLost")
      }
    })
  )

  // A carrier's own call must not be cut off: it would take the process with it.
  if (engine === "native") {
    it.scopedLive("terminate() while the client closes loses nobody", () =>
      Effect.gen(function* () {
        const before = workers.length
        const scope = yield* Scope.make()
        const sql = yield* Scope.extend(open(engine, { filename: yield* tempFile }), scope)
        const fibers = yield* Effect.forEach(
          Array.from({ length: 80 }, (_, i) => i),
          (i) => Effect.fork(i === 0 ? Effect.exit(sql.unsafe(spinFor(3_000_000))) : Effect.exit(sql`select 1`))
        )
        yield* Effect.sleep(20)
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* Effect.sleep(20)
        yield* Effect.promise(() => Promise.all(workers.slice(before).map((worker) => worker.terminate())))
        yield* Effect.timeout(Fiber.join(closing), 10_000)
        const failures = yield* Effect.timeout(Fiber.joinAll(fibers), 5_000)
        assert.strictEqual(failures.length, 80)
      })
    )
  }

  it.scopedLive("row 99: a process with an idle open client comes to its end by itself", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const ended = yield* Effect.timeout(
        child(
          `Effect.runPromise(Effect.gen(function* () {
  const scope = yield* Scope.make()
  const sql = yield* Scope.extend(open({ filename: ${JSON.stringify(filename)}, readers: 1, engine: "${engine}" }), scope)
  yield* sql\`create table t (n)\`
  yield* Stream.runDrain(Stream.take(sql.unsafe(${JSON.stringify(countTo(500))}).stream, 3))
})).then(() => console.log("end"))`,
          dirname(filename)
        ),
        15_000
      )
      assert.deepStrictEqual(ended, { code: 0, output: "end\n", killed: false })
    })
  )

  it.scopedLive("a process killed in the middle of writing leaves a file that can be read", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const ended = yield* Effect.timeout(
        child(
          `Effect.runPromise(Effect.scoped(Effect.gen(function* () {
  const sql = yield* open({ filename: ${JSON.stringify(filename)}, engine: "${engine}" })
  yield* sql\`create table t (n)\`
  for (let n = 1; ; n++) {
    yield* sql.withTransaction(Effect.all([sql\`insert into t values (\${n})\`, sql\`insert into t values (\${-n})\`]))
    console.log(n === 50 ? "now" : "committed " + n + ".")
  }
})))`,
          dirname(filename),
          "now"
        ),
        20_000
      )
      assert.isTrue(ended.killed)
      const sql = yield* open(engine, { filename })
      assert.deepStrictEqual(yield* sql`pragma integrity_check`, [{ integrity_check: "ok" }])
      const [row] = yield* sql<{ sum: number; top: number }>`select sum(n) as sum, max(n) as top from t`
      assert.strictEqual(row!.sum, 0)
      assert.isAtLeast(row!.top, 50)
    })
  )

  it.scopedLive("nothing is left", () =>
    Effect.gen(function* () {
      yield* eventually("no worker", () => workersAlive() === 0)
      yield* leftovers
    })
  )
})
