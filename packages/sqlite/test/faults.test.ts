/**
 * Random faults and interrupts, from seeds: whatever happens, what was acknowledged is there, what was reported as not
 * executed is not, and transactions are whole.
 */
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, type SqlTransport, TestTransport } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Cause, Context, Effect, Exit, Fiber, Layer, Option, Schedule } from "effect"
import { random } from "./conformance/stopping.js"
import { tempFile } from "./support.js"

/** What a piece of work wrote, if it was done. */
interface Work {
  readonly name: string
  readonly rows: ReadonlyArray<number>
  readonly run: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>
}

const insert = (sql: SqlClient.SqlClient, n: number) => sql`insert into ledger values (${n})`

/** One piece of work out of five kinds, with rows of its own. */
const work = (kind: number, first: number): Work => {
  const rows = [first, first + 1, first + 2]
  switch (kind) {
    case 0:
      return { name: "statement", rows: [first], run: (sql) => insert(sql, first) }
    case 1:
      return {
        name: "transaction",
        rows,
        run: (sql) => sql.withTransaction(Effect.forEach(rows, (n) => insert(sql, n)))
      }
    case 2:
      return {
        name: "nested",
        rows: [first, first + 2],
        run: (sql) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, first)
              yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(sql, first + 1), Effect.fail("undo"))))
              yield* sql.withTransaction(insert(sql, first + 2))
            })
          )
      }
    case 3:
      return {
        name: "many",
        rows,
        run: (sql) =>
          sql.many(
            "insert into ledger values (?)",
            rows.map((n) => [n])
          )
      }
    default:
      return {
        name: "stream",
        rows: [first],
        run: (sql) =>
          Effect.zipRight(
            Effect.forEach([1, 2, 3], () => sql`select * from ledger`.pipe(SqlClient.withPrefetch(2))),
            insert(sql, first)
          )
      }
  }
}

/** Whether the rows of a piece of work must be there, must not, or are there all or none. */
const verdict = (exit: Exit.Exit<unknown, unknown>): "present" | "absent" | "whole" => {
  if (Exit.isSuccess(exit)) {
    return "present"
  }
  const failure = Option.map(Cause.failureOption(exit.cause), SqlFailure.from)
  assert.isTrue(
    Option.isSome(failure) || Cause.isInterruptedOnly(exit.cause),
    `neither failed nor interrupted: ${Cause.pretty(exit.cause)}`
  )
  return Option.isSome(failure) && failure.value.outcome === "notExecuted" ? "absent" : "whole"
}

interface Trial {
  readonly seed: number
  readonly transport: Layer.Layer<SqlTransport.SqlTransport>
  readonly statements: TestTransport.FaultOptions["rates"]
  readonly control: TestTransport.FaultOptions["rates"]
  readonly pieces: number
}

