/**
 * A Mapepire daemon over any `SqlTransport`: for development and tests without an IBM i, and as a gateway.
 *
 * It speaks the daemon's protocol, with its limits and its traps: passwords are looked at by `connect` and not by the
 * upgrade, requests of one socket run in no promised order, `execute` cannot be paged. Over SQLite it takes Db2's
 * spellings and refuses what Db2 refuses, so that a program tried here also runs there. It is no emulator: SQLite's rules
 * of types, collation and locking remain what they are.
 *
 * @since 0.1.0
 */
import { SqlTransport } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Blobs } from "./internal/blobs.js"
import * as certificates from "./internal/certificate.js"
import type { Connection } from "./internal/connection.js"
import type { ServerContext } from "./internal/context.js"
import { overSqlite, passedOn } from "./internal/dialect.js"
import type * as faultKinds from "./internal/faults.js"
import { makeFibers } from "./internal/fibers.js"
import { Jobs } from "./internal/jobs.js"
import { makeLibraries } from "./internal/libraries.js"
import type * as procedureKinds from "./internal/procedures.js"
import { sample as company } from "./internal/sample.js"
import { seed } from "./internal/seed.js"
import { listen } from "./internal/server.js"
import { defaultRules } from "./internal/signOn.js"
import { behaviourOf } from "./internal/version.js"

/**
 * Where the certificate comes from: made when the server starts (self-signed, ten years, with a common name and no other
 * name, as the daemon's own), kept in a directory, or given.
 *
 * @since 0.1.0
 * @category models
 */
export type Tls =
  | {
      /** Files `server.crt` and `server.key`, made when they are not there. Default: the certificate is in memory only. */
      readonly directory?: string | undefined
      /** Of one that is made now. Default: `localhost` on a loopback address, else the machine's name. */
      readonly commonName?: string | undefined
    }
  | {
      /** PEM. */
      readonly cert: string
      /** PEM, without a passphrase. */
      readonly key: string
    }

/**
 * Bounds of what a client may ask for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /** Bytes of a request; a larger one closes the socket with 1009. Default 50 MiB. */
  readonly messageBytes?: number | undefined
  /** Statements that may be open on a connection before `HY014`. Default 9,999. */
  readonly statements?: number | undefined
  /** Requests of a socket that run or wait; the next ones are not read. Default 1,000. */
  readonly inFlight?: number | undefined
  /** Bytes that a client may be behind before nothing more is read for it: then one page at most goes beyond. Default 16 MiB. */
  readonly outboundBytes?: number | undefined
  /** How long such a client may take nothing at all before its socket is cut; `Infinity`: for ever. Default 2 minutes. */
  readonly stall?: Duration.DurationInput | undefined
  /**
   * Bytes of open results that a connection may read into memory, over SQLite, before another statement of its own: a result
   * that is too large for that fails with `SQL0904` when it is read on. Default 64 MiB; one page at most goes beyond.
   */
  readonly spooledBytes?: number | undefined
  /**
   * Bytes of binary values that newer daemons hand out by address (`version`) and that a client has not fetched: when it
   * asks for another page, the oldest are no longer there (404). Default 64 MiB.
   */
  readonly blobBytes?: number | undefined
  /** The same of all clients; who has most loses first. Default 256 MiB. */
  readonly allBlobBytes?: number | undefined
}

/**
 * What goes wrong with a request, for tests of clients.
 *
 * @since 0.1.0
 * @category faults
 */
export type Fault = faultKinds.Fault

/**
 * What a fault is decided by.
 *
 * @since 0.1.0
 * @category faults
 */
export type FaultyRequest = faultKinds.FaultyRequest

/**
 * What a server does wrong, for tests of clients.
 *
 * @since 0.1.0
 * @category faults
 */
export type Faults = faultKinds.Faults

/**
 * A procedure for CALL, with its parameters and what it does.
 *
 * @since 0.1.0
 * @category models
 */
export type Procedure = procedureKinds.Procedure

/**
 * How a server is to be run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config {
  /** 0: any that is free, told by the service's `port`. Default 8076, the daemon's own. */
  readonly port?: number | undefined
  /** The address to listen on. Default `127.0.0.1`. */
  readonly host?: string | undefined
  /** `false`: plain `ws://`. Default, and `true`: a certificate made for this run. */
  readonly tls?: Tls | boolean | undefined
  /** User names, in any case, to passwords. Default: everybody may sign on with any password. */
  readonly users?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /** Lines `allow USER@ADDRESS` or `deny USER@ADDRESS`; the last that fits decides. Default: all but users with a Q. */
  readonly rules?: string | undefined
  /**
   * The daemon to be like: `2.3.2` has no `/version` and tells less of columns; `next`, and any that is newer than 2.3.6, sends
   * references instead of binary values, takes them as base64, and closes statements with `sqlclose`. Default `2.3.6`.
   */
  readonly version?: string | undefined
  readonly limits?: Limits | undefined
  /**
   * What becomes of statements whose socket is gone: the daemon lets them `finish` (default), also those that wait; `stop`
   * ends the one that runs, and begins none of the others.
   */
  readonly onDisconnect?: "finish" | "stop" | undefined
  /** Offers permessage-deflate. Default false: on one machine it only costs time. */
  readonly compression?: boolean | undefined
  /** By name, such as `SHOP.PRICE`; a CALL may leave out or change the schema. */
  readonly procedures?: Readonly<Record<string, Procedure>> | undefined
  /**
   * `db2`: texts are put into SQLite's words. `none`: they go to the database as they are. Default: `db2` over SQLite, else
   * `none`.
   */
  readonly dialect?: "db2" | "none" | undefined
  /**
   * Statements in Db2's dialect that are run once, one after the other, before the first client is let in. Default: none;
   * `sample` for a server that makes its database itself.
   */
  readonly seed?: ReadonlyArray<string> | undefined
  readonly faults?: Faults | undefined
}

