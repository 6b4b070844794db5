import { assert, describe, it } from "@effect/vitest"
import { Statement } from "@effect/sql"
import { SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import { Effect, Exit, Fiber, Layer, type MetricState, Stream } from "effect"
import { operationOf } from "../src/internal/operation.js"
import { answer, fake, type FakeOptions, failure } from "./fakeTransport.js"
import { FakeDatabase, settle } from "./fakeSessions.js"
import { type SeenSpan, series, tracing } from "./tracing.js"

/** A database of its own name, so that its metrics are of this test alone. */
let databases = 0

const database = (options: FakeOptions) => {
  const namespace = `telemetry-${++databases}`
  const { layer, ...seen } = fake(options)
  const attributed = Layer.project(layer, SqlTransport.SqlTransport, SqlTransport.SqlTransport, (transport) => ({
    ...transport,
    attributes: [
      ["db.namespace", namespace],
      ["server.address", "db.example"],
      ["server.port", 8076]
    ] as const
  }))
  return { namespace, seen, layer: attributed }
}

interface Given {
  readonly sql: SqlClient.SqlClient
  readonly spans: Array<SeenSpan>
  readonly namespace: string
}

/** Runs it with a client over a fake database, traced. */
const traced = <A, E>(
  options: FakeOptions,
  use: (given: Given) => Effect.Effect<A, E>,
  client: SqlClient.Options = {}
) => {
  const { layer, namespace } = database(options)
  const { spans, tracer } = tracing()
  return Effect.flatMap(SqlClient.SqlClient, (sql) => use({ sql, spans, namespace })).pipe(
    Effect.withTracer(tracer),
    Effect.provide(SqlClient.layerWith(client)),
    Effect.provide(layer)
  )
}

/** The same without a tracer. */
const untraced = <A, E>(
  options: FakeOptions,
  use: (given: Pick<Given, "sql" | "namespace">) => Effect.Effect<A, E>,
  client: SqlClient.Options = {}
) => {
  const { layer, namespace } = database(options)
  return Effect.flatMap(SqlClient.SqlClient, (sql) => use({ sql, namespace })).pipe(
    Effect.provide(SqlClient.layerWith(client)),
    Effect.provide(layer)
  )
}

const times = { queueNanos: 2_000_000, engineNanos: 3_000_000 }

const durations = (namespace: string, attributes: Readonly<Record<string, string>> = {}) =>
  series<MetricState.MetricState.Histogram>("db.client.operation.duration", {
    "db.namespace": namespace,
    ...attributes
  })

const rows = [{ id: 1 }, { id: 2 }]

describe("operations of texts", () => {
  for (const [text, name, summary, collection] of [
    ["select ? + 1", "SELECT", "SELECT", undefined],
    ["select * from flights where a = 'from b'", "SELECT", "SELECT flights", "flights"],
    ["-- from x\n/* from y */ SELECT a FROM t, u AS v JOIN main.w ON 1", "SELECT", "SELECT t u main.w", undefined],
    ['insert into "audit log"("a") values (?)', "INSERT", "INSERT audit log", "audit log"],
    ["insert or replace into t(a) values (1) on conflict do update set a = 2", "INSERT", "INSERT t", "t"],
    ["insert into a select replace(b, 1, 2) from c", "INSERT", "INSERT a SELECT c", undefined],
    ["update or ignore t set a = 1", "UPDATE", "UPDATE t", "t"],
    ["with c(i) as (select 1 union select i from c), d as (select 2) delete from t", "DELETE", undefined, "t"],
    ["with c as (select 1) select * from c", "SELECT", "SELECT SELECT", undefined],
    ["select extract(year from d), a is distinct from b from t", "SELECT", "SELECT t", "t"],
    ["create table if not exists t(a references u on delete cascade)", "CREATE", "CREATE TABLE t", "t"],
    ["create index i on t(a); drop table u", "CREATE", "CREATE INDEX i DROP u", undefined],
    ["select * from final table (insert into t(a) values (1))", "SELECT", "SELECT INSERT t", "t"],
    ["select * from t for update", "SELECT", "SELECT t", "t"],
    ["pragma user_version", "PRAGMA", "PRAGMA", undefined],
    ['select * from main."t"', "SELECT", "SELECT main.t", "main.t"],
    ['insert into "main".t values (1)', "INSERT", "INSERT main.t", "main.t"],
    ["update main.[my t] set a = 1", "UPDATE", "UPDATE main.my t", "main.my t"],
    ["delete from main . t", "DELETE", "DELETE main.t", "main.t"],
    ['select t."from", t.* from "main" . `t`', "SELECT", "SELECT main.t", "main.t"],
    ["begin immediate", "BEGIN", "BEGIN", undefined],
    ["", "", "", undefined]
  ] as const) {
    it(text === "" ? "an empty text" : text, () => {
      const operation = operationOf(text)
      assert.strictEqual(operation.name, name)
      if (summary !== undefined) {
        assert.strictEqual(operation.summary, summary)
      }
      assert.strictEqual(operation.collection, collection)
    })
  }

  it("a summary is at most 255 characters of whole words", () => {
    const { summary } = operationOf(`select * from ${Array.from({ length: 100 }, (_, i) => `table_${i}`).join(", ")}`)
    assert.isAtMost(summary.length, 255)
    assert.match(summary, /^SELECT table_0( table_\d+)+$/)
  })
})

describe("spans", () => {
  it.effect("a statement: named by what it does, described by the conventions, a child of its caller", () =>
    traced({ run: () => Effect.succeed(answer(rows, times)) }, ({ namespace, spans, sql }) =>
      Effect.gen(function* () {
        yield* sql`select id from flights where origin = ${"secret"}`.pipe(Effect.withSpan("caller"))
        assert.deepStrictEqual(
          spans.map(({ name, parentName, kind, ended }) => ({ name, parentName, kind, ended })),
          [
            { name: "caller", parentName: undefined, kind: "internal", ended: true },
            { name: "SELECT flights", parentName: "caller", kind: "client", ended: true }
          ]
        )
        assert.deepStrictEqual(Object.fromEntries(spans[1]!.attributes), {
          "db.system.name": "fake",
          "db.namespace": namespace,
          "server.address": "db.example",
          "server.port": 8076,
          "db.operation.name": "SELECT",
          "db.collection.name": "flights",
          "db.query.summary": "SELECT flights",
          "db.query.text": "select id from flights where origin = ?",
          "db.response.returned_rows": 2,
          "sluice.queue_time": 0.002,
          "sluice.engine_time": 0.003
        })
      })
    )
  )

  it.effect("every way to run a statement gives one span; spanAttributes are on it", () =>
    traced(
      { run: () => Effect.succeed(answer(rows)) },
      ({ spans, sql }) =>
        Effect.gen(function* () {
          const statement = sql`select id from t`
          yield* statement
          yield* statement.values
          yield* statement.raw
          yield* statement.unprepared
          yield* statement.withoutTransform
          assert.deepStrictEqual(
            spans.map(({ name }) => name),
            Array.from({ length: 5 }, () => "SELECT t")
          )
          assert.isTrue(spans.every(({ attributes }) => attributes.get("service.part") === "billing"))
        }),
      { spanAttributes: { "service.part": "billing" } }
    )
  )

  it.effect("parameters are shown when that was asked for, bytes and long texts shortened", () =>
    traced(
      { run: () => Effect.succeed(answer(rows)) },
      ({ spans, sql }) =>
        Effect.gen(function* () {
          const when = new Date(0)
          yield* sql`select ${7}, ${null}, ${when}, ${new Uint8Array(3)}, ${"x".repeat(2_000)}`
          const { attributes } = spans[0]!
          const shown = [0, 1, 2, 3].map((i) => attributes.get(`db.query.parameter.${i}`))
          assert.deepStrictEqual(shown, ["7", "null", "1970-01-01T00:00:00.000Z", "3 bytes"])
          assert.lengthOf(String(attributes.get("db.query.parameter.4")), 1_001)
        }),
      { telemetry: { parameters: true } }
    )
  )

  it.effect("a parameter that cannot be shown is the database's to refuse; whatever throws, the span ends", () =>
    traced(
      { run: () => Effect.fail(failure("InvalidParameter")) },
      ({ spans, sql }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(sql`select ${new Date(NaN)}, ${Object.create(null) as null}`)
          assert.strictEqual(SqlFailure.from(error).reason, "InvalidParameter")
          const { attributes } = spans[0]!
          const shown = [0, 1].map((i) => attributes.get(`db.query.parameter.${i}`))
          assert.deepStrictEqual(shown, ["[object Date]", "[object Object]"])
          const thrown = Statement.withTransformer(() => {
            throw new Error("a bug of the transformer's")
          })
          assert.isTrue(Exit.isFailure(yield* Effect.exit(thrown(sql`select 1`))))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(thrown(Stream.runDrain(sql`select 1`.stream)))))
          assert.deepStrictEqual(
            spans.map(({ ended }) => ended),
            [true, true, true]
          )
        }),
      { telemetry: { parameters: true } }
    )
  )

  it.effect("a failure: its reason and the database's code", () =>
    traced(
      {
        run: ({ text }) =>
          text.includes("refused")
            ? Effect.fail(
                SqlFailure.make({ reason: "UniqueViolation", message: "no", code: 2067, sqlState: undefined })
              )
            : Effect.succeed(
                answer([], {
                  error: SqlFailure.make({ reason: "Deadlock", message: "no", code: -911, sqlState: "40001" })
                })
              )
      },
      ({ spans, sql }) =>
        Effect.gen(function* () {
          yield* Effect.flip(sql`insert into refused values (1)`)
          yield* Effect.flip(sql`insert into answered values (1)`)
          const seen = spans.map(({ attributes, status }) => [
            attributes.get("error.type"),
            attributes.get("db.response.status_code"),
            status._tag === "Ended" && Exit.isFailure(status.exit)
          ])
          assert.deepStrictEqual(seen, [
            ["UniqueViolation", "2067", true],
            ["Deadlock", "40001", true]
          ])
        })
    )
  )

  it.effect("an interrupt ends the span, and says so", () =>
    traced({ run: () => Effect.never }, ({ spans, sql }) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(sql`select 1 from slow`)
        yield* settle
        assert.isFalse(spans[0]!.ended)
        yield* Fiber.interrupt(fiber)
        assert.isTrue(spans[0]!.ended)
        assert.strictEqual(spans[0]!.attributes.get("error.type"), "Interrupted")
      })
    )
  )

  it.effect("a transformer's statement is described, the span keeps the name of the original", () =>
    traced({ run: () => Effect.succeed(answer(rows)) }, ({ spans, sql }) =>
      Effect.gen(function* () {
        yield* sql`select 1 from t`.pipe(
          Statement.withTransformer((statement, sql) => Effect.succeed(sql`/* tagged */ ${statement}`))
        )
        assert.strictEqual(spans[0]!.name, "SELECT t")
        assert.strictEqual(spans[0]!.attributes.get("db.query.text"), "/* tagged */ select 1 from t")
      })
    )
  )

  describe("streams", () => {
    const pages = [
      { ...answer(rows, times), done: false },
      { ...answer(rows, times), done: false },
      { ...answer([{ id: 5 }], times), done: true }
    ]

    it.effect("one span for all pages, with the rows of all", () =>
      traced({ pages: () => pages }, ({ spans, sql }) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* Stream.runCount(sql`select id from flights`.stream), 5)
          assert.lengthOf(spans, 1)
          const { attributes, ended, name } = spans[0]!
          assert.strictEqual(name, "SELECT flights")
          assert.isTrue(ended)
          assert.strictEqual(attributes.get("db.response.returned_rows"), 5)
          assert.approximately(attributes.get("sluice.engine_time") as number, 0.009, 1e-9)
          assert.isFalse(attributes.has("error.type"))
        })
      )
    )

    it.effect("left early: the span ends, with the rows so far, and without an error", () =>
      traced({ pages: () => pages }, ({ spans, sql }) =>
        Effect.gen(function* () {
          yield* sql`select id from flights`.stream.pipe(Stream.take(1), Stream.runDrain)
          assert.isTrue(spans[0]!.ended)
          assert.strictEqual(spans[0]!.attributes.get("db.response.returned_rows"), 2)
          assert.isFalse(spans[0]!.attributes.has("error.type"))
        })
      )
    )

    it.effect("the error after the rows is the span's", () =>
      traced({ pages: () => [{ ...pages[0]!, done: true, error: failure("Serialization") }] }, ({ spans, sql }) =>
        Effect.gen(function* () {
          yield* Effect.flip(Stream.runDrain(sql`select id from flights`.stream))
          assert.strictEqual(spans[0]!.attributes.get("error.type"), "Serialization")
          assert.strictEqual(spans[0]!.attributes.get("db.response.returned_rows"), 2)
          assert.isTrue(spans[0]!.ended)
        })
      )
    )

    it.effect("interrupted: the span ends", () =>
      traced({ pages: () => pages }, ({ spans, sql }) =>
        Effect.gen(function* () {
          const fiber = yield* sql`select id from flights`.stream.pipe(
            Stream.runForEach(() => Effect.never),
            Effect.fork
          )
          yield* settle
          assert.isFalse(spans[0]!.ended)
          yield* Fiber.interrupt(fiber)
          assert.isTrue(spans[0]!.ended)
        })
      )
    )
  })

  it.effect("many: a span per round trip, with the size of its batch", () =>
    traced({}, ({ spans, sql }) =>
      Effect.gen(function* () {
        yield* sql.many("insert into t(a) values (?)", [[1], [2], [3]])
        yield* sql.many("insert into t(a) values (?)", [[1]])
        assert.deepStrictEqual(
          spans.map(({ attributes, ended, name }) => ({
            name,
            ended,
            operation: attributes.get("db.operation.name"),
            size: attributes.get("db.operation.batch.size")
          })),
          [
            { name: "BATCH INSERT t", ended: true, operation: "BATCH INSERT", size: 3 },
            { name: "INSERT t", ended: true, operation: "INSERT", size: undefined }
          ]
        )
      })
    )
  )

  it.effect("a transaction: its statements are its children", () =>
    traced({}, ({ spans, sql }) =>
      Effect.gen(function* () {
        yield* sql.withTransaction(sql`insert into t values (1)`)
        assert.deepStrictEqual(
          spans.map(({ name, parentName }) => [name, parentName]),
          [
            ["sql.transaction", undefined],
            ["INSERT t", "sql.transaction"]
          ]
        )
        assert.deepStrictEqual(spans[0]!.events, ["db.transaction.commit"])
      })
    )
  )
})

