import { SqlClient, SqlTransport } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import * as Statement from "@effect/sql/Statement"
import { Effect, Stream, Chunk, Layer, Tracer, Context, Option } from "effect"
const N = 100000
class Ans {
  columns = [{ name: "a" }]
  length = 1
  error = undefined
  done = true
  inTransaction = false
  changes = undefined
  queueNanos = 0
  engineNanos = 0
  routable = true
  private = false
  r = [{ a: 1 }]
  objects() {
    return this.r
  }
  arrays() {
    return [[1]]
  }
  raw() {
    return this.r
  }
}
const answer = Effect.succeed(new Ans())
const session = {
  id: "fake",
  keepsContract: true,
  run: () => answer,
  lost: Effect.never,
  check: Effect.void,
  inTransaction: () => false,
  pending: () => 0
}
const Fake = Layer.succeed(SqlTransport.SqlTransport, {
  system: "fake",
  attributes: [],
  compiler: Statement.makeCompilerSqlite(),
  transactions: {},
  limits: { read: 0, write: 1, transaction: 0 },
  sharing: "fifo",
  connect: () => Effect.succeed(session)
})
const tracer = Tracer.make({
  span: (name, parent, context, links, startTime, kind) => {
    const attributes = new Map()
    return {
      _tag: "Span",
      name,
      spanId: "1",
      traceId: "1",
      parent,
      context,
      links,
      kind,
      sampled: true,
      attributes,
      status: { _tag: "Started", startTime },
      attribute(k, v) {
        attributes.set(k, v)
      },
      event() {},
      end() {},
      addLinks() {}
    }
  },
  context: (f) => f()
})
const loop = (sql, n) =>
  Effect.gen(function* () {
    for (let i = 0; i < n; i++) yield* sql`select ${i} + 1`
  })
const time = (name, eff, n) =>
  Effect.gen(function* () {
    const c = process.cpuUsage()
    const t = performance.now()
    yield* eff
    const d = performance.now() - t
    const u = process.cpuUsage(c)
    console.log(
      name,
      ((d * 1000) / n).toFixed(2),
      "us each",
      (n / d).toFixed(0) + "k/s cpu",
      ((u.user + u.system) / n).toFixed(2)
    )
  })
const which = process.argv[2] ?? "all"
if (which === "all" || which === "client")
  await Effect.runPromise(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* loop(sql, 20000)
      yield* time("fake", loop(sql, N), N)
      yield* time("fake traced", loop(sql, N).pipe(Effect.withTracer(tracer)), N)
      yield* time("fake traced", loop(sql, N).pipe(Effect.withTracer(tracer)), N)
      yield* time("fake", loop(sql, N), N)
    }).pipe(Effect.provide(SqlClient.layer), Effect.provide(Fake))
  )
if (which === "all" || which === "point")
  await Effect.runPromise(
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* loop(sql, 5000)
      for (let k = 0; k < 2; k++) {
        yield* time("seq", loop(sql, 20000), 20000)
        const n = 200000
        yield* time(
          "64 fibers",
          Effect.forEach(Array.from({ length: 64 }), () => loop(sql, (n / 64) | 0), { concurrency: 64, discard: true }),
          n
        )
        yield* time(
          "64 fibers traced",
          Effect.forEach(Array.from({ length: 64 }), () => loop(sql, (n / 64) | 0), {
            concurrency: 64,
            discard: true
          }).pipe(Effect.withTracer(tracer)),
          n
        )
      }
    }).pipe(Effect.provide(SqliteClient.layerMemory))
  )
if (which === "all" || which === "rows")
  await Effect.runPromise(
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql`create table ints as with recursive c(x) as (values(1) union all select x+1 from c where x<300000) select x a, x*2 b, x*3 c, x%7 d, x%11 e from c`
      for (let k = 0; k < 4; k++) {
        yield* time(
          "stream 512",
          sql`select * from ints`
            .pipe(SqlClient.withPrefetch(512))
            .stream.pipe(Stream.runForEachChunk(() => Effect.void)),
          300000
        )
        yield* time(
          "stream 64",
          sql`select * from ints`
            .pipe(SqlClient.withPrefetch(64))
            .stream.pipe(Stream.runForEachChunk(() => Effect.void)),
          300000
        )
        yield* time("all", sql`select * from ints`, 300000)
        yield* time("values", sql`select * from ints`.values, 300000)
      }
    }).pipe(Effect.provide(SqliteClient.layerMemory))
  )
if (which === "all" || which === "aio")
  await Effect.runPromise(
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      for (let k = 0; k < 2; k++) {
        yield* sql`create table t(a,b,c,d,e)`
        yield* sql`insert into t values (1,2,3,4,5),(6,7,8,9,10)`
        let total = 2,
          rt = 0,
          wt = 0
        yield* time(
          "aio",
          Effect.gen(function* () {
            while (total <= 300000) {
              let t0 = performance.now()
              const rows = []
              yield* sql`select * from t limit 1000`.pipe(SqlClient.withPrefetch(64)).stream.pipe(
                Stream.runForEach((r) =>
                  Effect.sync(() => {
                    rows.push([r.a, r.b, r.c, r.d, r.e])
                  })
                )
              )
              let t1 = performance.now()
              rt += t1 - t0
              yield* sql.many("insert into t values (?,?,?,?,?)", rows)
              wt += performance.now() - t1
              total += rows.length
            }
          }),
          300000
        )
        console.log({ rt, wt })
        yield* sql`drop table t`
      }
    }).pipe(Effect.provide(SqliteClient.layerMemory))
  )
