/**
 * The Db2 for i client: `SqlClient` over `MapepireTransport` in one.
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
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Db2Compiler from "./Db2Compiler.js"
import * as MapepireJob from "./MapepireJob.js"
import * as MapepireTransport from "./MapepireTransport.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("@sluice/mapepire/MapepireClient")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * Everything of `SqlClient`, and a way to what only a Mapepire job has.
 *
 * @since 0.1.0
 * @category models
 */
export interface MapepireClient extends SqlClient.SqlClient {
  readonly [TypeId]: TypeId
  readonly config: MapepireClientConfig
  /** A job of one's own, in autocommit, for the time of the scope: CL, output parameters, Visual Explain. */
  readonly job: Effect.Effect<MapepireJob.MapepireJob, SqlError, Scope.Scope>
}

/**
 * The tag of the Db2 client.
 *
 * @since 0.1.0
 * @category tags
 */
export const MapepireClient: Context.Tag<MapepireClient, MapepireClient> =
  /* @__PURE__ */ Context.GenericTag<MapepireClient>("@sluice/mapepire/MapepireClient")

/**
 * The transport's configuration and the client's options.
 *
 * @since 0.1.0
 * @category models
 */
export interface MapepireClientConfig
  extends
    MapepireTransport.Config,
    Pick<SqlClient.Options, "spanAttributes" | "statementTimeout" | "telemetry" | "pool"> {
  /** Rows per page of a stream, where nothing else is said. Default 1,000: a page is a round trip. */
  readonly prefetch?: number | undefined
  /** Applied to the column names of results, after `resultNames`; except by `.values`, `.raw` and `.withoutTransform`. */
  readonly transformResultNames?: ((name: string) => string) | undefined
}

/**
 * Connects. Fails with a typed error when that is not possible; a wrong password is tried once.
 *
 * @example
 * ```ts
 * import { MapepireClient } from "@sluice/mapepire"
 * import { SqlClient } from "@sluice/sql"
 * import { Effect, Redacted } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`select empno, lastname from employee where workdept = ${"B20"}`
 * })
 *
 * const Db2 = MapepireClient.layer({
 *   host: "ibmi.example.com",
 *   user: "ada",
 *   password: Redacted.make("secret"),
 *   libraries: ["SAMPLE"]
 * })
 *
 * const runnable = Effect.provide(program, Db2)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: MapepireClientConfig
): Effect.Effect<MapepireClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const transport = yield* MapepireTransport.make(config)
    const client = yield* SqlClient.make({
      spanAttributes: config.spanAttributes,
      statementTimeout: config.statementTimeout,
      telemetry: config.telemetry,
      pool: config.pool,
      prefetch: config.prefetch,
      transformRows:
        config.transformResultNames === undefined
          ? undefined
          : Statement.defaultTransforms(config.transformResultNames).array
    }).pipe(Effect.provideService(SqlTransport.SqlTransport, transport))
    return Object.assign(client, {
      [TypeId]: TypeId,
      config,
      job: transport.job,
      onDialect
    }) as unknown as MapepireClient
  })

/** Upstream knows five databases, and this is none of them. */
const onDialect = (branches: Readonly<Record<string, () => unknown>>): unknown => {
  const branch = branches[Db2Compiler.dialect]
  if (branch === undefined) {
    throw new TypeError(`sql.onDialect has no branch for Db2: use sql.onDialectOrElse, or add one called "db2"`)
  }
  return branch()
}

const toContext = (client: MapepireClient) =>
  Context.make(MapepireClient, client).pipe(
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
  config: MapepireClientConfig
): Layer.Layer<MapepireClient | SqlClient.SqlClient | EffectSql.SqlClient, SqlError> =>
  Layer.scopedContext(Effect.map(make(config), toContext)).pipe(Layer.provide(Reactivity.layer))

/**
 * The same from `Config` values. Default: `MapepireTransport.fromEnvironment`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<MapepireClientConfig> = MapepireTransport.fromEnvironment
): Layer.Layer<MapepireClient | SqlClient.SqlClient | EffectSql.SqlClient, ConfigError | SqlError> =>
  Layer.scopedContext(Effect.map(Effect.flatMap(Config.unwrap(config), make), toContext)).pipe(
    Layer.provide(Reactivity.layer)
  )

/**
 * Fetches the certificate that a daemon presents, to be stored; see `MapepireJob.certificate`.
 *
 * @since 0.1.0
 * @category tls
 */
export const certificate: typeof MapepireJob.certificate = MapepireJob.certificate
