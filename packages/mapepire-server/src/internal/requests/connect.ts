/** `connect` and `exit`. */
import * as Effect from "effect/Effect"
import { type Client, type Fields, textField } from "../client.js"
import { Connection } from "../connection.js"
import { describe } from "../failure.js"
import { field } from "../json.js"
import { parseProperties } from "../properties.js"
import { failed, type Reply, success } from "../reply.js"
import { refusal, unknownTechnique } from "../signOn.js"

/** Opens the connection; one that is open is closed first, with everything in it. */
export const connect = (client: Client, _id: string, request: Fields): Effect.Effect<Reply> =>
  Effect.suspend(() => {
    const { address, connection, credentials, server } = client
    client.connection = undefined
    const open = Effect.suspend(() => {
      const technique = textField(request, "technique")?.toLowerCase() ?? "tcp"
      if (technique !== "tcp" && technique !== "cli") {
        return Effect.succeed(failed(unknownTechnique))
      }
      // The daemon makes one text of password and properties: a semicolon ends the password.
      const [password = "", ...injected] = credentials.password.split(";")
      const refused = refusal(server.users, server.rules, { user: credentials.user, password, address })
      if (refused !== undefined) {
        return Effect.succeed(failed(refused))
      }
      const properties = parseProperties([...injected, textField(request, "props") ?? ""].join(";"))
      const application = textField(request, "application") ?? ""
      const login = { user: credentials.user.toUpperCase(), application, properties }
      return Effect.matchEffect(Connection.open(server.host, login, client.outbound), {
        onFailure: (error) => {
          const { message } = describe(error, "", "")
          return Effect.succeed(failed({ message: `java.sql.SQLException: ${message}`, state: null, code: 0 }))
        },
        onSuccess: (made) => {
          if (client.ended) {
            // The socket has gone meanwhile, and with it the one who would have closed this.
            return Effect.as(made.close, success())
          }
          client.use(made)
          return Effect.succeed(success(field("job", made.job)))
        }
      })
    })
    return Effect.zipRight(connection === undefined ? Effect.void : connection.close, open)
  })

/** The socket stays open. The answer goes first, so the one who closes must not be waited for. */
export const exit = (client: Client): Effect.Effect<Reply> =>
  Effect.suspend(() => {
    const { connection } = client
    client.connection = undefined
    if (connection !== undefined) {
      client.fork(connection.close)
    }
    return Effect.succeed(success())
  })
