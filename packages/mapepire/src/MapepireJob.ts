/**
 * One Db2 for i job behind a Mapepire daemon, used by itself: no pool, no `SqlClient`.
 *
 * A job is one link (a WebSocket, or whatever carries messages) and one Db2 connection. Many requests may be under way on
 * it at once; Db2 runs them one after the other, in no order that could be relied on: where the order matters, wait for
 * one before you start the next. Interrupting a request stops its statement in the database if no other request is under
 * way on the job; otherwise it is left behind, because a stop could hit a neighbour's.
 *
 * A job never comes back by itself. Once its link is lost, everything fails with reason `SessionLost`; `lost` tells when.
 *
 * @since 0.1.0
 */
import type * as Socket from "@effect/platform/Socket"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, type SqlTransport } from "@sluice/sql"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as failure from "./internal/failure.js"
import type { ResultNames } from "./internal/rows.js"
import type * as connection from "./internal/job/connection.js"
import type { Control } from "./internal/job/control.js"
import * as endpoints from "./internal/job/endpoint.js"
import * as facade from "./internal/job/facade.js"
import * as procedure from "./internal/job/procedure.js"
import * as link from "./internal/link.js"
import * as tls from "./internal/tls.js"
import { wrongAddress } from "./internal/wrongConfig.js"
import type { JdbcOptions } from "./Protocol.js"

// ------------------------------------------------------------------------------------------------------------ config

/**
 * Who signs on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Credentials {
  readonly user: string
  /** Must not contain `:` or `;`: the daemon cannot take such a password. */
  readonly password: Redacted.Redacted
  /** A one-time code, where the system asks for one (IBM i 7.6 and newer). */
  readonly factor?: Redacted.Redacted | undefined
}

/**
 * Whom to trust. The default is what Node trusts, which does not include the certificate that a daemon makes for itself.
 *
 * @since 0.1.0
 * @category models
 */
export type TlsConfig = tls.TlsConfig

/**
 * A certificate as a server presents it.
 *
 * @since 0.1.0
 * @category models
 */
export type Certificate = tls.Certificate

/**
 * How a job behaves, however it is reached.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobConfig {
  /** JDBC properties of the job: `{ libraries: ["SHOP"], "transaction isolation": "none" }`. */
  readonly jdbc?: JdbcOptions | undefined
  /** `tcp` (default): through the host server. `cli`: the native driver, if the daemon runs on the same system. */
  readonly technique?: "tcp" | "cli" | undefined
  /** Becomes Db2's `CURRENT CLIENT_APPLNAME`. */
  readonly application?: string | undefined
  /** `now` (default): making the job connects it. `onFirstUse`: the first call does, once for all that wait for it. */
  readonly connect?: "now" | "onFirstUse" | undefined
  /** From the start until the job is there. Default 30 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** How long a stopped statement may take to stop before the job is given up. Default 10 seconds. */
  readonly grace?: Duration.DurationInput | undefined
  /**
   * Whether statements are stopped in the database, by `QSYS2.CANCEL_SQL` from a second job that is opened with the first
   * one that takes longer than a second. Default true. With false an interrupt leaves the statement behind; on a `serial` job, as
   * those of a client are, it waits until the statement has ended, and after `grace` gives the job up. Over `lines` the
   * default is false: true says that its Socket gives each job a stream of its own, as one does that starts a process.
   */
  readonly cancel?: boolean | undefined
  /** A control job to share. Default: one of its own. */
  readonly control?: ControlJob | undefined
  /** Between two looks whether the daemon still answers. Default 30 seconds; `Infinity` for never. */
  readonly pingInterval?: Duration.DurationInput | undefined
  /** So many looks without any sign of life end the job. Default 2. */
  readonly missedPings?: number | undefined
  /**
   * One statement or page at a time, in the order in which they were asked for, so that whatever runs can be stopped. Default
   * false: all are sent at once, and one that shares the job is left behind when it is interrupted.
   */
  readonly serial?: boolean | undefined
  /** Rows per message where a whole result is wanted, and per page of a cursor. Default 1,000. */
  readonly pageSize?: number | undefined
  /** Prepared statements kept for changes that come again. Default 50; 0 keeps none. */
  readonly statementCacheSize?: number | undefined
  /** Rows of one message of a batch. Default 10,000. */
  readonly batchRows?: number | undefined
  /** Bytes of one message of a batch. Default 8 MiB; the daemon closes the socket on more than 50 MB. */
  readonly batchBytes?: number | undefined
  /**
   * How Db2's names become keys of rows. `lower` (default): names wholly in upper case, as unquoted ones are, in lower
   * case; `asIs`; or a function.
   */
  readonly resultNames?: ResultNames | undefined
  /**
   * DATE and TIMESTAMP as text (default), or as `Date`: then the JDBC property `date format` must be `iso`, as it is by
   * default, or `jis`.
   */
  readonly dates?: "string" | "date" | undefined
  /**
   * How the daemon writes binary values, and wants them. Default `auto`: reads both, and writes what the daemon's version
   * wants, for which it is asked before the first bytes are sent: hexadecimal digits up to 2.3.6, then base64.
   */
  readonly binary?: "auto" | "hex" | "base64" | undefined
}

