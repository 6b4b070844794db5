/**
 * The SQLite client: `SqlClient` over `SqliteTransport` in one, with the face of `@effect/sql-sqlite-node`.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { SqlClient, SqlTransport } from "@sluice/sql"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { BackupDestination, BackupOptions, BackupProgress } from "./internal/backup.js"
import type { Blobs } from "./internal/blob/model.js"
import type { Changesets } from "./internal/changeset/model.js"
import * as callbacks from "./internal/callbacks/make.js"
import * as capabilities from "./internal/capabilities.js"
import type { Callbacks } from "./internal/callbacks/model.js"
import * as changes from "./internal/changes/make.js"
import type { Change, ChangesOptions } from "./internal/changes/model.js"
import type { StatementCounters } from "./internal/counters.js"
import type { PlanNode } from "./internal/explain.js"
import * as modules from "./internal/modules/make.js"
import type { Modules } from "./internal/modules/model.js"
import * as operations from "./internal/operations.js"
import * as untrusted from "./internal/untrusted.js"
import type { UntrustedRules } from "./internal/opening.js"
import type { UntrustedConfig } from "./internal/untrusted.js"
import { wrongClientConfig } from "./internal/wrongConfig.js"
import * as SqliteTransport from "./SqliteTransport.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("@sluice/sqlite/SqliteClient")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * Everything of `SqlClient`, and what only SQLite has.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqliteClient
  extends SqlClient.SqlClient, Callbacks, Modules, Blobs, Changesets, capabilities.CapabilityFace {
  readonly [TypeId]: TypeId
  readonly config: SqliteClientConfig
  /** Which engine the writer runs on, and the version of its SQLite. */
  readonly engine: operations.EngineInfo
  /** The whole database, as bytes of a SQLite file. */
  readonly export: Effect.Effect<Uint8Array, SqlError>
  /** The same under SQLite's own name. */
  readonly serialize: Effect.Effect<Uint8Array, SqlError>
  /**
   * Puts the bytes of a database file in the place of a database in memory; the array stays yours. Fails with `Unsupported`
   * on a file and on the portable engine, with `InvalidParameter` for what is no database, with `LockTimeout` while a
   * transaction, a result or a backup is open on the writer. A database that has tables already takes only one of the same
   * `page_size` (`Unsupported`). Bytes that only begin like a database fail the statements that read them.
   *
   * Recordings of changes end with it, blob handles expire; temporary triggers are from then on those of the tables that
   * have the names of theirs. `changes` tells one `unknown` change, and reactive queries run again.
   */
  readonly deserialize: (bytes: Uint8Array) => Effect.Effect<void, SqlError>
  /**
   * Copies the database into a file, or into that of another client, a few pages at a time between other statements, and tells after each step how far it is;
   * `remaining` is 0 with the last. What is written meanwhile is in the copy, too. A step that finds a lock is tried again
   * for the busy timeout, then it fails with `LockTimeout`. Left before its end, it leaves the destination as it was.
   * Another client's database in memory is replaced at once (native engine), see `deserialize`.
   */
  readonly backupStream: (
    destination: BackupDestination,
    options?: BackupOptions
  ) => Stream.Stream<BackupProgress, SqlError>
  /** `backupStream` to its end. Fails on an unusable file. */
  readonly backup: (destination: BackupDestination) => Effect.Effect<BackupMetadata, SqlError>
  /** Loads an extension into every session of this client, now and later. SQL's `load_extension()` stays off. */
  readonly loadExtension: (path: string) => Effect.Effect<void, SqlError>
  /**
   * Reads a PRAGMA, or sets it on the writer: `sql.pragma("user_version")`, `sql.pragma("user_version", 7)`. Answers the
   * first column of the first row, undefined when there is none. A name that is not in this SQLite's `pragma_list` fails with
   * reason `InvalidParameter`; one that an extension adds is run as a statement. An exclusive `locking_mode` beside readers is
   * `Unsupported`.
   */
  readonly pragma: (name: string, value?: string | number | boolean) => Effect.Effect<unknown, SqlError>
  /** Attaches a database file under a schema name to the writer; from then on nothing is routed to readers. */
  readonly attach: (filename: string, schema: string) => Effect.Effect<void, SqlError>
  /**
   * Runs statements in one round trip, in one transaction: all of them or none. Answers each one's rows. The failure
   * tells which statement it was (`failedRow`, from 0), and none where its COMMIT has failed, as for deferred foreign keys.
   * Of a deadline only that around the batch counts, not one that was put on a statement in it.
   */
  readonly batch: (
    statements: ReadonlyArray<Statement.Fragment | string>
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<EffectSqlRow>>, SqlError>
  /**
   * Rows that this client's transactions have changed, in order, after their commit: nothing of what was rolled back, to a
   * savepoint or by a failure. Ends with the client. Nothing is noted while nobody reads the stream.
   *
   * An element with operation `unknown` stands for changes without their rows: by other connections and processes (looked
   * for every second, see `changes` in the configuration), of virtual tables and of those WITHOUT ROWID, of more than
   * 65,536 rows in one transaction, and of what came while a slow reader had 16,384 changes waiting. A row that another
   * one has displaced (`INSERT OR REPLACE` with another rowid) and changes of the schema are not told.
   *
   * Native engine only; the portable one fails with reason `Unsupported`.
   */
  readonly changes: Stream.Stream<Change, SqlError>
  /**
   * Runs an effect that only reads, on one state of the database: what others commit meanwhile is not seen. It holds the
   * writer's session, so writes of this client wait for its end; those of other clients and processes do not. Writes in it fail
   * with `Authorization`. Inside a transaction it is a part of that.
   *
   * Handles of older states (`sqlite3_snapshot_get`) are out of reach for extensions, and so not offered.
   */
  readonly snapshot: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** How SQLite would run a statement, step by step; the statement itself is not run. */
  readonly explain: (statement: Statement.Fragment | string) => Effect.Effect<ReadonlyArray<PlanNode>, SqlError>
  /**
   * Runs a statement to its end, and answers what it has cost SQLite: full-scan steps, sorts, steps of its virtual machine.
   * Its rows are dropped. In spans the same is told with `telemetry: { statementCounters: true }`. Native engine only. Of a
   * deadline only that around it counts, not one that was put on the statement.
   */
  readonly counters: (statement: Statement.Fragment | string) => Effect.Effect<StatementCounters, SqlError>
  /** Stops whatever statement runs at this moment on any session; its caller fails with reason `Interrupted`. */
  readonly interrupt: Effect.Effect<void>
}