describe("db.client.operation.duration", () => {
  it.effect("counts statements by operation, in seconds, as the session tells them", () =>
    untraced({ run: () => Effect.succeed(answer(rows, times)) }, ({ namespace, sql }) =>
      Effect.gen(function* () {
        yield* sql`select id from t`
        yield* sql`select id from u`
        yield* sql`with c as (select 1) insert into t select * from c`
        const [select, insert] = [
          durations(namespace, { "db.operation.name": "SELECT" }),
          durations(namespace, { "db.operation.name": "INSERT" })
        ]
        assert.strictEqual(select[0]!.state.count, 2)
        assert.approximately(select[0]!.state.sum, 0.01, 1e-9)
        assert.strictEqual(insert[0]!.state.count, 1)
        assert.deepStrictEqual(select[0]!.tags, {
          unit: "s",
          "db.system.name": "fake",
          "db.namespace": namespace,
          "db.operation.name": "SELECT",
          "server.address": "db.example",
          "server.port": "8076"
        })
        assert.deepStrictEqual(
          select[0]!.state.buckets.map(([boundary]) => boundary),
          [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, Infinity]
        )
      })
    )
  )

  it.effect("failures are series of their own", () =>
    untraced(
      {
        run: ({ text }) =>
          text.includes("answered")
            ? Effect.succeed(answer([], { ...times, error: failure("SqlSyntax") }))
            : Effect.fail(SqlFailure.make({ reason: "LockTimeout", message: "busy", code: 5 }))
      },
      ({ namespace, sql }) =>
        Effect.gen(function* () {
          yield* Effect.flip(sql`select 1 from answered`)
          yield* Effect.flip(sql`select 1 from failed`)
          const syntax = durations(namespace, { "error.type": "SqlSyntax" })
          assert.approximately(syntax[0]!.state.sum, 0.005, 1e-9)
          const busy = durations(namespace, { "error.type": "LockTimeout", "db.response.status_code": "5" })
          assert.strictEqual(busy[0]!.state.count, 1)
          assert.lengthOf(durations(namespace), 2)
        })
    )
  )

  it.effect("transactions, streams, batches and waiting statements are counted, with and without a tracer", () =>
    Effect.gen(function* () {
      const program = ({ sql }: Pick<Given, "sql">) =>
        Effect.gen(function* () {
          yield* sql.withTransaction(sql`update t set a = 1`)
          yield* Stream.runDrain(sql`select id from t`.stream)
          yield* sql.many("insert into t(a) values (?)", [[1], [2]])
          yield* Effect.all([sql`delete from t`, sql`delete from t`], { concurrency: 2 })
        })
      const options: FakeOptions = { sharing: "exclusive", limits: { read: 0, write: 1, transaction: 0 } }
      for (const run of [untraced, traced]) {
        yield* run(options, (given) =>
          Effect.gen(function* () {
            yield* program(given)
            const counts = durations(given.namespace).map(({ state, tags }) => [tags["db.operation.name"], state.count])
            assert.deepStrictEqual(
              counts.sort(),
              [
                ["UPDATE", 1],
                ["SELECT", 1],
                ["BATCH INSERT", 1],
                ["DELETE", 2]
              ].sort()
            )
          })
        )
      }
    })
  )

  it.live("the consumer's time is not a stream's", () =>
    untraced({ pages: () => [{ ...answer(rows), done: false }, answer(rows)] }, ({ namespace, sql }) =>
      Effect.gen(function* () {
        const start = performance.now()
        yield* sql`select id from t`.stream.pipe(Stream.runForEach(() => Effect.sleep("100 millis")))
        const whole = (performance.now() - start) / 1000
        const [{ state }] = durations(namespace) as [ReturnType<typeof durations>[number]]
        assert.strictEqual(state.count, 1)
        assert.isBelow(state.sum, whole - 0.3)
      })
    )
  )

  it.effect("an interrupted wait for a session is counted as such", () =>
    untraced({ sharing: "exclusive", run: () => Effect.never }, ({ namespace, sql }) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(sql`select 1`)
        yield* settle
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(durations(namespace, { "error.type": "Interrupted" })[0]!.state.count, 1)
      })
    )
  )

  it.effect("can be turned off", () =>
    untraced(
      {},
      ({ namespace, sql }) =>
        Effect.gen(function* () {
          yield* sql`select 1`
          yield* Stream.runDrain(sql`select 1`.stream)
          yield* sql.many("insert into t(a) values (?)", [[1]])
          assert.lengthOf(durations(namespace), 0)
          assert.lengthOf(series("db.client.connection.count", { "db.namespace": namespace }), 0)
        }),
      { telemetry: { metrics: false } }
    )
  )
})

