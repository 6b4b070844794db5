/** A job as a session of the pool: knows whether a transaction is open, and what statements outside of one mean. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { PoolSession } from "../../MapepireJob.js"
import { ownRequest } from "../job/request.js"
import { type TransactionWord, transactionWordOf } from "./transactionWord.js"
import type { Jobs, Lent } from "./jobs.js"
import { staysWithJob, wouldStay } from "./state.js"
import { execute } from "./transactions.js"

const gone = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "TransactionGone",
    message: "Db2 has ended this transaction: an error undid it, or a statement ended it",
    statement
  })

const doomed = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "TransactionGone",
    message: "Db2 goes on with this transaction no more: after the error before it can only be rolled back",
    statement
  })

const noBegin = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Unsupported",
    message: "A transaction cannot be begun by a statement here: use sql.transaction, or sql.reserve for a session",
    statement
  })

export class TransportSession implements SqlTransport.Session {
  readonly keepsContract = true
  private running = 0
  private isAltered = false

  constructor(
    private readonly jobs: Jobs,
    /** Not in autocommit: what is changed outside of a transaction is committed here. */
    private readonly transactional: boolean
  ) {}

  get id(): string {
    return this.jobs.session.id
  }

  readonly inTransaction = (): boolean => this.jobs.session.transactionOpen

  readonly altered = (): boolean => this.isAltered

  /** How the pool sees that it is busy. */
  readonly pending = (): number => this.running

  get lost(): Effect.Effect<SqlError> {
    return Deferred.await(this.jobs.lost)
  }

  get check(): Effect.Effect<void, SqlError> {
    return this.using(true, (session) => Effect.zipLeft(session.check, this.settle(session)))
  }

  readonly run = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Answer, SqlError> =>
    Effect.suspend(() => {
      const word = transactionWordOf(request.text)
      if (word !== undefined && word !== "SAVEPOINT") {
        return this.beginOrEnd(word, request)
      }
      return this.transactional
        ? this.within(request, (session) => (word === "SAVEPOINT" ? session.runInGrace(request) : session.run(request)))
        : this.plainly(request)
    })

  /** In autocommit there is nothing to be done after a statement but to give its job back. */
  private plainly(request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Answer, SqlError> {
    const refused = this.refused(request)
    return refused !== undefined
      ? Effect.fail(refused)
      : SqlTransport.uninterruptibleMask((restore) => {
          const lent = this.take(request.transaction === "none")
          return lent.session.runThen(
            request,
            restore,
            Effect.suspend(() => this.giveBack(lent))
          )
        })
  }

  readonly batch = (
    request: SqlTransport.SqlRequest,
    rows: SqlTransport.ParameterRows
  ): Effect.Effect<SqlTransport.Answer, SqlError> =>
    Effect.suspend(() => this.within(request, (session) => session.batch(request, rows), rows))

  readonly describe = (text: string): Effect.Effect<SqlTransport.Description, SqlError> =>
    this.using(!this.transactional, (session) => session.describe(text))

  readonly open = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> =>
    Effect.suspend(() => {
      const refused = this.refused(request)
      if (refused !== undefined) {
        return Effect.fail(refused)
      }
      const alone = this.standsAlone(request)
      // Until its scope ends the cursor needs its job.
      const lent = Effect.acquireRelease(
        Effect.sync(() => this.take(request.transaction === "none")),
        (lent) => this.giveBack(lent)
      )
      return Effect.flatMap(lent, ({ session }) => (alone ? this.openAlone(session, request) : session.open(request)))
    })

  /** What it did is settled with its last page, so that a failure of that is one of the result's; else with its scope. */
  private openAlone(
    session: PoolSession,
    request: SqlTransport.SqlRequest
  ): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> {
    let settled = false
    const settle = Effect.uninterruptible(
      Effect.suspend(() => {
        if (settled) {
          return Effect.void
        }
        settled = true
        return this.settle(session)
      })
    )
    return Effect.zipRight(
      Effect.addFinalizer(() => Effect.ignoreLogged(settle)),
      Effect.flatMap(session.open(request), (cursor) => {
        const last = (page: SqlTransport.Page) => (page.done && page.error === undefined ? settle : Effect.void)
        const settling: SqlTransport.Cursor = {
          first: cursor.first,
          columns: cursor.columns,
          next: Effect.tap(cursor.next, last)
        }
        return Effect.as(last(cursor.first), settling)
      })
    )
  }

  // ------------------------------------------------------------------------------------------------- transactions

  /** Every statement of a reserved session is a transaction of its own, as it is in autocommit. */
  private standsAlone(request: SqlTransport.SqlRequest): boolean {
    return this.transactional && request.transaction !== "required" && !this.inTransaction()
  }

  /** Why a statement must not be run here. */
  private refused(
    request: SqlTransport.SqlRequest,
    rows: SqlTransport.ParameterRows = [request.params]
  ): SqlError | undefined {
    if (staysWithJob(request.text, rows)) {
      // Who has reserved the session has it for himself.
      if (request.transaction !== "free") {
        return wouldStay(request.text)
      }
      this.isAltered = true
    }
    if (request.transaction === "required" && !this.inTransaction()) {
      return gone(request.text)
    }
    return this.jobs.session.mustRollBack ? doomed(request.text) : undefined
  }

  private within<A>(
    request: SqlTransport.SqlRequest,
    use: (session: PoolSession) => Effect.Effect<A, SqlError>,
    rows?: SqlTransport.ParameterRows
  ): Effect.Effect<A, SqlError> {
    const refused = this.refused(request, rows)
    if (refused !== undefined) {
      return Effect.fail(refused)
    }
    const fresh = request.transaction === "none"
    return this.standsAlone(request)
      ? this.using(fresh, (session) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.matchCauseEffect(restore(use(session)), {
              onFailure: (cause) =>
                Effect.flatMap(Effect.either(this.undo(session)), ({ _tag }) =>
                  Effect.failCause(Cause.map(cause, undone(_tag === "Right")))
                ),
              onSuccess: (answer) => Effect.as(this.settle(session), answer)
            })
          )
        )
      : this.using(fresh, use)
  }

  private readonly undo = (session: PoolSession): Effect.Effect<void, SqlError> =>
    Effect.asVoid(session.rollback(ownRequest("ROLLBACK")))

  /** What a statement by itself has changed, and the locks of what it has read. */
  private settle(session: PoolSession): Effect.Effect<void, SqlError> {
    return Effect.suspend(() =>
      this.transactional && !session.transactionOpen
        ? // What could not be committed must not be left to the COMMIT of the next statement.
          Effect.onError(execute(session, "COMMIT"), () => Effect.ignore(this.undo(session)))
        : Effect.void
    )
  }

  private beginOrEnd(
    word: Exclude<TransactionWord, "SAVEPOINT">,
    request: SqlTransport.SqlRequest
  ): Effect.Effect<SqlTransport.Answer, SqlError> {
    if (word === "BEGIN") {
      if (!this.transactional) {
        return Effect.fail(noBegin(request.text))
      }
      return this.using(true, (session) =>
        Effect.sync(() => {
          session.transactionOpen = true
          return nothing
        })
      )
    }
    if (word === "COMMIT" && this.jobs.session.mustRollBack) {
      return Effect.fail(doomed(request.text))
    }
    return this.using(false, (session) =>
      Effect.tap(word === "ROLLBACK" ? session.rollback(request) : session.run(request), () =>
        Effect.sync(() => {
          session.transactionOpen = false
          session.mustRollBack = false
        })
      )
    )
  }

  // --------------------------------------------------------------------------------------------------------- jobs

  private take(fresh: boolean): Lent {
    this.running++
    return this.jobs.take(fresh)
  }

  private giveBack(lent: Lent): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.running--
      return this.jobs.giveBack(lent)
    })
  }

  private using<A>(
    fresh: boolean,
    use: (session: PoolSession) => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    // `acquireUseRelease` would take some more steps, and every statement comes along here.
    return Effect.uninterruptibleMask((restore) => {
      const lent = this.take(fresh)
      return Effect.matchCauseEffect(restore(Effect.suspend(() => use(lent.session))), {
        onFailure: (cause) => Effect.zipRight(this.giveBack(lent), Effect.failCause(cause)),
        onSuccess: (value) => Effect.as(this.giveBack(lent), value)
      })
    })
  }
}

/**
 * Whatever a statement did is rolled back with everything else that was not committed. If the job did not say so
 * (`rolledBack`), nobody can tell what a statement did whose own outcome is unknown.
 */
const undone =
  (rolledBack: boolean) =>
  (error: SqlError): SqlError => {
    const { outcome } = SqlFailure.from(error)
    return outcome === "executed" || (outcome === "unknown" && rolledBack)
      ? SqlFailure.annotate(error, { outcome: "notExecuted" })
      : error
  }

const nothing: SqlTransport.Answer = {
  columns: [],
  length: 0,
  objects: () => [],
  arrays: () => [],
  error: undefined,
  done: true,
  inTransaction: true,
  changes: 0,
  queueNanos: 0,
  engineNanos: 0,
  routable: false,
  private: false,
  raw: () => undefined
}
