/** Who may have a connection's exchange together with others, and who waits for whom. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Lock } from "../src/internal/lock.js"

/** Work that runs until it is let go; `log` tells what has begun. */
const makeWork = (lock: Lock, log: Array<string>) => {
  const doors = new Map<string, () => void>()
  const until = (name: string) =>
    Effect.async<void>((resume) => {
      log.push(name)
      doors.set(name, () => resume(Effect.void))
    })
  return {
    beside: (name: string) =>
      Effect.fork(
        lock.shared(
          () => name,
          () => until(name)
        )
      ),
    alone: (name: string) => Effect.fork(lock.locked(until(name))),
    open: (name: string) =>
      Effect.zipRight(
        Effect.sync(() => doors.get(name)!()),
        settle
      )
  }
}

const settle = Effect.yieldNow().pipe(Effect.repeatN(10))

const started = (order: "fifo" | "random", width: number) => {
  const log: Array<string> = []
  const lock = new Lock(order, width)
  return { log, lock, ...makeWork(lock, log) }
}

describe("the lock of a connection", () => {
  it.effect("is shared by so many at most; the next begins when one ends", () =>
    Effect.gen(function* () {
      const { beside, lock, log, open } = started("fifo", 2)
      for (const name of ["a", "b", "c"]) {
        yield* beside(name)
      }
      yield* settle
      assert.deepStrictEqual([log, lock.sharing], [["a", "b"], 2])
      yield* open("b")
      assert.deepStrictEqual([log, lock.sharing], [["a", "b", "c"], 2])
      yield* open("a")
      yield* open("c")
      assert.strictEqual(lock.sharing, 0)
    })
  )

  for (const order of ["fifo", "random"] as const) {
    it.effect(`${order}: who needs it alone waits for all that share it, and nobody overtakes whoever is next`, () =>
      Effect.gen(function* () {
        const { alone, beside, log, open } = started(order, 16)
        yield* beside("a")
        yield* beside("b")
        yield* settle
        yield* alone("x")
        yield* settle
        yield* beside("c")
        yield* settle
        assert.deepStrictEqual(log, ["a", "b"])
        yield* open("b")
        assert.deepStrictEqual(log, ["a", "b"])
        yield* open("a")
        assert.deepStrictEqual(log, ["a", "b", "x"])
        yield* open("x")
        assert.deepStrictEqual(log, ["a", "b", "x", "c"])
        yield* open("c")
      })
    )
  }

  it.effect("goes on to the others when the one that is next leaves, and when one that has it is interrupted", () =>
    Effect.gen(function* () {
      const { alone, beside, lock, log, open } = started("fifo", 16)
      yield* beside("a")
      yield* settle
      const next = yield* alone("x")
      yield* settle
      const after = yield* beside("c")
      yield* settle
      assert.deepStrictEqual(log, ["a"])
      yield* Fiber.interrupt(next)
      yield* settle
      assert.deepStrictEqual([log, lock.sharing], [["a", "c"], 2])
      yield* Fiber.interrupt(after)
      assert.strictEqual(lock.sharing, 1)
      yield* open("a")
      const last = yield* alone("y")
      yield* settle
      assert.deepStrictEqual(log, ["a", "c", "y"])
      yield* Fiber.interrupt(last)
      yield* beside("d")
      yield* settle
      assert.deepStrictEqual(log, ["a", "c", "y", "d"])
      yield* open("d")
    })
  )

  it.effect("asks whether one may share it when its turn has come, and not before", () =>
    Effect.gen(function* () {
      const { alone, lock, log, open } = started("fifo", 16)
      yield* alone("x")
      yield* settle
      let found: string | undefined = "early"
      const seen = yield* Effect.fork(
        lock.shared(
          () => found,
          (it) => Effect.succeed([it, lock.sharing] as const)
        )
      )
      yield* settle
      found = undefined
      yield* open("x")
      assert.deepStrictEqual([log, yield* Fiber.join(seen)], [["x"], [undefined, 0]])
    })
  )
})
