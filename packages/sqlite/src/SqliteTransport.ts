/**
 * SQLite as a `SqlTransport`: one worker thread per session owns one connection, so that the event loop never waits for
 * SQLite, and every statement can be stopped.
 *
 * @since 0.1.0
 */
import { availableParallelism } from "node:os"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { connect, type ConnectOptions, type Opened } from "./internal/connect.js"
import { wrongRegistration } from "./internal/callbacks/check.js"
import type { Enlist, Register } from "./internal/callbacks/make.js"
import type { ChangesMessage, Command, Registration } from "./internal/messages.js"
import { type Opening, safest, type Safety, type UntrustedRules } from "./internal/opening.js"
import { Registry } from "./internal/callbacks/registry.js"
import * as failure from "./internal/failure.js"
import { isMemory } from "./internal/isMemory.js"
import { longestTimer } from "./internal/longestTimer.js"
import { literal, quoted } from "./internal/quoting.js"
import { pragmaText } from "./internal/pragma.js"
import { transactions } from "./internal/transactions.js"
import { wrongConfig } from "./internal/wrongConfig.js"

/**
 * How a SQLite database is opened and used.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config {
  /** A path, a `file:` URI, `:memory:`, or "" for a temporary file. The file is made if it does not exist. */
  readonly filename: string
  /** Opens the file for reading only; it must exist. Transactions then begin DEFERRED. Default false. */
  readonly readonly?: boolean | undefined
  /**
   * Sessions that only read, beside the one that writes: statements that read run there at the same time, and streams get
   * read sessions of their own. Needs a file in WAL mode. Default 0: everything shares one session, streams included.
   * A stream then sees what the session has not committed yet; and while one is open, a commit of another process makes
   * our next write fail with reason `Serialization`.
   */
  readonly readers?: number | undefined
  /** Leaves the journal mode as it is instead of setting WAL. Default false. */
  readonly disableWAL?: boolean | undefined
  /**
   * How long a lock held by another connection is waited for. Default 5 seconds. `PRAGMA busy_timeout = …`, also in `pragmas`,
   * sets it for its session.
   */
  readonly busyTimeout?: Duration.DurationInput | undefined
  /**
   * SQLite's own protection against statements that corrupt a file on purpose: no writing to `sqlite_schema`
   * (`PRAGMA writable_schema`) or to the tables behind virtual ones, no `journal_mode=off`. Default true. The portable engine
   * has it where the runtime's SQLite API offers it.
   */
  readonly defensive?: boolean | undefined
  /**
   * Lets views, triggers, indexes, defaults and checks, which may have come with a file from somebody else, call functions and
   * virtual tables that are not `innocuous`. Default false: statements that come to that fail with "unsafe use of …",
   * and all of them where SQLite finds it as it parses the schema (checks, generated columns, indexes).
   */
  readonly trustedSchema?: boolean | undefined
  /** Takes a text in double quotes that names no column for a string, as SQLite once did. Default false. */
  readonly doubleQuotedStrings?: boolean | undefined
  /**
   * Lowers SQLite's limits (https://www.sqlite.org/limits.html); what is above those that it was built with has no effect.
   * Default: SQLite's own. On the portable engine with a runtime whose SQLite API has no limits, opening fails with reason
   * `Unsupported`.
   */
  readonly limits?: Limits | undefined
  /**
   * Set on every session when it opens, such as `{ synchronous: "normal" }`. SQLite ignores a PRAGMA that it does not know: a
   * name that is not in its `pragma_list` fails the open with reason `InvalidParameter`. One that is undefined is left out. With
   * readers, no exclusive `locking_mode`.
   */
  readonly pragmas?: Readonly<Record<string, string | number | boolean | undefined>> | undefined
  /**
   * Databases to attach on every session: schema name to file name. Nothing is routed to readers then. One that is undefined
   * is left out.
   */
  readonly attach?: Readonly<Record<string, string | undefined>> | undefined
  /**
   * Statements run on every session when it opens; the open fails with the first that fails (`SqlSyntax` for a slip in it, and
   * its text as `statement`), or if they leave a transaction open.
   */
  readonly onOpen?: ReadonlyArray<string> | undefined
  /** Extensions loaded into every session. */
  readonly extensions?: ReadonlyArray<string> | undefined
  /**
   * Rows per page of a stream, where neither a statement nor the client says otherwise: a whole number, which is kept within
   * 1 and 65,536. Default 64. A page of wide rows may have fewer.
   */
  readonly prefetch?: number | undefined
  /** Prepared statements kept per session, least recently used out first. Default 200. */
  readonly statementCacheSize?: number | undefined
  /** Steps of SQLite's virtual machine between two looks at cancel and deadline. Default 1,000. */
  readonly progressSteps?: number | undefined
  /**
   * What closing does with statements under way: `wait` (default) lets those already given to the session end, `interrupt`
   * stops them; their fibers fail with reason `Closed`.
   */
  readonly onClose?: "wait" | "interrupt" | undefined
  /** How long a stopped statement may take to stop before its session is given up. Default 2 seconds. */
  readonly grace?: Duration.DurationInput | undefined
  /** Statements that may wait on the loop's side, beyond the 64 that the worker has. Default: no limit. */
  readonly maxQueued?: number | undefined
  /** Bytes of parameters that may wait there. Default: no limit. */
  readonly maxQueuedBytes?: number | undefined
  /** `native` or `portable` insist on an engine. Default `auto`: the native pump where there is one. */
  readonly engine?: "auto" | "native" | "portable" | undefined
  /** The worker's entry, when a bundler has moved it. Default: the one in this package. */
  readonly workerUrl?: URL | string | undefined
  /** Applied to the identifiers in queries. */
  readonly transformQueryNames?: ((name: string) => string) | undefined
}