/**
 * How a job is reached over a WebSocket, and how it behaves.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config extends JobConfig {
  /** A name or an address, and nothing else: no scheme, no port, no brackets. */
  readonly host: string
  /** Default 8076. */
  readonly port?: number | undefined
  readonly user?: string | undefined
  readonly password?: Redacted.Redacted | undefined
  /** Instead of user and password: asked at every connect, for one-time codes and passwords that change. */
  readonly credentials?: Effect.Effect<Credentials, SqlError> | undefined
  readonly tls?: TlsConfig | undefined
  /** False: without TLS, for daemons started with `MP_UNSECURE=true`. Everybody can read the password then. Default true. */
  readonly secure?: boolean | undefined
  /** Default `/db/`. */
  readonly path?: string | undefined
  /** From the first packet to the open socket. Default 10 seconds. */
  readonly openTimeout?: Duration.DurationInput | undefined
  /** How long the daemon may take to answer our goodbye. Default 2 seconds. */
  readonly closeTimeout?: Duration.DurationInput | undefined
  /** Bytes of the largest message that is taken; a page of rows is one message. Default 256 MiB, 0 for no limit. */
  readonly maxPayload?: number | undefined
  /** Compresses messages (permessage-deflate): for slow networks. Default false. */
  readonly compression?: boolean | undefined
}

// ---------------------------------------------------------------------------------------------------------- the seam

/**
 * What carries a job's messages. See `webSocket` and `lines`; your own needs an `address` for failures and an `open` that
 * gives, for the time of a scope, a way to send whole messages, and tells whole messages, in order, synchronously.
 *
 * @since 0.1.0
 * @category transports
 */
export type MessageTransport = link.MessageTransport

/**
 * The daemon's single mode (`--single`) over any Socket of `@effect/platform`: one JSON document per line, both ways;
 * lines that begin with two slashes are ignored. There is no login: whoever started the daemon (through SSH, say) is who
 * it works for.
 *
 * @since 0.1.0
 * @category transports
 */
export const lines: (socket: Socket.Socket, address?: string) => MessageTransport = (
  socket,
  address = "the daemon's pipe"
) => link.lines(socket, address)

/**
 * A place where jobs can be made, with what is known about its credentials: a wrong password is tried once, and no
 * second time by any job of the same endpoint.
 *
 * @since 0.1.0
 * @category transports
 */
export interface JobEndpoint extends connection.Endpoint {}

/**
 * The WebSocket of a daemon. Several jobs may share one; each makes a socket of its own. A password that was refused to one
 * of them is not tried by the others: so a sign-on whose caller leaves goes on until the daemon has answered, as long as
 * `connectTimeout`, but for 10 seconds at least and 60 at most, and the others wait for that. `end` ends it before.
 *
 * @since 0.1.0
 * @category transports
 */
