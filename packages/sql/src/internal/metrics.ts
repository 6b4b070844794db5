/** Effect's metrics, without an Effect per update: what they are updated through is looked up once. */
import { globalValue } from "effect/GlobalValue"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import type * as MetricHook from "effect/MetricHook"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"
import * as MetricState from "effect/MetricState"

/** Attributes of a metric. */
export type Tags = Readonly<Record<string, string>>

/** As many databases have metrics of their own, in one process: some kilobytes each, which Effect's registry keeps for ever. */
const maxDatabases = 100

const databases = globalValue("@sluice/sql/metrics/databases", () => new Set<string>())

/** The tags of a database; those of all beyond the limit are the same, marked as OpenTelemetry's SDKs mark them. */
export const ofDatabase = (system: string, tags: Tags): Tags => {
  const key = JSON.stringify([system, tags])
  if (!databases.has(key) && databases.size >= maxDatabases) {
    return { "db.system.name": system, "otel.metric.overflow": "true" }
  }
  databases.add(key)
  return { "db.system.name": system, ...tags }
}

/** What OpenTelemetry's conventions advise for `db.client.operation.duration`, in seconds. */
const seconds = MetricBoundaries.fromIterable([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10])

/** Exporters find the unit in the label of that name. */
const labels = (unit: string, tags: Tags): Array<MetricLabel.MetricLabel> =>
  Object.entries({ unit, ...tags }).map(([name, value]) => MetricLabel.make(name, value))

/** A histogram of durations in seconds. */
export const durations = (name: string, description: string, tags: Tags): MetricHook.MetricHook.Histogram =>
  Metric.globalMetricRegistry.get(
    MetricKey.taggedWithLabels(MetricKey.histogram(name, seconds, description), labels("s", tags))
  )

const counterOf = (
  name: string,
  description: string,
  incremental: boolean,
  unit: string,
  tags: Tags
): MetricHook.MetricHook.Counter<number> =>
  Metric.globalMetricRegistry.get(
    MetricKey.taggedWithLabels(MetricKey.counter(name, { description, incremental }), labels(unit, tags))
  )

/** What is counted and only grows. */
export const counter = (name: string, description: string, unit: string, tags: Tags) =>
  counterOf(name, description, true, unit, tags)

type Read = () => number

const readers = globalValue(
  "@sluice/sql/metrics/readers",
  () => new WeakMap<MetricHook.MetricHook.Counter<number>, Set<Read>>()
)

/** A function of its own: made where it is used it would keep the first reader, and all that this one sees, for ever. */
const sumOf = (reads: ReadonlySet<Read>) => () => MetricState.counter([...reads].reduce((sum, read) => sum + read(), 0))

/**
 * What goes up and down, read when somebody looks at the metric, so that it costs nothing in between. Of several with
 * the same name and tags it is the sum. Answers how to take it away again.
 */
export const observed = (name: string, description: string, unit: string, tags: Tags, read: Read): (() => void) => {
  const hook = counterOf(name, description, false, unit, tags)
  let all = readers.get(hook)
  if (all === undefined) {
    const reads = new Set<Read>()
    readers.set(hook, (all = reads))
    Object.assign(hook, { get: sumOf(reads) })
  }
  all.add(read)
  return () => void all.delete(read)
}
