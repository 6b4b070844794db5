/** The fibers of a pool: what takes time happens in them, and none outlives the pool. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import { after } from "./poolTimer.js"

/** How long a session that is being closed keeps its place, in milliseconds. */
const closeGraceMillis = 1_000

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
  /** Sessions being closed that still keep their place. */
  private readonly keeping = new Set<Scope.CloseableScope>()
  private readonly runtime: Runtime.Runtime<never>
  private readonly clock: Clock.Clock

  constructor(runtime: Runtime.Runtime<never>, clock: Clock.Clock) {
    this.runtime = runtime
    this.clock = clock
  }

  get leaving(): number {
    return this.keeping.size
  }

  get closings(): number {
    return this.closing.size
  }

  work(effect: Effect.Effect<void>): void {
    this.fork(this.working, effect)
  }

  /**
   * Closes a session; `freed` is told when another may be opened in its place. That is when it is closed, but one that is
   * slow to close, or never does, keeps nobody waiting for long.
   */
  close(scope: Scope.CloseableScope, freed: () => void): void {
    const leave = () => {
      if (this.keeping.delete(scope)) {
        cancelGrace()
        freed()
      }
    }
    this.keeping.add(scope)
    const cancelGrace = after(this.clock, closeGraceMillis, leave, true)
    this.fork(
      this.closing,
      Effect.flatMap(closeScope(scope), () => Effect.sync(leave))
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
