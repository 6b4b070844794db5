/** What is done on the writer, and is no statement. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlClient, type SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
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

/**
 * The client learns from a statement's answer that its session has what others do not see, such as temporary tables, and
 * that nothing may run on readers any more. This text never runs on them. What was done is done: also where it took too
 * long, and nobody is told if this fails.
 */
export const learnPrivate = (client: SqlClient.SqlClient): Effect.Effect<void> =>
  Effect.ignore(Effect.provideService(client.unsafe("SELECT changes()").unprepared, SqlClient.Deadline, Infinity))
