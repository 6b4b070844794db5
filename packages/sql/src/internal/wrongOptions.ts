/** Options that the types know, and a caller without types may get wrong: no text and no `NaN` is to be taken for a time. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Settings } from "../SessionPool.js"
import type { Options } from "../SqlClient.js"
import * as SqlFailure from "../SqlFailure.js"
import { clampPrefetch } from "./settings.js"

/** Effect takes what is below zero for zero. */
const isDuration = (value: unknown): boolean =>
  Option.isSome(Duration.decodeUnknown(value)) &&
  (typeof value === "number" || typeof value === "bigint"
    ? value >= 0
    : Array.isArray(value)
      ? value.every((part) => part >= 0)
      : typeof value !== "string" || !value.startsWith("-"))

const durations = ["acquireTimeout", "idleTimeout", "maxLifetime", "bypassWindow"] as const

const settingNames: ReadonlyArray<string> = ["min", ...durations, "onAcquire", "onRelease"] satisfies ReadonlyArray<
  keyof Settings
>

/** Why no pool can have these settings; `prefix` is where the caller has written them. */
export const wrongSettings = (settings: Settings, prefix: string): string | undefined => {
  const { min } = settings
  if (min !== undefined && !(Number.isInteger(min) && min >= 0)) {
    return `${prefix}min must be a whole number from 0 on, not ${String(min)}`
  }
  const wrong = durations.find((name) => settings[name] !== undefined && !isDuration(settings[name]))
  return wrong === undefined ? undefined : `${prefix}${wrong} must be a duration from 0 on`
}

/** Such as `max`, which pools have that are made by themselves. */
const unknownSetting = (pool: Settings): string | undefined => {
  const unknown = Object.entries(pool).find(([name, value]) => value !== undefined && !settingNames.includes(name))
  return unknown === undefined
    ? undefined
    : `There is no option pool.${unknown[0]}; there are ${settingNames.join(", ")}. How many sessions there may be the transport says`
}

const why = ({ pool = {}, prefetch, statementTimeout }: Options): string | undefined =>
  statementTimeout !== undefined && !isDuration(statementTimeout)
    ? "statementTimeout must be a duration from 0 on"
    : prefetch !== undefined && clampPrefetch(prefetch) === undefined
      ? `prefetch must be a whole number, which is kept within 1 and 65,536, not ${String(prefetch)}`
      : (wrongSettings(pool, "pool.") ?? unknownSetting(pool))

/** The failure of options that are none. */
export const wrongOptions = (options: Options): SqlError | undefined => {
  const message = why(options)
  return message === undefined ? undefined : SqlFailure.make({ reason: "InvalidParameter", message })
}
