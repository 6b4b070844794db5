/**
 * The service that programs depend on: an `@effect/sql` client whose statements can be streamed, stopped and bounded in
 * time, over any `SqlTransport`.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as internal from "./internal/client.js"
import * as settings from "./internal/settings.js"
import type { TransactionOptions } from "./internal/transaction.js"
import type * as SessionPool from "./SessionPool.js"
import * as SqlTransport from "./SqlTransport.js"

export type { TransactionOptions } from "./internal/transaction.js"

/**
 * An `@effect/sql` client and more. Everything written for `@effect/sql` (SqlSchema, SqlResolver, Model, Migrator, kysely
 * and drizzle adapters, cluster and workflow storages) runs on it.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqlClient extends EffectSql.SqlClient {
  /**
   * Runs an effect in a transaction; nested ones are savepoints. A failed begin, commit or rollback is a typed failure.
   *
   * @example
   * ```ts
   * import { SqlClient } from "@sluice/sql"
   * import { Effect } from "effect"
   *
   * const move = Effect.gen(function*() {
   *   const sql = yield* SqlClient.SqlClient
   *   yield* sql.transaction({ mode: "immediate", deadline: "2 seconds" })(Effect.gen(function*() {
   *     yield* sql`update accounts set balance = balance - 10 where id = 1`
   *     yield* sql`update accounts set balance = balance + 10 where id = 2`
   *   }))
   * })
   * ```
   */
  readonly transaction: (
    options?: TransactionOptions
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>

  /**
   * One prepared statement, many parameter rows (an array, an iterable or a Stream of arrays), in chunks of up to 4,096
   * rows or 4 MiB, one round trip per chunk. Answers the rows changed in all.
   *
   * Each chunk is all or nothing. Outside of a transaction it is committed by itself, so a failing row or source leaves
   * the chunks before it; inside a transaction the whole call is a savepoint: all or nothing. The failure tells the row
   * (`SqlFailure.from(error).failedRow`, from 0).
   */
  readonly many: <E = never, R = never>(
    text: string,
    rows: SqlTransport.RowSource<E, R>
  ) => Effect.Effect<{ readonly changes: number | undefined }, SqlError | E, R>

  /**
   * Runs an effect once the fiber's transaction has committed, never if it does not; outside of one at once. Its
   * failures are logged as warnings. After a commit it runs in the fiber of the transaction and to its end, whatever interrupts come:
   * fork what takes long.
   */
  readonly afterCommit: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<void, never, R>

  /**
   * The parameters and columns of a statement, prepared and not run. What cannot be prepared without running it (a
   * PRAGMA) fails as `Unsupported`.
   */
  readonly describe: (text: string) => Effect.Effect<SqlTransport.Description, SqlError>

  /**
   * Does what only the transport can do on its own session, as one statement is done: on a session that nobody else uses,
   * inside a transaction on its session and in turn, and not later than the deadline in `request`, which has the fiber's
   * settings and, as `transaction`, whether one must be open. With `texts` it is told of as the batch of these statements, in
   * spans and metrics, and `statementTimeout` counts.
   */
  readonly onSession: <A, E, R>(
    use: (session: SqlTransport.Session, request: SqlTransport.SqlRequest) => Effect.Effect<A, E, R>,
    texts?: ReadonlyArray<string>
  ) => Effect.Effect<A, E | SqlError, R>

  /**
   * The transport's own session, held until the scope closes. As with `reserve`: inside a transaction it is the
   * transaction's session, and one left in a transaction is rolled back. Inside one what is done on it is not in turn: a
   * savepoint of another fiber may take it along. `onSession` waits for its turn.
   */
  readonly session: Effect.Effect<SqlTransport.Session, SqlError, Scope.Scope>

  /**
   * Chooses by the database's dialect, where two want other words. As `@effect/sql` has it, and with `db2`, which is none
   * of its dialects.
   *
   * @example
   * ```ts
   * import { SqlClient } from "@sluice/sql"
   * import { Effect } from "effect"
   *
   * const today = Effect.gen(function*() {
   *   const sql = yield* SqlClient.SqlClient
   *   return yield* sql.onDialectOrElse({
   *     db2: () => sql`values current date`,
   *     orElse: () => sql`select current_date`
   *   })
   * })
   * ```
   */
  readonly onDialectOrElse: {
    <A, B, C = never, D = never, E = never, F = never, G = never>(options: {
      readonly orElse: () => A
      readonly db2: () => B
      readonly sqlite?: () => C
      readonly pg?: () => D
      readonly mysql?: () => E
      readonly mssql?: () => F
      readonly clickhouse?: () => G
    }): A | B | C | D | E | F | G
  } & EffectSql.SqlClient["onDialectOrElse"]

  /** Figures of the session pools. */
  readonly statistics: Effect.Effect<ReadonlyArray<SessionPool.Statistics>>
}

/**
 * The tag of the client. The layers provide `@effect/sql`'s own tag, too.
 *
 * @since 0.1.0
 * @category tags
 */
export const SqlClient: Context.Tag<SqlClient, SqlClient> =
  /* @__PURE__ */ Context.GenericTag<SqlClient>("@sluice/sql/SqlClient")

/**
 * What a client tells besides the spans of its statements, which every tracer but Effect's built-in one is given.
 *
 * @since 0.1.0
 * @category models
 */