describe("db.client.connection.*", () => {
  const gauge = (name: string, pool: string, attributes: Readonly<Record<string, string>> = {}) =>
    series<MetricState.MetricState.Counter<number>>(`db.client.connection.${name}`, {
      "db.client.connection.pool.name": pool,
      ...attributes
    }).map(({ state }) => state.count)[0]
  const counted = (name: string, pool: string) =>
    series<MetricState.MetricState.Histogram>(`db.client.connection.${name}`, {
      "db.client.connection.pool.name": pool
    })[0]!.state
  const idle = { "db.client.connection.state": "idle" }
  const used = { "db.client.connection.state": "used" }

  it.scoped("tells what the pool has, who waits, and how long things take", () =>
    Effect.gen(function* () {
      const pool = yield* new FakeDatabase().pool({ name: "metrics", min: 1, max: 2, acquireTimeout: "1 second" })
      const read = () => [gauge("count", "metrics", idle), gauge("count", "metrics", used)]
      assert.deepStrictEqual(read(), [1, 0])
      assert.strictEqual(gauge("max", "metrics"), 2)
      assert.strictEqual(gauge("idle.max", "metrics"), 2)
      assert.strictEqual(gauge("idle.min", "metrics"), 1)

      const first = yield* pool.lease("exclusive", "a")
      const second = yield* pool.lease("exclusive", "b")
      assert.deepStrictEqual(read(), [0, 2])
      const waiter = yield* Effect.fork(pool.lease("exclusive", "c"))
      yield* settle
      assert.strictEqual(gauge("pending_requests", "metrics"), 1)
      yield* first.release
      const third = yield* Fiber.join(waiter)
      assert.strictEqual(gauge("pending_requests", "metrics"), 0)
      yield* second.release
      yield* third.release
      assert.deepStrictEqual(read(), [2, 0])
      assert.strictEqual(counted("create_time", "metrics").count, 2)
      assert.strictEqual(counted("wait_time", "metrics").count, 3)
      assert.strictEqual(counted("use_time", "metrics").count, 3)
      assert.strictEqual(gauge("timeouts", "metrics"), 0)
    })
  )

  it.scopedLive("counts who waited in vain", () =>
    Effect.gen(function* () {
      const pool = yield* new FakeDatabase().pool({ name: "timeouts", max: 1, acquireTimeout: "20 millis" })
      const lease = yield* pool.lease("exclusive", "a")
      yield* Effect.flip(pool.lease("exclusive", "b"))
      assert.strictEqual(gauge("timeouts", "timeouts"), 1)
      yield* lease.release
    })
  )

  it.effect("pools of one name add up, and a closed one counts no more", () =>
    Effect.gen(function* () {
      const open = new FakeDatabase().pool({ name: "twins", min: 1, max: 3 })
      const max = () => gauge("max", "twins")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* open
          yield* Effect.scoped(
            Effect.zipRight(
              open,
              Effect.sync(() => assert.strictEqual(max(), 6))
            )
          )
          assert.strictEqual(max(), 3)
        })
      )
      assert.strictEqual(max(), 0)
    })
  )

  it.effect("the pools of a client have its database's name", () =>
    untraced({}, ({ namespace }) =>
      Effect.sync(() => {
        const [state] = series("db.client.connection.max", { "db.namespace": namespace })
        assert.strictEqual(state!.tags["db.client.connection.pool.name"], "fake write")
        assert.strictEqual(state!.tags["db.system.name"], "fake")
        assert.strictEqual(state!.tags["unit"], "{connection}")
      })
    )
  )
})