export const webSocket: (config: Config) => JobEndpoint = endpoints.webSocketEndpoint

/**
 * An endpoint that needs no login.
 *
 * @since 0.1.0
 * @category transports
 */
export const endpoint: (transport: MessageTransport) => JobEndpoint = endpoints.plainEndpoint

/**
 * A second job that stops statements of others, opened when it is first needed.
 *
 * @since 0.1.0
 * @category transports
 */
export interface ControlJob extends Control {}

/**
 * A control job for any number of jobs of one endpoint, for the time of the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const control: (endpoint: JobEndpoint, config: JobConfig) => Effect.Effect<ControlJob, never, Scope.Scope> =
  facade.control

// ----------------------------------------------------------------------------------------------------------- the job

/** A row as the caller types it. */
type Row = Readonly<Record<string, unknown>>

/**
 * What one statement may be told.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueryOptions {
  /** Rows per page. Default: the job's `pageSize`. */
  readonly rows?: number | undefined
  /** The statement is stopped after so long, and fails with reason `StatementTimeout`. Default: none. */
  readonly timeout?: Duration.DurationInput | undefined
  /** `bigint`: integers as bigint. Default `number`: one that a number cannot hold exactly fails. */
  readonly integers?: "number" | "bigint" | undefined
}

/**
 * An open result, closed by its scope. One page at a time: rows are only asked for when `next` runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Cursor<A = Row> {
  readonly columns: ReadonlyArray<SqlTransport.Column>
  /** Rows changed, for a statement that has no result; undefined for queries, and when Db2 does not tell. */
  readonly rowCount: number | undefined
  /** Whether `next` has given everything. */
  readonly isDone: boolean
  /** The next page, the first one included; empty at the end. After an interrupted one every further one fails. */
  readonly next: Effect.Effect<ReadonlyArray<A>, SqlError>
  /** Closes it before its scope does. */
  readonly close: Effect.Effect<void>
}

/**
 * A whole result.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueryResult<A = Row> {
  readonly rows: ReadonlyArray<A>
  readonly columns: ReadonlyArray<SqlTransport.Column>
  /** As in `Cursor`. */
  readonly rowCount: number | undefined
}

/**
 * A parameter of a procedure after it ran. IN parameters have no value.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutputParameter {
  /** From 1. */
  readonly index: number
  readonly name: string | undefined
  /** Db2's type. */
  readonly type: string | undefined
  readonly value: unknown
}

/**
 * What a CALL gave: its parameters, and its first result set (the protocol has no way to ask for another one).
 *
 * @since 0.1.0
 * @category models
 */
export interface CallResult<A = Row> extends QueryResult<A> {
  readonly parameters: ReadonlyArray<OutputParameter>
  /** Values of OUT and INOUT parameters by name, as `resultNames` writes names. */
  readonly out: Readonly<Record<string, unknown>>
}

/**
 * A prepared statement, usable any number of times; one execution at a time. Closed by its scope.
 *
 * @since 0.1.0
 * @category models
 */
export interface Prepared<A = Row> {
  readonly columns: ReadonlyArray<SqlTransport.Column>
  readonly parameters: ReadonlyArray<{
    readonly name: string | undefined
    readonly type: string | undefined
    readonly mode: string | undefined
    readonly precision: number | undefined
    readonly scale: number | undefined
  }>
  /**
   * Runs it, with the deadline and the SafeIntegers of the fiber that does. The daemon keeps no cursor for this: all rows
   * must fit into one page (`rows`), else it fails with reason `Unsupported` and outcome `executed`; use `query`, which can
   * be paged.
   */
  readonly execute: (
    parameters?: ReadonlyArray<unknown>,
    options?: QueryOptions
  ) => Effect.Effect<CallResult<A>, SqlError>
  /** Once per row, in messages of bounded size. */
  readonly batch: (
    rows: SqlTransport.ParameterRows,
    options?: Pick<QueryOptions, "timeout">
  ) => Effect.Effect<BatchResult, SqlError>
}

