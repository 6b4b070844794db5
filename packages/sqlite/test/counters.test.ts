import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { Effect, Stream } from "effect"
import { open } from "./conformance/stopping.js"
import { noting } from "./noting.js"
import { eventually, leftovers, onEngines, reasonOf } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

onEngines("counters of statements", (engine) => {
  const fill =
    "with recursive up(n) as (select 1 union all select n + 1 from up limit 500) select n, n % 7 as v from up"

  it.scopedLive("what a statement has cost", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.unsafe(`create table t as ${fill}`)
      if (engine === "portable") {
        assert.strictEqual((yield* reasonOf(sql.counters("select * from t"))).reason, "Unsupported")
        return
      }
      const scanned = yield* sql.counters(sql`select * from t where v = ${3} order by n`)
      assert.isAtLeast(scanned.fullScanSteps, 499)
      assert.strictEqual(scanned.sorts, 1)
      assert.strictEqual(scanned.runs, 1)
      assert.isAbove(scanned.vmSteps, 1_000)
      assert.isAbove(scanned.memory, 0)
      yield* sql`create index by_v on t(v, n)`
      const searched = yield* sql.counters(sql`select * from t where v = ${3} order by n`)
      assert.deepInclude(searched, { fullScanSteps: 0, sorts: 0 })
      const joined = yield* sql.counters("select count(*) from t a join (select n as m from t) b on a.n = b.m")
      assert.isAbove(joined.autoIndexes, 0)
      // Of one run only, of all statements in a script, and within a transaction.
      assert.deepStrictEqual(yield* sql.counters("select 1"), yield* sql.counters("select 1"))
      assert.isTrue(Object.values(yield* sql.counters("-- nothing")).every((n) => n === 0))
      assert.strictEqual((yield* sql.counters("select 1; select 2")).runs, 2)
      const undone = Effect.zipRight(sql.counters("delete from t"), Effect.fail("undone"))
      assert.strictEqual(yield* Effect.flip(sql.withTransaction(undone)), "undone")
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 500 }])
      assert.strictEqual((yield* reasonOf(sql.counters("selec"))).reason, "SqlSyntax")
    })
  )

  it.scopedLive("in spans, of statements and of streams, when asked", () =>
    Effect.gen(function* () {
      const { layer, spans } = noting()
      const attribute = (name: string) => spans.splice(0).map((span) => span.get(`sluice.sqlite.${name}`))
      const quiet = yield* open(engine)
      yield* Effect.provide(quiet`select 1`, layer)
      assert.isFalse([...spans.splice(0)[0]!.keys()].some((key) => key.startsWith("sluice.sqlite")))

      const sql = yield* open(engine, { telemetry: { statementCounters: true } })
      yield* sql.unsafe(`create table t as ${fill}`)
      const all = sql`select n from t order by v`
      yield* Effect.provide(all, layer)
      const expected = engine === "native" ? [499] : [undefined]
      assert.deepStrictEqual(attribute("full_scan_steps"), expected)
      yield* Effect.provide(all, layer)
      assert.deepStrictEqual(attribute("sorts"), engine === "native" ? [1] : [undefined])
      yield* Stream.runDrain(sql`select n from t`.stream).pipe(Effect.provide(layer), SqlClient.withPrefetch(10))
      assert.deepStrictEqual(attribute("full_scan_steps"), expected)
      // Left early: what it has cost until then.
      yield* Stream.runDrain(Stream.take(sql`select n from t`.stream, 20)).pipe(
        Effect.provide(layer),
        SqlClient.withPrefetch(10)
      )
      const [steps] = attribute("full_scan_steps")
      if (engine === "native") {
        assert.isAtLeast(Number(steps), 15)
        assert.isBelow(Number(steps), 60)
      }
      // Nobody traces: nothing is asked for.
      assert.strictEqual((yield* all).length, 500)
    })
  )

  it.scopedLive("of writes that run at once, while somebody listens to changes", () =>
    Effect.gen(function* () {
      if (engine === "portable") {
        return
      }
      const { layer, spans } = noting()
      const sql = yield* open(engine, { telemetry: { statementCounters: true } })
      yield* sql`create table t (n integer primary key)`
      let told = 0
      yield* Effect.forkScoped(Stream.runForEach(sql.changes, () => Effect.sync(() => told++)))
      for (let n = -1; told === 0; n--) {
        assert.isAbove(n, -500)
        yield* sql`insert into t values (${n})`
        yield* Effect.sleep(10)
      }
      told = 0
      const inserts = [1, 2, 3, 4, 5].map((n) => sql`insert into t values (${n})`)
      yield* Effect.provide(Effect.all(inserts, { concurrency: "unbounded" }), layer)
      assert.deepStrictEqual(
        spans.map((span) => span.get("sluice.sqlite.runs")),
        [1, 1, 1, 1, 1]
      )
      yield* eventually("all changes", () => told === 5)
    })
  )
})
