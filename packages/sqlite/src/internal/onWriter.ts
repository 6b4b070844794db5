/** What is done on the writer, and is no statement. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlClient, SqlTransport } from "@sluice/sql"
import type * as Effect from "effect/Effect"
import type { SqliteSession } from "./sqliteSession.js"

export interface OnWriter {
  /** `texts`: of statements that it stands for. */
  <A>(
    use: (session: SqliteSession, request: SqlTransport.SqlRequest) => Effect.Effect<A, SqlError>,
    texts?: ReadonlyArray<string>
  ): Effect.Effect<A, SqlError>
}

/** On the writer, when no transaction of somebody else is open there; in the fiber's own transaction in turn. */
export const onWriter =
  (client: SqlClient.SqlClient): OnWriter =>
  (use, texts) =>
    client.onSession((session, request) => use(session as SqliteSession, request), texts)
