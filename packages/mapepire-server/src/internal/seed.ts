/** Statements that are run before anybody is let in. */
import * as Effect from "effect/Effect"
import { Connection, type Host } from "./connection.js"
import { type Db2Failure, unsupported } from "./db2/failures.js"
import { verbOf } from "./db2/scan.js"
import { describe } from "./failure.js"
import { parseProperties } from "./properties.js"

const login = { user: "SEED", application: "seed", properties: parseProperties("") }

export const seed = (host: Host, statements: ReadonlyArray<string>): Effect.Effect<void, Db2Failure> =>
  statements.length === 0
    ? Effect.void
    : Effect.acquireUseRelease(
        Effect.mapError(Connection.open(host, login), (error) => describe(error, "", "")),
        (connection) => Effect.forEach(statements, (text) => runOne(connection, text), { discard: true }),
        (connection) => connection.close
      )

const runOne = (connection: Connection, text: string): Effect.Effect<void, Db2Failure> =>
  connection.exchange(
    verbOf(text),
    Effect.flatMap(connection.known(text), ({ statement }) =>
      statement._tag === "Run" && !statement.query
        ? Effect.asVoid(connection.run(statement, []))
        : Effect.fail(unsupported(`a seed that is no change: ${verbOf(text)}`))
    )
  )