/**
 * What a batch has done.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchResult {
  /** Rows changed; undefined when Db2 does not count them, as for a blocked MERGE. */
  readonly changes: number | undefined
}

/**
 * What a CL command has answered.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommandResult {
  /** Rows of the job log that the command wrote, their names as `resultNames` writes them. */
  readonly log: ReadonlyArray<Row>
}

/**
 * Visual Explain's plan, passed on as it comes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Explanation<A = Row> {
  readonly plan: ReadonlyArray<Row>
  readonly planColumns: ReadonlyArray<SqlTransport.Column>
  /** Of the statement itself, if it was run: its first page. */
  readonly result: QueryResult<A> | undefined
}

/**
 * Where and how much the daemon and its driver trace.
 *
 * @since 0.1.0
 * @category models
 */
export interface TraceSettings {
  readonly destination?: "FILE" | "IN_MEM" | undefined
  readonly level?: TraceLevel | undefined
  readonly driverDestination?: "FILE" | "IN_MEM" | undefined
  readonly driverLevel?: TraceLevel | undefined
}

/**
 * What the daemon writes into its trace.
 *
 * @since 0.1.0
 * @category models
 */
export type TraceLevel = "OFF" | "ON" | "ERRORS" | "DATASTREAM" | "INPUT_AND_ERRORS"

/**
 * What is in force after `setTrace`, in the daemon's words. Daemons 2.3.2 to 2.3.6 ignore what was asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface TraceState {
  readonly destination: string | undefined
  readonly level: string | undefined
  readonly driverDestination: string | undefined
  readonly driverLevel: string | undefined
}

/**
 * One Db2 job. The deadline of the fiber holds for everything that it is asked, except `commit` and `rollback`.
 *
 * @since 0.1.0
 * @category models
 */
