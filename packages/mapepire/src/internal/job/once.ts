/** Something that is opened at its first use, once, however many fibers ask for it at the same time. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

interface Opened<A> {
  readonly value: A
  /** Closes it now; else the scope of the whole does. */
  readonly close: Effect.Effect<void>
}

export class Once<A, E> {
  private current: { readonly opened: Deferred.Deferred<Opened<A>, E> } | undefined

  constructor(
    private readonly scope: Scope.CloseableScope,
    private readonly open: Effect.Effect<A, E, Scope.Scope>,
    /** Whether it can still be used. If not, the next use opens another one. */
    private readonly usable: (value: A) => boolean,
    private readonly closed: () => E
  ) {}

  /** Waiting may be interrupted; the opening goes on for the others. A failure is everybody's who waits, then forgotten. */
  readonly get: Effect.Effect<A, E> = Effect.suspend(() => {
    const known = this.current
    if (known !== undefined) {
      return Effect.flatMap(Deferred.await(known.opened), ({ value, close }) => {
        if (this.usable(value)) {
          return Effect.succeed(value)
        }
        if (this.current === known) {
          this.current = undefined
        }
        return Effect.zipRight(close, this.get)
      })
    }
    const opened = Deferred.unsafeMake<Opened<A>, E>(Effect.runSync(Effect.fiberId))
    const made = { opened }
    this.current = made
    const opening = Effect.flatMap(Scope.fork(this.scope, this.scope.strategy), (scope) =>
      Effect.interruptible(Scope.extend(this.open, scope)).pipe(
        Effect.map((value) => ({ value, close: Scope.close(scope, Exit.void) })),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
    ).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) && this.current === made) {
            this.current = undefined
          }
          // Only the end of the whole interrupts it: for who waits that is a failure, not an interrupt of his own.
          Deferred.unsafeDone(opened, Exit.isInterrupted(exit) ? Exit.fail(this.closed()) : exit)
        })
      )
    )
    return Effect.zipRight(
      // Not to be interrupted from outside, so that whoever waits is told in any case.
      Effect.uninterruptible(Effect.forkIn(opening, this.scope)),
      Effect.map(Deferred.await(opened), ({ value }) => value)
    )
  })
}
