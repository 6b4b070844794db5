/** The fibers of a server: one per request, and those that clean up behind sockets. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"

export type Run = (work: Effect.Effect<void>) => void

export interface Fibers {
  /** Nothing is begun once they were stopped. */
  readonly run: Run
  /** Interrupts all of them at once, and waits: one may wait for another. */
  readonly stop: Effect.Effect<void>
}

export const makeFibers: Effect.Effect<Fibers> = Effect.map(Effect.runtime(), (runtime) => {
  const fork = Runtime.runFork(runtime)
  const fibers = new Set<Fiber.RuntimeFiber<void>>()
  let stopped = false
  return {
    run: (work) => {
      if (stopped) {
        return
      }
      const fiber = fork(work)
      fibers.add(fiber)
      fiber.addObserver(() => fibers.delete(fiber))
    },
    stop: Effect.suspend(() => {
      stopped = true
      return Effect.asVoid(Fiber.interruptAll(fibers))
    })
  }
})
