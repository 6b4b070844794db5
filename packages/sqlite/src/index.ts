/**
 * `Migrator` of `@sluice/sql`, under the name that it has in `@effect/sql-sqlite-node`.
 *
 * @since 0.1.0
 */
export { Migrator as SqliteMigrator } from "@sluice/sql"
/** @since 0.1.0 */
export * as Changeset from "./Changeset.js"
/** @since 0.1.0 */
export * as Fts5 from "./Fts5.js"
/** @since 0.1.0 */
export * as SqliteClient from "./SqliteClient.js"
/** @since 0.1.0 */
export * as SqliteTransport from "./SqliteTransport.js"
