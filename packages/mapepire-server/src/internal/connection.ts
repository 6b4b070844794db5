/** A socket's connection to the database: one session, one job, one unit of work. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { prefetchOf, ResultCursor } from "./cursor.js"
import * as failures from "./db2/failures.js"
import { verbOf } from "./db2/scan.js"
import type { Run, SchemaName, Statement } from "./db2/statement.js"
import type { Dialect } from "./dialect.js"
import { describe } from "./failure.js"
import type { Jobs } from "./jobs.js"
import { Lock } from "./lock.js"
import type { Outbound } from "./outbound.js"
import type { Properties } from "./properties.js"
import { Spool } from "./spool.js"
import { type Known, StatementCache } from "./statementCache.js"

/** What all connections of a server share. */
export interface Host {
  readonly transport: SqlTransport.SqlTransport
  readonly dialect: Dialect
  readonly jobs: Jobs
  readonly order: "fifo" | "random"
  readonly maxStatements: number
  /** Bytes of the open results that a connection may read into memory. */
  readonly spooledBytes: number
  /** The connections that are open. What nobody closes otherwise is closed with the server. */
  readonly connections: Set<Connection>
  /** Counts what may have been committed, by any of them. */
  readonly commits: { count: number }
  /** Counts what may have changed definitions of tables, for any of them to see. */
  readonly definitions: { count: number }
  /** Libraries that CL commands may name. */
  readonly libraries: Set<string>
}

export interface Login {
  /** In upper case. */
  readonly user: string
  readonly application: string
  readonly properties: Properties
}

/** Exchanges that share a connection: enough that the database has its next before it has answered. */
const mostSharing = 16

const widthOf = (sharing: SqlTransport.Sharing): number =>
  sharing === "fifo" ? mostSharing : sharing === "exclusive" ? 1 : Math.min(mostSharing, sharing.multiplex)

/** What runs in an exchange. */
interface Running {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  stopped: boolean
}

