/**
 * Typed queries as values: defined at module level, bound to the client when they run.
 *
 * A query has a name, a schema of what it is asked with, a schema of its rows, and the statement. Schemas are compiled
 * once, where the query is defined. What does not fit a schema is a `ParseError` that names the query, the row and the
 * column. With a tracer, a span of the query's name surrounds the statement's.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Types from "effect/Types"
import * as internal from "./internal/query.js"
import * as batch from "./internal/queryBatch.js"
import * as checking from "./internal/queryCheck.js"
import { NotFound, TooManyRows } from "./internal/queryErrors.js"
import type { SqlClient } from "./SqlClient.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("@sluice/sql/Query")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A query: a function from its request (or from nothing) to an Effect or a Stream, that `check` can look into. `RI` is
 * what encoding a request requires.
 *
 * @since 0.1.0
 * @category models
 */
export interface Query<in Arguments extends ReadonlyArray<unknown>, out Result, out RI = never> {
  (...request: Arguments): Result
  readonly [TypeId]: { readonly _RI: Types.Covariant<RI> }
}

/**
 * A query that is asked with a request. `execute` gets the client and the encoded request.
 *
 * @since 0.1.0
 * @category models
 */
export interface WithRequest<I, II, RI, A, IA, RA> {
  /** Names the query in spans, failures and reports. */
  readonly name: string
  readonly Request: Schema.Schema<I, II, RI>
  /** What one row is. */
  readonly Result: Schema.Schema<A, IA, RA>
  readonly execute: (sql: SqlClient, request: Types.NoInfer<II>) => Statement.Statement<unknown>
}

/**
 * A query that is asked with nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface WithoutRequest<A, IA, RA> {
  /** Names the query in spans, failures and reports. */
  readonly name: string
  readonly Request?: undefined
  /** What one row is. */
  readonly Result: Schema.Schema<A, IA, RA>
  readonly execute: (sql: SqlClient) => Statement.Statement<unknown>
}

export { NotFound, TooManyRows }

/**
 * What a type is where the compiler could not read it from the options, since one of their keys is misspelt: `unknown` fits no
 * schema, and the compiler would complain of the schemas instead of naming the key.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- never in what compiles
type Unread = any

/** The types are the constructors' own; inside, a query is a query. */
type Untyped = never

/** Puts the definition on the function, where `check` finds it. */
const tagged = <F extends object, A, R>(run: F, definition: internal.Definition<A, R>): F =>
  Object.defineProperty(Object.assign(run, { [TypeId]: definition }), "name", { value: definition.name })

const define = (options: internal.Options, rows: internal.Rows) => new internal.Definition<never, never>(options, rows)

