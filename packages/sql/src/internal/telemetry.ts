/** Spans, without the Effects that are usually around them; and who a fiber is. */
import * as Statement from "@effect/sql/Statement"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { AnyFiber } from "./fiber.js"
import { clockOf } from "./settings.js"

const builtIn = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Whether a span object would be seen by anyone: not with Effect's built-in tracer, nor where tracing is off. */
export const isTraced = (fiber: AnyFiber): boolean =>
  fiber.currentTracer !== builtIn && fiber.getFiberRef(FiberRef.currentTracerEnabled)

export const transformerOf = (fiber: AnyFiber): Statement.Statement.Transformer | undefined =>
  Option.getOrUndefined(fiber.getFiberRef(Statement.currentTransformer))

const spanOptions = { kind: "client", captureStackTrace: false } as const

/** The parent of a new span: the nearest that lets itself be seen. */
const parentOf = (fiber: AnyFiber): Option.Option<Tracer.AnySpan> => {
  let parent = fiber.currentSpan
  while (
    parent !== undefined &&
    parent._tag === "Span" &&
    parent.context.unsafeMap.get(Tracer.DisablePropagation.key) === true
  ) {
    parent = Option.getOrUndefined(parent.parent)
  }
  return Option.fromNullable(parent)
}

/** Nanoseconds for a span's start, end and events; 0 where timing is off. */
export const spanTime = (fiber: AnyFiber): bigint =>
  fiber.getFiberRef(FiberRef.currentTracerTimingEnabled) ? clockOf(fiber).unsafeCurrentTimeNanos() : 0n

/**
 * What `Effect.useSpan` does, without its two Effects around the body: a span is the larger part of a statement's cost.
 */
export const startSpan = (
  fiber: AnyFiber,
  name: string,
  attributes: ReadonlyArray<readonly [key: string, value: unknown]>,
  kind: Tracer.SpanKind = "client"
): Tracer.Span => {
  const links = Chunk.toReadonlyArray(fiber.getFiberRef(FiberRef.currentTracerSpanLinks))
  const span = fiber.currentTracer.span(
    name,
    parentOf(fiber),
    Context.empty(),
    links,
    spanTime(fiber),
    kind,
    kind === "client" ? spanOptions : { kind, captureStackTrace: false }
  )
  const annotations = fiber.getFiberRef(FiberRef.currentTracerSpanAnnotations)
  if (HashMap.size(annotations) > 0) {
    HashMap.forEach(annotations, (value, key) => span.attribute(key, value))
  }
  for (const [key, value] of attributes) {
    span.attribute(key, value)
  }
  return span
}

/** Ends the span with the effect. */
export const inSpan = <A, E, R>(
  fiber: AnyFiber,
  span: Tracer.Span,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.onExit(effect, (exit: Exit.Exit<A, E>) => {
    span.end(spanTime(fiber), exit)
    return Effect.void
  })

/** How a failure message names a fiber: by the span it is in, else by its number. */
export const nameOf = (fiber: AnyFiber): string => {
  const span = fiber.currentSpan
  const id = `fiber #${fiber.id().id}`
  return span !== undefined && span._tag === "Span" ? `${id} in span "${span.name}"` : id
}
