/** A statement that is prepared once and run often: a handle of the daemon's, kept by a scope. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as MapepireJob from "../../MapepireJob.js"
import type { ColumnMetadata, Parameter } from "../../Protocol.js"
import { columnsOf } from "../columns.js"
import * as failure from "../failure.js"
import type { Frame } from "../frame.js"
import { beginInTime } from "./inTime.js"
import type { JobAnswer } from "./answer.js"
import { callResult, nullRefused, parametersOf, withoutOut } from "./procedure.js"
import { requestOf } from "./request.js"
import { hasBinary, type JobSession } from "./session.js"
import { type Blobs, Task, type TaskRequest } from "./task.js"
import { fromVerb } from "./text.js"

interface Described {
  readonly id: string
  readonly epoch: number
  readonly columns: ReadonlyArray<ColumnMetadata>
  readonly parameters: MapepireJob.Prepared["parameters"]
}

/**
 * The daemon only knows that a page was the last one if it runs into the end: one row more than wanted is asked for. It
 * takes no greater number than this.
 */
const maxRows = 0x7fffffff

class PreparedStatement {
  /** One execution at a time: the daemon would mix up the parameters of two. */
  private readonly turn = Effect.unsafeMakeSemaphore(1)
  /** Undefined after a failure: the handle may have kept rows that the next execution would run. */
  private handle: Described | undefined
  /** Its scope has ended: nobody would close another handle. */
  private over = false
  private readonly epoch: number

  constructor(
    private readonly session: JobSession,
    private readonly text: string
  ) {
    this.epoch = session.wire.epoch
  }

  /** For a request: it is the one who waits, if the handle has to be made first. */
  prepare(request: TaskRequest): Effect.Effect<Described, SqlError> {
    const { session, text } = this
    if (this.over) {
      return Effect.fail(failure.closedStatement(text))
    }
    if (this.epoch !== session.wire.epoch) {
      return Effect.fail(failure.replaced({ job: session.wire.job, statement: text }))
    }
    if (this.handle !== undefined) {
      return Effect.succeed(this.handle)
    }
    const task = new Task(session.wire, session.stops, request)
    const prepared = task.ask({ type: "prepare_sql", sql: fromVerb(text) }, (frame, id) => {
      if (!frame.success) {
        session.wire.close(id, session.wire.epoch)
        return session.refusal(frame, text)
      }
      if (this.over) {
        session.wire.close(id, task.call!.epoch)
        return failure.closedStatement(text)
      }
      return (this.handle = {
        id,
        epoch: task.call!.epoch,
        columns: columnsOf(frame) ?? [],
        parameters: parametersOf(frame)
      })
    })
    return Effect.onInterrupt(prepared, () => task.interrupted)
  }

  readonly close: Effect.Effect<void> = Effect.sync(() => {
    const { handle } = this
    this.handle = undefined
    if (handle !== undefined) {
      this.session.wire.close(handle.id, handle.epoch)
    }
  })

  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.over = true
    return this.close
  })

  execute(request: SqlTransport.SqlRequest): Effect.Effect<JobAnswer, SqlError> {
    const encoded = this.session.parameters(withoutOut(request.params))
    return failure.isSqlError(encoded)
      ? this.session.unencoded(encoded, request, () => this.execute(request))
      : this.send(encoded, request, (frame, blobs) => {
          if (!frame.success && frame.data === undefined) {
            return this.session.refusalWithoutRows(frame, request)
          }
          const columns = frame.data === undefined || frame.body.has_results !== true ? undefined : columnsOf(frame)
          const answer = this.session.answer(
            frame,
            columns === undefined ? undefined : this.session.decoder(columns, request),
            request,
            blobs
          )
          return !answer.done
            ? failure.unsupported(
                `The result has more than ${request.prefetch} rows, and the rest of it cannot be read: the daemon keeps ` +
                  "no cursor for a prepared statement. Use query, or ask for more rows per page",
                request.text,
                "executed"
              )
            : (answer.error ?? answer)
        })
  }

  /** Rows of a batch; a failure may come after some of them. */
  batch(
    rows: ReadonlyArray<ReadonlyArray<Parameter>>,
    request: SqlTransport.SqlRequest
  ): Effect.Effect<JobAnswer, SqlError> {
    return this.send(rows, request, (frame) => {
      const answer = this.session.answer(frame, undefined, request)
      return answer.error === undefined ? answer : failure.withOutcome(answer.error, "unknown")
    })
  }

  private send(
    parameters: ReadonlyArray<unknown>,
    request: SqlTransport.SqlRequest,
    answer: (frame: Frame, blobs?: Blobs) => JobAnswer | SqlError
  ): Effect.Effect<JobAnswer, SqlError> {
    const { session } = this
    const prepared = Effect.suspend(() => this.prepare(request))
    const sent = Effect.flatMap(prepared, (handle) => {
      const task = new Task(session.wire, session.stops, request)
      task.closesCursors = session.closesCursors(fromVerb(this.text))
      const rows = Math.min(request.prefetch + 1, maxRows)
      const message = { type: "execute", cont_id: handle.id, parameters, rows, terse: true } as const
      const executed = task.ask(
        message,
        (frame, _id, blobs) => {
          if (!frame.success) {
            Effect.runSync(this.close)
          }
          return answer(frame, blobs)
        },
        hasBinary
      )
      // Stopped or late: how far it came is not known.
      const given = () =>
        Effect.sync(() => {
          if (this.handle === handle && task.call?.answered !== true) {
            this.handle = undefined
            task.call?.whenAnswered(() => session.wire.close(handle.id, handle.epoch))
          }
        })
      return Effect.onInterrupt(Effect.tapError(executed, given), () => Effect.zipRight(given(), task.interrupted))
    })
    return beginInTime(request, sent, (sent) => this.turn.withPermits(1)(sent))
  }
}

export const prepare = <A extends object>(
  session: JobSession,
  request: SqlTransport.SqlRequest,
  config: MapepireJob.JobConfig
): Effect.Effect<MapepireJob.Prepared<A>, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const statement = new PreparedStatement(session, request.text)
      // First: an interrupt may come with the answer, and then nothing follows it.
      yield* Effect.addFinalizer(() => statement.end)
      const described = yield* restore(statement.prepare(request))
      /** Captured when an execution starts: it is for the fiber that executes. */
      const started = <B>(
        parameters: ReadonlyArray<unknown>,
        options: MapepireJob.QueryOptions | undefined,
        use: (request: SqlTransport.SqlRequest) => Effect.Effect<B, SqlError>
      ) =>
        Effect.withFiberRuntime<B, SqlError>((fiber) =>
          use(requestOf(fiber, request.text, parameters, options, request.prefetch))
        )
      const sendAll = (
        rows: SqlTransport.ParameterRows,
        request: SqlTransport.SqlRequest
      ): Effect.Effect<JobAnswer, SqlError> => {
        const chunks = session.chunks(rows)
        return failure.isSqlError(chunks)
          ? session.unencoded(chunks, request, () => sendAll(rows, request))
          : session.sum(chunks, (chunk) => statement.batch(chunk, request))
      }
      return {
        columns: session.decoder(described.columns, request).columns,
        parameters: described.parameters,
        execute: (parameters = [], options) =>
          started(parameters, options, (request) => {
            const wrong = nullRefused(described.parameters, parameters, request.text)
            return wrong === undefined
              ? Effect.map(statement.execute(request), (answer) => callResult<A>(answer, config))
              : Effect.fail(wrong)
          }),
        batch: (rows, options) =>
          started([], options, (request) => Effect.map(sendAll(rows, request), ({ changes }) => ({ changes })))
      }
    })
  )
