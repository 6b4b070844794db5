/**
 * Which transaction a batch of requests belongs to, when it runs in a fiber that knows of none.
 *
 * A data loader of `@effect/experimental` runs its batches in fibers of its own. What still leads from there to those who
 * asked is the batch's span: `@effect/sql`'s resolvers link it to the requests' spans, and these have the transaction's
 * among their parents. Where a transaction has no span of its own, one that nobody sees takes its place.
 */
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as SqlFailure from "../SqlFailure.js"
import { Level } from "./level.js"

/** `SqlResolver` names the spans of its batches so. */
const batchName = "sql.Resolver.batch "

/** Spans between a batch's and its statement's that are looked through. */
const depth = 4

const mixed = SqlFailure.make({
  reason: "Unsupported",
  message:
    "A data loader has put requests of different transactions, or from inside and outside of one, into one batch. Make " +
    "the loader inside the transaction, or use Query.batched"
})

/** Stands in for the transaction of a batch that has none in common: whatever it is asked to run fails. */
class Mixed extends Level {
  override ended() {
    return mixed
  }
}

/** In the place of a span that nobody would see: what is asked of it, the span around it answers. */
const unseen = (outer: Tracer.AnySpan | undefined): Tracer.AnySpan =>
  outer === undefined
    ? Tracer.externalSpan({ spanId: "0000000000000000", traceId: "00000000000000000000000000000000", sampled: false })
    : (Object.create(outer) as Tracer.AnySpan)

const parentOf = (span: Tracer.AnySpan): Tracer.AnySpan | undefined =>
  span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined

/** A span by which a level can be found. */
interface Mark {
  readonly of: Requesters
  readonly level: Level
  /** The span around it, which an unseen one hides. */
  readonly outer: Tracer.AnySpan | undefined
}

const marks = new WeakMap<Tracer.AnySpan, Mark>()

/** One per client; transactions of several clients may lie within each other. */
export class Requesters {
  /** The body's context, with a span (its own, or an unseen one) by which the level can be found. */
  within(context: Context.Context<never>, span: Tracer.Span | undefined, level: Level): Context.Context<never> {
    const outer = context.unsafeMap.get(Tracer.ParentSpan.key) as Tracer.AnySpan | undefined
    const mark = span ?? unseen(outer)
    marks.set(mark, { of: this, level, outer })
    return Context.add(context, Tracer.ParentSpan, mark)
  }

  /** The level of those whose requests the context's span was made for; undefined where it is of no such span. */
  levelOf(context: Context.Context<never>): Level | undefined {
    let span = context.unsafeMap.get(Tracer.ParentSpan.key) as Tracer.AnySpan | undefined
    for (let i = 0; i < depth && span !== undefined && span._tag === "Span"; i++) {
      if (span.name.startsWith(batchName)) {
        return this.common(span.links)
      }
      span = parentOf(span)
    }
    return undefined
  }

  private common(links: ReadonlyArray<Tracer.SpanLink>): Level | undefined {
    const levels = new Set(links.map((link) => this.around(link.span)))
    const [first] = levels
    if (levels.size < 2) {
      return first
    }
    const some = [...levels].find((level) => level !== undefined)!
    return new Mixed(some.root, some.parent, 1, some.bounds, () => some.connection)
  }

  private around(span: Tracer.AnySpan): Level | undefined {
    for (let at: Tracer.AnySpan | undefined = span; at !== undefined;) {
      const mark = marks.get(at)
      if (mark?.of === this) {
        return mark.level
      }
      at = mark === undefined ? parentOf(at) : mark.outer
    }
    return undefined
  }
}
