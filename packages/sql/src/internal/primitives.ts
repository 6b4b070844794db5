/**
 * Suspending and masking, on the hottest paths instead of Effect's own.
 *
 * V8 allocates a function literal that is assigned to a property straight into its old generation, on the assumption that it is
 * there for good (`set_pretenure` in its parser). Effect 3 makes `async`, `interruptible`, `uninterruptible` and the masks so:
 * `effect.effect_instruction_i1 = () => self`. Each of these functions is garbage at once, but until the next collection of the
 * old generation whatever it holds survives: a statement with its request, its answer and its span, some 2 KiB, copied twice
 * on the way. That was a third of the time of a small statement. These do the same steps with functions that were passed
 * as arguments, which are young.
 *
 * They are made of Effect's instructions, which no type tells; `known` looks whether they are what we think, else Effect's
 * own functions serve.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as RuntimeFlagsPatch from "effect/RuntimeFlagsPatch"
import type { Restore } from "./turn.js"

interface Instruction {
  _op: string
  effect_instruction_i0: unknown
  effect_instruction_i1: unknown
  readonly commit?: () => Instruction
}

const instructionOf = (effect: unknown): Instruction => effect as Instruction

const enable = /* @__PURE__ */ RuntimeFlagsPatch.enable(RuntimeFlags.Interruption)
const disable = /* @__PURE__ */ RuntimeFlagsPatch.disable(RuntimeFlags.Interruption)

const isKnown = (): boolean => {
  const suspended = instructionOf(Effect.async<void>((_resume) => {})).commit?.()
  const masked = instructionOf(Effect.interruptible(Effect.void))
  const read = () => Effect.void
  const runtime = instructionOf(Effect.withFiberRuntime(read))
  return (
    runtime.effect_instruction_i0 === read &&
    runtime.effect_instruction_i1 === undefined &&
    suspended?._op === "Async" &&
    typeof suspended.effect_instruction_i0 === "function" &&
    suspended.effect_instruction_i1 === FiberId.none &&
    masked._op === "UpdateRuntimeFlags" &&
    masked.effect_instruction_i0 === enable &&
    typeof masked.effect_instruction_i1 === "function"
  )
}

/** Whether Effect's instructions are as they were in 3.22. */
export const known: boolean = /* @__PURE__ */ isKnown()

/** An instruction of Effect's own class, so that its run loop sees no other shape. */
const instruction = (op: string, first: unknown, second: unknown): never => {
  const made = instructionOf(Effect.withFiberRuntime(first as never))
  made._op = op
  made.effect_instruction_i1 = second
  return made as never
}

const constant =
  <A>(value: A) =>
  (): A =>
    value

/** `Effect.async` without a canceler, whose `register` runs only once the fiber waits. */
export const async: <A, E = never>(
  register: (resume: (effect: Effect.Effect<A, E>) => void) => void
) => Effect.Effect<A, E> = known
  ? (register) => instruction("Async", register, FiberId.none)
  : (register) => Effect.async((resume) => register(resume))

const interruptible: Restore = (effect) => instruction("UpdateRuntimeFlags", enable, constant(effect))
const uninterruptible: Restore = (effect) => instruction("UpdateRuntimeFlags", disable, constant(effect))

const masked =
  <A, E, R>(use: (restore: Restore) => Effect.Effect<A, E, R>) =>
  (before: RuntimeFlags.RuntimeFlags): Effect.Effect<A, E, R> =>
    use(RuntimeFlags.interruption(before) ? interruptible : uninterruptible)

/** As `Effect.uninterruptibleMask`. */
export const uninterruptibleMask: <A, E, R>(
  use: (restore: Restore) => Effect.Effect<A, E, R>
) => Effect.Effect<A, E, R> = known
  ? (use) => instruction("UpdateRuntimeFlags", disable, masked(use))
  : Effect.uninterruptibleMask

/** What `Effect.onExit` does, for a region that is uninterruptible already and an end that is no Effect. */
export const thenAlways = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  end: (exit: Exit.Exit<A, E>) => void
): Effect.Effect<A, E, R> => {
  const ended = (exit: Exit.Exit<A, E>) => {
    end(exit)
    return exit
  }
  return Effect.matchCauseEffect(effect, {
    onFailure: (cause) => ended(Exit.failCause(cause)),
    onSuccess: (value) => ended(Exit.succeed(value))
  })
}

/** As `Effect.onInterrupt`. */
export const onInterrupt = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  cleanup: () => Effect.Effect<void>
): Effect.Effect<A, E, R> =>
  uninterruptibleMask((restore) =>
    Effect.catchAllCause(restore(effect), (cause) => {
      const failed = Effect.failCause(cause)
      return Cause.isInterruptedOnly(cause)
        ? Effect.matchCauseEffect(cleanup(), {
            onFailure: (defect) => Effect.failCause(Cause.sequential(cause, defect)),
            onSuccess: () => failed
          })
        : failed
    })
  )
