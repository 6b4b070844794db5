/** The client as a program uses it, on this server. */
import * as Model from "@effect/sql/Model"
import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient, MapepireTransport } from "@sluice/mapepire"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { ConfigProvider, Context, Effect, Fiber, Layer, Redacted, Schedule, Schema, Stream } from "effect"
import { series, tracing } from "../../sql/test/tracing.js"
import { serve, users } from "./support.js"

const connected = (
  config: Partial<MapepireClient.MapepireClientConfig> = {},
  server: Parameters<typeof serve>[0] = {}
) =>
  Effect.gen(function* () {
    const { host, jobs, port, sockets } = yield* serve(server)
    const context = yield* Layer.build(
      MapepireClient.layer({
        host,
        port,
        secure: false,
        user: "DEV",
        password: Redacted.make(users.DEV),
        ...config
      })
    )
    return { context, sql: Context.get(context, MapepireClient.MapepireClient), jobs, sockets, host, port }
  })

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), SqlFailure.from)

describe("statements", () => {
  it.scopedLive("one client behind three tags", () =>
    Effect.gen(function* () {
      const { context, sql } = yield* connected()
      assert.strictEqual(Context.get(context, SqlClient.SqlClient), sql)
      assert.strictEqual(Context.get(context, EffectSql.SqlClient), sql)
    })
  )

  it.scopedLive("markers in select lists, names that fold, exact numbers", () =>
    Effect.gen(function* () {
      const { sql } = yield* connected()
      assert.deepStrictEqual(yield* sql`select ${7} as n, ${"ä€"} as t from sysibm.sysdummy1`, [{ n: 7, t: "ä€" }])
      yield* sql`create table ${sql("prices")} (id integer not null primary key, price decimal(20, 4), stock bigint)`
      yield* sql`insert into prices ${sql.insert([
        { id: 1, price: "1234567890123456.7890", stock: 9007199254740993n },
        { id: 2, price: null, stock: 5 }
      ])}`
      const query = sql`select * from ${sql("prices")} order by ${sql("id")}`
      assert.strictEqual((yield* failureOf(query)).reason, "ConversionFailed")
      assert.deepStrictEqual(yield* query.pipe(Effect.provideService(EffectSql.SafeIntegers, true)), [
        { id: 1n, price: "1234567890123456.7890", stock: 9007199254740993n },
        { id: 2n, price: null, stock: 5n }
      ])
      assert.deepStrictEqual(yield* sql`select id from prices where id in ${sql.in([2, 3])}`.values, [[2]])
    })
  )

  it.scopedLive("RETURNING of inserts, updates and deletes; several rows in their order", () =>
    Effect.gen(function* () {
      const { sql } = yield* connected()
      yield* sql`create table t (id integer not null generated always as identity primary key, name varchar(20))`
      assert.deepStrictEqual(
        yield* sql`insert into t ${sql.insert([{ name: "a" }, { name: "b" }]).returning("id, name")}`,
        [
          { id: 1, name: "a" },
          { id: 2, name: "b" }
        ]
      )
      assert.deepStrictEqual(yield* sql`update t set name = ${"c"} where id = ${1} returning *`, [{ id: 1, name: "c" }])
      assert.deepStrictEqual(yield* sql`delete from t where id = ${2} returning name`, [{ name: "b" }])
    })
  )

  it.scopedLive("Model's repository", () =>
    Effect.gen(function* () {
      const { context, sql } = yield* connected()
      yield* sql`create table users (id integer not null generated always as identity primary key, name varchar(50))`
      class User extends Model.Class<User>("User")({ id: Model.Generated(Schema.Int), name: Schema.String }) {}
      yield* Effect.gen(function* () {
        const users = yield* Model.makeRepository(User, { tableName: "users", spanPrefix: "users", idColumn: "id" })
        const made = yield* users.insert({ name: "Ada" })
        assert.deepStrictEqual({ ...made }, { id: 1, name: "Ada" })
        const renamed = yield* users.update({ ...made, name: "Grace" })
        assert.strictEqual(renamed.name, "Grace")
        assert.strictEqual((yield* Effect.flatten(users.findById(made.id))).name, "Grace")
        yield* users.delete(made.id)
        assert.deepStrictEqual(yield* sql`select count(*) as n from users`, [{ n: 0 }])
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("spans and metrics, as the configuration says", () =>
    Effect.gen(function* () {
      const { spans, tracer } = tracing()
      const attributesOf = (config: Partial<MapepireClient.MapepireClientConfig>) =>
        Effect.flatMap(connected({ spanAttributes: { "service.part": "payroll" }, ...config }), ({ port, sql }) =>
          Effect.map(
            Effect.withTracer(sql`select lastname from employee where empno = ${"000100"}`, tracer),
            () => [port, Object.fromEntries(spans.at(-1)!.attributes)] as const
          )
        )
      const [port, silent] = yield* attributesOf({})
      assert.strictEqual(spans.at(-1)!.name, "SELECT employee")
      assert.deepInclude(silent, {
        "db.system.name": "ibm.db2",
        "server.address": "127.0.0.1",
        "server.port": port,
        "db.query.text": "select lastname from employee where empno = ?",
        "db.response.returned_rows": 1,
        "service.part": "payroll"
      })
      assert.notInclude(JSON.stringify(silent), "000100")
      const [, told] = yield* attributesOf({ telemetry: { parameters: true } })
      assert.strictEqual(told["db.query.parameter.0"], "000100")
      const measured = (port: number) => series("db.client.operation.duration", { "server.port": String(port) }).length
      assert.strictEqual(measured(port), 1)
      const [unmeasured] = yield* attributesOf({ telemetry: { metrics: false } })
      assert.strictEqual(measured(unmeasured), 0)
    })
  )

  it.scopedLive("onDialect says what to use instead, unless there is a branch", () =>
    Effect.gen(function* () {
      const { sql } = yield* connected()
      const branch = () => "other"
      const five = { sqlite: branch, pg: branch, mysql: branch, mssql: branch, clickhouse: branch }
      assert.throws(() => sql.onDialect(five), /onDialectOrElse/)
      assert.strictEqual(sql.onDialect({ ...five, db2: () => "mine" } as typeof five), "mine")
    })
  )
})

describe("sessions", () => {
  it.scopedLive("those of transactions and of statements are apart; a transaction runs while a stream is read", () =>
    Effect.gen(function* () {
      const { jobs, sql } = yield* connected({ sessions: 1, transactions: 1 })
      yield* sql`create table t (n integer)`
      yield* sql.many("insert into t values (?)", [[1], [2], [3]])
      yield* sql<{ n: number }>`select n from t where n < 10`
        .pipe(SqlClient.withPrefetch(1))
        .stream.pipe(Stream.runForEach(({ n }) => sql.withTransaction(sql`insert into t values (${n + 10})`)))
      assert.deepStrictEqual(yield* sql`select n from t order by n`.values, [[1], [2], [3], [11], [12], [13]])
      assert.strictEqual((yield* jobs).length, 2)
    })
  )

  it.scopedLive("what a reserved session does by itself is committed, with BEGIN it is up to the holder", () =>
    Effect.gen(function* () {
      const { sql } = yield* connected()
      yield* sql`create table t (n integer)`
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* sql.reserve
          yield* connection.executeRaw("insert into t values (1)", [])
          assert.deepStrictEqual(yield* sql`select n from t`.values, [[1]])
          yield* connection.executeRaw("begin", [])
          yield* connection.executeRaw("insert into t values (2)", [])
          yield* connection.executeRaw("rollback", [])
          yield* connection.executeRaw("begin", [])
          yield* connection.executeRaw("insert into t values (3)", [])
          yield* connection.executeRaw("commit", [])
          yield* connection.executeRaw("begin", [])
          yield* connection.executeRaw("insert into t values (4)", [])
        })
      )
      assert.deepStrictEqual(yield* sql`select n from t order by n`.values, [[1], [3]])
      assert.strictEqual((yield* failureOf(sql`begin`)).reason, "Unsupported")
    })
  )

  it.scopedLive("isolation and access are those that a transaction asks for", () =>
    Effect.gen(function* () {
      const { sql } = yield* connected()
      yield* sql`create table t (n integer)`
      yield* sql.transaction({ isolation: "serializable" })(sql`insert into t values (1)`)
      yield* sql.transaction({ readOnly: true })(sql`select * from t`)
      for (const change of [sql`insert into t values (2)`, sql`create table u (n integer)`]) {
        assert.strictEqual((yield* failureOf(sql.transaction({ readOnly: true })(change))).reason, "Authorization")
      }
      assert.deepStrictEqual(yield* sql`select n from t`.values, [[1]])
    })
  )

  for (const end of ["commit", "/* done */ commit", "COMMIT HOLD"]) {
    it.scopedLive(`a transaction knows that ${JSON.stringify(end)} has ended it`, () =>
      Effect.gen(function* () {
        const { sql } = yield* connected()
        yield* sql`create table t (n integer)`
        // What follows on a reserved session is a transaction by itself.
        yield* Effect.scoped(
          Effect.flatMap(sql.reserve, (session) =>
            Effect.forEach(["begin", "insert into t values (1)", end, "insert into t values (2)"], (text) =>
              session.execute(text, [], undefined)
            )
          )
        )
        const more = Effect.zipRight(sql.unsafe(end), sql`insert into t values (4)`)
        const failure = yield* failureOf(sql.withTransaction(Effect.zipRight(sql`insert into t values (3)`, more)))
        assert.strictEqual(failure.reason, "TransactionGone")
        assert.deepStrictEqual(yield* sql`select n from t order by n`.values, [[1], [2], [3]])
      })
    )
  }

  it.scopedLive("a job that has used up its statements is replaced; no statement fails, no transaction is cut", () =>
    Effect.gen(function* () {
      const { jobs, sql } = yield* connected(
        { sessions: 1, transactions: 1, recycleAt: 20 },
        { limits: { statements: 1_500 } }
      )
      yield* sql`create table t (n integer)`
      const work = (n: number) => sql.unsafe(`insert into t values (${n})`)
      /** Runs it until the jobs are others than before. */
      const untilReplaced = (step: Effect.Effect<unknown, SqlError>) =>
        Effect.gen(function* () {
          yield* step
          const before = yield* jobs
          let steps = 1
          while ((yield* jobs).some((job) => before.includes(job)) && steps < 400) {
            yield* step
            steps++
            yield* Effect.sleep(5)
          }
          assert.isAbove(steps, 5)
          assert.isBelow(steps, 400)
          return steps
        })
      const first = yield* untilReplaced(work(1))
      // The job for transactions comes to it.
      const transaction = sql.withTransaction(Effect.zipRight(work(2), work(2)))
      const statements = Effect.zipRight(transaction, work(1))
      const second = yield* untilReplaced(statements)
      assert.deepStrictEqual(yield* sql`select n, count(*) as c from t group by n order by n`.values, [
        [1, first + second],
        [2, second * 2]
      ])
    })
  )

  it.scopedLive("statements may share a job", () =>
    Effect.gen(function* () {
      const { jobs, sql } = yield* connected({ sessions: 1, multiplex: 8 })
      const answers = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, i) => i),
        (i) => sql<{ n: number }>`values ${i}`.values,
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        answers.map((rows) => rows[0]![0]),
        Array.from({ length: 100 }, (_, i) => i)
      )
      assert.strictEqual((yield* jobs).length, 1)
    })
  )

  it.scopedLive("statements on opening; the first that fails, fails the opening", () =>
    Effect.gen(function* () {
      const { sql } = yield* connected({ onOpen: ["create table opened (n integer)"], sessions: 1 })
      assert.deepStrictEqual(yield* sql`select count(*) as n from opened`, [{ n: 0 }])
      const failed = yield* failureOf(connected({ onOpen: ["select * from nowhere"] }))
      assert.strictEqual(failed.reason, "SqlSyntax")
      const unfit = yield* failureOf(connected({ registers: { "CURRENT DEGREE = 'x'; DROP": "ANY" } }))
      assert.strictEqual(unfit.reason, "InvalidParameter")
    })
  )

  it.scopedLive("a job of one's own", () =>
    Effect.gen(function* () {
      const { sql } = yield* connected()
      const job = yield* sql.job
      assert.match(yield* job.job, /^\d{6}\/[A-Z]+\/[A-Z]+$/)
      assert.deepStrictEqual((yield* job.queryAndRun("values 1")).rows.length, 1)
    })
  )
})

