/**
 * Spans and metrics of a small program, printed by an OpenTelemetry SDK: first the spans as they end, then the metrics.
 * With an OTLP exporter in the place of the console's, the same layer sends them to a collector.
 *
 *     npm run --silent build && node packages/examples/dist/telemetry.js
 */
import { NodeSdk } from "@effect/opentelemetry"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { ConsoleMetricExporter, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics"
import { ConsoleSpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Layer } from "effect"
import { program } from "./telemetry/program.js"

const Telemetry = NodeSdk.layer(() => ({
  resource: { serviceName: "flights" },
  spanProcessor: new SimpleSpanProcessor(new ConsoleSpanExporter()),
  // What is left is sent when the layer closes.
  metricReader: new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter() })
}))

const Sql = SqliteClient.layer({
  filename: ":memory:",
  spanAttributes: { "service.part": "flights" },
  // The values of parameters, too: this program has no secrets.
  telemetry: { parameters: true }
})

NodeRuntime.runMain(Effect.provide(program, Sql.pipe(Layer.provideMerge(Telemetry))))
