import { afterAll, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { open } from "./conformance/stopping.js"
import { leftovers, onEngines, reasonOf } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

onEngines("explain", (engine) => {
  it.scopedLive("the query plan as a tree; nothing is run", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { transformResultNames: (name) => name.toUpperCase() })
      yield* sql`create table t (id integer primary key, v)`
      const [scan] = yield* sql.explain("select * from t")
      assert.include(scan!.detail, "SCAN")
      assert.deepStrictEqual(scan!.children, [])
      const [search] = yield* sql.explain(sql`select * from t where id = ${1}`)
      assert.match(search!.detail, /^SEARCH .*PRIMARY KEY/)
      const [compound] = yield* sql.explain("select id from t union select v from t where id = 1")
      assert.include(compound!.detail, "UNION")
      assert.strictEqual(compound!.children.length, 2)
      assert.isTrue(compound!.children.every(({ children }) => children.length > 0))
      assert.deepStrictEqual(yield* sql.explain(sql`insert into t values (1, ${"x"})`), [])
      assert.deepStrictEqual(yield* sql`select id from t`, [])
      assert.strictEqual((yield* reasonOf(sql.explain("selec 1"))).reason, "SqlSyntax")
    })
  )

  it.scopedLive("one statement: nothing behind it is run", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (a)`
      yield* sql`insert into t values (1), (2)`
      for (const text of ["select 1; delete from t", "-- nothing", ""]) {
        assert.strictEqual((yield* reasonOf(sql.explain(text))).reason, "Unsupported")
      }
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 2 }])
      assert.lengthOf(yield* sql.explain(" ; select a from t; -- that is all"), 1)
    })
  )
})
