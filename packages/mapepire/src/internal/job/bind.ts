/** What a job is given, in the form that the daemon takes. */
export { encodeJdbc, type JdbcOptions } from "../jdbc.js"
export { encodeParameters } from "../parameters.js"
