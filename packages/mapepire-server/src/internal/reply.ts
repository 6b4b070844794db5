/** What a request is answered with. */
import type { Db2Failure } from "./db2/failures.js"
import { field, type Fields, fields } from "./json.js"

export interface Reply {
  readonly fields: Fields
  readonly error?: ReplyError | undefined
}

export interface ReplyError {
  readonly message: string
  /** Undefined where the failure was none of SQL's: then the response has no SQLSTATE at all. */
  readonly sql: { readonly state: string | null; readonly code: number } | undefined
}

export const success = (...parts: ReadonlyArray<Fields | undefined>): Reply => ({ fields: fields(...parts) })

export const refused = (message: string, partial: Fields = ""): Reply => ({
  fields: partial,
  error: { message, sql: undefined }
})

export const failed = ({ code, message, state }: Db2Failure, partial: Fields = ""): Reply => ({
  fields: partial,
  error: { message, sql: state === undefined ? undefined : { state, code } }
})

export const invalidId: Reply = refused("Bad request: invalid correlation ID")
export const noId: Reply = refused("Bad request: Correlation ID not specified")
export const missing: Reply = refused("Internal Error: NullPointerException: null")
export const defect = (text: string): Reply => refused(`Internal Error: ${text}`)

/** The whole response. `milliseconds`: since the request came. */
export const frame = (id: string, { error, fields: own }: Reply, milliseconds: number): string => {
  const envelope =
    error === undefined
      ? field("success", true)
      : fields(
          field("error", error.message),
          field("success", false),
          ...(error.sql === undefined ? [] : [field("sql_state", error.sql.state), field("sql_rc", error.sql.code)])
        )
  return `{${fields(field("id", id), own, envelope, field("execution_time", milliseconds))}}\n\n`
}