/**
 * All rows.
 *
 * @example
 * ```ts
 * import { Query } from "@sluice/sql"
 * import { Effect, Schema } from "effect"
 *
 * const flightsFrom = Query.all({
 *   name: "flightsFrom",
 *   Request: Schema.Struct({ origin: Schema.String }),
 *   Result: Schema.Struct({ date: Schema.String, delay: Schema.Number }),
 *   execute: (sql, { origin }) => sql`select date, delay from flights where origin = ${origin}`
 * })
 *
 * const late = Effect.map(flightsFrom({ origin: "SEA" }), (flights) => flights.filter(({ delay }) => delay > 60))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const all: {
  <A = Unread, IA = Unread, RA = Unread>(
    options: WithoutRequest<A, IA, RA>
  ): Query<[], Effect.Effect<ReadonlyArray<A>, SqlError | ParseError, SqlClient | RA>>
  <I = Unread, II = Unread, RI = Unread, A = Unread, IA = Unread, RA = Unread>(
    options: WithRequest<I, II, RI, A, IA, RA>
  ): Query<[request: I], Effect.Effect<ReadonlyArray<A>, SqlError | ParseError, SqlClient | RI | RA>, RI>
} = (options: internal.Options) => {
  const definition = define(options, "objects")
  return tagged(internal.all(definition), definition) as Untyped
}

/**
 * The one row. Fails with `NotFound` when there is none, with `TooManyRows` when there are more.
 *
 * @example
 * ```ts
 * import { Query } from "@sluice/sql"
 * import { Effect, Schema } from "effect"
 *
 * const account = Query.one({
 *   name: "account",
 *   Request: Schema.Number,
 *   Result: Schema.Struct({ id: Schema.Number, balance: Schema.Number }),
 *   execute: (sql, id) => sql`select id, balance from accounts where id = ${id}`
 * })
 *
 * const balance = account(7).pipe(
 *   Effect.map(({ balance }) => balance),
 *   Effect.catchTag("NotFound", () => Effect.succeed(0))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const one: {
  <A = Unread, IA = Unread, RA = Unread>(
    options: WithoutRequest<A, IA, RA>
  ): Query<[], Effect.Effect<A, NotFound | TooManyRows | SqlError | ParseError, SqlClient | RA>>
  <I = Unread, II = Unread, RI = Unread, A = Unread, IA = Unread, RA = Unread>(
    options: WithRequest<I, II, RI, A, IA, RA>
  ): Query<[request: I], Effect.Effect<A, NotFound | TooManyRows | SqlError | ParseError, SqlClient | RI | RA>, RI>
} = (options: internal.Options) => {
  const definition = define(options, "objects")
  return tagged(internal.one(definition), definition) as Untyped
}

/**
 * The row, if there is one. Fails with `TooManyRows` when there are more.
 *
 * @example
 * ```ts
 * import { Query } from "@sluice/sql"
 * import { Schema } from "effect"
 *
 * const nickname = Query.option({
 *   name: "nickname",
 *   Request: Schema.Number,
 *   Result: Schema.Struct({ nickname: Schema.String }),
 *   execute: (sql, id) => sql`select nickname from people where id = ${id} and nickname is not null`
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const option: {
  <A = Unread, IA = Unread, RA = Unread>(
    options: WithoutRequest<A, IA, RA>
  ): Query<[], Effect.Effect<Option.Option<A>, TooManyRows | SqlError | ParseError, SqlClient | RA>>
  <I = Unread, II = Unread, RI = Unread, A = Unread, IA = Unread, RA = Unread>(
    options: WithRequest<I, II, RI, A, IA, RA>
  ): Query<[request: I], Effect.Effect<Option.Option<A>, TooManyRows | SqlError | ParseError, SqlClient | RI | RA>, RI>
} = (options: internal.Options) => {
  const definition = define(options, "objects")
  return tagged(internal.option(definition), definition) as Untyped
}

/**
 * The rows as a Stream, read and decoded a page at a time. A row that does not fit ends it after the rows before it.
 *
 * @example
 * ```ts
 * import { Query, SqlClient } from "@sluice/sql"
 * import { Schema, Stream } from "effect"
 *
 * const delays = Query.stream({
 *   name: "delays",
 *   Result: Schema.Struct({ date: Schema.DateFromString, delay: Schema.Number }),
 *   execute: (sql) => sql`select date, delay from flights`
 * })
 *
 * const late = delays().pipe(
 *   SqlClient.withPrefetch(512),
 *   Stream.filter(({ delay }) => delay > 60),
 *   Stream.runCount
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const stream: {
  <A = Unread, IA = Unread, RA = Unread>(
    options: WithoutRequest<A, IA, RA>
  ): Query<[], Stream.Stream<A, SqlError | ParseError, SqlClient | RA>>
  <I = Unread, II = Unread, RI = Unread, A = Unread, IA = Unread, RA = Unread>(
    options: WithRequest<I, II, RI, A, IA, RA>
  ): Query<[request: I], Stream.Stream<A, SqlError | ParseError, SqlClient | RI | RA>, RI>
} = (options: internal.Options) => {
  const definition = define(options, "objects")
  return tagged(internal.stream(definition), definition) as Untyped
}

/**
 * All rows as arrays: `Result` is the schema of a row's values in order, a tuple or an array.
 *
 * @example
 * ```ts
 * import { Query } from "@sluice/sql"
 * import { Schema } from "effect"
 *
 * const perOrigin = Query.values({
 *   name: "perOrigin",
 *   Result: Schema.Tuple(Schema.String, Schema.Number),
 *   execute: (sql) => sql`select origin, count(*) from flights group by origin`
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const values: {
  <A = Unread, IA extends ReadonlyArray<unknown> = Unread, RA = Unread>(
    options: WithoutRequest<A, IA, RA>
  ): Query<[], Effect.Effect<ReadonlyArray<A>, SqlError | ParseError, SqlClient | RA>>
  <I = Unread, II = Unread, RI = Unread, A = Unread, IA extends ReadonlyArray<unknown> = Unread, RA = Unread>(
    options: WithRequest<I, II, RI, A, IA, RA>
  ): Query<[request: I], Effect.Effect<ReadonlyArray<A>, SqlError | ParseError, SqlClient | RI | RA>, RI>
} = (options: internal.Options) => {
  const definition = define(options, "arrays")
  return tagged(internal.values(definition), definition) as Untyped
}

/**
 * A statement that is run for its effect.
 *
 * @example
 * ```ts
 * import { Query } from "@sluice/sql"
 * import { Schema } from "effect"
 *
 * const deposit = Query.void({
 *   name: "deposit",
 *   Request: Schema.Struct({ id: Schema.Number, amount: Schema.Positive }),
 *   execute: (sql, { amount, id }) => sql`update accounts set balance = balance + ${amount} where id = ${id}`
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
const void_: {
  (options: {
    readonly name: string
    readonly Request?: undefined
    readonly execute: (sql: SqlClient) => Statement.Statement<unknown>
  }): Query<[], Effect.Effect<void, SqlError | ParseError, SqlClient>>
  <I = Unread, II = Unread, RI = Unread>(options: {
    readonly name: string
    readonly Request: Schema.Schema<I, II, RI>
    readonly execute: (sql: SqlClient, request: Types.NoInfer<II>) => Statement.Statement<unknown>
  }): Query<[request: I], Effect.Effect<void, SqlError | ParseError, SqlClient | RI>, RI>
} = (options: internal.Options) => {
  const definition = define(options, "none")
  return tagged(internal.discard(definition), definition) as Untyped
}

export { void_ as void }

/**
 * How many rows a request of a batched query has: exactly one (`NotFound` and `TooManyRows` are failures), one or none
 * (an Option), or any number.
 *
 * @since 0.1.0
 * @category models
 */
