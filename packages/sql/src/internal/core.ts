/** How a request finds its session: one per client, shared by all variants of it (with and without transforms). */
import type { Connection } from "@effect/sql/SqlConnection"
import * as EffectSql from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type * as SessionPool from "../SessionPool.js"
import * as SqlFailure from "../SqlFailure.js"
import * as SqlTransport from "../SqlTransport.js"
import { LevelConnection } from "./connection.js"
import { bounded, boundedCursor, type BoundedRequest, within } from "./deadline.js"
import { late, leftOpen } from "./failure.js"
import { type AnyFiber, withFiber } from "./fiber.js"
import type { Level } from "./level.js"
import { failAfterLoss, failIn } from "./lost.js"
import type { Telemetry } from "./observe.js"
import type { Timer } from "./operationMetrics.js"
import { uninterruptibleMask } from "./primitives.js"
import { Requesters } from "./requesters.js"
import { Routing } from "./routing.js"
import {
  clampPrefetch,
  clockOf,
  deadlineOf,
  machineTime,
  nowOf,
  type Overrides,
  prefetchOf,
  readAheadOf
} from "./settings.js"
import { nameOf } from "./telemetry.js"

/** The pools that a transport's limits ask for. */
export interface Pools {
  readonly write: SessionPool.SessionPool
  readonly read: SessionPool.SessionPool | undefined
  readonly cursor: SessionPool.SessionPool | undefined
  readonly transaction: SessionPool.SessionPool
}

/** What a fiber's context says about statements. */
interface Said {
  readonly context: Context.Context<never> | undefined
  /** Of this client's transactions. */
  readonly level: Level | undefined
  readonly prefetch: number | undefined
  readonly readAhead: boolean
  readonly deadline: number
  readonly integers: "number" | "bigint"
}

const nothing: Said = {
  context: undefined,
  level: undefined,
  prefetch: undefined,
  readAhead: false,
  deadline: Infinity,
  integers: "number"
}

/** A statement by itself has begun a transaction, and not ended it. */
const isLeftOpen = (request: BoundedRequest, answer: SqlTransport.Answer): boolean =>
  answer.inTransaction && request.transaction === "none"

export class Core {
  readonly routing = new Routing()
  readonly requesters = new Requesters()
  /** The fiber's transaction on this client, and on no other. */
  readonly tag: Context.Tag<Level, Level>
  /** Statements that one session of a transaction runs at once. */
  readonly width: number
  private readonly fifo: boolean
  private last: Said = nothing

  constructor(
    readonly transport: SqlTransport.SqlTransport,
    readonly pools: Pools,
    readonly statementTimeout: number,
    /** Rows per page where the fiber says nothing. */
    readonly prefetch: number,
    readonly telemetry: Telemetry,
    /** Fails when the client is closed: for whoever waits for something else than a session. */
    readonly closed: Effect.Effect<never, SqlError>,
    key: string
  ) {
    this.tag = Context.GenericTag<Level>(key)
    const { sharing } = transport
    this.fifo = sharing === "fifo"
    this.width = this.fifo ? Infinity : 1
  }

  /** The level that the fiber is in: by our own tag, by `@effect/sql`'s if the connection there is ours, by its span. */
  levelOf(context: Context.Context<never>): Level | undefined {
    const { level } = this.said(context)
    return level ?? this.requesters.levelOf(context)
  }

  /** What a context says. Most statements have the same one as the statement before. */
  private said(context: Context.Context<never>): Said {
    if (this.last.context !== context) {
      const entries = context.unsafeMap
      const generic = entries.get(EffectSql.TransactionConnection.key) as readonly [Connection, number] | undefined
      this.last = {
        context,
        level:
          (entries.get(this.tag.key) as Level | undefined) ??
          (generic !== undefined && generic[0] instanceof LevelConnection && generic[0].core === this
            ? generic[0].level
            : undefined),
        prefetch: prefetchOf(context),
        readAhead: readAheadOf(context),
        deadline: deadlineOf(context),
        integers: entries.get(EffectSql.SafeIntegers.key) === true ? "bigint" : "number"
      }
    }
    return this.last
  }

