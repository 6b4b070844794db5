import { Reactivity } from "@effect/experimental"
import { SqlClient as EffectSql } from "@effect/sql"
import { afterAll, assert, describe, it } from "@effect/vitest"
import type { SqliteClient } from "@sluice/sqlite"
import { Effect, Exit, Fiber, Layer, Queue, Scope, Stream } from "effect"
import { moduleUrl } from "./callbacks/moduleUrl.js"
import { assertIdle, endless, open, timed } from "./conformance/stopping.js"
import { eventually, layerOf, layerOnFile, leftovers, onEngines, reasonOf, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const workerFunctions = moduleUrl(new URL("./callbacks/workerFunctions.ts", import.meta.url))

const short = (change: SqliteClient.Change): string =>
  change.operation === "unknown"
    ? `? ${change.table} ${change.rows}`
    : `${change.operation} ${change.table} ${change.rowid}`

/** Listens; `heard` answers what has been told up to a mark that it makes itself. */
const listen = (sql: SqliteClient.SqliteClient) =>
  Effect.gen(function* () {
    yield* sql`create table mark (n integer primary key)`
    let told: Array<string> = []
    const all: Array<SqliteClient.Change> = []
    yield* Effect.forkScoped(
      Stream.runForEach(sql.changes, (change) =>
        Effect.sync(() => {
          told.push(short(change))
          all.push(change)
        })
      )
    )
    let marks = 0
    const heard = Effect.gen(function* () {
      const mark = `insert mark ${++marks}`
      yield* sql`insert into mark values (${marks})`
      yield* eventually(mark, () => told.includes(mark))
      const before = told.slice(0, told.indexOf(mark))
      told = told.slice(before.length + 1)
      return before
    })
    // Until it listens.
    for (let tries = 0; told.length === 0; tries++) {
      assert.isBelow(tries, 500)
      yield* sql`insert into mark values (${--marks - 1000})`
      yield* Effect.sleep(10)
    }
    marks = 0
    yield* heard
    return { heard, all }
  })

const table = (sql: SqliteClient.SqliteClient) => sql`create table t (id integer primary key, v integer unique)`

describe("changes (native)", () => {
  it.scopedLive("tells of rows once they are committed, in order", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* table(sql)
      const { all, heard } = yield* listen(sql)
      yield* sql`insert into t values (1, 10), (2, 20)`
      yield* sql`update t set v = 21 where id = 2`
      yield* sql`delete from t where id = 1`
      assert.deepStrictEqual(yield* heard, ["insert t 1", "insert t 2", "update t 2", "delete t 1"])
      assert.deepStrictEqual(
        all.find((change) => change.table === "t"),
        { operation: "insert", database: "main", table: "t", rowid: 1 }
      )
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`insert into t values (3, 30)`
          yield* sql`select 1`
          yield* Effect.sleep(50)
          assert.isFalse(all.some((change) => short(change) === "insert t 3"))
          yield* sql`insert into t values (${9007199254740993n}, 40)`
        })
      )
      assert.deepStrictEqual(yield* heard, ["insert t 3", "insert t 9007199254740993"])
      yield* sql.many("insert into t values (?, ?)", [
        [5, 50],
        [6, 60]
      ])
      yield* sql.batch(["insert into t values (7, 70)", "delete from t where id = 7"])
      yield* sql`insert into t values (8, 80) returning id`
      assert.deepStrictEqual(yield* heard, ["insert t 5", "insert t 6", "insert t 7", "delete t 7", "insert t 8"])
    })
  )

  it.scopedLive("tells of what runInWorker has written, once it is committed", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* table(sql)
      const { heard } = yield* listen(sql)
      const module = yield* sql.workerModule<typeof import("./callbacks/workerFunctions.js")>(workerFunctions)
      yield* module.runInWorker("fillPairs", 1, 3)
      assert.deepStrictEqual(yield* heard, ["insert t 1", "insert t 2", "insert t 3"])
      yield* module.runInWorker("fillAndUndo")
      assert.deepStrictEqual(yield* heard, ["insert t 101", "update t 101"])
      const undone = Effect.zipRight(module.runInWorker("fillPairs", 10, 11), Effect.fail("no"))
      yield* Effect.ignore(sql.withTransaction(undone))
      assert.deepStrictEqual(yield* heard, [])
      yield* sql.withTransaction(
        Effect.zipRight(module.runInWorker("fillPairs", 20, 21), sql`delete from t where id = 20`)
      )
      assert.deepStrictEqual(yield* heard, ["insert t 20", "insert t 21", "delete t 20"])
      // Fails with its second row: what was written before it is by itself.
      yield* Effect.ignore(
        module.runInWorker("fillPairs", 30, 31).pipe(Effect.zipRight(module.runInWorker("fillPairs", 31, 32)))
      )
      assert.deepStrictEqual(yield* heard, ["insert t 30", "insert t 31"])
    })
  )

  it.scopedLive("never tells of what was undone: rollbacks, savepoints, statements that failed", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* table(sql)
      yield* sql`insert into t values (1, 1)`
      const { heard } = yield* listen(sql)
      const insert = (id: number, v = id) => sql`insert into t values (${id}, ${v})`
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(2), Effect.fail("undo"))))
      yield* Effect.ignore(sql`insert into t values (3, 3), (4, 1)`)
      assert.deepStrictEqual(yield* heard, [])
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(10)
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(11), Effect.fail("undo"))))
          yield* sql.withTransaction(insert(12))
          // Its first row is undone with it.
          yield* Effect.ignore(sql`insert into t values (13, 13), (14, 1)`)
          // Its first row stays.
          yield* Effect.ignore(sql`insert or fail into t values (15, 15), (16, 1)`)
          yield* Effect.ignore(
            sql.many("insert into t values (?, ?)", [
              [17, 17],
              [18, 1]
            ])
          )
          yield* Effect.ignore(sql.batch(["insert into t values (19, 19)", "insert into t values (20, 1)"]))
        })
      )
      assert.deepStrictEqual(yield* heard, ["insert t 10", "insert t 12", "insert t 15"])
      yield* Effect.ignore(
        sql.many("insert into t values (?, ?)", [
          [21, 21],
          [22, 1]
        ])
      )
      yield* Effect.ignore(sql.batch(["insert into t values (23, 23)", "insert into t values (24, 1)"]))
      assert.deepStrictEqual(yield* heard, [])
      yield* sql.unsafe(`
        begin; insert into t values (30, 30); commit;
        begin; insert into t values (31, 31); rollback;
        savepoint A; insert into t values (32, 32);
          savepoint b; insert into t values (33, 33); savepoint c; insert into t values (34, 34);
          rollback to B; insert into t values (35, 35); release b;
          savepoint d; insert into t values (36, 36); rollback to d; release a;
        insert into t values (37, 37)`)
      assert.deepStrictEqual(yield* heard, ["insert t 30", "insert t 32", "insert t 35", "insert t 37"])
      const { remove } = yield* sql.commitHook(Effect.succeed(true))
      yield* Effect.ignore(insert(40))
      yield* remove
      assert.deepStrictEqual(yield* heard, [])
      assert.deepStrictEqual(
        (yield* sql<{ id: number }>`select id from t where id >= 2`).map(({ id }) => id),
        [10, 12, 15, 30, 32, 35, 37]
      )
    })
  )

  it.scopedLive("a table emptied as a whole, triggers, tables without rowids, virtual tables, drops", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* table(sql)
      yield* sql`create table w (k text primary key) without rowid`
      yield* sql`create virtual table f using fts5(body)`
      yield* sql`create table log (id integer primary key)`
      yield* sql`insert into t values (1, 1), (2, 2)`
      // Kept prepared from before anybody listened.
      yield* sql`delete from t`
      yield* sql`insert into t values (1, 1), (2, 2)`
      const { heard } = yield* listen(sql)
      yield* sql`delete from t`
      assert.deepStrictEqual(yield* heard, ["delete t 1", "delete t 2"])
      yield* sql`insert into w values ('a'), ('b')`
      assert.deepStrictEqual(yield* heard, ["? w 2"])
      yield* sql`insert into f values ('text')`
      const told = Effect.map(heard, (changes) => changes.filter((change) => change.startsWith("? f ")))
      assert.deepStrictEqual(yield* told, ["? f 1"])
      yield* sql`insert into f values ('one'), ('two'), ('three')`
      assert.deepStrictEqual(yield* told, ["? f 3"])
      yield* sql.many("insert into f values (?)", [["four"], ["five"]])
      assert.deepStrictEqual(yield* told, ["? f 1", "? f 1"])
      yield* sql`update f set body = 'none'`
      assert.deepStrictEqual(yield* told, ["? f 6"])
      yield* sql`delete from f where rowid <= 2`
      assert.deepStrictEqual(yield* told, ["? f 2"])
      yield* sql`create trigger tr after insert on t begin insert into log values (new.id * 10); end`
      yield* sql`insert into t values (3, 3)`
      assert.deepStrictEqual(yield* heard, ["insert t 3", "insert log 30"])
      yield* sql`drop table t`
      assert.deepStrictEqual(yield* sql`select name from sqlite_schema where name = 't'`, [])
      yield* sql`drop table f`
      yield* heard
      yield* sql`vacuum`
      assert.deepStrictEqual(yield* heard, [])
      yield* sql`create temp table x (n)`
      yield* sql`insert into x values (1)`
      assert.include(yield* heard, "insert x 1")
    })
  )

  it.scopedLive("what is too much for one transaction, or for a slow reader, is told as a number", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { changes: { capacity: 10 } })
      yield* table(sql)
      const { all } = yield* listen(sql)
      const rows = () => all.filter((change) => change.table === "t")
      const series = "with recursive up(n) as (select 1 union all select n + 1 from up limit 70000)"
      yield* sql.unsafe(`${series} insert into t select n, n from up`)
      yield* eventually("told", () => rows().length === 11)
      assert.deepStrictEqual(rows()[10], { operation: "unknown", database: "main", table: "t", rows: 69_990 })
      all.length = 0
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update t set v = -v`
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql`delete from t`, Effect.fail("undo"))))
          yield* sql`delete from t where id <= 2`
        })
      )
      yield* eventually("told", () => rows().length === 11)
      assert.strictEqual((rows()[10] as SqliteClient.UnknownChange).rows, 69_992)
    })
  )

  it.scopedLive("nothing is noted while nobody listens; who listens again hears again", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* table(sql)
      const first = (id: number) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.fork(Stream.runHead(sql.changes))
          let tries = 0
          while (fiber.unsafePoll() === null && tries++ < 500) {
            yield* sql`insert or replace into t values (${id}, ${id})`
            yield* Effect.sleep(5)
          }
          return yield* Effect.flatten(Fiber.join(fiber))
        })
      assert.strictEqual(short(yield* first(1)), "insert t 1")
      yield* sql`insert into t values (2, 2)`
      assert.strictEqual(short(yield* first(3)), "insert t 3")
      yield* assertIdle(sql)
    })
  )

  it.live("ends with the client", () =>
    Effect.gen(function* () {
      const reading = yield* Effect.scoped(
        Effect.flatMap(open("native"), (sql) =>
          Effect.zipLeft(Effect.forkDaemon(Stream.runDrain(sql.changes)), Effect.sleep(50))
        )
      )
      yield* Effect.timeout(Fiber.join(reading), "10 seconds")
    })
  )

  it.scopedLive("commits of others are noticed, without rows", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open("native", { filename, readers: 1, changes: { interval: "20 millis" } })
      const other = yield* open("native", { filename })
      yield* table(sql)
      const { all, heard } = yield* listen(sql)
      yield* sql`insert into t values (1, 1)`
      yield* Effect.sleep(100)
      assert.deepStrictEqual(yield* heard, ["insert t 1"])
      yield* other`insert into t values (2, 2)`
      yield* eventually("noticed", () => all.some((change) => change.operation === "unknown"))
      assert.deepStrictEqual(
        all.find((change) => change.operation === "unknown"),
        { operation: "unknown", database: undefined, table: undefined, rows: undefined }
      )
    })
  )
})

describe("changes (portable)", () => {
  it.scopedLive("are Unsupported, and leave nothing registered", () =>
    Effect.gen(function* () {
      const sql = yield* open("portable")
      const failure = yield* reasonOf(Stream.runDrain(sql.changes))
      assert.strictEqual(failure.reason, "Unsupported")
      assert.include(failure.message, "native engine")
      yield* assertIdle(sql)
    })
  )
})

/** What a reactive count of `t` has given so far, and one more. */
const watch = Effect.gen(function* () {
  const sql = yield* EffectSql.SqlClient
  yield* sql`create table t (n)`
  const seen = yield* Queue.unbounded<number>()
  const count = Effect.map(sql<{ n: number }>`select count(*) as n from t`, ([row]) => row!.n)
  yield* Effect.forkScoped(Stream.runForEach(sql.reactive(["t"], count), (n) => Queue.offer(seen, n)))
  const next = Effect.timeout(Queue.take(seen), "10 seconds")
  const nothing = Effect.zipRight(
    Effect.sleep(100),
    Effect.map(Queue.size(seen), (size) => assert.strictEqual(size, 0))
  )
  assert.strictEqual(yield* next, 0)
  return { sql, next, nothing, insert: sql`insert into t values (1)` }
})

describe("reactive queries run again by themselves", () => {
  it.scopedLive("after a commit, of any session; not twice where somebody says so, too", () =>
    Effect.gen(function* () {
      const { insert, next, nothing, sql } = yield* watch
      yield* insert
      assert.strictEqual(yield* next, 1)
      yield* nothing
      yield* Reactivity.mutation(insert, ["t"])
      assert.strictEqual(yield* next, 2)
      yield* nothing
      yield* sql.withTransaction(Effect.zipRight(insert, nothing))
      assert.strictEqual(yield* next, 3)
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert, Effect.fail("undo"))))
      yield* nothing
      yield* sql`delete from t`
      assert.strictEqual(yield* next, 0)
    }).pipe(Effect.provide(Layer.merge(layerOnFile("native", { readers: 1 }), Reactivity.layer)))
  )

  it.scopedLive("after a commit of another process, on either engine", () =>
    Effect.forEach(["native", "portable"] as const, (engine) =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        yield* Effect.gen(function* () {
          const { next } = yield* watch
          const other = yield* open("native", { filename })
          yield* Effect.sleep(200)
          yield* other`insert into t values (1)`
          assert.strictEqual(yield* next, 1)
        }).pipe(
          Effect.provide(
            Layer.merge(layerOf(engine, { filename, changes: { interval: "20 millis" } }), Reactivity.layer)
          )
        )
      })
    )
  )
})

/** One that tells what is read, and one that only depends on it. */
const listeners = (sql: SqliteClient.SqliteClient) => [
  Stream.runDrain(sql.changes),
  Stream.runDrain(sql.reactive(["t"], Effect.succeed(1)))
]

onEngines("listeners that come while the session is busy", (engine) => {
  it.scopedLive("are interrupted at once, and do not keep the client from closing", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const config = { filename: yield* tempFile, onClose: "interrupt" } as const
      const sql = yield* Scope.extend(open(engine, config), scope)
      const busy = yield* Effect.fork(reasonOf(sql.unsafe(endless(engine))))
      yield* Effect.sleep(50)
      for (const listener of listeners(sql)) {
        const fiber = yield* Effect.fork(listener)
        yield* Effect.sleep(50)
        const [took] = yield* timed(Fiber.interrupt(fiber))
        assert.isBelow(took, 1000)
      }
      const waiting = yield* Effect.forEach(listeners(sql), (listener) => Effect.fork(Effect.exit(listener)))
      yield* Effect.sleep(50)
      const [took] = yield* timed(Scope.close(scope, Exit.void))
      assert.isBelow(took, 1000)
      assert.strictEqual((yield* Fiber.join(busy)).reason, "Closed")
      yield* Fiber.interruptAll(waiting)
    })
  )

  it.scopedLive("fail with ReentrantCall where it waits for themselves", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      for (const listener of listeners(sql)) {
        yield* sql.function("listen", () => Effect.map(reasonOf(listener as Effect.Effect<void>), (it) => it.reason))
        assert.deepStrictEqual(yield* sql`select listen() as why`, [{ why: "ReentrantCall" }])
      }
      yield* assertIdle(sql)
    })
  )
})

describe("listeners come and go (native)", () => {
  // Whose scope closes all the same, and the client's, too.
  it.scopedLive("also in an uninterruptible region", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* table(sql)
      const insert = Effect.forever(Effect.zipRight(sql`insert into t default values`, Effect.sleep(20)))
      yield* Effect.forkScoped(insert)
      const first = sql.changes.pipe(Stream.take(1), Stream.runCollect)
      const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(first))
      assert.strictEqual((yield* Effect.timeout(Fiber.join(fiber), "20 seconds")).length, 1)
      const mailbox = sql.reactiveMailbox(["t"], sql`select 1`)
      const closed = yield* Effect.forkDaemon(Effect.scoped(Effect.acquireRelease(mailbox, () => Effect.void)))
      yield* Effect.timeout(Fiber.join(closed), "20 seconds")
    }).pipe(Effect.provide(Reactivity.layer))
  )

  it.scopedLive("while others come: the last one that stays hears everything", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* table(sql)
      const listenFor = (count: number) => Effect.fork(Stream.runCollect(Stream.take(sql.changes, count)))
      const busy = yield* Effect.fork(sql.unsafe(endless("native")))
      yield* Effect.sleep(50)
      const [first, second, third] = [yield* listenFor(9), yield* listenFor(1), yield* listenFor(2)]
      yield* Effect.sleep(50)
      yield* Fiber.interrupt(first)
      yield* Fiber.interrupt(busy)
      yield* Effect.sleep(100)
      yield* sql`insert into t values (1, 1)`
      assert.deepStrictEqual([...(yield* Fiber.join(second))].map(short), ["insert t 1"])
      yield* sql`insert into t values (2, 2)`
      assert.deepStrictEqual([...(yield* Fiber.join(third))].map(short), ["insert t 1", "insert t 2"])
      const last = yield* listenFor(1)
      yield* Effect.sleep(100)
      yield* sql`insert into t values (3, 3)`
      assert.deepStrictEqual([...(yield* Fiber.join(last))].map(short), ["insert t 3"])
    })
  )
})
