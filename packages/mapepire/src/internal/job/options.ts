/** From a job's configuration, where nearly everything may be left out, to what is in force. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import type * as MapepireJob from "../../MapepireJob.js"
import * as failure from "../failure.js"
import { encodeJdbc, type JdbcOptions, parseJdbc } from "../jdbc.js"
import type { ConnectionOptions } from "./connection.js"
import type { SessionOptions } from "./session.js"

export const millis = (duration: Duration.DurationInput | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Duration.toMillis(duration)

/** Every server job has its own idea of dates; two-digit years are the usual one. */
const baseline: JdbcOptions = { naming: "sql", "date format": "iso", "time format": "jis" }

/** How a `Date` is read: as ISO has it, which JIS has, too. */
const datesOf: ReadonlySet<string | undefined> = new Set(["iso", "jis"])

/** The properties, encoded, or what is wrong with them. */
export const propertiesOf = ({ dates }: MapepireJob.JobConfig, jdbc: JdbcOptions | undefined): string | SqlError => {
  const properties = encodeJdbc({ ...baseline, ...jdbc })
  if (typeof properties !== "string" || dates !== "date") {
    return properties
  }
  const format = parseJdbc(properties).get("date format")?.toLowerCase()
  return datesOf.has(format)
    ? properties
    : failure.badConfig(
        'dates: "date" needs DATE in a form that can be read: the JDBC property "date format" must be iso or jis'
      )
}

export const connectionOptions = (config: MapepireJob.JobConfig): ConnectionOptions | SqlError => {
  const properties = propertiesOf(config, config.jdbc)
  return typeof properties !== "string"
    ? properties
    : {
        properties,
        technique: config.technique ?? "tcp",
        application: config.application,
        connectTimeout: millis(config.connectTimeout, 30_000),
        serial: config.serial ?? false,
        keepAlive: { interval: millis(config.pingInterval, 30_000), missed: Math.max(1, config.missedPings ?? 2) }
      }
}

/** Whether changes wait for a commit, and whether cursors outlive it: `reconnect` may say otherwise. */
export const transactionOptions = (
  jdbc: JdbcOptions | undefined
): Pick<SessionOptions, "transactional" | "cursorHold"> => ({
  transactional: jdbc?.["auto commit"] === false,
  cursorHold: jdbc?.["cursor hold"] !== false
})

export const sessionOptions = (config: MapepireJob.JobConfig): SessionOptions => ({
  pageSize: Math.max(1, config.pageSize ?? 1_000),
  statementCacheSize: config.statementCacheSize ?? 50,
  batchRows: Math.max(1, config.batchRows ?? 10_000),
  batchBytes: Math.max(1, config.batchBytes ?? 8 * 1024 * 1024),
  ...transactionOptions(config.jdbc),
  binary: config.binary === "auto" ? undefined : config.binary,
  rows: { resultNames: config.resultNames, dates: config.dates, binary: config.binary }
})
