import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import { SqliteClient, SqliteTransport } from "@sluice/sqlite"
import { Context, Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import { countTo, layerOf, layerOnFile, leftovers, onEngines, reasonOf, spinFor } from "../support.js"

type Row = Readonly<Record<string, unknown>>

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

onEngines("columns", (engine) => {
  it.scopedLive("two columns of one name: the last one counts in objects, arrays have both", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const statement = sql<Row>`select 1 as a, 2 as b, 3 as a`
      assert.deepStrictEqual(yield* statement, [{ a: 3, b: 2 }])
      assert.deepStrictEqual(yield* statement.values, [[1, 2, 3]])
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(statement.stream)), [{ a: 3, b: 2 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("names that objects have a meaning for are only names", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const names = [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "",
        "0",
        "-1",
        "a\nb",
        'say "x"',
        "then",
        "ü"
      ]
      for (const name of names) {
        const [row] = yield* sql.unsafe<Row>(`select 7 as "${name.replaceAll('"', '""')}", 8 as other`)
        assert.isTrue(Object.hasOwn(row!, name), name)
        assert.strictEqual(Object.getOwnPropertyDescriptor(row, name)?.value, 7, name)
        assert.strictEqual(Object.keys(row!).length, 2, name)
      }
      const [row] = yield* sql.unsafe<Row>(`select '{"polluted": 1}' as "__proto__"`)
      assert.isUndefined((row as Record<string, unknown>)["polluted"])
      assert.isUndefined(({} as Record<string, unknown>)["polluted"])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a change of the schema under a remembered statement", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      yield* sql`insert into t values (1)`
      const all = sql<Row>`select * from t`
      const streamed = Effect.map(Stream.runCollect(all.stream), (rows) => Array.from(rows))
      assert.deepStrictEqual(yield* all, [{ a: 1 }])
      assert.deepStrictEqual(yield* streamed, [{ a: 1 }])
      yield* sql`alter table t add column b default 'x'`
      assert.deepStrictEqual(yield* all, [{ a: 1, b: "x" }])
      assert.deepStrictEqual(yield* streamed, [{ a: 1, b: "x" }])
      assert.deepStrictEqual(yield* all.values, [[1, "x"]])
      yield* sql`alter table t rename column a to c`
      assert.deepStrictEqual(yield* streamed, [{ c: 1, b: "x" }])
      assert.deepStrictEqual(yield* all, [{ c: 1, b: "x" }])
      yield* sql`alter table t drop column b`
      assert.deepStrictEqual(yield* all.values, [[1]])
      assert.deepStrictEqual(yield* all, [{ c: 1 }])
      yield* sql`drop table t`
      assert.strictEqual((yield* reasonOf(all)).reason, "SqlSyntax")
      yield* sql`create table t (x, y, z)`
      assert.deepStrictEqual(yield* all, [])
      yield* sql`insert into t values (1, 2, 3)`
      assert.deepStrictEqual(yield* all, [{ x: 1, y: 2, z: 3 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("the same change seen by readers", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a)`
      yield* sql`insert into t values (1)`
      const all = sql<Row>`select * from t`
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(yield* all, [{ a: 1 }])
      }
      yield* sql`alter table t add column b default 'x'`
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(yield* all, [{ a: 1, b: "x" }])
        assert.deepStrictEqual(Array.from(yield* Stream.runCollect(all.stream)), [{ a: 1, b: "x" }])
      }
    }).pipe(Effect.provide(layerOnFile(engine, { readers: 2 })))
  )
})

onEngines("the statement cache", (engine) => {
  it.scopedLive("one statement kept, and cursors interleaved with each other and with statements", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const stream = (from: number) =>
        sql.unsafe<{ n: number }>(`select n + ${from} as n from (${countTo(40)})`).pipe(SqlClient.withPrefetch(3))
          .stream
      const rows = yield* Stream.runCollect(
        Stream.mapEffect(Stream.zip(stream(0), Stream.zip(stream(100), stream(0))), ([a, [b, c]]) =>
          Effect.map(sql<{ s: number }>`select ${a.n} + ${b.n} + ${c.n} as s`, ([row]) => row!.s)
        )
      )
      assert.deepStrictEqual(
        Array.from(rows),
        upTo(40).map((n) => 3 * n + 100)
      )
    }).pipe(Effect.provide(layerOf(engine, { statementCacheSize: 1 })))
  )

  it.scopedLive("more different texts than are kept, several times around, alone and at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (let round = 0; round < 2; round++) {
        const rows = yield* Effect.forEach(upTo(500), (n) => sql.unsafe<{ n: number }>(`select ${n} as n`), {
          concurrency: round === 0 ? 1 : "unbounded"
        })
        assert.deepStrictEqual(
          rows.map(([row]) => row!.n),
          upTo(500)
        )
      }
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("the same text many times at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const rows = yield* Effect.forEach(upTo(300), (n) => sql<{ n: number }>`select ${n} as n`, {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        rows.map(([row]) => row!.n),
        upTo(300)
      )
    }).pipe(Effect.provide(layerOf(engine, { statementCacheSize: 1 })))
  )

  it.scopedLive("a text that fails to compile is not remembered as such", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      const statement = sql<Row>`select a from later`
      assert.strictEqual((yield* reasonOf(statement)).reason, "SqlSyntax")
      yield* sql`create table later (a)`
      assert.deepStrictEqual(yield* statement, [])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a statement that failed in the middle is clean when it runs again", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table t (a unique)`
      for (let i = 0; i < 3; i++) {
        assert.strictEqual((yield* reasonOf(sql`insert into t values (${1}), (${1})`)).reason, "UniqueViolation")
        yield* sql`insert into t values (${i * 2 + 10}), (${i * 2 + 11})`
      }
      assert.deepStrictEqual((yield* sql`select a from t order by a`.values).flat(), [10, 11, 12, 13, 14, 15])
    }).pipe(Effect.provide(layerOf(engine)))
  )
})

onEngines("inspecting", (engine) => {
  it.scopedLive("row 96: an open, a busy and a closed client tell what they are, at once", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const sql = Context.get(yield* Layer.buildWithScope(layerOf(engine), scope), SqliteClient.SqliteClient)
      const state = () => {
        const before = performance.now()
        const text = `${inspect(sql)} ${JSON.stringify(sql)}`
        assert.isBelow(performance.now() - before, 2_000)
        return /"state":"(\w+)"/.exec(text)?.[1]
      }
      yield* sql`select 1`
      assert.strictEqual(state(), "open")
      assert.include(inspect(sql), engine)
      const busy = yield* Effect.fork(sql.unsafe(spinFor(1_000_000)))
      yield* Effect.sleep(20)
      assert.strictEqual(state(), "busy")
      yield* Fiber.join(busy)
      assert.strictEqual(state(), "open")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(state(), "closed")
    })
  )
})

describe("a faulty transport", () => {
  const page: SqlTransport.Answer = {
    columns: [],
    length: 1,
    objects: () => [{ one: 1 }],
    arrays: () => [[1]],
    raw: () => [{ one: 1 }],
    error: undefined,
    done: true,
    inTransaction: false,
    changes: undefined,
    queueNanos: 0,
    engineNanos: 0,
    routable: false,
    private: false
  }

  const session = (run: SqlTransport.Session["run"]): SqlTransport.Session => ({
    id: "fake",
    keepsContract: false,
    run,
    open: () => Effect.never,
    batch: () => Effect.never,
    describe: () => Effect.never,
    check: Effect.void,
    inTransaction: () => false,
    lost: Effect.never
  })

  const layerOfFake = (connect: SqlTransport.SqlTransport["connect"], grace = 50) => {
    const real = SqliteTransport.make({ filename: ":memory:" })
    const transport: SqlTransport.SqlTransport = {
      system: "fake",
      attributes: [],
      compiler: real.compiler,
      transactions: real.transactions,
      limits: { read: 0, write: 1, transaction: 0 },
      sharing: "fifo",
      grace,
      connect
    }
    return Layer.provide(SqlClient.layer, Layer.succeed(SqlTransport.SqlTransport, transport))
  }

  const fake = (run: SqlTransport.Session["run"]) => layerOfFake(() => Effect.succeed(session(run)))

  it.scopedLive("row 16: a transport is asked for pages of 1 to 65,536 rows, whatever the prefetch", () => {
    const asked: Array<number> = []
    const layer = fake((request) => {
      asked.push(request.prefetch)
      return Effect.succeed(page)
    })
    return Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (const prefetch of [0, -5, 1, 64, 65_536, 70_000]) {
        yield* sql`select 1`.pipe(SqlClient.withPrefetch(prefetch))
      }
      assert.deepStrictEqual(asked, [1, 1, 1, 64, 65_536, 65_536])
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive(
    "row 97: one that never answers: a deadline and an interrupt end the waiting, also of pulls and batches",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          sql`select 1`,
          Stream.runDrain(sql`select 1`.stream),
          sql.many("select ?", [[1]])
        ]
        for (const call of calls) {
          const failure = yield* reasonOf(SqlClient.withDeadline(30)(call))
          assert.strictEqual(failure.reason, "StatementTimeout")
          const fiber = yield* Effect.fork(call)
          yield* Effect.yieldNow()
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        }
      }).pipe(Effect.timeout("10 seconds"), Effect.provide(fake(() => Effect.never)))
  )

  it.scopedLive("row 97: one that answers twice: the first answer counts, and nothing breaks", () => {
    const layer = fake(() =>
      Effect.async((resume) => {
        resume(Effect.succeed(page))
        resume(Effect.succeed({ ...page, objects: () => [{ one: 2 }] }))
        setTimeout(() => resume(Effect.dieMessage("late")), 5)
      })
    )
    return Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (let i = 0; i < 5; i++) {
        assert.deepStrictEqual(yield* sql`select 1`, [{ one: 1 }])
      }
      yield* Effect.sleep(20)
      assert.deepStrictEqual(yield* sql`select 1`, [{ one: 1 }])
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive("row 97: one that answers late: the answer is ignored, the next call gets its own", () => {
    let calls = 0
    const layer = fake(() => {
      const call = ++calls
      return Effect.async((resume) => {
        setTimeout(() => resume(Effect.succeed({ ...page, objects: () => [{ call }] })), call === 1 ? 60 : 1)
      })
    })
    return Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      assert.strictEqual((yield* reasonOf(SqlClient.withDeadline(20)(sql`select 1`))).reason, "StatementTimeout")
      assert.deepStrictEqual(yield* sql`select 2`, [{ call: 2 }])
      yield* Effect.sleep(80)
      assert.deepStrictEqual(yield* sql`select 3`, [{ call: 3 }])
    }).pipe(Effect.provide(layer))
  })

  it.scopedLive("row 98: one whose close throws: it is logged, and the close succeeds", () => {
    const logged: Array<string> = []
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(
        ({ cause, logLevel, message }) => void logged.push(`${logLevel.label} ${String(message)} ${String(cause)}`)
      )
    )
    const layer = layerOfFake(() =>
      Effect.as(
        Effect.addFinalizer(() => Effect.die(new Error("close failed"))),
        session(() => Effect.succeed(page))
      )
    )
    return Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Effect.provide(
          Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select 1`),
          layer
        )
      )
      assert.deepStrictEqual(exit, Exit.succeed([{ one: 1 }]))
      assert.strictEqual(logged.length, 1)
      assert.match(logged[0]!, /^WARN .*close failed/s)
    }).pipe(Effect.provide(logger))
  })

  it.scopedLive("row 98: a connect that fails with a defect is no hang", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layerOfFake(() => Effect.dieMessage("connect died")))))
      assert.include(String(exit), "connect died")
      const failing = layerOfFake(() => Effect.fail(SqlFailure.make({ reason: "Authentication", message: "no" })))
      assert.strictEqual((yield* reasonOf(Effect.scoped(Layer.build(failing)))).reason, "Authentication")
    })
  )
})

describe("misc", () => {
  it.live("row 100: nothing is left", () => leftovers)
})
