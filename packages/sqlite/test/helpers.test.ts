/** `sql.insert`, `sql.update` and `sql.updateValues`: nothing that they are given gets lost. */
import { afterAll, assert, it } from "@effect/vitest"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, FastCheck, String, Stream } from "effect"
import { layerOf, leftovers, onEngines, reasonOf } from "./support.js"

onEngines("helpers for records", (engine) => {
  afterAll(() => Effect.runPromise(leftovers))

  const withTable = <A, E>(
    use: (sql: SqliteClient.SqliteClient) => Effect.Effect<A, E>,
    config: Partial<SqliteClient.SqliteClientConfig> = {}
  ) =>
    Effect.flatMap(SqliteClient.SqliteClient, (sql) =>
      Effect.zipRight(sql`create table t(a, b default 7, c)`, use(sql))
    ).pipe(Effect.provide(layerOf(engine, config)))

  it.live("insert takes the columns of all rows; what a row lacks is NULL", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql`insert into t ${sql.insert([{ a: 1 }, { a: 2, b: 3 }, { c: 4 }])}`
        assert.deepStrictEqual(yield* sql`select * from t`.values, [
          [1, null, null],
          [2, 3, null],
          [null, null, 4]
        ])
      })
    )
  )

  it.live("a column that no row has gets its default; undefined is NULL", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql`insert into t ${sql.insert({ a: 1 })}`
        yield* sql`insert into t ${sql.insert({ a: 2, b: undefined })}`
        assert.deepStrictEqual(yield* sql`select a, b from t`.values, [
          [1, 7],
          [2, null]
        ])
      })
    )
  )

  it.live("expressions among the values of insert are written as they are, parameters and RETURNING with them", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        const rows = [
          { a: 1, b: sql`upper(${"x"}) || ${"y"}` },
          { a: sql`abs(${-2})`, c: Buffer.from("c") }
        ]
        const returned = yield* sql`insert into t ${sql.insert(rows).returning("*")}`
        assert.deepStrictEqual(returned, [
          { a: 1, b: "Xy", c: null },
          { a: 2, b: null, c: new Uint8Array([99]) }
        ])
        const [again] = yield* sql`insert into t ${sql.insert({ a: sql.literal("40 + 2") }).returning(sql("a"))}`
        assert.deepStrictEqual(again, { a: 42 })
        const more = yield* sql`insert into t ${sql.insert({ a: sql`${5}` }).returning(sql`a + ${1} as n`)}`
        assert.deepStrictEqual(more, [{ n: 6 }])
      })
    )
  )

  it.live("a column may be called as what every object has, and of several RETURNINGs the last counts", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql`create table cars(id, constructor)`
        yield* sql`insert into cars ${sql.insert([{ id: 1 }, { id: 2, constructor: "Ferrari" }, { id: 3 }])}`
        yield* sql`insert into cars ${sql.insert([{ id: sql`4` }, { id: 5, constructor: "Lotus" }])}`
        assert.deepStrictEqual(yield* sql`select constructor from cars order by id`.values, [
          [null],
          ["Ferrari"],
          [null],
          [null],
          ["Lotus"]
        ])
        const twice = sql
          .insert({ id: sql`${6}` })
          .returning("id")
          .returning(sql`id + 1 as n`)
        assert.deepStrictEqual(yield* sql`insert into cars ${twice}`, [{ n: 7 }])
      })
    )
  )

  it.live("and among those of update, which leaves out what it shall", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql`insert into t ${sql.insert([
          { a: 1, b: 10, c: "x" },
          { a: 2, b: 20, c: "y" }
        ])}`
        const set = sql.update({ a: 9, b: sql`b + ${5}`, c: null }, ["a"])
        yield* sql`update t set ${set} where a = ${1}`
        assert.deepStrictEqual(yield* sql`select * from t`.values, [
          [1, 15, null],
          [2, 20, "y"]
        ])
      })
    )
  )

  it.live("names are transformed in expressions' columns, too", () =>
    withTable(
      (sql) =>
        Effect.gen(function* () {
          yield* sql`create table u(first_name, last_name)`
          yield* sql`insert into u ${sql.insert({ firstName: sql`'A'`, lastName: "B" })}`
          yield* sql`update u set ${sql.update({ lastName: sql`first_name` })}`
          assert.deepStrictEqual(yield* sql`select * from u`, [{ firstName: "A", lastName: "A" }])
        }),
      { transformQueryNames: String.camelToSnake, transformResultNames: String.snakeToCamel }
    )
  )

  it.live("updateValues is a table with the columns of all rows", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        yield* sql`insert into t ${sql.insert([{ a: 1 }, { a: 2 }, { a: 3 }])}`
        const values = sql.updateValues([{ id: 1 }, { id: 3, name: "three" }], "v")
        yield* sql`update t set c = v.name, b = v.id from ${values} where t.a = v.id`
        assert.deepStrictEqual(yield* sql`select * from t order by a`.values, [
          [1, 1, null],
          [2, 7, null],
          [3, 3, "three"]
        ])
      })
    )
  )

  it.live("where there is nothing to write the statement fails typed, and is not sent", () =>
    withTable((sql) =>
      Effect.gen(function* () {
        const expression = sql.updateValues([{ id: sql`1` }], "v")
        const statements = [
          sql`insert into t ${sql.insert([])}`,
          sql`insert into t ${sql.insert({})}`,
          sql`update t set ${sql.update({})}`,
          sql`update t set ${sql.update({ a: 1 }, ["a"])}`,
          sql`update t set b = 1 from ${sql.updateValues([], "v")}`,
          sql`update t set b = 1 from ${expression} where a = v.id`
        ]
        for (const statement of statements) {
          for (const effect of [statement, statement.raw, statement.values, Stream.runDrain(statement.stream)]) {
            assert.strictEqual((yield* reasonOf<unknown, unknown, never>(effect)).reason, "InvalidParameter")
          }
        }
        const none = sql`insert into t ${sql.insert([])} default values`
        for (const effect of [sql.batch([none]), sql.explain(none), engine === "native" ? sql.counters(none) : none]) {
          assert.strictEqual((yield* reasonOf<unknown, unknown, never>(effect)).reason, "InvalidParameter")
        }
        const many = Array.from({ length: 70_000 }, (_, id) => ({ id }))
        const tooMany = sql`update t set b = 1 from ${sql.updateValues(many, "v")}`
        assert.strictEqual((yield* reasonOf(tooMany)).reason, "InvalidParameter")
        const error = yield* Effect.flip(statements[0]!)
        assert.match(error.message, /sql\.insert was given no rows/)
        assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 0 }])
      })
    )
  )

  it.live("whatever the rows, each value comes to its column", () =>
    Effect.promise(() => {
      const value = FastCheck.oneof(FastCheck.integer(), FastCheck.string(), FastCheck.constant(null))
      const row = FastCheck.record({ a: value, b: value, c: value }, { requiredKeys: [] })
      const some = FastCheck.array(FastCheck.tuple(row, FastCheck.boolean()), { minLength: 1, maxLength: 5 })
      return FastCheck.assert(
        FastCheck.asyncProperty(some, async (rows) => {
          FastCheck.pre(rows.some(([row]) => Object.keys(row).length > 0))
          const columns = new Set(rows.flatMap(([row]) => Object.keys(row)))
          const expected = rows.map(([row]) =>
            (["a", "b", "c"] as const).map((name) => row[name] ?? (name === "b" && !columns.has("b") ? 7 : null))
          )
          const read = await Effect.runPromise(
            withTable((sql) =>
              Effect.gen(function* () {
                const given = rows.map(([row, spelled]) =>
                  spelled
                    ? Object.fromEntries(
                        Object.entries(row).map(([name, value]) => [name, sql`coalesce(${value}, null)`])
                      )
                    : row
                )
                yield* sql`insert into t ${sql.insert(given)}`
                return yield* sql`select a, b, c from t`.values
              })
            )
          )
          assert.deepStrictEqual(read, expected)
        }),
        { numRuns: 15 }
      )
    })
  )
})
