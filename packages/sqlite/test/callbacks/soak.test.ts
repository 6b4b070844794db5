/**
 * Callbacks of all kinds, interrupts, deadlines, closes and killed workers, as chance has it; seeded. Some seconds of it in
 * every run of the tests; `SLUICE_SOAK_MINUTES=10` makes it minutes, `SLUICE_SOAK_SEED` begins elsewhere.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Worker } from "node:worker_threads"
import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Cause, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { open, random } from "../conformance/stopping.js"
import { type EngineName, leftovers, onEngines, openFiles, tempFile, workersAlive } from "../support.js"

const minutes = Number(process.env.SLUICE_SOAK_MINUTES ?? 0)
const firstSeed = Number(process.env.SLUICE_SOAK_SEED ?? 1)
const shortRounds = 3

afterAll(() => Effect.runPromise(leftovers))

const workers = new Set<Worker>()
process.on("worker", (worker) => {
  workers.add(worker)
  worker.once("exit", () => workers.delete(worker))
})

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** What JavaScript holds, in MiB, once all is collected that can be. */
const heap = Effect.gen(function* () {
  yield* Effect.sleep(50)
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
})

class Wanted {
  readonly _tag = "Wanted"
}

interface Counts {
  statements: number
  kills: number
  scansBegun: number
  scansEnded: number
  callbacksBegun: number
  callbacksEnded: number
  readonly wrong: Array<string>
}

/** What may become of a statement here. */
const expected = new Set(["StatementTimeout", "Closed", "SessionLost", "TransactionGone", "LockTimeout", "Constraint"])
/** Of a worker that is killed while it opens the file. */
expected.add("Connection")

const check = (counts: Counts, exit: Exit.Exit<unknown, unknown>): void => {
  if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) {
    return
  }
  const failures = [...Cause.failures(exit.cause), ...Cause.defects(exit.cause)]
  for (const error of failures) {
    if (error instanceof Wanted) {
      continue
    }
    const failure = SqlFailure.from(error)
    if (!(failure.cause instanceof Wanted) && !expected.has(failure.reason)) {
      counts.wrong.push(`${failure.reason}: ${failure.message} ${String(failure.cause)}`)
    }
  }
}

/** Answers, waits, fails, dies or never ends, and is counted. */
const moody = (next: () => number, counts: Counts): Effect.Effect<number, Wanted> =>
  Effect.suspend(() => {
    counts.callbacksBegun++
    const mood = next()
    const chosen: Effect.Effect<number, Wanted> =
      mood < 0.9
        ? Effect.succeed(7)
        : mood < 0.94
          ? Effect.as(Effect.yieldNow(), 7)
          : mood < 0.96
            ? Effect.as(Effect.sleep(next() * 3), 7)
            : mood < 0.975
              ? Effect.fail(new Wanted())
              : mood < 0.985
                ? Effect.die(new Wanted())
                : mood < 0.995
                  ? Effect.interrupt
                  : Effect.never
    return Effect.ensuring(
      chosen,
      Effect.sync(() => counts.callbacksEnded++)
    )
  })

const register = (sql: SqliteClient.SqliteClient, engine: EngineName, next: () => number, counts: Counts) =>
  Effect.gen(function* () {
    const mood = moody(next, counts)
    yield* sql.function("f", { arity: 1 }, () => mood)
    yield* sql.aggregate("a", {
      arity: 1,
      initial: () => 0,
      step: (sum) => Effect.map(mood, (n) => sum + n),
      final: (sum) => Effect.map(mood, (n) => sum + n)
    })
    if (engine === "portable") {
      return
    }
    const calm = Effect.map(mood, () => 0)
    yield* sql.tableFunction("rows", { columns: ["n"], parameters: ["count"] }, ({ count }) =>
      Stream.range(1, Number(count), 16).pipe(
        Stream.mapEffect((n) => (n % 16 === 0 ? Effect.as(mood, [n]) : Effect.succeed([n]))),
        Stream.onStart(Effect.sync(() => counts.scansBegun++)),
        Stream.ensuring(Effect.sync(() => counts.scansEnded++))
      )
    )
    yield* sql.collation("c", (a, b) => Effect.map(mood, () => (a < b ? 1 : -1)))
    yield* sql.updateHook(() => Effect.asVoid(next() < 0.2 ? calm : Effect.void))
    yield* sql.commitHook(Effect.map(next() < 0.5 ? calm : Effect.void, () => next() < 0.02))
  })

const texts: Readonly<Record<EngineName, ReadonlyArray<string>>> = {
  native: [
    "select sum(f(value)) as n from json_each('[1,2,3,4,5,6,7,8]')",
    "select a(value) as n from json_each('[1,2,3]')",
    "select n from rows(200)",
    "select n from rows(5000) limit 3",
    "select count(*) as n from rows(40) x join rows(3) y",
    "select n, f(n) as f from rows(20)",
    'select value from json_each(\'["b","a","c"]\') order by value collate c',
    "insert into t select f(n) from rows(10)",
    "insert into t values (f(1)) returning n",
    "delete from t where n > 1000 * f(n)"
  ],
  portable: [
    "select sum(f(value)) as n from json_each('[1,2,3,4,5,6,7,8]')",
    "select a(value) as n from json_each('[1,2,3]')",
    "select f(value) as n from json_each('[1,2,3,4,5]')",
    "insert into t values (f(1)) returning n"
  ]
}

