import { assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Cause, Deferred, Effect, Exit, Fiber, Schedule, Stream } from "effect"
import { onEngines, reasonOf, spinFor, tempFile } from "../support.js"
import { assertIdle, endless, open, random, slowInsert, timed } from "./stopping.js"

const numbers = (sql: SqliteClient.SqliteClient) =>
  Effect.map(sql<{ n: number }>`select n from t order by n`, (rows) => rows.map(({ n }) => n))

onEngines("transactions", (engine) => {
  const memory = Effect.tap(open(engine), (sql) => sql`create table t (n)`)
  const add = (sql: SqliteClient.SqliteClient, n: number) => sql`insert into t values (${n})`

  it.scopedLive("row 38: commit, and rollback on failure, defect and interruption", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* sql.withTransaction(add(sql, 1))
      assert.strictEqual(
        yield* sql.withTransaction(Effect.zipRight(add(sql, 2), Effect.fail("mine"))).pipe(Effect.flip),
        "mine"
      )
      const died = yield* Effect.exit(sql.withTransaction(Effect.zipRight(add(sql, 3), Effect.die("bug"))))
      assert.isTrue(Exit.isFailure(died) && Cause.isDie(died.cause))
      const fiber = yield* Effect.fork(sql.withTransaction(Effect.zipRight(add(sql, 4), Effect.never)))
      yield* Effect.sleep(20)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(yield* numbers(sql), [1])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 39: a nested one fails, the outer goes on", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* add(sql, 1)
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(add(sql, 2), Effect.fail("inner"))))
          yield* sql.withTransaction(Effect.zipRight(add(sql, 3), sql.withTransaction(add(sql, 4))))
        })
      )
      assert.deepStrictEqual(yield* numbers(sql), [1, 3, 4])
    })
  )

  it.scopedLive("row 40: other fibers wait until the transaction has ended", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      const inside = yield* Deferred.make<void>()
      const order: Array<string> = []
      const holder = yield* Effect.fork(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* add(sql, 1)
            yield* Deferred.succeed(inside, void 0)
            yield* Effect.sleep(50)
            yield* add(sql, 2)
            order.push("transaction")
            return yield* Effect.fail("undo")
          })
        )
      )
      yield* Deferred.await(inside)
      yield* Effect.forEach(
        [10, 11, 12],
        (n) => Effect.tap(add(sql, n), () => Effect.sync(() => order.push("other"))),
        {
          concurrency: "unbounded"
        }
      )
      yield* Fiber.await(holder)
      assert.deepStrictEqual(order, ["transaction", "other", "other", "other"])
      assert.deepStrictEqual(yield* numbers(sql), [10, 11, 12])
    })
  )

  it.scopedLive("row 41: an interrupted write takes its transaction with it", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, grace: 10_000 })
      yield* sql`create table t (n)`
      const failure = yield* reasonOf(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* add(sql, 1)
            yield* Effect.timeoutOption(sql.unsafe(slowInsert(engine, "t")), 50)
            if (engine === "native") {
              assert.strictEqual((yield* reasonOf(add(sql, 2))).reason, "TransactionGone")
              assert.strictEqual((yield* reasonOf(sql.withTransaction(add(sql, 3)))).reason, "TransactionGone")
            } else {
              // The portable engine cannot stop a write: it has run to its end, and the transaction is there.
              return yield* Effect.fail(SqlFailure.make({ reason: "TransactionGone", message: "undo" }))
            }
          })
        )
      )
      assert.strictEqual(failure.reason, "TransactionGone")
      assert.deepStrictEqual(yield* numbers(sql), [])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 41: so does one that a deadline stops", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, grace: 10_000 })
      yield* sql`create table t (n)`
      if (engine === "native") {
        const failure = yield* reasonOf(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* add(sql, 1)
              const late = yield* reasonOf(SqlClient.withDeadline(50)(sql.unsafe(slowInsert(engine, "t"))))
              assert.strictEqual(late.reason, "StatementTimeout")
            })
          )
        )
        assert.strictEqual(failure.reason, "TransactionGone")
        assert.deepStrictEqual(yield* numbers(sql), [])
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 42: an interrupted read does not", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* add(sql, 1)
          yield* Effect.timeoutOption(sql.unsafe(endless(engine)), 50)
          yield* add(sql, 2)
        })
      )
      assert.deepStrictEqual(yield* numbers(sql), [1, 2])
    })
  )

  it.scopedLive("row 43: a user's COMMIT or ROLLBACK inside is a typed failure at the end", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      for (const [i, text] of ["commit", "rollback"].entries()) {
        const failure = yield* reasonOf(sql.withTransaction(Effect.zipRight(add(sql, i), sql.unsafe(text))))
        assert.strictEqual(failure.reason, "TransactionGone")
        const after = yield* reasonOf(
          sql.withTransaction(Effect.zipRight(sql.unsafe(text), Effect.flatMap(reasonOf(add(sql, 9)), Effect.fail)))
        )
        assert.strictEqual(after.reason, "TransactionGone")
      }
      assert.deepStrictEqual(yield* numbers(sql), [0])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 43: nor can a script hide it by a BEGIN; what follows the end does not run", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      for (const [i, text] of ["commit; begin", "rollback; begin", "end; begin; insert into t values (99)"].entries()) {
        for (const script of [
          Effect.asVoid(sql.unsafe(text)),
          Stream.runDrain(sql.unsafe(text).stream),
          sql.withTransaction(sql.unsafe(text))
        ]) {
          const failure = yield* reasonOf(sql.withTransaction(Effect.zipRight(add(sql, i), script)))
          assert.strictEqual(failure.reason, "TransactionGone", text)
          // Whoever handles it hears of it at the end all the same.
          const ended = yield* reasonOf(sql.withTransaction(Effect.zipRight(add(sql, i), Effect.ignore(script))))
          assert.strictEqual(ended.reason, "TransactionGone", text)
          assert.strictEqual(ended.outcome, "unknown", text)
        }
      }
      assert.notInclude(yield* numbers(sql), 1)
      assert.notInclude(yield* numbers(sql), 99)
      // A holder of a session may.
      yield* Effect.scoped(
        Effect.flatMap(sql.reserve, (own) => own.executeRaw("begin; insert into t values (7); commit; begin", []))
      )
      assert.include(yield* numbers(sql), 7)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("only the known words of mode and isolation become a part of BEGIN", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      for (const options of [{ mode: "deferred; drop table t; begin" }, { mode: "DEFERRED" }, { isolation: "chaos" }]) {
        const failure = yield* reasonOf(sql.transaction(options as never)(add(sql, 1)))
        assert.strictEqual(failure.reason, "InvalidParameter")
        assert.match(failure.message, /one of/)
      }
      assert.deepStrictEqual(yield* numbers(sql), [])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 44: a commit that fails is undone and typed", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const config = { filename, disableWAL: true, busyTimeout: 100 }
      const sql = yield* open(engine, config)
      yield* sql`create table t (n)`
      yield* sql`create table parent (id integer primary key)`
      yield* sql`create table child (id references parent deferrable initially deferred)`
      const violated = yield* reasonOf(
        sql.withTransaction(Effect.zipRight(add(sql, 1), sql`insert into child values (7)`))
      )
      assert.strictEqual(violated.reason, "Constraint")
      // Without WAL a reader keeps a writer from committing.
      const reader = yield* open(engine, config)
      yield* reader.transaction({ mode: "deferred", readOnly: true })(
        Effect.gen(function* () {
          yield* reader`select * from t`
          const busy = yield* reasonOf(sql.withTransaction(add(sql, 2)))
          assert.strictEqual(busy.reason, "LockTimeout")
        })
      )
      assert.deepStrictEqual(yield* numbers(sql), [])
      yield* sql.withTransaction(add(sql, 3))
      assert.deepStrictEqual(yield* numbers(sql), [3])
    })
  )

  it.scopedLive("row 45: an interrupt while waiting for the session leaks nothing", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      const holder = yield* Effect.fork(sql.withTransaction(Effect.sleep(100)))
      yield* Effect.sleep(10)
      const waiting = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) =>
          Effect.fork(
            i % 2 === 0 ? sql.withTransaction(add(sql, i)) : Effect.scoped(Effect.zipRight(sql.reserve, Effect.void))
          )
      )
      yield* Effect.sleep(10)
      yield* Fiber.interruptAll(waiting)
      yield* Fiber.join(holder)
      assert.deepStrictEqual(yield* numbers(sql), [])
      yield* assertIdle(sql)
    })
  )

  for (const seed of [1, 2]) {
    it.scopedLive(`interruption at random points: acquiring, beginning, committing, nested (seed ${seed})`, () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile, readers: 1, busyTimeout: 10_000 })
        yield* sql`create table t (n integer primary key)`
        const next = random(seed)
        const told = new Map<number, "committed" | "failed" | "unknown">()
        const rounds = engine === "native" ? 500 : 200
        const work = (n: number): Effect.Effect<unknown, unknown> => {
          const insert = (k: number) => sql`insert into t values (${n * 10 + k})`
          const body = Effect.gen(function* () {
            yield* insert(0)
            yield* Effect.exit(sql.withTransaction(Effect.zipRight(insert(1), Effect.fail("undo"))))
            yield* sql.withTransaction(Effect.all([insert(2), sql.withTransaction(insert(3))], { concurrency: 2 }))
          })
          return n % 7 === 0
            ? SqlClient.withDeadline(1 + (n % 5))(sql.transaction()(body))
            : n % 5 === 0
              ? sql.transaction({ readOnly: true })(sql`select count(*) from t`)
              : sql.withTransaction(body)
        }
        for (let n = 0; n < rounds; n++) {
          const ops = next() < 0.5 ? 12 + Math.floor(next() * 20) : 2_048
          const fibers = yield* Effect.forEach([n * 2, n * 2 + 1], (n) =>
            Effect.map(Effect.fork(Effect.withMaxOpsBeforeYield(work(n), ops)), (fiber) => [n, fiber] as const)
          )
          for (let turns = Math.floor(next() * 12); turns > 0; turns--) {
            yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          }
          for (const [n, fiber] of fibers) {
            const exit = next() < 0.8 ? yield* Fiber.interrupt(fiber) : yield* Fiber.await(fiber)
            if (n % 7 !== 0 && n % 5 === 0) {
              continue
            }
            told.set(n, Exit.isSuccess(exit) ? "committed" : Exit.isInterrupted(exit) ? "unknown" : "failed")
            if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) {
              const { message, reason, statement } = SqlFailure.from(Cause.squash(exit.cause))
              assert.include(["StatementTimeout", "TransactionGone"], reason, `${n}: ${message} (${statement})`)
            }
          }
        }
        const found = new Set((yield* sql<{ n: number }>`select n from t`).map(({ n }) => n))
        for (const [n, state] of told) {
          const there = [0, 1, 2, 3].map((k) => found.has(n * 10 + k))
          assert.include(["true,false,true,true", "false,false,false,false"], there.join(), `transaction ${n}`)
          if (state !== "unknown") {
            assert.strictEqual(there[0], state === "committed", `transaction ${n} was told ${state}`)
          }
        }
        yield* assertIdle(sql)
        const reserved = yield* Effect.scoped(Effect.map(sql.session, (session) => session.inTransaction()))
        assert.isFalse(reserved)
        for (const { lost, retired } of yield* sql.statistics) {
          assert.deepStrictEqual([lost, retired], [0, 0])
        }
      })
    )
  }

  it.scopedLive("sibling savepoints are serialised, and an outer statement waits for an inner level", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const inner = (n: number) =>
            sql.withTransaction(
              Effect.zipRight(
                add(sql, n),
                Effect.zipRight(Effect.sleep(10), n % 2 === 0 ? Effect.fail(n) : Effect.void)
              )
            )
          const siblings = yield* Effect.fork(
            Effect.forEach([1, 2, 3, 4], (n) => Effect.ignore(inner(n)), { concurrency: "unbounded" })
          )
          yield* Effect.sleep(5)
          yield* add(sql, 10)
          yield* Fiber.join(siblings)
        })
      )
      assert.deepStrictEqual(yield* numbers(sql), [1, 3, 10])
    })
  )

  it.scopedLive("a fiber that outlives its transaction gets TransactionGone", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      const ended = yield* Deferred.make<void>()
      const daemon = yield* sql.withTransaction(
        Effect.zipRight(add(sql, 1), Effect.forkDaemon(Effect.zipRight(Deferred.await(ended), reasonOf(add(sql, 2)))))
      )
      yield* Deferred.succeed(ended, void 0)
      assert.strictEqual((yield* Fiber.join(daemon)).reason, "TransactionGone")
      const inner = yield* sql.withTransaction(
        Effect.forkDaemon(reasonOf(Effect.delay(sql.withTransaction(add(sql, 3)), 30)))
      )
      assert.strictEqual((yield* Fiber.join(inner)).reason, "TransactionGone")
      assert.deepStrictEqual(yield* numbers(sql), [1])
    })
  )

  it.scopedLive("a statement that leaves a transaction open is rolled back and Unsupported", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      for (const text of [
        "begin",
        "begin immediate; insert into t values (1)",
        "savepoint a; insert into t values (1)"
      ]) {
        const failure = yield* reasonOf(sql.unsafe(text))
        assert.strictEqual(failure.reason, "Unsupported")
        assert.include(failure.message, "sql.transaction")
        assert.include(failure.message, "sql.reserve")
      }
      yield* sql.unsafe("begin; insert into t values (5); commit")
      assert.deepStrictEqual(yield* numbers(sql), [5])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a reserved session left in a transaction is rolled back when it is given back", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* sql.reserve
          yield* session.executeRaw("begin", [])
          yield* session.executeRaw("insert into t values (1)", [])
        })
      )
      assert.deepStrictEqual(yield* numbers(sql), [])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("reserve inside a transaction is its session", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* Effect.ignore(
        sql.withTransaction(
          Effect.scoped(
            Effect.gen(function* () {
              const session = yield* sql.reserve
              yield* session.executeRaw("insert into t values (1)", [])
              assert.deepStrictEqual(yield* numbers(sql), [1])
              return yield* Effect.fail("undo")
            })
          )
        )
      )
      assert.deepStrictEqual(yield* numbers(sql), [])
    })
  )

  it.scopedLive("readOnly refuses to write, and the next one can", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      for (let i = 0; i < 20; i++) {
        const failure = yield* reasonOf(sql.transaction({ readOnly: true })(add(sql, i)))
        assert.strictEqual(failure.reason, "Authorization")
        yield* i % 2 === 0 ? sql.withTransaction(add(sql, i)) : add(sql, i)
      }
      assert.strictEqual((yield* numbers(sql)).length, 20)
      assert.strictEqual(
        (yield* reasonOf(sql.transaction({ readOnly: true })(sql.transaction({ readOnly: false })(Effect.void))))
          .reason,
        "Unsupported"
      )
      assert.strictEqual(
        (yield* reasonOf(sql.withTransaction(sql.transaction({ isolation: "serializable" })(Effect.void)))).reason,
        "Unsupported"
      )
    })
  )

  it.scopedLive("readOnly transactions beside neighbours that write between any two steps", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* Effect.all(
        [
          Effect.forEach(Array.from({ length: 150 }), () => sql.transaction({ readOnly: true })(sql`select 1`)),
          Effect.forEach(
            Array.from({ length: 300 }, (_, i) => i),
            (i) => Effect.withMaxOpsBeforeYield(add(sql, i), 12 + (i % 9))
          )
        ],
        { concurrency: 2 }
      )
      assert.strictEqual((yield* numbers(sql)).length, 300)
    })
  )

  it.scopedLive("retry runs the whole transaction again when a lock was lost", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open(engine, { filename, busyTimeout: 20 })
      yield* sql`create table t (n)`
      const other = yield* open(engine, { filename })
      const holder = yield* Effect.fork(other.withTransaction(Effect.zipRight(add(other, 1), Effect.sleep(200))))
      yield* Effect.sleep(30)
      let runs = 0
      const body = Effect.zipRight(
        Effect.sync(() => runs++),
        add(sql, 2)
      )
      assert.strictEqual((yield* reasonOf(sql.transaction()(body))).reason, "LockTimeout")
      yield* sql.transaction({ retry: Schedule.spaced(20) })(body)
      yield* Fiber.join(holder)
      assert.strictEqual(runs, 1)
      assert.deepStrictEqual(yield* numbers(sql), [1, 2])
      let tries = 0
      const failing = Effect.suspend(() => Effect.fail(`mine ${++tries}`))
      assert.strictEqual(yield* Effect.flip(sql.transaction({ retry: Schedule.recurs(5) })(failing)), "mine 1")
    })
  )

  it.scopedLive(
    "afterCommit: after the commit, never after a rollback, at once outside, with statements of its own",
    () =>
      Effect.gen(function* () {
        const sql = yield* memory
        const order: Array<string> = []
        const note = (text: string) => Effect.sync(() => void order.push(text))
        yield* sql.afterCommit(note("outside"))
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql.afterCommit(note("never")), Effect.fail("undo"))))
        yield* Effect.timeout(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql.afterCommit(Effect.zipRight(add(sql, 2), note("committed")))
              yield* sql.afterCommit(sql.withTransaction(add(sql, 3)))
              yield* Effect.ignore(
                sql.withTransaction(Effect.zipRight(sql.afterCommit(note("undone")), Effect.fail("undo")))
              )
              yield* add(sql, 1)
              yield* note("body")
            })
          ),
          5_000
        )
        assert.deepStrictEqual(order, ["outside", "body", "committed"])
        assert.deepStrictEqual(yield* numbers(sql), [1, 2, 3])
      })
  )

  it.scopedLive(
    "another process's lock: LockTimeout after the busy timeout; the wait stops at once, and at a deadline",
    () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        const other = yield* open(engine, { filename })
        yield* other`create table t (n)`
        const sql = yield* open(engine, { filename, busyTimeout: 300 })
        const patient = yield* open(engine, { filename, busyTimeout: 30_000 })
        yield* other.withTransaction(
          Effect.gen(function* () {
            yield* add(other, 1)
            const [took, failure] = yield* timed(reasonOf(add(sql, 2)))
            assert.strictEqual(failure.reason, "LockTimeout")
            assert.isTrue(failure.isRetryable)
            assert.isAtLeast(took, 250)
            assert.isBelow(took, 10_000)
            const waiting = yield* Effect.fork(add(patient, 3))
            yield* Effect.sleep(30)
            const [stopped] = yield* timed(Fiber.interrupt(waiting))
            assert.isBelow(stopped, 5_000)
            const beginning = yield* Effect.fork(patient.withTransaction(add(patient, 3)))
            yield* Effect.sleep(30)
            const [ended] = yield* timed(Fiber.interrupt(beginning))
            assert.isBelow(ended, 5_000)
            for (const late of [add(patient, 4), patient.withTransaction(add(patient, 5))]) {
              const [took, failure] = yield* timed(reasonOf(SqlClient.withDeadline(50)(Effect.asVoid(late))))
              assert.strictEqual(failure.reason, "StatementTimeout")
              assert.isBelow(took, 5_000)
            }
          }).pipe((effect) => Effect.provideService(effect, SqlClient.Prefetch, 64))
        )
        yield* add(patient, 6)
        assert.deepStrictEqual(yield* numbers(sql), [1, 6])
        yield* assertIdle(patient)
      })
  )

  it.scopedLive("an open that waits for a lock is interrupted at once", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const config = { filename, disableWAL: true }
      const other = yield* open(engine, config)
      yield* other`create table t (n)`
      yield* other.transaction({ mode: "exclusive" })(
        Effect.gen(function* () {
          yield* add(other, 1)
          const opening = yield* Effect.fork(Effect.scoped(open(engine, { filename, busyTimeout: 20_000 })))
          yield* Effect.sleep(400)
          assert.strictEqual((yield* Fiber.poll(opening))._tag, "None")
          const [took] = yield* timed(Fiber.interrupt(opening))
          assert.isBelow(took, 5_000)
        })
      )
    })
  )

  it.scopedLive("a client that only reads", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const writer = yield* open(engine, { filename })
      yield* writer`create table t (n)`
      yield* add(writer, 1)
      const sql = yield* open(engine, { filename, readonly: true })
      assert.deepStrictEqual(yield* sql.withTransaction(numbers(sql)), [1])
      assert.strictEqual((yield* reasonOf(add(sql, 2))).reason, "Authorization")
      assert.strictEqual((yield* reasonOf(sql.withTransaction(add(sql, 2)))).reason, "Authorization")
      assert.deepStrictEqual(yield* numbers(sql), [1])
    })
  )

  it.scopedLive("more transactions than sessions: each has its turn", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, n) => n),
        (n) =>
          sql
            .withTransaction(
              Effect.gen(function* () {
                const [{ c }] = (yield* sql<{ c: number }>`select count(*) as c from t`) as [{ c: number }]
                yield* Effect.yieldNow()
                yield* add(sql, c)
                if (n % 10 === 0) {
                  return yield* Effect.fail("undo")
                }
              })
            )
            .pipe(Effect.ignore),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        yield* numbers(sql),
        Array.from({ length: 45 }, (_, i) => i)
      )
    })
  )

  it.scopedLive("the acquire timeout names who holds the session", () =>
    Effect.gen(function* () {
      // The open must keep it, too.
      const sql = yield* open(engine, { pool: { acquireTimeout: "5 seconds" } })
      const holder = yield* Effect.fork(sql.withTransaction(Effect.sleep("1 minute")))
      yield* Effect.sleep(20)
      const failure = yield* reasonOf(sql`select 1`)
      assert.include(failure.message, `fiber #${(holder.id() as unknown as { readonly id: number }).id}`)
      yield* Fiber.interrupt(holder)
      assert.strictEqual(failure.reason, "PoolTimeout")
      assert.strictEqual(failure.holders?.length, 1)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 36: a batch of a hundred statements is one round trip, all of it or nothing", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      const lent = (yield* sql.statistics)[0]!.lent
      const session = yield* Effect.scoped(sql.session)
      let commands = 0
      const counted = session as unknown as { command: (command: unknown) => Effect.Effect<unknown> }
      const command = counted.command
      counted.command = (c) => {
        commands++
        return command(c)
      }
      yield* sql.batch(Array.from({ length: 100 }, (_, n) => sql`insert into t values (${n})`))
      assert.strictEqual(commands, 1)
      assert.strictEqual((yield* sql.statistics)[0]!.lent, lent + 2)
      assert.strictEqual((yield* numbers(sql)).length, 100)
      const failure = yield* reasonOf(
        sql.batch([sql`insert into t values (1000)`, sql`insert into nowhere values (1)`])
      )
      assert.strictEqual(failure.failedRow, 1)
      assert.strictEqual((yield* numbers(sql)).length, 100)
      const rows = yield* sql.batch([sql`select 1 as a`, sql`select ${spinFor(1)} as b`])
      assert.deepStrictEqual(rows[0], [{ a: 1 }])
    })
  )

  /** Rows one by one, a moment between two of them. */
  const slowly = (sql: SqliteClient.SqliteClient) =>
    sql<{ n: number }>`select n from t`.stream.pipe(
      SqlClient.withPrefetch(5),
      Stream.tap(() => Effect.sleep(8))
    )

  const fill = (sql: SqliteClient.SqliteClient) =>
    sql.many(
      "insert into t values (?)",
      Array.from({ length: 30 }, (_, n) => [n])
    )

  it.scopedLive("a stream that outlives its transaction fails, committed or not", () =>
    Effect.gen(function* () {
      for (const readers of [0, 1]) {
        for (const end of [Effect.void, Effect.fail("undo")]) {
          const sql = yield* open(engine, { filename: yield* tempFile, readers })
          yield* sql`create table t (n)`
          yield* fill(sql)
          const taken = yield* Deferred.make<void>()
          const outlives = yield* Deferred.make<Fiber.Fiber<void, unknown>>()
          yield* sql`update t set n = n + 1000`.pipe(
            Effect.zipRight(
              Stream.runForEach(slowly(sql), () => Deferred.succeed(taken, undefined)).pipe(
                Effect.forkDaemon,
                Effect.flatMap((fiber) => Deferred.succeed(outlives, fiber))
              )
            ),
            Effect.zipRight(Deferred.await(taken)),
            Effect.zipRight(end),
            sql.withTransaction,
            Effect.ignore
          )
          const failure = yield* reasonOf(Fiber.join(yield* Deferred.await(outlives)))
          assert.strictEqual(failure.reason, "TransactionGone")
          yield* assertIdle(sql)
        }
      }
    })
  )

  if (engine === "native") {
    it.scopedLive("a stopped write that ends the transaction ends its open streams", () =>
      Effect.gen(function* () {
        const sql = yield* memory
        yield* fill(sql)
        const seen: Array<number> = []
        const failure = yield* sql`update t set n = n + 1000`.pipe(
          Effect.zipRight(
            Stream.runForEach(slowly(sql), ({ n }) => {
              seen.push(n)
              return seen.length === 7
                ? Effect.option(Effect.timeout(sql.unsafe(`insert into t ${spinFor(1e9)}`), "50 millis"))
                : Effect.void
            })
          ),
          sql.withTransaction,
          reasonOf
        )
        assert.strictEqual(failure.reason, "TransactionGone")
        assert.isTrue(seen.every((n) => n >= 1000))
        assert.isBelow(seen.length, 30)
      })
    )
  }

  it.scopedLive("a COMMIT of one's own inside of a transaction: what was done is not called undone", () =>
    Effect.gen(function* () {
      const sql = yield* memory
      const failure = yield* reasonOf(sql.withTransaction(Effect.zipRight(add(sql, 1), sql`commit`)))
      assert.deepStrictEqual(yield* numbers(sql), [1])
      assert.strictEqual(failure.reason, "TransactionGone")
      assert.strictEqual(failure.outcome, "unknown")
    })
  )
})