export type {
  Action,
  Aggregate,
  Callbacks,
  Collation,
  FreePages,
  FunctionOptions,
  RegistrationHandle,
  RowChange,
  ScalarFunction,
  Storable,
  TableArguments,
  TableFunctionOptions,
  TableRow,
  Window
} from "./internal/callbacks/model.js"
export type { Capabilities, Capability, CapabilityFace } from "./internal/capabilities.js"
export type { Change, ChangesOptions, UnknownChange } from "./internal/changes/model.js"
export type { Blob, BlobOptions, Blobs, BlobStreamOptions } from "./internal/blob/model.js"
export type {
  Applied,
  ApplyOptions,
  BlockOptions,
  ChangedValues,
  ChangeSession,
  ChangeSessionOptions,
  Changesets,
  Conflict,
  Resolution
} from "./internal/changeset/model.js"
export type { BackupDestination, BackupOptions, BackupProgress } from "./internal/backup.js"
export type { UntrustedConfig, UntrustedFace, UntrustedResult } from "./internal/untrusted.js"
export type { StatementCounters } from "./internal/counters.js"
export type { PlanNode } from "./internal/explain.js"
export { WorkerError } from "./internal/modules/model.js"
export type {
  AnyModule,
  Modules,
  WorkerAggregate,
  WorkerAggregateNames,
  WorkerArguments,
  WorkerDatabase,
  WorkerFunctionNames,
  WorkerFunctionOptions,
  WorkerModule,
  WorkerModuleOptions,
  WorkerProgramNames,
  WorkerResult
} from "./internal/modules/model.js"
export type { SqlValue } from "./internal/parameterReader.js"

