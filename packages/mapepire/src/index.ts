/**
 * Db2 for IBM i for Effect, through a Mapepire daemon.
 *
 * @since 0.1.0
 */
export * as Protocol from "./Protocol.js"