  /**
   * What the fiber's context adds to a text and its parameters; the failure when it cannot be sent at all. Without
   * a deadline no clock is read.
   */
  request(
    fiber: AnyFiber,
    text: string,
    params: ReadonlyArray<unknown>,
    shape: "objects" | "arrays",
    prepared: boolean,
    overrides: Overrides | undefined,
    span?: Tracer.AnySpan | undefined
  ): BoundedRequest | SqlError {
    const said = this.said(fiber.currentContext)
    const wished = overrides?.prefetch ?? said.prefetch ?? this.prefetch
    const prefetch = clampPrefetch(wished)
    if (prefetch === undefined) {
      return SqlFailure.make({
        reason: "InvalidParameter",
        message: `Prefetch must be a whole number of rows, not ${String(wished)}`,
        statement: text
      })
    }
    let until = said.deadline
    let deadline = Infinity
    const limit = Math.min(overrides?.within ?? Infinity, this.statementTimeout)
    if (until !== Infinity || limit !== Infinity) {
      const clock = clockOf(fiber)
      const now = nowOf(clock)
      until = Math.min(until, now + limit)
      if (!(until > now)) {
        return late(text, "notExecuted")
      }
      deadline = machineTime(clock, until - now)
    }
    return {
      text,
      params,
      prefetch,
      readAhead: overrides?.readAhead ?? said.readAhead,
      deadline,
      until,
      integers: said.integers,
      shape,
      prepared,
      transaction: "none",
      span,
      counters: span !== undefined && this.telemetry.counters
    }
  }

  /**
   * Runs a request where the fiber's context and the routing say; `use` makes the result of the answer. `timer` is told
   * how long it took, where nothing dearer observes it.
   */
  run<A>(
    fiber: AnyFiber,
    request: BoundedRequest,
    use: (answer: SqlTransport.Answer) => A,
    timer?: Timer | undefined
  ): Effect.Effect<A, SqlError> {
    const level = this.levelOf(fiber.currentContext)
    if (level !== undefined) {
      return Effect.matchCauseEffect(level.run(request), {
        onFailure: (cause) => {
          timer?.failed(cause)
          return failIn(level, cause)
        },
        onSuccess: (answer) => {
          timer?.answered(answer)
          this.learn(request.text, answer)
          return answer.error === undefined ? Effect.succeed(use(answer)) : failIn(level, Cause.fail(answer.error))
        }
      })
    }
    const pool = this.poolFor(request.text)
    const session = this.fifo ? pool.unsafeShare() : undefined
    if (session === undefined) {
      return this.runLeased(fiber, request, use, timer)
    }
    return Effect.matchCauseEffect(bounded(request, session, session.run(request)), {
      onFailure: (cause) => {
        if (Cause.isFailType(cause) && cause.error === SqlTransport.insideTransaction) {
          return this.runLeased(fiber, request, use, timer)
        }
        timer?.failed(cause)
        return failAfterLoss(cause)
      },
      onSuccess: (answer) => {
        if (this.isMisread(pool, answer)) {
          this.learn(request.text, answer)
          return this.runLeased(fiber, request, use, timer)
        }
        timer?.answered(answer)
        return this.answered(session, request, answer, use)
      }
    })
  }

