/** PRAGMAs by name, for the configuration and for the client. */
import type { SqlError } from "@effect/sql/SqlError"
import { type SqlClient, SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type { SqliteTransport } from "../SqliteTransport.js"
import { exclusiveLocking, locksExclusively } from "./failure.js"
import { folded } from "./folded.js"
import { literal } from "./quoting.js"

export type PragmaValue = string | number | boolean

/** A number that is none SQLite would take for 0. */
export const isPragmaValue = (value: unknown): boolean =>
  typeof value === "string" || typeof value === "boolean" || Number.isFinite(value)

export const pragmaText = (name: string, value: PragmaValue): string =>
  `PRAGMA ${name}=${typeof value === "string" ? literal(value) : Number(value)}`

const invalid = (message: string) => Effect.fail(SqlFailure.make({ reason: "InvalidParameter", message }))

const isDenied = SqlFailure.is("Authorization")

export const makePragma = (client: SqlClient.SqlClient, transport: SqliteTransport) => {
  /** Those that SQLite has: always the same. Empty where it does not say, as one that was built without the list. */
  let known: ReadonlySet<unknown> = new Set()

  const list = client.unsafe("PRAGMA pragma_list").values.pipe(
    Effect.map((rows) => (known = new Set(rows.map(([name]) => name)))),
    // An authorizer of the program's may know those that it allows, and not this one.
    Effect.catchIf(isDenied, () => Effect.succeed(known))
  )

  /** SQLite ignores a PRAGMA that it does not know, and answers nothing. */
  const refuseUnknown = (name: string): Effect.Effect<void, SqlError> => {
    const bare = folded(name.slice(name.indexOf(".") + 1))
    return Effect.flatMap(known.size === 0 ? list : Effect.succeed(known), (known) =>
      known.size === 0 || known.has(bare)
        ? Effect.void
        : invalid(
            `This SQLite knows no PRAGMA "${name}" and would ignore it; one that an extension adds is run as a statement`
          )
    )
  }

  return (name: string, value?: PragmaValue): Effect.Effect<unknown, SqlError> =>
    Effect.suspend(() => {
      if (!/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$/.test(name)) {
        return invalid(`"${name}" is no name of a PRAGMA`)
      }
      if (value !== undefined && !isPragmaValue(value)) {
        return invalid(`The value of PRAGMA ${name} must be a text, a finite number or a boolean`)
      }
      const text = value === undefined ? `PRAGMA ${name}` : pragmaText(name, value)
      if (transport.limits.read > 0 && locksExclusively(text)) {
        return Effect.fail(exclusiveLocking())
      }
      const run = Effect.map(client.unsafe(text).values, (rows) => rows[0]?.[0])
      return Effect.zipRight(refuseUnknown(name), run)
    })
}
