/** Requests that go on with what an earlier one has opened: its id is their `cont_id`. */
import * as Effect from "effect/Effect"
import { type Client, type Entry, type Fields, textField } from "../client.js"
import type { Connection } from "../connection.js"
import * as failures from "../db2/failures.js"
import { failed, invalidId, noId, type Reply } from "../reply.js"

/** Finds what the id stands for, in the daemon's order of complaints. */
export const continued = (
  client: Client,
  request: Fields,
  run: (connection: Connection, entry: Entry) => Effect.Effect<Reply>
): Effect.Effect<Reply> => {
  const of = textField(request, "cont_id")
  const entry = of === undefined ? undefined : client.entries.get(of)
  if (entry === undefined) {
    return Effect.succeed(of === undefined ? noId : invalidId)
  }
  return client.connection === undefined ? Effect.succeed(failed(failures.notConnected)) : run(client.connection, entry)
}