  /** With a lease, which most often is to be had at once: in as few steps as that allows. */
  private runLeased<A>(
    fiber: AnyFiber,
    request: BoundedRequest,
    use: (answer: SqlTransport.Answer) => A,
    timer: Timer | undefined
  ): Effect.Effect<A, SqlError> {
    const pool = this.poolFor(request.text)
    return uninterruptibleMask((restore) => {
      timer?.start()
      const run = (lease: SessionPool.Lease): Effect.Effect<A, SqlError> => {
        const { session } = lease
        return Effect.matchCauseEffect(restore(bounded(request, session, session.run(request))), {
          onFailure: (cause) => {
            timer?.failed(cause)
            return Effect.ensuring(failAfterLoss(cause), lease.release)
          },
          onSuccess: (answer) => {
            if (this.isMisread(pool, answer)) {
              lease.unsafeRelease()
              this.learn(request.text, answer)
              return restore(this.runLeased(fiber, request, use, timer))
            }
            timer?.ended(answer.error)
            if (isLeftOpen(request, answer)) {
              return Effect.ensuring(restore(this.answered(session, request, answer, use)), lease.release)
            }
            lease.unsafeRelease()
            return this.answered(session, request, answer, use)
          }
        })
      }
      const lease = pool.unsafeLease("shared", nameOf(fiber))
      if (lease !== undefined) {
        return run(lease)
      }
      const { text, until } = request
      return Effect.matchCauseEffect(this.lease(fiber, restore, pool, "shared", { text, deadline: until }), {
        onFailure: (cause) => {
          timer?.failed(cause)
          return Effect.failCause(cause)
        },
        onSuccess: run
      })
    })
  }

  private answered<A>(
    session: SqlTransport.Session,
    request: BoundedRequest,
    answer: SqlTransport.Answer,
    use: (answer: SqlTransport.Answer) => A
  ): Effect.Effect<A, SqlError> {
    this.learn(request.text, answer)
    if (isLeftOpen(request, answer)) {
      return Effect.zipRight(this.transport.transactions.rollback(session), Effect.fail(leftOpen(request.text)))
    }
    return answer.error === undefined ? Effect.succeed(use(answer)) : Effect.fail(answer.error)
  }

  /**
   * A reader has answered, and says that it should not have been asked: since the text became known, the schema has changed
   * under it. It has done nothing but read; the writer is asked again.
   */
  private isMisread(
    pool: SessionPool.SessionPool,
    answer: { readonly routable: boolean; readonly error: SqlError | undefined }
  ): boolean {
    return pool !== this.pools.write && !answer.routable && answer.error === undefined
  }

  /** Also inside transactions: what is done to their session stays when they have ended. */
  learn(text: string, answer: { readonly routable: boolean; readonly private: boolean }): void {
    if (this.pools.read !== undefined || this.pools.cursor !== undefined) {
      this.routing.learn(text, answer)
    }
  }

  private poolFor(text: string): SessionPool.SessionPool {
    const { read, write } = this.pools
    return read !== undefined && this.routing.mayRead(text) === true ? read : write
  }