describe("opening and closing", () => {
  it.scopedLive("a wrong password is a typed failure, and its text nowhere", () =>
    Effect.gen(function* () {
      const failed = yield* failureOf(connected({ password: Redacted.make("s3cret-wrong") }))
      assert.strictEqual(failed.reason, "Authentication")
      assert.notInclude(JSON.stringify(failed) + String(failed), "s3cret-wrong")
    })
  )

  it.scopedLive("no socket is left open", () =>
    Effect.gen(function* () {
      const { host, port, sockets } = yield* serve()
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`values 1`
        yield* sql.withTransaction(sql`values 1`)
        const endless =
          "with spin(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from spin) select count(*) as n from spin"
        const fiber = yield* Effect.fork(sql.unsafe(endless))
        yield* Effect.sleep(100)
        // Opens the job that stops statements.
        yield* Fiber.interrupt(fiber)
      }).pipe(
        Effect.provide(
          MapepireClient.layer({ host, port, secure: false, user: "DEV", password: Redacted.make(users.DEV) })
        )
      )
      yield* sockets.pipe(
        Effect.repeat({ until: (open) => open === 0, schedule: Schedule.spaced(20) }),
        Effect.timeout("10 seconds")
      )
    })
  )

  it.scopedLive("the environment tells where and who", () =>
    Effect.gen(function* () {
      const { host, port } = yield* serve()
      const environment = ConfigProvider.fromMap(
        new Map([
          ["MAPEPIRE_HOST", host],
          ["MAPEPIRE_PORT", String(port)],
          ["MAPEPIRE_USER", "DEV"],
          ["MAPEPIRE_PASSWORD", users.DEV],
          ["MAPEPIRE_SECURE", "false"],
          ["MAPEPIRE_SESSIONS", "2"]
        ])
      )
      const rows = yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`values 1`.values).pipe(
        Effect.provide(MapepireClient.layerConfig()),
        Effect.withConfigProvider(environment)
      )
      assert.deepStrictEqual(rows, [[1]])
      const again = yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`values 2`.values).pipe(
        Effect.provide(SqlClient.layer.pipe(Layer.provide(MapepireTransport.layerConfig()))),
        Effect.withConfigProvider(environment)
      )
      assert.deepStrictEqual(again, [[2]])
      const missing = yield* Effect.exit(
        Layer.build(MapepireClient.layerConfig()).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map())))
      )
      assert.include(String(missing), "MAPEPIRE_HOST")
    })
  )
})
