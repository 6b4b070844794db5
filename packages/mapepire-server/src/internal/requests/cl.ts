/** `cl`: a command, answered with what it has written into the job log. */
import * as Effect from "effect/Effect"
import { booleanField, type Client, type Fields, textField } from "../client.js"
import { type Described, resultFields } from "../columns.js"
import { commandOf, type LogEntry } from "../commands.js"
import type { Connection } from "../connection.js"
import * as failures from "../db2/failures.js"
import { makeType } from "../db2/types.js"
import { field, fields, rawField } from "../json.js"
import { failed, missing, type Reply, success } from "../reply.js"

const text = (name: string, length: number): Described => ({ name, type: makeType("VARCHAR", length), nullable: 1 })

/** QSYS2.JOBLOG_INFO's columns, after two that sum a message up. */
const columns: ReadonlyArray<Described> = [
  { name: "SUMMARY", type: makeType("VARCHAR", 1041), nullable: 2 },
  { name: "SEVERITY", type: makeType("SMALLINT"), nullable: 1 },
  text("MESSAGE_SECOND_LEVEL_TEXT", 4096),
  text("MESSAGE_ID", 7),
  text("MESSAGE_TYPE", 13),
  text("MESSAGE_SUBTYPE", 22),
  { name: "MESSAGE_TIMESTAMP", type: makeType("TIMESTAMP", 6), nullable: 0 },
  text("FROM_LIBRARY", 10),
  text("FROM_PROGRAM", 256),
  text("FROM_MODULE", 10),
  text("FROM_PROCEDURE", 4096),
  text("FROM_INSTRUCTION", 10),
  text("TO_LIBRARY", 10),
  text("TO_PROGRAM", 10),
  text("TO_MODULE", 10),
  text("TO_PROCEDURE", 4096),
  text("TO_INSTRUCTION", 10),
  text("FROM_USER", 10),
  text("MESSAGE_LIBRARY", 10),
  text("MESSAGE_FILE", 10),
  { name: "MESSAGE_TOKEN_LENGTH", type: makeType("SMALLINT"), nullable: 1 },
  text("MESSAGE_TOKENS", 4096),
  text("MESSAGE_TEXT", 1024),
  text("MESSAGE_KEY", 8),
  text("QUALIFIED_JOB_NAME", 28)
]

const row = (entry: LogEntry, connection: Connection): ReadonlyArray<unknown> => {
  const values: Readonly<Record<string, unknown>> = {
    SUMMARY: `${entry.id === "" ? "*NONE" : entry.id} [${entry.type.slice(0, 4)}]: ${entry.text}`,
    SEVERITY: entry.severity,
    MESSAGE_ID: entry.id === "" ? null : entry.id,
    MESSAGE_TYPE: entry.type,
    MESSAGE_TIMESTAMP: new Date().toISOString().replace("T", " ").replace("Z", "000"),
    FROM_USER: connection.login.user,
    MESSAGE_TEXT: entry.text,
    QUALIFIED_JOB_NAME: connection.job
  }
  return columns.map(({ name }) => values[name] ?? null)
}

export const cl = (client: Client, _id: string, request: Fields): Effect.Effect<Reply> => {
  const command = textField(request, "cmd")
  if (command === undefined) {
    return Effect.succeed(missing)
  }
  const { connection } = client
  if (connection === undefined) {
    return Effect.succeed(failed(failures.notConnected))
  }
  const detail = client.server.behaviour.fullColumns ? "full" : "old"
  return Effect.match(connection.exchange("CL", commandOf(command, connection.knowsLibrary).run), {
    onFailure: failed,
    onSuccess: ({ failure, log }) => {
      const answer = fields(
        rawField("metadata", `{${resultFields(columns, connection.job, detail)}}`),
        rawField(
          "data",
          client
            .writer(columns, booleanField(request, "terse"), connection)
            .rows(log.map((entry) => row(entry, connection)))
        ),
        field("is_done", true)
      )
      return failure === undefined ? success(answer) : failed({ message: failure, state: "38501", code: -443 }, answer)
    }
  })
}