/** As the database shall read it: quoted where it is no plain word there. */
const savepointName = (name: string): string => (/^[A-Za-z]\w*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

/** SQLite's LIKE takes a letter for its capital. */
const exactLike = SqlTransport.request("PRAGMA case_sensitive_like = ON", { transaction: "free" })

export class Connection {
  readonly lock: Lock
  readonly statements: StatementCache
  schema: string
  /** Statement handles that the driver would hold open. */
  handles = 0
  closed = false
  /** How often a unit of work has closed its results: the rows that had been fetched of them are gone, too. */
  closings = 0
  /** The results that the database has open. */
  private readonly cursors = new Set<ResultCursor>()
  /** Those that it had open, and that are in memory now. */
  private readonly spool: Spool
  /** What this connection has of the host's count, and what the others had when the oldest open result began. */
  private commits = 0
  private before = 0
  /** The others' count when the first of those began that share the connection. */
  private shared = 0
  /** The oldest first: it is the one that the database is busy with. */
  private readonly running = new Set<Running>()
  /** Nothing begins any more. */
  private stopping = false
  /** A unit of work has begun; and the database has ended it by itself. */
  private begun = false
  private broken = false
  /** It has changed something; a rollback to a savepoint does not take that back. */
  private changed = false
  /** It has changed definitions; others see that, and this connection may have to forget it, when it ends. */
  private redefined = false
  /** The host's count of definitions that what is known of statements goes by. */
  private definitions: number
  /** SET TRANSACTION has put a unit of work under commitment control. */
  private isolated: boolean
  /** By SET TRANSACTION, or by the `access` of the connection. */
  private readOnly: boolean

  private constructor(
    private readonly host: Host,
    readonly login: Login,
    readonly session: SqlTransport.Session,
    private readonly scope: Scope.CloseableScope,
    readonly job: string,
    private readonly outbound: Outbound | undefined
  ) {
    this.lock = new Lock(host.order, widthOf(host.transport.sharing))
    this.spool = new Spool(host.spooledBytes)
    this.definitions = host.definitions.count
    this.schema = this.firstSchema
    this.isolated = login.properties.isolated
    this.readOnly = login.properties.readOnly
    this.statements = new StatementCache(session, (text) => host.dialect(text, this.environment))
  }

  /** `outbound`: the client's, if what is read goes to one. */
  static open(host: Host, login: Login, outbound?: Outbound): Effect.Effect<Connection, SqlError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) =>
        restore(
          Effect.tap(
            host.transport.connect({
              access: "write",
              use: login.properties.autoCommit ? "statement" : "transaction"
            }),
            (session) =>
              // A defect of the database shows where a client can be told of it.
              host.transport.system === "sqlite"
                ? Effect.catchAllDefect(Effect.asVoid(session.run(exactLike)), () => Effect.void)
                : Effect.void
          )
        ).pipe(
          Scope.extend(scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
          Effect.map((session) => {
            const job = host.jobs.start(() => ({ user: login.user, cancel: () => made.cancel() }))
            const made = new Connection(host, login, session, scope, job, outbound)
            host.connections.add(made)
            return made
          })
        )
      )
    )
  }

  get environment() {
    const { application, user } = this.login
    return { job: this.job, user, schema: this.schema, application, changed: this.changed }
  }

  /** Whether CL finds a library: one of the server's, or one that the connection itself goes by. */
  readonly knowsLibrary = (name: string): boolean =>
    this.host.libraries.has(name) || name === this.schema || this.login.properties.libraries.includes(name)

  private get firstSchema(): string {
    return this.login.properties.schema ?? this.login.user
  }

  private schemaOf(to: SchemaName, [given]: ReadonlyArray<unknown>): string {
    switch (to._tag) {
      case "Name":
        return to.name
      case "User":
        return this.login.user
      case "Default":
        return this.firstSchema
      case "Marker":
        return String(given).trimEnd()
    }
  }

  private get manual(): boolean {
    return !this.login.properties.autoCommit && this.isolated
  }

  /** A statement's handle; the driver has a limit. */
  readonly useHandle: Effect.Effect<void, failures.Db2Failure> = Effect.suspend(() => {
    if (this.handles >= this.host.maxStatements) {
      return Effect.fail(failures.statementLimit)
    }
    this.handles++
    return Effect.void
  })

  freeHandle(): void {
    this.handles = Math.max(0, this.handles - 1)
  }

  /**
   * One exchange with the database. CANCEL_SQL stops it. Those that wait for the connection have seen the client before it
   * was sent the answers of the others, so whoever has its turn looks again.
   */
  exchange<A>(
    verb: string,
    work: Effect.Effect<A, SqlError | failures.Db2Failure>
  ): Effect.Effect<A, failures.Db2Failure> {
    return this.lock.locked(this.turn(verb, work))
  }

  /**
   * The same for a statement. Short queries have the exchange together: the database finds the next one when it is done with
   * one, and neither thread has to be woken for each.
   */
  statement<A>(
    text: string,
    work: (known: Known) => Effect.Effect<A, SqlError | failures.Db2Failure>
  ): Effect.Effect<A, failures.Db2Failure> {
    const verb = verbOf(text)
    return this.lock.shared(
      () => this.besides(text),
      (known) => this.turn(verb, known === undefined ? Effect.flatMap(this.known(text), work) : work(known))
    )
  }

  private turn<A>(
    verb: string,
    work: Effect.Effect<A, SqlError | failures.Db2Failure>
  ): Effect.Effect<A, failures.Db2Failure> {
    const turn = Effect.suspend(() =>
      this.closed || this.stopping
        ? Effect.fail(failures.connectionGone)
        : this.stoppable(Effect.mapError(work, (error) => this.failure(error, verb)))
    )
    return this.outbound === undefined ? turn : this.outbound.after(turn)
  }

  /**
   * A query that may run beside those that have the exchange now. Not in a unit of work, nor while a result is open; and not
   * once others have committed since the first of them began: it might have a result open that shows the state before that.
   */
  private besides(text: string): Known | undefined {
    const known =
      this.manual || this.begun || this.cursors.size > 0 || this.definitions !== this.host.definitions.count
        ? undefined
        : this.statements.find(text)
    const { others } = this
    if (known?.brief !== true || (this.lock.sharing > 0 && others !== this.shared)) {
      return undefined
    }
    this.shared = others
    return known
  }

  /** What is known of a statement. A unit of work goes on with the definitions that it has begun with. */
  known(text: string): Effect.Effect<Known, failures.Db2Failure> {
    return Effect.suspend(() =>
      this.begun || this.definitions === this.host.definitions.count
        ? this.statements.get(text)
        : Effect.zipRight(Effect.ignore(this.lookAgain), this.statements.get(text))
    )
  }

  /** Forgets what was known. SQLite notices that another connection has changed its tables only when it runs something. */
  private readonly lookAgain: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const { count } = this.host.definitions
    this.statements.clear()
    const look = this.session.run(SqlTransport.request("SELECT 1 FROM sqlite_schema LIMIT 0", { transaction: "free" }))
    return Effect.map(
      this.host.transport.system === "sqlite" ? Effect.zipRight(this.spooled, look) : Effect.void,
      () => void (this.definitions = count)
    )
  })

  private stoppable<A>(work: Effect.Effect<A, failures.Db2Failure>): Effect.Effect<A, failures.Db2Failure> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.fork(Effect.interruptible(work)), (fiber) => {
        const running: Running = { fiber, stopped: false }
        this.running.add(running)
        return restore(Fiber.await(fiber)).pipe(
          Effect.onInterrupt(() => Fiber.interrupt(fiber)),
          Effect.ensuring(Effect.sync(() => this.running.delete(running))),
          Effect.flatMap((exit) => {
            this.noticeTransaction()
            return Exit.isFailure(exit) && running.stopped && Cause.isInterrupted(exit.cause)
              ? Effect.fail(failures.cancelled)
              : exit
          })
        )
      })
    )
  }

  private cancel(): boolean {
    const [oldest] = this.running
    return oldest !== undefined && this.stopOne(oldest)
  }

  private stopOne(running: Running): boolean {
    if (running.stopped) {
      return false
    }
    running.stopped = true
    running.fiber.unsafeInterruptAsFork(running.fiber.id())
    return true
  }

  failure(error: SqlError | failures.Db2Failure, verb: string): failures.Db2Failure {
    if ("_tag" in error) {
      if (this.begun && SqlFailure.is("Serialization", "Deadlock")(error)) {
        this.broken = true
      }
      return describe(error, this.schema, verb)
    }
    return error
  }

  /** SQLite ends a transaction by itself when a change in it is stopped. The client must hear of it before it commits. */
  private noticeTransaction(): void {
    if (this.begun && !this.session.inTransaction()) {
      this.begun = false
      this.broken = true
    }
  }

  /**
   * Begins the unit of work that a statement belongs to. Must be called within an exchange.
   *
   * While a result is open SQLite shows the state that it began with, and Db2 shows what has been committed since: so once
   * others have committed anything, the open results are read to their ends first, or given up where that is too much.
   */
  private begin(writes: boolean): Effect.Effect<void, SqlError | failures.Db2Failure> {
    return Effect.suspend((): Effect.Effect<void, SqlError | failures.Db2Failure> => {
      if (this.broken) {
        // Told once, as by Db2: what comes next begins another unit of work.
        return this.rollback("failed")
      }
      if (writes && this.readOnly) {
        return Effect.fail(failures.readOnly)
      }
      if (this.begun) {
        return Effect.void
      }
      const fresh = this.cursors.size > 0 && this.others !== this.before ? this.spooled : Effect.void
      return this.manual ? Effect.zipRight(fresh, this.settled(this.beginWork(writes))) : fresh
    })
  }

  private beginWork(writes: boolean): Effect.Effect<void, SqlError> {
    return Effect.map(
      this.host.transport.transactions.begin(this.session, { mode: writes ? "immediate" : "deferred" }),
      () => void (this.begun = true)
    )
  }

  /** What may have been committed by other connections. */
  private get others(): number {
    return this.host.commits.count - this.commits
  }

  /** A change in a unit of work is nothing to others before its COMMIT. */
  private counting<A, E>(writes: boolean, work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return !writes
      ? work
      : this.manual
        ? Effect.tap(work, () => Effect.sync(() => void (this.changed = true)))
        : this.counted(work)
  }

  /** Whatever becomes of it. */
  private counted<A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.ensuring(
      work,
      Effect.sync(() => {
        this.commits++
        this.host.commits.count++
      })
    )
  }

  private request(run: Run, params: ReadonlyArray<unknown>, prefetch = 64): SqlTransport.SqlRequest {
    return SqlTransport.request(run.text, {
      params,
      prefetch,
      integers: "bigint",
      shape: "arrays",
      transaction: "free"
    })
  }

  /** Opens a query's result. */
  open(
    run: Run,
    params: ReadonlyArray<unknown>,
    rows: number
  ): Effect.Effect<ResultCursor, SqlError | failures.Db2Failure> {
    const open = Effect.suspend(() => {
      const { others } = this
      return Effect.map(
        ResultCursor.open(this.session, this.request(run, params, prefetchOf(rows)), (cursor) =>
          this.cursors.delete(cursor)
        ),
        (cursor) => {
          if (!cursor.complete) {
            this.before = this.cursors.size === 0 ? others : this.before
            this.cursors.add(cursor)
          }
          return cursor
        }
      )
    })
    return Effect.zipRight(this.begin(run.writes), this.counting(run.writes, this.settled(open)))
  }

  /** Runs a change; how many rows it changed. */
  run(run: Run, params: ReadonlyArray<unknown>): Effect.Effect<number, SqlError | failures.Db2Failure> {
    const changed = this.settled(
      Effect.map(this.all(run, params), (answer) => {
        if (run.library !== undefined) {
          this.host.libraries.add(run.library)
        }
        return run.verb === "OTHER" ? 0 : (answer.changes ?? 0)
      })
    )
    const counted = run.schemaChange ? Effect.ensuring(changed, this.redefine) : changed
    return Effect.zipRight(this.begin(run.writes), this.counting(true, counted))
  }

  /** Whatever becomes of it: all connections look at the tables again, and in a unit of work once more when that ends. */
  private readonly redefine: Effect.Effect<void> = Effect.sync(() => {
    this.redefined = this.manual
    this.statements.clear()
    this.host.definitions.count++
  })

  private all(run: Run, params: ReadonlyArray<unknown>): Effect.Effect<SqlTransport.Answer, SqlError> {
    // SQLite changes no table's definition while any result is open.
    const spooled = run.schemaChange ? this.spooled : Effect.void
    const last = Effect.zipRight(spooled, this.session.run(this.request(run, params)))
    return run.before === undefined
      ? last
      : Effect.zipRight(this.all({ ...run, text: run.before, before: undefined }, []), last)
  }

  /** A change for each row of parameters. Without commitment control the rows before one that fails stay. */
  batch(run: Run, rows: SqlTransport.ParameterRows): Effect.Effect<number, SqlError | failures.Db2Failure> {
    const together = this.settled(
      Effect.map(this.session.batch(this.request(run, []), rows), (answer) => answer.changes ?? 0)
    )
    const onebyone = Effect.reduce(rows, 0, (sum, row) =>
      Effect.map(this.session.run(this.request(run, row)), (answer) => sum + (answer.changes ?? 0))
    )
    return Effect.zipRight(
      this.begin(true),
      this.counting(
        true,
        this.manual
          ? together
          : Effect.catchIf(together, SqlFailure.is("UniqueViolation", "Constraint"), () => onebyone)
      )
    )
  }

  /**
   * An open result keeps SQLite at the state it began with, and a change is refused once another connection has written.
   * Db2 knows no such thing: the open results are read to their ends, and the change is tried again.
   */
  private settled<A>(work: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.catchIf(
      work,
      (error) => !this.begun && this.cursors.size > 0 && SqlFailure.is("Serialization")(error),
      () => Effect.zipRight(this.spooled, work)
    )
  }

  /** Reads every open result to its end, or gives it up, so that the database has none open. */
  private readonly spooled: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach([...this.cursors], (cursor) => cursor.readInto(this.spool), { discard: true })
  )

  /** The statements about the unit of work itself. */
  control(
    statement: Exclude<Statement, { _tag: "Run" } | { _tag: "Call" }>,
    params: ReadonlyArray<unknown> = []
  ): Effect.Effect<void, SqlError | failures.Db2Failure> {
    const { session } = this
    const { transactions } = this.host.transport
    switch (statement._tag) {
      case "Commit":
        if (this.broken) {
          return this.rollback("failed")
        }
        return Effect.zipRight(
          this.begun ? this.counted(transactions.commit(session)) : Effect.void,
          Effect.suspend(() => {
            const closing = this.manual && !this.login.properties.cursorHold && !statement.hold
            this.ended()
            return closing ? this.closeResults : Effect.void
          })
        )
      case "Rollback":
        return this.rollback("wanted")
      case "Savepoint":
        return this.within(() => transactions.savepoint(session, savepointName(statement.name)))
      case "RollbackTo":
        return Effect.zipLeft(
          this.within(() => transactions.rollbackTo(session, savepointName(statement.name))),
          this.redefined ? this.redefine : Effect.void
        )
      case "Release":
        return this.within(() => transactions.release(session, savepointName(statement.name)))
      case "Isolation":
        if (this.begun) {
          return Effect.fail(failures.isolationTooLate)
        }
        this.isolated = true
        // It lifts nothing that the connection forbids; in autocommit its unit of work is over with itself.
        this.readOnly = this.login.properties.readOnly || (statement.readOnly && !this.login.properties.autoCommit)
        return Effect.void
      case "CreateSchema":
        this.host.libraries.add(statement.name)
        return Effect.void
      case "Lock":
        return this.begin(true)
      case "SetSchema":
        this.schema = this.schemaOf(statement.to, params)
        this.statements.clear()
        return Effect.void
      case "Nothing":
        return Effect.void
    }
  }

  private within(work: () => Effect.Effect<void, SqlError>): Effect.Effect<void, SqlError | failures.Db2Failure> {
    return Effect.suspend(() =>
      this.manual ? Effect.zipRight(this.begin(false), work()) : Effect.fail(failures.noUnitOfWork)
    )
  }

  private readonly closeCursors: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach([...this.cursors, ...this.spool.results], (cursor) => cursor.close, { discard: true })
  )

  private readonly closeResults: Effect.Effect<void> = Effect.suspend(() => {
    this.closings++
    return this.closeCursors
  })

  /** Closes the cursors, too. `failed`: the unit of work had been lost already, which a COMMIT must be told. */
  private rollback(why: "wanted" | "failed"): Effect.Effect<void, SqlError | failures.Db2Failure> {
    return (this.manual ? this.closeResults : Effect.void).pipe(
      Effect.zipRight(
        this.session.inTransaction() ? this.host.transport.transactions.rollback(this.session) : Effect.void
      ),
      Effect.zipRight(Effect.sync(() => this.ended())),
      Effect.zipRight(why === "failed" ? Effect.fail(failures.rolledBack) : Effect.void)
    )
  }

  private ended(): void {
    this.begun = false
    this.broken = false
    this.changed = false
    if (this.redefined) {
      this.redefined = false
      this.host.definitions.count++
    }
    this.isolated = this.login.properties.isolated
    this.readOnly = this.login.properties.readOnly
  }

  /** Waits for the statement that runs; undoes what is not committed. */
  readonly close: Effect.Effect<void> = Effect.suspend(() =>
    this.closed
      ? Effect.void
      : this.lock.locked(
          Effect.suspend(() => {
            if (this.closed) {
              return Effect.void
            }
            this.closed = true
            // The cursors first: the database may be busy with a page of theirs.
            return this.closeCursors.pipe(
              Effect.zipRight(Effect.ignore(this.rollback("wanted"))),
              Effect.zipRight(Scope.close(this.scope, Exit.void)),
              Effect.ensuring(
                Effect.sync(() => {
                  this.host.connections.delete(this)
                  this.host.jobs.end(this.job)
                })
              )
            )
          })
        )
  ).pipe(Effect.uninterruptible)

  /** Stops what runs, and begins none of what waits, so that `close` need not wait for it. */
  readonly stop: Effect.Effect<void> = Effect.sync(() => {
    this.stopping = true
    this.running.forEach((running) => this.stopOne(running))
  })
}
