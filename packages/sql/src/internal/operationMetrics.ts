/** OpenTelemetry's `db.client.operation.duration` for one client. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as MetricHook from "effect/MetricHook"
import * as Option from "effect/Option"
import * as SqlFailure from "../SqlFailure.js"
import type * as SqlTransport from "../SqlTransport.js"
import { durations, type Tags } from "./metrics.js"

/** What is told of a failure: `error.type` and `db.response.status_code`. */
export const failureTags = (cause: Cause.Cause<unknown>): Tags => {
  if (Cause.isInterruptedOnly(cause)) {
    return { "error.type": "Interrupted" }
  }
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  if (error === undefined) {
    return { "error.type": "_OTHER" }
  }
  const { code, reason, sqlState } = SqlFailure.from(error)
  const status = sqlState ?? code
  return { "error.type": reason, ...(status === undefined ? {} : { "db.response.status_code": String(status) }) }
}

/** First words of texts are not always operations: with so many different ones they are not told any more. */
const capacity = 200

export class OperationMetrics {
  private readonly succeeded = new Map<string, MetricHook.MetricHook.Histogram>()
  private readonly tags: Tags

  constructor(tags: Tags) {
    this.tags = tags
  }

  success(operation: string, seconds: number): void {
    let series = this.succeeded.get(operation)
    if (series === undefined) {
      series = this.series(operation, {})
      this.succeeded.set(operation, series)
    }
    series.update(seconds)
  }

  failure(operation: string, seconds: number, cause: Cause.Cause<unknown>): void {
    this.series(operation, failureTags(cause)).update(seconds)
  }

  private series(operation: string, tags: Tags): MetricHook.MetricHook.Histogram {
    const named = operation !== "" && (this.succeeded.has(operation) || this.succeeded.size < capacity)
    return durations("db.client.operation.duration", "Time that statements took", {
      ...this.tags,
      ...(named ? { "db.operation.name": operation } : {}),
      ...tags
    })
  }
}

/**
 * The time of one statement, without an Effect and, where nothing is to be waited for, without a look at a clock: two
 * looks cost a tenth of a statement, and the answer tells the time by itself.
 */
export class Timer {
  /** Milliseconds of `performance.now()`; 0: not looked. */
  private started: number
  private readonly metrics: OperationMetrics
  private readonly operation: string

  constructor(metrics: OperationMetrics, operation: string, mayBeLate: boolean) {
    this.metrics = metrics
    this.operation = operation
    this.started = mayBeLate ? performance.now() : 0
  }

  answered({ engineNanos, error, queueNanos }: SqlTransport.Page): void {
    const seconds = (queueNanos + engineNanos) / 1e9
    if (error === undefined) {
      this.metrics.success(this.operation, seconds)
    } else {
      this.metrics.failure(this.operation, seconds, Cause.fail(error))
    }
  }

  /** Without an answer. 0 where no clock was looked at: that it failed is worth more than how long it took. */
  failed(cause: Cause.Cause<unknown>): void {
    const seconds = this.started === 0 ? 0 : (performance.now() - this.started) / 1000
    this.metrics.failure(this.operation, seconds, cause)
  }

  /** Counts by the clock from now on. */
  start(): void {
    this.started ||= performance.now()
  }

  /** With or without an error in the answer; by the clock. */
  ended(error: SqlError | undefined): void {
    if (error === undefined) {
      this.metrics.success(this.operation, (performance.now() - this.started) / 1000)
    } else {
      this.failed(Cause.fail(error))
    }
  }
}
