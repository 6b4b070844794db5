import { assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Cause, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { countTo, type EngineName, leftovers, onEngines, tempFile } from "../support.js"
import { assertIdle, endless, open, random } from "./stopping.js"

type Told = "there" | "absent" | "either"

interface Ledger {
  readonly told: Map<number, Told>
  statements: number
  wrong: Array<string>
}

/** What a failure says about the effect of its statement. */
const toldBy = (cause: Cause.Cause<unknown>): Told => {
  if (Cause.isInterruptedOnly(cause)) {
    return "either"
  }
  const { outcome } = SqlFailure.from(Cause.squash(cause))
  return outcome === "notExecuted" ? "absent" : outcome === "executed" ? "there" : "either"
}

const expected = new Set(["StatementTimeout", "UniqueViolation", "TransactionGone", "Closed", "SessionLost"])

/** One fiber's life: statements of all kinds, one after the other, each stopped or not as chance has it. */
const life = (sql: SqliteClient.SqliteClient, engine: EngineName, ledger: Ledger, seed: number, count: number) =>
  Effect.gen(function* () {
    const next = random(seed)
    const tick = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    /** Runs it, stops it perhaps, answers how it ended. */
    const chance = <A>(effect: Effect.Effect<A, unknown>, mayStop = true) =>
      Effect.gen(function* () {
        const deadline = next() < 0.15 ? SqlClient.withDeadline(next() * 4)(effect) : effect
        const yielding = next() < 0.2 ? Effect.withMaxOpsBeforeYield(deadline, 12 + Math.floor(next() * 30)) : deadline
        const fiber = yield* Effect.fork(yielding)
        if (!mayStop || next() < 0.5) {
          return yield* Fiber.await(fiber)
        }
        for (let turns = Math.floor(next() * 5); turns > 0; turns--) {
          yield* next() < 0.5 ? Effect.yieldNow() : tick
        }
        if (next() < 0.2) {
          yield* Effect.sleep(next() * 3)
        }
        return yield* Fiber.interrupt(fiber)
      })
    const note = (exit: Exit.Exit<unknown, unknown>, ids: ReadonlyArray<number>) => {
      for (const id of ids) {
        ledger.told.set(id, Exit.isSuccess(exit) ? "there" : toldBy(exit.cause))
      }
      if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) {
        const failure = SqlFailure.from(Cause.squash(exit.cause))
        if (!expected.has(failure.reason)) {
          ledger.wrong.push(`${failure.reason}: ${failure.message}`)
        }
      }
    }
    for (let i = 0; i < count; i++) {
      ledger.statements++
      const id = seed * 1_000_000 + i * 10
      const kind = next()
      if (kind < 0.4) {
        note(yield* chance(sql`insert into ledger values (${id})`), [id])
      } else if (kind < 0.65) {
        const exit = yield* chance(sql<{ a: number }>`select ${id} as a`)
        note(exit, [])
        if (Exit.isSuccess(exit) && (exit.value.length !== 1 || exit.value[0]!.a !== id)) {
          ledger.wrong.push(`${id} was answered ${JSON.stringify(exit.value)}`)
        }
      } else if (kind < 0.75) {
        const ids = [id, id + 1, id + 2]
        note(
          yield* chance(
            sql.many(
              "insert into ledger values (?)",
              ids.map((n) => [n])
            )
          ),
          ids
        )
      } else if (kind < 0.85) {
        const ids = [id, id + 1]
        const all = Effect.forEach(ids, (n) => sql`insert into ledger values (${n})`)
        note(yield* chance(sql.withTransaction(all)), ids)
      } else if (kind < 0.93) {
        let last = 0
        const rows = SqlClient.withPrefetch(7)(sql.unsafe<{ n: number }>(countTo(60))).stream
        const take = next() < 0.5 ? 1_000 : 20
        const exit = yield* chance(
          Stream.runForEach(Stream.take(rows, take), ({ n }) =>
            Effect.sync(() => {
              if (n !== ++last) {
                ledger.wrong.push(`row ${n} came after row ${last - 1}`)
              }
            })
          )
        )
        note(exit, [])
        if (Exit.isSuccess(exit) && last !== Math.min(take, 60)) {
          ledger.wrong.push(`the stream of ${id} ended after ${last} rows`)
        }
      } else if (kind < 0.97) {
        const exit = yield* chance(sql`insert into ledger values (1)`)
        if (Exit.isSuccess(exit)) {
          ledger.wrong.push("a constraint was not kept")
        }
        note(exit, [])
      } else {
        const exit = yield* Effect.exit(Effect.timeoutOption(sql.unsafe(endless(engine)), next() * 3))
        if (Exit.isFailure(exit)) {
          note(exit, [])
        } else if (exit.value._tag === "Some") {
          ledger.wrong.push("an endless statement ended")
        }
      }
    }
  })

