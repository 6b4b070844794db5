/** Spans of statements and transactions, by OpenTelemetry's database conventions. */
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

const builtIn = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Whether a span object would be seen by anyone: not with Effect's built-in tracer, unless a transformer looks at it. */
export const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.currentTracer !== builtIn

export const transformerOf = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Statement.Statement.Transformer | undefined =>
  Option.getOrUndefined(fiber.getFiberRef(Statement.currentTransformer))

export const spanOptions = { kind: "client", captureStackTrace: false } as const

/** The SQL keyword that a text starts with, such as SELECT: OpenTelemetry's `db.operation.name`. */
export const operationOf = (text: string): string => {
  const match = /^(?:\s|--[^\n]*\n|\/\*[^]*?\*\/)*([A-Za-z]+)/.exec(text)
  return match === null ? "" : match[1]!.toUpperCase()
}

/** How a failure message names a fiber: by the span it is in, else by its number. */
export const nameOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): string => {
  const span = fiber.currentSpan
  const id = `fiber #${fiber.id().id}`
  return span !== undefined && span._tag === "Span" ? `${id} in span "${span.name}"` : id
}
