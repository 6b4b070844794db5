/**
 * The Db2 job behind a session of the pool. A job's driver gives 9,999 statements and no more, and most are never given
 * back; so when many are used up the next job is connected beside it, and takes over where nobody notices.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { PoolSession } from "../../MapepireJob.js"

/** A job in use. */
export interface Lent {
  readonly session: PoolSession
  readonly scope: Scope.CloseableScope
  /** Requests and cursors on it. */
  users: number
  /** Another one has taken over: it is closed with its last user. */
  replaced: boolean
}

export class Jobs {
  private current: Lent
  private next: Lent | undefined
  /** Statements used up at which the next job is wanted; raised where it could not be had. */
  private wanted: number
  private connecting = false
  /** Replaced, and without users: to be closed when there is time. */
  private readonly leaving: Array<Lent> = []

  private constructor(
    first: Lent,
    private readonly scope: Scope.Scope,
    private readonly open: Effect.Effect<Lent, SqlError>,
    private readonly recycleAt: number,
    readonly lost: Deferred.Deferred<SqlError>
  ) {
    this.current = first
    this.wanted = recycleAt
  }

  /** Opens the first job. All of them end with the scope. */
  static make(
    connect: Effect.Effect<PoolSession, SqlError, Scope.Scope>,
    recycleAt: number
  ): Effect.Effect<Jobs, SqlError, Scope.Scope> {
    return Effect.gen(function* () {
      const scope = yield* Effect.scope
      const lost = yield* Deferred.make<SqlError>()
      const open = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(Scope.fork(scope, scope.strategy), (own) =>
          Effect.onError(
            Effect.map(restore(Scope.extend(connect, own)), (session): Lent => ({
              session,
              scope: own,
              users: 0,
              replaced: false
            })),
            (cause) => Scope.close(own, Exit.failCause(cause))
          )
        )
      )
      const jobs = new Jobs(yield* open, scope, open, recycleAt, lost)
      jobs.watch(jobs.current)
      return jobs
    })
  }

  get session(): PoolSession {
    return this.current.session
  }

  /** For a request; `fresh`: nothing of the session's state matters to it. To be given back. */
  take(fresh: boolean): Lent {
    if (this.next !== undefined && fresh && !this.current.session.transactionOpen) {
      const old = this.current
      old.replaced = true
      if (old.users === 0) {
        this.leaving.push(old)
      }
      this.current = this.next
      this.next = undefined
      this.wanted = this.recycleAt
    }
    this.current.users++
    return this.current
  }

  giveBack(lent: Lent): Effect.Effect<void> {
    return Effect.suspend(() => {
      lent.users--
      if (lent.replaced && lent.users === 0) {
        this.leaving.push(lent)
      }
      return this.leaving.length > 0 ? this.leave : this.mustReplace() ? this.replace : Effect.void
    })
  }

  /** In the background: a goodbye is a round trip, and nobody has to wait for it. */
  private get leave(): Effect.Effect<void> {
    return Effect.forEach(
      this.leaving.splice(0),
      (lent) => Effect.forkIn(Scope.close(lent.scope, Exit.void), this.scope),
      { discard: true }
    )
  }

  private mustReplace(): boolean {
    return !this.connecting && this.next === undefined && this.current.session.statements() >= this.wanted
  }

  /** In the background: whoever comes meanwhile uses the old one, which has some statements left. */
  private get replace(): Effect.Effect<void> {
    this.connecting = true
    // Whoever gives back must not be interrupted in it; a connect that hangs must not keep the scope from closing.
    const connected = Effect.map(Effect.interruptible(this.open), (next) => {
      this.next = next
      this.watch(next)
    })
    return Effect.asVoid(
      Effect.forkIn(
        Effect.matchCause(connected, {
          onFailure: () => {
            this.connecting = false
            this.wanted = this.current.session.statements() + 200
          },
          onSuccess: () => {
            this.connecting = false
          }
        }),
        this.scope
      )
    )
  }

  /**
   * A job that dies while it is nobody's loses nothing. The pool must hear of any other one before whoever used it goes on,
   * and tries again: so no fiber stands in between.
   */
  private watch(lent: Lent): void {
    lent.session.whenLost((error) => {
      if (this.next === lent) {
        this.next = undefined
        this.wanted = this.current.session.statements()
      } else if (!lent.replaced) {
        Deferred.unsafeDone(this.lost, Effect.succeed(error))
      }
    })
  }
}
