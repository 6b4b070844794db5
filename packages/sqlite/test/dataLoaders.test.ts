/** Data loaders of `@effect/sql` and `@effect/experimental` that are made outside of a transaction and used inside. */
import { RequestResolver } from "@effect/experimental"
import { Model, SqlResolver } from "@effect/sql"
import * as EffectSql from "@effect/sql/SqlClient"
import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Cause, Effect, Exit, Option, Schema, Tracer } from "effect"
import { layerOf, layerOnFile, leftovers, onEngines } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const Row = Schema.Struct({ id: Schema.Number, name: Schema.String })

class Person extends Model.Class<Person>("Person")({
  id: Model.Generated(Schema.Number),
  name: Schema.NonEmptyString
}) {}

const table = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table person(id integer primary key, name text not null)`
  yield* sql`insert into person ${sql.insert([{ name: "Ada" }, { name: "Bob" }])}`
  return sql
})

const loadersWith = Effect.fnUntraced(function* (options: { readonly window: number; readonly maxBatchSize?: number }) {
  const sql = yield* EffectSql.SqlClient
  const insert = yield* SqlResolver.ordered("Insert", {
    Request: Schema.String,
    Result: Row,
    execute: (names) => sql`insert into person ${sql.insert(names.map((name) => ({ name })))} returning id, name`
  })
  const find = yield* SqlResolver.findById("Find", {
    Id: Schema.Number,
    Result: Row,
    ResultId: (row) => row.id,
    // A span and a transaction of its own around the statement.
    execute: (ids) =>
      Effect.withSpan("finding")(sql.withTransaction(sql`select id, name from person where ${sql.in("id", ids)}`))
  })
  return {
    insert: insert.makeExecute(yield* RequestResolver.dataLoader(insert, options)),
    find: find.makeExecute(yield* RequestResolver.dataLoader(find, options))
  }
})

const loadersOf = loadersWith({ window: 10 })

const names = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ name: string }>`select name from person order by id`, (rows) => rows.map(({ name }) => name))

/** Spans as an exporter would have them. */
const tracer = Tracer.make({
  context: (f) => f(),
  span: (name, parent, context, links, startTime, kind) => ({
    _tag: "Span",
    name,
    parent,
    context,
    links,
    kind,
    spanId: name,
    traceId: "trace",
    sampled: true,
    status: { _tag: "Started", startTime },
    attributes: new Map(),
    end: () => {},
    attribute: () => {},
    event: () => {},
    addLinks: () => {}
  })
})

const traced = (name: string) =>
  name === "traced"
    ? <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.withTracer(effect, tracer)
    : name === "in a span"
      ? Effect.withSpan("outer")
      : <A, E, R>(effect: Effect.Effect<A, E, R>) => effect

onEngines("data loaders", (engine) => {
  for (const how of ["without a span", "in a span", "traced"]) {
    it.scopedLive(`made outside, used inside: they see the transaction and end with it (${how})`, () =>
      Effect.gen(function* () {
        const sql = yield* table
        const { find, insert } = yield* loadersOf
        const work = Effect.gen(function* () {
          const rows = yield* Effect.forEach(["Cleo", "Dan"], insert, { concurrency: "unbounded" })
          const found = yield* Effect.forEach(rows, ({ id }) => find(id), { concurrency: "unbounded" })
          assert.deepStrictEqual(
            found.map((person) => Option.getOrThrow(person).name),
            ["Cleo", "Dan"]
          )
          return yield* Effect.fail("undo")
        })
        const limited = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.timeout(effect, "10 seconds")
        assert.strictEqual(yield* Effect.flip(limited(sql.withTransaction(work))), "undo")
        assert.deepStrictEqual(yield* names(sql), ["Ada", "Bob"])
        // A savepoint's requests are the savepoint's.
        yield* limited(sql.withTransaction(Effect.zipRight(Effect.ignore(sql.withTransaction(work)), insert("Eve"))))
        assert.deepStrictEqual(yield* names(sql), ["Ada", "Bob", "Eve"])
        // Outside of transactions they work as ever.
        yield* limited(insert("Flo"))
        assert.strictEqual((yield* names(sql)).length, 4)
      }).pipe(traced(how), Effect.provide(layerOf(engine)))
    )
  }

  it.scopedLive("Model's data loaders", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const options = { tableName: "person", spanPrefix: "Person", idColumn: "id", window: 5 } as const
      const people = yield* Model.makeDataLoaders(Person, options)
      const undone = sql.withTransaction(
        Effect.gen(function* () {
          const cleo = yield* people.insert(Person.insert.make({ name: "Cleo" }))
          yield* people.delete(1)
          assert.isTrue(Option.isSome(yield* people.findById(cleo.id)))
          return yield* Effect.fail(yield* names(sql))
        })
      )
      assert.deepStrictEqual(yield* Effect.flip(Effect.timeout(undone, "10 seconds")), ["Bob", "Cleo"] as never)
      assert.deepStrictEqual(yield* names(sql), ["Ada", "Bob"])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("one batch for two transactions, or for inside and outside: a typed failure at once", () =>
    Effect.gen(function* () {
      const sql = yield* table
      // However long BEGIN takes: the two are one batch.
      const { insert } = yield* loadersWith({ window: 8_000, maxBatchSize: 2 })
      const inside = sql.withTransaction(insert("inside"))
      const exits = yield* Effect.all([Effect.exit(inside), Effect.exit(insert("outside"))], {
        concurrency: "unbounded"
      }).pipe(Effect.timeout("10 seconds"))
      for (const exit of exits) {
        const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
        assert.deepStrictEqual(SqlFailure.from(failure).reason, "Unsupported")
      }
      assert.deepStrictEqual(yield* names(sql), ["Ada", "Bob"])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("of two clients each loader stays in its own transaction", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const { insert } = yield* loadersOf
      yield* Effect.gen(function* () {
        const outer = yield* table
        const crossed = outer.withTransaction(
          Effect.zipRight(sql.withTransaction(insert("Cleo")), Effect.fail("only the outer"))
        )
        assert.strictEqual(yield* Effect.flip(Effect.timeout(crossed, "10 seconds")), "only the outer")
      }).pipe(Effect.provide(layerOf(engine)))
      assert.deepStrictEqual(yield* names(sql), ["Ada", "Bob", "Cleo"])
    }).pipe(Effect.provide(layerOnFile(engine, { readers: 1 })))
  )

  it.scopedLive("nobody sees the span by which they find it", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const within = sql.withTransaction(Effect.option(Effect.currentSpan))
      assert.deepStrictEqual(yield* within, Option.none())
      const annotated = yield* sql
        .withTransaction(Effect.annotateCurrentSpan("key", "value"))
        .pipe(Effect.zipRight(Effect.currentSpan), Effect.withSpan("outer"))
      assert.strictEqual(annotated.attributes.get("key"), "value")
    }).pipe(Effect.provide(layerOf(engine)))
  )
})
