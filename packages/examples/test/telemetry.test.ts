/** What an OpenTelemetry SDK receives: the program of `src/telemetry.ts`, with exporters that keep what they are given. */
import { NodeSdk } from "@effect/opentelemetry"
import { assert, it } from "@effect/vitest"
import {
  AggregationTemporality,
  type Histogram,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { program } from "../src/telemetry/program.js"

/** Of statements; the steps of the program are spans, too. */
const isSql = ({ attributes }: ReadableSpan) => attributes["db.system.name"] !== undefined

const seconds = ([whole, nanos]: readonly [number, number]) => whole + nanos / 1e9

it.scopedLive("an OpenTelemetry SDK gets the spans and the metrics", () =>
  Effect.gen(function* () {
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-examples-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const filename = join(directory, "telemetry.db")
    const spanExporter = new InMemorySpanExporter()
    const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
    const metricReader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 600_000 })
    const Telemetry = NodeSdk.layer(() => ({
      resource: { serviceName: "flights" },
      spanProcessor: new SimpleSpanProcessor(spanExporter),
      metricReader
    }))

    yield* program.pipe(
      Effect.zipRight(Effect.promise(() => metricReader.forceFlush())),
      Effect.zipRight(
        Effect.sync(() => {
          const spans = spanExporter.getFinishedSpans()
          const parentOf = (span: ReadableSpan) =>
            spans.find((other) => other.spanContext().spanId === span.parentSpanContext?.spanId)?.name
          assert.deepStrictEqual(
            spans.filter(isSql).map((span) => [span.name, parentOf(span)]),
            [
              ["CREATE TABLE flights", undefined],
              ["BATCH INSERT flights", "load"],
              ["SELECT flights", "read all from Seattle"],
              ["UPDATE flights", "sql.transaction"],
              ["INSERT flights", "sql.transaction"],
              ["sql.transaction", "a transaction that fails"]
            ]
          )
          const named = (name: string) => spans.find((span) => span.name === name)!.attributes

          const batch = named("BATCH INSERT flights")
          assert.strictEqual(batch["db.system.name"], "sqlite")
          assert.strictEqual(batch["db.namespace"], filename)
          assert.strictEqual(batch["db.operation.batch.size"], 500)

          const select = named("SELECT flights")
          assert.strictEqual(select["db.query.text"], "select delay from flights where origin = ?")
          assert.strictEqual(select["db.response.returned_rows"], 167)
          assert.isAbove(Number(select["sluice.engine_time"]), 0)
          const span = spans.find((span) => span.name === "SELECT flights")!
          assert.isAtLeast(seconds(span.duration), Number(select["sluice.engine_time"]))

          const refused = named("INSERT flights")
          assert.strictEqual(refused["error.type"], "UniqueViolation")
          assert.strictEqual(refused["db.response.status_code"], "1555")

          const metrics = metricExporter
            .getMetrics()
            .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
          const points = (name: string) => {
            const metric = metrics.find(({ descriptor }) => descriptor.name === name)!
            const here = metric.dataPoints.filter(({ attributes }) => attributes["db.namespace"] === filename)
            return { unit: metric.descriptor.unit, points: here }
          }
          const duration = points("db.client.operation.duration")
          assert.strictEqual(duration.unit, "s")
          assert.deepStrictEqual(
            duration.points
              .map(({ attributes, value }) => [
                attributes["db.operation.name"],
                attributes["error.type"],
                (value as Histogram).count
              ])
              .sort(),
            [
              ["BATCH INSERT", undefined, 1],
              ["CREATE", undefined, 1],
              ["INSERT", "UniqueViolation", 1],
              ["SELECT", undefined, 1],
              ["UPDATE", undefined, 1]
            ]
          )
          const count = points("db.client.connection.count")
          assert.strictEqual(count.unit, "{connection}")
          const writers = count.points.filter(
            ({ attributes }) => attributes["db.client.connection.pool.name"] === "sqlite write"
          )
          assert.deepStrictEqual(
            writers.map(({ attributes, value }) => [attributes["db.client.connection.state"], value]).sort(),
            [
              ["idle", 1],
              ["used", 0]
            ]
          )
        })
      ),
      Effect.provide(SqliteClient.layer({ filename }).pipe(Layer.provideMerge(Telemetry)))
    )
  })
)
