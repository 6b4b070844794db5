/** @since 0.1.0 */
export * as SqliteClient from "./SqliteClient.js"
/** @since 0.1.0 */
export * as SqliteTransport from "./SqliteTransport.js"