export interface MapepireJob {
  /** Runs a statement and answers with a cursor that has its first page. */
  readonly query: <A extends object = Row>(
    sql: string,
    parameters?: ReadonlyArray<unknown>,
    options?: QueryOptions
  ) => Effect.Effect<Cursor<A>, SqlError, Scope.Scope>
  /** Runs a statement and reads its result to the end, in as many pages as it has. */
  readonly queryAndRun: <A extends object = Row>(
    sql: string,
    parameters?: ReadonlyArray<unknown>,
    options?: QueryOptions
  ) => Effect.Effect<QueryResult<A>, SqlError>
  /** The rows as a stream: the statement runs whenever it is run, and a page is asked for when those before it are taken. */
  readonly rows: <A extends object = Row>(
    sql: string,
    parameters?: ReadonlyArray<unknown>,
    options?: QueryOptions
  ) => Stream.Stream<A, SqlError>
  /**
   * Runs a statement once per row of parameters, in messages of bounded size. In autocommit the rows before a failure stay
   * changed, so a failure has the outcome `unknown`.
   */
  readonly batch: (
    sql: string,
    rows: SqlTransport.ParameterRows,
    options?: Pick<QueryOptions, "timeout">
  ) => Effect.Effect<BatchResult, SqlError>
  /**
   * Calls a procedure: `job.call("CALL SHOP.PRICE(?, ?, ?)", ["SKU-1", 2, MapepireJob.out])`. NULL for an INOUT parameter
   * cannot be sent through Mapepire, and is refused here and by a prepared statement before anything runs. `query`,
   * `queryAndRun` and a client do not know what the parameters of a CALL are: there the procedure runs, and the daemon fails
   * afterwards, with outcome `unknown`.
   */
  readonly call: <A extends object = Row>(
    sql: string,
    parameters?: ReadonlyArray<unknown>,
    options?: QueryOptions
  ) => Effect.Effect<CallResult<A>, SqlError>
  /** Prepares a statement for the time of the scope: used later, it fails with reason `Closed`. */
  readonly prepare: <A extends object = Row>(sql: string) => Effect.Effect<Prepared<A>, SqlError, Scope.Scope>
  /** Runs a CL command. When it fails, `jobLog(error)` is what it wrote. Nothing else is answered meanwhile. */
  readonly cl: (command: string, options?: Pick<QueryOptions, "timeout">) => Effect.Effect<CommandResult, SqlError>
  /** Explains a statement; with `run` it is run, too. Nothing else is answered meanwhile. */
  readonly explain: <A extends object = Row>(
    sql: string,
    options?: QueryOptions & { readonly run?: boolean | undefined }
  ) => Effect.Effect<Explanation<A>, SqlError>
  /** Whether the daemon answers. It does not ask Db2: `check` does. */
  readonly ping: Effect.Effect<{ readonly alive: boolean; readonly databaseAlive: boolean }, SqlError>
  /** Runs a statement that does nothing. */
  readonly check: Effect.Effect<void, SqlError>
  /** The daemon's version. */
  readonly version: Effect.Effect<{ readonly version: string; readonly buildDate: string | undefined }, SqlError>
  /** The name of the Db2 job, `NUMBER/USER/NAME`. */
  readonly job: Effect.Effect<string, SqlError>
  /** Asks for tracing; judge by what is answered. */
  readonly setTrace: (settings: TraceSettings) => Effect.Effect<TraceState, SqlError>
  /** What was traced. */
  readonly trace: Effect.Effect<{ readonly daemon: string; readonly driver: string }, SqlError>
  /** Ends the unit of work; without effect in autocommit. Its answer is waited for: no deadline or interrupt ends that. */
  readonly commit: Effect.Effect<void, SqlError>
  /**
   * Undoes the unit of work; without effect in autocommit. Db2 closes all cursors of the job with it: whoever still reads
   * one fails with reason `TransactionGone`. No deadline or interrupt ends it; if it is not answered within `grace`, the job
   * is given up, and the daemon undoes everything when the connection ends.
   */
  readonly rollback: Effect.Effect<void, SqlError>
  /**
   * Connects anew over the same link, with these properties or those of before: a new Db2 job. Cursors, prepared
   * statements and the transaction of the old one are gone; whoever still uses them fails with reason `SessionLost`.
   * `credentials` is asked for another one-time code; user and password stay those of the link, and once they were refused
   * they are not sent again. One that is interrupted, or late, ends the job.
   */
  readonly reconnect: (jdbc?: JdbcOptions) => Effect.Effect<void, SqlError>
  /** Counts of this moment. */
  readonly stats: Effect.Effect<Stats>
  /** Completes when the job can be used no more. */
  readonly lost: Effect.Effect<SqlError>
  /** The job as a session of a pool. The same job: what runs on one runs on the other. */
  readonly session: Effect.Effect<PoolSession, SqlError>
}

/**
 * A job as the pool wants it. It cannot know whether a transaction is open: who begins and ends them sets
 * `transactionOpen`, and takes `mustRollBack` back.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolSession extends SqlTransport.Session {
  transactionOpen: boolean
  /** Of an open transaction: after an error in it Db2 takes nothing but its ROLLBACK any more. */
  mustRollBack: boolean
  /** Statements that the driver holds: at 9,999 it gives no more. */
  readonly statements: () => number
  /** `run` for callers in an uninterruptible region: what is given back to `restore` may be interrupted; `after` follows. */
  readonly runThen: (
    request: SqlTransport.SqlRequest,
    restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>,
    after: Effect.Effect<void>
  ) => Effect.Effect<SqlTransport.Answer, SqlError>
  /** Runs what ends a savepoint. If it is not answered within the grace period, the job is given up, and its transaction. */
  readonly runInGrace: (request: SqlTransport.SqlRequest) => Effect.Effect<SqlTransport.Answer, SqlError>
  /** Runs a ROLLBACK. If that fails, or is not answered within the grace period, the job is given up. */
  readonly rollback: (request: SqlTransport.SqlRequest) => Effect.Effect<SqlTransport.Answer, SqlError>
  /** Tells the listener, once, when the job is lost: in that very moment, where a fiber that awaits `lost` goes on later. */
  readonly whenLost: (listener: (error: SqlError) => void) => void
}

