/**
 * Db2's transactions. There is nothing to begin with: on a job that is not in autocommit the first statement begins one.
 * So BEGIN is a word between us and our session (session.ts), which remembers that a transaction is open.
 */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as failure from "../failure.js"
import { ownRequest } from "../job/request.js"

export type Isolation = NonNullable<SqlTransport.BeginOptions["isolation"]>

/** As the JDBC property and, in upper case, as SET TRANSACTION spells it. */
export const isolationWords: Readonly<
  Record<Isolation, "read uncommitted" | "read committed" | "repeatable read" | "serializable">
> = {
  readUncommitted: "read uncommitted",
  readCommitted: "read committed",
  repeatableRead: "repeatable read",
  serializable: "serializable"
}

export const isIsolation = (name: string): name is Isolation => Object.hasOwn(isolationWords, name)

export const noSuchIsolation = (name: string): SqlError =>
  failure.badConfig(`There is no isolation "${name}"; there are ${Object.keys(isolationWords).join(", ")}`)

export const execute = (session: SqlTransport.Session, text: string): Effect.Effect<void, SqlError> =>
  Effect.asVoid(session.run(ownRequest(text)))

/** `isolation`: that of the jobs, where a transaction does not ask for another one. */
export const transactions = (isolation: Isolation): SqlTransport.TransactionControl => ({
  begin: (session, options) => {
    if (options.mode === "exclusive") {
      return Effect.fail(
        failure.unsupported(
          'Db2 has no transactions with mode "exclusive": LOCK TABLE in one keeps others from a table'
        )
      )
    }
    const begin = execute(session, "BEGIN")
    if (options.isolation === undefined && options.readOnly !== true) {
      return begin
    }
    const wanted = options.isolation ?? isolation
    if (!isIsolation(wanted)) {
      return Effect.fail(noSuchIsolation(wanted))
    }
    const level = isolationWords[wanted].toUpperCase()
    // Without the last two words a transaction that reads what is uncommitted could only read.
    const access = options.readOnly === true ? "READ ONLY" : "READ WRITE"
    return Effect.zipRight(begin, execute(session, `SET TRANSACTION ISOLATION LEVEL ${level}, ${access}`))
  },
  commit: (session) => execute(session, "COMMIT"),
  rollback: (session) => Effect.suspend(() => (session.inTransaction() ? execute(session, "ROLLBACK") : Effect.void)),
  // Cursors that are open outlive a rollback to it.
  savepoint: (session, name) => execute(session, `SAVEPOINT ${name} ON ROLLBACK RETAIN CURSORS`),
  rollbackTo: (session, name) => execute(session, `ROLLBACK TO SAVEPOINT ${name}`),
  release: (session, name) => execute(session, `RELEASE SAVEPOINT ${name}`)
})
