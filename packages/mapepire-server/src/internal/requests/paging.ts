/** `sqlmore` and `sqlclose`. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import {
  type Client,
  closeResults,
  defaultRows,
  type Entry,
  type Fields,
  integerField,
  resultsOf,
  textField
} from "../client.js"
import type { Connection } from "../connection.js"
import * as failures from "../db2/failures.js"
import { field, rawField } from "../json.js"
import { failed, invalidId, noId, type Reply, success } from "../reply.js"
import { continued } from "./continued.js"
import { page } from "./results.js"
import { giveHandle } from "./entries.js"

const end = success(rawField("data", "[]"), field("is_done", true))

export const sqlMore = (client: Client, _id: string, request: Fields): Effect.Effect<Reply> =>
  continued(client, request, (connection, entry) => {
    const work = Effect.suspend((): Effect.Effect<Reply, SqlError | failures.Db2Failure> => {
      const { cursor, writer } = entry
      if (cursor === undefined || writer === undefined) {
        return Effect.fail(failures.noResultSet)
      }
      // A result of a connection that is gone, or rolled back, counts as closed, and a closed one as read to its end.
      if (entry.connection !== connection) {
        return Effect.succeed(end)
      }
      if (entry.closings !== connection.closings) {
        returned(connection, entry)
        return Effect.as(cursor.close, end)
      }
      return Effect.map(page(cursor, integerField(request, "rows", defaultRows)), ({ done, rows }) => {
        if (done) {
          returned(connection, entry)
        }
        return success(rawField("data", writer.rows(rows)), field("is_done", done))
      })
    })
    return Effect.match(connection.exchange("", work), { onFailure: failed, onSuccess: (reply) => reply })
  })

/** A prepared statement keeps its handle. */
const returned = (connection: Connection, entry: Entry): void => {
  if (entry.prepared === undefined) {
    giveHandle(connection, entry)
  }
}

/** Forgets the id at once. A request that still runs keeps what it opens. */
const forget = (client: Client, of: string, entry: Entry): void => {
  client.entries.delete(of)
  if (client.server.behaviour.blobs && entry.connection !== undefined) {
    giveHandle(entry.connection, entry)
  }
}

/** The whole answer where the database has nothing open; undefined: `sqlClose` has to close something. */
export const sqlCloseNow = (client: Client, request: Fields): Reply | undefined => {
  const of = textField(request, "cont_id")
  if (of === undefined) {
    return noId
  }
  const entry = client.entries.get(of)
  if (entry === undefined) {
    return invalidId
  }
  if (resultsOf(entry).some((result) => !result.complete)) {
    return undefined
  }
  forget(client, of, entry)
  resultsOf(entry).forEach((result) => result.forget())
  return closed
}

const closed = success()

export const sqlClose = (client: Client, _id: string, request: Fields): Effect.Effect<Reply> =>
  Effect.suspend(() => {
    const of = textField(request, "cont_id")
    const entry = of === undefined ? undefined : client.entries.get(of)
    if (of === undefined || entry === undefined) {
      return Effect.succeed(of === undefined ? noId : invalidId)
    }
    forget(client, of, entry)
    return Effect.as(closeResults(entry), closed)
  })
