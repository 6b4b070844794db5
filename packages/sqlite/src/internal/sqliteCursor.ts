/** A result of a worker's session, page by page. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type { SqliteAnswer } from "./answer.js"
import * as failure from "./failure.js"
import type { PullAhead } from "./pullAhead.js"
import type { SqliteSession } from "./sqliteSession.js"
import type { StatementEntry } from "./statementCache.js"

/** Pages that were there when they were asked for, after which the event loop gets its turn. */
const pagesPerTurn = 4

export class SqliteCursor implements SqlTransport.Cursor {
  /** Without parameters, which are bound already. */
  private readonly request: SqlTransport.SqlRequest
  private readonly entry: StatementEntry | undefined
  private ended: boolean
  /** A statement whose rows have come has written: what fails now is not as if nothing had been done. */
  private wrote: boolean
  private poisoned = false
  private interrupted = false
  /** Pages that came, and pages that somebody got: a page in between was lost to an interrupt. */
  private arrived = 0
  private taken = 0
  private ahead: PullAhead | undefined
  private atOnce = 0

  constructor(
    private readonly session: SqliteSession,
    private readonly cursor: number,
    request: SqlTransport.SqlRequest,
    readonly first: SqliteAnswer,
    entry: StatementEntry | undefined
  ) {
    this.request = { ...request, params: [] }
    // Another cursor over the same script may be in another of its statements, with other columns.
    this.entry = entry === undefined ? undefined : { ...entry }
    this.ended = first.done || first.error !== undefined
    this.wrote = writes(first)
    this.readAhead(first)
  }

  get columns() {
    return this.first.columns
  }

  readonly next: Effect.Effect<SqlTransport.Page, SqlError> = Effect.suspend(
    (): Effect.Effect<SqlTransport.Page, SqlError> => {
      if (this.poisoned || this.arrived !== this.taken) {
        return Effect.fail(failure.poisoned(this.request.text))
      }
      if (this.ended) {
        return Effect.succeed(endOf(this.first))
      }
      if (this.interrupted) {
        return Effect.fail(failure.withOutcome(failure.interrupted(this.request.text), "unknown"))
      }
      const pulled = this.ahead === undefined ? this.pull() : this.takeAhead(this.ahead)
      return Effect.map(this.wrote ? Effect.mapError(pulled, afterWriting) : pulled, (page) => {
        this.taken++
        this.ended = page.done || page.error !== undefined
        this.wrote ||= writes(page)
        this.readAhead(page)
        return page
      })
    }
  )

  /** Its next page fails. One that is on its way still comes. */
  interrupt(): void {
    this.interrupted = true
  }

  private pull(): Effect.Effect<SqliteAnswer, SqlError> {
    return this.session.pull(
      this.request,
      this.cursor,
      this.entry,
      () => {
        this.arrived++
      },
      () => {
        this.poisoned = true
      }
    )
  }

  /** Only what reads nothing but tables, and is one statement: no write and no other statement is ever run ahead. */
  private readAhead(page: SqliteAnswer): void {
    this.ahead =
      this.request.readAhead === true && !this.ended && page.routable
        ? this.session.pullAhead(this.request, this.cursor, this.entry)
        : undefined
  }

  private takeAhead(ahead: PullAhead): Effect.Effect<SqliteAnswer, SqlError> {
    const there = this.atOnce < pagesPerTurn ? ahead.poll() : undefined
    if (there !== undefined) {
      this.atOnce++
      this.arrived++
      return there
    }
    const waiting = this.atOnce < pagesPerTurn ? ahead.page : Effect.zipRight(turn, ahead.page)
    this.atOnce = 0
    return SqlTransport.onInterrupt(
      Effect.map(waiting, (page) => {
        this.arrived++
        return page
      }),
      () => {
        this.poisoned = true
        return this.session.stop(ahead.call)
      }
    )
  }

  /** Nothing to do when the worker has closed it already: at its end, after an error, after a stopped pull. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    if (this.ended) {
      return Effect.void
    }
    const closed = this.session.closeCursor(this.cursor)
    return this.ahead === undefined ? closed : Effect.zipRight(this.session.stop(this.ahead.call), closed)
  })
}

const writes = (page: SqliteAnswer): boolean => page.changes !== undefined

const afterWriting = (error: SqlError): SqlError => failure.withOutcome(error, "unknown")

/** A turn of the event loop. */
const turn = Effect.async<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/** What follows the end: the end again. */
const endOf = (page: SqliteAnswer): SqlTransport.Page => ({
  columns: page.columns,
  length: 0,
  objects: () => [],
  arrays: () => [],
  error: undefined,
  done: true,
  inTransaction: page.inTransaction,
  changes: undefined,
  queueNanos: 0,
  engineNanos: 0,
  routable: page.routable,
  private: page.private
})
