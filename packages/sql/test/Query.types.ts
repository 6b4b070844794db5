/** What the compiler knows of queries; checked by `tsc`, never run. */
import type { SqlError } from "@effect/sql/SqlError"
import { Query, type SqlClient } from "@sluice/sql"
import { type Context, Effect, type Option, type ParseResult, Schema, type Stream } from "effect"
import { expectTypeOf } from "vitest"

type Failure = SqlError | ParseResult.ParseError
type Client = SqlClient.SqlClient

interface Flight {
  readonly date: Date
  readonly delay: number
}

const Result = Schema.Struct({ date: Schema.Date, delay: Schema.Number })
const Request = Schema.Struct({ origin: Schema.String, since: Schema.Date })
interface Request {
  readonly origin: string
  readonly since: Date
}

const withRequest = {
  name: "flights",
  Request,
  Result,
  execute: (sql: Client, { origin }: { readonly origin: string; readonly since: string }) => sql`select ${origin}`
}
const withoutRequest = { name: "flights", Result, execute: (sql: Client) => sql`select 1` }

// Results, failures and requirements, with a request and without.

const all = Query.all(withRequest)
expectTypeOf(all).parameters.toEqualTypeOf<[request: Request]>()
expectTypeOf(all).returns.toEqualTypeOf<Effect.Effect<ReadonlyArray<Flight>, Failure, Client>>()
expectTypeOf(Query.all(withoutRequest)).parameters.toEqualTypeOf<[]>()
expectTypeOf(Query.all(withoutRequest)()).toEqualTypeOf<Effect.Effect<ReadonlyArray<Flight>, Failure, Client>>()

type OneFailure = Failure | Query.NotFound | Query.TooManyRows
expectTypeOf(Query.one(withRequest)).parameters.toEqualTypeOf<[request: Request]>()
expectTypeOf(Query.one(withRequest)).returns.toEqualTypeOf<Effect.Effect<Flight, OneFailure, Client>>()
expectTypeOf(Query.one(withoutRequest)()).toEqualTypeOf<Effect.Effect<Flight, OneFailure, Client>>()

type OptionFailure = Failure | Query.TooManyRows
expectTypeOf(Query.option(withRequest)).returns.toEqualTypeOf<
  Effect.Effect<Option.Option<Flight>, OptionFailure, Client>
>()

expectTypeOf(Query.stream(withRequest)).returns.toEqualTypeOf<Stream.Stream<Flight, Failure, Client>>()
expectTypeOf(Query.stream(withoutRequest)()).toEqualTypeOf<Stream.Stream<Flight, Failure, Client>>()

const pairs = Query.values({ ...withoutRequest, Result: Schema.Tuple(Schema.String, Schema.NumberFromString) })
expectTypeOf(pairs()).toEqualTypeOf<Effect.Effect<ReadonlyArray<readonly [string, number]>, Failure, Client>>()
// @ts-expect-error -- values are arrays
Query.values(withoutRequest)

const remove = Query.void({ name: "remove", Request, execute: (sql, { origin }) => sql`delete ${origin}` })
expectTypeOf(remove).returns.toEqualTypeOf<Effect.Effect<void, Failure, Client>>()
expectTypeOf(Query.void({ name: "sweep", execute: (sql) => sql`delete` })()).toEqualTypeOf<
  Effect.Effect<void, Failure, Client>
>()

// `execute` is told the client and the encoded request.

Query.all({
  name: "inferred",
  Request,
  Result,
  execute: (sql, request) => {
    expectTypeOf(sql).toEqualTypeOf<Client>()
    expectTypeOf(request).toEqualTypeOf<{ readonly origin: string; readonly since: string }>()
    return sql<{ date: string }>`select 1`
  }
})

// @ts-expect-error -- a request is asked for
all()
// @ts-expect-error -- the decoded request is
all({ origin: "SEA", since: "2001-01-01" })
// @ts-expect-error -- nothing is asked for
Query.all(withoutRequest)(1)
// @ts-expect-error -- a statement, not an Effect
Query.all({ ...withoutRequest, execute: () => Effect.succeed([]) })

// Services of schemas are required where they are used.

declare const EncodeService: Context.Tag<"encode", number>
declare const Needy: Schema.Schema<string, string, "encode">
declare const NeedyRow: Schema.Schema<{ readonly a: string }, { readonly a: string }, "decode">
void EncodeService
const needy = Query.one({ name: "needy", Request: Needy, Result: NeedyRow, execute: (sql, a) => sql`select ${a} as a` })
expectTypeOf(needy("a")).toEqualTypeOf<
  Effect.Effect<{ readonly a: string }, OneFailure, Client | "encode" | "decode">
>()

// Batched.

const batch = { ...withRequest, resultKey: ({ delay }: Flight) => delay, execute: (sql: Client) => sql`select 1` }
expectTypeOf(Query.batched(batch)(null!)).toEqualTypeOf<Effect.Effect<Flight, OneFailure, Client>>()
expectTypeOf(Query.batched({ ...batch, rows: "option" })(null!)).toEqualTypeOf<
  Effect.Effect<Option.Option<Flight>, OptionFailure, Client>
>()
expectTypeOf(Query.batched({ ...batch, rows: "all" })(null!)).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<Flight>, Failure, Client>
>()
Query.batched({
  name: "inferred",
  Request: Schema.NumberFromString,
  Result,
  requestKey: (request) => {
    expectTypeOf(request).toEqualTypeOf<number>()
    return request
  },
  resultKey: (row, encoded) => {
    expectTypeOf(row).toEqualTypeOf<Flight>()
    expectTypeOf(encoded).toEqualTypeOf<{ readonly date: string; readonly delay: number }>()
    return row.delay
  },
  execute: (sql, requests) => {
    expectTypeOf(requests).toEqualTypeOf<ReadonlyArray<string>>()
    return sql`select ${sql.in(requests)}`
  }
})

// Check.

expectTypeOf(Query.check(all)).toEqualTypeOf<Effect.Effect<Query.Report, SqlError, Client>>()
expectTypeOf(Query.check(all, { origin: "SEA", since: new Date() })).toEqualTypeOf<
  Effect.Effect<Query.Report, SqlError, Client>
>()
expectTypeOf(Query.check(needy)).toEqualTypeOf<Effect.Effect<Query.Report, SqlError, Client | "encode">>()
expectTypeOf(Query.check(pairs)).toEqualTypeOf<Effect.Effect<Query.Report, SqlError, Client>>()
expectTypeOf(Query.assertChecked(all)).toEqualTypeOf<
  Effect.Effect<Query.Report, Query.CheckFailed | SqlError, Client>
>()
// @ts-expect-error -- the sample is a request
Query.check(all, 1)
