/** What lives in a worker and belongs to one session: a blob handle, a recording. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type { Command } from "./messages.js"
import * as failure from "./failure.js"
import type { OnWriter } from "./onWriter.js"
import { ResultCode } from "./resultCode.js"
import type { SqliteSession } from "./sqliteSession.js"

export class Owned {
  private session: SqliteSession | undefined

  constructor(
    private readonly onWriter: OnWriter,
    /** In messages. */
    private readonly what: string,
    /** Told, and asked for the failure, when it is of no use any more. */
    private readonly expired: () => SqlError
  ) {}

  /** Asks the session that it was opened on, none other: there it would be somebody else's. */
  ask(command: Command, opens: boolean, transfer?: Array<ArrayBuffer>): Effect.Effect<unknown, SqlError> {
    const asked = this.onWriter((session, request) => {
      if (opens) {
        this.session = session
        session.kept.add(this)
      } else if (this.session !== session) {
        return Effect.fail(failure.lost(`The session that this ${this.what} was opened on is gone`, "notExecuted"))
      }
      return session.command(command, transfer, request)
    })
    return Effect.mapError(asked, (error) =>
      SqlFailure.from(error).code === ResultCode.abort ? this.expired() : error
    )
  }

  /** Asked of the session itself: a close waits for nobody's transaction. Nothing to do where it never opened. */
  close(command: Command): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { session } = this
      if (session === undefined) {
        return Effect.void
      }
      session.kept.delete(this)
      return Effect.ignore(session.command(command))
    })
  }
}
