/** One session inside one transaction that is never committed. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as SqlFailure from "../../SqlFailure.js"
import * as SqlTransport from "../../SqlTransport.js"
import { hasStatement } from "../operation.js"
import { OpenTransaction, parse } from "./control.js"

/** The savepoint that stands for the program's own transaction. */
const own = "sluice_rolled_back"

const unsupported = (message: string, statement?: string): SqlError =>
  SqlFailure.make({ reason: "Unsupported", message: `TestTransport.rolledBack: ${message}`, statement })

/** The session as the client sees it: outside of a transaction until the client begins one. */
class RolledBackSession implements SqlTransport.Session {
  /** Of the program; the real one is open all the time. */
  readonly transaction = new OpenTransaction()
  /** The statement that ended the real transaction on purpose: what was done by then may be committed. */
  endedBy: string | undefined

  constructor(readonly inner: SqlTransport.Session) {}

  get id() {
    return this.inner.id
  }
  get keepsContract() {
    return this.inner.keepsContract
  }
  get check() {
    return this.inner.check
  }
  get lost() {
    return this.inner.lost
  }

  /** When the database has ended the real one, the program's is gone with it. */
  readonly inTransaction = (): boolean => this.transaction.open && this.inner.inTransaction()

  readonly altered = (): boolean => this.inner.altered?.() === true

  readonly irreplaceable = (): boolean => this.inner.irreplaceable?.() === true

  readonly reentrant: SqlTransport.Session["reentrant"] = (context, statement) =>
    this.inner.reentrant?.(context, statement)

  readonly describe = (text: string) => this.inner.describe(text)

  readonly run = (request: SqlTransport.SqlRequest) =>
    this.inside(request, (inside) => Effect.map(this.inner.run(inside), (answer) => this.answer(answer)))

  readonly batch = (request: SqlTransport.SqlRequest, rows: SqlTransport.ParameterRows) =>
    this.inside(request, (inside) => Effect.map(this.inner.batch(inside, rows), (answer) => this.answer(answer)))

  readonly open = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> =>
    this.inside(request, (inside) =>
      Effect.map(this.inner.open(inside), (cursor) => ({
        first: this.page(cursor.first),
        columns: cursor.columns,
        // The statements of a script run as its pages are asked for.
        next: this.noticed(
          request,
          Effect.map(cursor.next, (page) => this.page(page))
        )
      }))
    )

  /** Everything runs inside; what would end the real transaction does not run at all. */
  private inside<A, R>(
    request: SqlTransport.SqlRequest,
    use: (inside: SqlTransport.SqlRequest) => Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> {
    return Effect.suspend(() => {
      const verb = parse(request.text)?.verb
      if (verb === "begin" || verb === "commit" || verb === "rollback") {
        return Effect.fail(
          unsupported(
            "BEGIN, COMMIT and ROLLBACK as statements would end the test's transaction. Use sql.transaction",
            request.text
          )
        )
      }
      return this.inner.inTransaction()
        ? this.noticed(request, use({ ...request, transaction: "required" }))
        : Effect.fail(
            SqlFailure.make({
              reason: "TransactionGone",
              message:
                "TestTransport.rolledBack: the database has ended the test's transaction, and all it did is undone",
              statement: request.text
            })
          )
    })
  }

  /** A script may hide a COMMIT; a write that was stopped only takes along what was never committed. */
  private noticed<A, R>({ text }: SqlTransport.SqlRequest, effect: Effect.Effect<A, SqlError, R>) {
    return Effect.onExit(effect, () =>
      Effect.sync(() => {
        if (!this.inner.inTransaction() && hasStatement(text, "COMMIT", "END")) {
          this.endedBy ??= text
        }
      })
    )
  }

  private answer(answer: SqlTransport.Answer): SqlTransport.Answer {
    return { ...this.page(answer), raw: () => answer.raw() }
  }

  private page(page: SqlTransport.Page): SqlTransport.Page {
    return {
      columns: page.columns,
      length: page.length,
      objects: () => page.objects(),
      arrays: () => page.arrays(),
      error: page.error,
      done: page.done,
      inTransaction: this.inTransaction(),
      changes: page.changes,
      queueNanos: page.queueNanos,
      engineNanos: page.engineNanos,
      routable: page.routable,
      private: page.private,
      ...(page.counters === undefined ? {} : { counters: page.counters })
    }
  }
}

/** The client's transaction as a savepoint, its savepoints as they are. */
const control = (
  inner: SqlTransport.TransactionControl,
  session: RolledBackSession
): SqlTransport.TransactionControl => {
  const real = session.inner
  const set = (open: boolean) => Effect.sync(() => session.transaction.set(open))
  return {
    begin: (_session, { readOnly }) =>
      readOnly === true
        ? Effect.fail(unsupported("a transaction inside cannot be read-only, as it is a savepoint"))
        : Effect.zipRight(inner.savepoint(real, own), set(true)),
    commit: () => Effect.zipRight(inner.release(real, own), set(false)),
    rollback: () =>
      Effect.suspend(() =>
        session.inTransaction()
          ? Effect.zipRight(Effect.zipRight(inner.rollbackTo(real, own), inner.release(real, own)), set(false))
          : set(false)
      ),
    savepoint: (_session, name) => inner.savepoint(real, name),
    rollbackTo: (_session, name) => inner.rollbackTo(real, name),
    release: (_session, name) => inner.release(real, name)
  }
}

export const make: Effect.Effect<SqlTransport.SqlTransport, SqlError, Scope.Scope | SqlTransport.SqlTransport> =
  Effect.gen(function* () {
    const inner = yield* SqlTransport.SqlTransport
    const real = yield* inner.connect({ access: "write", use: "transaction" })
    yield* Effect.acquireRelease(inner.transactions.begin(real, {}), () =>
      Effect.ignoreLogged(inner.transactions.rollback(real))
    )
    const session = new RolledBackSession(real)
    yield* Effect.addFinalizer(() =>
      session.endedBy === undefined
        ? Effect.void
        : Effect.dieMessage(
            `TestTransport.rolledBack: a script has ended the test's transaction, so it cannot be undone: ${session.endedBy}`
          )
    )
    let connected = false
    const transactions = control(inner.transactions, session)
    // A session that is closed takes its transaction along, as when it was lost or could not be cleaned.
    const close = Effect.sync(() => {
      session.transaction.set(false)
      connected = false
    })
    return {
      system: inner.system,
      attributes: inner.attributes,
      compiler: inner.compiler,
      transactions,
      limits: { read: 0, write: 1, transaction: 0 },
      // One at a time: what the program does outside of a transaction must not slip into that of another fiber.
      sharing: "exclusive",
      grace: inner.grace,
      atomicBatches: inner.atomicBatches,
      prefetch: inner.prefetch,
      connect: () =>
        Effect.suspend(() =>
          connected
            ? Effect.fail(unsupported("there is one session, and another client has it"))
            : Effect.acquireRelease(
                Effect.sync((): SqlTransport.Session => {
                  connected = true
                  return session
                }),
                () => Effect.zipRight(Effect.ignoreLogged(transactions.rollback(session)), close)
              )
        )
    }
  })