export type BatchedRows = "one" | "option" | "all"

/**
 * A query whose requests are answered together. `execute` gets the encoded requests of many callers, without duplicates.
 * Keys are compared by value, also where they are arrays or plain objects.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batched<I, II, RI, A, IA, RA, Rows extends BatchedRows> {
  /** Names the query in spans, failures and reports. */
  readonly name: string
  readonly Request: Schema.Schema<I, II, RI>
  /** What one row is. */
  readonly Result: Schema.Schema<A, IA, RA>
  readonly execute: (sql: SqlClient, requests: ReadonlyArray<Types.NoInfer<II>>) => Statement.Statement<unknown>
  /** What rows find their request by. Default: the request itself. */
  readonly requestKey?: ((request: Types.NoInfer<I>) => unknown) | undefined
  /** The same key, of a decoded row (and of the row as it came). It must not depend on services of a single caller. */
  readonly resultKey: (result: Types.NoInfer<A>, row: Types.NoInfer<IA>) => unknown
  /** Default `one`. */
  readonly rows?: Rows | undefined
  /** Requests in one statement. Databases limit its parameters: SQLite to 32,766. Default 1,000. */
  readonly maxBatchSize?: number | undefined
}

/**
 * What a batched query gives to one request.
 *
 * @since 0.1.0
 * @category models
 */
export type BatchedResult<Rows extends BatchedRows, A> = Rows extends "all"
  ? ReadonlyArray<A>
  : Rows extends "option"
    ? Option.Option<A>
    : A

/**
 * What a batched query fails with, beside `SqlError` and `ParseError`.
 *
 * @since 0.1.0
 * @category models
 */
export type BatchedError<Rows extends BatchedRows> = Rows extends "all"
  ? never
  : Rows extends "option"
    ? TooManyRows
    : NotFound | TooManyRows

