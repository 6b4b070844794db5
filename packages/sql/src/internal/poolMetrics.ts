/** A pool's metrics, by OpenTelemetry's conventions for connections. */
import type { Statistics } from "../SessionPool.js"
import { counter, durations, observed, type Tags } from "./metrics.js"
import type { PoolSettings } from "./poolSettings.js"

/** Everything that the pool measures is in seconds. */
export interface PoolMetrics {
  readonly timedOut: () => void
  readonly created: (seconds: number) => void
  readonly waited: (seconds: number) => void
  readonly used: (seconds: number) => void
  /** No gauge speaks of the pool any more. */
  readonly end: () => void
}

type Figures = Pick<Statistics, "idle" | "used" | "waiting">

export const poolMetrics = (
  name: string,
  { max, min }: PoolSettings,
  tags: Tags,
  /** Read when somebody looks at a metric. */
  figures: { readonly [K in keyof Figures]: () => number }
): PoolMetrics => {
  const named = { ...tags, "db.client.connection.pool.name": name }
  const gauge = (metric: string, description: string, unit: string, read: () => number, more: Tags = {}) =>
    observed(`db.client.connection.${metric}`, description, unit, { ...named, ...more }, read)
  const time = (metric: string, description: string) => durations(`db.client.connection.${metric}`, description, named)

  const state = "db.client.connection.state"
  const ends = [
    gauge("count", "Sessions in the state", "{connection}", figures.idle, { [state]: "idle" }),
    gauge("count", "Sessions in the state", "{connection}", figures.used, { [state]: "used" }),
    gauge("max", "Sessions that may be open", "{connection}", () => max),
    gauge("idle.max", "Idle sessions that may be open", "{connection}", () => max),
    gauge("idle.min", "Sessions that are kept open", "{connection}", () => min),
    gauge("pending_requests", "Fibers that wait for a session", "{request}", figures.waiting)
  ]
  const timeouts = counter("db.client.connection.timeouts", "Waits for a session in vain", "{timeout}", named)
  const createTime = time("create_time", "Time to open a session")
  const waitTime = time("wait_time", "Time to get a session")
  const useTime = time("use_time", "Time from getting a session to giving it back")
  return {
    timedOut: () => timeouts.update(1),
    created: (seconds) => createTime.update(seconds),
    waited: (seconds) => waitTime.update(seconds),
    used: (seconds) => useTime.update(seconds),
    end: () => ends.forEach((end) => end())
  }
}
