/** The options that the types know, and a caller without types may get wrong: none of them is to be taken for another one. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { SqliteClientConfig } from "../SqliteClient.js"
import type { Config } from "../SqliteTransport.js"
import { limitNames } from "./opening.js"
import { isPragmaValue } from "./pragma.js"

const words = {
  engine: ["auto", "native", "portable"],
  onClose: ["wait", "interrupt"]
} satisfies { readonly [K in "engine" | "onClose"]: ReadonlyArray<Config[K]> }

/** The least that each may be. */
const counts = { readers: 0, progressSteps: 1 } as const

/** SQLite keeps its limits as C's `int`, and the pump its steps. */
const highest = 0x7fffffff

const isCount = (value: unknown, from: number): boolean =>
  Number.isInteger(value) && (value as number) >= from && (value as number) <= highest

/** Effect takes what is below zero for zero. */
export const isDuration = (value: unknown): boolean =>
  Option.isSome(Duration.decodeUnknown(value)) &&
  (typeof value === "number" || typeof value === "bigint"
    ? value >= 0
    : Array.isArray(value)
      ? value.every((part) => part >= 0)
      : typeof value !== "string" || !value.startsWith("-"))

/** What only costs memory may be as much as there is. */
const isSize = (value: unknown, from: number): boolean =>
  value === Infinity || (Number.isSafeInteger(value) && (value as number) >= from)

const wrongSize = (name: string, value: unknown, from: number): string | undefined =>
  value === undefined || isSize(value, from)
    ? undefined
    : `${name} must be a whole number from ${from} on or Infinity, not ${String(value)}`

const wrongDuration = (name: string, value: unknown): string | undefined =>
  value === undefined || isDuration(value) ? undefined : `${name} must be a duration from 0 on`

const why = (config: Config): string | undefined => {
  for (const name of ["engine", "onClose"] as const) {
    const known: ReadonlyArray<unknown> = words[name]
    if (config[name] !== undefined && !known.includes(config[name])) {
      return `${name} must be one of ${known.join(", ")}, not ${String(config[name])}`
    }
  }
  for (const name of ["readers", "progressSteps"] as const) {
    const value = config[name]
    if (value !== undefined && !isCount(value, counts[name])) {
      return `${name} must be a whole number from ${counts[name]} to ${highest}, not ${String(value)}`
    }
  }
  const { prefetch } = config
  if (prefetch !== undefined && !Number.isInteger(prefetch)) {
    return `prefetch must be a whole number, which is kept within 1 and 65,536, not ${String(prefetch)}`
  }
  const wrong =
    wrongDuration("busyTimeout", config.busyTimeout) ??
    wrongDuration("grace", config.grace) ??
    wrongSize("statementCacheSize", config.statementCacheSize, 0) ??
    wrongSize("maxQueued", config.maxQueued, 0) ??
    wrongSize("maxQueuedBytes", config.maxQueuedBytes, 0)
  if (wrong !== undefined) {
    return wrong
  }
  for (const [name, value] of Object.entries(config.pragmas ?? {})) {
    if (value !== undefined && !isPragmaValue(value)) {
      return `pragmas.${name} must be a text, a finite number or a boolean`
    }
  }
  for (const [name, file] of Object.entries(config.attach ?? {})) {
    if (file !== undefined && typeof file !== "string") {
      return `attach.${name} must be the name of a file`
    }
  }
  const known: ReadonlyArray<string> = limitNames
  for (const [name, value] of Object.entries(config.limits ?? {})) {
    if (!known.includes(name)) {
      return `There is no limit ${name}; there are ${known.join(", ")}`
    }
    if (value !== undefined && !isCount(value, 0)) {
      return `The limit ${name} must be a whole number from 0 to ${highest}`
    }
  }
  return undefined
}

const failed = (message: string | undefined): SqlError | undefined =>
  message === undefined ? undefined : SqlFailure.make({ reason: "InvalidParameter", message })

/** The failure of a configuration that is none. */
export const wrongConfig = (config: Config): SqlError | undefined => failed(why(config))

/** The same for what only the client has. */
export const wrongClientConfig = ({
  changes,
  prepareCacheSize,
  prepareCacheTTL
}: SqliteClientConfig): SqlError | undefined =>
  failed(
    wrongSize("prepareCacheSize", prepareCacheSize, 0) ??
      wrongDuration("prepareCacheTTL", prepareCacheTTL) ??
      wrongSize("changes.capacity", changes?.capacity, 1) ??
      wrongDuration("changes.interval", changes?.interval)
  )
