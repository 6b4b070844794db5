/**
 * The port: what a database must offer so that `SqlClient` can run on it.
 *
 * A transport makes sessions, a session runs requests, a cursor hands out pages. The client above it does the rest:
 * compiling, routing, turns, transactions, streams, spans. Every transport keeps the same contract about interruption:
 *
 * 1. a request that has not begun is never run, and its interrupt settles at once;
 * 2. a running statement is stopped in the database; the interrupt completes once the session is quiet again;
 * 3. a stop never hits a neighbour's statement;
 * 4. no quiet within the grace period: the session is retired, and the interrupt still completes;
 * 5. late answers are dropped, their cursors closed; every waiter is answered exactly once;
 * 6. a cancelled pull poisons its cursor: never a lost row, never a silent end;
 * 7. cancel surfaces as interruption, a passed deadline as `StatementTimeout`.
 *
 * @since 0.1.0
 */
import { SqlError } from "@effect/sql/SqlError"
import type { Compiler, Fragment } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as compilers from "./internal/compiler.js"
import { impossible } from "./internal/helpers.js"
import * as primitives from "./internal/primitives.js"
import * as internal from "./internal/stoppable.js"
import { SqlFailure } from "./SqlFailure.js"

/**
 * What a session is wanted for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Profile {
  /** `read` sessions never write. */
  readonly access: "read" | "write"
  /** `cursor`: a session whose only use is the stream that opened it. */
  readonly use: "statement" | "transaction" | "cursor"
}

/**
 * How many sessions of each kind the client may open. `transaction: 0`: transactions run on the write sessions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  readonly read: number
  readonly write: number
  readonly transaction: number
  /** Read sessions that streams open for themselves, on demand. Default 0: streams share the other sessions. */
  readonly cursor?: number | undefined
}

/**
 * How statements may share a session: queued one after the other by the session itself (`fifo`), one at a time
 * (`exclusive`), or up to so many at once (`multiplex`).
 *
 * @since 0.1.0
 * @category models
 */
export type Sharing = "fifo" | "exclusive" | { readonly multiplex: number }

/**
 * How a request stands to transactions: outside of any (`none`: one that it leaves open is rolled back and the request
 * fails), inside one that must be open (`required`), or free to begin and end them (`free`).
 *
 * @since 0.1.0
 * @category models
 */
export type TransactionUse = "none" | "required" | "free"

/**
 * One statement on its way to a session.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqlRequest {
  readonly text: string
  readonly params: ReadonlyArray<unknown>
  /** Rows per page of a cursor. */
  readonly prefetch: number
  /**
   * Whether a cursor may get the page after the one that was asked for, before anybody asks: a hint, and never more than
   * one page. Not across statements of a script, not for a statement that writes.
   */
  readonly readAhead?: boolean | undefined
  /**
   * Absolute time in milliseconds of `performance.now()`; `Infinity`: none, or one by another clock than the machine's (a
   * TestClock), which the client keeps by an interrupt.
   */
  readonly deadline: number
  /** `bigint`: every integer as a bigint. `number`: one that is not safe fails as `ConversionFailed`. */
  readonly integers: "number" | "bigint"
  readonly shape: "objects" | "arrays"
  /** Whether the statement is worth keeping prepared. */
  readonly prepared: boolean
  readonly transaction: TransactionUse
  /** The span of the statement, where there is one: for what the session runs on its behalf. */
  readonly span?: Tracer.AnySpan | undefined
  /** Whether pages shall tell what the database has counted. A transport that cannot does not. */
  readonly counters?: boolean | undefined
}

/**
 * A column of a result.
 *
 * @since 0.1.0
 * @category models
 */
export interface Column {
  readonly name: string
  /** The type as declared in the schema, where known. */
  readonly type?: string | undefined
  readonly nullable?: boolean | undefined
  readonly precision?: number | undefined
  readonly scale?: number | undefined
}

/**
 * Some rows of one statement, and what the database said along with them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Page {
  readonly columns: ReadonlyArray<Column>
  /** Rows in this page. */
  readonly length: number
  readonly objects: () => ReadonlyArray<any> // eslint-disable-line @typescript-eslint/no-explicit-any -- rows are as the query says
  readonly arrays: () => ReadonlyArray<ReadonlyArray<unknown>>
  /** What happened after these rows. */
  readonly error: SqlError | undefined
  /** Nothing follows. */
  readonly done: boolean
  /** Whether a transaction is open on the session, in the database's own words. */
  readonly inTransaction: boolean
  /** Rows changed; undefined when unknown, or when the statement only reads. */
  readonly changes: number | undefined
  /** Nanoseconds between sending and starting. */
  readonly queueNanos: number
  /** Nanoseconds spent in the database. */
  readonly engineNanos: number
  /** What the database has counted for this page, by names of its own, where that was asked for. */
  readonly counters?: { readonly [name: string]: number } | undefined
  /** The statement may run on a `read` session. */
  readonly routable: boolean
  /** The session has things of its own (temporary tables, attachments): from now on nothing may run elsewhere. */
  readonly private: boolean
}

