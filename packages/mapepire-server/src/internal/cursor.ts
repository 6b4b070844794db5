/** An open result on the server. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlTransport } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { type Db2Failure, spoolFull } from "./db2/failures.js"
import type { Spool } from "./spool.js"

type Row = ReadonlyArray<unknown>
type Rows = ReadonlyArray<Row>

/** Rows that are fetched at once; a first page may ask for more, and none costs less. */
const minPrefetch = 16
const maxPrefetch = 65_536

/** Whoever asks for one row wants it as soon as there is one. */
export const prefetchOf = (rows: number): number =>
  rows === 1 ? 1 : Math.min(maxPrefetch, Math.max(minPrefetch, rows))

/** Waits for a page. That it was stopped, by `close`, is no reason to stop whoever waits. */
const spooled = (page: Fiber.Fiber<void>): Effect.Effect<void> =>
  Effect.flatMap(Fiber.await(page), (exit) =>
    Exit.isFailure(exit) && !Cause.isInterrupted(exit.cause) ? exit : Effect.void
  )

export class ResultCursor {
  private buffer: Array<Row>
  private taken = 0
  private ended: boolean
  private failed: SqlError | Db2Failure | undefined
  private closed = false
  /** A page that is fetched because of another statement. */
  private spooling: Fiber.Fiber<void> | undefined
  /** Where the rows are counted that were fetched like that. */
  private spool: Spool | undefined
  private forgotten = false

  private constructor(
    private readonly cursor: SqlTransport.Cursor,
    private readonly scope: Scope.CloseableScope,
    /** Called once, when nothing is open any more. */
    private readonly onEnd: (cursor: ResultCursor) => void
  ) {
    this.buffer = [...cursor.first.arrays()]
    this.failed = cursor.first.error
    this.ended = cursor.first.done || this.failed !== undefined
  }

  static open(
    session: SqlTransport.Session,
    request: SqlTransport.SqlRequest,
    onEnd: (cursor: ResultCursor) => void
  ): Effect.Effect<ResultCursor, SqlError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) =>
        restore(session.open(request)).pipe(
          Scope.extend(scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
          Effect.flatMap((cursor) => {
            const made = new ResultCursor(cursor, scope, onEnd)
            return made.ended ? Effect.as(made.finish, made) : Effect.succeed(made)
          })
        )
      )
    )
  }

  get columns(): ReadonlyArray<SqlTransport.Column> {
    return this.cursor.columns
  }

  /** What has been fetched so far, without taking it. */
  get fetched(): Rows {
    return this.buffer
  }

  /** Everything has been fetched. */
  get complete(): boolean {
    return this.ended
  }

  /** Up to `count` rows; fewer only at the end. Fails instead of giving rows that a failure has followed. */
  readonly take = (count: number): Effect.Effect<Rows, SqlError | Db2Failure> =>
    Effect.suspend(() => {
      const have = this.buffer.length - this.taken
      if (have >= count || this.ended) {
        if (have < count && this.failed !== undefined) {
          return Effect.fail(this.failed)
        }
        const rows = this.buffer.slice(this.taken, this.taken + count)
        this.taken += rows.length
        return Effect.succeed(rows)
      }
      return Effect.zipRight(this.spooling === undefined ? this.fetch : spooled(this.spooling), this.take(count))
    })

  /**
   * Fetches the rest, so that the database has nothing open for this result. The statement that this is done for may be
   * stopped meanwhile, which costs this result nothing; and what fails here is told to whoever reads this result. So is it
   * when there is too much of it to be kept: nobody else shall pay for that.
   */
  readonly readInto = (spool: Spool): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.spool = spool
      return this.ended
        ? Effect.void
        : this.forgotten
          ? this.giveUp(spoolFull)
          : Effect.zipRight(this.spoolPage(spool), this.readInto(spool))
    })

  /** No request can ask for it any more, so its rows are not worth keeping. One that has asked still gets them. */
  forget(): void {
    this.forgotten = true
    this.spool?.remove(this)
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.closed = true
    this.drop()
    return this.spooling === undefined ? this.finish : Effect.zipRight(Fiber.interrupt(this.spooling), this.finish)
  })

  private spoolPage(spool: Spool): Effect.Effect<void> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        if (this.spooling !== undefined) {
          return restore(spooled(this.spooling))
        }
        const page = Effect.matchEffect(Effect.interruptible(this.fetch), {
          onFailure: (error) => {
            this.failed = error
            return this.finish
          },
          onSuccess: (rows) =>
            this.forgotten || this.closed || spool.add(this, rows) || this.ended ? Effect.void : this.giveUp(spoolFull)
        })
        // Whoever waits for this page goes on when it ends, and must find nothing open of a result that was closed meanwhile.
        const done = Effect.suspend(() => {
          this.spooling = undefined
          return this.closed ? this.finish : Effect.void
        })
        return Effect.flatMap(Effect.forkDaemon(Effect.ensuring(page, done)), (fiber) => {
          this.spooling = fiber
          return restore(spooled(fiber))
        })
      })
    )
  }

  /** The rest is not read, and what was is not kept: whoever reads on is told why. */
  private giveUp(why: Db2Failure): Effect.Effect<void> {
    this.failed = why
    this.drop()
    return this.finish
  }

  private drop(): void {
    this.buffer = []
    this.taken = 0
    this.spool?.remove(this)
  }

  private readonly fetch: Effect.Effect<Rows, SqlError> = Effect.suspend(() =>
    Effect.flatMap(this.cursor.next, (page) => {
      if (this.taken > 0) {
        this.buffer = this.buffer.slice(this.taken)
        this.taken = 0
      }
      // In place: a page may be filled by thousands of small ones.
      const rows = page.arrays()
      for (const row of rows) {
        this.buffer.push(row)
      }
      this.failed = page.error
      if (page.done || page.error !== undefined) {
        this.ended = true
        return Effect.as(this.finish, rows)
      }
      return Effect.succeed(rows)
    })
  )

  private readonly finish: Effect.Effect<void> = Effect.suspend(() => {
    this.ended = true
    this.onEnd(this)
    return Scope.close(this.scope, Exit.void)
  })
}
