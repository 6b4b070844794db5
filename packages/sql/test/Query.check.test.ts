/** What `Query.check` says about nulls, with a database that tells which columns may have them. */
import { assert, describe, it } from "@effect/vitest"
import { Query, SqlClient, SqlTransport } from "@sluice/sql"
import { Effect, Layer, Schema } from "effect"
import { fake } from "./fakeTransport.js"

type Columns = ReadonlyArray<SqlTransport.Column>

/** The client on a database whose every statement has these columns. */
const describing = (columns: Columns, options: SqlClient.Options = {}) => {
  const transport = Layer.effect(
    SqlTransport.SqlTransport,
    Effect.map(SqlTransport.SqlTransport, (transport) => ({
      ...transport,
      connect: (profile: SqlTransport.Profile) =>
        Effect.map(transport.connect(profile), (session) => ({
          ...session,
          describe: () => Effect.succeed({ parameters: 0, columns, routable: true, private: false })
        }))
    }))
  )
  return SqlClient.layerWith(options).pipe(Layer.provide(transport), Layer.provide(fake().layer))
}

const problems = <A, I>(Result: Schema.Schema<A, I>, columns: Columns, options?: SqlClient.Options) =>
  Query.check(Query.all({ name: "query", Result, execute: (sql) => sql`select` })).pipe(
    Effect.map((report) => report.problems.map(({ _tag, column }) => [_tag, column])),
    Effect.provide(describing(columns, options))
  )

const maybe = [{ name: "a", nullable: true }]

class Named extends Schema.Class<Named>("Named")({ a: Schema.String }) {}

const accepting: Record<string, Schema.Schema.AnyNoContext> = {
  NullOr: Schema.Struct({ a: Schema.NullOr(Schema.Number) }),
  NullishOr: Schema.Struct({ a: Schema.NullishOr(Schema.Number) }),
  OptionFromNullOr: Schema.Struct({ a: Schema.OptionFromNullOr(Schema.Number) }),
  "optionalWith nullable": Schema.Struct({ a: Schema.optionalWith(Schema.Number, { nullable: true }) }),
  "optionalWith nullable and default": Schema.Struct({
    a: Schema.optionalWith(Schema.Number, { nullable: true, default: () => 0 })
  }),
  Null: Schema.Struct({ a: Schema.Null }),
  Unknown: Schema.Struct({ a: Schema.Unknown }),
  "a declaration, which may accept anything": Schema.Struct({ a: Schema.declare((u): u is 1 => u === 1) }),
  "a transformation of it": Schema.Struct({
    a: Schema.transform(Schema.NullOr(Schema.String), Schema.String, { decode: (a) => a ?? "", encode: (a) => a })
  }),
  "a literal among others": Schema.Struct({ a: Schema.Literal("x", null) }),
  "a union in which one member does": Schema.Union(
    Schema.Struct({ a: Schema.String }),
    Schema.Struct({ a: Schema.Null })
  ),
  "a suspended one": Schema.Struct({
    a: Schema.suspend((): Schema.Schema<string | null> => Schema.NullOr(Schema.String))
  })
}

const refusing: Record<string, Schema.Schema.AnyNoContext> = {
  String: Schema.Struct({ a: Schema.String }),
  "a filter": Schema.Struct({ a: Schema.NonEmptyString }),
  "a brand": Schema.Struct({ a: Schema.Number.pipe(Schema.brand("Id")) }),
  Date: Schema.Struct({ a: Schema.Date }),
  UndefinedOr: Schema.Struct({ a: Schema.UndefinedOr(Schema.String) }),
  optional: Schema.Struct({ a: Schema.optional(Schema.String) }),
  Object: Schema.Struct({ a: Schema.Object }),
  "a nested struct": Schema.Struct({ a: Schema.Struct({ b: Schema.NullOr(Schema.String) }) }),
  "from another name": Schema.Struct({ b: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("a")) }),
  "null in memory only": Schema.Struct({
    a: Schema.transform(Schema.String, Schema.NullOr(Schema.String), { decode: (a) => a, encode: (a) => a ?? "" })
  }),
  "a class": Named,
  "any column": Schema.Record({ key: Schema.String, value: Schema.Number })
}

describe("Query.check, nulls", () => {
  for (const [name, Result] of Object.entries(accepting)) {
    it.effect(`accepted: ${name}`, () =>
      Effect.map(problems(Result, maybe), (found) => assert.deepStrictEqual(found, []))
    )
  }

  for (const [name, Result] of Object.entries(refusing)) {
    it.effect(`refused: ${name}`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* problems(Result, maybe), [["NullableColumn", "a"]])
        assert.deepStrictEqual(yield* problems(Result, [{ name: "a", nullable: false }]), [])
        // A database that does not know says nothing, and neither does the check.
        assert.deepStrictEqual(yield* problems(Result, [{ name: "a" }]), [])
      })
    )
  }

  it.effect("tuples by position, and what follows", () =>
    Effect.gen(function* () {
      const of = (Result: Schema.Schema.AnyNoContext, columns: Columns) =>
        Query.check(Query.values({ name: "query", Result, execute: (sql) => sql`select` })).pipe(
          Effect.map((report) => report.problems.map(({ _tag, column }) => [_tag, column])),
          Effect.provide(describing(columns))
        )
      const columns = [{ name: "a", nullable: true }, { name: "b", nullable: true }, { name: "c" }]
      const tuple = Schema.Tuple(Schema.NullOr(Schema.String), Schema.String, Schema.Number)
      assert.deepStrictEqual(yield* of(tuple, columns), [["NullableColumn", "b"]])
      assert.deepStrictEqual(yield* of(Schema.Tuple([Schema.NullOr(Schema.String)], Schema.Number), columns), [
        ["NullableColumn", "b"]
      ])
      assert.deepStrictEqual(yield* of(Schema.Array(Schema.NullOr(Schema.String)), columns), [])
      // The elements after the rest are the last ones.
      const last = Schema.Tuple([], Schema.NullOr(Schema.String), Schema.String)
      assert.deepStrictEqual(yield* of(last, [columns[2]!, columns[0]!]), [["NullableColumn", "a"]])
      assert.deepStrictEqual(yield* of(last, [columns[0]!, columns[2]!]), [])
    })
  )

  it.effect("columns are named as the rows will have them; the failure tells it in words", () =>
    Effect.gen(function* () {
      const upper = <A extends object>(rows: ReadonlyArray<A>) =>
        rows.map(
          (row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key.toUpperCase(), value])) as A
        )
      const Result = Schema.Struct({ A: Schema.String })
      assert.deepStrictEqual(yield* problems(Result, maybe, { transformRows: upper }), [["NullableColumn", "A"]])
      const query = Query.all({
        name: "people",
        Result: Schema.Struct({ a: Schema.String }),
        execute: (sql) => sql`select`
      })
      const failed = yield* Effect.flip(Effect.provide(Query.assertChecked(query), describing(maybe)))
      assert.include(failed.message, `column "a" may be null, its schema does not accept null`)
      const batched = Query.batched({
        name: "batched",
        Request: Schema.Number,
        Result: Schema.Struct({ a: Schema.String }),
        resultKey: ({ a }) => a,
        execute: (sql) => sql`select`
      })
      const report = yield* Effect.provide(Query.check(batched), describing(maybe))
      assert.deepStrictEqual(
        report.problems.map(({ _tag }) => _tag),
        ["NullableColumn"]
      )
    })
  )
})
