/** The words of a transaction's options: the types know them, but transports put them into texts. */
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlFailure from "../SqlFailure.js"
import type { BeginOptions } from "../SqlTransport.js"

const words = {
  mode: ["deferred", "immediate", "exclusive"],
  isolation: ["readUncommitted", "readCommitted", "repeatableRead", "serializable"]
} satisfies { readonly [K in "mode" | "isolation"]: ReadonlyArray<BeginOptions[K]> }

/** The failure of options that a caller without types has got wrong. */
export const wrongOption = (options: BeginOptions): SqlError | undefined => {
  for (const name of ["mode", "isolation"] as const) {
    const known: ReadonlyArray<unknown> = words[name]
    if (options[name] !== undefined && !known.includes(options[name])) {
      return SqlFailure.make({
        reason: "InvalidParameter",
        message: `The ${name} of a transaction is one of ${known.join(", ")}`
      })
    }
  }
  return undefined
}