/** One fiber's life: statements as chance has it, each stopped or not. */
const life = (sql: SqliteClient.SqliteClient, engine: EngineName, next: () => number, counts: Counts, count: number) =>
  Effect.gen(function* () {
    for (let i = 0; i < count; i++) {
      counts.statements++
      const text = texts[engine][Math.floor(next() * texts[engine].length)]!
      const kind = next()
      const plain: Effect.Effect<unknown, unknown> =
        kind < 0.5
          ? sql.unsafe(text)
          : kind < 0.7
            ? SqlClient.withPrefetch(4)(Stream.runDrain(Stream.take(sql.unsafe(text).stream, 30)))
            : kind < 0.8
              ? sql.withTransaction(Effect.zipRight(sql.unsafe(text), sql`insert into t values (2)`))
              : kind < 0.9
                ? sql.many("insert into t values (f(?))", [[1], [2], [3]])
                : sql.batch([text, "insert into t values (3)"])
      // Nothing that never ends without somebody who ends it.
      const bounded = SqlClient.withDeadline(next() < 0.2 ? next() * 5 : 500)(plain)
      const fiber = yield* Effect.fork(bounded)
      if (next() < 0.4) {
        yield* next() < 0.5 ? Effect.yieldNow() : Effect.sleep(next() * 6)
        check(counts, yield* Fiber.interrupt(fiber))
      } else {
        check(counts, yield* Fiber.await(fiber))
      }
    }
  })

const round = (engine: EngineName, seed: number, counts: Counts) =>
  Effect.gen(function* () {
    const next = random(seed)
    const filename = yield* tempFile
    const scope = yield* Scope.make()
    const config = {
      filename,
      readers: Math.floor(next() * 3),
      grace: 10_000,
      busyTimeout: 500,
      onClose: next() < 0.5 ? ("wait" as const) : ("interrupt" as const)
    }
    const sql = yield* Scope.extend(open(engine, config), scope)
    yield* sql`create table t (n)`
    yield* register(sql, engine, next, counts)
    const lives = yield* Effect.fork(
      Effect.all(
        Array.from({ length: 6 }, (_, i) => life(sql, engine, random(seed * 100 + i), counts, 15)),
        { concurrency: "unbounded", discard: true }
      )
    )
    // However slow the machine: there shall be something to disturb.
    const enough = counts.callbacksBegun + 50
    for (let wait = 0; wait < 2_000 && counts.callbacksBegun < enough; wait++) {
      yield* Effect.sleep(5)
    }
    const chaos = Effect.gen(function* () {
      // A carrier's own call must not be cut off: it would take the process with it.
      while (engine === "native" && next() < 0.6) {
        yield* Effect.sleep(next() * 100)
        const [victim] = [...workers].sort(() => next() - 0.5)
        counts.kills++
        yield* Effect.promise(() => victim?.terminate() ?? Promise.resolve(0))
      }
    })
    yield* chaos
    if (next() < 0.5) {
      yield* Fiber.await(lives)
    } else {
      yield* Effect.sleep(next() * 100)
    }
    yield* Scope.close(scope, Exit.void)
    const ended = yield* Fiber.await(lives)
    if (Exit.isFailure(ended)) {
      counts.wrong.push(Cause.pretty(ended.cause))
    }
  }).pipe(Effect.scoped)

/** Waits, ten seconds at most: what a killed worker leaves behind ends by itself. */
const settled = (counts: Counts) =>
  Effect.gen(function* () {
    const now = () => ({
      workers: workersAlive(),
      files: openFiles().length,
      scans: counts.scansBegun - counts.scansEnded,
      callbacks: counts.callbacksBegun - counts.callbacksEnded
    })
    for (let wait = 0; wait < 1_000 && Object.values(now()).some((n) => n !== 0); wait++) {
      yield* Effect.sleep(10)
    }
    return now()
  })

onEngines("a soak of callbacks", (engine) => {
  it.live(
    "row 100: random callbacks, interrupts, closes and kills leave nothing behind",
    () =>
      Effect.gen(function* () {
        const counts: Counts = {
          statements: 0,
          kills: 0,
          scansBegun: 0,
          scansEnded: 0,
          callbacksBegun: 0,
          callbacksEnded: 0,
          wrong: []
        }
        const until = performance.now() + minutes * 60_000
        const sizes: Array<number> = []
        for (let i = 0; i < shortRounds || performance.now() < until; i++) {
          yield* round(engine, firstSeed + i, counts)
          const left = yield* settled(counts)
          assert.deepStrictEqual(left, { workers: 0, files: 0, scans: 0, callbacks: 0 }, `seed ${firstSeed + i}`)
          assert.deepStrictEqual(counts.wrong, [], `seed ${firstSeed + i}`)
          sizes.push(yield* heap)
        }
        assert.isAbove(counts.statements, shortRounds * 40)
        assert.isAbove(counts.callbacksBegun, shortRounds * 40)
        // The first rounds load and compile what all need; from then on it stays.
        const [early, late] = [sizes[Math.min(20, shortRounds - 1)]!, sizes.at(-1)!]
        assert.isBelow(late - early, 20, sizes.map((mib) => mib.toFixed(1)).join(" "))
        if (minutes > 0) {
          const { callbacksBegun, kills, scansBegun, statements } = counts
          const rss = (process.memoryUsage.rss() / 2 ** 20).toFixed()
          yield* Effect.log({
            engine,
            rounds: sizes.length,
            statements,
            kills,
            scansBegun,
            callbacksBegun,
            early,
            late,
            rss
          })
        }
      }),
    { timeout: 120_000 + minutes * 60_000 }
  )
})
