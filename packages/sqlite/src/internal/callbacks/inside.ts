/** Which sessions a fiber is inside of: it runs a callback for them, so they wait for it and can do nothing else. */
import * as Context from "effect/Context"

/** A callback that a session waits for. Fibers that it has started may outlive it; from then on nobody waits for them. */
export class Visit {
  over = false

  constructor(readonly session: object) {}
}

/** Those that the fiber runs in, the outermost first. */
export class Inside extends Context.Tag("@sluice/sqlite/Inside")<Inside, ReadonlyArray<Visit>>() {}

const visitsOf = (context: Context.Context<never>): ReadonlyArray<Visit> | undefined =>
  context.unsafeMap.get(Inside.key) as ReadonlyArray<Visit> | undefined

export const isInside = (context: Context.Context<never>, session: object): boolean =>
  visitsOf(context)?.some((visit) => visit.session === session && !visit.over) === true

/** The context of a callback that a session waits for. */
export const enter = (context: Context.Context<never>, visit: Visit): Context.Context<never> => {
  const outer = visitsOf(context)?.filter(({ over }) => !over) ?? []
  return Context.add(context, Inside, [...outer, visit])
}
