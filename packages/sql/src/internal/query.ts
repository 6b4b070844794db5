/** Typed queries: a definition made once, and the ways to run it. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as SqlClient from "../SqlClient.js"
import { type AnyFiber, withFiber } from "./fiber.js"
import { makeEncoder, RowDecoder, titled } from "./queryDecoder.js"
import { NotFound, TooManyRows } from "./queryErrors.js"
import { inSpan, isTraced, spanTime, startSpan } from "./telemetry.js"

/** What a query is made from, its types forgotten. */
export interface Options {
  readonly name: string
  readonly Request?: Schema.Schema.Any | undefined
  readonly Result?: Schema.Schema.Any | undefined
  readonly execute: (sql: SqlClient.SqlClient, request: never) => Statement.Statement<unknown>
}

export type Rows = "objects" | "arrays" | "none"

export type Failure = SqlError | ParseResult.ParseError

/** A query as it is kept: schemas compiled, statement on demand. */
export class Definition<A, R> {
  readonly name: string
  readonly decoder: RowDecoder<A, R> | undefined
  private readonly encodeRequest: ((request: unknown) => Effect.Effect<unknown, ParseResult.ParseIssue, R>) | undefined

  constructor(
    readonly options: Options,
    readonly rows: Rows,
    /** Whether `execute` takes the requests of many callers. */
    readonly batched = false
  ) {
    this.name = options.name
    this.decoder = options.Result === undefined ? undefined : new RowDecoder(options.name, options.Result)
    this.encodeRequest = options.Request === undefined ? undefined : makeEncoder(options.Request)
  }

  /** The request as the statement takes it: an `Either` where the schema needs no Effect. */
  encode(request: unknown): Effect.Effect<unknown, ParseResult.ParseError, R> {
    if (this.encodeRequest === undefined) {
      return Either.right(undefined)
    }
    const encoded = this.encodeRequest(request)
    if (Either.isEither(encoded) && encoded._tag === "Right") {
      return Either.right(encoded.right)
    }
    return Effect.mapError(encoded, (issue) => titled(`request of query "${this.name}"`, request, issue))
  }

  statement(sql: SqlClient.SqlClient, encoded: unknown): Statement.Statement<unknown> {
    return this.options.execute(sql, encoded as never)
  }
}

/** The client that the fiber is to use; as with any service, its absence is a defect. */
export const clientOf = (fiber: AnyFiber): SqlClient.SqlClient =>
  Context.unsafeGet(fiber.currentContext as Context.Context<SqlClient.SqlClient>, SqlClient.SqlClient)

/** Runs the effect in a span of the query's name, where somebody looks at spans. */
export const spanned = <A, E, R>(
  fiber: AnyFiber,
  name: string,
  attributes: ReadonlyArray<readonly [string, unknown]>,
  effect: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (!isTraced(fiber)) {
    return effect()
  }
  const span = startSpan(fiber, name, attributes, "internal")
  return inSpan(
    fiber,
    span,
    Effect.provideService(Effect.suspend(effect), Tracer.ParentSpan, span) as Effect.Effect<A, E, R>
  )
}

const withStatement = <A, R, B, E>(
  definition: Definition<A, R>,
  client: SqlClient.SqlClient,
  request: unknown,
  use: (statement: Statement.Statement<unknown>) => Effect.Effect<B, E, R>
): Effect.Effect<B, E | ParseResult.ParseError, R> => {
  const encoded = definition.encode(request)
  return Either.isEither(encoded) && encoded._tag === "Right"
    ? use(definition.statement(client, encoded.right))
    : Effect.flatMap(encoded, (request) => use(definition.statement(client, request)))
}

const run = <A, R, B, E>(
  definition: Definition<A, R>,
  request: unknown,
  use: (statement: Statement.Statement<unknown>) => Effect.Effect<B, E, R>
): Effect.Effect<B, E | ParseResult.ParseError, R> =>
  withFiber((fiber) => {
    return spanned(fiber, definition.name, [], () => withStatement(definition, clientOf(fiber), request, use))
  })

/** Every decoded query has a schema of its rows. */
const decoderOf = <A, R>(definition: Definition<A, R>): RowDecoder<A, R> => definition.decoder!

