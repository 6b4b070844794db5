import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, TestTransport } from "@sluice/sql"
import { Chunk, Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"
import { failure, fake } from "./fakeTransport.js"

const { fault, on } = TestTransport

/** A database that answers everything, behind faults. */
const using = <A, E>(
  options: TestTransport.FaultOptions,
  body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>,
  script: ReadonlyArray<TestTransport.Expectation> = [on(/./).rows([{ n: 1 }]).anyTimes]
) =>
  Effect.flatMap(SqlClient.SqlClient, body).pipe(
    Effect.provide(SqlClient.layer),
    Effect.provide(TestTransport.faults(options)),
    Effect.provide(TestTransport.scripted(script))
  )

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), SqlFailure.from)

describe("TestTransport.faults", () => {
  it.effect("fail: the nth statement, before or after it was done", () =>
    using(
      { schedule: { 2: fault.fail("Deadlock"), 4: fault.fail("Constraint", "after") } },
      (sql) =>
        Effect.gen(function* () {
          yield* sql`one`
          const two = yield* failureOf(sql`two`)
          assert.deepStrictEqual([two.reason, two.outcome, two.statement], ["Deadlock", "notExecuted", "two"])
          yield* sql`three`
          const four = yield* failureOf(sql`four`)
          assert.deepStrictEqual([four.reason, four.outcome], ["Constraint", "unknown"])
          assert.include(four.message, "after the statement")
        }),
      // `two` never came, `four` did.
      [on("one"), on("three"), on("four")]
    )
  )

  it.effect("drop: the session is lost, the next statement has another", () =>
    using({ schedule: { 1: fault.drop() } }, (sql) =>
      Effect.gen(function* () {
        const first = yield* Effect.scoped(Effect.map(sql.session, ({ id }) => id))
        const lost = yield* failureOf(sql`one`)
        assert.deepStrictEqual([lost.reason, lost.outcome], ["SessionLost", "unknown"])
        yield* Effect.yieldNow()
        yield* TestClock.adjust(1)
        yield* sql`two`
        assert.notStrictEqual(yield* Effect.scoped(Effect.map(sql.session, ({ id }) => id)), first)
      })
    )
  )

  it.effect("delay: by the fiber's clock", () =>
    using({ schedule: { 1: fault.delay("1 minute") } }, (sql) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(sql`one`)
        yield* TestClock.adjust("59 seconds")
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        yield* TestClock.adjust("1 seconds")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 1 }])
      })
    )
  )

  it.effect("delay: what is still to begin does not, once its session was dropped", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const one = yield* Effect.fork(failureOf(sql`one`))
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* failureOf(sql`two`)).reason, "SessionLost")
      yield* TestClock.adjust("1 minute")
      const { outcome, reason, statement } = yield* Fiber.join(one)
      assert.deepStrictEqual([reason, outcome, statement], ["SessionLost", "notExecuted", "one"])
    }).pipe(
      Effect.provide(SqlClient.layer),
      Effect.provide(TestTransport.faults({ schedule: { 1: fault.delay("1 minute"), 2: fault.drop("after") } })),
      // Statements share a session, and one that is closed says so.
      Effect.provide(fake({ run: (_, { closed }) => (closed ? Effect.fail(failure("Closed")) : undefined) }).layer)
    )
  )

  it.effect("duplicate: the answer comes twice, the statement gets it once", () =>
    using({ rates: { duplicate: 1 }, on: ["statement", "page", "control"] }, (sql) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* sql.withTransaction(Effect.all([sql`one`, sql`two`])), [[{ n: 1 }], [{ n: 1 }]])
        assert.strictEqual(yield* Stream.runCount(sql`three`.stream), 1)
      })
    )
  )

  it.effect("lose: the answer never comes; a deadline or an interrupt ends the wait", () =>
    using(
      { rates: { lose: 1 } },
      (sql) =>
        Effect.gen(function* () {
          const late = yield* Effect.fork(failureOf(sql`one`.pipe(SqlClient.withDeadline("1 seconds"))))
          yield* TestClock.adjust("1 seconds")
          const failure = yield* Fiber.join(late)
          assert.deepStrictEqual([failure.reason, failure.outcome], ["StatementTimeout", "unknown"])
          const stopped = yield* Effect.fork(sql`two`)
          yield* TestClock.adjust(1)
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(stopped)))
        }),
      [on("one"), on("two")]
    )
  )

  it.effect("hang: the interrupt completes after the grace period, and the session is another", () =>
    using({ schedule: { 1: fault.hang } }, (sql) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(sql`one`)
        yield* TestClock.adjust(1)
        const stopping = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("1 seconds")
        assert.isTrue(Option.isNone(yield* Fiber.poll(stopping)))
        yield* TestClock.adjust("1 seconds")
        assert.isTrue(Exit.isInterrupted(yield* Fiber.join(stopping)))
        assert.deepStrictEqual(yield* sql`two`, [{ n: 1 }])
      })
    )
  )

  it.effect("pages and control are counted on request, `only` chooses among them", () =>
    Effect.gen(function* () {
      const rows = [1, 2, 3].map((n) => ({ n }))
      yield* using(
        { on: ["page"], schedule: { 2: fault.fail("SessionLost") } },
        (sql) =>
          Effect.gen(function* () {
            const stream = sql`rows`.pipe(SqlClient.withPrefetch(1)).stream
            const seen: Array<number> = []
            yield* failureOf(Stream.runForEach(stream, (row) => Effect.sync(() => seen.push((row as { n: number }).n))))
            assert.deepStrictEqual(seen, [1, 2])
            assert.strictEqual(Chunk.size(yield* Stream.runCollect(stream)), 3)
          }),
        [on("rows").rows(rows).times(2)]
      )
      yield* using({ on: ["control"], only: /^commit/i, schedule: { 2: fault.fail("LockTimeout") } }, (sql) =>
        Effect.gen(function* () {
          yield* sql.withTransaction(sql`one`)
          assert.strictEqual((yield* failureOf(sql.withTransaction(sql`two`))).reason, "LockTimeout")
          yield* sql.withTransaction(sql`three`)
        })
      )
    })
  )

  describe("chance", () => {
    const rates = { fail: 0.1, failAfter: 0.1, delay: 0.2, duplicate: 0.1 }
    const faultsOf = (seed: number, reverse = false) =>
      Effect.gen(function* () {
        const injected: Array<TestTransport.Injected> = []
        const fiber = yield* Effect.fork(
          using({ seed, rates, delay: 5, onFault: (one) => injected.push(one) }, (sql) =>
            Effect.forEach(
              Array.from({ length: 200 }, (_, i) => i),
              (i) => Effect.exit(sql.unsafe(`select ${reverse ? 200 - i : i}`)),
              { discard: true }
            )
          )
        )
        while (Option.isNone(yield* Fiber.poll(fiber))) {
          yield* TestClock.adjust(5)
        }
        yield* Fiber.join(fiber)
        return injected.map(({ fault, number }) => `${number} ${JSON.stringify(fault)}`)
      })

    it.effect("is the same for the same seed, whatever the statements, and another for another", () =>
      Effect.gen(function* () {
        const first = yield* faultsOf(1)
        assert.deepStrictEqual(yield* faultsOf(1), first)
        assert.deepStrictEqual(yield* faultsOf(1, true), first)
        assert.notDeepEqual(yield* faultsOf(2), first)
      })
    )

    it.effect("keeps to its rates", () =>
      Effect.map(faultsOf(3), (faults) => {
        // 200 requests, half of them with a fault.
        assert.isAbove(faults.length, 70)
        assert.isBelow(faults.length, 130)
        assert.isAbove(faults.filter((one) => one.includes("Delay")).length, 20)
        assert.isAbove(faults.filter((one) => one.includes("Duplicate")).length, 8)
      })
    )
  })
})