/** A row as `@effect/sql` types it. */
type EffectSqlRow = Readonly<Record<string, unknown>>

/**
 * How far a backup has come, in pages.
 *
 * @since 0.1.0
 * @category models
 */
export interface BackupMetadata {
  readonly totalPages: number
  readonly remainingPages: number
}

/**
 * The tag of the SQLite client.
 *
 * @since 0.1.0
 * @category tags
 */
export const SqliteClient: Context.Tag<SqliteClient, SqliteClient> =
  /* @__PURE__ */ Context.GenericTag<SqliteClient>("@sluice/sqlite/SqliteClient")

/**
 * The transport's configuration, the client's options, and the names that `@effect/sql-sqlite-node` has for some.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqliteClientConfig
  extends
    SqliteTransport.Config,
    Pick<SqlClient.Options, "spanAttributes" | "telemetry" | "statementTimeout" | "pool"> {
  /** The same as `statementCacheSize`. Default 200. */
  readonly prepareCacheSize?: number | undefined
  /** Accepted and not used: statements are kept by use, not by age. */
  readonly prepareCacheTTL?: Duration.DurationInput | undefined
  /** How the stream of changes works. */
  readonly changes?: ChangesOptions | undefined
  /** Applied to the column names of results, except by `.values`, `.raw` and `.withoutTransform`. */
  readonly transformResultNames?: ((name: string) => string) | undefined
}

/**
 * Opens a database. Fails with a typed error when it cannot be opened.
 *
 * @example
 * ```ts
 * import { SqliteClient } from "@sluice/sqlite"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqliteClient.SqliteClient
 *   return yield* sql`select sqlite_version() as version`
 * })
 *
 * Effect.runPromise(Effect.provide(program, SqliteClient.layerMemory)).then(console.log)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: SqliteClientConfig
): Effect.Effect<SqliteClient, SqlError, Scope.Scope | Reactivity.Reactivity> => makeWith(config, undefined)

const makeWith = (
  config: SqliteClientConfig,
  rules: UntrustedRules | undefined
): Effect.Effect<SqliteClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const wrong = wrongClientConfig(config)
    if (wrong !== undefined) {
      return yield* Effect.fail(wrong)
    }
    const transport = SqliteTransport.make(
      { ...config, statementCacheSize: config.statementCacheSize ?? config.prepareCacheSize },
      rules
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => transport.close()))
    const transformRows =
      config.transformResultNames === undefined
        ? undefined
        : Statement.defaultTransforms(config.transformResultNames).array
    const client = yield* SqlClient.make({
      spanAttributes: config.spanAttributes,
      telemetry: config.telemetry,
      statementTimeout: config.statementTimeout,
      pool: config.pool,
      transformRows
    }).pipe(Effect.provideService(SqlTransport.SqlTransport, transport))
    const reactivity = yield* Reactivity.Reactivity
    const observing = yield* changes.make(client, transport, reactivity, config.changes ?? {})
    const own = operations.make(client, transport)
    Object.assign(client.withoutTransforms(), observing, own.batch(undefined))
    return Object.assign(client, {
      [TypeId]: TypeId,
      config,
      ...own.members,
      ...own.batch(transformRows),
      ...capabilities.make(transport.sessions()[0]!.engine.kind),
      ...callbacks.make(transport.register, transport.enlist),
      ...observing,
      ...modules.make(client, transport)
    }) as unknown as SqliteClient
  })

/**
 * A client for SQL from strangers: `query` runs a statement of theirs, and every other way to run one is bounded, too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Untrusted extends SqliteClient, untrusted.UntrustedFace {}

/**
 * The tag of the client for SQL from strangers.
 *
 * @since 0.1.0
 * @category tags
 */