/**
 * What a job counts; see `MapepireJob.stats`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  /** Requests that somebody waits for. */
  readonly pending: number
  /** Requests without an answer, with those that nobody waits for any more. */
  readonly unanswered: number
  /** Statements that the driver holds, as far as can be known: use a new job before they are 9,999. */
  readonly statements: number
  /** Messages that were no answer to anything. */
  readonly strays: number
}

/**
 * Makes a job over a WebSocket, for the time of the scope. Fails with reason `Authentication`, `Authorization`, or
 * `Connection`, whose message says what to do about it.
 *
 * @example
 * ```ts
 * import { MapepireJob } from "@sluice/mapepire"
 * import { Effect, Redacted } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const job = yield* MapepireJob.make({ host: "ibmi.example.com", user: "ada", password: Redacted.make("secret") })
 *   const { rows } = yield* job.queryAndRun("select * from sample.employee where salary > ?", [50000])
 *   return rows
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (config: Config): Effect.Effect<MapepireJob, SqlError, Scope.Scope> =>
  Effect.suspend(() => {
    const endpoint = endpoints.webSocketEndpoint(config)
    return Effect.zipRight(
      Effect.addFinalizer(() => endpoint.end),
      facade.make(endpoint, config)
    )
  })

/**
 * Makes a job over any transport of messages: a pipe, or a link of your own.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeOver = (
  transport: MessageTransport,
  config: JobConfig = {}
): Effect.Effect<MapepireJob, SqlError, Scope.Scope> => facade.make(endpoints.plainEndpoint(transport), config)

/**
 * Makes a job at an endpoint that several jobs share.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeAt: (endpoint: JobEndpoint, config: JobConfig) => Effect.Effect<MapepireJob, SqlError, Scope.Scope> =
  facade.make

/**
 * Stands for an OUT parameter in the parameters of a CALL.
 *
 * @since 0.1.0
 * @category constructors
 */
export const out: typeof procedure.out = procedure.out

/**
 * Fetches the certificate that a daemon presents, to be stored: its PEM for `tls.ca`, its fingerprint for
 * `tls.fingerprint`. Nothing is verified here, so compare the fingerprint with the daemon's own before you trust it, and
 * do not fetch it anew at every start: that would trust anybody.
 *
 * @since 0.1.0
 * @category tls
 */
export const certificate = (options: {
  readonly host: string
  /** Default 8076. */
  readonly port?: number | undefined
  readonly servername?: string | undefined
  /** Default 10 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
}): Effect.Effect<Certificate, SqlError> =>
  Effect.suspend(() => {
    const wrong = wrongAddress(options)
    return wrong === undefined
      ? tls.certificate({ ...options, timeoutMillis: Duration.toMillis(options.timeout ?? 10_000) })
      : Effect.fail(wrong)
  })

/**
 * What the daemon said about a failure, in its own words, and which job it was.
 *
 * @since 0.1.0
 * @category errors
 */
export type DaemonError = failure.DaemonError

/**
 * The daemon's own words for a failure, where it is one of the daemon's; undefined otherwise.
 *
 * @since 0.1.0
 * @category errors
 */
export const daemonError = (error: unknown): DaemonError | undefined => {
  const { cause } = SqlFailure.from(error)
  return cause instanceof failure.DaemonError ? cause : undefined
}

/**
 * What a failed CL command wrote into the job log; empty for any other failure.
 *
 * @since 0.1.0
 * @category errors
 */
export const jobLog = (error: unknown): ReadonlyArray<Row> => daemonError(error)?.log ?? []