const trial = ({ control, pieces, seed, statements, transport }: Trial) =>
  Effect.scoped(
    Effect.gen(function* () {
      const next = random(seed)
      let calm = true
      const faults: Array<string> = []
      const onFault = ({ fault, kind, number, text }: TestTransport.Injected) =>
        void faults.push(`${kind} ${number}: ${JSON.stringify(fault)} ${text}`)
      const shared = { delay: 4, onFault, reason: "Serialization" } as const
      const client = SqlClient.layer.pipe(
        // A lost answer to COMMIT would be waited for without end: control has faults of its own. A rollback that fails
        // costs the session, which a database in memory does not survive.
        Layer.provide(
          TestTransport.faults({ ...shared, seed, rates: statements, on: ["statement", "page"], only: () => !calm })
        ),
        Layer.provide(
          TestTransport.faults({
            ...shared,
            seed: ~seed,
            rates: control,
            on: ["control"],
            only: ({ text }) => !calm && !/^rollback|^release/i.test(text)
          })
        ),
        Layer.provide(transport)
      )
      const sql = Context.get(yield* Layer.build(client), SqlClient.SqlClient)
      yield* sql`create table ledger (n integer primary key)`
      calm = false

      const all = Array.from({ length: pieces }, (_, i) => work(Math.floor(next() * 5), i * 10))
      const exits = yield* Effect.forEach(
        all.map((piece) => ({ piece, after: next() < 0.3 ? next() * 20 : undefined, start: next() * 30 })),
        ({ after, piece, start }) =>
          Effect.gen(function* () {
            yield* Effect.sleep(start)
            // Not what comes before and after: a machine may need longer than that to start a worker.
            const fiber = yield* Effect.fork(SqlClient.withDeadline(250)(piece.run(sql)))
            if (after !== undefined) {
              yield* Effect.sleep(after)
              return yield* Fiber.interrupt(fiber)
            }
            return yield* Fiber.await(fiber)
          }),
        { concurrency: "unbounded" }
      )

      calm = true
      const found = yield* Effect.retry(sql<{ n: number }>`select n from ledger`, {
        times: 50,
        schedule: Schedule.spaced("10 millis")
      })
      const present = new Set(found.map(({ n }) => n))
      all.forEach((piece, i) => {
        const there = piece.rows.filter((n) => present.has(n))
        const because = `seed ${seed}: ${piece.name} ${piece.rows.join()}, ${String(exits[i])}\n${faults.join("\n")}`
        switch (verdict(exits[i]!)) {
          case "present":
            return assert.deepStrictEqual(there, piece.rows, because)
          case "absent":
            return assert.deepStrictEqual(there, [], because)
          case "whole":
            return assert.include([0, piece.rows.length], there.length, because)
        }
      })
      assert.lengthOf(
        [...present].filter((n) => !all.some(({ rows }) => rows.includes(n))),
        0,
        "what was undone is not there"
      )
      for (const { leases, name, waiting } of yield* sql.statistics) {
        assert.deepStrictEqual({ name, leases, waiting }, { name, leases: 0, waiting: 0 }, `seed ${seed}`)
      }
      return faults.length
    })
  )

describe("the ledger", () => {
  it.live(
    "in memory: failures, delays, duplicate and lost answers, interrupts, deadlines",
    () =>
      Effect.gen(function* () {
        let faults = 0
        for (let seed = 1; seed <= 25; seed++) {
          faults += yield* trial({
            seed,
            transport: SqliteTransport.layerMemory,
            statements: { fail: 0.08, failAfter: 0.05, delay: 0.2, duplicate: 0.1, lose: 0.03 },
            control: { fail: 0.05, failAfter: 0.05, delay: 0.1, duplicate: 0.1 },
            pieces: 30
          })
        }
        assert.isAbove(faults, 200)
      }),
    120_000
  )

  it.live(
    "on a file with readers: sessions that die, too",
    () =>
      Effect.gen(function* () {
        for (let seed = 101; seed <= 106; seed++) {
          yield* trial({
            seed,
            transport: Layer.unwrapScoped(
              Effect.map(tempFile, (filename) => SqliteTransport.layer({ filename, readers: 1 }))
            ),
            statements: {
              fail: 0.05,
              failAfter: 0.05,
              drop: 0.02,
              dropAfter: 0.02,
              delay: 0.1,
              lose: 0.02,
              hang: 0.01
            },
            control: { fail: 0.05, dropAfter: 0.03, drop: 0.03, delay: 0.1 },
            pieces: 25
          })
        }
      }),
    120_000
  )

  it.scopedLive("a session that is given up inside a transaction is lost, and the client is not closed", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const hanging = TestTransport.faults({ only: /^select 1/, schedule: { 1: TestTransport.fault.hang } })
      const context = yield* Layer.build(
        SqlClient.layer.pipe(Layer.provide(hanging), Layer.provide(SqliteTransport.layer({ filename, grace: 100 })))
      )
      const sql = Context.get(context, SqlClient.SqlClient)
      const failure = yield* Effect.ignore(sql`select 1`.pipe(SqlClient.withDeadline(50))).pipe(
        Effect.zipRight(sql`select 2`),
        sql.withTransaction,
        Effect.flip
      )
      assert.strictEqual(SqlFailure.from(failure).reason, "SessionLost")
      assert.deepStrictEqual(yield* sql`select 3 as x`, [{ x: 3 }])
    })
  )
})