/**
 * A small company to try things on, for `seed`: tables DEPARTMENT, EMPLOYEE, PROJECT and SALES with a few rows each.
 *
 * @since 0.1.0
 * @category samples
 */
export const sample: ReadonlyArray<string> = company

/**
 * The server could not be started: its port is taken, its certificate of no use, a statement of its seed wrong.
 *
 * @since 0.1.0
 * @category errors
 */
export class MapepireServerError extends Data.TaggedError("MapepireServerError")<{
  readonly reason: "Certificate" | "Listen" | "Seed"
  readonly message: string
  readonly cause: unknown
}> {}

/**
 * A server that runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface MapepireServer {
  readonly host: string
  readonly port: number
  /** `wss://HOST:PORT/db/`. */
  readonly url: string
  /** PEM, to be given to clients as `ca`; empty without TLS. One that was made here has no name but `commonName`. */
  readonly certificate: string
  /** SHA-256, upper-case hex with colons; empty without TLS. */
  readonly fingerprint: string
  /** The name that clients must expect when they connect by an address: one that the certificate has. */
  readonly commonName: string
  /** Sockets that are open now. */
  readonly sockets: Effect.Effect<number>
  /** Names of the jobs that run now, one per connection. */
  readonly jobs: Effect.Effect<ReadonlyArray<string>>
}

/**
 * The server that runs.
 *
 * @since 0.1.0
 * @category tags
 */
export const MapepireServer: Context.Tag<MapepireServer, MapepireServer> =
  /* @__PURE__ */ Context.GenericTag<MapepireServer>("@sluice/mapepire-server/MapepireServer")

/** MAX_WS_MESSAGE_SIZE of the daemon. */
const maxMessageBytes = 50 * 1024 * 1024
/** The driver's limit per connection. */
const maxStatements = 9_999

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const certificateOf = (
  tls: Tls | undefined,
  host: string
): Effect.Effect<
  { readonly certificate: certificates.Certificate; readonly fingerprint: string; readonly commonName: string },
  MapepireServerError
> => {
  const commonName = tls !== undefined && "commonName" in tls ? tls.commonName : undefined
  const name = commonName ?? certificates.commonNameOf(host)
  const made =
    tls !== undefined && "cert" in tls
      ? Effect.succeed({ cert: tls.cert, key: tls.key })
      : certificates.generated(name, tls?.directory)
  return Effect.flatMap(made, (certificate) =>
    Effect.try({
      try: () => ({
        certificate,
        fingerprint: certificates.fingerprintOf(certificate),
        commonName: certificates.nameOf(certificate) ?? name
      }),
      catch: (error) => error
    })
  ).pipe(
    Effect.mapError(
      (cause) =>
        new MapepireServerError({
          reason: "Certificate",
          message: `No certificate to serve with: ${textOf(cause)}`,
          cause
        })
    )
  )
}

/** The caller's, if there is one; else a database of the server's own, that has to be filled. */
const served: Effect.Effect<
  { readonly transport: SqlTransport.SqlTransport; readonly seed: ReadonlyArray<string> },
  never,
  Scope.Scope
> = Effect.flatMap(
  Effect.serviceOption(SqlTransport.SqlTransport),
  Option.match({
    onNone: () =>
      Effect.map(
        Effect.flatMap(
          Effect.promise(() => import("./internal/temporary.js")),
          (temporary) => temporary.transport
        ),
        (transport) => ({ transport, seed: sample })
      ),
    onSome: (transport) => Effect.succeed({ transport, seed: [] })
  })
)

