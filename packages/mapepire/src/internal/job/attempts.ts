/**
 * Attempts to sign on. Whether a password is wrong only the daemon's answer tells, and one that nobody has waited for
 * tells it as well: so an attempt goes on for a while when its caller leaves, and is closed once it is known.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"

/** Milliseconds that one goes on at least, and at most. In between it is until its caller would have given it up. */
const [shortest, longest] = [10_000, 60_000]

export class Attempts {
  /** Who watches over those whose callers have left. */
  private readonly left = new Set<Fiber.RuntimeFiber<void>>()
  /** Of these: what completes when it is known whether the password is wrong, or when that is given up; and whose it is. */
  private readonly unknown = new Map<Deferred.Deferred<void>, string>()
  private over = false

  /** Opens something for the caller's scope. `patience`: milliseconds; for the sake of `key` it goes on without a caller. */
  run<A, E>(key: string, patience: number, open: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E, Scope.Scope> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(this, function* () {
        const until = performance.now() + patience
        const own = yield* Scope.make()
        const fiber = yield* Effect.forkDaemon(Effect.interruptible(Scope.extend(open, own)))
        const exit = yield* Effect.onInterrupt(restore(Fiber.await(fiber)), () => this.watch(key, until, fiber, own))
        if (Exit.isFailure(exit)) {
          yield* Scope.close(own, exit)
        } else {
          yield* Effect.addFinalizer((exit) => Scope.close(own, exit))
        }
        return yield* exit
      })
    )
  }

  /** Waits until one of those is known that go on with these credentials; undefined if there are none. */
  oneOf(key: string): Effect.Effect<void> | undefined {
    const others = [...this.unknown].filter(([, other]) => other === key)
    return others.length === 0 ? undefined : Effect.raceAll(others.map(([known]) => Deferred.await(known)))
  }

  /** Ends all that go on, and those that would from now on. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.over = true
    return Fiber.interruptAll(this.left)
  })

  private watch(
    key: string,
    until: number,
    fiber: Fiber.RuntimeFiber<unknown, unknown>,
    own: Scope.CloseableScope
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const close = Effect.zipRight(Fiber.interrupt(fiber), Scope.close(own, Exit.void))
      if (this.over) {
        return close
      }
      const known = Deferred.unsafeMake<void>(FiberId.none)
      this.unknown.set(known, key)
      // Who waits for it need not wait for the end of its connection, too.
      const tell = Effect.suspend(() => {
        this.unknown.delete(known)
        return Deferred.succeed(known, undefined)
      })
      const rest = Math.min(Math.max(until - performance.now(), shortest), longest)
      const over = Effect.interruptible(Effect.raceFirst(Fiber.await(fiber), passed(rest)))
      const watching = Effect.asVoid(Effect.ensuring(over, Effect.zipRight(tell, close)))
      return Effect.map(Effect.forkDaemon(watching), (watcher) => {
        this.left.add(watcher)
        watcher.addObserver(() => this.left.delete(watcher))
      })
    })
  }
}

/** In real time, as the daemon takes it. */
const passed = (millis: number): Effect.Effect<void> => Effect.withClock(Effect.sleep(millis), Clock.make())