/**
 * A whole answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Answer extends Page {
  /** What `.raw` gives: rows for a query, the driver's own result for anything else. */
  readonly raw: () => unknown
}

/**
 * Rows of parameters, one array per row; all of the same length.
 *
 * @since 0.1.0
 * @category models
 */
export type ParameterRows = ReadonlyArray<ReadonlyArray<unknown>>

/**
 * Parameters and columns of a statement that was prepared and not run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Description {
  readonly parameters: number
  readonly columns: ReadonlyArray<Column>
  readonly routable: boolean
  readonly private: boolean
}

/**
 * An open result. Closed by the scope in which it was opened.
 *
 * @since 0.1.0
 * @category models
 */
export interface Cursor {
  /** The page that `open` brought along. */
  readonly first: Page
  readonly columns: ReadonlyArray<Column>
  /** The next page. After an interrupted pull every further one fails. */
  readonly next: Effect.Effect<Page, SqlError>
}

/**
 * One connection to the database. Closed by the scope in which it was connected.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session {
  /** Names it in spans and failures: a worker id, a Db2 job name. */
  readonly id: string
  /**
   * Whether it keeps deadlines and bounds the wait of an interrupt by itself. If not, the client does both around it, at
   * the cost of a fiber per request: a deadline interrupts, an interrupted pull poisons its cursor, and an interrupt that
   * is not quiet after the transport's `grace` retires the session.
   */
  readonly keepsContract: boolean
  readonly run: (request: SqlRequest) => Effect.Effect<Answer, SqlError>
  readonly open: (request: SqlRequest) => Effect.Effect<Cursor, SqlError, Scope.Scope>
  /**
   * One statement, once per row, as a rule in one round trip. Outside of transactions all of them or none where the
   * database can; inside of one see the transport's `atomicBatches`.
   */
  readonly batch: (request: SqlRequest, rows: ParameterRows) => Effect.Effect<Answer, SqlError>
  readonly describe: (text: string) => Effect.Effect<Description, SqlError>
  /** Cheap liveness. */
  readonly check: Effect.Effect<void, SqlError>
  /**
   * Whether a transaction is open, as of the last answer; not the one of a script that runs with transaction use `none` and
   * ends it itself. Whoever has the session to himself decides by this whether there is something to undo.
   */
  readonly inTransaction: () => boolean
  /**
   * Whether a reserved session was set to something that whoever gets it next does not expect. It is closed then, and not
   * given back. Default: never.
   */
  readonly altered?: (() => boolean) | undefined
  /**
   * Whether something would be lost with it that another session has not: a result that is being read, a handle, the content
   * of a database in memory. Its pool then closes it neither for its age nor for being idle. Default: never.
   */
  readonly irreplaceable?: (() => boolean) | undefined
  /**
   * Why nothing that a fiber with this context asks for could ever be done: the session waits for that very fiber, which runs
   * a callback for it. Asked before a fiber waits for its turn on the session, as it would wait for itself; what is sent at
   * once the session refuses by itself. `statement` may be empty. Default: never.
   */
  readonly reentrant?: ((context: Context.Context<never>, statement: string) => SqlError | undefined) | undefined
  /**
   * Requests that it has been given and has not answered yet, where it queues them: how a `fifo` pool knows that it is busy
   * without a lease. Default: nobody knows, and leases are what counts.
   */
  readonly pending?: (() => number) | undefined
  /** Completes if the session dies under us, no later than the requests that fail with it have been answered. */
  readonly lost: Effect.Effect<SqlError>
}

/**
 * What `sql.transaction` may be told.
 *
 * @since 0.1.0
 * @category models
 */
export interface BeginOptions {
  /** SQLite's locking mode. On Db2 `deferred` and `immediate` change nothing, and `exclusive` is `Unsupported`. */
  readonly mode?: "deferred" | "immediate" | "exclusive" | undefined
  readonly isolation?: "readUncommitted" | "readCommitted" | "repeatableRead" | "serializable" | undefined
  readonly readOnly?: boolean | undefined
}

/**
 * Transactions as programs on a session.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionControl {
  readonly begin: (session: Session, options: BeginOptions) => Effect.Effect<void, SqlError>
  readonly commit: (session: Session) => Effect.Effect<void, SqlError>
  /** Succeeds when no transaction is open. */
  readonly rollback: (session: Session) => Effect.Effect<void, SqlError>
  readonly savepoint: (session: Session, name: string) => Effect.Effect<void, SqlError>
  readonly rollbackTo: (session: Session, name: string) => Effect.Effect<void, SqlError>
  readonly release: (session: Session, name: string) => Effect.Effect<void, SqlError>
}

