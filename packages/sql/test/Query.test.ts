import { assert, describe, it } from "@effect/vitest"
import { Query, SqlClient, SqlFailure, type SqlTransport } from "@sluice/sql"
import { Cause, Chunk, Context, Effect, Exit, Fiber, Option, ParseResult, Schema, Stream, Tracer } from "effect"
import { answer, failure, fake, type FakeOptions } from "./fakeTransport.js"

const using = <A, E>(
  options: FakeOptions,
  body: (seen: ReturnType<typeof fake>, sql: SqlClient.SqlClient) => Effect.Effect<A, E, SqlClient.SqlClient>,
  clientOptions: SqlClient.Options = {}
) => {
  const seen = fake(options)
  return Effect.flatMap(SqlClient.SqlClient, (sql) => body(seen, sql)).pipe(
    Effect.provide(SqlClient.layerWith(clientOptions)),
    Effect.provide(seen.layer)
  )
}

const rows = (...given: ReadonlyArray<Record<string, unknown>>): FakeOptions => ({
  run: (request) => (/^(begin|commit|rollback)/i.test(request.text) ? undefined : Effect.succeed(answer(given)))
})

const pagesOf = (...pages: ReadonlyArray<ReadonlyArray<Record<string, unknown>>>): FakeOptions => ({
  pages: () => pages.map((page, i) => ({ ...answer(page), done: i === pages.length - 1 }))
})

const Flight = Schema.Struct({ date: Schema.String, delay: Schema.Number })

const byOrigin = {
  name: "flightsFrom",
  Request: Schema.Struct({ origin: Schema.String, since: Schema.DateFromString }),
  Result: Flight,
  execute: (sql: SqlClient.SqlClient, request: { readonly origin: string; readonly since: string }) =>
    sql`select date, delay from flights where origin = ${request.origin} and date > ${request.since}`
}

const request = { origin: "SEA", since: new Date(0) }

const good = { date: "2001-01-01", delay: 5 }
const bad = { date: "2001-01-02", delay: "late" }

/** Counts how often a column was decoded. */
const counting = () => {
  const decoded: Array<unknown> = []
  const schema = Schema.transform(Schema.Number, Schema.Number, {
    strict: true,
    decode: (n) => {
      decoded.push(n)
      return n * 2
    },
    encode: (n) => n / 2
  })
  return { decoded, schema }
}

const pathsOf = (error: unknown) => {
  assert.instanceOf(error, ParseResult.ParseError)
  return ParseResult.ArrayFormatter.formatIssueSync(error.issue).map(({ path }) => path)
}

interface Seen {
  readonly name: string
  readonly parent: string | undefined
  ended: boolean
  exit?: Exit.Exit<unknown, unknown>
  readonly attributes: Map<string, unknown>
}

/** A tracer that keeps what it saw. */
const tracing = () => {
  const spans: Array<Seen> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const seen: Seen = {
        name,
        parent: Option.getOrUndefined(Option.map(parent, (span) => ("name" in span ? span.name : span.spanId))),
        ended: false,
        attributes
      }
      spans.push(seen)
      return {
        _tag: "Span",
        name,
        spanId: `${spans.length}`,
        traceId: "trace",
        parent,
        context,
        links: [...links],
        status: { _tag: "Started", startTime },
        attributes,
        kind,
        sampled: true,
        attribute: (key, value) => void attributes.set(key, value),
        addLinks: () => {},
        event: () => {},
        end: (_time, exit) => {
          seen.ended = true
          seen.exit = exit
        }
      }
    },
    context: (f) => f()
  })
  return { spans, tracer }
}

