/**
 * Db2 for i as a `SqlTransport`: every session is a Db2 job behind a WebSocket of a Mapepire daemon.
 *
 * There are two kinds of sessions, because a job is in autocommit or it is not: those for statements by themselves, and
 * those for transactions and `sql.reserve`. A transaction that is run while rows of a stream are consumed needs one of each.
 *
 * A statement has its session for itself while it runs, so that an interrupt can stop it in the database without hitting
 * another one. With `multiplex` sessions for statements are shared on purpose: more throughput over a slow network, but a
 * statement that shares its job is left behind when it is interrupted, and may still have its effect.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import * as EffectConfig from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Db2Compiler from "./Db2Compiler.js"
import { environment } from "./internal/transport/environment.js"
import { Jobs } from "./internal/transport/jobs.js"
import { onOpen } from "./internal/transport/onOpen.js"
import { TransportSession } from "./internal/transport/session.js"
import { type Isolation, isolationWords, transactions } from "./internal/transport/transactions.js"
import { wrongSessions } from "./internal/wrongConfig.js"
import * as MapepireJob from "./MapepireJob.js"

/**
 * What every session is prepared with, beyond the JDBC properties.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionSettings {
  /** Special registers: `{ "CURRENT DEGREE": "ANY" }` is `SET CURRENT DEGREE = 'ANY'`. */
  readonly registers?: Readonly<Record<string, string | number>> | undefined
  /** The client's special registers, which Db2's tools show. */
  readonly client?:
    | {
        readonly userId?: string | undefined
        readonly workstation?: string | undefined
        readonly application?: string | undefined
        readonly accounting?: string | undefined
        readonly programId?: string | undefined
      }
    | undefined
  /** Statements run on every session when it opens; the open fails with the first that fails. */
  readonly onOpen?: ReadonlyArray<string> | undefined
}

/**
 * How a daemon is reached, and how many of its jobs are used.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config
  extends Omit<MapepireJob.Config, "connect" | "control" | "serial">, SessionSettings, Db2Compiler.Options {
  /** The library list; with SQL naming its first entry is the schema. The same as `jdbc.libraries`. */
  readonly libraries?: ReadonlyArray<string> | undefined
  /**
   * Jobs for statements by themselves, at most. Default 4. A job whose statement could not be stopped gives its place to
   * another one, and is kept aside until it is quiet, for a minute at most; but while as many are kept as there are
   * `sessions` and `transactions` together, no other is opened, and who waits for one waits on. So it is with those for
   * transactions; the ones do not keep the others from being opened.
   */
  readonly sessions?: number | undefined
  /** Jobs for transactions and `sql.reserve`, at most. Default 4. */
  readonly transactions?: number | undefined
  /** Statements by themselves that may share a job at once. Default: none do, each has a job to itself. */
  readonly multiplex?: number | undefined
  /** Of transactions that do not ask for another one. Default `readCommitted`. Tables must be journaled. */
  readonly isolation?: Isolation | undefined
  /** Statements after which a job is replaced: its driver gives 9,999, and gets few of them back. Default 8,000. */
  readonly recycleAt?: number | undefined
}

/**
 * The transport, and a way to a job of one's own.
 *
 * @since 0.1.0
 * @category models
 */
export interface MapepireTransport extends SqlTransport.SqlTransport {
  readonly config: Config
  /**
   * A job beside the sessions, in autocommit, for the time of the scope: CL commands, output parameters, Visual Explain.
   * It shares what is known of the credentials, and the job that stops statements.
   */
  readonly job: Effect.Effect<MapepireJob.MapepireJob, SqlError, Scope.Scope>
}

