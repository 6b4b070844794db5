/** A pool's options with defaults in place, durations in milliseconds, and the failures that speak of them. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import type { Options } from "../SessionPool.js"
import * as SqlFailure from "../SqlFailure.js"
import { wrongSettings } from "./wrongOptions.js"

export interface PoolSettings {
  readonly min: number
  readonly max: number
  /** Shared leases that one session takes. */
  readonly width: number
  readonly acquireTimeout: number
  readonly idleTimeout: number
  readonly maxLifetime: number
  readonly bypassWindow: number
}

const widthOf = (sharing: Options["sharing"]): number =>
  sharing === "fifo" ? Infinity : sharing === "exclusive" ? 1 : sharing.multiplex

export const decode = (options: Options): PoolSettings => ({
  min: Math.min(options.min ?? 0, options.max),
  max: options.max,
  width: widthOf(options.sharing),
  acquireTimeout: Duration.toMillis(options.acquireTimeout ?? "30 seconds"),
  idleTimeout: Duration.toMillis(options.idleTimeout ?? "10 minutes"),
  maxLifetime: Duration.toMillis(options.maxLifetime ?? Infinity),
  bypassWindow: Duration.toMillis(options.bypassWindow ?? "500 millis")
})

const isCount = (n: number): boolean => Number.isInteger(n) && n >= 1

/** Why there can be no such pool. */
export const invalid = (options: Options): SqlError | undefined => {
  const { max, name, sharing } = options
  const width = widthOf(sharing)
  const wrong = !isCount(max) ? `max ${max}` : width !== Infinity && !isCount(width) ? `multiplex ${width}` : undefined
  const why = wrong === undefined ? wrongSettings(options, "") : `${wrong} is not a whole number of at least 1`
  return why === undefined
    ? undefined
    : SqlFailure.make({ reason: "InvalidParameter", message: `Pool "${name}": ${why}` })
}

const format = (millis: number): string => Duration.format(Duration.millis(millis))

/** Somebody waited in vain. */
export const timedOut = (name: string, { acquireTimeout, max }: PoolSettings, holders: ReadonlyArray<string>) =>
  SqlFailure.make({
    reason: "PoolTimeout",
    message:
      `Pool "${name}": none of at most ${max} session${max === 1 ? "" : "s"} became free within ` +
      `${format(acquireTimeout)}; ${holders.length === 0 ? "nobody holds one" : `held by ${holders.join(", ")}`}`,
    holders
  })

/** A session was not ready in time. */
export const tooSlow = (name: string, { acquireTimeout }: PoolSettings) =>
  SqlFailure.make({
    reason: "PoolTimeout",
    message: `Pool "${name}": a session was not ready within ${format(acquireTimeout)}`
  })

export const closed = (name: string) =>
  SqlFailure.make({ reason: "Closed", message: `Pool "${name}": the client was closed` })

export const refused = (name: string) =>
  SqlFailure.make({ reason: "Connection", message: `Pool "${name}": onAcquire refused a session just opened` })
