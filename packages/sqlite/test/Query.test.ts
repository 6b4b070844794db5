import { assert, it } from "@effect/vitest"
import { Query, SqlClient, SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Option, ParseResult, Schema, Stream } from "effect"

const count = 10_000

const setUp = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table if not exists flights (id integer primary key, origin text not null, day text, delay integer)`
  yield* sql`delete from flights`
  yield* sql.many(
    "insert into flights values (?, ?, ?, ?)",
    Array.from({ length: count }, (_, i) => [i, i % 2 === 0 ? "SEA" : "SFO", "2001-01-01", i % 100])
  )
  return sql
})

const Flight = Schema.Struct({ id: Schema.Number, day: Schema.Date, delay: Schema.NullOr(Schema.Int) })

const flight = Query.one({
  name: "flight",
  Request: Schema.Number,
  Result: Flight,
  execute: (sql, id) => sql`select id, day, delay from flights where id = ${id}`
})

const remove = Query.void({
  name: "remove",
  Request: Schema.Number,
  execute: (sql, id) => sql`delete from flights where id = ${id}`
})

it.layer(SqliteClient.layerMemory)("Query on SQLite", (it) => {
  it.effect("streams 10,000 rows, a page at a time", () =>
    Effect.gen(function* () {
      yield* setUp
      const flights = Query.stream({
        name: "flights",
        Request: Schema.Literal("SEA", "SFO"),
        Result: Schema.Struct({ id: Schema.Number, delay: Schema.Number }),
        execute: (sql, origin) => sql`select id, delay from flights where origin >= ${origin} order by id`
      })
      const pages: Array<number> = []
      const rows = yield* flights("SEA").pipe(
        SqlClient.withPrefetch(512),
        Stream.mapChunks((page) => {
          pages.push(page.length)
          return page
        }),
        Stream.runFold({ rows: 0, sum: 0 }, ({ rows, sum }, { id }) => ({ rows: rows + 1, sum: sum + id }))
      )
      assert.deepStrictEqual(rows, { rows: count, sum: (count * (count - 1)) / 2 })
      assert.strictEqual(pages[0], 512)
      assert.isAtMost(pages.length, 21)
    })
  )

  it.effect("all, one, option, values", () =>
    Effect.gen(function* () {
      yield* setUp
      assert.deepStrictEqual(yield* flight(7), { id: 7, day: new Date("2001-01-01"), delay: 7 })
      assert.instanceOf(yield* Effect.flip(flight(-1)), Query.NotFound)
      const late = Query.option({
        name: "late",
        Result: Flight,
        execute: (sql) => sql`select * from flights where delay > 200`
      })
      assert.deepStrictEqual(yield* late(), Option.none())
      const origins = Query.values({
        name: "origins",
        Result: Schema.Tuple(Schema.String, Schema.Number),
        execute: (sql) => sql`select origin, count(*) from flights group by 1 order by 1`
      })
      assert.deepStrictEqual(yield* origins(), [
        ["SEA", count / 2],
        ["SFO", count / 2]
      ])
    })
  )

  it.effect("a null where none may be: row and column", () =>
    Effect.gen(function* () {
      const sql = yield* setUp
      yield* sql`update flights set delay = null where id = 1`
      const all = Query.all({
        name: "delays",
        Result: Schema.Struct({ delay: Schema.Number }),
        execute: (sql) => sql`select delay from flights order by id limit 3`
      })
      const error = yield* Effect.flip(all())
      assert.strictEqual(error._tag, "ParseError")
      const [issue] = ParseResult.ArrayFormatter.formatIssueSync((error as ParseResult.ParseError).issue)
      assert.deepStrictEqual(issue!.path, [1, "delay"])
    })
  )

  it.effect("belongs to the transaction around it", () =>
    Effect.gen(function* () {
      const sql = yield* setUp
      const failed = yield* Effect.flip(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* remove(3)
            assert.instanceOf(yield* Effect.flip(flight(3)), Query.NotFound)
            return yield* Effect.fail("undo")
          })
        )
      )
      assert.strictEqual(failed, "undo")
      assert.strictEqual((yield* flight(3)).id, 3)
    })
  )

  it.effect("batched requests see what their transaction wrote", () =>
    Effect.gen(function* () {
      const sql = yield* setUp
      const byId = Query.batched({
        name: "byId",
        Request: Schema.Number,
        Result: Flight,
        rows: "option",
        maxBatchSize: 500,
        resultKey: ({ id }) => id,
        execute: (sql, ids) => sql`select id, day, delay from flights where ${sql.in("id", ids)}`
      })
      const ids = Array.from({ length: 1_200 }, (_, i) => i)
      const within = sql.withTransaction(
        Effect.gen(function* () {
          yield* remove(3)
          const found = yield* Effect.forEach([...ids, 1, 3], (id) => byId(id), { batching: true })
          return { found, undo: yield* Effect.fail(found.filter(Option.isNone).length) }
        })
      )
      assert.strictEqual(yield* Effect.flip(within), 2)
      const after = yield* Effect.forEach(ids, (id) => byId(id), { batching: true })
      assert.isTrue(after.every((found, i) => Option.isSome(found) && found.value.id === i))
    })
  )

  it.effect("describe prepares and does not run", () =>
    Effect.gen(function* () {
      const sql = yield* setUp
      const { columns, parameters } = yield* sql.describe("delete from flights where id > ? returning id, delay")
      assert.strictEqual(parameters, 1)
      assert.deepStrictEqual(
        columns.map(({ name }) => name),
        ["id", "delay"]
      )
      assert.strictEqual((yield* flight(9)).id, 9)
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(sql.describe("pragma user_version"))).reason, "Unsupported")
    })
  )

  it.effect("check finds nothing where nothing is wrong, and runs nothing", () =>
    Effect.gen(function* () {
      yield* setUp
      const certain = Query.one({
        name: "certain",
        Request: Schema.Number,
        Result: Schema.Struct({ id: Schema.Number, origin: Schema.String, delay: Schema.NullOr(Schema.Int) }),
        execute: (sql, id) => sql`select id, origin, delay from flights where id = ${id}`
      })
      assert.deepStrictEqual((yield* Query.check(certain)).problems, [])
      assert.deepStrictEqual(yield* Query.assertChecked(remove, 5), {
        name: "remove",
        text: "delete from flights where id = ?",
        parameters: 1,
        problems: []
      })
      assert.strictEqual((yield* flight(5)).id, 5)
    })
  )

  it.effect("check finds each problem", () =>
    Effect.gen(function* () {
      yield* setUp
      const tags = (report: Query.Report) => report.problems.map(({ _tag, column }) => [_tag, column])

      const columns = Query.all({
        name: "columns",
        Result: Schema.Struct({ id: Schema.Number, origen: Schema.String, note: Schema.optional(Schema.String) }),
        execute: (sql) => sql`select id, origin, id from flights`
      })
      assert.deepStrictEqual(tags(yield* Query.check(columns)), [
        ["MissingColumn", "origen"],
        ["UnknownColumn", "origin"],
        ["DuplicateColumn", "id"]
      ])
      const failed = yield* Effect.flip(Query.assertChecked(columns))
      assert.strictEqual(failed._tag, "CheckFailed")
      assert.include(failed.message, `Query "columns"`)
      assert.include(failed.message, `column "origen" of the schema is not in the result (id, origin, id)`)

      const parameters = Query.void({
        name: "parameters",
        Request: Schema.Number,
        execute: (sql, id) => sql.unsafe("delete from flights where id = ? and delay = ?", [id])
      })
      assert.deepStrictEqual(tags(yield* Query.check(parameters)), [["ParameterCount", undefined]])

      const tuple = Query.values({
        name: "tuple",
        Result: Schema.Tuple(Schema.Number),
        execute: (sql) => sql`select id, origin from flights`
      })
      assert.deepStrictEqual(tags(yield* Query.check(tuple)), [["ColumnCount", undefined]])

      const opaque = Query.void({
        name: "opaque",
        Request: Schema.declare((u): u is URL => u instanceof URL),
        execute: (sql, url) => sql`delete from flights where origin = ${url.host}`
      })
      assert.deepStrictEqual(tags(yield* Query.check(opaque)), [["NoSample", undefined]])
      assert.deepStrictEqual(tags(yield* Query.check(opaque, new URL("http://a"))), [])

      const batched = Query.batched({
        name: "batched",
        Request: Schema.Number,
        Result: Schema.Struct({ id: Schema.Number, name: Schema.String }),
        resultKey: ({ id }) => id,
        execute: (sql, ids) => sql`select id from flights where ${sql.in("id", ids)}`
      })
      assert.deepStrictEqual(tags(yield* Query.check(batched)), [["MissingColumn", "name"]])

      const script = Query.void({ name: "script", execute: (sql) => sql.unsafe("delete from flights; selec") })
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(Query.check(script))).reason, "Unsupported")

      const syntax = Query.void({ name: "syntax", execute: (sql) => sql`delete from nowhere` })
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(Query.check(syntax))).reason, "SqlSyntax")
    })
  )
})

for (const engine of ["native", "portable"] as const) {
  it.layer(SqliteClient.layer({ filename: ":memory:", engine }))(`Query.check on SQLite (${engine})`, (it) => {
    it.effect("tells columns that the schema of the database lets be null", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table people (id integer primary key, name text not null, born text)`
        yield* sql`create table codes (code text primary key, n integer not null) without rowid`
        yield* sql`create view adults as select id, born as birthday from people`
        const check = (fields: Schema.Struct.Fields, text: string) =>
          Effect.map(
            Query.check(
              Query.all({
                name: "q",
                Request: Schema.Void,
                Result: Schema.Struct(fields),
                execute: (sql) => sql.unsafe(text)
              })
            ),
            ({ problems }) => problems.map(({ _tag, column }) => [_tag, column])
          )
        const { Number, String } = Schema
        assert.deepStrictEqual(
          yield* check({ id: Number, name: String, born: String }, "select id, name, born from people"),
          [["NullableColumn", "born"]]
        )
        assert.deepStrictEqual(
          yield* check({ id: Number, born: Schema.NullOr(String) }, "select id, born from people p"),
          []
        )
        assert.deepStrictEqual(yield* check({ birthday: String }, "select birthday from adults"), [
          ["NullableColumn", "birthday"]
        ])
        assert.deepStrictEqual(yield* check({ code: String, n: Number }, "select * from codes"), [])
        // Computed: the engine does not know.
        assert.deepStrictEqual(yield* check({ b: String }, "select upper(born) as b from people"), [])
      })
    )
  })
}