/**
 * A transport. It connects nothing by itself; for the time of the scope it keeps the job that stops statements, from the
 * first that takes longer than a second on, and remembers which credentials were refused.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (config: Config): Effect.Effect<MapepireTransport, never, Scope.Scope> =>
  Effect.gen(function* () {
    const endpoint = MapepireJob.webSocket(config)
    // The last that ends: jobs that are closed while they connect are among what goes on.
    yield* Effect.addFinalizer(() => endpoint.end)
    const control = config.cancel === false ? undefined : yield* MapepireJob.control(endpoint, config)
    const wrong = wrongSessions(config)
    const isolation = config.isolation ?? "readCommitted"
    const shared = wrong === undefined && config.multiplex !== undefined && config.multiplex > 1
    // One to tell what is wrong, where there can be none.
    const sessions = wrong === undefined ? (config.sessions ?? 4) : 1
    const reservable = wrong === undefined ? (config.transactions ?? 4) : 1
    // Else every statement that cannot be stopped would cost the system one more job.
    const room = (transactional: boolean) => control?.fewerThan(sessions + reservable, transactional) ?? Effect.void
    const recycleAt = Math.min(Math.max(10, config.recycleAt ?? 8_000), 9_000)

    const jobOf = (use: SqlTransport.Profile["use"]) =>
      wrong !== undefined
        ? Effect.fail(wrong)
        : Effect.zipRight(
            room(use === "transaction"),
            MapepireJob.makeAt(endpoint, {
              ...config,
              control,
              connect: "now",
              serial: use === "transaction" || !shared,
              jdbc: {
                ...config.jdbc,
                ...(config.libraries === undefined ? undefined : { libraries: config.libraries }),
                ...(use === "transaction"
                  ? { "auto commit": false, "transaction isolation": isolationWords[isolation] }
                  : { "auto commit": true })
              }
            })
          )

    const connect = (profile: SqlTransport.Profile): Effect.Effect<SqlTransport.Session, SqlError, Scope.Scope> => {
      const transactional = profile.use === "transaction"
      const opened = Effect.flatMap(jobOf(profile.use), (job) =>
        Effect.tap(job.session, (session) => onOpen(session, config, transactional))
      )
      return Effect.map(Jobs.make(opened, recycleAt), (jobs) => new TransportSession(jobs, transactional))
    }

    const compiler = Db2Compiler.make(config)
    const transport: MapepireTransport = {
      system: "ibm.db2",
      attributes: [
        ["server.address", config.host],
        ["server.port", config.port ?? 8076]
      ],
      compiler,
      transactions: transactions(isolation),
      limits: {
        read: 0,
        write: sessions,
        transaction: reservable
      },
      // A page is a round trip.
      prefetch: 1_000,
      sharing: shared ? { multiplex: config.multiplex } : "exclusive",
      grace: Duration.decode(config.grace ?? "10 seconds"),
      connect,
      config,
      job: Effect.tap(jobOf("statement"), (job) =>
        Effect.flatMap(job.session, (session) => onOpen(session, config, false))
      )
    }
    return transport
  })

/**
 * The transport as a layer, for `SqlClient.layer`.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@sluice/sql"
 * import { MapepireTransport } from "@sluice/mapepire"
 * import { Layer, Redacted } from "effect"
 *
 * const Sql = SqlClient.layer.pipe(
 *   Layer.provide(
 *     MapepireTransport.layer({ host: "ibmi.example.com", user: "ada", password: Redacted.make("secret"), libraries: ["SHOP"] })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (config: Config): Layer.Layer<SqlTransport.SqlTransport> =>
  Layer.scoped(SqlTransport.SqlTransport, make(config))

/**
 * What the environment says: `MAPEPIRE_HOST`, `MAPEPIRE_PORT`, `MAPEPIRE_USER`, `MAPEPIRE_PASSWORD`, and, all optional,
 * `MAPEPIRE_LIBRARIES` (a list with commas), `MAPEPIRE_APPLICATION`, `MAPEPIRE_CA` (PEM text), `MAPEPIRE_SERVERNAME`,
 * `MAPEPIRE_FINGERPRINT`, `MAPEPIRE_INSECURE`, `MAPEPIRE_SECURE`, `MAPEPIRE_SESSIONS`, `MAPEPIRE_TRANSACTIONS`,
 * `MAPEPIRE_MULTIPLEX`.
 *
 * @since 0.1.0
 * @category config
 */
export const fromEnvironment: EffectConfig.Config<Config> = environment

/**
 * The same from `Config` values. Default: `fromEnvironment`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: EffectConfig.Config.Wrap<Config> = fromEnvironment
): Layer.Layer<SqlTransport.SqlTransport, ConfigError> =>
  Layer.scoped(SqlTransport.SqlTransport, Effect.flatMap(EffectConfig.unwrap(config), make))
