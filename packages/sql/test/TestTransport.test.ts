import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, TestTransport } from "@sluice/sql"
import { Cause, Chunk, Effect, Exit, Fiber, Option, Stream, TestClock } from "effect"

const { on } = TestTransport

/** Runs a body over a script. */
const play = <A, E>(
  script: ReadonlyArray<TestTransport.Expectation>,
  body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>,
  options?: TestTransport.ScriptOptions
) =>
  Effect.flatMap(SqlClient.SqlClient, body).pipe(
    Effect.provide(SqlClient.layer),
    Effect.provide(TestTransport.scripted(script, options))
  )

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), SqlFailure.from)

/** What a program dies of. */
const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
    assert.isDefined(defect, "should have died")
    return defect instanceof Error ? defect.message : String(defect)
  })

describe("TestTransport.scripted", () => {
  it.effect("reads as in the documentation: a stream, a transaction, a savepoint inside", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const late = yield* sql<{ delay: number }>`select date, delay from flights where origin = ${"SEA"}`.stream.pipe(
        Stream.filter((flight) => flight.delay > 60),
        Stream.runCount
      )
      yield* sql.transaction({ mode: "immediate" })(
        Effect.gen(function* () {
          yield* sql`insert into audit ${sql.insert({ late })}`
          yield* Effect.void.pipe(sql.withTransaction, Effect.ignore)
        })
      )
      assert.strictEqual(late, 1)
    }).pipe(
      Effect.provide(SqlClient.layer),
      Effect.provide(
        TestTransport.scripted([
          TestTransport.on(/from flights/).rows([{ date: "2001-01-01", delay: 90 }]),
          TestTransport.on(/insert into audit/).changes(1)
        ])
      )
    )
  )

  it.effect("gives rows as objects, arrays and raw; changes as the driver's own result", () =>
    play(
      [
        on("select 1")
          .rows([{ a: 1, b: null }])
          .times(3),
        on(/^delete/).changes(7)
      ],
      (sql) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* sql`select 1`, [{ a: 1, b: null }])
          assert.deepStrictEqual(yield* sql`select 1`.values, [[1, null]])
          assert.deepStrictEqual(yield* sql`select 1`.raw, [{ a: 1, b: null }])
          assert.deepStrictEqual(yield* sql`delete from t`.raw, { changes: 7 })
        })
    )
  )

  it.effect("knows statements by text (white space aside), RegExp (flags and all) and predicate", () =>
    play([on("select a\n  from t"), on(/FROM t$/gi).times(2), on(({ params }) => params[0] === 9)], (sql) =>
      Effect.gen(function* () {
        yield* sql`
            select a from t
          `
        yield* sql`select b from t`
        yield* sql`select b from t`
        yield* sql`anything ${9}`
      })
    )
  )

  it.effect("requires parameters, of every type; for many those of each row", () =>
    play(
      [
        on(/insert/).params([1n, new Uint8Array([1, 2]), new Date(0), NaN, null]),
        on(/many/).params([
          [1, "a"],
          [2, "b"]
        ]),
        on(/predicate/).params((params) => params.length === 2)
      ],
      (sql) =>
        Effect.gen(function* () {
          yield* sql.unsafe("insert", [1n, Buffer.from([1, 2]), new Date(0), NaN, null])
          assert.deepStrictEqual(
            yield* sql.many("many", [
              [1, "a"],
              [2, "b"]
            ]),
            { changes: 2 }
          )
          yield* sql.unsafe("predicate", [1, 2])
        })
    )
  )

  it.effect("cuts rows into pages by prefetch; gives pages as they are", () =>
    play(
      [
        on("cut").rows([1, 2, 3, 4, 5].map((n) => ({ n }))),
        on("given").pages([[{ n: 1 }], [], [{ n: 2 }, { n: 3 }]]),
        on("none").rows([])
      ],
      (sql) =>
        Effect.gen(function* () {
          const sizes = (text: string) =>
            sql
              .unsafe(text)
              .stream.pipe(
                SqlClient.withPrefetch(2),
                Stream.chunks,
                Stream.map(Chunk.size),
                Stream.runCollect,
                Effect.map(Chunk.toReadonlyArray)
              )
          assert.deepStrictEqual(yield* sizes("cut"), [2, 2, 1])
          assert.deepStrictEqual(yield* sizes("given"), [1, 2])
          assert.deepStrictEqual(yield* sizes("none"), [])
        })
    )
  )

  it.effect("fails by reason, by error, with details; a stream gets the rows before it", () =>
    play(
      [
        on("one").fails("UniqueViolation", { constraint: "t_id" }),
        on("two").fails(SqlFailure.make({ reason: "Deadlock", message: "mine" })),
        on("three")
          .rows([{ n: 1 }])
          .fails("SessionLost", { outcome: "unknown" })
      ],
      (sql) =>
        Effect.gen(function* () {
          const one = yield* failureOf(sql`one`)
          assert.deepStrictEqual([one.reason, one.constraint, one.statement], ["UniqueViolation", "t_id", "one"])
          assert.strictEqual((yield* failureOf(sql`two`)).message, "mine")
          const rows: Array<unknown> = []
          const three = yield* failureOf(
            Stream.runForEach(sql`three`.stream, (row) => Effect.sync(() => rows.push(row)))
          )
          assert.deepStrictEqual(rows, [{ n: 1 }])
          assert.deepStrictEqual([three.reason, three.outcome], ["SessionLost", "unknown"])
        })
    )
  )

  it.effect("dies", () =>
    Effect.map(defectOf(play([on("one").dies(new Error("a bug"))], (sql) => sql`one`)), (message) => {
      assert.strictEqual(message, "a bug")
    })
  )

  it.effect("delays by the fiber's clock", () =>
    play(
      [
        on("slow")
          .rows([{ n: 1 }])
          .delay("1 minute")
      ],
      (sql) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.fork(sql`slow`)
          yield* TestClock.adjust("59 seconds")
          assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
          yield* TestClock.adjust("1 seconds")
          assert.deepStrictEqual(yield* Fiber.join(fiber), [{ n: 1 }])
        })
    )
  )

  it.effect("never answers: deadlines and interrupts end the wait", () =>
    play([on("stuck").never.times(2), on("next")], (sql) =>
      Effect.gen(function* () {
        const late = yield* Effect.fork(failureOf(sql`stuck`.pipe(SqlClient.withDeadline("1 seconds"))))
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* Fiber.join(late)).reason, "StatementTimeout")
        const stopped = yield* Effect.fork(sql`stuck`)
        yield* TestClock.adjust(1)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(stopped)))
        yield* sql`next`
      })
    )
  )

  describe("transactions", () => {
    it.effect("are answered without being in the script, and kept track of", () =>
      play([on("one"), on("two"), on("three")], (sql) =>
        Effect.gen(function* () {
          const open = Effect.map(Effect.scoped(sql.session), (session) => session.inTransaction())
          assert.isFalse(yield* open)
          yield* sql.withTransaction(
            Effect.gen(function* () {
              assert.isTrue(yield* open)
              yield* sql`one`
              yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql`two`, Effect.fail("undo"))))
              assert.isTrue(yield* open)
            })
          )
          assert.isFalse(yield* open)
          yield* Effect.ignore(sql.withTransaction(Effect.fail("undo")))
          assert.isFalse(yield* open)
          yield* sql`three`
        })
      )
    )

    it.effect("meet an expectation that names their command, and no other", () =>
      play([on(/./), on(() => true), on("COMMIT").fails("LockTimeout"), on(/^rollback to/i)], (sql) =>
        Effect.gen(function* () {
          const late = yield* failureOf(sql.withTransaction(Effect.zipRight(sql`one`, sql`two`)))
          assert.strictEqual(late.reason, "LockTimeout")
          yield* sql.withTransaction(Effect.ignore(sql.withTransaction(Effect.fail("undo"))))
        })
      )
    )

    it.effect("one left open by a statement is rolled back, as with any transport", () =>
      play([on("one")], (sql) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* failureOf(sql`begin`)).reason, "Unsupported")
          yield* sql`one`
        })
      )
    )
  })

  it.effect("anyTimes stands outside of the order", () =>
    play([on("ping").rows([{ pong: 1 }]).anyTimes, on("one"), on("two")], (sql) =>
      Effect.gen(function* () {
        yield* sql`one`
        assert.deepStrictEqual(yield* sql`ping`, [{ pong: 1 }])
        yield* sql`two`
        yield* sql`ping`
      })
    )
  )

  it.effect("order: any takes statements as they come, each as often as expected", () =>
    Effect.gen(function* () {
      yield* play([on("one"), on("two").times(2)], (sql) => Effect.all([sql`two`, sql`one`, sql`two`]), {
        order: "any"
      })
      const message = yield* Effect.map(
        failureOf(play([on("one"), on("two")], (sql) => Effect.all([sql`two`, sql`two`]), { order: "any" })),
        ({ message }) => message
      )
      assert.include(message, "expected  one   (1 of 2)")
    })
  )

  it.effect("sessions: so many statements at once", () =>
    play(
      [on(/slow/).delay("1 seconds").times(4)],
      (sql) =>
        Effect.gen(function* () {
          const all = yield* Effect.fork(
            Effect.forEach([1, 2, 3, 4], (n) => sql.unsafe(`slow ${n}`), { concurrency: "unbounded" })
          )
          yield* TestClock.adjust("2 seconds")
          assert.isTrue(Option.isSome(yield* Fiber.poll(all)))
        }),
      { sessions: 2 }
    )
  )

  it.effect("runs afresh each time the layer is built", () => {
    const program = play([on("one")], (sql) => sql`one`)
    return Effect.zipRight(program, program)
  })
})
