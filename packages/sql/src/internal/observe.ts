/** What is told of statements: a span of each where somebody traces, their durations for metrics. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { TelemetryOptions } from "../SqlClient.js"
import type * as SqlTransport from "../SqlTransport.js"
import type { AnyFiber } from "./fiber.js"
import { ofDatabase, type Tags } from "./metrics.js"
import { type Operation, operationNameOf, operationOf } from "./operation.js"
import { failureTags, OperationMetrics, Timer } from "./operationMetrics.js"
import { Template } from "./template.js"
import { thenAlways, uninterruptibleMask } from "./primitives.js"
import { isTraced, spanTime, startSpan } from "./telemetry.js"

/** Attributes of a transport that metrics have, too. */
const alsoTags = new Set(["db.namespace", "server.address", "server.port"])

/** The longest value of a parameter in a span, in characters. */
const longestValue = 1_000

/** What a client tells, and how it is called. */
export class Telemetry {
  /** Of every span. */
  readonly attributes: ReadonlyArray<readonly [key: string, value: unknown]>
  /** Of every metric. */
  readonly tags: Tags
  readonly metrics: OperationMetrics | undefined
  readonly parameters: boolean
  readonly counters: boolean
  readonly system: string

  constructor(
    { attributes, system }: Pick<SqlTransport.SqlTransport, "system" | "attributes">,
    spanAttributes: Readonly<Record<string, unknown>>,
    { metrics = true, parameters = false, statementCounters = false }: TelemetryOptions
  ) {
    this.system = system
    this.parameters = parameters
    this.counters = statementCounters
    this.attributes = [...Object.entries(spanAttributes), ["db.system.name", system], ...attributes]
    const tags = attributes.filter(([key]) => alsoTags.has(key)).map(([key, value]) => [key, String(value)] as const)
    this.tags = metrics ? ofDatabase(system, Object.fromEntries(tags)) : {}
    this.metrics = metrics ? new OperationMetrics(this.tags) : undefined
  }

  /** The cheap way, for a statement without a span. */
  timer(source: ReadonlyArray<Statement.Segment> | Template, request: SqlTransport.SqlRequest): Timer | undefined {
    if (this.metrics === undefined) {
      return undefined
    }
    const name = source instanceof Template ? source.compiled.operation : operationNameOf(source, request.text)
    return new Timer(this.metrics, name, request.deadline !== Infinity)
  }

  /** The thorough way; `text` names the span. Whoever starts it ends it. */
  observe(fiber: AnyFiber, text: string, traced: boolean): Observation {
    return this.observation(fiber, operationOf(text), traced)
  }

  private observation(fiber: AnyFiber, operation: Operation, traced: boolean): Observation {
    const name = operation.summary === "" ? this.system : operation.summary
    return new Observation(this, fiber, operation, traced ? startSpan(fiber, name, this.attributes) : undefined)
  }

  /** One round trip: a statement with many rows, or many statements. `page`: what the answer tells of rows and times. */
  batch<A, E, R>(
    fiber: AnyFiber,
    texts: ReadonlyArray<string>,
    size: number,
    effect: Effect.Effect<A, E, R>,
    page?: (answer: A) => SqlTransport.Page
  ): Effect.Effect<A, E, R> {
    const traced = isTraced(fiber)
    if (!traced && this.metrics === undefined) {
      return effect
    }
    const observation = this.observation(fiber, batchOf(texts, size), traced)
    observation.sent(texts.join(";\n"), [])
    if (size > 1) {
      observation.span?.attribute("db.operation.batch.size", size)
    }
    return observation.around(
      page === undefined
        ? effect
        : Effect.map(effect, (answer) => {
            observation.answered(page(answer))
            return answer
          })
    )
  }
}

/** By the conventions one is no batch, and the operation of a batch is named where all are the same. */
const batchOf = (texts: ReadonlyArray<string>, size: number): Operation => {
  const [first, ...others] = texts.map(operationOf)
  if (size < 2) {
    return first!
  }
  const one = others.every(({ summary }) => summary === first!.summary)
  const batch = (of: string) => (one ? `BATCH ${of}` : "BATCH")
  return {
    name: batch(first!.name),
    summary: batch(first!.summary),
    collection: one ? first!.collection : undefined
  }
}