export interface TelemetryOptions {
  /** Whether statements and pools are measured, with Effect's metrics. Default true. */
  readonly metrics?: boolean | undefined
  /**
   * Whether spans show the values of parameters (`db.query.parameter.<index>`, the first 1,000 characters of each; of
   * bytes their number). Default false: values are often personal or secret.
   */
  readonly parameters?: boolean | undefined
  /**
   * Whether spans tell what the database has counted for their statement: `sluice.<system>.<counter>`, such as
   * `sluice.sqlite.full_scan_steps`, `.sorts` and `.vm_steps`. Of statements and streams, not of `many`, and where the
   * transport has such: on SQLite's native engine. Costs some microseconds for each statement with a span. Default false.
   */
  readonly statementCounters?: boolean | undefined
}

/**
 * Options of a client; all of them optional.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Attributes of every span. */
  readonly spanAttributes?: Readonly<Record<string, unknown>> | undefined
  /** Applied to the rows of every result, except by `.values`, `.raw` and `.withoutTransform`. */
  readonly transformRows?: (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined
  /** How long any one statement may take, waiting included. Default: no limit. */
  readonly statementTimeout?: Duration.DurationInput | undefined
  /** Rows per page of a stream where `Prefetch` says nothing else. Default: the transport's; 64 on SQLite, 1,000 on Db2. */
  readonly prefetch?: number | undefined
  /** What is told to tracers and metrics. */
  readonly telemetry?: TelemetryOptions | undefined
  /** How sessions are pooled; how many there may be the transport says. */
  readonly pool?: SessionPool.Settings | undefined
}

/**
 * A client over the transport in the context. Fails with a typed error when the first session cannot be opened, and with
 * reason `InvalidParameter`, before anything is opened, for an option that is none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<SqlClient, SqlError, Scope.Scope | SqlTransport.SqlTransport | Reactivity.Reactivity> =>
  Effect.flatMap(SqlTransport.SqlTransport, (transport) => internal.make(transport, options))

/**
 * The client as a layer, with options.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  options: Options
): Layer.Layer<SqlClient | EffectSql.SqlClient, SqlError, SqlTransport.SqlTransport> =>
  Layer.scopedContext(
    Effect.map(make(options), (client) =>
      Context.make(SqlClient, client).pipe(Context.add(EffectSql.SqlClient, client))
    )
  ).pipe(Layer.provide(Reactivity.layer))

/**
 * The client as a layer over any `SqlTransport`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SqlClient | EffectSql.SqlClient, SqlError, SqlTransport.SqlTransport> =
  // Without the mark a bundler keeps the client, its pool and all where only a query is imported.
  /* @__PURE__ */ layerWith({})

/**
 * How many rows a page of a stream holds: 64 by default (1,000 on Db2), kept within 1 … 65,536. Read when the stream starts.
 *
 * @since 0.1.0
 * @category references
 */
export const Prefetch = settings.Prefetch

/**
 * When statements must have ended: milliseconds of the `Clock` service (as its nanoseconds count), `Infinity` (the
 * default) for never. Set it with `withDeadline`.
 *
 * @since 0.1.0
 * @category references
 */
export const Deadline = settings.Deadline

/**
 * Sets the rows per page for the streams in an Effect, for a Stream, or for one statement (which stays a statement).
 *
 * @example
 * ```ts
 * import { SqlClient } from "@sluice/sql"
 * import { Effect, Stream } from "effect"
 *
 * const count = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`select * from flights`.pipe(SqlClient.withPrefetch(512)).stream.pipe(Stream.runCount)
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withPrefetch: (rows: number) => <A extends settings.Runnable>(self: A) => A = settings.withPrefetch

/**
 * Whether streams read one page ahead of the one that was asked for. Default false: nothing is read that nobody wants.
 *
 * @since 0.1.0
 * @category references
 */
export const ReadAhead = settings.ReadAhead

/**
 * Lets streams get the next page while the one before is being worked on; never more than one. For results that are read
 * to their end: whoever stops early has made the database read a page too much. It is never done for statements that
 * write, for scripts, or where callbacks are registered that would need a caller; a transport may ignore it.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@sluice/sql"
 * import { Effect, Stream } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`select * from flights`.stream.pipe(SqlClient.withReadAhead(true), Stream.runCount)
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withReadAhead: (readAhead: boolean) => <A extends settings.Runnable>(self: A) => A = settings.withReadAhead

/**
 * Bounds everything in an Effect, a Stream or one statement: waiting for a session, the queue, the statement itself,
 * callbacks and every page. Counted from when it starts to run; an inner deadline can only be earlier. A statement that
 * does not make it fails with reason `StatementTimeout` and is stopped in the database, also in an uninterruptible region (a
 * finalizer, say), where no interrupt of the program stops it. Commit and rollback have none.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDeadline: (duration: Duration.DurationInput) => <A extends settings.Runnable>(self: A) => A =
  settings.withDeadline

/**
 * Whether integers come as `bigint`: false by default, and then one that a number cannot hold exactly is a failure
 * (`ConversionFailed`). `@effect/sql`'s own reference, read for each statement.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@sluice/sql"
 * import { Effect } from "effect"
 *
 * const exact = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`select 9223372036854775807 as max`
 * }).pipe(Effect.provideService(SqlClient.SafeIntegers, true))
 * ```
 *
 * @since 0.1.0
 * @category references
 */
export const SafeIntegers = EffectSql.SafeIntegers