export const all =
  <A, R>(definition: Definition<A, R>) =>
  (request: unknown): Effect.Effect<ReadonlyArray<A>, Failure, R> =>
    run(definition, request, (statement) => Effect.flatMap(statement, (rows) => decoderOf(definition).all(rows)))

export const values =
  <A, R>(definition: Definition<A, R>) =>
  (request: unknown): Effect.Effect<ReadonlyArray<A>, Failure, R> =>
    run(definition, request, (statement) => Effect.flatMap(statement.values, (rows) => decoderOf(definition).all(rows)))

const first = <A, R>(definition: Definition<A, R>, rows: ReadonlyArray<unknown>) => {
  const decoder = decoderOf(definition)
  const decoded = decoder.one(rows[0])
  return Either.isEither(decoded) && decoded._tag === "Right"
    ? Either.right(decoded.right as A)
    : Effect.mapError(decoded, (issue) => decoder.failure(rows, 0, issue))
}

export const one =
  <A, R>(definition: Definition<A, R>) =>
  (request: unknown): Effect.Effect<A, Failure | NotFound | TooManyRows, R> =>
    run(definition, request, (statement) =>
      Effect.flatMap(statement, (rows): Effect.Effect<A, NotFound | TooManyRows | ParseResult.ParseError, R> => {
        switch (rows.length) {
          case 0:
            return Effect.fail(new NotFound({ query: definition.name }))
          case 1:
            return first(definition, rows)
          default:
            return Effect.fail(new TooManyRows({ query: definition.name, rows: rows.length }))
        }
      })
    )

export const option =
  <A, R>(definition: Definition<A, R>) =>
  (request: unknown): Effect.Effect<Option.Option<A>, Failure | TooManyRows, R> =>
    Effect.catchTag(Effect.asSome(one(definition)(request)), "NotFound", () => Effect.succeedNone)

export const discard =
  <R>(definition: Definition<never, R>) =>
  (request: unknown): Effect.Effect<void, Failure, R> =>
    run(definition, request, (statement) => Effect.asVoid(statement))

/** One decoding per page. A wrong row ends the stream after the rows before it. */
const decodePages = <A, R>(
  definition: Definition<A, R>,
  rows: Stream.Stream<unknown, SqlError>
): Stream.Stream<A, Failure, R> => {
  const decoder = decoderOf(definition)
  type Decoding = Channel.Channel<Chunk.Chunk<A>, Chunk.Chunk<unknown>, Failure, SqlError, unknown, unknown, R>
  const from = (before: number): Decoding =>
    Channel.readWithCause({
      onInput: (page: Chunk.Chunk<unknown>): Decoding => {
        const encoded = Chunk.toReadonlyArray(page)
        const out: Array<A> = []
        const emit = Channel.suspend(() =>
          out.length === 0 ? Channel.void : Channel.write(Chunk.unsafeFromArray(out))
        )
        const next = Channel.flatMap(emit, () => from(before + encoded.length))
        const rest = decoder.into(encoded, out, before)
        return rest === undefined
          ? next
          : Channel.foldCauseChannel(Channel.fromEffect(rest), {
              onFailure: (cause) => Channel.flatMap(emit, () => Channel.failCause(cause)),
              onSuccess: () => next
            })
      },
      onFailure: (cause) => Channel.failCause(cause),
      onDone: () => Channel.void
    })
  return Stream.fromChannel(
    Channel.pipeTo(
      Stream.toChannel(rows),
      Channel.suspend(() => from(0))
    )
  )
}

export const stream =
  <A, R>(definition: Definition<A, R>) =>
  (request: unknown): Stream.Stream<A, Failure, R> =>
    Stream.unwrapScoped(
      withFiber((fiber) => {
        const rows = withStatement(definition, clientOf(fiber), request, (statement) =>
          Effect.succeed(decodePages(definition, statement.stream))
        )
        if (!isTraced(fiber)) {
          return rows
        }
        const span = startSpan(fiber, definition.name, [], "internal")
        return Effect.zipRight(
          Effect.addFinalizer((exit) => Effect.sync(() => span.end(spanTime(fiber), exit))),
          Effect.map(
            Effect.provideService(rows, Tracer.ParentSpan, span) as typeof rows,
            (decoded) => Stream.provideService(decoded, Tracer.ParentSpan, span) as Stream.Stream<A, Failure, R>
          )
        )
      })
    )