/**
 * SQLite's limits, for every session: whole numbers from 0 on. `length`: bytes of a text, blob or row. `sqlLength`: bytes of a
 * statement, also of those in the schema. `columns`: of a table, result, index or list. `exprDepth`: of an expression.
 * `compoundSelect`: terms of a UNION. `vdbeOps`: operations of a prepared statement (beyond: "out of memory").
 * `functionArgs`: arguments of a function. `attached`: databases, up to 10. `likePatternLength`: bytes of a LIKE or GLOB
 * pattern. `variables`: highest number of a parameter. `triggerDepth`: of triggers that fire triggers.
 *
 * @since 0.1.0
 * @category models
 */
export type Limits = Safety["limits"]

/**
 * The transport, and what only SQLite has.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqliteTransport extends SqlTransport.SqlTransport {
  readonly config: Config
  /** The sessions that are open now, the writer first. */
  readonly sessions: () => ReadonlyArray<Opened>
  /** Loaded into every session that is open, and into those that open later. */
  readonly addExtension: (path: string) => Effect.Effect<void, SqlError>
  /** Succeeds until the client is closed, then fails with reason `Closed`. @internal */
  readonly open: Effect.Effect<void, SqlError>
  /** Told when the client is closed. @internal */
  readonly close: () => void
  /** @internal */
  readonly register: Register
  /** Registers a callback that sessions which are open ask for themselves, or are told of later. @internal */
  readonly enlist: Enlist
  /** Who is told of changes while they are registered for. @internal */
  readonly onChanges: (changed: (changes: ChangesMessage) => void) => void
}

/** A callback that took itself away, or one that an open result may use: it stays. */
const mustStay = (exit: Exit.Exit<unknown, SqlError>): boolean =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail" && SqlFailure.is("ReentrantCall", "LockTimeout")(exit.cause.error)

/** Streams that may have a read session of their own at once; more of them wait for one. */
const streamSessions = 16

/**
 * Sessions that may be opening at once. More would share the same cores, and all of those threads would have to be ended where
 * the client is not wanted any more.
 */
const openingAtOnce = Math.max(streamSessions, availableParallelism())

/** Sessions given up whose statements still run, of a client for strangers: each may keep a core busy. */
const mostGivenUp = 4

/** One that is undefined is as good as not there. */
const entries = <A>(record: Readonly<Record<string, A | undefined>> = {}): ReadonlyArray<[name: string, value: A]> =>
  Object.entries(record).filter((entry): entry is [string, A] => entry[1] !== undefined)

