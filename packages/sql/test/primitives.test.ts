import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, FastCheck, Fiber, FiberId, Ref } from "effect"
import { known, thenAlways } from "../src/internal/primitives.js"
import * as SqlTransport from "../src/SqlTransport.js"

/** Effect's own, with which ours must agree. */
const theirs: Pick<typeof SqlTransport, "async" | "onInterrupt" | "uninterruptibleMask"> = {
  async: (register) => Effect.async((resume) => register(resume)),
  onInterrupt: Effect.onInterrupt,
  uninterruptibleMask: Effect.uninterruptibleMask
}

const interrupted = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)

describe("suspending and masking", () => {
  it("uses Effect's instructions, which are as they were", () => {
    assert.isTrue(known)
  })

  it.effect("async: resumed at once, later, and only once", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* SqlTransport.async<number>((resume) => resume(Effect.succeed(1))), 1)
      assert.strictEqual(
        yield* SqlTransport.async<number>((resume) => queueMicrotask(() => resume(Effect.succeed(2)))),
        2
      )
      const twice = SqlTransport.async<number>((resume) => {
        resume(Effect.succeed(3))
        resume(Effect.succeed(4))
      })
      assert.strictEqual(yield* twice, 3)
      // An Effect as any other: it can be run again.
      assert.deepStrictEqual(yield* Effect.all([twice, twice], { concurrency: 2 }), [3, 3])
      const failing = SqlTransport.async<never, string>((resume) => resume(Effect.fail("no")))
      assert.deepStrictEqual(yield* Effect.exit(failing), Exit.fail("no"))
    })
  )

  it.effect("async: what `register` throws is a defect", () =>
    Effect.gen(function* () {
      const defect = new Error("thrown")
      const exit = yield* Effect.exit(
        SqlTransport.async(() => {
          throw defect
        })
      )
      assert.deepStrictEqual(exit, Exit.die(defect))
    })
  )

  it.effect("async: an interrupted fiber never registers, and a waiting one is free at once", () =>
    Effect.gen(function* () {
      let registered = 0
      const never = SqlTransport.async<never>(() => void registered++)
      const before = yield* Effect.exit(Effect.zipRight(Effect.interrupt, never))
      assert.isTrue(interrupted(before))
      assert.strictEqual(registered, 0)
      const fiber = yield* Effect.fork(never)
      yield* Effect.yieldNow()
      assert.strictEqual(registered, 1)
      assert.isTrue(interrupted(yield* Fiber.interrupt(fiber)))
    })
  )

  it.effect("onInterrupt: the interrupt waits for the cleanup, and says by whom it came", () =>
    Effect.gen(function* () {
      const [begun, quiet] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const order = yield* Ref.make<ReadonlyArray<string>>([])
      const note = (word: string) => Ref.update(order, (words) => [...words, word])
      const work = SqlTransport.onInterrupt(
        SqlTransport.async<never>(() => Effect.runSync(Deferred.succeed(begun, undefined))),
        () => Effect.zipRight(Deferred.await(quiet), Effect.asVoid(note("quiet")))
      )
      const fiber = yield* Effect.fork(work)
      yield* Deferred.await(begun)
      const stopping = yield* Effect.fork(Effect.zipLeft(Fiber.interruptAs(fiber, FiberId.runtime(7, 0)), note("free")))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(yield* order, [])
      yield* Deferred.succeed(quiet, undefined)
      const exit = yield* Fiber.join(stopping)
      assert.deepStrictEqual(yield* order, ["quiet", "free"])
      assert.isTrue(
        Exit.isFailure(exit) && [...Cause.interruptors(exit.cause)].some((by) => FiberId.toSet(by) !== undefined)
      )
      assert.isTrue(interrupted(exit))
    })
  )

  it.effect("onInterrupt: no cleanup after success, failure and defect", () =>
    Effect.gen(function* () {
      let cleaned = 0
      const cleanup = () => Effect.sync(() => void cleaned++)
      assert.strictEqual(yield* SqlTransport.onInterrupt(Effect.succeed(1), cleanup), 1)
      for (const effect of [Effect.fail("no"), Effect.die("defect")]) {
        assert.deepStrictEqual(
          yield* Effect.exit(SqlTransport.onInterrupt(effect, cleanup)),
          yield* Effect.exit(Effect.onInterrupt(effect, cleanup))
        )
      }
      assert.strictEqual(cleaned, 0)
    })
  )

  it.effect("onInterrupt: a cleanup that dies is told beside the interrupt", () =>
    Effect.gen(function* () {
      const exits = yield* Effect.forEach([SqlTransport, theirs], ({ onInterrupt }) =>
        Effect.exit(onInterrupt(Effect.interrupt, () => Effect.die("defect")))
      )
      for (const exit of exits) {
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterrupted(exit.cause))
        assert.deepStrictEqual(Exit.isFailure(exit) && [...Cause.defects(exit.cause)], ["defect"])
      }
    })
  )

  it.effect("uninterruptibleMask: nothing interrupts but what is restored", () =>
    Effect.gen(function* () {
      for (const { async, uninterruptibleMask } of [SqlTransport, theirs]) {
        const steps: Array<string> = []
        const [first, second] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const fiber = yield* Effect.fork(
          uninterruptibleMask((restore) =>
            Effect.gen(function* () {
              yield* Deferred.await(first)
              steps.push("first")
              yield* Effect.exit(restore(async<never>(() => {})))
              steps.push("second")
              yield* Deferred.await(second)
              steps.push("third")
            })
          )
        )
        yield* Effect.yieldNow()
        const stopping = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* Effect.yieldNow()
        assert.deepStrictEqual(steps, [])
        yield* Deferred.succeed(first, undefined)
        yield* Effect.yieldNow()
        yield* Deferred.succeed(second, undefined)
        assert.isTrue(interrupted(yield* Fiber.join(stopping)))
        assert.deepStrictEqual(steps, ["first", "second", "third"])
      }
    })
  )

  it.effect("uninterruptibleMask: within an uninterruptible region there is nothing to restore", () =>
    Effect.gen(function* () {
      const done = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        Effect.uninterruptible(
          SqlTransport.uninterruptibleMask((restore) => Effect.as(restore(Deferred.await(done)), "whole"))
        )
      )
      yield* Effect.yieldNow()
      const stopping = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.join(stopping)
      // The interrupt is seen where the region ends.
      assert.isTrue((yield* Fiber.await(fiber))._tag === "Failure" || (yield* Fiber.join(fiber)) === "whole")
    })
  )

  it.effect("thenAlways: once, after success, failure and interrupt", () =>
    Effect.gen(function* () {
      let ends = 0
      const run = <A, E>(effect: Effect.Effect<A, E>) =>
        SqlTransport.uninterruptibleMask((restore) => thenAlways(restore(effect), () => void ends++))
      assert.strictEqual(yield* run(Effect.succeed(1)), 1)
      assert.deepStrictEqual(yield* Effect.exit(run(Effect.fail("no"))), Exit.fail("no"))
      const fiber = yield* Effect.fork(run(Effect.never))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(ends, 3)
    })
  )

  /** Programs of masks, restores, cleanups and waits; each leaf says that it was there. */
  type Program =
    | { readonly _tag: "Yield" | "Wait" | "Fail" | "Done" }
    | { readonly _tag: "Mask" | "Restore" | "Cleanup" | "Then"; readonly of: ReadonlyArray<Program> }

  const program = FastCheck.letrec<{ program: Program }>((tie) => ({
    program: FastCheck.oneof(
      { maxDepth: 4, depthSize: "small" },
      FastCheck.constantFrom<Array<Program>>({ _tag: "Yield" }, { _tag: "Wait" }, { _tag: "Fail" }, { _tag: "Done" }),
      FastCheck.record({
        _tag: FastCheck.constantFrom("Mask" as const, "Restore" as const, "Cleanup" as const, "Then" as const),
        of: FastCheck.array(tie("program"), { minLength: 1, maxLength: 3 })
      })
    )
  })).program

  const runWith = (all: typeof theirs, root: Program, yields: number) =>
    Effect.gen(function* () {
      const trace: Array<string> = []
      type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
      const build = (of: Program, restore: Restore, path: string): Effect.Effect<void, string> => {
        const note = (word: string) => Effect.sync(() => void trace.push(`${path} ${word}`))
        switch (of._tag) {
          case "Done":
            return note("done")
          case "Fail":
            return Effect.zipRight(note("fail"), Effect.fail(path))
          case "Yield":
            return Effect.zipRight(Effect.yieldNow(), note("yielded"))
          case "Wait":
            return Effect.zipRight(
              all.async<void>((resume) => void setTimeout(() => resume(Effect.void), 1)),
              note("waited")
            )
        }
        const inner = (restore: Restore) =>
          Effect.forEach(of.of, (one, i) => build(one, restore, `${path}.${i}`), { discard: true })
        switch (of._tag) {
          case "Mask":
            return all.uninterruptibleMask((restore) => inner(restore))
          case "Restore":
            return restore(inner((effect) => effect))
          case "Cleanup":
            return all.onInterrupt(inner(restore), () => note("cleaned"))
          case "Then":
            return Effect.zipRight(inner(restore), note("then"))
        }
      }
      const fiber = yield* Effect.fork(build(root, (effect) => effect, "0"))
      for (let i = 0; i < yields; i++) {
        yield* Effect.yieldNow()
      }
      const exit = yield* Fiber.interrupt(fiber)
      return { trace, how: Exit.isSuccess(exit) ? "success" : interrupted(exit) ? "interrupt" : "failure" }
    })

  it.live("do what Effect's own do, whenever they are interrupted", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(program, FastCheck.nat({ max: 12 }), async (root, yields) => {
          const ours = await Effect.runPromise(runWith(SqlTransport, root, yields))
          assert.deepStrictEqual(ours, await Effect.runPromise(runWith(theirs, root, yields)))
        }),
        { numRuns: 500 }
      )
    )
  )
})