describe("Query", () => {
  it.effect("all: encodes the request, decodes the rows", () =>
    using(rows(good, { ...good, extra: 1 }), (seen) =>
      Effect.gen(function* () {
        const query = Query.all(byOrigin)
        assert.strictEqual(query.name, "flightsFrom")
        assert.deepStrictEqual(yield* query(request), [good, good])
        assert.deepStrictEqual(seen.requests[0]!.params, ["SEA", "1970-01-01T00:00:00.000Z"])
      })
    )
  )

  it.effect("without Request the function takes nothing", () =>
    using(rows(good), () =>
      Effect.gen(function* () {
        const query = Query.all({ name: "flights", Result: Flight, execute: (sql) => sql`select * from flights` })
        assert.deepStrictEqual(yield* query(), [good])
      })
    )
  )

  it.effect("a request that does not fit is a ParseError, and nothing is sent", () =>
    using(rows(good), (seen) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Query.all(byOrigin)({ ...request, origin: 7 as unknown as string }))
        assert.deepStrictEqual(pathsOf(error), [["origin"]])
        assert.include(error.message, `request of query "flightsFrom"`)
        assert.lengthOf(seen.requests, 0)
      })
    )
  )

  it.effect("ParseError tells query, row and column", () =>
    using(rows(good, bad), () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Query.all(byOrigin)(request))
        assert.deepStrictEqual(pathsOf(error), [[1, "delay"]])
        assert.include(error.message, `rows of query "flightsFrom"`)
        assert.include(error.message, "[1]")
        assert.include(error.message, `["delay"]`)
      })
    )
  )

  it.effect("SqlError stays what it is", () =>
    using({ run: () => Effect.fail(failure("SqlSyntax")) }, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Query.all(byOrigin)(request))
        assert.strictEqual(error._tag, "SqlError")
        assert.strictEqual(SqlFailure.from(error).reason, "SqlSyntax")
      })
    )
  )

  describe("one and option", () => {
    const one = Query.one(byOrigin)
    const option = Query.option(byOrigin)

    it.effect("one row", () =>
      using(rows(good), () =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* one(request), good)
          assert.deepStrictEqual(yield* option(request), Option.some(good))
        })
      )
    )

    it.effect("no row", () =>
      using(rows(), () =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(one(request))
          assert.instanceOf(error, Query.NotFound)
          assert.strictEqual(error.query, "flightsFrom")
          assert.include(error.message, `"flightsFrom"`)
          assert.deepStrictEqual(yield* option(request), Option.none())
          assert.strictEqual(
            yield* one(request).pipe(Effect.catchTag("NotFound", () => Effect.succeed("none"))),
            "none"
          )
        })
      )
    )

    it.effect("more than one row", () =>
      using(rows(good, good), () =>
        Effect.gen(function* () {
          for (const effect of [one(request), option(request)]) {
            const error = yield* Effect.flip(effect as ReturnType<typeof one>)
            assert.instanceOf(error, Query.TooManyRows)
            assert.strictEqual(error.rows, 2)
          }
        })
      )
    )

    it.effect("a wrong row", () =>
      using(rows(bad), () =>
        Effect.gen(function* () {
          assert.deepStrictEqual(pathsOf(yield* Effect.flip(one(request))), [[0, "delay"]])
          assert.deepStrictEqual(pathsOf(yield* Effect.flip(option(request))), [[0, "delay"]])
        })
      )
    )
  })

  it.effect("values: rows as arrays", () =>
    using(rows(good, bad), (seen) =>
      Effect.gen(function* () {
        const execute = (sql: SqlClient.SqlClient) => sql`select date, delay from flights`
        const pair = Schema.Tuple(Schema.String, Schema.Union(Schema.Number, Schema.String))
        assert.deepStrictEqual(yield* Query.values({ name: "pairs", Result: pair, execute })(), [
          ["2001-01-01", 5],
          ["2001-01-02", "late"]
        ])
        assert.strictEqual(seen.requests[0]!.shape, "arrays")
        const open = Query.values({ name: "open", Result: Schema.Array(Schema.Unknown), execute })
        assert.lengthOf(yield* open(), 2)
        const narrow = Query.values({ name: "narrow", Result: Schema.Tuple(Schema.String, Schema.Number), execute })
        assert.deepStrictEqual(pathsOf(yield* Effect.flip(narrow())), [[1, 1]])
      })
    )
  )

  it.effect("void: runs, gives nothing", () =>
    using(rows(good), (seen) =>
      Effect.gen(function* () {
        const remove = Query.void({
          name: "remove",
          Request: Schema.NumberFromString,
          execute: (sql, id) => sql`delete from flights where id = ${id}`
        })
        assert.isUndefined(yield* remove(7))
        assert.deepStrictEqual(seen.requests[0]!.params, ["7"])
        assert.isUndefined(yield* Query.void({ name: "sweep", execute: (sql) => sql`delete from flights` })())
      })
    )
  )

  describe("schemas", () => {
    class Person extends Schema.Class<Person>("Person")({ id: Schema.Int, name: Schema.NonEmptyString }) {}

    const decodeAll = <A, I>(schema: Schema.Schema<A, I>, ...given: ReadonlyArray<Record<string, unknown>>) =>
      using(rows(...given), () => Query.all({ name: "q", Result: schema, execute: (sql) => sql`select 1` })())

    it.effect("gives what the schema itself would give, and refuses what it would refuse", () =>
      Effect.gen(function* () {
        const schemas: ReadonlyArray<Schema.Schema.AnyNoContext> = [
          Flight,
          Person,
          Schema.Struct({ a: Schema.NullOr(Schema.String), b: Schema.Literal("x", 0, null) }),
          Schema.Struct({ a: Schema.Literal(Infinity) }),
          Schema.Struct({ a: Schema.optional(Schema.String), b: Schema.Unknown }),
          Schema.Struct({ a: Schema.optionalWith(Schema.String, { default: () => "none" }) }),
          Schema.Struct({ a: Schema.String }).annotations({ parseOptions: { onExcessProperty: "error" } }),
          Schema.Struct({ a: Schema.String.annotations({ decodingFallback: () => Effect.succeed("fallback") }) }),
          Schema.Struct({ constructor: Schema.Unknown, "a b": Schema.Unknown }),
          Schema.Struct({ a: Schema.UndefinedOr(Schema.String), id: Schema.BigInt, on: Schema.Date }),
          Schema.Struct({ a: Schema.Int, bytes: Schema.Uint8ArrayFromSelf, ok: Schema.BooleanFromUnknown }),
          Schema.Record({ key: Schema.String, value: Schema.Unknown }),
          Schema.Union(Flight, Person)
        ]
        const given: ReadonlyArray<Record<string, unknown>> = [
          good,
          bad,
          {},
          { id: 1, name: "A" },
          { id: 1.5, name: "" },
          { a: null, b: "x" },
          { a: "s", b: 0 },
          { a: "s", b: -0 },
          { a: undefined, b: undefined },
          { "a b": 1 },
          { a: "s", id: "12", on: "2020-01-01" },
          { a: 3, bytes: new Uint8Array([1]), ok: 1 }
        ]
        for (const schema of schemas) {
          for (const row of given) {
            const expected = yield* Effect.either(Schema.decodeUnknown(schema)(row))
            const actual = yield* Effect.either(decodeAll(schema, row))
            assert.strictEqual(actual._tag, expected._tag, `${String(schema.ast)} ${JSON.stringify(row)}`)
            if (actual._tag === "Right" && expected._tag === "Right") {
              assert.deepStrictEqual(actual.right, [expected.right])
            }
          }
        }
      })
    )

    it.effect("encodes what the schema itself would encode, and refuses what it would refuse", () =>
      Effect.gen(function* () {
        const schemas: ReadonlyArray<Schema.Schema.AnyNoContext> = [
          Schema.Number,
          Schema.Date,
          Schema.NullOr(Schema.String),
          Schema.Literal("a", 0),
          Schema.Struct({ a: Schema.Number, b: Schema.NullOr(Schema.String) }),
          Schema.Struct({ a: Schema.NumberFromString, b: Schema.Unknown }),
          Schema.Array(Schema.Number),
          Person
        ]
        const given = [
          1,
          "a",
          -0,
          null,
          undefined,
          new Date(0),
          [1, 2],
          { a: 1, b: null, c: 3 },
          new Person({ id: 1, name: "A" })
        ]
        for (const schema of schemas) {
          let encoded: unknown
          const query = Query.void({
            name: "q",
            Request: schema as Schema.Schema<unknown, unknown>,
            execute: (sql, request) => {
              encoded = request
              return sql`select 1`
            }
          })
          for (const request of given) {
            const expected = yield* Effect.either(Schema.encodeUnknown(schema)(request))
            const actual = yield* Effect.either(using(rows(), () => query(request)))
            assert.strictEqual(actual._tag, expected._tag, `${String(schema.ast)} ${JSON.stringify(request)}`)
            if (expected._tag === "Right") {
              assert.deepStrictEqual(encoded, expected.right)
            }
          }
        }
      })
    )

    it.effect("classes come out as instances", () =>
      Effect.gen(function* () {
        const [person] = yield* decodeAll(Person, { id: 1, name: "A" })
        assert.instanceOf(person, Person)
      })
    )

    it.effect("a schema with Effects and services decodes in order, and tells the row", () => {
      class Rate extends Context.Tag("Rate")<Rate, number>() {}
      const Euro = Schema.transformOrFail(Schema.Number, Schema.Number, {
        strict: true,
        decode: (n, _, ast) =>
          Effect.flatMap(Effect.zipRight(Effect.yieldNow(), Rate), (rate) =>
            n < 0 ? Effect.fail(new ParseResult.Type(ast, n)) : Effect.succeed(n * rate)
          ),
        encode: (n) => Effect.map(Rate, (rate) => n / rate)
      })
      const prices = Query.all({
        name: "prices",
        Request: Euro,
        Result: Schema.Struct({ price: Euro }),
        execute: (sql, above) => sql`select price from prices where price > ${above}`
      })
      const decode = (...given: ReadonlyArray<number>) =>
        using(rows(...given.map((price) => ({ price }))), () => Effect.provideService(prices(4), Rate, 2))
      return Effect.gen(function* () {
        assert.deepStrictEqual(yield* decode(1, 2, 3), [{ price: 2 }, { price: 4 }, { price: 6 }])
        assert.deepStrictEqual(pathsOf(yield* Effect.flip(decode(1, -2, 3))), [[1, "price"]])
      })
    })

    it.effect("no value is decoded twice", () => {
      const { decoded, schema } = counting()
      return using(rows({ n: 1 }, { n: 2 }, { n: 3 }), () =>
        Effect.gen(function* () {
          const query = Query.all({ name: "n", Result: Schema.Struct({ n: schema }), execute: (sql) => sql`select n` })
          assert.deepStrictEqual(yield* query(), [{ n: 2 }, { n: 4 }, { n: 6 }])
          assert.deepStrictEqual(decoded, [1, 2, 3])
        })
      )
    })
  })

  describe("stream", () => {
    const flights = Query.stream({ ...byOrigin, name: "stream" })

    it.effect("one chunk per page, decoded when it is pulled", () => {
      const { decoded, schema } = counting()
      const query = Query.stream({ name: "n", Result: Schema.Struct({ n: schema }), execute: (sql) => sql`select n` })
      return using(pagesOf([{ n: 1 }, { n: 2 }], [], [{ n: 3 }, { n: 4 }], [{ n: 5 }]), () =>
        Effect.gen(function* () {
          const chunks: Array<ReadonlyArray<number>> = []
          const each = Stream.mapChunks(query(), (chunk) => {
            chunks.push(decoded.slice() as Array<number>)
            return chunk
          })
          assert.deepStrictEqual(yield* Stream.runCollect(each).pipe(Effect.map(Chunk.toReadonlyArray)), [
            { n: 2 },
            { n: 4 },
            { n: 6 },
            { n: 8 },
            { n: 10 }
          ])
          assert.deepStrictEqual(chunks, [
            [1, 2],
            [1, 2, 3, 4],
            [1, 2, 3, 4, 5]
          ])
          decoded.length = 0
          assert.lengthOf(yield* Stream.runCollect(Stream.take(query(), 1)), 1)
          assert.deepStrictEqual(decoded, [1, 2])
        })
      )
    })

    it.effect("a wrong row comes after the rows before it, with its number in the whole result", () =>
      using(pagesOf([good, good], [good, bad, good]), (seen) =>
        Effect.gen(function* () {
          const got: Array<unknown> = []
          const error = yield* Effect.flip(
            Stream.runForEach(flights(request), (row) => Effect.sync(() => got.push(row)))
          )
          assert.lengthOf(got, 3)
          assert.deepStrictEqual(pathsOf(error), [[3, "delay"]])
          assert.strictEqual(seen.sessions[0]!.texts.at(-1), "close cursor")
        })
      )
    )

    it.effect("the rows before an error of the database come first", () =>
      using({ pages: () => [{ ...answer([good]), error: failure("Interrupted") }] }, () =>
        Effect.gen(function* () {
          const got: Array<unknown> = []
          const error = yield* Effect.flip(
            Stream.runForEach(flights(request), (row) => Effect.sync(() => got.push(row)))
          )
          assert.deepStrictEqual(got, [good])
          assert.strictEqual(error._tag, "SqlError")
        })
      )
    )

    it.effect("a schema with Effects", () => {
      const Slow = Schema.transformOrFail(Schema.Number, Schema.Number, {
        strict: true,
        decode: (n, _, ast) =>
          Effect.zipRight(Effect.yieldNow(), n < 0 ? Effect.fail(new ParseResult.Type(ast, n)) : Effect.succeed(n)),
        encode: (n) => Effect.succeed(n)
      })
      const query = Query.stream({ name: "n", Result: Schema.Struct({ n: Slow }), execute: (sql) => sql`select n` })
      return using(pagesOf([{ n: 1 }, { n: 2 }], [{ n: 3 }, { n: -4 }]), () =>
        Effect.gen(function* () {
          const got: Array<unknown> = []
          const error = yield* Effect.flip(Stream.runForEach(query(), (row) => Effect.sync(() => got.push(row))))
          assert.deepStrictEqual(got, [{ n: 1 }, { n: 2 }, { n: 3 }])
          assert.deepStrictEqual(pathsOf(error), [[3, "n"]])
        })
      )
    })

    it.effect("prefetch and deadline of the client are heard", () =>
      using(pagesOf([good]), (seen) =>
        Effect.gen(function* () {
          yield* Stream.runDrain(flights(request).pipe(SqlClient.withPrefetch(7)))
          assert.strictEqual(seen.requests[0]!.prefetch, 7)
          const late = yield* Effect.flip(Stream.runDrain(flights(request).pipe(SqlClient.withDeadline(0))))
          assert.strictEqual(SqlFailure.from(late).reason, "StatementTimeout")
          const lateToo = yield* Effect.flip(Query.all(byOrigin)(request).pipe(SqlClient.withDeadline(0)))
          assert.strictEqual(SqlFailure.from(lateToo).reason, "StatementTimeout")
          assert.lengthOf(seen.requests, 1)
        })
      )
    )
  })

  describe("spans", () => {
    it.effect("one of the query's name around the statement's", () =>
      using({ ...rows(good), ...pagesOf([good], [bad]) }, () =>
        Effect.gen(function* () {
          const { spans, tracer } = tracing()
          yield* Query.all(byOrigin)(request).pipe(Effect.withTracer(tracer))
          yield* Effect.flip(Stream.runDrain(Query.stream({ ...byOrigin, name: "s" })(request))).pipe(
            Effect.withSpan("outer"),
            Effect.withTracer(tracer)
          )
          assert.deepStrictEqual(
            spans.map(({ name, parent }) => [name, parent]),
            [
              ["flightsFrom", undefined],
              ["SELECT flights", "flightsFrom"],
              ["outer", undefined],
              ["s", "outer"],
              ["SELECT flights", "s"]
            ]
          )
          assert.isTrue(spans.every(({ ended }) => ended))
          assert.isTrue(Exit.isFailure(spans[3]!.exit!))
        })
      )
    )
  })

  describe("batched", () => {
    const Person = Schema.Struct({ id: Schema.Number, name: Schema.String })
    const people = new Map([1, 2, 3].map((id) => [id, { id, name: `person ${id}` }]))

    const base = {
      name: "person",
      Request: Schema.Number,
      Result: Person,
      resultKey: ({ id }: { readonly id: number }) => id,
      execute: (sql: SqlClient.SqlClient, ids: ReadonlyArray<number>) =>
        sql`select * from people where ${sql.in("id", ids)}`
    }

    const database = (
      change: (row: { id: number; name: string }) => Array<Record<string, unknown>> = (row) => [row]
    ) => ({
      run: (request: SqlTransport.SqlRequest) =>
        /people/.test(request.text)
          ? Effect.succeed(
              answer(
                request.params.flatMap((id) => (people.has(id as number) ? change(people.get(id as number)!) : []))
              )
            )
          : undefined
    })

    const one = Query.batched(base)
    const option = Query.batched({ ...base, rows: "option" })
    const all = Query.batched({ ...base, rows: "all" })

    it.effect("one statement for all, duplicates asked once and answered each", () =>
      using(database(), (seen) =>
        Effect.gen(function* () {
          const got = yield* Effect.forEach([1, 2, 1, 3, 1], (id) => one(id), { batching: true })
          assert.deepStrictEqual(
            got.map(({ id }) => id),
            [1, 2, 1, 3, 1]
          )
          assert.lengthOf(seen.requests, 1)
          assert.deepStrictEqual(seen.requests[0]!.params, [1, 2, 3])
        })
      )
    )

    it.effect("rows are decoded with the services of the caller who gets them", () =>
      using(database(), (seen) =>
        Effect.gen(function* () {
          class Greeting extends Context.Tag("Greeting")<Greeting, string>() {}
          const Greeted = Schema.transformOrFail(Schema.String, Schema.String, {
            decode: (name) => Effect.map(Greeting, (greeting) => `${greeting}, ${name}`),
            encode: Effect.succeed
          })
          const greeted = Query.batched({ ...base, Result: Schema.Struct({ id: Schema.Number, name: Greeted }) })
          const got = yield* Effect.forEach(
            [
              [1, "Hi"],
              [2, "Hello"],
              [1, "Bonjour"]
            ] as const,
            ([id, greeting]) => Effect.provideService(greeted(id), Greeting, greeting),
            { batching: true }
          )
          assert.deepStrictEqual(
            got.map(({ name }) => name),
            ["Hi, person 1", "Hello, person 2", "Bonjour, person 1"]
          )
          assert.lengthOf(seen.requests, 1)
        })
      )
    )

    it.effect("missing ones: NotFound, none, no rows", () =>
      using(database(), (seen) =>
        Effect.gen(function* () {
          const got = yield* Effect.forEach([1, 9, 9], (id) => Effect.either(one(id)), { batching: true })
          assert.deepStrictEqual(
            got.map(({ _tag }) => _tag),
            ["Right", "Left", "Left"]
          )
          assert.instanceOf(yield* Effect.flip(one(9)), Query.NotFound)
          const found = yield* Effect.forEach([1, 9], (id) => option(id), { batching: true })
          assert.deepStrictEqual(found, [Option.some(people.get(1)!), Option.none()])
          assert.deepStrictEqual(yield* Effect.forEach([9, 2], (id) => all(id), { batching: true }), [
            [],
            [people.get(2)!]
          ])
          assert.lengthOf(seen.requests, 4)
        })
      )
    )

    it.effect("more than one row for a key", () =>
      using(
        database((row) => [row, row]),
        () =>
          Effect.gen(function* () {
            assert.instanceOf(yield* Effect.flip(one(1)), Query.TooManyRows)
            assert.instanceOf(yield* Effect.flip(option(1)), Query.TooManyRows)
            assert.lengthOf(yield* all(1), 2)
          })
      )
    )

    it.effect("maxBatchSize cuts, and a statement that fails takes only its own with it", () =>
      using(
        {
          run: (request) => (request.params.includes(3) ? Effect.fail(failure("LockTimeout")) : database().run(request))
        },
        (seen) =>
          Effect.gen(function* () {
            const small = Query.batched({ ...base, maxBatchSize: 2 })
            const got = yield* Effect.forEach([1, 2, 1, 3], (id) => Effect.either(small(id)), { batching: true })
            assert.deepStrictEqual(
              got.map(({ _tag }) => _tag),
              ["Right", "Right", "Right", "Left"]
            )
            assert.deepStrictEqual(
              seen.requests.map(({ params }) => params),
              [[1, 2], [3]]
            )
          })
      )
    )

    it.effect("a wrong row fails those without a row, not those who have theirs", () =>
      using(
        database((row) => [row.id === 2 ? { id: "two", name: row.name } : row]),
        () =>
          Effect.gen(function* () {
            const got = yield* Effect.forEach([1, 2], (id) => Effect.either(one(id)), { batching: true })
            assert.strictEqual(got[0]!._tag, "Right")
            assert.deepStrictEqual(pathsOf(got[1]!._tag === "Left" && got[1]!.left), [[1, "id"]])
          })
      )
    )

    it.effect("keys are compared by value", () =>
      using(rows({ a: 1, b: "x", n: 1 }, { a: 1, b: "y", n: 2 }), () =>
        Effect.gen(function* () {
          const query = Query.batched({
            name: "pair",
            Request: Schema.Struct({ a: Schema.Number, b: Schema.String }),
            Result: Schema.Struct({ a: Schema.Number, b: Schema.String, n: Schema.Number }),
            resultKey: ({ a, b }) => ({ a, b }),
            execute: (sql, pairs) =>
              sql`select * from t where ${sql.or(pairs.map(({ a, b }) => sql`(a = ${a} and b = ${b})`))}`
          })
          const pairs = [
            { a: 1, b: "y" },
            { a: 1, b: "x" },
            { b: "y", a: 1 }
          ]
          const got = yield* Effect.forEach(pairs, (pair) => query(pair), { batching: true })
          assert.deepStrictEqual(
            got.map(({ n }) => n),
            [2, 1, 2]
          )
        })
      )
    )

    it.effect("bytes and dates are keys as well", () =>
      Effect.gen(function* () {
        const day = new Date("2020-01-02")
        const keyed = <A>(key: Schema.Schema<A>) =>
          Query.batched({
            name: "keyed",
            Request: key,
            Result: Schema.Struct({ key, n: Schema.Number }),
            resultKey: ({ key }) => key,
            execute: (sql, keys) => sql`select * from t where ${sql.in("key", keys as ReadonlyArray<never>)}`
          })
        const ask = <A>(key: Schema.Schema<A>, keys: ReadonlyArray<A>) =>
          Effect.map(
            Effect.forEach(keys, (one) => keyed(key)(one), { batching: true }),
            (got) => got.map(({ n }) => n)
          )
        const bytes = (...of: ReadonlyArray<number>) => Uint8Array.from(of)
        const blobs = rows({ key: bytes(1, 2), n: 1 }, { key: bytes(3), n: 2 })
        assert.deepStrictEqual(
          yield* using(blobs, () => ask(Schema.Uint8ArrayFromSelf, [bytes(3), bytes(1, 2)])),
          [2, 1]
        )
        const days = rows({ key: day, n: 1 }, { key: new Date(0), n: 2 })
        assert.deepStrictEqual(
          yield* using(days, () => ask(Schema.DateFromSelf, [new Date(0), new Date(day), new Date(0)])),
          [2, 1, 2]
        )
      })
    )

    for (const maxBatchSize of [Infinity, NaN, 0, 2.5]) {
      it.effect(`maxBatchSize ${maxBatchSize}: everybody is answered`, () =>
        using(database(), () =>
          Effect.gen(function* () {
            const odd = Query.batched({ ...base, maxBatchSize })
            const got = yield* Effect.forEach([1, 2, 3], (id) => odd(id), { batching: true })
            assert.deepStrictEqual(
              got.map(({ id }) => id),
              [1, 2, 3]
            )
          })
        )
      )
    }

    it.effect("runs in the caller's transaction; callers in others do not share its statement", () =>
      using({ ...database(), limits: { read: 0, write: 2, transaction: 0 }, sharing: "exclusive" }, (seen, sql) =>
        Effect.gen(function* () {
          yield* sql.withTransaction(Effect.forEach([1, 2], (id) => one(id), { batching: true }))
          assert.deepStrictEqual(
            seen.sessions[0]!.texts.map((text) => text.slice(0, 6)),
            ["BEGIN", "select", "COMMIT"]
          )
          const before = seen.requests.length
          yield* Effect.forEach([1, 2], (id) => sql.withTransaction(one(id)), { batching: true })
          const after = seen.requests.slice(before).filter(({ text }) => /people/.test(text))
          assert.deepStrictEqual(after.map(({ params }) => params[0]).sort(), [1, 2])
        })
      )
    )

    it.effect("each query and each client by itself; with request caching, too", () =>
      using(database(), (seen) =>
        Effect.gen(function* () {
          const [a, b] = yield* Effect.all([one(1), option(1)], { batching: true })
          assert.deepStrictEqual(Option.some(a), b)
          assert.lengthOf(seen.requests, 2)
          yield* using(
            database((row) => [{ ...row, name: "elsewhere" }]),
            () =>
              Effect.gen(function* () {
                assert.strictEqual((yield* one(2)).name, "elsewhere")
              })
          )
          assert.strictEqual((yield* one(2)).name, "person 2")
        }).pipe(Effect.withRequestCaching(true))
      )
    )

    it.live("an interrupted caller stops the statement", () => {
      const stopped: Array<string> = []
      const run = (request: SqlTransport.SqlRequest) =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => void stopped.push(request.text)))
      return using({ run }, (seen) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.fork(one(1))
          while (seen.requests.length === 0) {
            yield* Effect.sleep(1)
          }
          const exit = yield* Fiber.interrupt(fiber)
          assert.isTrue(Exit.isFailure(exit) && Cause.isInterrupted(exit.cause))
          // Effect lets the caller go at once; the batch, a fiber of its own, is stopped right after.
          while (stopped.length === 0) {
            yield* Effect.sleep(1)
          }
        })
      )
    })

    it.effect("a span of the query's name around the statement", () =>
      using(database(), () =>
        Effect.gen(function* () {
          const { spans, tracer } = tracing()
          yield* Effect.forEach([1, 2], (id) => one(id).pipe(Effect.withSpan(`caller ${id}`)), { batching: true }).pipe(
            Effect.withTracer(tracer)
          )
          assert.deepStrictEqual(spans.map(({ name }) => name).sort(), [
            "SELECT people",
            "caller 1",
            "caller 2",
            "person"
          ])
          const batch = spans.find(({ name }) => name === "person")!
          assert.strictEqual(batch.attributes.get("db.operation.batch.size"), 2)
          assert.strictEqual(batch.parent, "caller 1")
        })
      )
    )
  })
})
