/** Which sessions a fiber is inside of: it runs a callback for them, so they wait for it and can do nothing else. */
import * as Context from "effect/Context"

/** Of `WorkerSession`s. */
export class Inside extends Context.Tag("@sluice/sqlite/Inside")<Inside, ReadonlySet<object>>() {}

export const isInside = (context: Context.Context<never>, session: object): boolean =>
  (context.unsafeMap.get(Inside.key) as ReadonlySet<object> | undefined)?.has(session) === true

/** The context of a callback that a session waits for. */
export const enter = (context: Context.Context<never>, session: object): Context.Context<never> => {
  const outer = context.unsafeMap.get(Inside.key) as ReadonlySet<object> | undefined
  return Context.add(context, Inside, new Set(outer).add(session))
}
