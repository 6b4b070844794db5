/** Sessions without a database, and everything a pool's test wants to see or break. */
import type { SqlError } from "@effect/sql/SqlError"
import * as SessionPool from "@sluice/sql/SessionPool"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import type * as SqlTransport from "@sluice/sql/SqlTransport"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"

export class FakeSession implements SqlTransport.Session {
  readonly id: string
  readonly keepsContract = false
  closed = false
  /** Something is open on it. */
  keeps = false
  checks = 0
  check: Effect.Effect<void, SqlError> = Effect.sync(() => {
    this.checks++
  })
  private readonly death = Deferred.unsafeMake<SqlError>(FiberId.none)

  constructor(id: string) {
    this.id = id
  }

  readonly lost = Deferred.await(this.death)
  readonly run = () => Effect.dieMessage("not part of the test")
  readonly open = () => Effect.dieMessage("not part of the test")
  readonly batch = () => Effect.dieMessage("not part of the test")
  readonly describe = () => Effect.dieMessage("not part of the test")
  readonly inTransaction = () => false
  readonly irreplaceable = () => this.keeps

  die(): void {
    Deferred.unsafeDone(this.death, Effect.succeed(broken("SessionLost")))
  }
}

/** A session that queues requests and tells how many it has. */
export class CountingSession extends FakeSession {
  requests = 0
  readonly pending = () => this.requests
}

export const broken = (reason: SqlFailure.Reason = "Connection", message: string = reason): SqlError =>
  SqlFailure.make({ reason, message })

/** Where the sessions come from. */
export class FakeDatabase {
  readonly sessions: Array<FakeSession> = []
  connecting = 0
  /** The most sessions that were open or being connected at once. */
  peak = 0
  /** Connects that were begun. */
  attempts = 0
  /** What comes before the session: a delay, a failure. */
  before: Effect.Effect<void, SqlError> = Effect.void
  /** Runs when a session is closed, before it counts as closed. */
  after: Effect.Effect<void> = Effect.void
  create: (id: string) => FakeSession = (id) => new FakeSession(id)

  get open(): Array<FakeSession> {
    return this.sessions.filter((session) => !session.closed)
  }

  private measure(): void {
    this.peak = Math.max(this.peak, this.open.length + this.connecting)
  }

  readonly connect: Effect.Effect<SqlTransport.Session, SqlError, Scope.Scope> = Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      this.attempts++
      this.connecting++
      this.measure()
      return restore(this.before).pipe(
        Effect.ensuring(Effect.sync(() => this.connecting--)),
        Effect.map(() => {
          const session = this.create(`s${this.sessions.length + 1}`)
          this.sessions.push(session)
          this.measure()
          return session
        }),
        Effect.tap((session) =>
          Effect.addFinalizer(() => Effect.andThen(this.after, () => void (session.closed = true)))
        )
      )
    })
  )

  pool(options: Partial<SessionPool.Options> = {}) {
    return SessionPool.make({ name: "fake", connect: this.connect, sharing: "exclusive", max: 2, ...options })
  }
}

/** Lets every fiber run until it waits for something that does not come by itself. */
export const settle: Effect.Effect<void> = Effect.yieldNow().pipe(Effect.repeatN(40))

/** The reason of a failure, or that there was none. */
export const reasonOf = <A, R>(
  effect: Effect.Effect<A, SqlError, R>
): Effect.Effect<SqlFailure.Reason | "no failure", never, R> =>
  Effect.match(effect, {
    onFailure: (error) => SqlFailure.from(error).reason,
    onSuccess: () => "no failure" as const
  })

/** Takes a lease in a fiber of its own and writes down when it got it. */
export const taker = (
  pool: SessionPool.SessionPool,
  kind: SessionPool.Kind,
  name: string,
  got: Array<string> = []
): Effect.Effect<Fiber.RuntimeFiber<SessionPool.Lease, unknown>> =>
  pool.lease(kind, name).pipe(
    Effect.tap(() => Effect.sync(() => got.push(name))),
    Effect.uninterruptible,
    Effect.fork,
    Effect.zipLeft(settle)
  )
