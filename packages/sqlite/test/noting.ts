/** A tracer for tests of what spans tell. */
import { Layer, Tracer } from "effect"

/** Notes the attributes of the spans that end in it, and their names as attribute `name`. */
export const noting = () => {
  const spans: Array<ReadonlyMap<string, unknown>> = []
  const built = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>([["name", name]])
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId: String(spans.length),
        traceId: "trace",
        parent,
        context,
        links: [...links],
        kind,
        sampled: true,
        status: { _tag: "Started", startTime },
        attributes,
        attribute: (key, value) => void attributes.set(key, value),
        event: () => {},
        addLinks: () => {},
        end: () => void spans.push(attributes)
      }
      return span
    },
    context: (f) => f()
  })
  return { spans, layer: Layer.setTracer(built) }
}
