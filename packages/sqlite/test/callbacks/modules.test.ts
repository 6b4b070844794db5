import type { SqlError } from "@effect/sql"
import { afterAll, assert, it } from "@effect/vitest"
import type { SqlFailure } from "@sluice/sql"
import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Fiber, Option } from "effect"
import { assertIdle, open, timed } from "../conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "../support.js"
import { moduleUrl } from "./moduleUrl.js"

type Functions = typeof import("./workerFunctions.js")

const functions = moduleUrl(new URL("./workerFunctions.ts", import.meta.url))

const workerError = (failure: SqlFailure.SqlFailure): SqliteClient.WorkerError => {
  assert.instanceOf(failure.cause, SqliteClient.WorkerError)
  return failure.cause
}

afterAll(() => Effect.runPromise(leftovers))

onEngines("worker modules", (engine) => {
  it.scopedLive("a module that never finishes loading can be given up", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const endless = "data:text/javascript,await new Promise(() => {}); export const one = () => 1"
      const [took, loaded] = yield* timed(
        Effect.timeoutOption(sql.workerModule(endless, { functions: ["one"] }), "100 millis")
      )
      assert.isTrue(Option.isNone(loaded))
      assert.isBelow(took, 10_000)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("arguments that cannot be sent are refused", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<{ same: (database: unknown, value: unknown) => unknown }>(
        "data:text/javascript,export const same = (_, value) => value"
      )
      const { port1, port2 } = new MessageChannel()
      const thrower = {
        get a() {
          throw new Error("not to be looked at")
        }
      }
      for (const value of [() => 1, port1, thrower]) {
        assert.strictEqual((yield* reasonOf(module.runInWorker("same", value as never))).reason, "InvalidParameter")
      }
      assert.strictEqual(yield* module.runInWorker("same", 1), 1)
      port1.close()
      port2.close()
    })
  )

  it.scopedLive("a promise that a SQL function answers, and that fails later, harms nobody", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t as select 1 as a`
      const url =
        "data:text/javascript,export const bad = async () => { throw new Error('later') }; export const nap = () => new Promise((r) => setTimeout(r, 20, 1))"
      const module = yield* sql.workerModule<{ bad: () => number; nap: () => Promise<number> }>(url, {
        functions: ["bad"]
      })
      assert.strictEqual((yield* reasonOf(sql`select bad()`)).reason, "ConversionFailed")
      assert.strictEqual(yield* module.runInWorker("nap"), 1)
      assert.deepStrictEqual(yield* sql`select a from t`, [{ a: 1 }])
    })
  )

  it.scopedLive("row 37: exports as SQL functions: arguments, results, arity, names", () =>
    Effect.gen(function* () {
      // The portable engine cannot say that a function is innocuous.
      const sql = yield* open(engine, { trustedSchema: engine === "portable" })
      yield* sql.workerModule<Functions>(functions, {
        functions: {
          slug: { deterministic: true, innocuous: true },
          plus: true,
          every: { arity: -1, name: "count_all" },
          same: true
        }
      })
      assert.deepStrictEqual(yield* sql`select slug('A Title') as s, plus(2, 3) as a, count_all(1, 2, 3) as e`, [
        { s: "a-title", a: 5, e: 3 }
      ])
      for (const value of [null, 1, -0.5, 2 ** 40, "é", "", new Uint8Array([1, 2])]) {
        assert.deepStrictEqual(yield* sql`select same(${value}) as v`, [{ v: value }])
      }
      assert.strictEqual((yield* reasonOf(sql`select plus(1)`)).reason, "SqlSyntax")
      // What is deterministic can be indexed.
      yield* sql`create table t(title text)`
      yield* sql`create index by_slug on t(slug(title))`
      yield* sql`insert into t values ('X Y')`
      assert.deepStrictEqual(yield* sql`select title from t where slug(title) = 'x-y'`, [{ title: "X Y" }])
    })
  )

  it.scopedLive("a schema that is not trusted calls none of them, whenever they are registered", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const trusting = yield* open(engine, { filename, trustedSchema: true })
      yield* trusting.workerModule<Functions>(functions, { functions: { same: { deterministic: true } } })
      yield* trusting`create table t (x, g as (same(x)))`
      yield* trusting`insert into t values (1)`
      const sql = yield* open(engine, { filename })
      assert.deepStrictEqual(yield* sql`select x from t`, [{ x: 1 }])
      yield* sql.workerModule<Functions>(functions, { functions: { same: { deterministic: true } } })
      assert.strictEqual((yield* reasonOf(sql`select g from t`)).reason, "Authorization")
    })
  )

  it.scopedLive("row 37: what a function throws is the cause: class name, message, code", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.workerModule<Functions>(functions, { functions: ["refuse", "lie", "nan", "lone", "huge"] })
      const failure = yield* reasonOf(sql`select refuse('screws')`)
      const error = workerError(failure)
      assert.strictEqual(error.className, "OutOfStock")
      assert.strictEqual(error.message, "no screws")
      assert.strictEqual(error.code, "E_STOCK")
      assert.include(failure.message, "OutOfStock: no screws")
      for (const name of ["lie", "nan", "lone", "huge"]) {
        assert.strictEqual((yield* reasonOf(sql.unsafe(`select ${name}()`))).reason, "ConversionFailed", name)
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("exports as aggregates; as window functions where the engine has them", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.workerModule<Functions>(functions, { aggregates: ["product", "total", "fragile"] })
      yield* sql`create table t(g integer, n integer)`
      yield* sql`insert into t values (1, 2), (1, 3), (2, 5)`
      assert.deepStrictEqual(yield* sql`select g, product(n) as p, total(n) as t from t group by g order by g`, [
        { g: 1, p: 6, t: 5 },
        { g: 2, p: 5, t: 5 }
      ])
      const error = workerError(yield* reasonOf(sql`select fragile(n) from t`))
      assert.strictEqual(error.message, "step")
      if (engine === "native") {
        // Carriers answer NULL for a group without rows, and have no windows.
        assert.deepStrictEqual(yield* sql`select product(n) as p from t where n > 100`, [{ p: 1 }])
        assert.deepStrictEqual(
          yield* sql`select total(n) over (order by n rows between 1 preceding and current row) as t from t order by n`,
          [{ t: 2 }, { t: 5 }, { t: 8 }]
        )
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 37: programs with the database: many statements in one hop", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      const result = yield* module.runInWorker("fill", "people", 500)
      assert.deepStrictEqual(result, {
        last: 500n,
        changes: 2,
        rows: [
          { id: 1, name: "NAME 1" },
          { id: 2, name: "NAME 2" }
        ]
      })
      assert.deepStrictEqual(yield* sql`select count(*) as n from people`, [{ n: 500 }])
      assert.deepStrictEqual(yield* sql.runInWorker(module, "firstNames", "people", 3), ["NAME 1", "NAME 2", "name 3"])
      assert.strictEqual((yield* module.runInWorker("firstNames", "people", 1000)).length, 500)
      yield* sql`drop table people`
    })
  )

  it.scopedLive("all that the database of a program has: run, all, iterate, exec, inTransaction", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule(
        `data:text/javascript,${encodeURIComponent(`
          const thrown = (f) => { try { f() } catch (error) { return error.message } }
          export const program = (db) => {
            const told = { inTransaction: [db.inTransaction] }
            db.exec("create table t (n integer primary key, text); begin; insert into t values (7, 'seven')")
            told.inTransaction.push(db.inTransaction)
            db.exec("commit")
            told.run = [
              db.run("insert into t values (?, ?), (9, 'nine')", [8, "eight"]),
              // No number holds what it returns: it is dropped before anybody looks at it.
              db.run("update t set text = upper(text) where n > ? returning 9007199254740993 as big", [7]),
              db.run("delete from t where n = ? returning n, text", [8]),
              db.run("select 9007199254740993").changes
            ]
            told.exact = thrown(() => db.all("select 9007199254740993 as big"))
            told.all = db.all("select n, text from t order by n")
            told.returned = db.all("insert into t values (?, ?) returning n", [10, null])
            db.exec("create table numbers as with recursive up(n) as (select 1 union all select n + 1 from up limit 1000) select n from up")
            const text = "select n from numbers order by n"
            const seen = []
            for (const { n } of db.iterate(text)) {
              // The same text again, while it is being read.
              if (n === 2) seen.push(db.all(text).length)
              if (n === 200) break
              if (n % 50 === 0) seen.push(n)
            }
            db.exec("drop table numbers")
            told.iterate = seen
            told.wrong = [
              thrown(() => db.run("select 1; select 2")),
              thrown(() => db.all("select ?", [])),
              thrown(() => db.exec("nonsense"))
            ]
            return told
          }`)}`
      )
      const told = (yield* module.runInWorker("program")) as Record<string, unknown>
      const { exact, wrong, ...rest } = told
      assert.deepStrictEqual(rest, {
        inTransaction: [false, true],
        run: [
          { changes: 2, lastInsertRowid: 9n },
          { changes: 2, lastInsertRowid: 9n },
          { changes: 1, lastInsertRowid: 9n },
          0
        ],
        all: [
          { n: 7, text: "seven" },
          { n: 9, text: "NINE" }
        ],
        returned: [{ n: 10 }],
        iterate: [1000, 50, 100, 150]
      })
      assert.include(String(exact), "beyond")
      const [scripts, parameters, syntax] = wrong as ReadonlyArray<string>
      assert.include(scripts, "exactly one statement")
      assert.include(parameters, "1 parameters, but 0 were given")
      assert.include(syntax, "syntax error")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 37: arguments and results are cloned; what cannot be is a typed failure", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      const value = { at: new Date(0), map: new Map([[1, { deep: [1n, "x"] }]]), bytes: new Uint8Array([1]) }
      assert.deepStrictEqual(yield* module.runInWorker("echo", value), value)
      const buffer = new ArrayBuffer(8)
      assert.deepStrictEqual(yield* module.runInWorker("echo", buffer), buffer)
      assert.strictEqual((yield* reasonOf(module.runInWorker("echo", () => 1))).reason, "InvalidParameter")
      assert.strictEqual((yield* reasonOf(module.runInWorker("notClonable"))).reason, "ConversionFailed")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 37: errors: thrown, refused promises, SQLite's own, exports that are not there", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      const thrown = workerError(yield* reasonOf(module.runInWorker("fail", "now")))
      assert.deepStrictEqual([thrown.className, thrown.message, thrown.code], ["OutOfStock", "now", "E_STOCK"])
      assert.strictEqual(workerError(yield* reasonOf(module.runInWorker("laterRefused"))).message, "later")
      yield* sql`create table unique_names(name text unique)`
      const unique = yield* reasonOf(module.runInWorker("twice"))
      assert.strictEqual(unique.reason, "UniqueViolation")
      assert.deepStrictEqual(unique.columns, ["name"])
      assert.strictEqual((yield* reasonOf(module.runInWorker("calls", "select nope"))).reason, "SqlSyntax")
      assert.strictEqual((yield* reasonOf(module.runInWorker("calls", "select 1; select 2"))).reason, "Unsupported")
      assert.strictEqual(workerError(yield* reasonOf(module.runInWorker("calls", "select ?"))).className, "RangeError")
      const untyped = yield* sql.workerModule(functions)
      assert.include((yield* reasonOf(untyped.runInWorker("missing"))).message, '"missing"')
      assert.strictEqual(
        (yield* reasonOf(sql.workerModule(functions, { functions: ["notFunction"] }))).reason,
        "Unsupported"
      )
      assert.strictEqual((yield* reasonOf(sql.workerModule("./relative.js"))).reason, "InvalidParameter")
      const absent = yield* reasonOf(sql.workerModule("file:///nowhere/at/all.mjs"))
      assert.strictEqual(workerError(absent).code, "ERR_MODULE_NOT_FOUND")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 37: a promise is awaited before the next request", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      const order: Array<string> = []
      const [n] = yield* Effect.all(
        [
          Effect.tap(module.runInWorker("later", 100), () => Effect.sync(() => order.push("later"))),
          Effect.delay(
            Effect.tap(sql`select 1`, () => Effect.sync(() => order.push("select"))),
            20
          )
        ],
        { concurrency: "unbounded" }
      )
      assert.strictEqual(n, 7)
      assert.deepStrictEqual(order, ["later", "select"])
      for (let i = 0; i < 20; i++) {
        assert.strictEqual(yield* module.runInWorker("later", 0), 7)
        assert.deepStrictEqual(yield* sql`select ${i} as i`, [{ i }])
      }
    })
  )

  it.scopedLive("transactions: within one it is the fiber's; one that it leaves open is rolled back", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      const left = yield* reasonOf(module.runInWorker("begun"))
      assert.strictEqual(left.reason, "Unsupported")
      assert.include(left.message, "transaction open")
      assert.strictEqual((yield* reasonOf(sql`select * from begun`)).reason, "SqlSyntax")
      yield* Effect.ignore(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`create table inside(n)`
            assert.deepStrictEqual(yield* module.runInWorker("calls", "select count(*) as n from inside"), [{ n: 0 }])
            return yield* Effect.fail("undo")
          })
        )
      )
      assert.strictEqual((yield* reasonOf(module.runInWorker("calls", "select * from inside"))).reason, "SqlSyntax")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a transaction that it ends is gone for those who are in it", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      yield* sql`create table t(n)`
      const ended = (text: string) =>
        reasonOf(sql.withTransaction(Effect.zipRight(sql`insert into t values (1)`, module.runInWorker("calls", text))))
      const gone = { reason: "TransactionGone", outcome: "unknown" } as const
      assert.deepInclude(yield* ended("rollback"), gone)
      assert.deepStrictEqual(yield* sql`select * from t`, [])
      assert.deepInclude(yield* ended("commit"), gone)
      assert.deepStrictEqual(yield* sql`select * from t`, [{ n: 1 }])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("what it has done before it throws may be there", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      yield* sql`create table t(n unique)`
      const insert = "insert into t values (1)"
      assert.strictEqual((yield* reasonOf(module.runInWorker("failAfter", insert))).outcome, "unknown")
      assert.deepStrictEqual(yield* sql`select * from t`, [{ n: 1 }])
      const script = `insert into t values (2); ${insert}`
      assert.strictEqual((yield* reasonOf(module.runInWorker("failAfter", script))).outcome, "unknown")
      assert.strictEqual((yield* sql`select * from t`).length, 2)
      yield* sql.function("fails", () => Effect.fail("asked"))
      const asked = yield* reasonOf(module.runInWorker("failAfter", "insert into t values (3); select fails()"))
      assert.deepStrictEqual([asked.cause, asked.outcome], ["asked", "unknown"])
      // All of its transaction is undone.
      const inside = sql.withTransaction(module.runInWorker("failAfter", "insert into t values (4)"))
      assert.strictEqual((yield* reasonOf(inside)).outcome, "notExecuted")
      assert.strictEqual((yield* sql`select * from t`).length, 3)
    })
  )

  it.scopedLive("with readers: it has done well also where it is late", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      const module = yield* sql.workerModule<Functions>(functions)
      yield* sql`create table t(n)`
      yield* module.runInWorker("busyAfter", "insert into t values (1)", 300).pipe(SqlClient.withDeadline("200 millis"))
      assert.deepStrictEqual(yield* sql`select * from t`, [{ n: 1 }])
      // Whoever waits for his turn waits until his deadline.
      const held = yield* Effect.fork(sql.withTransaction(Effect.never))
      yield* Effect.sleep(50)
      const [took, waited] = yield* timed(
        reasonOf(module.runInWorker("failAfter", "").pipe(SqlClient.withDeadline("100 millis")))
      )
      assert.deepStrictEqual([waited.reason, waited.outcome], ["StatementTimeout", "notExecuted"])
      assert.isBelow(took, 10_000)
      yield* Fiber.interrupt(held)
    })
  )

  it.scopedLive("with readers: a temporary table that it makes is seen, whatever becomes of it", () =>
    Effect.gen(function* () {
      const temporary = "create temp table t(n); insert into t values (99)"
      const ways: ReadonlyArray<
        (module: SqliteClient.WorkerModule<Functions>) => Effect.Effect<unknown, SqlError.SqlError>
      > = [
        (module) => module.runInWorker("busyAfter", temporary, 0),
        (module) => module.runInWorker("failAfter", temporary),
        (module) => module.runInWorker("busyAfter", temporary, 300).pipe(SqlClient.withDeadline("200 millis"))
      ]
      for (const way of ways) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
            const module = yield* sql.workerModule<Functions>(functions)
            yield* sql`create table t(n)`
            yield* module.runInWorker("busyAfter", "insert into t values (1)", 0)
            for (let i = 0; i < 3; i++) {
              assert.deepStrictEqual(yield* sql`select * from t`, [{ n: 1 }])
            }
            yield* Effect.ignore(way(module))
            assert.deepStrictEqual(yield* sql`select * from t`, [{ n: 99 }])
          })
        )
      }
    })
  )

  it.scopedLive("the database is of no use once its function has ended", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      yield* module.runInWorker("keep")
      assert.include((yield* reasonOf(module.runInWorker("useKept"))).message, "only there while")
    })
  )

  it.scopedLive("interrupt and deadline: where it waits for a promise, and within SQLite", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const module = yield* sql.workerModule<Functions>(functions)
      const waiting = yield* Effect.fork(module.runInWorker("never"))
      yield* Effect.sleep(50)
      const [took] = yield* timed(Fiber.interrupt(waiting))
      assert.isBelow(took, 10_000)
      const late = yield* reasonOf(module.runInWorker("never").pipe(SqlClient.withDeadline("50 millis")))
      assert.strictEqual(late.reason, "StatementTimeout")
      if (engine === "native") {
        const spinning = yield* Effect.fork(module.runInWorker("endless"))
        yield* Effect.sleep(50)
        assert.isBelow((yield* timed(Fiber.interrupt(spinning)))[0], 10_000)
        const spun = yield* reasonOf(module.runInWorker("endless").pipe(SqlClient.withDeadline("50 millis")))
        assert.strictEqual(spun.reason, "StatementTimeout")
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("on every session, those that open later, too; taken away again", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 2 })
      const module = yield* sql.workerModule<Functions>(functions, { functions: ["plus"] })
      const each = Array.from({ length: 8 }, (_, i) => i)
      for (let round = 0; round < 3; round++) {
        assert.deepStrictEqual(
          yield* Effect.forEach(each, (i) => sql`select plus(${i}, 1) as n`, { concurrency: "unbounded" }),
          each.map((i) => [{ n: i + 1 }])
        )
      }
      assert.strictEqual((yield* module.runInWorker("fill", "later_seen", 3)).last, 3n)
      assert.deepStrictEqual(yield* sql`select count(*) as n from later_seen`, [{ n: 3 }])
      yield* module.remove
      assert.strictEqual((yield* reasonOf(sql`select plus(1, 2)`)).reason, "SqlSyntax")
    })
  )

  it.scopedLive("a loop-side function within: the program asks the event loop, which answers", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.function("outside", (n) => Effect.delay(Effect.succeed(Number(n) + 1), 5))
      const module = yield* sql.workerModule<Functions>(functions)
      assert.deepStrictEqual(yield* module.runInWorker("calls", "select outside(1) as n"), [{ n: 2 }])
      const error = new Error("mine")
      yield* sql.function("fails", () => Effect.fail(error))
      assert.strictEqual((yield* reasonOf(module.runInWorker("calls", "select fails()"))).cause, error)
    })
  )
})

it("the types of a module are those of its exports", () => {
  const check = (module: SqliteClient.WorkerModule<Functions>) => {
    const result: Effect.Effect<Array<string>, unknown> = module.runInWorker("firstNames", "t", 1)
    const promised: Effect.Effect<number, unknown> = module.runInWorker("later", 1)
    // @ts-expect-error the arguments are those of the export
    const wrong = module.runInWorker("firstNames", 1)
    // @ts-expect-error there is no such export
    const missing = module.runInWorker("nothing")
    return [result, promised, wrong, missing]
  }
  const options: SqliteClient.WorkerModuleOptions<Functions> = { functions: ["slug"], aggregates: ["product"] }
  // @ts-expect-error no aggregate
  const wrong: SqliteClient.WorkerModuleOptions<Functions> = { aggregates: ["slug"] }
  // @ts-expect-error promises are nothing that SQL can have
  const promise: SqliteClient.WorkerModuleOptions<Functions> = { functions: ["later"] }
  assert.isFunction(check)
  assert.isDefined([options, wrong, promise])
})
