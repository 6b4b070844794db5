/** A pull that is sent before anybody asks for its page: a credit to the engine. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type { SqliteAnswer } from "./answer.js"
import { Op } from "./boundary.js"
import { Call } from "./call.js"
import type { WorkerSession } from "./session.js"
import type { StatementEntry } from "./statementCache.js"

type Outcome = Effect.Effect<SqliteAnswer, SqlError>

export class PullAhead {
  readonly call: Call
  private outcome: Outcome | undefined
  private resume: ((outcome: Outcome) => void) | undefined

  constructor(
    private readonly worker: WorkerSession,
    request: SqlTransport.SqlRequest,
    cursor: number,
    entry: StatementEntry | undefined
  ) {
    this.call = new Call(Op.fetch, request, (error, answer) => {
      this.outcome = error === undefined ? Effect.succeed(answer!) : Effect.fail(error)
      this.resume?.(this.outcome)
    })
    this.call.cursor = cursor
    this.call.entry = entry
    worker.submit(this.call)
  }

  /** The page if it is there, also if the event loop has not come to see it yet. */
  poll(): Outcome | undefined {
    if (this.outcome === undefined) {
      this.worker.poll()
    }
    return this.outcome
  }

  /** Waits for the page. An interrupt leaves the call as it is. */
  readonly page: Outcome = SqlTransport.async((resume) => {
    if (this.outcome !== undefined) {
      return resume(this.outcome)
    }
    this.resume = resume
  })
}
