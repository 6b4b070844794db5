/**
 * A Mapepire daemon over any `SqlTransport`.
 *
 * @since 0.1.0
 */
export * as MapepireServer from "./MapepireServer.js"
