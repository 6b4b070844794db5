/** How late the event loop's timers are (99th percentile, in milliseconds) while an effect runs. */
import { Effect } from "effect"
import { monitorEventLoopDelay } from "node:perf_hooks"

export const withLoopDelay = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const monitor = monitorEventLoopDelay({ resolution: 1 })
      monitor.enable()
      return monitor
    }),
    (monitor) => Effect.map(effect, (value) => ({ value, p99: monitor.percentile(99) / 1e6 })),
    (monitor) => Effect.sync(() => monitor.disable())
  )
