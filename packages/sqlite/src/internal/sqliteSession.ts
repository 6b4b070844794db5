/** A worker's session as the port wants it: Effects that are interrupted, cursors that their scope closes. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { SqliteAnswer } from "./answer.js"
import { Op } from "./boundary.js"
import type { Command } from "./messages.js"
import { Call } from "./call.js"
import { isInside } from "./callbacks/inside.js"
import * as failure from "./failure.js"
import { PullAhead } from "./pullAhead.js"
import { emptyRequest, type WorkerSession } from "./session.js"
import { SqliteCursor } from "./sqliteCursor.js"
import type { StatementEntry } from "./statementCache.js"

export class SqliteSession implements SqlTransport.Session {
  readonly keepsContract = true

  constructor(
    readonly id: string,
    private readonly worker: WorkerSession,
    readonly lost: Effect.Effect<SqlError>,
    private readonly grace: number,
    private readonly retire: (error: SqlError) => void,
    /** Its database is in memory: no other session has it. */
    private readonly alone: boolean
  ) {}

  /** Requests that are not answered yet. */
  readonly pending = (): number => this.worker.pending

  readonly inTransaction = (): boolean => this.worker.inTransaction

  readonly irreplaceable = (): boolean => this.alone || this.opening > 0 || this.cursors.size > 0 || this.kept.size > 0

  /** Asked before a caller waits for its turn, and again before anything is sent. */
  readonly reentrant = (context: Context.Context<never>, statement: string): SqlError | undefined =>
    this.worker.hasCallbacks && isInside(context, this.worker) ? failure.reentrant(statement) : undefined

  readonly run = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Answer, SqlError> =>
    this.answer(Op.run, request)

  readonly batch = (
    request: SqlTransport.SqlRequest,
    rows: SqlTransport.ParameterRows
  ): Effect.Effect<SqlTransport.Answer, SqlError> =>
    this.answer(Op.batch, request, (call) => {
      call.parameterRows = rows
    })

  readonly describe = (text: string): Effect.Effect<SqlTransport.Description, SqlError> =>
    Effect.map(this.value(Op.describe, { ...emptyRequest, text }), (value) => ({
      ...(value as Omit<SqlTransport.Description, "private">),
      private: false
    }))

  get check(): Effect.Effect<void, SqlError> {
    return this.command({ _tag: "Check" })
  }

  /** `within`: its time, and the transaction that it belongs to. */
  readonly command = (
    command: Command,
    transfer?: Array<ArrayBuffer>,
    within: Pick<SqlTransport.SqlRequest, "deadline" | "transaction"> = emptyRequest
  ): Effect.Effect<unknown, SqlError> => {
    const { deadline, transaction } = within
    return this.value(Op.command, { ...emptyRequest, deadline, transaction }, (call) => {
      call.command = command
      call.transfer = transfer
    })
  }

  /** What it is doing at this moment; asks nobody. */
  get state(): "open" | "busy" | "closed" {
    return this.worker.state
  }

  /** Results that are being read: they are under way between their pages, too. */
  private readonly cursors = new Set<SqliteCursor>()
  /** Results whose first page nobody has yet. */
  private opening = 0

  /** What else is open in the worker between requests: handles, recordings, backups. */
  readonly kept = new Set<object>()

  readonly interrupt: Effect.Effect<void> = Effect.sync(() => {
    this.worker.interrupt()
    this.cursors.forEach((cursor) => cursor.interrupt())
  })

  readonly open = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> =>
    SqlTransport.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const cursor = this.worker.nextCursor()
        let opening: Call | undefined
        this.opening++
        const first = this.answer(Op.open, request, (call) => {
          call.cursor = cursor
          opening = call
        })
        // The page may have come in the moment of the interrupt: then the cursor is open and nobody has it.
        const abandoned = Effect.sync(() => {
          this.opening--
          if (opening?.opened === true) {
            this.worker.closeCursor(cursor)
          }
        })
        return Effect.flatMap(
          Effect.onError(restore(first), () => abandoned),
          (page) => {
            this.opening--
            if (page.error !== undefined && page.length === 0) {
              return Effect.fail(page.error)
            }
            const made = new SqliteCursor(this, cursor, request, page, opening!.entry)
            if (page.done || page.error !== undefined) {
              return Effect.succeed(made)
            }
            this.cursors.add(made)
            const close = Effect.zipRight(
              Effect.sync(() => this.cursors.delete(made)),
              made.close
            )
            return Effect.as(
              Effect.addFinalizer(() => close),
              made
            )
          }
        )
      })
    )

  /** One pull of a cursor. `request` is the cursor's, without parameters: these have done their work. */
  pull(
    request: SqlTransport.SqlRequest,
    cursor: number,
    entry: StatementEntry | undefined,
    arrived: () => void,
    stopped: () => void
  ): Effect.Effect<SqliteAnswer, SqlError> {
    return this.submit(
      Op.fetch,
      request,
      (call) => {
        call.cursor = cursor
        call.entry = entry
      },
      (answer) => {
        arrived()
        return answer!
      },
      stopped
    )
  }

  /** The same before anybody asks for the page. Undefined where callbacks would run without a caller. */
  pullAhead(
    request: SqlTransport.SqlRequest,
    cursor: number,
    entry: StatementEntry | undefined
  ): PullAhead | undefined {
    return this.worker.hasCallbacks ? undefined : new PullAhead(this.worker, request, cursor, entry)
  }

  /** Closes a cursor; waits for that only if the worker has nothing else to do. */
  closeCursor(cursor: number): Effect.Effect<void> {
    return SqlTransport.async<void>((resume) => {
      if (this.worker.pending > 0) {
        this.worker.closeCursor(cursor)
        resume(Effect.void)
      } else {
        this.worker.closeCursor(cursor, () => resume(Effect.void))
      }
    })
  }

  private answer(
    op: number,
    request: SqlTransport.SqlRequest,
    prepare?: (call: Call) => void
  ): Effect.Effect<SqliteAnswer, SqlError> {
    return this.submit(op, request, prepare, (answer) => answer!)
  }

  private value(
    op: number,
    request: SqlTransport.SqlRequest,
    prepare?: (call: Call) => void
  ): Effect.Effect<unknown, SqlError> {
    return this.submit(op, request, prepare, (_answer, value) => value)
  }

  private submit<A>(
    op: number,
    request: SqlTransport.SqlRequest,
    prepare: ((call: Call) => void) | undefined,
    result: (answer: SqliteAnswer | undefined, value: unknown) => A,
    stopped?: () => void
  ): Effect.Effect<A, SqlError> {
    return Effect.withFiberRuntime<A, SqlError>((self) => {
      const caller = self as unknown as Fiber.RuntimeFiber<unknown, unknown>
      const refused = this.reentrant(caller.currentContext, request.text)
      if (refused !== undefined) {
        return Effect.fail(refused)
      }
      let call: Call | undefined
      const answered = SqlTransport.async<A, SqlError>((resume) => {
        const made = new Call(op, request, (error, answer, value) => {
          // A command is answered by a page where it was stopped before it had begun.
          const failed = error ?? (op === Op.run || op === Op.batch || op === Op.command ? answer?.error : undefined)
          if (made.died !== undefined) {
            resume(Effect.failCause(made.died))
          } else {
            resume(failed === undefined ? Effect.succeed(result(answer, value)) : Effect.fail(failed))
          }
        })
        call = made
        made.caller = caller
        prepare?.(made)
        this.worker.submit(made)
      })
      return SqlTransport.onInterrupt(answered, () => {
        if (call === undefined) {
          return Effect.void
        }
        stopped?.()
        return this.stop(call)
      })
    })
  }

  /** Stops a call, and waits until the worker has let go of it. */
  stop(call: Call): Effect.Effect<void> {
    return Effect.suspend(() => (this.worker.stop(call) ? Effect.void : this.quiet(call)))
  }

  /**
   * Waits until the worker has let go of the call, and its callback has ended. After the grace period a session that has
   * not let go is given up; a callback that does not end is left behind.
   */
  private quiet(call: Call): Effect.Effect<void> {
    return SqlTransport.async<void>((resume) => {
      if (call.done) {
        // It let go between the stop and here: the fiber may have yielded.
        return resume(Effect.void)
      }
      const timer = setTimeout(() => {
        call.onQuiet = undefined
        if (this.worker.holds(call)) {
          this.retire(failure.stuck(call.request.text))
        }
        resume(Effect.void)
      }, this.grace)
      call.onQuiet = () => {
        clearTimeout(timer)
        resume(Effect.void)
      }
    })
  }
}