/**
 * Starts a server over the `SqlTransport` of the context; without one over a SQLite file in a temporary directory that is
 * removed with the server. It ends with the scope: sockets are closed, statements stopped, transactions undone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (config: Config = {}): Effect.Effect<MapepireServer, MapepireServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const { seed: ownSeed, transport } = yield* served
    const { faults = {}, host = "127.0.0.1", limits = {}, tls = true } = config
    const secured = tls === false ? undefined : yield* certificateOf(tls === true ? {} : tls, host)
    const sqlite = (config.dialect ?? (transport.system === "sqlite" ? "db2" : "none")) === "db2"
    const behaviour = behaviourOf(config.version ?? "2.3.6")
    const jobs = new Jobs(faults.reuseJobNames ?? false)
    const connections = new Set<Connection>()
    yield* Effect.addFinalizer(() =>
      Effect.forEach([...connections], (left) => Effect.zipRight(left.stop, left.close), {
        concurrency: "unbounded",
        discard: true
      })
    )
    const later = yield* makeFibers
    yield* Effect.addFinalizer(() => later.stop)
    const bounds = {
      messageBytes: limits.messageBytes ?? maxMessageBytes,
      inFlight: Math.max(1, limits.inFlight ?? 1_000),
      outboundBytes: limits.outboundBytes ?? 16 * 1024 * 1024,
      stallMillis: Duration.toMillis(limits.stall ?? "2 minutes"),
      blobBytes: limits.blobBytes ?? 64 * 1024 * 1024,
      allBlobBytes: limits.allBlobBytes ?? 256 * 1024 * 1024
    }
    const context: ServerContext = {
      host: {
        transport,
        dialect: sqlite ? overSqlite : passedOn,
        jobs,
        order: faults.order ?? "fifo",
        maxStatements: limits.statements ?? maxStatements,
        spooledBytes: limits.spooledBytes ?? 64 * 1024 * 1024,
        connections,
        commits: { count: 0 },
        definitions: { count: 0 },
        libraries: makeLibraries()
      },
      sqlite,
      behaviour,
      users: config.users,
      rules: config.rules ?? defaultRules,
      limits: bounds,
      faults,
      procedures: config.procedures ?? {},
      blobs: behaviour.blobs ? new Blobs(bounds) : undefined,
      postCancel: (job) =>
        Effect.sync(() => {
          if (faults.cancel !== "ignored") {
            const cancel = Effect.sync(() => void job.cancel())
            // Without a delay at once: a moment later it would hit the statement that comes next.
            later.run(faults.cancelDelay === undefined ? cancel : Effect.delay(cancel, faults.cancelDelay))
          }
        }),
      counters: { requests: 0, incomplete: 0, unparseable: 0 }
    }
    yield* Effect.mapError(
      seed(context.host, config.seed ?? ownSeed),
      (cause) =>
        new MapepireServerError({ reason: "Seed", message: `The seed could not be run: ${cause.message}`, cause })
    )
    const { port, sockets } = yield* listen(context, {
      host,
      port: config.port ?? 8076,
      certificate: secured?.certificate,
      compression: config.compression ?? false,
      onDisconnect: config.onDisconnect ?? "finish"
    }).pipe(
      Effect.mapError(
        (cause) =>
          new MapepireServerError({
            reason: "Listen",
            message: `Cannot listen on ${host}:${config.port ?? 8076}: ${cause.message}`,
            cause
          })
      )
    )
    // The certificate that is made for all addresses has the machine's name.
    const everywhere = secured === undefined ? "localhost" : certificates.commonNameOf(host)
    const shown = host === "0.0.0.0" || host === "::" ? everywhere : host.includes(":") ? `[${host}]` : host
    return {
      host,
      port,
      url: `${secured === undefined ? "ws" : "wss"}://${shown}:${port}/db/`,
      certificate: secured?.certificate.cert ?? "",
      fingerprint: secured?.fingerprint ?? "",
      commonName: secured?.commonName ?? certificates.commonNameOf(host),
      sockets: Effect.sync(sockets),
      jobs: Effect.sync(() => jobs.names)
    }
  })

/**
 * The server as a layer. By itself it serves a SQLite file in a temporary directory, with the tables of `sample`.
 *
 * Provide a `SqlTransport` and that is served. Each socket gets a session of its own, so over SQLite the database must be
 * a file: every session of one in memory would be another, empty one.
 *
 * @example
 * ```ts
 * import { MapepireServer } from "@sluice/mapepire-server"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const { certificate, url } = yield* MapepireServer.MapepireServer
 *   yield* Effect.logInfo(`serving DEPARTMENT, EMPLOYEE, PROJECT and SALES at ${url}`, certificate)
 * }).pipe(Effect.provide(MapepireServer.layer({ port: 0, users: { DEV: "secret" } })))
 * ```
 *
 * @example
 * ```ts
 * import { MapepireServer } from "@sluice/mapepire-server"
 * import { SqliteTransport } from "@sluice/sqlite"
 * import { Effect, Layer } from "effect"
 *
 * const Server = MapepireServer.layer({ port: 0, users: { DEV: "secret" } }).pipe(
 *   Layer.provide(SqliteTransport.layer({ filename: "shop.db" }))
 * )
 *
 * const program = Effect.gen(function* () {
 *   const { certificate, url } = yield* MapepireServer.MapepireServer
 *   yield* Effect.logInfo(`serving at ${url}`, certificate)
 * }).pipe(Effect.provide(Server))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (config?: Config): Layer.Layer<MapepireServer, MapepireServerError> =>
  Layer.scoped(MapepireServer, make(config))
