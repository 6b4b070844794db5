/** From a message to the request that answers it. */
import { Protocol } from "@sluice/mapepire"
import * as Effect from "effect/Effect"
import type { Client, Fields } from "./client.js"
import { field } from "./json.js"
import { refused, type Reply } from "./reply.js"
import { cl } from "./requests/cl.js"
import { connect, exit } from "./requests/connect.js"
import { dove } from "./requests/dove.js"
import { sqlClose, sqlCloseNow, sqlMore } from "./requests/paging.js"
import { execute, prepareSql, prepareSqlExecute } from "./requests/prepared.js"
import { getDbJob, getTraceData, getVersion, ping, setConfig } from "./requests/questions.js"
import { sql } from "./requests/sql.js"

type Handler = (client: Client, id: string, request: Fields) => Effect.Effect<Reply>

const handlers: { readonly [Type in Protocol.RequestType]: Handler } = {
  connect,
  sql,
  prepare_sql: prepareSql,
  prepare_sql_execute: prepareSqlExecute,
  execute,
  sqlmore: sqlMore,
  sqlclose: sqlClose,
  cl,
  dove,
  ping,
  getdbjob: getDbJob,
  getversion: getVersion,
  setconfig: setConfig,
  gettracedata: getTraceData,
  exit
}

/** While one of these runs nothing else of its socket is read. */
const blocking: ReadonlySet<string> = new Set<Protocol.RequestType>(["connect", "cl", "dove", "gettracedata"])

export interface Dispatched {
  readonly id: string
  readonly type: string
  readonly blocks: boolean
  readonly answer: Effect.Effect<Reply>
  /** The answer, where nothing has to be waited for and no fiber is needed. */
  readonly now?: (() => Reply | undefined) | undefined
}

const answered = (id: string, type: string, reply: Reply): Dispatched => ({
  id,
  type,
  blocks: false,
  answer: Effect.succeed(reply),
  now: () => reply
})

/** Never throws. The counters of malformed requests go on. */
export const dispatch = (client: Client, message: string): Dispatched => {
  const parsed = Protocol.parseRequest(message)
  const { counters } = client.server
  switch (parsed._tag) {
    case "Unparseable":
      return answered(
        `unparseable_${++counters.unparseable}`,
        "",
        refused(`Non-parseable request: '${message}'`, field("unparseable", message))
      )
    case "Incomplete":
      return answered(
        `incomplete_${++counters.incomplete}`,
        "",
        refused(
          `Request is missing required fields (most likely 'id' or 'type'): '${message}'`,
          field("incomplete", message)
        )
      )
    case "UnknownType":
      return answered(parsed.id, parsed.type, refused(`Unknown request type: ${parsed.type}`))
    case "MissingField":
      // The daemon notices what is missing where it is needed: a handler of its own answer.
      return handled(client, parsed.id, parsed.type as Protocol.RequestType, parsed.fields)
    case "Request":
      return handled(client, parsed.request.id, parsed.request.type, parsed.request)
  }
}

const handled = (client: Client, id: string, type: Protocol.RequestType, fields: Fields): Dispatched => ({
  id,
  type,
  blocks: blocking.has(type),
  answer: Effect.suspend(() => handlers[type](client, id, fields)),
  // One comes for each statement, and mostly there is nothing to be done but to forget.
  now: type === "sqlclose" ? () => sqlCloseNow(client, fields) : undefined
})
