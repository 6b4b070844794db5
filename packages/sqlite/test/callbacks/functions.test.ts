import { afterAll, assert, it } from "@effect/vitest"
import type { SqlError } from "@effect/sql"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Cause, Context, Deferred, Effect, Exit, Fiber, FiberRef, Option, Stream, Tracer } from "effect"
import { assertIdle, open, timed } from "../conformance/stopping.js"
import { carrier } from "../../src/internal/carrier.js"
import { countTo, eventually, leftovers, onEngines, reasonOf, tempFile } from "../support.js"

class Greeting extends Context.Tag("Greeting")<Greeting, string>() {}

afterAll(() => Effect.runPromise(leftovers))

onEngines("SQL functions as Effects", (engine) => {
  it.scopedLive("row 51: a result that is there at once, and one that takes its time", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("shout", (text) => Effect.succeed(`${String(text).toUpperCase()}!`))
      yield* sql.function("later", (value) => Effect.delay(Effect.succeed(value), 20))
      assert.deepStrictEqual(yield* sql`select shout('hi') as a, later(${7}) as b, later(null) as c`, [
        { a: "HI!", b: 7, c: null }
      ])
    })
  )

  it.scopedLive("an answer that throws when it is looked at is the statement's defect", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const date = Object.assign(new Date(0), {
        toISOString: () => {
          throw new Error("no date of mine")
        }
      })
      yield* sql.function("date_of_mine", { arity: 0 }, () => Effect.succeed(date as never))
      const exit = yield* Effect.exit(sql`select date_of_mine()`)
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("no date of mine"))
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a function that does not end is left behind when the deadline has passed", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { grace: 100 })
      const end = yield* Deferred.make<void>()
      yield* sql.function("stuck", { arity: 0 }, () => Effect.uninterruptible(Effect.as(Deferred.await(end), 1)))
      const [took, failure] = yield* timed(reasonOf(sql`select stuck()`.pipe(SqlClient.withDeadline("50 millis"))))
      assert.strictEqual(failure.reason, "StatementTimeout")
      assert.isBelow(took, 10_000)
      yield* assertIdle(sql)
      yield* Deferred.succeed(end, undefined)
    })
  )

  it.scopedLive("names and arities that SQLite cannot have are refused", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const one = () => Effect.succeed(1)
      const wrong = [
        ...["", "a\0b", "n".repeat(256), "é".repeat(128)].map((name) => sql.function(name, one)),
        ...[NaN, 1.5, -2].map((arity) => sql.function("one", { arity }, one))
      ]
      for (const registration of wrong) {
        assert.strictEqual((yield* reasonOf(registration)).reason, "InvalidParameter")
      }
      const longest = "n".repeat(255)
      yield* sql.function(longest, { arity: 0 }, one)
      assert.deepStrictEqual(yield* sql.unsafe(`select ${longest}() as n`), [{ n: 1 }])
    })
  )

  it.scopedLive("values of every type cross both ways, long ones, too", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const seen: Array<unknown> = []
      yield* sql.function("same", (value) =>
        Effect.sync(() => {
          seen.push(value)
          return value
        })
      )
      const long = "é".repeat(50_000)
      const bytes = new Uint8Array(70_000).fill(7)
      const values = [1, -1, 2 ** 40, 1.5, "text", "", long, new Uint8Array([1, 2, 3]), bytes, null]
      for (const value of values) {
        assert.deepStrictEqual(yield* sql`select same(${value}) as v, typeof(same(${value})) as t`, [
          { v: value, t: typeNameOf(value) }
        ])
      }
      assert.deepStrictEqual(
        seen.filter((_, i) => i % 2 === 0),
        values
      )
      const big = 2n ** 60n
      assert.deepStrictEqual(
        yield* sql`select same(${big}) as v`.pipe(Effect.provideService(SqlClient.SafeIntegers, true)),
        [{ v: big }]
      )
      yield* sql.function("truth", () => Effect.succeed(true))
      assert.deepStrictEqual(yield* sql`select truth() as v, typeof(truth()) as t`, [{ v: 1, t: "integer" }])
    })
  )

  it.scopedLive("arity: as many arguments as the function has, any number where it has none by name", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("two", (a, b) => Effect.succeed(`${String(a)}${String(b)}`))
      yield* sql.function("every", (...values) => Effect.succeed(values.length))
      assert.deepStrictEqual(yield* sql`select two(1, 2) as t, every(1, 2, 3, 4) as four, every() as none`, [
        { t: "12", four: 4, none: 0 }
      ])
      assert.strictEqual((yield* reasonOf(sql`select two(1)`)).reason, "SqlSyntax")
    })
  )

  it.scopedLive("row 46: a FiberRef read in a function is the caller's", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const ref = yield* FiberRef.make("outside")
      yield* sql.function("ref", () => FiberRef.get(ref))
      assert.deepStrictEqual(yield* Effect.locally(sql`select ref() as v`, ref, "inside"), [{ v: "inside" }])
      assert.deepStrictEqual(yield* sql`select ref() as v`, [{ v: "outside" }])
    })
  )

  it.scopedLive("row 47: two fibers, two values, one connection", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const ref = yield* FiberRef.make(0)
      yield* sql.function("ref", () => Effect.delay(FiberRef.get(ref), 2))
      const numbers = Array.from({ length: 20 }, (_, i) => i)
      const results = yield* Effect.forEach(numbers, (n) => Effect.locally(sql`select ref() as v`, ref, n), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        results,
        numbers.map((v) => [{ v }])
      )
    })
  )

  it.scopedLive("row 48: what is set in a callback is not seen by its caller", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const ref = yield* FiberRef.make("before")
      yield* sql.function("change", () => Effect.as(FiberRef.set(ref, "changed"), 1))
      yield* sql`select change()`
      assert.strictEqual(yield* FiberRef.get(ref), "before")
    })
  )

  it.scopedLive("row 49: a service is the caller's, else the one it was registered with", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* Effect.provideService(
        sql.function("greeting", () => Greeting),
        Greeting,
        "registered"
      )
      assert.deepStrictEqual(yield* sql`select greeting() as v`, [{ v: "registered" }])
      assert.deepStrictEqual(yield* Effect.provideService(sql`select greeting() as v`, Greeting, "called"), [
        { v: "called" }
      ])
    })
  )

  it.scopedLive("deadline, transaction and callback that it was registered in end without it", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const other = yield* open(engine, { filename: yield* tempFile })
      const one = () => Effect.map(other<{ n: number }>`select 1 as n`, ([row]) => row!.n)
      yield* sql.function("late", { arity: 0 }, one).pipe(SqlClient.withDeadline("1 second"))
      yield* other.withTransaction(sql.function("within", { arity: 0 }, one))
      yield* other.function("register", () => Effect.as(sql.function("inside", { arity: 0 }, one), 1))
      yield* other`select register()`
      yield* Effect.sleep(1100)
      const text = sql.unsafe("select late() as late, within() as within, inside() as inside")
      assert.deepStrictEqual(yield* text, [{ late: 1, within: 1, inside: 1 }])
    })
  )

  it.scopedLive("two sessions that wait for each other are both late at the deadline that they share", () =>
    Effect.gen(function* () {
      const [a, b] = [yield* open(engine), yield* open(engine)]
      yield* a.function("ask_b", { arity: 0 }, () => Effect.delay(Effect.as(b`select 1`, 1), 20))
      yield* b.function("ask_a", { arity: 0 }, () => Effect.delay(Effect.as(a`select 1`, 1), 20))
      for (let i = 0; i < 10; i++) {
        const both = [reasonOf(a`select ask_b()`), reasonOf(b`select ask_a()`)]
        const failures = yield* SqlClient.withDeadline("60 millis")(Effect.all(both, { concurrency: 2 }))
        assert.deepStrictEqual(
          failures.map(({ reason }) => reason),
          ["StatementTimeout", "StatementTimeout"]
        )
      }
    })
  )

  it.scopedLive("row 50: a span in a callback is a child of the statement's", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (name, parent, context, links, startTime, kind) => {
          const span = new RecordingSpan(name, parent, context, links, startTime, kind)
          spans.push(span)
          return span
        },
        context: (f) => f()
      })
      yield* sql.function("traced", () => Effect.withSpan(Effect.succeed(1), "within"))
      yield* Effect.withTracer(sql`select traced() as v`, tracer)
      const within = spans.find(({ name }) => name === "within")!
      const parent = Option.getOrThrow(within.parent) as Tracer.Span
      assert.strictEqual(parent.attributes.get("db.query.text"), "select traced() as v")
    })
  )

  it.scopedLive(
    "row 52: a typed failure reaches the caller by identity, a defect and an interruption as they are",
    () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        const failure = { _tag: "Mine" }
        const defect = new Error("mine")
        yield* sql.function("fails", () => Effect.fail(failure))
        yield* sql.function("dies", () => Effect.die(defect))
        yield* sql.function("interrupts", () => Effect.interrupt)
        const failed = yield* reasonOf(sql`select fails()`)
        assert.strictEqual(failed.cause, failure)
        assert.strictEqual(failed.outcome, "notExecuted")
        const died = yield* Effect.exit(sql`select dies()`)
        assert.isTrue(Exit.isFailure(died) && Cause.squash(died.cause) === defect)
        assert.isTrue(
          Exit.isInterrupted(yield* Effect.exit(Effect.fork(sql`select interrupts()`).pipe(Effect.flatMap(Fiber.join))))
        )
        assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
      })
  )

  it.scopedLive("row 12: in a stream exactly the rows before it, then the function's own failure", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("upTo", (n) => ((n as number) > 10 ? Effect.fail("enough") : Effect.succeed(n)))
      const seen: Array<unknown> = []
      const result = yield* sql.unsafe<{ n: number }>(`select upTo(n) as n from (${countTo(100)})`).stream.pipe(
        SqlClient.withPrefetch(4),
        Stream.runForEach(({ n }) => Effect.sync(() => seen.push(n))),
        Effect.flip
      )
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      assert.strictEqual(SqlFailure.from(result).cause, "enough")
    })
  )

  it.scopedLive("row 53: a result that SQLite cannot store is a typed failure", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("wrong", () => Effect.succeed({ not: "storable" } as never))
      yield* sql.function("nan", () => Effect.succeed(NaN))
      const failure = yield* reasonOf(sql`select wrong()`)
      assert.strictEqual(failure.reason, "ConversionFailed")
      assert.include(failure.message, "wrong()")
      assert.strictEqual((yield* reasonOf(sql`select nan()`)).reason, "ConversionFailed")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("rows 62 and 63: a callback, or a child of it, that calls its own session fails at once", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("again", () => Effect.as(sql`select 1`, 1))
      yield* sql.function("child", () => Effect.fork(sql`select 1`).pipe(Effect.flatMap(Fiber.join), Effect.as(1)))
      yield* sql.function("streams", () => Stream.runCount(sql`select 1`.stream))
      yield* sql.function("transacts", () => Effect.as(sql.withTransaction(Effect.void), 1))
      for (const name of ["again", "child", "streams", "transacts"]) {
        const [took, failure] = yield* timed(reasonOf(sql.unsafe(`select ${name}()`)))
        assert.isBelow(took, 10_000, name)
        assert.strictEqual(failure.reason, "ReentrantCall", name)
        assert.strictEqual(SqlFailure.from(failure.cause).reason, "ReentrantCall", name)
      }
      const inside = yield* reasonOf(sql.withTransaction(sql`select again()`))
      assert.strictEqual(SqlFailure.from(inside.cause).reason, "ReentrantCall")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 62: it fails at once, too, where others wait for the session's turn already", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const [asked, other] = [yield* Effect.makeSemaphore(0), yield* Effect.makeSemaphore(0)]
      yield* sql.function("behind", { arity: 0 }, () =>
        asked.release(1).pipe(
          Effect.zipRight(other.take(1)),
          // The other fiber waits by then.
          Effect.zipRight(Effect.sleep("20 millis")),
          Effect.zipRight(sql`select 1`),
          Effect.as(1)
        )
      )
      const call = sql`select behind()`
      const others = {
        transaction: sql.withTransaction(sql`select 2`),
        reserve: Effect.scoped(Effect.asVoid(sql.reserve)),
        serialize: sql.serialize
      }
      const behind = (what: Effect.Effect<unknown, SqlError.SqlError>) =>
        Effect.gen(function* () {
          const waiting = yield* Effect.fork(Effect.zipRight(asked.take(1), Effect.zipRight(other.release(1), what)))
          const [took, failure] = yield* timed(reasonOf(call))
          assert.strictEqual(failure.reason, "ReentrantCall")
          assert.isBelow(took, 10_000)
          yield* Fiber.join(waiting)
        })
      for (const what of Object.values(others)) {
        yield* behind(what)
      }
      // The turn that is waited for may be the level's.
      yield* sql.withTransaction(behind(sql.withTransaction(sql`select 2`)))
      yield* sql.function("nests", { arity: 0 }, () => Effect.as(sql.withTransaction(Effect.void), 1))
      assert.strictEqual((yield* sql.withTransaction(reasonOf(sql`select nests()`))).reason, "ReentrantCall")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("fibers that it has started are free once it has answered", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table log (n)`
      const ended = yield* Deferred.make<Exit.Exit<unknown, SqlError.SqlError>>()
      const told = yield* Deferred.make<void>()
      yield* sql.function("audited", (n) =>
        Effect.zipRight(Deferred.await(told), sql`insert into log values (${n})`).pipe(
          Effect.exit,
          Effect.intoDeferred(ended),
          Effect.forkDaemon,
          Effect.as(n)
        )
      )
      yield* sql`select audited(7)`
      yield* Deferred.succeed(told, undefined)
      assert.isTrue(Exit.isSuccess(yield* Deferred.await(ended)))
      assert.deepStrictEqual(yield* sql`select n from log`, [{ n: 7 }])
    })
  )

  it.scopedLive("row 64: it may call another connection", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const other = yield* open(engine)
      yield* other`create table t (n)`
      yield* other`insert into t values (42)`
      yield* sql.function("other", () => Effect.map(other<{ n: number }>`select n from t`, (rows) => rows[0]!.n))
      assert.deepStrictEqual(yield* sql`select other() as n`, [{ n: 42 }])
    })
  )

  it.scopedLive("row 65: two connections whose callbacks call each other are found out", () =>
    Effect.gen(function* () {
      const [a, b] = [yield* open(engine), yield* open(engine)]
      const first = (rows: ReadonlyArray<unknown>) => (rows[0] as { v: number }).v
      yield* a.function("toB", () => Effect.map(b`select toA() as v`, first))
      yield* b.function("toA", () => Effect.map(a`select toB() as v`, first))
      const [took, failure] = yield* timed(reasonOf(a`select toB() as v`))
      assert.isBelow(took, 10_000)
      let cause: unknown = failure
      while (SqlFailure.from(cause).cause !== undefined) {
        cause = SqlFailure.from(cause).cause
      }
      assert.strictEqual(SqlFailure.from(cause).reason, "ReentrantCall")
      yield* assertIdle(a)
      yield* assertIdle(b)
    })
  )

  it.scopedLive("rows 66 and 70: an interrupt ends the callback, its finalisers run, the connection is free", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const [started, finalised] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      yield* sql.function("never", () =>
        Effect.never.pipe(
          Effect.onInterrupt(() => Deferred.succeed(finalised, undefined)),
          Effect.tap(() => 1),
          (effect) => Effect.zipRight(Deferred.succeed(started, undefined), effect)
        )
      )
      const fiber = yield* Effect.fork(sql`select never()`)
      yield* Deferred.await(started)
      const [took, exit] = yield* timed(Fiber.interrupt(fiber))
      assert.isBelow(took, 10_000)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isTrue(yield* Deferred.isDone(finalised))
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 70: an interrupt waits for its callback's end, however quickly the worker has let go", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      let [begun, running] = [0, 0]
      yield* sql.function("slow", () =>
        Effect.uninterruptible(
          Effect.zipRight(
            Effect.sync(() => {
              begun++
              running++
            }),
            Effect.as(
              Effect.delay(
                Effect.sync(() => running--),
                20
              ),
              1
            )
          )
        )
      )
      for (let i = 0; i < 20; i++) {
        const before = begun
        const fiber = yield* Effect.fork(sql`select slow()`)
        yield* eventually("it has begun", () => begun > before)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(running, 0)
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a callback that does not end in the grace period is left behind; the session stays", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: ":memory:", grace: "50 millis" })
      yield* sql`create table t (n)`
      const started = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      yield* sql.function("stubborn", () =>
        Effect.uninterruptible(Effect.zipRight(Deferred.succeed(started, undefined), Effect.as(Deferred.await(end), 1)))
      )
      const fiber = yield* Effect.fork(sql`select stubborn()`)
      yield* Deferred.await(started)
      const [took] = yield* timed(Fiber.interrupt(fiber))
      assert.isBelow(took, 10_000)
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 0 }])
      yield* Deferred.succeed(end, undefined)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 66: a scope that closes while a callback never ends", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const [took] = yield* timed(
        Effect.scoped(
          Effect.gen(function* () {
            const sql = yield* open(engine, { onClose: "interrupt" })
            yield* sql.function("never", () => Effect.zipRight(Deferred.succeed(started, undefined), Effect.never))
            yield* Effect.forkDaemon(Effect.exit(sql`select never()`))
            yield* Deferred.await(started)
          })
        )
      )
      assert.isBelow(took, 10_000)
    })
  )

  it.scopedLive("row 77: a catchAll inside a callback does not swallow the interrupt", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("calm", () => Effect.never.pipe(Effect.catchAll(() => Effect.succeed(1))))
      assert.deepStrictEqual(yield* Effect.timeoutOption(sql`select calm()`, 100), Option.none())
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 81: a deadline in a callback is a StatementTimeout, and the callback ends", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const finalised = yield* Deferred.make<void>()
      yield* sql.function("never", () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(finalised, undefined)))
      const [took, failure] = yield* timed(reasonOf(sql`select never()`.pipe(SqlClient.withDeadline("80 millis"))))
      assert.strictEqual(failure.reason, "StatementTimeout")
      assert.isBelow(took, 10_000)
      yield* Deferred.await(finalised)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 83: the deadline is visible to callbacks", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("deadline", () => SqlClient.Deadline)
      const [seen, own] = yield* Effect.all([sql<{ v: number }>`select deadline() as v`, SqlClient.Deadline]).pipe(
        SqlClient.withDeadline("10 seconds")
      )
      assert.strictEqual(seen[0]!.v, own)
    })
  )

  it.scopedLive("on all sessions, those that open later, too; and taken away from all", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 2 })
      const { remove } = yield* sql.function("shout", (text) => Effect.succeed(`${String(text)}!`))
      const ask = sql.unsafe("select shout('hi') as v")
      const streamed = Effect.map(Stream.runCollect(ask.stream), (rows) => [...rows])
      for (const rows of yield* Effect.all([ask, ask, ask, ask, streamed], { concurrency: "unbounded" })) {
        assert.deepStrictEqual(rows, [{ v: "hi!" }])
      }
      yield* remove
      assert.include((yield* reasonOf(ask)).message, "shout")
      assert.include((yield* reasonOf(Stream.runDrain(ask.stream))).message, "shout")
    })
  )

  it.scopedLive("for the life of a scope", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const within = Effect.acquireRelease(
        sql.function("one", () => Effect.succeed(1)),
        ({ remove }) => Effect.orDie(remove)
      )
      assert.deepStrictEqual(yield* Effect.scoped(Effect.zipRight(within, sql`select one() as v`)), [{ v: 1 }])
      assert.include((yield* reasonOf(sql`select one() as v, 2`)).message, "one")
    })
  )

  it.scopedLive("in a transaction, and its failure undoes it", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      yield* sql.function("check_n", (n) => ((n as number) > 1 ? Effect.fail("too big") : Effect.succeed(n)))
      const failure = yield* reasonOf(
        sql.withTransaction(
          Effect.zipRight(sql`insert into t values (check_n(1))`, sql`insert into t values (check_n(2))`)
        )
      )
      assert.strictEqual(failure.cause, "too big")
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 0 }])
    })
  )

  it.scopedLive("sql.many: the row whose function fails is named", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (n)`
      yield* sql.function("check_n", (n) => ((n as number) === 5 ? Effect.fail("five") : Effect.succeed(n)))
      const rows = Array.from({ length: 10 }, (_, n) => [n])
      const failure = yield* reasonOf(sql.many("insert into t values (check_n(?))", rows))
      assert.strictEqual(failure.cause, "five")
      assert.strictEqual(failure.failedRow, 5)
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 0 }])
    })
  )

  it.scopedLive("20 interrupts at random moments of callbacks leave nothing behind", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      let running = 0
      yield* sql.function("work", (n) =>
        Effect.acquireUseRelease(
          Effect.sync(() => void running++),
          () => Effect.delay(Effect.succeed(n), 1),
          () => Effect.sync(() => void running--)
        )
      )
      for (let i = 0; i < 20; i++) {
        yield* Effect.timeoutOption(sql.unsafe(`select sum(work(n)) as s from (${countTo(1_000)})`), 5 + i)
        assert.strictEqual(running, 0)
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("an aggregate with asynchronous steps; its failure surfaces once; no rows, its initial state", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      let finals = 0
      yield* sql.aggregate("joined", {
        initial: (): ReadonlyArray<unknown> => [],
        step: (state, value) =>
          value === 13 ? Effect.fail("thirteen") : Effect.delay(Effect.succeed([...state, value]), 1),
        final: (state) =>
          Effect.sync(() => {
            finals++
            return state.join("+")
          })
      })
      const grouped = "select value % 2 as odd, joined(value) as j from json_each('[1,2,3,4,5]') group by 1 order by 1"
      assert.deepStrictEqual(yield* sql.unsafe(grouped), [
        { odd: 0, j: "2+4" },
        { odd: 1, j: "1+3+5" }
      ])
      // One of the portable engine's carriers asks nothing of a group without rows.
      const asks = engine === "native" || carrier().name === "node:sqlite"
      assert.deepStrictEqual(yield* sql`select joined(1) as j where false`, [{ j: asks ? "" : null }])
      finals = 0
      const failure = yield* reasonOf(sql`select joined(value) from json_each('[12, 13, 14]')`)
      assert.strictEqual(failure.cause, "thirteen")
      assert.strictEqual(finals, 0)
      yield* assertIdle(sql)
    })
  )
})

const typeNameOf = (value: unknown): string =>
  value === null
    ? "null"
    : typeof value === "string"
      ? "text"
      : value instanceof Uint8Array
        ? "blob"
        : Number.isInteger(value)
          ? "integer"
          : "real"

/** A span that keeps what it is told. */
class RecordingSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly spanId = String(Math.random())
  readonly traceId = "trace"
  readonly sampled = true
  readonly attributes = new Map<string, unknown>()
  readonly status: Tracer.SpanStatus = { _tag: "Started", startTime: 0n }
  readonly links: ReadonlyArray<Tracer.SpanLink>
  constructor(
    readonly name: string,
    readonly parent: Option.Option<Tracer.AnySpan>,
    readonly context: Context.Context<never>,
    links: ReadonlyArray<Tracer.SpanLink>,
    readonly startTime: bigint,
    readonly kind: Tracer.SpanKind
  ) {
    this.links = links
  }
  end() {}
  attribute(key: string, value: unknown) {
    this.attributes.set(key, value)
  }
  event() {}
  addLinks() {}
}
