/** A statement as it is asked for, with what travels with the fiber that asks. */
import * as EffectSql from "@effect/sql/SqlClient"
import { SqlClient, SqlTransport } from "@sluice/sql"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Fiber from "effect/Fiber"
import type * as MapepireJob from "../../MapepireJob.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * When the fiber's own deadline passes, in milliseconds of `performance.now()`: with a TestClock after as much time of the
 * machine as is left by its clock. What waits for a daemon waits in real time.
 */
export const deadlineOf = (fiber: AnyFiber): number => {
  const given = fiber.currentContext.unsafeMap.get(SqlClient.Deadline.key) as number | undefined
  if (given === undefined) {
    return Infinity
  }
  const clock = Context.unsafeGet(fiber.currentDefaultServices, Clock.Clock)
  // Its clock counts from another moment than ours.
  return performance.now() + (given - Number(clock.unsafeCurrentTimeNanos()) / 1e6)
}

/** Deadline and integers come from the options, or from what travels with the fiber. `pageSize`: rows, if not told. */
export const requestOf = (
  fiber: AnyFiber,
  text: string,
  parameters: ReadonlyArray<unknown>,
  { integers, rows, timeout }: MapepireJob.QueryOptions = {},
  pageSize: number
): SqlTransport.SqlRequest => ({
  text,
  params: parameters,
  prefetch: Math.max(1, rows ?? pageSize),
  deadline: Math.min(
    timeout === undefined ? Infinity : performance.now() + Duration.toMillis(timeout),
    deadlineOf(fiber)
  ),
  integers: integers ?? (fiber.currentContext.unsafeMap.get(EffectSql.SafeIntegers.key) === true ? "bigint" : "number"),
  shape: "objects",
  prepared: true,
  transaction: "free"
})

/** A statement of our own, which runs as it is, whatever the transaction. */
export const ownRequest = (text: string, params: ReadonlyArray<unknown> = []): SqlTransport.SqlRequest =>
  SqlTransport.request(text, { params, prepared: false, transaction: "free" })
