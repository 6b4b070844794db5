/** Registrations are taken away one by one: each only its own, and not from under a statement that uses it. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { Deferred, Effect, Fiber, Option, Stream } from "effect"
import { endless, open, timed } from "../conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "../support.js"

afterAll(() => Effect.runPromise(leftovers))

/** SQLite's numbers of actions (https://www.sqlite.org/c3ref/c_alter_table.html). */
const insertAction = 18
const readAction = 20

onEngines("taking a function away", (engine) => {
  it.scopedLive("what was registered for the same name stays, or comes back", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      const who = Effect.map(sql<{ who: string }>`select who() as who`, ([row]) => row!.who)
      const older = yield* sql.function("who", { arity: 0 }, () => Effect.succeed("older"))
      const newer = yield* sql.function("WHO", { arity: 0 }, () => Effect.succeed("newer"))
      yield* older.remove
      assert.strictEqual(yield* who, "newer")
      const last = yield* sql.function("who", { arity: 0 }, () => Effect.succeed("last"))
      assert.strictEqual(yield* who, "last")
      yield* last.remove
      assert.strictEqual(yield* who, "newer")
      yield* newer.remove
      yield* newer.remove
      assert.strictEqual((yield* reasonOf(who)).reason, "SqlSyntax")
    })
  )

  it.scopedLive("names that differ in the case of other letters than ASCII's are two", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const capital = yield* sql.function("É", { arity: 0 }, () => Effect.succeed("capital"))
      yield* sql.function("é", { arity: 0 }, () => Effect.succeed("small"))
      assert.deepStrictEqual(yield* sql.unsafe("select É() as a, é() as b"), [{ a: "capital", b: "small" }])
      yield* capital.remove
      assert.strictEqual((yield* reasonOf(sql.unsafe("select É()"))).reason, "SqlSyntax")
      assert.deepStrictEqual(yield* sql.unsafe("select é() as b"), [{ b: "small" }])
    })
  )

  it.scopedLive("the same between modules and functions, and on sessions that open later", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      const who = Effect.map(sql<{ who: string }>`select who('') as who`, ([row]) => row!.who)
      const module = (name: string) =>
        sql.workerModule(`data:text/javascript,export const who = (_) => ${JSON.stringify(name)}`, {
          functions: ["who"]
        })
      const first = yield* module("first")
      const second = yield* module("second")
      yield* first.remove
      assert.strictEqual(yield* who, "second")
      const own = yield* sql.function("WHO", { arity: 1 }, () => Effect.succeed("own"))
      yield* second.remove
      assert.strictEqual(yield* who, "own")
      const third = yield* module("third")
      // The second and later runs of a text are a reader's, which opens for them.
      assert.deepStrictEqual(yield* Effect.all([who, who, who]), ["third", "third", "third"])
      yield* third.remove
      assert.deepStrictEqual(yield* Effect.all([who, who, who]), ["own", "own", "own"])
      const fourth = yield* module("fourth")
      const last = yield* sql.function("who", { arity: 1 }, () => Effect.succeed("last"))
      yield* last.remove
      assert.strictEqual(yield* who, "fourth")
      yield* own.remove
      yield* fourth.remove
      assert.strictEqual((yield* reasonOf(who)).reason, "SqlSyntax")
    })
  )

  it.scopedLive("beside an open result of the same session nobody is harmed", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const plus = (n: number) => sql.function("plus", (x) => Effect.succeed(Number(x) + n))
      const { remove } = yield* plus(1)
      const text =
        "with recursive up(n) as (select 1 union all select n + 1 from up limit 6) select plus(n) as v from up"
      const pull = yield* Stream.toPull(sql.unsafe<{ v: number }>(text).pipe(SqlClient.withPrefetch(2)).stream)
      const next = Effect.map(pull, (rows) => Array.from(rows, ({ v }) => v))
      assert.deepStrictEqual(yield* next, [2, 3])
      if (engine === "native") {
        // SQLite refuses: nothing is changed.
        for (const change of [remove, plus(10)]) {
          const failure = yield* reasonOf(change)
          assert.strictEqual(failure.reason, "LockTimeout")
          assert.include(failure.message, "end its stream first")
        }
        assert.deepStrictEqual(yield* next, [4, 5])
        assert.deepStrictEqual(yield* sql`select plus(1) as v`, [{ v: 2 }])
      } else {
        const again = yield* plus(10)
        assert.deepStrictEqual(yield* next, [13, 14])
        yield* again.remove
        yield* remove
        assert.strictEqual((yield* reasonOf(Effect.mapError(next, Option.getOrThrow))).reason, "SqlSyntax")
      }
    })
  )

  it.scopedLive(
    "a function of SQLite's own does not come back on a session that is open, but is there on a new one",
    () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        const sql = yield* open(engine, { filename })
        const lower = yield* sql.function("lower", { arity: 1 }, () => Effect.succeed("mine"))
        assert.deepStrictEqual(yield* sql`select lower('A') as v`, [{ v: "mine" }])
        yield* lower.remove
        assert.strictEqual((yield* reasonOf(sql`select lower('A') as v`)).reason, "SqlSyntax")
        assert.deepStrictEqual(yield* (yield* open(engine, { filename }))`select lower('A') as v`, [{ v: "a" }])
      })
  )

  it.scopedLive("a statement that uses it is served to its end", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const begun = yield* Deferred.make<void>()
      const slow = yield* sql.function("slow", { arity: 0 }, () =>
        Effect.zipRight(Deferred.succeed(begun, undefined), Effect.delay(Effect.succeed(1), 50))
      )
      const running = yield* Effect.fork(sql`select slow() + slow() as n`)
      yield* Deferred.await(begun)
      yield* slow.remove
      assert.deepStrictEqual(yield* Fiber.join(running), [{ n: 2 }])
      assert.strictEqual((yield* reasonOf(sql`select slow()`)).reason, "SqlSyntax")
    })
  )

  it.scopedLive(
    "a registration that is interrupted while the session is busy settles at once, and leaves nothing",
    () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        const busy = yield* Effect.fork(sql.unsafe(endless(engine)))
        yield* Effect.sleep(50)
        const registering = yield* Effect.fork(sql.function("never", { arity: 0 }, () => Effect.succeed(1)))
        yield* Effect.sleep(50)
        const [took] = yield* timed(Fiber.interrupt(registering))
        assert.isBelow(took, 1000)
        yield* Fiber.interrupt(busy)
        assert.strictEqual((yield* reasonOf(sql`select never()`)).reason, "SqlSyntax")
        yield* sql.function("never", { arity: 0 }, () => Effect.succeed(2))
        assert.deepStrictEqual(yield* sql`select never() as n`, [{ n: 2 }])
      })
  )

  it.scopedLive("it cannot take itself away, and is still there", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const self: { remove: Effect.Effect<string> } = { remove: Effect.succeed("never asked") }
      const handle = yield* sql.function("self", { arity: 0 }, () => self.remove)
      self.remove = Effect.map(reasonOf(handle.remove), ({ reason }) => reason)
      for (let i = 0; i < 2; i++) {
        assert.deepStrictEqual(yield* sql`select self() as why`, [{ why: "ReentrantCall" }])
      }
    })
  )
})