/**
 * The port.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqlTransport {
  /** OpenTelemetry's `db.system.name`: `sqlite`, `ibm.db2`. */
  readonly system: string
  /** More attributes of every span, such as `db.namespace`. */
  readonly attributes: ReadonlyArray<readonly [key: string, value: unknown]>
  readonly compiler: Compiler
  readonly transactions: TransactionControl
  readonly limits: Limits
  readonly sharing: Sharing
  /**
   * Whether a batch inside a transaction does all of its rows or none by itself. If not, the client wraps each call of
   * `sql.many` in a savepoint there, also one that is a single batch. Default: it does not.
   */
  readonly atomicBatches?: boolean | undefined
  /** Rows per page of a stream, where neither a statement nor the client says otherwise. Default 64. */
  readonly prefetch?: number | undefined
  /** How long an interrupted request may take to be quiet before its session is retired. Default 2 seconds. */
  readonly grace?: Duration.DurationInput | undefined
  readonly connect: (profile: Profile) => Effect.Effect<Session, SqlError, Scope.Scope>
}

/**
 * The tag of the port.
 *
 * @since 0.1.0
 * @category tags
 */
export const SqlTransport: Context.Tag<SqlTransport, SqlTransport> =
  /* @__PURE__ */ Context.GenericTag<SqlTransport>("@sluice/sql/SqlTransport")

/**
 * A request with everything at its default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const request = (text: string, options?: Partial<SqlRequest>): SqlRequest => ({
  text,
  params: [],
  prefetch: 64,
  deadline: Infinity,
  integers: "number",
  shape: "objects",
  prepared: true,
  transaction: "none",
  ...options
})

/**
 * The compiler of SQLite's dialect: `@effect/sql`'s, and `sql.updateValues` as a table, which that one leaves out.
 * `transformQueryNames` makes the database's names of the program's; the default leaves them as they are.
 *
 * @example
 * ```ts
 * import { SqlTransport } from "@sluice/sql"
 * import { String } from "effect"
 *
 * const compiler = SqlTransport.sqliteCompiler(String.camelToSnake)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const sqliteCompiler: (transformQueryNames?: (name: string) => string) => Compiler = compilers.sqliteCompiler

/**
 * A statement's text and parameters, for whoever runs it without the client; or why it cannot be sent, as `sql.insert([])`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const compile = (
  compiler: Compiler,
  statement: Fragment | string
): readonly [text: string, params: ReadonlyArray<unknown>] | SqlError =>
  typeof statement === "string"
    ? [statement, []]
    : (impossible(statement.segments) ?? compiler.compile(statement, false))

/**
 * What a `fifo` session fails a request of transaction use `none` with, when it finds somebody's transaction open at the
 * moment it would run. It has not been run; the client sends it again when its turn has come. Users never see it.
 *
 * @since 0.1.0
 * @category errors
 */
export const insideTransaction: SqlError = (() => {
  const message = "The session is inside another fiber's transaction"
  return new SqlError({ cause: new SqlFailure({ reason: "TransactionGone", message }), message })
})()

/**
 * `Effect.async` for what a session does at every request, without a canceler; `register` runs only once the fiber waits.
 * Effect's own makes V8 keep whatever the function holds until a full collection: put together, `async`, `onInterrupt` and
 * `uninterruptibleMask` halve what a small statement costs the event loop.
 *
 * @example
 * ```ts
 * import { SqlTransport } from "@sluice/sql"
 * import { Effect } from "effect"
 *
 * const answer = SqlTransport.onInterrupt(
 *   SqlTransport.async<number>((resume) => void setTimeout(() => resume(Effect.succeed(42)), 10)),
 *   () => Effect.log("nobody waits for it any more")
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const async = primitives.async

/**
 * As `Effect.onInterrupt`, for sessions; see `async`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const onInterrupt = primitives.onInterrupt

/**
 * As `Effect.uninterruptibleMask`, for sessions; see `async`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const uninterruptibleMask = primitives.uninterruptibleMask

/**
 * For what a timeout or a race is to end. In an uninterruptible region (a finalizer, `Effect.acquireRelease`) neither can,
 * since the loser inherits that. There `stoppable` runs the effect in a fiber of its own that can be interrupted, but that no
 * interrupt of the program reaches; elsewhere it changes nothing.
 *
 * @example
 * ```ts
 * import { SqlTransport } from "@sluice/sql"
 * import { Effect } from "effect"
 *
 * const connected = SqlTransport.stoppable(Effect.timeout(Effect.never, "1 second"))
 *
 * // Ends after a second.
 * const program = Effect.uninterruptible(connected)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const stoppable = internal.stoppable

/**
 * Rows for `sql.many`: an array, any iterable, or a Stream of parameter arrays.
 *
 * @since 0.1.0
 * @category models
 */
export type RowSource<E = never, R = never> =
  Iterable<ReadonlyArray<unknown>> | Stream.Stream<ReadonlyArray<unknown>, E, R>
