/** What SQLite cannot register, found out before any session is told. */
import type { SqlError } from "@effect/sql/SqlError"
import type { Registration } from "../boundary.js"
import * as failure from "../failure.js"

/** Bytes (https://www.sqlite.org/c3ref/create_function.html). A carrier of the portable engine crashes on longer ones. */
const longestName = 255

const namesOf = (registration: Registration): ReadonlyArray<string> => {
  switch (registration.kind) {
    case "function":
    case "collation":
    case "table":
      return [registration.name]
    case "module":
      return [...registration.functions, ...registration.aggregates].map(({ name }) => name)
    default:
      return []
  }
}

const aritiesOf = (registration: Registration): ReadonlyArray<number | undefined> => {
  switch (registration.kind) {
    case "function":
      return [registration.arity]
    case "module":
      return [...registration.functions, ...registration.aggregates].map(({ arity }) => arity)
    default:
      return []
  }
}

const isName = (name: unknown): boolean =>
  typeof name === "string" && name !== "" && !name.includes("\0") && Buffer.byteLength(name) <= longestName

export const wrongRegistration = (registration: Registration): SqlError | undefined => {
  const name = namesOf(registration).find((name) => !isName(name))
  if (name !== undefined) {
    return failure.wrongRegistration(
      `A name in SQL has 1 to ${longestName} bytes, none of them NUL: not ${JSON.stringify(String(name).slice(0, 40))}`
    )
  }
  const arity = aritiesOf(registration).find(
    (arity) => arity !== undefined && !(Number.isInteger(arity) && arity >= -1)
  )
  return arity === undefined
    ? undefined
    : failure.wrongRegistration(`The arity must be a whole number, or -1 for any number of arguments: not ${arity}`)
}
