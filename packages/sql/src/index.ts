/** @since 0.1.0 */
export * as Migrator from "./Migrator.js"
/** @since 0.1.0 */
export * as Query from "./Query.js"
/** @since 0.1.0 */
export * as SessionPool from "./SessionPool.js"
/** @since 0.1.0 */
export * as SqlClient from "./SqlClient.js"
/** @since 0.1.0 */
export * as SqlFailure from "./SqlFailure.js"
/** @since 0.1.0 */
export * as SqlTransport from "./SqlTransport.js"
/** @since 0.1.0 */
export * as TestTransport from "./TestTransport.js"
