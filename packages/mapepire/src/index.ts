/**
 * Db2 for IBM i for Effect, through a Mapepire daemon.
 *
 * @since 0.1.0
 */
export * as Db2Compiler from "./Db2Compiler.js"
export * as MapepireClient from "./MapepireClient.js"
export * as MapepireJob from "./MapepireJob.js"
export * as MapepireTransport from "./MapepireTransport.js"
export * as Protocol from "./Protocol.js"
