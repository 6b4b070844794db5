/** @since 0.1.0 */
export * as Changeset from "./Changeset.js"
/** @since 0.1.0 */
export * as Fts5 from "./Fts5.js"
/** @since 0.1.0 */
export * as SqliteClient from "./SqliteClient.js"
/** @since 0.1.0 */
export * as SqliteMigrator from "./SqliteMigrator.js"
/** @since 0.1.0 */
export * as SqliteTransport from "./SqliteTransport.js"