  private withSession<A, R>(
    fiber: AnyFiber,
    request: BoundedRequest,
    pool: SessionPool.SessionPool,
    use: (session: SqlTransport.Session) => Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> {
    const { text, until } = request
    return uninterruptibleMask((restore) =>
      Effect.flatMap(this.lease(fiber, restore, pool, "shared", { text, deadline: until }), (lease) =>
        Effect.ensuring(Effect.catchAllCause(restore(use(lease.session)), failAfterLoss), lease.release)
      )
    )
  }

  /**
   * A lease from a pool, waited for no longer than the deadline allows, which is by the fiber's clock. For use in an
   * uninterruptible region.
   */
  lease(
    fiber: AnyFiber,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
    pool: SessionPool.SessionPool,
    kind: "shared" | "exclusive",
    request: { readonly deadline: number; readonly text?: string | undefined }
  ): Effect.Effect<SessionPool.Lease, SqlError> {
    // Around the signal, not around the lease: an interrupt would lose a lease that is on its way.
    return pool.lease(
      kind,
      nameOf(fiber),
      (signal) =>
        restore(request.deadline === Infinity ? signal : within(signal, request.deadline, request.text, "notExecuted")),
      (session) => session.reentrant?.(fiber.currentContext, request.text ?? "")
    )
  }

  /** Opens a cursor; it and what it holds belong to the scope. */
  open(fiber: AnyFiber, request: BoundedRequest): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> {
    const level = this.levelOf(fiber.currentContext)
    if (level !== undefined) {
      return Effect.catchAllCause(
        Effect.tap(level.open(request), (cursor) => this.learn(request.text, cursor.first)),
        (cause) => failIn(level, cause)
      )
    }
    const { cursor } = this.pools
    if (cursor === undefined) {
      return this.openShared(fiber, request)
    }
    return Effect.flatMap(this.mayRead(fiber, request), (mayRead) =>
      mayRead
        ? Effect.flatMap(this.openApart(fiber, request, cursor), (opened) => {
            if (!this.isMisread(cursor, opened.first)) {
              return Effect.succeed(opened)
            }
            this.learn(request.text, opened.first)
            return this.openShared(fiber, request)
          })
        : this.openShared(fiber, request)
    )
  }

  /** Asks the database where the text may run, without running it. What cannot be described stays on the writer. */
  private mayRead(fiber: AnyFiber, request: BoundedRequest): Effect.Effect<boolean, SqlError> {
    const known = this.routing.mayRead(request.text)
    if (known !== undefined) {
      return Effect.succeed(known)
    }
    return this.describe(fiber, request.text, request.until).pipe(
      Effect.map((description) => {
        this.routing.learn(request.text, description)
        return description.routable && !description.private
      }),
      Effect.catchIf(SqlFailure.is("Unsupported"), () => Effect.succeed(false))
    )
  }

  describe(fiber: AnyFiber, text: string, until = Infinity): Effect.Effect<SqlTransport.Description, SqlError> {
    const level = this.levelOf(fiber.currentContext)
    const request = { ...SqlTransport.request(text), until }
    // Describing is quick, but it may have to wait for a statement that is not.
    const inTime = <A>(effect: Effect.Effect<A, SqlError>) =>
      until === Infinity ? effect : within(effect, until, text, "notExecuted")
    return level !== undefined
      ? inTime(level.describe(request))
      : this.withSession(fiber, request, this.pools.write, (session) => inTime(session.describe(text)))
  }

  /** The same for a caller of the client, by the deadline in its context. */
  describeFor(text: string): Effect.Effect<SqlTransport.Description, SqlError> {
    return withFiber((fiber) => {
      const request = this.request(fiber, text, [], "objects", true, undefined)
      return request instanceof SqlError ? Effect.fail(request) : this.describe(fiber, text, request.until)
    })
  }

  /** A stream on the session that statements use, too: it has affinity to it, not a lease. */
  private openShared(fiber: AnyFiber, request: BoundedRequest) {
    return this.withSession(fiber, request, this.pools.write, (session) =>
      Effect.tap(boundedCursor(request, session, session.open(request)), (cursor) =>
        this.learn(request.text, cursor.first)
      )
    )
  }

  /** A stream on a session of its own: nothing else sees its snapshot, and it sees nothing uncommitted. */
  private openApart(fiber: AnyFiber, request: BoundedRequest, pool: SessionPool.SessionPool) {
    const { text, until } = request
    return uninterruptibleMask((restore) =>
      Effect.flatMap(this.lease(fiber, restore, pool, "exclusive", { text, deadline: until }), (lease) =>
        Effect.zipRight(
          Effect.addFinalizer(() => lease.release),
          Effect.catchAllCause(
            restore(boundedCursor(request, lease.session, lease.session.open(request))),
            failAfterLoss
          )
        )
      )
    )
  }

  /** One statement, many rows, one round trip. */
  batch(fiber: AnyFiber, request: BoundedRequest, rows: SqlTransport.ParameterRows) {
    const level = this.levelOf(fiber.currentContext)
    if (level !== undefined) {
      return Effect.catchAllCause(level.batch(request, rows), failAfterLoss)
    }
    // All of it or nothing: where sessions for statements cannot undo, those for transactions can.
    return this.withSession(fiber, request, this.pools.transaction, (session) =>
      bounded(request, session, session.batch(request, rows))
    )
  }
}