/** A statement, a batch or a stream while it runs. */
export class Observation {
  private known = false
  private rows = 0
  private queueNanos = 0
  private engineNanos = 0
  private error: SqlError | undefined
  private counters: Record<string, number> | undefined
  /** Milliseconds of `performance.now()`; a span has its own times. */
  private readonly started: number
  /** Milliseconds in which the consumer of a stream had its turn, and since when it has it. */
  private away = 0
  private left: number | undefined
  private readonly telemetry: Telemetry
  private readonly fiber: AnyFiber
  private readonly operation: Operation
  readonly span: Tracer.Span | undefined

  constructor(telemetry: Telemetry, fiber: AnyFiber, operation: Operation, span: Tracer.Span | undefined) {
    this.telemetry = telemetry
    this.fiber = fiber
    this.operation = operation
    this.span = span
    this.started = span === undefined ? performance.now() : 0
  }

  /** The text and its parameters, as they go to the database. */
  sent(text: string, params: ReadonlyArray<unknown>): void {
    const { operation, span, telemetry } = this
    if (span === undefined) {
      return
    }
    span.attribute("db.operation.name", operation.name)
    span.attribute("db.query.summary", operation.summary)
    span.attribute("db.query.text", text)
    if (operation.collection !== undefined) {
      span.attribute("db.collection.name", operation.collection)
    }
    if (telemetry.parameters) {
      params.forEach((value, i) => span.attribute(`db.query.parameter.${i}`, shown(value)))
    }
  }

  answered(page: SqlTransport.Page): void {
    this.known = true
    this.rows += page.length
    this.queueNanos += page.queueNanos
    this.engineNanos += page.engineNanos
    this.error ??= page.error
    if (this.telemetry.counters && page.counters !== undefined) {
      this.count(page.counters)
    }
  }

  private count(counters: NonNullable<SqlTransport.Page["counters"]>): void {
    this.counters ??= {}
    for (const [name, value] of Object.entries(counters)) {
      this.counters[name] = (this.counters[name] ?? 0) + value
    }
  }

  /** A cursor whose pages are counted; the time between its pulls is not that of the database. */
  watched(cursor: SqlTransport.Cursor): SqlTransport.Cursor {
    const arrived = (page: SqlTransport.Page) => {
      this.answered(page)
      this.left = performance.now()
    }
    arrived(cursor.first)
    const next = Effect.suspend(() => {
      this.back()
      return Effect.tap(cursor.next, arrived)
    })
    return { first: cursor.first, columns: cursor.columns, next }
  }

  private back(): void {
    if (this.left !== undefined) {
      this.away += performance.now() - this.left
      this.left = undefined
    }
  }

  private seconds(ended: bigint): number {
    const millis =
      this.span === undefined ? performance.now() - this.started : Number(ended - this.span.status.startTime) / 1e6
    return Math.max(0, millis - this.away) / 1000
  }

  around<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return uninterruptibleMask((restore) => thenAlways(restore(effect), (exit) => this.end(exit)))
  }

  end(exit: Exit.Exit<unknown, unknown>): void {
    const { fiber, operation, span, telemetry } = this
    this.back()
    const cause = this.error !== undefined ? Cause.fail(this.error) : Exit.isFailure(exit) ? exit.cause : undefined
    const ended = span === undefined ? 0n : spanTime(fiber)
    const seconds = this.seconds(ended)
    if (cause === undefined) {
      telemetry.metrics?.success(operation.name, seconds)
    } else {
      telemetry.metrics?.failure(operation.name, seconds, cause)
    }
    if (span !== undefined) {
      if (this.known) {
        span.attribute("db.response.returned_rows", this.rows)
        span.attribute("sluice.queue_time", this.queueNanos / 1e9)
        span.attribute("sluice.engine_time", this.engineNanos / 1e9)
      }
      for (const [name, value] of Object.entries(this.counters ?? {})) {
        span.attribute(`sluice.${telemetry.system}.${snakeCase(name)}`, value)
      }
      if (cause !== undefined) {
        for (const [key, value] of Object.entries(failureTags(cause))) {
          span.attribute(key, value)
        }
      }
      span.end(ended, exit)
    }
  }
}

const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** A parameter as an attribute's value: readable, and no longer than it must be. */
const shown = (value: unknown): string => {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return `${value.byteLength} bytes`
  }
  let text: string
  try {
    text = value instanceof Date ? value.toISOString() : String(value)
  } catch {
    // An invalid Date, an object that has no text: the database says what is wrong with it.
    text = Object.prototype.toString.call(value)
  }
  return text.length > longestValue ? `${text.slice(0, longestValue)}…` : text
}
