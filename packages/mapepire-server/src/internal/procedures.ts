/** What can be CALLed. */
import * as Effect from "effect/Effect"
import type { Connection } from "./connection.js"
import type { ServerContext } from "./context.js"
import * as failures from "./db2/failures.js"
import { commandOf } from "./commands.js"

export interface ProcedureParameter {
  readonly name: string
  /** A Db2 type, such as `DECIMAL(9,2)`. */
  readonly type: string
  readonly mode: "IN" | "OUT" | "INOUT"
}

export interface ProcedureAnswer {
  /** One value per parameter, in order; those of IN parameters are not looked at. */
  readonly outputs?: ReadonlyArray<unknown> | undefined
  /** A query whose rows are the procedure's result set. */
  readonly query?: string | undefined
}

export interface ProcedureFailure {
  readonly message: string
  /** Default `38501`. */
  readonly state?: string | undefined
  /** Default -443. */
  readonly code?: number | undefined
}

export interface Procedure {
  readonly parameters: ReadonlyArray<ProcedureParameter>
  /**
   * Gets one value per parameter, in order; `null` for NULL, for OUT, and for those that the CALL leaves out. The type of the
   * parameter decides what a value is: `number` for SMALLINT, INTEGER, REAL and DOUBLE, `bigint` for BIGINT, text with all
   * digits for DECIMAL, NUMERIC and DECFLOAT, `boolean` for BOOLEAN, `Uint8Array` for BINARY, VARBINARY and BLOB; everything
   * else is text, dates and times as ISO writes them (`2024-06-15`, `13:45:30`, `2024-06-15 13:45:30.123456`).
   *
   * A failure is Db2's answer to the CALL; a defect is logged, and answered with SQLCODE -443 without what it was.
   */
  readonly run: (values: ReadonlyArray<unknown>) => Effect.Effect<ProcedureAnswer, ProcedureFailure>
}

const input = (name: string, type: string): ProcedureParameter => ({ name, type, mode: "IN" })

/** A name that has been asked for by its own name or with any schema. */
export const find = (server: ServerContext, connection: Connection, name: string): Procedure | undefined => {
  const plain = name.slice(name.lastIndexOf(".") + 1).toUpperCase()
  switch (plain) {
    case "CANCEL_SQL":
      return cancelSql(server, connection)
    case "QCMDEXC":
      return {
        parameters: [input("COMMAND", "VARCHAR(32702)")],
        run: ([command]) =>
          Effect.flatMap(commandOf(String(command), connection.knowsLibrary).run, ({ failure }) =>
            failure === undefined
              ? Effect.succeed({})
              : Effect.fail({ message: `[CPF0006] Errors occurred in command.` })
          )
      }
    case "WLM_SET_CLIENT_INFO":
      return {
        parameters: ["USERID", "WRKSTNNAME", "APPLNAME", "ACCTSTR", "PROGRAMID"].map((key) =>
          input(key, "VARCHAR(255)")
        ),
        run: () => Effect.succeed({})
      }
  }
  const own = Object.entries(server.procedures).find(
    ([known]) =>
      known.toUpperCase() === name.toUpperCase() || known.slice(known.lastIndexOf(".") + 1).toUpperCase() === plain
  )
  return own?.[1]
}

/** Posts a stop to another job and returns; what comes of it is not told. */
const cancelSql = (server: ServerContext, connection: Connection): Procedure => ({
  parameters: [input("QUALIFIED_JOB_NAME", "VARCHAR(28)")],
  run: ([name]) =>
    Effect.suspend((): Effect.Effect<ProcedureAnswer, ProcedureFailure> => {
      const job = server.host.jobs.get(String(name))
      if (job === undefined) {
        return Effect.fail({ message: `[SQL0443] Job ${String(name)} not found.` })
      }
      if (job.user !== connection.login.user) {
        return Effect.fail({ message: "[SQL0552] Not authorized to QSYS2.CANCEL_SQL.", state: "42502", code: -552 })
      }
      return Effect.as(server.postCancel(job), {})
    })
})

export const failureOf = ({ code = -443, message, state = "38501" }: ProcedureFailure): failures.Db2Failure => ({
  message: message.startsWith("[") ? message : failures.routineFailed(message).message,
  state,
  code
})