describe("authorizers", () => {
  it.scopedLive("taking one away never lifts another", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* sql`create table t (a)`
      const insert = Effect.map(Effect.either(sql`insert into t values (1)`), ({ _tag }) => _tag)
      const first = yield* sql.authorizer(() => Effect.succeed("ok"))
      const second = yield* sql.authorizer(({ action }) => Effect.succeed(action === insertAction ? "deny" : "ok"))
      yield* first.remove
      assert.strictEqual(yield* insert, "Left")
      const third = yield* sql.authorizer(() => Effect.succeed("ok"))
      assert.strictEqual(yield* insert, "Right")
      yield* third.remove
      assert.strictEqual(yield* insert, "Left")
      yield* second.remove
      assert.strictEqual(yield* insert, "Right")
    })
  )

  it.scopedLive("statements that have run before are asked for again", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* sql`create table t (a)`
      const insert = sql`insert into t values (1)`
      const select = sql`select a from t`
      yield* insert
      yield* select
      const denied = new Set([insertAction, readAction])
      const { remove } = yield* sql.authorizer(({ action }) => Effect.succeed(denied.has(action) ? "deny" : "ok"))
      for (const statement of [insert, select, Stream.runDrain(select.stream)]) {
        assert.strictEqual((yield* reasonOf(statement)).reason, "Authorization")
      }
      yield* remove
      yield* insert
      assert.lengthOf(yield* select, 2)
    })
  )
})
