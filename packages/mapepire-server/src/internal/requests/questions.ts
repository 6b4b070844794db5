/** Requests about the server itself; none needs the database. */
import * as Effect from "effect/Effect"
import type { Client, Fields } from "../client.js"
import { textField } from "../client.js"
import * as failures from "../db2/failures.js"
import { field } from "../json.js"
import { failed, refused, type Reply, success } from "../reply.js"

export const ping = (client: Client): Effect.Effect<Reply> =>
  Effect.sync(() =>
    client.connection === undefined
      ? failed(failures.notConnected, field("alive", true))
      : success(field("alive", true), field("db_alive", !client.connection.closed))
  )

export const getDbJob = (client: Client): Effect.Effect<Reply> =>
  Effect.sync(() => success(field("job", client.connection?.job ?? "??????/??????/??????")))

/** When the shape of this server's answers was last compared with a daemon's. */
const buildDate = "2026-11-21 00:00:00 (GMT)"

export const getVersion = (client: Client): Effect.Effect<Reply> =>
  Effect.sync(() => success(field("build_date", buildDate), field("version", client.server.behaviour.version)))

const levels = new Set(["OFF", "ON", "ERRORS", "DATASTREAM", "INPUT_AND_ERRORS"])
const destinations = new Set(["FILE", "IN_MEM"])

/** Daemons read the wishes and keep to their own settings. */
export const setConfig = (_client: Client, _id: string, request: Fields): Effect.Effect<Reply> =>
  Effect.sync(() => {
    for (const [name, allowed] of [
      ["tracedest", destinations],
      ["tracelevel", levels],
      ["jtopentracedest", destinations],
      ["jtopentracelevel", levels]
    ] as const) {
      const value = textField(request, name)
      if (value !== undefined && !allowed.has(value.toUpperCase())) {
        return refused(`Invalid value for ${name}: ${value}`)
      }
    }
    return success(
      field("tracedest", "unknown"),
      field("tracelevel", "INPUT_AND_ERRORS"),
      field("jtopentracedest", "unknown"),
      field("jtopentracelevel", "OFF")
    )
  })

export const getTraceData = (): Effect.Effect<Reply> =>
  Effect.sync(() => success(field("tracedata", "<prohibited>"), field("jtopentracedata", "<prohibited>")))
