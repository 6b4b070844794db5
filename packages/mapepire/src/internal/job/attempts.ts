/**
 * Attempts to sign on. Whether a password is wrong only the daemon's answer tells, and one that nobody has waited for
 * tells it as well: so an attempt goes on for a while when its caller leaves, and is closed once it is known.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

/** Milliseconds that one goes on at least, and at most. In between it is as long as its caller would have waited. */
const [shortest, longest] = [10_000, 60_000]

export class Attempts {
  /** Who watches over those whose callers have left, and whose credentials they are. */
  private readonly left = new Map<Fiber.RuntimeFiber<void>, string>()
  private over = false

  /** Opens something for the caller's scope. `patience`: milliseconds; for the sake of `key` it goes on without a caller. */
  run<A, E>(key: string, patience: number, open: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E, Scope.Scope> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(this, function* () {
        const own = yield* Scope.make()
        const fiber = yield* Effect.forkDaemon(Effect.interruptible(Scope.extend(open, own)))
        const exit = yield* Effect.onInterrupt(restore(Fiber.await(fiber)), () => this.watch(key, patience, fiber, own))
        if (Exit.isFailure(exit)) {
          yield* Scope.close(own, exit)
        } else {
          yield* Effect.addFinalizer((exit) => Scope.close(own, exit))
        }
        return yield* exit
      })
    )
  }

  /** Waits for those that go on with these credentials. */
  others(key: string): Effect.Effect<void> {
    return Effect.suspend(() =>
      Fiber.awaitAll([...this.left].filter(([, other]) => other === key).map(([fiber]) => fiber))
    )
  }

  /** Ends all that go on, and those that would from now on. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.over = true
    return Fiber.interruptAll(this.left.keys())
  })

  private watch(
    key: string,
    patience: number,
    fiber: Fiber.RuntimeFiber<unknown, unknown>,
    own: Scope.CloseableScope
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const close = Effect.zipRight(Fiber.interrupt(fiber), Scope.close(own, Exit.void))
      if (this.over) {
        return close
      }
      const known = Effect.raceFirst(Fiber.await(fiber), passed(Math.min(Math.max(patience, shortest), longest)))
      const watching = Effect.asVoid(Effect.ensuring(Effect.interruptible(known), close))
      return Effect.map(Effect.forkDaemon(watching), (watcher) => {
        this.left.set(watcher, key)
        watcher.addObserver(() => this.left.delete(watcher))
      })
    })
  }
}

/** In real time, as the daemon takes it. */
const passed = (millis: number): Effect.Effect<void> => Effect.withClock(Effect.sleep(millis), Clock.make())
