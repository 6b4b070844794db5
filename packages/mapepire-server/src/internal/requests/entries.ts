/** What the ids of requests stand for, and the statement handles that go with it. */
import * as Effect from "effect/Effect"
import { booleanField, type Client, type Entry, type Fields, resultsOf } from "../client.js"
import type { Connection } from "../connection.js"
import type * as failures from "../db2/failures.js"

export const newEntry = (client: Client, id: string, request: Fields): Entry => {
  const entry: Entry = { connection: client.connection, terse: booleanField(request, "terse"), handle: false }
  const before = client.entries.get(id)
  if (before !== undefined) {
    resultsOf(before).forEach((result) => result.forget())
  }
  client.entries.set(id, entry)
  return entry
}

export const takeHandle = (connection: Connection, entry: Entry): Effect.Effect<void, failures.Db2Failure> =>
  Effect.tap(connection.useHandle, () => Effect.sync(() => void (entry.handle = true)))

/** Only a result that was read to its end gives its handle back. */
export const giveHandle = (connection: Connection, entry: Entry): void => {
  if (entry.handle) {
    entry.handle = false
    connection.freeHandle()
  }
}