/**
 * Answers the requests of many callers with one statement, wherever Effect batches requests (`Effect.forEach` and
 * `Effect.all` with `{ batching: true }`).
 *
 * The same request twice is asked once and answered twice. A request without a row gets what `rows` says. Only requests
 * of the same client, transaction and deadline share a statement, which runs inside that transaction.
 *
 * @example
 * ```ts
 * import { Query } from "@sluice/sql"
 * import { Effect, Schema } from "effect"
 *
 * const person = Query.batched({
 *   name: "person",
 *   Request: Schema.Number,
 *   Result: Schema.Struct({ id: Schema.Number, name: Schema.String }),
 *   resultKey: ({ id }) => id,
 *   execute: (sql, ids) => sql`select id, name from people where ${sql.in("id", ids)}`
 * })
 *
 * const three = Effect.forEach([1, 2, 1], (id) => person(id), { batching: true })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const batched = <
  I = Unread,
  II = Unread,
  RI = Unread,
  A = Unread,
  IA = Unread,
  RA = Unread,
  Rows extends BatchedRows = "one"
>(
  options: Batched<I, II, RI, A, IA, RA, Rows>
): Query<
  [request: I],
  Effect.Effect<BatchedResult<Rows, A>, BatchedError<Rows> | SqlError | ParseError, SqlClient | RI | RA>,
  RI
> => {
  const definition = new internal.Definition<unknown, unknown>(options, "objects", true)
  return tagged(batch.batched(definition, options), definition) as Untyped
}

/**
 * Something that `check` found.
 *
 * | tag | meaning |
 * | --- | --- |
 * | `ParameterCount` | the statement takes another number of parameters than it is given |
 * | `MissingColumn` | the schema requires a column that the result does not have |
 * | `UnknownColumn` | the result has a column that the schema does not know |
 * | `DuplicateColumn` | the result has a column twice, of which a row keeps one |
 * | `NullableColumn` | the column may be null (where the database tells), the schema accepts no null |
 * | `ColumnCount` | the result has too few or too many columns for `Query.values` |
 * | `NoSample` | no request could be generated to compile the statement with: give one |
 *
 * @since 0.1.0
 * @category models
 */
export interface Problem {
  readonly _tag:
    | "ParameterCount"
    | "MissingColumn"
    | "UnknownColumn"
    | "DuplicateColumn"
    | "NullableColumn"
    | "ColumnCount"
    | "NoSample"
  readonly column: string | undefined
  readonly message: string
}

/**
 * What `check` found out about a query.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly name: string
  /** The statement, without values. */
  readonly text: string
  /** How many parameters it takes. */
  readonly parameters: number
  readonly problems: ReadonlyArray<Problem>
}

/**
 * A query has problems; the message lists them.
 *
 * @since 0.1.0
 * @category errors
 */
export class CheckFailed extends Data.TaggedError("CheckFailed")<{ readonly report: Report }> {
  override get message(): string {
    const { name, problems, text } = this.report
    return [`Query "${name}" does not fit its statement:`, ...problems.map(({ message }) => `- ${message}`), text].join(
      "\n"
    )
  }
}

/**
 * Compares a query with what the database says of its statement, which is prepared and never run. A statement that does
 * not compile fails as it would when run.
 *
 * The statement is compiled for the request given, else for one generated from the request's schema, always the same.
 *
 * @example
 * ```ts
 * import { Query } from "@sluice/sql"
 * import { Effect, Schema } from "effect"
 *
 * const people = Query.all({
 *   name: "people",
 *   Result: Schema.Struct({ id: Schema.Number, name: Schema.String }),
 *   execute: (sql) => sql`select id, nickname from people`
 * })
 *
 * // Missing: name. Unknown: nickname.
 * const problems = Effect.map(Query.check(people), ({ problems }) => problems)
 * ```
 *
 * @since 0.1.0
 * @category testing
 */
export const check = <Arguments extends ReadonlyArray<unknown>, RI>(
  query: Query<Arguments, unknown, RI>,
  ...sample: Partial<Arguments>
): Effect.Effect<Report, SqlError, SqlClient | RI> =>
  checking.check(query[TypeId] as unknown as internal.Definition<unknown, RI>, sample)

/**
 * The same, failing with `CheckFailed` when there are problems: one line per query in a unit test.
 *
 * @since 0.1.0
 * @category testing
 */
export const assertChecked = <Arguments extends ReadonlyArray<unknown>, RI>(
  query: Query<Arguments, unknown, RI>,
  ...sample: Partial<Arguments>
): Effect.Effect<Report, CheckFailed | SqlError, SqlClient | RI> =>
  Effect.filterOrFail(
    check(query, ...sample),
    ({ problems }) => problems.length === 0,
    (report) => new CheckFailed({ report })
  )