const millis = (duration: Duration.DurationInput | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Duration.toMillis(duration)

const openingOf = (
  config: Config,
  untrusted: UntrustedRules | undefined,
  extensions: ReadonlyArray<string>
): Opening => ({
  untrusted,
  filename: config.filename,
  readonly: config.readonly ?? false,
  queryOnly: false,
  wal: config.disableWAL !== true && config.readonly !== true && !isMemory(config.filename),
  busyTimeout: Math.min(millis(config.busyTimeout, 5_000), longestTimer),
  progressSteps: config.progressSteps ?? 1_000,
  safety: {
    defensive: config.defensive ?? safest.defensive,
    trustedSchema: config.trustedSchema ?? safest.trustedSchema,
    doubleQuotedStrings: config.doubleQuotedStrings ?? safest.doubleQuotedStrings,
    limits: config.limits ?? safest.limits
  },
  pragmas: entries(config.pragmas).map(([name]) => name),
  onOpen: [
    ...entries(config.pragmas).map(([name, value]) => pragmaText(quoted(name), value)),
    ...entries(config.attach).map(([name, file]) => `ATTACH ${literal(file)} AS ${quoted(name)}`),
    ...(config.onOpen ?? [])
  ],
  extensions,
  engine: config.engine ?? "auto"
})

const connectOptions = (
  config: Config,
  opening: Opening,
  registry: Registry,
  givenUp: Map<string, string>
): ConnectOptions => ({
  opening,
  registry,
  givenUp,
  readers: (config.readers ?? 0) > 0,
  statementCacheSize: Math.max(1, config.statementCacheSize ?? 200),
  maxQueued: config.maxQueued ?? Infinity,
  maxQueuedBytes: config.maxQueuedBytes ?? Infinity,
  grace: Math.min(millis(config.grace, 2_000), longestTimer),
  onClose: config.onClose ?? "wait",
  workerUrl: config.workerUrl
})

/**
 * A transport for one database. Opens nothing by itself: the client opens the writer when it is made.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (config: Config, /** @internal */ untrusted?: UntrustedRules): SqliteTransport => {
  const wrong = wrongConfig(config)
  const memory = isMemory(config.filename)
  const extensions = [...(config.extensions ?? [])]
  const registry = new Registry()
  const givenUp = new Map<string, string>()
  const gate = Effect.unsafeMakeSemaphore(openingAtOnce)
  const sessions: Array<Opened> = []
  let readersPossible = false
  let opened = false
  let closed = false

  const isOpen = Effect.suspend(() => (closed ? Effect.fail(failure.closed()) : Effect.void))

  /**
   * Adds a session that has what was registered up to `known` and these extensions. It is told what came while it opened,
   * and what comes meanwhile, until there is no more: from then on it is among those that are told at once.
   */
  const join = (
    made: Opened,
    known: number,
    loaded: ReadonlyArray<string>
  ): Effect.Effect<void, SqlError, Scope.Scope> =>
    Effect.suspend(() => {
      const missed: ReadonlyArray<Command> = [
        ...extensions
          .filter((path) => !loaded.includes(path))
          .map((path) => ({ _tag: "LoadExtension" as const, path })),
        ...registry.since(known).map((registration) => ({ _tag: "Register" as const, registration }))
      ]
      if (missed.length > 0) {
        const [latest, all] = [registry.latest, [...extensions]]
        const told = Effect.forEach(missed, (command) => made.session.command(command), { discard: true })
        return Effect.zipRight(told, join(made, latest, all))
      }
      opened = true
      sessions.push(made)
      return Effect.addFinalizer(() => Effect.sync(() => void sessions.splice(sessions.indexOf(made), 1)))
    })

  const open = (profile: SqlTransport.Profile): Effect.Effect<SqlTransport.Session, SqlError, Scope.Scope> =>
    Effect.suspend(() => {
      if (memory && opened) {
        // Another session would be another, empty database.
        return Effect.fail(
          failure.lost("The session of a database in memory is gone, and its content with it", "notExecuted")
        )
      }
      if (untrusted !== undefined && givenUp.size >= mostGivenUp) {
        return Effect.fail(failure.stillRunning(givenUp.size))
      }
      if (wrong !== undefined) {
        return Effect.fail(wrong)
      }
      const { readers = 0 } = config
      const reads = profile.access === "read"
      const loaded = [...extensions]
      const opening = openingOf(config, untrusted, loaded)
      const known = registry.latest
      const connected = connect(
        connectOptions(config, reads ? { ...opening, queryOnly: true, wal: false } : opening, registry, givenUp)
      )
      return Effect.tap(connected, (made) => {
        if (!reads) {
          readersPossible = !memory && made.journalMode === "wal"
          if (readersPossible && readers > 0 && opening.onOpen.some(failure.locksExclusively)) {
            return Effect.fail(failure.exclusiveLocking())
          }
        }
        return join(made, known, loaded)
      })
    }).pipe(
      Effect.map((made) => made.session),
      gate.withPermits(1)
    )

  const tell = (registration: Registration) =>
    Effect.forEach(sessions, ({ session }) => session.command({ _tag: "Register", registration }), { discard: true })

  const enlist = (...[make, handler]: Parameters<Enlist>) => {
    const { id, registration } = registry.add(make, handler)
    const remove = Effect.suspend(() => {
      const told = registry.leave(id)
      return (told === undefined ? Effect.void : tell(told)).pipe(
        Effect.onExit((exit) => Effect.sync(() => (mustStay(exit) ? registry.stay(id) : registry.remove(id))))
      )
    })
    // Half of the sessions may have it by then. Who is interrupted does not wait until those that are busy hear of it.
    const undo = Effect.zipRight(
      Effect.ignore(remove),
      Effect.sync(() => registry.remove(id))
    )
    const told = Effect.onError(tell(registration), (cause) =>
      Cause.isInterrupted(cause) ? Effect.sync(() => void Effect.runFork(undo)) : undo
    )
    return { registration, remove, tell: told }
  }

  return {
    system: "sqlite",
    attributes: [["db.namespace", config.filename]],
    compiler: SqlTransport.sqliteCompiler(config.transformQueryNames),
    transactions: transactions(config.readonly ?? false),
    get limits() {
      const readers = readersPossible ? (config.readers ?? 0) : 0
      return { read: readers, write: 1, transaction: 0, cursor: readers > 0 ? streamSessions : 0 }
    },
    sharing: "fifo",
    atomicBatches: true,
    prefetch: config.prefetch,
    connect: open,
    config,
    sessions: () => sessions,
    open: isOpen,
    close: () => {
      closed = true
    },
    addExtension: (path) =>
      Effect.zipRight(
        isOpen,
        Effect.suspend(() => {
          extensions.push(path)
          return Effect.forEach(sessions, ({ session }) => session.command({ _tag: "LoadExtension", path }), {
            discard: true
          })
        }).pipe(
          Effect.mapError((error) => failure.notLoaded(error, path)),
          Effect.tapError(() => Effect.sync(() => void extensions.splice(extensions.indexOf(path), 1)))
        )
      ),
    onChanges: (changed) => {
      registry.changed = changed
    },
    enlist,
    register: (make, handler) =>
      Effect.zipRight(
        isOpen,
        Effect.suspend(() => {
          const wrong = wrongRegistration(make(0))
          if (wrong !== undefined) {
            return Effect.fail(wrong)
          }
          const { remove, tell } = enlist(make, handler)
          return Effect.as(tell, { remove })
        })
      )
  }
}

/**
 * The transport as a layer, for `SqlClient.layer`.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@sluice/sql"
 * import { SqliteTransport } from "@sluice/sqlite"
 * import { Layer } from "effect"
 *
 * const Sql = SqlClient.layer.pipe(Layer.provide(SqliteTransport.layer({ filename: "app.db", readers: 2 })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (config: Config): Layer.Layer<SqlTransport.SqlTransport> =>
  Layer.sync(SqlTransport.SqlTransport, () => make(config))

/**
 * A database in memory: one session, gone with it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<SqlTransport.SqlTransport> = /* @__PURE__ */ layer({ filename: ":memory:" })
