/** The period of a 1 ms timer while an effect runs: its median and 99th percentile, in milliseconds. */
import { Effect } from "effect"
import { monitorEventLoopDelay } from "node:perf_hooks"

export const withLoopDelay = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const monitor = monitorEventLoopDelay({ resolution: 1 })
      monitor.enable()
      return monitor
    }),
    (monitor) =>
      Effect.map(effect, (value) => ({
        value,
        p50: monitor.percentile(50) / 1e6,
        p99: monitor.percentile(99) / 1e6
      })),
    (monitor) => Effect.sync(() => monitor.disable())
  )
