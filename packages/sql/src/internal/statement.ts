/**
 * Our own Statement: the same interface as `@effect/sql`'s, on a path that costs a tenth. A statement that need not wait
 * is one `withFiberRuntime` around the session's own Effect: no scope, no semaphore, no span that nobody sees.
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import { identity } from "effect/Function"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type * as SqlTransport from "../SqlTransport.js"
import type { Core } from "./core.js"
import { type AnyFiber, withFiber } from "./fiber.js"
import { impossible } from "./helpers.js"
import type { Observation } from "./observe.js"
import { type Pages, pages, type TransformRows } from "./rows.js"
import { type Overrides, Override } from "./settings.js"
import { Template } from "./template.js"
import { isTraced, transformerOf } from "./telemetry.js"

/** A client as its statements see it: there is one with and one without transforms. */
export interface Variant {
  readonly core: Core
  readonly compiler: Statement.Compiler
  readonly transformRows: TransformRows
  /** The client's callable half, for statement transformers. */
  readonly constructorOf: () => Statement.Constructor
}

type Mode = "execute" | "executeRaw" | "executeValues" | "executeUnprepared" | "executeWithoutTransform"

type ToResult = (answer: SqlTransport.Answer) => unknown

const toRaw: ToResult = (answer) => answer.raw()
const toArrays: ToResult = (answer) => answer.arrays()
const toObjects: ToResult = (answer) => answer.objects()

const resultOf = (mode: Mode, transformRows: TransformRows): ToResult => {
  switch (mode) {
    case "executeRaw":
      return toRaw
    case "executeValues":
      return toArrays
    case "executeWithoutTransform":
      return toObjects
    case "execute":
    case "executeUnprepared":
      return transformRows === undefined ? toObjects : (answer) => transformRows(answer.objects())
  }
}

export class StatementImpl<A> extends Effectable.Class<ReadonlyArray<A>, SqlError> implements Statement.Statement<A> {
  get [Statement.FragmentId]() {
    return identity
  }

  constructor(
    private readonly source: ReadonlyArray<Statement.Segment> | Template,
    private readonly variant: Variant,
    private readonly overrides?: Overrides | undefined
  ) {
    super()
  }

  [Override](overrides: Overrides): StatementImpl<A> {
    const before = this.overrides
    const within = Math.min(before?.within ?? Infinity, overrides.within ?? Infinity)
    return new StatementImpl<A>(this.source, this.variant, { ...overrides, ...before, within })
  }

  /** What a transformer makes of a statement keeps what was put on that; its own, if it has some, counts first. */
  private inheriting(overrides: Overrides | undefined): StatementImpl<A> {
    return overrides === undefined || overrides === this.overrides ? this : this[Override](overrides)
  }

  get segments(): ReadonlyArray<Statement.Segment> {
    return this.source instanceof Template ? this.source.segments : this.source
  }

  compile(withoutTransform?: boolean | undefined) {
    return this.variant.compiler.compile(this, withoutTransform ?? false)
  }

  commit(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.execute<ReadonlyArray<A>>("execute")
  }

  get withoutTransform(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.execute("executeWithoutTransform")
  }

  get raw(): Effect.Effect<unknown, SqlError> {
    return this.execute("executeRaw")
  }

