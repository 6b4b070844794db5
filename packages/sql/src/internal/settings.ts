/** What travels with the fiber: rows per page, whether one is read ahead, and the deadline. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type AnyFiber, withFiber } from "./fiber.js"

export class Prefetch extends Context.Reference<Prefetch>()("@sluice/sql/SqlClient/Prefetch", {
  defaultValue: () => 64
}) {}

export class ReadAhead extends Context.Reference<ReadAhead>()("@sluice/sql/SqlClient/ReadAhead", {
  defaultValue: () => false
}) {}

export class Deadline extends Context.Reference<Deadline>()("@sluice/sql/SqlClient/Deadline", {
  defaultValue: () => Infinity
}) {}

/** What `withPrefetch`, `withReadAhead` and `withDeadline` put on a statement or its stream itself. What was put first counts; deadlines only tighten. */
export interface Overrides {
  readonly prefetch?: number | undefined
  readonly readAhead?: boolean | undefined
  /** Milliseconds from the start of the statement. */
  readonly within?: number | undefined
}

/** How a statement takes overrides; our Statement and its stream have this method, nothing else does. */
export const Override: unique symbol = Symbol.for("@sluice/sql/Override")

interface Overridable {
  readonly [Override]: (overrides: Overrides) => unknown
}

const isOverridable = (u: unknown): u is Overridable => typeof u === "object" && u !== null && Override in u

/** Every Effect has the marks of a Stream, too: only the reverse can be asked. */
const isNoEffect = (u: Runnable): u is Stream.Stream<unknown, unknown, unknown> => !Effect.isEffect(u)

type AnyEffect = Effect.Effect<unknown, unknown, unknown>

/** An Effect or a Stream of any kind. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any Effect and any Stream, whatever their types
export type Runnable = Effect.Effect<any, any, any> | Stream.Stream<any, any, any>

/** Puts a setting on a statement itself, else into the context of an Effect or a Stream. */
const withSetting = <A extends Runnable, I, S>(
  self: A,
  overrides: Overrides,
  tag: Context.Tag<I, S>,
  value: NoInfer<S>
): A => {
  if (isOverridable(self)) {
    return self[Override](overrides) as A
  }
  return (
    isNoEffect(self) ? Stream.provideService(self, tag, value) : Effect.provideService(self as AnyEffect, tag, value)
  ) as A
}

export const withPrefetch =
  (rows: number) =>
  <A extends Runnable>(self: A): A =>
    withSetting(self, { prefetch: rows }, Prefetch, rows)

export const withReadAhead =
  (readAhead: boolean) =>
  <A extends Runnable>(self: A): A =>
    withSetting(self, { readAhead }, ReadAhead, readAhead)

export const withDeadline =
  (duration: Duration.DurationInput) =>
  <A extends Runnable>(self: A): A => {
    const within = Duration.toMillis(duration)
    if (isOverridable(self)) {
      return self[Override]({ within }) as A
    }
    const at = withFiber<number>((fiber) =>
      Effect.succeed(Math.min(deadlineOf(fiber.currentContext), nowOf(clockOf(fiber)) + within))
    )
    return (
      isNoEffect(self)
        ? Stream.unwrap(Effect.map(at, (deadline) => Stream.provideService(self, Deadline, deadline)))
        : Effect.flatMap(at, (deadline) => Effect.provideService(self as AnyEffect, Deadline, deadline))
    ) as A
  }

// References are looked up by key: `Context.get` would compute and cache defaults on the hot path.

export const deadlineOf = (context: Context.Context<never>): number =>
  (context.unsafeMap.get(Deadline.key) as number | undefined) ?? Infinity

/** Undefined: nothing was said, and the client's own default counts. */
export const prefetchOf = (context: Context.Context<never>): number | undefined =>
  context.unsafeMap.get(Prefetch.key) as number | undefined

export const readAheadOf = (context: Context.Context<never>): boolean => context.unsafeMap.get(ReadAhead.key) === true

/** Rows per page are kept within 1 … 65,536 (APSW's bounds); undefined when it is no whole number. */
export const clampPrefetch = (rows: number): number | undefined =>
  Number.isInteger(rows) ? Math.min(Math.max(rows, 1), 65_536) : undefined

const liveClock = Context.get(DefaultServices.liveServices, Clock.Clock)

export const clockOf = (fiber: AnyFiber): Clock.Clock => Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock)

/** Whether the clock is the machine's, so that timers in the transport and in the worker mean the same time. */
export const isLive = (clock: Clock.Clock): boolean => clock === liveClock

/** Milliseconds that no change of the wall clock moves (with a TestClock: its own time). */
export const nowOf = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6

/**
 * A time so many milliseconds from now as `performance.now()` counts, which is what sessions understand. `Infinity` where
 * the clock is not the machine's: its time may stand still while theirs goes on.
 */
export const machineTime = (clock: Clock.Clock, remaining: number): number =>
  isLive(clock) ? performance.now() + remaining : Infinity
