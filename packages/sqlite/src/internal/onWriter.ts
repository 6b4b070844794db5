/** What is done on the writer, and is no statement. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlClient } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type { SqliteSession } from "./sqliteSession.js"

export interface OnWriter {
  <A>(use: (session: SqliteSession) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError>
}

/** On the writer, when no transaction of somebody else is open there. */
export const onWriter =
  (client: SqlClient.SqlClient): OnWriter =>
  (use) =>
    Effect.scoped(Effect.flatMap(client.session, (session) => use(session as SqliteSession)))