export const Untrusted: Context.Tag<Untrusted, Untrusted> = /* @__PURE__ */ Context.GenericTag<Untrusted>(
  "@sluice/sqlite/SqliteClient/Untrusted"
)

/**
 * Opens a file, which must exist, for SQL from strangers: a console, a tool of a language model. Whatever they write, the
 * database stays as it is, and the program has a bounded answer in bounded time:
 *
 * - The connection only reads, and an authorizer allows nothing but SELECT and PRAGMAs that describe the schema: no writing,
 *   no ATTACH, no temporary tables, no transactions, no extensions. One statement per text.
 * - A statement ends at its `deadline`. Rows beyond `maxRows` and `maxBytes` are left out, and the result says so.
 * - SQLite's limits are low, so that values, expressions and programs of statements stay small, and so their memory.
 *
 * Functions that you register on this client can be called by strangers. Fails with reason `Unsupported` on the portable
 * engine, which cannot stop a statement that computes for ever.
 *
 * @example
 * ```ts
 * import { Reactivity } from "@effect/experimental"
 * import { SqliteClient } from "@sluice/sqlite"
 * import { Effect } from "effect"
 *
 * const answer = (statement: string) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqliteClient.makeUntrusted({ filename: "shop.db", maxRows: 100 })
 *     const { columns, rows, truncated } = yield* sql.query(statement)
 *     return { columns, rows, more: truncated !== false }
 *   }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeUntrusted = (
  config: UntrustedConfig
): Effect.Effect<Untrusted, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.suspend(() => {
    const wrong = untrusted.wrongBounds(config)
    if (wrong !== undefined) {
      return Effect.fail(wrong)
    }
    const bounds = untrusted.boundsOf(config)
    return Effect.map(makeWith(untrusted.configOf(config), untrusted.rulesOf(bounds)), (client) =>
      Object.assign(client, untrusted.make(client, bounds))
    )
  })

const toContext = (client: SqliteClient) =>
  Context.make(SqliteClient, client).pipe(
    Context.add(SqlClient.SqlClient, client),
    Context.add(EffectSql.SqlClient, client)
  )

/**
 * The client as a layer: provides this module's tag, `SqlClient` and `@effect/sql`'s own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  config: SqliteClientConfig
): Layer.Layer<SqliteClient | SqlClient.SqlClient | EffectSql.SqlClient, SqlError> =>
  Layer.scopedContext(Effect.map(make(config), toContext)).pipe(Layer.provide(Reactivity.layer))

/**
 * The client for SQL from strangers as a layer, see `makeUntrusted`: provides `Untrusted`, and the same client under the tags
 * of `layer`. In a program that has another client, too, provide `makeUntrusted` under a tag of your own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerUntrusted = (
  config: UntrustedConfig
): Layer.Layer<Untrusted | SqliteClient | SqlClient.SqlClient | EffectSql.SqlClient, SqlError> =>
  Layer.scopedContext(
    Effect.map(makeUntrusted(config), (client) => Context.add(toContext(client), Untrusted, client))
  ).pipe(Layer.provide(Reactivity.layer))

/**
 * `layer` from `Config` values.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<SqliteClientConfig>
): Layer.Layer<SqliteClient | SqlClient.SqlClient | EffectSql.SqlClient, ConfigError | SqlError> =>
  Layer.scopedContext(Effect.map(Effect.flatMap(Config.unwrap(config), make), toContext)).pipe(
    Layer.provide(Reactivity.layer)
  )

/**
 * A database in memory, for tests and scratch work: one session, never replaced.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<SqliteClient | SqlClient.SqlClient | EffectSql.SqlClient, SqlError> =
  /* @__PURE__ */ layer({ filename: ":memory:" })
