/** An open result: one page per pull, closed on the daemon's side whatever happens. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as failure from "../failure.js"
import type { Frame } from "../frame.js"
import type { RowDecoder } from "../rows.js"
import { JobAnswer } from "./answer.js"
import { afterRun } from "./effects.js"
import type { JobSession } from "./session.js"
import type { Blobs, Task, TaskRequest } from "./task.js"

export class JobCursor implements SqlTransport.Cursor {
  private id: string | undefined
  private epoch = 0
  private generation = 0
  private decoder: RowDecoder | undefined
  /** It may have values that are to be fetched. */
  private binary = false
  private ended = false
  private poisoned = false
  /** On purpose, before its end. */
  private left = false
  /** A pull is under way; one that failed for good stays. */
  private pulling = false
  /** Pages that came, and pages that somebody got: one in between was lost to an interrupt. */
  private arrived = 0
  private taken = 0
  first!: JobAnswer

  constructor(
    private readonly session: JobSession,
    private readonly task: Task,
    readonly prefetch: number
  ) {}

  get request(): TaskRequest {
    return this.task.request
  }

  get statement(): string {
    return this.task.request.text
  }

  get columns(): ReadonlyArray<SqlTransport.Column> {
    return this.first.columns
  }

  get isDone(): boolean {
    return this.ended || this.id === undefined
  }

  /** There is more than the first page. */
  opened(id: string, first: JobAnswer, binary: boolean): void {
    if (this.ended) {
      // Whoever wanted it has gone.
      return this.session.wire.close(id, this.session.wire.epoch)
    }
    this.binary = binary
    this.id = id
    this.epoch = this.task.call!.epoch
    this.generation = this.task.call!.generation
    this.decoder = first.decoder
  }

  get next(): Effect.Effect<JobAnswer, SqlError> {
    return this.pull(this.prefetch)
  }

  /** A page of at most so many rows. */
  pull(rows: number): Effect.Effect<JobAnswer, SqlError> {
    return Effect.suspend(() => {
      const { wire } = this.session
      const { id } = this
      const subject = { job: wire.job, statement: this.statement }
      if (this.left) {
        return Effect.fail(this.afterRun(failure.closedCursor(subject)))
      }
      if (id !== undefined && !this.ended) {
        const gone = this.goneSince(this.epoch, this.generation)
        if (gone !== undefined) {
          return Effect.fail(this.afterRun(gone))
        }
      }
      if (this.poisoned || this.arrived !== this.taken || this.pulling) {
        return Effect.fail(this.afterRun(failure.poisoned(subject)))
      }
      if (this.ended || id === undefined) {
        return Effect.succeed(this.end)
      }
      this.pulling = true
      const page = this.task.ask(
        { type: "sqlmore", cont_id: id, rows },
        (frame, _id, blobs) => this.came(frame, id, blobs),
        () => this.binary
      )
      const stopped = Effect.suspend(() => {
        this.poisoned = true
        return this.task.interrupted
      })
      return SqlTransport.onInterrupt(
        Effect.mapBoth(page, {
          onFailure: (error) => this.afterRun(error),
          onSuccess: (answer) => {
            this.taken++
            return answer
          }
        }),
        () => stopped
      )
    })
  }

  afterRun(error: SqlError): SqlError {
    return afterRun(error, this.statement)
  }

  /** The first page, too, may have been read after its result was closed; so it cannot be the last one. */
  get goneAtFirst(): SqlError | undefined {
    const { epoch, generation } = this.task.call!
    return this.goneSince(epoch, generation)
  }

  /** Why a page cannot be believed: for a result that was closed the daemon sends an empty last one, and calls it success. */
  private goneSince(epoch: number, generation: number): SqlError | undefined {
    const { wire } = this.session
    return generation === wire.generation
      ? undefined
      : (epoch === wire.epoch ? failure.rolledBack : failure.replaced)({ job: wire.job, statement: this.statement })
  }

  private came(frame: Frame, id: string, blobs: Blobs | undefined): JobAnswer | SqlError {
    const { wire } = this.session
    this.pulling = false
    this.arrived++
    const gone = this.goneSince(this.epoch, this.generation)
    if (gone !== undefined) {
      return gone
    }
    const answer = this.session.answer(frame, this.decoder, this.request, blobs)
    if (answer.done && !this.ended) {
      this.ended = true
      if (frame.success && (this.request.params === undefined || this.request.params.length === 0)) {
        // Read to its end, the driver has closed it.
        wire.handles--
      }
      wire.close(id, this.epoch)
    }
    return answer.error !== undefined && answer.length === 0 ? answer.error : answer
  }

  /** Nobody waits for this: `sqlclose` goes out as soon as it may, its answer is only taken note of. */
  get closed(): Effect.Effect<void> {
    return Effect.sync(() => {
      const { id } = this
      if (this.ended) {
        return
      }
      this.ended = true
      if (id === undefined) {
        return
      }
      this.left = true
      this.task.call?.whenAnswered(() => this.session.wire.close(id, this.epoch))
    })
  }

  private get end(): JobAnswer {
    return new JobAnswer({
      decoder: this.first.decoder,
      pages: [],
      done: true,
      changes: undefined,
      engineNanos: 0,
      inTransaction: this.session.transactionOpen,
      error: undefined,
      outputs: []
    })
  }
}
