/** What SQLite cannot register, found out before any session is told. */
import type { SqlError } from "@effect/sql/SqlError"
import type { Registration } from "../messages.js"
import * as failure from "../failure.js"

/** Bytes (https://www.sqlite.org/c3ref/create_function.html). A carrier of the portable engine crashes on longer ones. */
const longestName = 255

const definitionsOf = (
  registration: Registration
): ReadonlyArray<{ readonly name: string; readonly arity?: number | undefined }> => {
  switch (registration.kind) {
    case "function":
    case "collation":
    case "table":
      return [registration]
    case "module":
      return [...registration.functions, ...registration.aggregates]
    default:
      return []
  }
}

const isName = (name: unknown): boolean =>
  typeof name === "string" && name !== "" && !name.includes("\0") && Buffer.byteLength(name) <= longestName

const isArity = (arity: number | undefined): boolean => arity === undefined || (Number.isInteger(arity) && arity >= -1)

export const wrongRegistration = (registration: Registration): SqlError | undefined => {
  for (const { arity, name } of definitionsOf(registration)) {
    if (!isName(name)) {
      return failure.wrongRegistration(
        `A name in SQL has 1 to ${longestName} bytes, none of them NUL: not ${JSON.stringify(String(name).slice(0, 40))}`
      )
    }
    if (!isArity(arity)) {
      return failure.wrongRegistration(
        `The arity must be a whole number, or -1 for any number of arguments: not ${arity}`
      )
    }
  }
  return undefined
}