describe("more databases than the registry of metrics should keep", () => {
  const one = (name: string) =>
    Effect.gen(function* () {
      const { layer } = fake({ run: () => Effect.succeed(answer(rows, times)) })
      const named = Layer.project(layer, SqlTransport.SqlTransport, SqlTransport.SqlTransport, (transport) => ({
        ...transport,
        attributes: [["db.namespace", name]] as const
      }))
      const run = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select id from t`)
      yield* Effect.provide(run, Layer.provide(SqlClient.layer, named))
    })

  // Beyond the limit there is no way back: the last test of this file.
  it.effect("share one set of metrics from then on", () =>
    Effect.gen(function* () {
      yield* one("tenant-1")
      for (let i = 2; i <= 150; i++) {
        yield* one(`tenant-${i}`)
      }
      yield* one("tenant-1")
      assert.strictEqual(durations("tenant-1")[0]!.state.count, 2)
      assert.lengthOf(durations("tenant-150"), 0)
      const [shared] = series<MetricState.MetricState.Histogram>("db.client.operation.duration", {
        "otel.metric.overflow": "true"
      })
      assert.deepStrictEqual(shared!.tags, {
        unit: "s",
        "db.system.name": "fake",
        "db.operation.name": "SELECT",
        "otel.metric.overflow": "true"
      })
      assert.isAtLeast(shared!.state.count, 50)
      assert.lengthOf(
        series("db.client.connection.max", {
          "otel.metric.overflow": "true",
          "db.client.connection.pool.name": "fake write"
        }),
        1
      )
    })
  )
})
