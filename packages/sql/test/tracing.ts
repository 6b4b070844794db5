/** A tracer that keeps every span that it was asked for, and a look at the metrics. */
import { type Context, type Exit, Metric, type MetricState, Option, Tracer } from "effect"

export class SeenSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly spanId: string
  readonly traceId = "trace"
  readonly sampled = true
  readonly attributes = new Map<string, unknown>()
  readonly events: Array<string> = []
  readonly links: Array<Tracer.SpanLink> = []
  status: Tracer.SpanStatus

  constructor(
    id: number,
    readonly name: string,
    readonly parent: Option.Option<Tracer.AnySpan>,
    readonly context: Context.Context<never>,
    startTime: bigint,
    readonly kind: Tracer.SpanKind
  ) {
    this.spanId = String(id)
    this.status = { _tag: "Started", startTime }
  }

  attribute(key: string, value: unknown): void {
    this.attributes.set(key, value)
  }
  event(name: string): void {
    this.events.push(name)
  }
  addLinks(): void {}
  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }

  get ended(): boolean {
    return this.status._tag === "Ended"
  }

  get parentName(): string | undefined {
    return Option.match(this.parent, {
      onNone: () => undefined,
      onSome: (span) => (span._tag === "Span" ? span.name : span.spanId)
    })
  }
}

export const tracing = () => {
  const spans: Array<SeenSpan> = []
  const tracer = Tracer.make({
    span: (name, parent, context, _links, startTime, kind) => {
      const span = new SeenSpan(spans.length, name, parent, context, startTime, kind)
      spans.push(span)
      return span
    },
    context: (f) => f()
  })
  return { spans, tracer }
}

/** The series of a metric that have these attributes. */
export const series = <A extends MetricState.MetricState.Untyped>(
  name: string,
  attributes: Readonly<Record<string, string>>
): Array<{ readonly tags: Record<string, string>; readonly state: A }> =>
  Metric.unsafeSnapshot()
    .filter(({ metricKey }) => metricKey.name === name)
    .map(({ metricKey, metricState }) => ({
      tags: Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value])),
      state: metricState as A
    }))
    .filter(({ tags }) => Object.entries(attributes).every(([key, value]) => tags[key] === value))
