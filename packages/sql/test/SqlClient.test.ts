import * as EffectSql from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import {
  Cause,
  Chunk,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Stream,
  TestClock,
  TestServices,
  Tracer
} from "effect"
import { answer, failure, fake, type FakeOptions } from "./fakeTransport.js"

const using = <A, E>(
  options: FakeOptions,
  body: (sql: SqlClient.SqlClient, seen: ReturnType<typeof fake>) => Effect.Effect<A, E>,
  clientOptions: SqlClient.Options = {}
) => {
  const seen = fake(options)
  return Effect.flatMap(SqlClient.SqlClient, (sql) => body(sql, seen)).pipe(
    Effect.provide(SqlClient.layerWith(clientOptions)),
    Effect.provide(seen.layer)
  )
}

const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), SqlFailure.from)

const page = (n: number, done: boolean): SqlTransport.Page => answer([{ n }], { done })

const twoPages = [page(1, false), page(2, true)]

describe("SqlClient", () => {
  it.effect("is the same client under both tags", () => {
    const seen = fake()
    return Effect.gen(function* () {
      assert.strictEqual(yield* SqlClient.SqlClient, yield* EffectSql.SqlClient)
    }).pipe(Effect.provide(SqlClient.layer), Effect.provide(seen.layer))
  })

  it.effect("refuses options that are none, before it opens anything", () =>
    Effect.gen(function* () {
      const durations = ["soon", "-1 second", -1, NaN, null]
      const wrong: Record<string, ReadonlyArray<unknown>> = {
        statementTimeout: durations,
        prefetch: [NaN, 0.5, Infinity, "many", null],
        "pool.min": [NaN, -1, 0.5, "many", null],
        "pool.max": [0, 1],
        "pool.acquireTimeout": durations,
        "pool.idleTimeout": durations,
        "pool.maxLifetime": durations,
        "pool.bypassWindow": durations
      }
      for (const [name, values] of Object.entries(wrong)) {
        const [option, inner] = name.split(".") as [string, string | undefined]
        for (const value of values) {
          const options = { [option]: inner === undefined ? value : { [inner]: value } }
          const seen = fake()
          const failure = yield* reasonOf(Layer.build(SqlClient.layerWith(options).pipe(Layer.provide(seen.layer))))
          assert.strictEqual(failure.reason, "InvalidParameter", `${name}: ${String(value)}`)
          assert.include(failure.message, name)
          assert.lengthOf(seen.sessions, 0)
        }
      }
    }).pipe(Effect.scoped)
  )

  it.effect("sends text and parameters, hands out objects, arrays and the raw answer", () =>
    using({ run: () => Effect.succeed(answer([{ a: 1 }])) }, (sql, seen) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* sql`select ${1} as ${sql("a")}`, [{ a: 1 }])
        assert.deepStrictEqual(yield* sql`select 1`.values, [[1]])
        assert.deepStrictEqual(yield* sql`select 1`.raw, [{ a: 1 }])
        assert.strictEqual(seen.requests[0]!.text, `select ? as "a"`)
        assert.deepStrictEqual(seen.requests[0]!.params, [1])
        assert.strictEqual(seen.requests[1]!.shape, "arrays")
      })
    )
  )

  it.effect("statements embed in statements, like any fragment", () =>
    using({}, (sql, seen) =>
      Effect.gen(function* () {
        const condition = sql`a = ${1}`
        assert.isTrue(Statement.isFragment(condition))
        yield* sql`select * from t where ${sql.and([condition, sql`b in ${sql.in([2, 3])}`])}`
        assert.strictEqual(seen.requests[0]!.text, "select * from t where (a = ? AND b in (?,?))")
        assert.deepStrictEqual(seen.requests[0]!.params, [1, 2, 3])
      })
    )
  )

  it.effect("two clients with different transforms do not share what Statement.make remembers", () =>
    using({ run: () => Effect.succeed(answer([{ a_b: 1 }])) }, (plain) =>
      using(
        { run: () => Effect.succeed(answer([{ a_b: 1 }])) },
        (upper) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* upper`select 1`, [{ A_B: 1 }])
            assert.deepStrictEqual(yield* upper.withoutTransforms()`select 1`, [{ a_b: 1 }])
            assert.deepStrictEqual(yield* plain`select 1`, [{ a_b: 1 }])
          }),
        { transformRows: Statement.defaultTransforms((name) => name.toUpperCase()).array }
      )
    )
  )

  describe("prefetch", () => {
    for (const [wished, used] of [
      [0, 1],
      [-5, 1],
      [512, 512],
      [70_000, 65_536]
    ] as const) {
      it.effect(`row 16: ${wished} becomes ${used}`, () =>
        using({}, (sql, seen) =>
          Effect.gen(function* () {
            yield* sql`select 1`.pipe(SqlClient.withPrefetch(wished)).stream.pipe(Stream.runDrain)
            assert.strictEqual(seen.requests[0]!.prefetch, used)
          })
        )
      )
    }

    it.effect("row 16: what is no whole number is refused, and nothing is sent", () =>
      using({}, (sql, seen) =>
        Effect.gen(function* () {
          for (const wrong of ["x" as unknown as number, 1.5, NaN]) {
            const stream = sql`select 1`.stream.pipe(SqlClient.withPrefetch(wrong), Stream.runDrain)
            assert.strictEqual((yield* reasonOf(stream)).reason, "InvalidParameter")
          }
          assert.lengthOf(seen.requests, 0)
        })
      )
    )

    for (const [client, transport, used] of [
      [10, 1_000, 10],
      [undefined, 1_000, 1_000],
      [undefined, undefined, 64]
    ] as const) {
      it.effect(
        `is the statement's, the context's, the client's (${client}), the transport's (${transport}), or 64`,
        () =>
          using(
            { prefetch: transport },
            (sql, seen) =>
              Effect.gen(function* () {
                const run = Stream.runDrain(sql`select 1`.stream)
                yield* run
                yield* run.pipe(SqlClient.withPrefetch(20))
                yield* Stream.runDrain(sql`select 1`.pipe(SqlClient.withPrefetch(30)).stream).pipe(
                  SqlClient.withPrefetch(20)
                )
                assert.deepStrictEqual(
                  seen.requests.map((request) => request.prefetch),
                  [used, 20, 30]
                )
              }),
            { prefetch: client }
          )
      )
    }

    it.effect("said twice counts as it was said first, for statements, streams and Effects alike", () =>
      using({}, (sql, seen) =>
        Effect.gen(function* () {
          const twice = <A extends Effect.Effect<unknown, unknown> | Stream.Stream<unknown, unknown>>(self: A) =>
            self.pipe(SqlClient.withPrefetch(30), SqlClient.withPrefetch(20)) as A
          const statement = sql`select 1`
          yield* twice(statement)
          yield* Stream.runDrain(twice(statement).stream)
          yield* Stream.runDrain(twice(statement.stream))
          yield* Stream.runDrain(twice(Stream.map(statement.stream, (row) => row)))
          yield* twice(Stream.runDrain(statement.stream))
          assert.deepStrictEqual(
            seen.requests.map((request) => request.prefetch),
            [30, 30, 30, 30, 30]
          )
        })
      )
    )
  })

  it.effect("what was put on a statement stays when a transformer makes another of it", () =>
    using({ run: (request) => (request.text === "never -- tagged" ? Effect.never : undefined) }, (sql, seen) =>
      Effect.gen(function* () {
        const statement = sql`select 1`.pipe(SqlClient.withPrefetch(7), SqlClient.withReadAhead(true))
        yield* statement
        yield* Stream.runDrain(statement.stream)
        for (const { prefetch, readAhead, text } of seen.requests) {
          assert.deepStrictEqual([text, prefetch, readAhead], ["select 1 -- tagged", 7, true])
        }
        assert.lengthOf(seen.requests, 2)
        const late = sql`never`.pipe(SqlClient.withDeadline("3 seconds"))
        const fiber = yield* Effect.fork(reasonOf(Effect.raceFirst(late, Effect.sleep("1 minute"))))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
      }).pipe(Statement.withTransformer((self, sql) => Effect.succeed(sql`${self} -- tagged`)))
    )
  )

  describe("deadlines", () => {
    it.effect("row 79: in the past, nothing is sent", () =>
      using({}, (sql, seen) =>
        Effect.gen(function* () {
          const late = yield* reasonOf(sql`select 1`.pipe(SqlClient.withDeadline(0)))
          assert.strictEqual(late.reason, "StatementTimeout")
          assert.strictEqual(late.outcome, "notExecuted")
          assert.lengthOf(seen.requests, 0)
        })
      )
    )

    it.effect("of a statement's stream begin when it is run, each time anew, and cover every page", () =>
      using({ pages: () => twoPages }, (sql) =>
        Effect.gen(function* () {
          const stream = sql`select n`.stream.pipe(
            SqlClient.withDeadline("9 seconds"),
            SqlClient.withDeadline("1 minute")
          )
          const idle = (millis: number) => Stream.runCount(Stream.tap(stream, () => TestClock.adjust(millis)))
          for (let run = 0; run < 2; run++) {
            yield* TestClock.adjust("1 hour")
            assert.strictEqual(yield* idle(8_999), 2)
          }
          assert.strictEqual((yield* reasonOf(idle(9_000))).reason, "StatementTimeout")
        })
      )
    )

    it.effect("cover a page that never comes, in a transaction and on a reserved session, too", () =>
      using({ pages: () => twoPages, pull: () => Effect.never }, (sql) =>
        Effect.gen(function* () {
          const all = Stream.runCount(sql`select n`.stream)
          const reserved = Effect.scoped(
            Effect.flatMap(sql.reserve, (connection) =>
              Stream.runCount(connection.executeStream("select n", [], undefined))
            )
          )
          for (const late of [all, sql.withTransaction(all), reserved]) {
            const fiber = yield* Effect.fork(reasonOf(late.pipe(SqlClient.withDeadline("3 seconds"))))
            yield* TestClock.adjust("2999 millis")
            assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
            yield* TestClock.adjust(1)
            assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
          }
        })
      )
    )

    it.effect("cover the statements of a reserved session", () =>
      using({ run: (request) => (request.text === "never" ? Effect.never : undefined) }, (sql) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.flatMap(sql.reserve, (connection) =>
            connection.execute("never", [], undefined)
          ).pipe(Effect.scoped, SqlClient.withDeadline("3 seconds"), reasonOf, Effect.fork)
          yield* TestClock.adjust("3 seconds")
          assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
        })
      )
    )

    for (const within of ["a deadline", "statementTimeout"]) {
      it.effect(`${within} covers waiting for a session and the statement together`, () =>
        using(
          { sharing: "exclusive", run: () => Effect.as(Effect.sleep("8 seconds"), answer()) },
          (sql) =>
            Effect.gen(function* () {
              yield* Effect.fork(sql`first`)
              yield* TestClock.adjust(1)
              const second =
                within === "a deadline" ? sql`second`.pipe(SqlClient.withDeadline("10 seconds")) : sql`second`
              const fiber = yield* Effect.fork(reasonOf(second))
              yield* TestClock.adjust("9 seconds")
              assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
              yield* TestClock.adjust("1 second")
              const late = yield* Fiber.join(fiber)
              assert.deepStrictEqual([late.reason, late.outcome], ["StatementTimeout", "unknown"])
            }),
          within === "a deadline" ? {} : { statementTimeout: "10 seconds" }
        )
      )
    }

    it.effect("are told to a session only where the clock is the machine's", () =>
      using(
        { keepsContract: true, run: (request) => (request.text === "never" ? Effect.never : undefined) },
        (sql, seen) =>
          Effect.gen(function* () {
            const soon = SqlClient.withDeadline("3 seconds")
            yield* TestServices.provideLive(Effect.asVoid(sql`select 1`).pipe(soon))
            assert.closeTo(seen.requests[0]!.deadline - performance.now(), 3_000, 2_900)
            const own = (text: string) =>
              sql.onSession((session, request) => session.run({ ...request, text, params: [] }), [text])
            const never = Effect.asVoid(sql.unsafe("never"))
            for (const late of [never, sql.withTransaction(never), Effect.asVoid(own("never"))]) {
              const fiber = yield* Effect.fork(reasonOf(soon(late)))
              yield* TestClock.adjust("3 seconds")
              assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
            }
            assert.isTrue(seen.requests.slice(1).every(({ deadline }) => deadline === Infinity))
          })
      )
    )

    it.effect("only tighten, and are absolute once their scope began", () =>
      using({}, (sql) =>
        Effect.gen(function* () {
          const now = yield* Effect.map(
            Effect.clockWith((clock) => clock.currentTimeNanos),
            (nanos) => Number(nanos) / 1e6
          )
          const inner = yield* SqlClient.Deadline.pipe(
            SqlClient.withDeadline("10 seconds"),
            SqlClient.withDeadline("2 seconds")
          )
          assert.strictEqual(inner - now, 2_000)
          assert.strictEqual(yield* SqlClient.Deadline, Infinity)
          assert.deepStrictEqual(yield* sql`select 1`, [])
        })
      )
    )

    it.effect("row 97: a session that never answers is timed out by the fiber's clock", () =>
      using({ run: () => Effect.never }, (sql) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.fork(reasonOf(sql`select 1`.pipe(SqlClient.withDeadline("3 seconds"))))
          yield* TestClock.adjust("2999 millis")
          assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
          yield* TestClock.adjust(1)
          assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
        })
      )
    )

    it.effect("statementTimeout bounds every statement", () =>
      using(
        { run: () => Effect.never },
        (sql) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.fork(reasonOf(sql`select 1`))
            yield* TestClock.adjust("1 seconds")
            assert.strictEqual((yield* Fiber.join(fiber)).reason, "StatementTimeout")
          }),
        { statementTimeout: "1 seconds" }
      )
    )

    it.effect("cover the rows that `many` waits for", () =>
      using({}, (sql, seen) =>
        Effect.gen(function* () {
          const rows = Stream.concat(Stream.make([1]), Stream.never)
          const waiter = yield* Effect.fork(
            reasonOf(sql.many("insert into t values (?)", rows).pipe(SqlClient.withDeadline("1 seconds")))
          )
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual((yield* Fiber.join(waiter)).reason, "StatementTimeout")
          assert.deepStrictEqual(seen.sessions[0]!.texts, [])
        })
      )
    )

    it.effect("cover waiting for a turn", () =>
      using({}, (sql, seen) =>
        Effect.gen(function* () {
          const held = yield* Deferred.make<void>()
          const holder = yield* Effect.fork(sql.withTransaction(Deferred.await(held)))
          yield* TestClock.adjust(1)
          const waiter = yield* Effect.fork(reasonOf(sql`select 1`.pipe(SqlClient.withDeadline("1 seconds"))))
          yield* Effect.yieldNow()
          yield* TestClock.adjust("2 seconds")
          const late = yield* Fiber.join(waiter)
          assert.strictEqual(late.reason, "StatementTimeout")
          assert.strictEqual(late.outcome, "notExecuted")
          assert.notInclude(seen.sessions[0]!.texts, "select 1")
          yield* Deferred.succeed(held, undefined)
          yield* Fiber.join(holder)
        })
      )
    )
  })

  describe("interruption", () => {
    it.effect("an interrupted pull leaves its cursor poisoned: what follows never passes for the next page", () =>
      using(
        {
          pages: () => [page(1, false), page(2, false), page(3, true)],
          pull: (number) => (number === 1 ? Effect.delay(Effect.succeed(page(2, false)), "1 second") : undefined)
        },
        (sql) =>
          Effect.gen(function* () {
            const pull = yield* Stream.toPull(sql`select n`.stream)
            assert.strictEqual(Chunk.size(yield* pull), 1)
            const stopped = yield* Effect.fork(Effect.timeoutOption(pull, "50 millis"))
            yield* TestClock.adjust("50 millis")
            assert.isTrue(Option.isNone(yield* Fiber.join(stopped)))
            const after = SqlFailure.from(Option.getOrThrow(yield* Effect.flip(pull)))
            assert.strictEqual(after.reason, "Interrupted")
          }).pipe(Effect.scoped)
      )
    )

    it.effect("row 97: a session that never becomes quiet is retired after the grace period, and replaced", () => {
      let first = true
      return using(
        {
          run: (request) => {
            if (request.text !== "stuck" || !first) return undefined
            first = false
            return Effect.uninterruptible(Effect.never)
          }
        },
        (sql, seen) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.fork(sql.unsafe("stuck"))
            yield* TestClock.adjust(1)
            const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
            yield* TestClock.adjust("1 seconds")
            assert.isTrue(Option.isNone(yield* Fiber.poll(interrupting)))
            yield* TestClock.adjust("1 seconds")
            const exit = yield* Fiber.join(interrupting)
            assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
            yield* sql.unsafe("next")
            assert.lengthOf(seen.sessions, 2)
            assert.isTrue(seen.sessions[0]!.closed)
            assert.deepStrictEqual(seen.sessions[1]!.texts, ["next"])
          })
      )
    })

    it.effect("row 97: answers that come twice or late reach nobody", () =>
      using(
        {
          run: (request) =>
            request.text === "twice"
              ? Effect.async((resume) => {
                  resume(Effect.succeed(answer([{ n: 1 }])))
                  resume(Effect.succeed(answer([{ n: 2 }])))
                })
              : undefined
        },
        (sql) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* sql.unsafe("twice"), [{ n: 1 }])
            assert.deepStrictEqual(yield* sql.unsafe("other"), [])
          })
      )
    )
  })

  it.effect("row 98: a session whose close dies is logged, and the close succeeds", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ cause, message }) => void lines.push(`${String(message)} ${Cause.pretty(cause)}`))
    return using({ close: Effect.dieMessage("close went wrong") }, (sql) => sql`select 1`).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Effect.map((rows) => {
        assert.deepStrictEqual(rows, [])
        assert.include(lines.join("\n"), "close went wrong")
      })
    )
  })

  describe("transactions", () => {
    it.effect("a begin that dies gives the session back", () => {
      const seen = fake()
      const layer = Layer.effect(
        SqlTransport.SqlTransport,
        Effect.map(SqlTransport.SqlTransport, (transport) => ({
          ...transport,
          transactions: {
            ...transport.transactions,
            begin: (session: SqlTransport.Session, options: SqlTransport.BeginOptions) => {
              if (options.isolation !== undefined) {
                throw new Error("no such isolation")
              }
              return transport.transactions.begin(session, options)
            }
          }
        }))
      )
      return Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const transaction = sql.transaction({ isolation: "serializable" })
        for (let i = 0; i < 3; i++) {
          const exit = yield* Effect.exit(transaction(sql`select 1`))
          assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        }
        yield* sql.withTransaction(sql`select 2`)
      }).pipe(Effect.provide(SqlClient.layer), Effect.provide(layer), Effect.provide(seen.layer))
    })

    it.effect("a failed begin is a typed failure, no rollback is sent, the session goes on", () =>
      using({ run: ({ text }) => (text === "BEGIN" ? Effect.fail(failure("LockTimeout")) : undefined) }, (sql, seen) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* reasonOf(sql.withTransaction(sql`select 1`))).reason, "LockTimeout")
          assert.deepStrictEqual(seen.sessions[0]!.texts, ["BEGIN"])
          yield* sql`select 2`
          assert.lengthOf(seen.sessions, 1)
        })
      )
    )

    it.effect("a failed commit is a typed failure, followed by a rollback", () =>
      using({ run: ({ text }) => (text === "COMMIT" ? Effect.fail(failure("LockTimeout")) : undefined) }, (sql, seen) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* reasonOf(sql.withTransaction(sql`select 1`))).reason, "LockTimeout")
          assert.deepStrictEqual(seen.sessions[0]!.texts, ["BEGIN", "select 1", "COMMIT", "ROLLBACK"])
        })
      )
    )

    it.effect("a failed rollback retires the session; the body's own failure is what the caller gets", () =>
      using(
        { run: ({ text }) => (text === "ROLLBACK" ? Effect.fail(failure("SessionLost")) : undefined) },
        (sql, seen) =>
          Effect.gen(function* () {
            assert.strictEqual(yield* Effect.flip(sql.withTransaction(Effect.fail("mine"))), "mine")
            yield* sql`select 1`
            assert.lengthOf(seen.sessions, 2)
            assert.deepStrictEqual(seen.sessions[1]!.texts, ["select 1"])
          })
      )
    )

    it.effect("retry runs the whole transaction again, on what a retry can mend only", () => {
      let tries = 0
      return using({}, (sql) =>
        Effect.gen(function* () {
          const flaky = Effect.suspend(() =>
            ++tries < 3 ? Effect.fail(failure("Serialization")) : Effect.succeed(tries)
          )
          assert.strictEqual(yield* sql.transaction({ retry: SqlFailure.retryPolicy })(flaky).pipe(whileTimePasses), 3)
          tries = 0
          const broken = Effect.suspend(() => Effect.fail(failure(++tries > 0 ? "Constraint" : "Unknown")))
          yield* Effect.exit(sql.transaction({ retry: SqlFailure.retryPolicy })(broken))
          assert.strictEqual(tries, 1)
        })
      )
    })

    it.effect("afterCommit runs after the outermost commit, not after a rollback, at once outside", () =>
      using({}, (sql, seen) =>
        Effect.gen(function* () {
          const note = (text: string) => sql.afterCommit(Effect.sync(() => seen.sessions[0]!.texts.push(text)))
          yield* note("outside")
          yield* sql.withTransaction(
            Effect.gen(function* () {
              yield* sql.withTransaction(note("inner"))
              yield* Effect.exit(sql.withTransaction(Effect.zipRight(note("undone"), Effect.fail("x"))))
              yield* sql`select 1`
            })
          )
          yield* Effect.exit(sql.withTransaction(Effect.zipRight(note("rolled back"), Effect.fail("x"))))
          const texts = seen.sessions[0]!.texts
          assert.isBelow(texts.indexOf("COMMIT"), texts.indexOf("inner"))
          assert.strictEqual(texts[0], "outside")
          assert.notInclude(texts, "undone")
          assert.notInclude(texts, "rolled back")
        })
      )
    )
  })

  it.effect("many inside a transaction is a savepoint, unless the transport's batches are whole by themselves", () => {
    const texts = (atomicBatches: boolean | undefined) => {
      const { layer, sessions } = fake()
      const transport = Layer.project(layer, SqlTransport.SqlTransport, SqlTransport.SqlTransport, (transport) => ({
        ...transport,
        atomicBatches
      }))
      return Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.zipRight(sql.many("insert", [[0]]), sql.withTransaction(sql.many("insert", [[1], [2]])))
      ).pipe(
        Effect.provide(Layer.provide(SqlClient.layer, transport)),
        Effect.map(() => sessions[0]!.texts)
      )
    }
    return Effect.gen(function* () {
      const wrapped = ["insert", "BEGIN", "SAVEPOINT sluice_1", "insert", "RELEASE sluice_1", "COMMIT"]
      assert.deepStrictEqual(yield* texts(undefined), wrapped)
      assert.deepStrictEqual(yield* texts(false), wrapped)
      assert.deepStrictEqual(yield* texts(true), ["insert", "BEGIN", "insert", "COMMIT"])
    })
  })

  for (const how of ["fails", "answers with a failure"]) {
    it.effect(`many that ${how} of which nobody knows what it did: nothing, once its transaction was undone`, () => {
      const error = SqlFailure.make({ reason: "StatementTimeout", message: "late", outcome: "unknown" })
      const { layer } = fake()
      const batch = how === "fails" ? Effect.fail(error) : Effect.succeed(answer([], { error, inTransaction: true }))
      const transport = Layer.project(layer, SqlTransport.SqlTransport, SqlTransport.SqlTransport, (transport) => ({
        ...transport,
        atomicBatches: true,
        connect: (profile: SqlTransport.Profile) =>
          Effect.map(transport.connect(profile), (session) => ({ ...session, batch: () => batch }))
      }))
      return Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const many = sql.many("insert", [[1], [2]])
        const alone = SqlFailure.from(yield* Effect.flip(many))
        const undone = SqlFailure.from(yield* Effect.flip(sql.withTransaction(many)))
        assert.deepStrictEqual([alone.outcome, undone.outcome], ["unknown", "notExecuted"])
      }).pipe(Effect.provide(Layer.provide(SqlClient.layer, transport)))
    })
  }

  it.effect("a failure of afterCommit, and a savepoint that cannot be undone, are told of as warnings", () => {
    const logged: Array<string> = []
    const Captured = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ cause, logLevel, message }) => {
        logged.push(`${logLevel.label} ${String(message)}: ${String(Cause.squash(cause))}`)
      })
    )
    return using(
      { run: ({ text }) => (text.startsWith("ROLLBACK TO") ? Effect.fail(failure("Unknown", "no way")) : undefined) },
      (sql) =>
        Effect.gen(function* () {
          yield* sql.afterCommit(Effect.fail("outside"))
          yield* sql.withTransaction(sql.afterCommit(Effect.fail("the mail was not sent")))
          yield* Effect.exit(sql.withTransaction(sql.withTransaction(Effect.fail("undo"))))
          assert.lengthOf(logged, 3)
          assert.match(logged[0]!, /^WARN .*after the commit.*outside/)
          assert.match(logged[1]!, /^WARN .*after the commit.*the mail was not sent/)
          assert.match(logged[2]!, /^WARN .*savepoint.*no way/)
        })
    ).pipe(Effect.provide(Captured))
  })

  it.effect("a page may carry rows and the error after them: the stream emits the rows, then fails", () =>
    using(
      {
        pages: () => [
          { ...answer([{ n: 1 }]), done: false },
          { ...answer([{ n: 2 }]), done: false, error: failure("Constraint") }
        ]
      },
      (sql, seen) =>
        Effect.gen(function* () {
          const rows: Array<unknown> = []
          const failed = yield* reasonOf(
            Stream.runForEach(sql`select 1`.stream, (row) => Effect.sync(() => rows.push(row)))
          )
          assert.deepStrictEqual(rows, [{ n: 1 }, { n: 2 }])
          assert.strictEqual(failed.reason, "Constraint")
          assert.strictEqual(seen.sessions[0]!.texts.at(-1), "close cursor")
        })
    )
  )

  it.effect("a stream runs afresh each time", () =>
    using({ pages: () => [answer([{ n: 1 }])] }, (sql, seen) =>
      Effect.gen(function* () {
        const { stream } = sql`select 1`
        assert.lengthOf(Chunk.toReadonlyArray(yield* Stream.runCollect(stream)), 1)
        assert.lengthOf(Chunk.toReadonlyArray(yield* Stream.runCollect(stream)), 1)
        assert.deepStrictEqual(seen.sessions[0]!.texts, ["select 1", "close cursor", "select 1", "close cursor"])
      })
    )
  )

  it.effect("a real tracer gets one span per statement, with the text and without parameters", () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        const span: Tracer.Span = {
          _tag: "Span",
          name,
          spanId: String(spans.length),
          traceId: "trace",
          parent,
          context,
          links,
          kind,
          sampled: true,
          attributes,
          status: { _tag: "Started", startTime },
          attribute: (key, value) => void attributes.set(key, value),
          event: () => {},
          addLinks: () => {},
          end(endTime, exit) {
            ;(this as { status: Tracer.SpanStatus }).status = { _tag: "Ended", startTime, endTime, exit }
          }
        }
        spans.push(span)
        return span
      },
      context: (f) => f()
    })
    return using({}, (sql) => sql`select ${"secret"}`.pipe(Effect.withSpan("outer"), Effect.withTracer(tracer))).pipe(
      Effect.map(() => {
        const span = spans.find(({ name }) => name === "SELECT")!
        assert.strictEqual(
          Option.getOrThrow(span.parent),
          spans.find(({ name }) => name === "outer")
        )
        assert.strictEqual(span.status._tag, "Ended")
        assert.strictEqual(span.attributes.get("db.operation.name"), "SELECT")
        assert.strictEqual(span.attributes.get("db.query.text"), "select ?")
        assert.strictEqual(span.attributes.get("db.system.name"), "fake")
        assert.notInclude(JSON.stringify([...span.attributes]), "secret")
      })
    )
  })
})

/** Lets the clock run while the effect does: retries wait on it. */
const whileTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    for (let i = 0; i < 20; i++) {
      yield* TestClock.adjust("1 seconds")
    }
    return yield* Fiber.join(fiber)
  })
