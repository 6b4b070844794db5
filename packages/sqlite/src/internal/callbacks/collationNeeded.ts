/** Collations that the program gives when a statement asks for them. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { folded } from "../folded.js"
import { ParameterError } from "../parameters.js"
import type { Enlist, Register } from "./make.js"
import type { Collation, RegistrationHandle } from "./model.js"

/** As the registry knows a collation. */
export const handlerOf = <E, R>(name: string, compare: Collation<E, R>) => ({
  name: `The collation ${name}`,
  run: ({ args: [a, b] }: { readonly args: ReadonlyArray<unknown> }) => compare(String(a), String(b)),
  // SQLite takes the whole part of a number within 32 bits: 0 for all fractions.
  encode: (order: unknown) => Math.sign(numeric(order))
})

/** For callbacks of which SQLite wants a number. Throws `ParameterError`. */
export const numeric = (answer: unknown): number => {
  if (typeof answer !== "number" || Number.isNaN(answer)) {
    throw new ParameterError(1, typeof answer === "number" ? "NaN" : `${typeof answer} instead of a number`)
  }
  return answer
}

export const collationNeeded = <E, R, E2, R2>(
  register: Register,
  enlist: Enlist,
  find: (name: string) => Effect.Effect<Collation<E2, R2> | undefined, E, R>
): Effect.Effect<RegistrationHandle, SqlError, R | R2> =>
  Effect.flatMap(Effect.context<R | R2>(), (context) => {
    /** By their names in lower case, as SQLite compares them. Every session asks for itself. */
    const given = new Map<string, ReturnType<Enlist>>()
    const add = (name: string, compare: Collation<E2, R2>) => {
      const known = given.get(folded(name))
      if (known !== undefined) {
        // Two sessions have asked at once.
        return known
      }
      const added = enlist((id) => ({ kind: "collation", name, id }), { ...handlerOf(name, compare), context })
      given.set(folded(name), added)
      return added
    }
    const answer = (name: string) =>
      Effect.suspend(() => {
        const known = given.get(folded(name))
        return known !== undefined
          ? Effect.succeed(known.registration.id)
          : Effect.map(find(name), (compare) => (compare === undefined ? 0 : add(name, compare).registration.id))
      })
    const hook = register((id) => ({ kind: "hook", hook: "collationNeeded", id }), {
      name: "The collationNeeded hook",
      run: ({ args: [name] }) => answer(String(name)),
      context
    })
    return Effect.map(hook, ({ remove }) => ({
      remove: Effect.zipRight(
        remove,
        Effect.suspend(() => Effect.forEach(given.values(), (collation) => collation.remove, { discard: true }))
      )
    }))
  })
