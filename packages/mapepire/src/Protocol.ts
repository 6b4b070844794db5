/**
 * The Mapepire protocol: every request and response of daemons 2.3.2 to 2.3.6 as Schema, and how requests become text.
 *
 * Requests are read as leniently as the daemon reads them (numbers and booleans may be texts, what cannot be read counts
 * as absent), responses as leniently as a client must: unknown fields are ignored, nothing optional is required.
 * Responses carry no type; `responseOf` tells which Schema answers which request.
 *
 * @since 0.1.0
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as jdbc from "./internal/jdbc.js"
import * as parsing from "./internal/protocol/parse.js"
import type { Request } from "./internal/protocol/requests.js"

export * from "./internal/protocol/requests.js"
export * from "./internal/protocol/responses.js"

/**
 * A value that a marker can be sent. The daemon binds everything but null as text, and Db2 converts it to the marker's
 * type: a number that must be exact travels as text.
 *
 * @since 0.1.0
 * @category models
 */
export type Parameter = null | string | number | boolean

/**
 * Parameters of one execution, or of a batch: an array of rows.
 *
 * @since 0.1.0
 * @category models
 */
export type Parameters = ReadonlyArray<Parameter> | ReadonlyArray<ReadonlyArray<Parameter>>

/**
 * A request's text, for one message. Numbers among the parameters are written as JavaScript prints them; whatever must
 * be exact beyond that is to be given as text.
 *
 * @since 0.1.0
 * @category codecs
 */
export const encode = (request: Request): string => JSON.stringify(request)

/**
 * What a message from a client turns out to be. The daemon answers each of these in its own way.
 *
 * @since 0.1.0
 * @category codecs
 */
export type ParsedRequest = parsing.ParsedRequest

/**
 * Reads a client's message as the daemon does; never throws. Numbers among the parameters that a double cannot hold come
 * back as `bigint` (whole ones) or as their text.
 *
 * @since 0.1.0
 * @category codecs
 */
export const parseRequest: (message: string) => ParsedRequest = parsing.parse

/**
 * The JDBC properties of a connection, each with its type: `{ libraries: ["SHOP"], "transaction isolation": "none" }`.
 * `raw` takes what is not known here.
 *
 * @since 0.1.0
 * @category properties
 */
export type JdbcOptions = jdbc.JdbcOptions

/**
 * Every known property, with the values that it allows.
 *
 * @since 0.1.0
 * @category properties
 */
export const jdbcProperties: typeof jdbc.properties = jdbc.properties

/**
 * The `props` of a `connect` request; a failure with reason `InvalidParameter` for names that are not known or not
 * allowed, and for values that a property does not allow or that cannot be written (`;`).
 *
 * @since 0.1.0
 * @category properties
 */
export const encodeJdbc: (options: JdbcOptions) => string | SqlError = jdbc.encodeJdbc

/**
 * What the `props` of a `connect` request ask for. Names may be in any case; unknown ones are ignored.
 *
 * @since 0.1.0
 * @category properties
 */
export const parseJdbc: (props: string | undefined) => ReadonlyMap<string, string> = jdbc.parseJdbc