/** The database must have what the program was told. */
const compare = (sql: SqliteClient.SqliteClient, ledger: Ledger, seed: number) =>
  Effect.gen(function* () {
    const found = (yield* sql<{ n: number }>`select n from ledger where n <> 1 order by rowid`).map(({ n }) => n)
    const set = new Set(found)
    assert.strictEqual(set.size, found.length, `seed ${seed}: something was done twice`)
    const wrong = [...ledger.told].filter(([id, told]) => told !== "either" && set.has(id) !== (told === "there"))
    assert.deepStrictEqual(wrong, [], `seed ${seed}: [id, what was told]`)
    assert.deepStrictEqual(ledger.wrong.slice(0, 5).join("; "), "", `seed ${seed}`)
    assert.deepStrictEqual(
      found.filter((id) => !ledger.told.has(id)),
      [],
      `seed ${seed}: nobody asked for these`
    )
    const tally = (told: Told) => [...ledger.told.values()].filter((t) => t === told).length
    assert.isTrue(tally("there") > 0 && tally("absent") > 0 && tally("either") > 0, `seed ${seed} tries too little`)
  })

const setUp = (sql: SqliteClient.SqliteClient) =>
  Effect.zipRight(sql`create table ledger (n unique)`, sql`insert into ledger values (1)`)

onEngines("stress", (engine) => {
  const total = engine === "native" ? 10_000 : 1_500
  for (const [where, seed] of [
    ["memory", 11],
    ["file", 12],
    ["file with readers", 13]
  ] as const) {
    it.scopedLive(`${Math.round(total / 3)} statements of six fibers, stopped at random (${where}, seed ${seed})`, () =>
      Effect.gen(function* () {
        const sql = yield* open(
          engine,
          // A stuck portable write would cost the session: it gets all the time it needs.
          where === "memory"
            ? { grace: 20_000 }
            : { filename: yield* tempFile, readers: where === "file" ? 0 : 2, grace: 20_000, busyTimeout: 20_000 }
        )
        yield* setUp(sql)
        const ledger: Ledger = { told: new Map(), statements: 0, wrong: [] }
        yield* Effect.forEach(
          Array.from({ length: 6 }, (_, i) => i),
          (i) => life(sql, engine, ledger, seed * 100 + i, Math.ceil(total / 18)),
          { concurrency: "unbounded", discard: true }
        )
        yield* compare(sql, ledger, seed)
        yield* assertIdle(sql)
        for (const { lost, retired } of yield* sql.statistics) {
          assert.deepStrictEqual([lost, retired], [0, 0])
        }
      })
    )
  }

  it.scopedLive("clients closed at random under their statements (seed 21)", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const ledger: Ledger = { told: new Map(), statements: 0, wrong: [] }
      const next = random(21)
      const checker = yield* open(engine, { filename })
      yield* setUp(checker)
      for (let round = 0; round < (engine === "native" ? 16 : 8); round++) {
        const scope = yield* Scope.make()
        const sql = yield* Scope.extend(
          open(engine, {
            filename,
            readers: round % 3,
            onClose: round % 2 === 0 ? "interrupt" : "wait",
            busyTimeout: 20_000,
            grace: 20_000,
            maxQueued: round % 4 === 0 ? 1_000 : undefined
          }),
          scope
        )
        const fibers = yield* Effect.forEach([0, 1, 2], (i) =>
          Effect.fork(
            Effect.forEach(
              Array.from({ length: 200 }, (_, k) => (round * 3 + i) * 1_000 + k + 2),
              (id) =>
                Effect.map(
                  Effect.exit(
                    id % 5 === 0
                      ? Stream.runDrain(SqlClient.withPrefetch(5)(sql`select n from ledger limit 40`).stream)
                      : sql`insert into ledger values (${id})`
                  ),
                  (exit) => {
                    if (id % 5 !== 0) {
                      ledger.told.set(id, Exit.isSuccess(exit) ? "there" : toldBy(exit.cause))
                    }
                    if (Exit.isFailure(exit)) {
                      const { message, reason } = SqlFailure.from(Cause.squash(exit.cause))
                      if (reason !== "Closed") {
                        ledger.wrong.push(`${reason}: ${message}`)
                      }
                    }
                  }
                ),
              { concurrency: 60, discard: true }
            )
          )
        )
        yield* Effect.sleep(next() * 15)
        yield* Effect.timeout(Scope.close(scope, Exit.void), 10_000)
        yield* Effect.timeout(Fiber.joinAll(fibers), 10_000)
      }
      yield* compare(checker, { ...ledger, told: new Map(ledger.told).set(-1, "either") }, 21)
    })
  )

  it.scopedLive("nothing is left", () => leftovers)
})