  get values(): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return this.execute("executeValues")
  }

  get unprepared(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return this.execute("executeUnprepared")
  }

  private execute<X>(mode: Mode): Effect.Effect<X, SqlError> {
    return withFiber<X, SqlError>((fiber) => {
      const transformer = transformerOf(fiber)
      return transformer === undefined && !isTraced(fiber)
        ? this.send(fiber, mode, undefined)
        : this.observed(fiber, mode, transformer)
    })
  }

  private compiled(mode: Mode): readonly [text: string, params: ReadonlyArray<unknown>] {
    const { source } = this
    return source instanceof Template
      ? [source.compiled.text, source.params]
      : this.variant.compiler.compile(this, mode === "executeRaw" || mode === "executeWithoutTransform")
  }

  private get impossible(): SqlError | undefined {
    return this.source instanceof Template ? undefined : impossible(this.source)
  }

  private send<X>(fiber: AnyFiber, mode: Mode, observation: Observation | undefined): Effect.Effect<X, SqlError> {
    const { core, transformRows } = this.variant
    const failure = this.impossible
    if (failure !== undefined) {
      return Effect.fail(failure)
    }
    const [text, params] = this.compiled(mode)
    const request = core.request(
      fiber,
      text,
      params,
      mode === "executeValues" ? "arrays" : "objects",
      mode !== "executeUnprepared",
      this.overrides,
      observation?.span
    )
    observation?.sent(text, params)
    if (request instanceof SqlError) {
      return Effect.fail(request)
    }
    const toResult = resultOf(mode, transformRows) as (answer: SqlTransport.Answer) => X
    if (observation === undefined) {
      return core.run(fiber, request, toResult, core.telemetry.timer(this.source, request))
    }
    return core.run(fiber, request, (answer) => {
      observation.answered(answer)
      return toResult(answer)
    })
  }

  private observed<X>(
    fiber: AnyFiber,
    mode: Mode,
    transformer: Statement.Statement.Transformer | undefined
  ): Effect.Effect<X, SqlError> {
    const observation = this.variant.core.telemetry.observe(fiber, this.compiled(mode)[0], true)
    // Whatever throws on the way, a transformer perhaps: the span ends.
    return observation.around(
      Effect.suspend(() =>
        transformer === undefined
          ? this.send<X>(fiber, mode, observation)
          : Effect.flatMap(this.transformed(transformer, fiber, observation.span!), (statement) =>
              statement.send<X>(fiber, mode, observation)
            )
      )
    )
  }

  private transformed(
    transformer: Statement.Statement.Transformer,
    fiber: AnyFiber,
    span: Tracer.Span
  ): Effect.Effect<StatementImpl<A>, SqlError> {
    const result = transformer(this, this.variant.constructorOf(), fiber.getFiberRefs(), span)
    return Effect.map(result, (statement) =>
      statement instanceof StatementImpl
        ? (statement as StatementImpl<A>).inheriting(this.overrides)
        : new StatementImpl<A>(statement.segments, this.variant, this.overrides)
    )
  }

  /**
   * By hand what `Stream.unwrapScoped` does, which costs more than the statement. Takes settings itself: in its context
   * they would be provided anew with every pull.
   */
  get stream(): Stream.Stream<A, SqlError> {
    const opened = Channel.flatMap(Channel.fromEffect(Scope.make()), (scope) => this.streamIn(scope))
    return Object.assign(Stream.fromChannel(opened), {
      [Override]: (overrides: Overrides) => this[Override](overrides).stream
    })
  }

  private streamIn(scope: Scope.CloseableScope): Pages<A> {
    let observation: Observation | undefined
    const opening = withFiber<Pages<A>, SqlError>((fiber) => {
      const transformer = transformerOf(fiber)
      const { telemetry } = this.variant.core
      const traced = transformer !== undefined || isTraced(fiber)
      if (traced || telemetry.metrics !== undefined) {
        observation = telemetry.observe(fiber, this.compiled("execute")[0], traced)
      }
      const opened =
        transformer === undefined
          ? this.open(fiber, observation)
          : Effect.flatMap(this.transformed(transformer, fiber, observation!.span!), (statement) =>
              statement.open(fiber, observation)
            )
      return Scope.extend(opened, scope)
    })
    return Channel.ensuringWith(Channel.unwrap(opening), (exit) =>
      Effect.map(Scope.close(scope, exit), () => observation?.end(exit))
    )
  }

  private open(fiber: AnyFiber, observation: Observation | undefined): Effect.Effect<Pages<A>, SqlError, Scope.Scope> {
    const { core, transformRows } = this.variant
    const failure = this.impossible
    if (failure !== undefined) {
      return Effect.fail(failure)
    }
    const [text, params] = this.compiled("execute")
    const request = core.request(fiber, text, params, "objects", true, this.overrides, observation?.span)
    observation?.sent(text, params)
    return request instanceof SqlError
      ? Effect.fail(request)
      : Effect.map(core.open(fiber, request), (cursor) =>
          pages<A>(observation === undefined ? cursor : observation.watched(cursor), transformRows)
        )
  }

  toJSON() {
    const [sql, params] = this.compile()
    return { _id: "@effect/sql/Statement", segments: this.segments, sql, params }
  }
}
