/** The fibers of a pool: what takes time happens in them, and none outlives the pool. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"

/** Closes a session's scope. What goes wrong is logged: nobody is left whom it would help. */
export const closeScope = (scope: Scope.CloseableScope): Effect.Effect<void> =>
  Effect.uninterruptible(
    Effect.catchAllCause(Scope.close(scope, Exit.void), (cause) =>
      Effect.logWarning("A session failed to close", cause)
    )
  )

export class PoolFibers {
  /** They open, validate or reset a session. To be stopped with the pool. */
  private readonly working = new Set<Fiber.RuntimeFiber<void>>()
  /** They close one. To be waited for. */
  private readonly closing = new Set<Fiber.RuntimeFiber<void>>()
  private readonly runtime: Runtime.Runtime<never>

  constructor(runtime: Runtime.Runtime<never>) {
    this.runtime = runtime
  }

  get closings(): number {
    return this.closing.size
  }

  work(effect: Effect.Effect<void>): void {
    this.fork(this.working, effect)
  }

  /** Tells when it is closed. */
  close(scope: Scope.CloseableScope, closed: () => void): void {
    this.fork(
      this.closing,
      Effect.flatMap(closeScope(scope), () => Effect.sync(closed))
    )
  }

  /** Ends everything, and closes these. At the same time: a check that hangs may take its session's close to end. */
  stop(scopes: ReadonlyArray<Scope.CloseableScope>): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.all(
        [
          Fiber.interruptAll(this.working),
          Effect.forEach(scopes, closeScope, { concurrency: "unbounded", discard: true }),
          Fiber.awaitAll(this.closing)
        ],
        { concurrency: "unbounded", discard: true }
      )
    )
  }

  /** Starts soon, not now: the state change that forks is completed first, and what was forked first starts first. */
  private fork(among: Set<Fiber.RuntimeFiber<void>>, effect: Effect.Effect<void>): void {
    const fiber = Runtime.runFork(this.runtime)(Effect.interruptible(effect), { immediate: false })
    among.add(fiber)
    fiber.addObserver(() => among.delete(fiber))
  }
}
