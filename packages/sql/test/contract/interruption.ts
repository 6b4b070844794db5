/** The seven rules of interruption. */
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlTransport, TestTransport } from "@sluice/sql"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import { content, failureOf, insert, running, type Subject, timed, using } from "./harness.js"

export const interruption = (subject: Subject): void => {
  const { capabilities } = subject
  const { countTo, endless, pausing, reconnects, stopsWithin = 1_000 } = capabilities
  const faults = (options: TestTransport.FaultOptions) => (transport: ReturnType<Subject["transport"]>) =>
    Layer.provide(TestTransport.faults(options), transport)

  describe("interruption", () => {
    it.live("1: a request that has not begun is never run, and its interrupt settles at once", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          // In a transaction all of them want the same session, however many there are.
          const tookAll = yield* sql.withTransaction(
            Effect.gen(function* () {
              const first = yield* running(sql.unsafe(endless))
              const queued = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => running(insert(sql, n)))
              const [took] = yield* timed(Effect.forEach(queued, Fiber.interrupt))
              assert.isFalse(Exit.isExit(first.unsafePoll()), "the first one still runs")
              yield* Fiber.interrupt(first)
              return took
            })
          )
          assert.isBelow(tookAll, 5_000)
          assert.deepStrictEqual(yield* content(sql), [])
        })
      )
    )

    it.live(
      "2: a running statement is stopped in the database; the session is quiet when the interrupt completes",
      () =>
        using(subject, (sql) =>
          Effect.gen(function* () {
            for (let i = 0; i < 3; i++) {
              const fiber = yield* running(sql.unsafe(endless))
              const [took] = yield* timed(Fiber.interrupt(fiber))
              assert.isBelow(took, stopsWithin)
              const [next] = yield* timed(sql`select 1 as one`)
              assert.isBelow(next, 5_000)
            }
          })
        )
    )

    it.live("3: a stop never hits a neighbour's statement", () =>
      using(subject, (sql) =>
        sql.withTransaction(
          Effect.forEach(
            Array.from({ length: 40 }, (_, i) => i),
            (i) =>
              Effect.gen(function* () {
                const stopped = yield* Effect.fork(sql.unsafe(countTo(2_000)))
                const neighbour = yield* Effect.fork(insert(sql, i))
                // From before it is sent to after it has ended.
                yield* Effect.sleep((i % 8) * 0.5)
                yield* Fiber.interrupt(stopped)
                yield* Fiber.join(neighbour)
              }),
            { discard: true }
          ).pipe(
            Effect.zipRight(content(sql)),
            Effect.map((rows) => assert.lengthOf(rows, 40))
          )
        )
      )
    )

    if (reconnects) {
      it.live("4: no quiet within the grace period: the session is retired, and the interrupt still completes", () =>
        using(
          subject,
          (sql) =>
            Effect.gen(function* () {
              const fiber = yield* running(sql`select 4 as hangs`)
              const [took, exit] = yield* timed(Fiber.interrupt(fiber))
              assert.isTrue(Exit.isInterrupted(exit))
              assert.isBelow(took, 10_000)
              yield* insert(sql, 1)
              assert.deepStrictEqual(yield* content(sql), [1])
            }),
          faults({ only: /hangs/, schedule: { 1: TestTransport.fault.hang } })
        )
      )
    }

    it.live("5: answers that come twice reach their statement once, and nobody else", () =>
      using(
        subject,
        (sql) =>
          Effect.gen(function* () {
            const numbers = Array.from({ length: 30 }, (_, i) => i)
            const answers = yield* Effect.forEach(numbers, (n) => sql<{ n: number }>`select ${n} as n`, {
              concurrency: "unbounded"
            })
            assert.deepStrictEqual(
              answers.map((rows) => Number(rows[0]!.n)),
              numbers
            )
          }),
        faults({ rates: { duplicate: 1 }, on: ["statement", "page", "control"] })
      )
    )

    it.live("5: an answer that nobody waits for any more is dropped", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          for (let i = 0; i < 20; i++) {
            const fiber = yield* Effect.fork(sql`select ${-1} as n`)
            yield* Effect.sleep((i % 5) * 0.3)
            yield* Fiber.interrupt(fiber)
            assert.deepStrictEqual(yield* sql`select ${i} as n`, [{ n: i }])
          }
        })
      )
    )

    it.live("6: a cancelled pull poisons its cursor: never a lost row, never a silent end", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const session = yield* sql.session
          const cursor = yield* session.open(SqlTransport.request(pausing, { prefetch: 1, transaction: "free" }))
          assert.strictEqual(cursor.first.length, 1)
          const pull = yield* running(cursor.next)
          yield* Fiber.interrupt(pull)
          const after = yield* Effect.exit(cursor.next)
          assert.isTrue(Exit.isFailure(after))
          assert.isFalse(Exit.isInterrupted(after))
        })
      )
    )

    it.live("6: a stream that is stopped while it pulls leaves nothing behind", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const stream = sql.unsafe(pausing).pipe(SqlClient.withPrefetch(1)).stream
          const fiber = yield* running(Stream.runDrain(stream))
          const [took] = yield* timed(Fiber.interrupt(fiber))
          assert.isBelow(took, stopsWithin)
          yield* insert(sql, 1)
        })
      )
    )

    it.live("7: cancel surfaces as interruption, a passed deadline as StatementTimeout", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const exit = yield* Effect.flatMap(running(sql.unsafe(endless)), Fiber.interrupt)
          assert.isTrue(Exit.isInterrupted(exit))
          const [took, late] = yield* timed(failureOf(sql.unsafe(endless).pipe(SqlClient.withDeadline(60))))
          assert.strictEqual(late.reason, "StatementTimeout")
          assert.isAtLeast(took, 55)
          assert.isBelow(took, stopsWithin)
          const stream = Stream.runDrain(sql.unsafe(pausing).pipe(SqlClient.withPrefetch(1)).stream)
          assert.strictEqual((yield* failureOf(stream.pipe(SqlClient.withDeadline(60)))).reason, "StatementTimeout")
        })
      )
    )
  })
}
