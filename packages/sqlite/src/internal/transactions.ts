/** SQLite's transactions: BEGIN in one of three modes, savepoints, and `query_only` for those that only read. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

const execute = (session: SqlTransport.Session, text: string): Effect.Effect<void, SqlError> =>
  Effect.asVoid(session.run(SqlTransport.request(text, { transaction: "free" })))

const isLost = SqlFailure.is("SessionLost")

/** A rollback hook that fails has changed nothing: what counts is that no transaction is open any more. */
const undo = (session: SqlTransport.Session): Effect.Effect<void, SqlError> =>
  Effect.catchAllCause(execute(session, "ROLLBACK"), (cause) =>
    session.inTransaction() || (Cause.isFailType(cause) && isLost(cause.error))
      ? Effect.failCause(cause)
      : Effect.logWarning("A rollback hook failed", cause)
  )

export const transactions = (readonlyDatabase: boolean): SqlTransport.TransactionControl => {
  const restricted = new WeakSet<SqlTransport.Session>()
  /** Lets the session write again after a transaction that only read. */
  const lift = (session: SqlTransport.Session) =>
    Effect.suspend(() =>
      restricted.has(session)
        ? Effect.tap(execute(session, "PRAGMA query_only=OFF"), () => Effect.sync(() => restricted.delete(session)))
        : Effect.void
    )

  return {
    begin: (session, { mode, readOnly }) => {
      // IMMEDIATE takes the write lock now: a transaction that first reads and then writes could lose it in between.
      const chosen = mode ?? (readonlyDatabase || readOnly === true ? "deferred" : "immediate")
      const begin = execute(session, `BEGIN ${chosen.toUpperCase()}`)
      return readOnly === true && !readonlyDatabase
        ? Effect.zipRight(
            begin,
            Effect.suspend(() => {
              restricted.add(session)
              return execute(session, "PRAGMA query_only=ON")
            })
          )
        : begin
    },
    // Lifted while the transaction is still open: a neighbour's statement that is next must not be refused to write.
    commit: (session) => Effect.zipRight(lift(session), execute(session, "COMMIT")),
    rollback: (session) =>
      Effect.zipRight(
        lift(session),
        Effect.suspend(() => (session.inTransaction() ? undo(session) : Effect.void))
      ),
    savepoint: (session, name) => execute(session, `SAVEPOINT ${name}`),
    rollbackTo: (session, name) => execute(session, `ROLLBACK TO ${name}`),
    release: (session, name) => execute(session, `RELEASE ${name}`)
  }
}
