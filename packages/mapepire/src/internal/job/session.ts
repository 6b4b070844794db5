/** A job as the port wants it. The pool's session and the job that is used by itself are both this. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ColumnMetadata, Parameter } from "../../Protocol.js"
import { columnsOf } from "../columns.js"
import * as failure from "../failure.js"
import type { Frame } from "../frame.js"
import { outputParameters } from "../outputs.js"
import { encodeParameterRows, encodeParameters, isNull, type ParameterOptions, shapeUnknown } from "../parameters.js"
import { rowDecoder, type RowDecoder, type RowOptions } from "../rows.js"
import { kindOf } from "../values.js"
import { JobAnswer } from "./answer.js"
import { type ByteShape, byteShapeOf } from "./byteShape.js"
import { chunksOf } from "./chunks.js"
import { JobCursor } from "./cursor.js"
import { afterRun, mayWrite } from "./effects.js"
import { type Handle, Handles } from "./handles.js"
import { ownRequest } from "./request.js"
import type { Stops } from "./stop.js"
import { type Blobs, Task, type TaskRequest } from "./task.js"
import { changesMeaning, closesCursors, fromVerb, isCall, mayHaveRows } from "./text.js"
import type { Wire } from "./wire.js"

type Chunks = ReadonlyArray<ReadonlyArray<ReadonlyArray<Parameter>>>

export interface SessionOptions {
  /** Rows per message where the whole result is wanted. */
  readonly pageSize: number
  /** Prepared statements kept for repeated changes. */
  readonly statementCacheSize: number
  /** Bounds of one message of a batch. */
  readonly batchRows: number
  readonly batchBytes: number
  /** Changes are undone until they are committed: not in autocommit. */
  readonly transactional: boolean
  /** Cursors stay open when a transaction is committed. */
  readonly cursorHold: boolean
  /** How bytes are written. Undefined: as the daemon's version wants them. */
  readonly binary: ByteShape | undefined
  readonly rows: Omit<RowOptions, "integers" | "shape">
}

/** Output parameters of everything but a CALL. */
const none = "[]"

export class JobSession implements SqlTransport.Session {
  readonly keepsContract = true
  private readonly handles: Handles
  /** Results with the same metadata have the very same columns, so what was made of these serves all of them. */
  private readonly decoders = new WeakMap<ReadonlyArray<ColumnMetadata>, Map<string, RowDecoder>>()
  /** The protocol does not tell whether a transaction is open: who begins and ends them says so here. */
  transactionOpen = false
  /** Of an open transaction: Db2 takes nothing but its ROLLBACK any more. */
  mustRollBack = false
  /** Changes are undone until they are committed: not in autocommit. */
  transactional: boolean
  /** Cursors stay open when a transaction is committed. */
  cursorHold: boolean
  /** Who never sends bytes never asks. */
  private parameterOptions: ParameterOptions
  private readonly listeners: Array<(error: SqlError) => void> = []

  constructor(
    readonly wire: Wire,
    readonly stops: Stops,
    private readonly options: SessionOptions,
    readonly lost: Effect.Effect<SqlError>
  ) {
    this.handles = new Handles(wire, options.statementCacheSize)
    this.transactional = options.transactional
    this.cursorHold = options.cursorHold
    this.parameterOptions = { binary: options.binary ?? "ask" }
  }

  get id(): string {
    return this.wire.job ?? "(not connected)"
  }

  readonly inTransaction = (): boolean => this.transactionOpen

  // ----------------------------------------------------------------------------------------------------- the port

  readonly run = (request: SqlTransport.SqlRequest): Effect.Effect<JobAnswer, SqlError> =>
    SqlTransport.uninterruptibleMask((restore) => this.runThen(request, restore, Effect.void))

  /**
   * Runs a statement, then `after`, whatever came of it. For callers that are uninterruptible already: every statement
   * comes along here, and a second region would take some more steps.
   */
  runThen(
    request: SqlTransport.SqlRequest,
    restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>,
    after: Effect.Effect<void>,
    inGrace = false
  ): Effect.Effect<JobAnswer, SqlError> {
    const task = new Task(this.wire, this.stops, request)
    task.inGrace = inGrace
    const cursor = new JobCursor(this, task, this.options.pageSize)
    const succeeded = (page: JobAnswer) => (after === Effect.void ? Effect.succeed(page) : Effect.as(after, page))
    const failed = (cause: Cause.Cause<SqlError>) =>
      Effect.zipRight(Effect.zipRight(Effect.zipRight(task.interrupted, cursor.closed), after), Effect.failCause(cause))
    // `onError` would take some more steps, too.
    return Effect.matchCauseEffect(restore(Effect.suspend(() => this.first(task, cursor, this.options.pageSize))), {
      onFailure: failed,
      onSuccess: (page) =>
        page.error !== undefined
          ? failed(Cause.fail(page.error))
          : page.done
            ? succeeded(page)
            : Effect.matchCauseEffect(restore(this.rest(cursor, page)), { onFailure: failed, onSuccess: succeeded })
    })
  }

  /** Nothing is lost with a job that does not answer these in time: the daemon undoes its transaction when the connection ends. */
  readonly runInGrace = (request: SqlTransport.SqlRequest): Effect.Effect<JobAnswer, SqlError> =>
    SqlTransport.uninterruptibleMask((restore) => this.runThen(request, restore, Effect.void, true))

  /** A job whose transaction cannot be undone is of no more use. */
  readonly rollback = (request: SqlTransport.SqlRequest): Effect.Effect<JobAnswer, SqlError> =>
    Effect.onError(this.runInGrace(request), () =>
      Effect.sync(() =>
        this.wire.retire(failure.lost("a transaction could not be undone", "notExecuted", { job: this.wire.job }))
      )
    )

  readonly open = (request: SqlTransport.SqlRequest): Effect.Effect<JobCursor, SqlError, Scope.Scope> =>
    SqlTransport.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const task = new Task(this.wire, this.stops, request)
        const cursor = new JobCursor(this, task, request.prefetch)
        const first = Effect.onError(this.first(task, cursor, request.prefetch), () =>
          Effect.zipRight(task.interrupted, cursor.closed)
        )
        return Effect.flatMap(restore(first), (page) => {
          if (page.error !== undefined && page.length === 0) {
            return Effect.fail(page.error)
          }
          cursor.first = page
          return page.done
            ? Effect.succeed(cursor)
            : Effect.as(
                Effect.addFinalizer(() => cursor.closed),
                cursor
              )
        })
      })
    )

  /** In as many messages as the bounds demand; if one of them fails, those before it have had their effect. */
  readonly batch = (
    request: SqlTransport.SqlRequest,
    rows: SqlTransport.ParameterRows
  ): Effect.Effect<JobAnswer, SqlError> =>
    Effect.suspend(() => {
      const text = fromVerb(request.text)
      const chunks = this.chunks(rows)
      if (failure.isSqlError(chunks)) {
        return this.unencoded(chunks, request, () => this.batch(request, rows))
      }
      const task = new Task(this.wire, this.stops, request)
      return SqlTransport.onInterrupt(
        this.sum(chunks, (chunk) =>
          Effect.mapError(this.change(task, text, chunk, "unknown"), (error) =>
            // Answered, with a failure, while it was being stopped: some of its rows may be there.
            chunk.length > 1 && task.call?.stoppedWith !== undefined ? failure.perhaps(error) : error
          )
        ),
        () => task.interrupted
      )
    })

  /** The parameters of one execution; if they cannot be had, see `unencoded`. */
  parameters(params: ReadonlyArray<unknown>): ReadonlyArray<Parameter> | SqlError {
    return encodeParameters(params, this.parameterOptions)
  }

  /** Rows as messages; the same. */
  chunks(rows: SqlTransport.ParameterRows): Chunks | SqlError {
    const encoded = encodeParameterRows(rows, this.parameterOptions)
    return failure.isSqlError(encoded) ? encoded : chunksOf(encoded, this.options.batchRows, this.options.batchBytes)
  }

  /** What to do where parameters could not be encoded: ask the daemon how it takes bytes and try again, or fail. */
  unencoded<A>(
    error: SqlError,
    request: TaskRequest,
    again: () => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    if (error !== shapeUnknown) {
      return Effect.fail(SqlFailure.annotate(error, { statement: request.text }))
    }
    const task = new Task(this.wire, this.stops, request)
    const asked = task.ask({ type: "getversion" }, (frame) => {
      const binary = byteShapeOf(frame.body.version)
      if (binary === undefined) {
        return frame.success ? failure.untoldVersion(request.text) : this.refusal(frame, request.text)
      }
      this.parameterOptions = { binary }
      return undefined
    })
    return Effect.zipRight(
      // The statement itself has not been sent yet.
      Effect.mapError(
        SqlTransport.onInterrupt(asked, () => task.interrupted),
        (error) => failure.withOutcome(error, "notExecuted")
      ),
      Effect.suspend(again)
    )
  }

  /** One message after the other, their counts as one answer. */
  sum(
    chunks: Chunks,
    send: (chunk: Chunks[number]) => Effect.Effect<JobAnswer, SqlError>
  ): Effect.Effect<JobAnswer, SqlError> {
    let changes: number | undefined = 0
    let nanos = 0
    const from = (i: number): Effect.Effect<JobAnswer, SqlError> =>
      i >= chunks.length
        ? Effect.sync(
            () =>
              new JobAnswer({
                decoder: undefined,
                pages: [],
                done: true,
                changes,
                engineNanos: nanos,
                inTransaction: this.transactionOpen,
                error: undefined,
                outputs: []
              })
          )
        : Effect.flatMap(Effect.mapError(send(chunks[i]!), partly(i, chunks.length)), (answer) => {
            changes = changes === undefined || answer.changes === undefined ? undefined : changes + answer.changes
            nanos += answer.engineNanos
            return from(i + 1)
          })
    return from(0)
  }

  /** By preparing it: nothing is run. */
  readonly describe = (text: string): Effect.Effect<SqlTransport.Description, SqlError> =>
    Effect.suspend(() => {
      const sql = fromVerb(text)
      const task = new Task(this.wire, this.stops, { text, deadline: Infinity })
      const described = task.ask({ type: "prepare_sql", sql }, (frame, id) => {
        this.wire.close(id, this.wire.epoch)
        return frame.success
          ? {
              parameters: typeof frame.body.parameter_count === "number" ? frame.body.parameter_count : 0,
              columns: rowDecoder(columnsOf(frame) ?? [], this.options.rows).columns,
              routable: false,
              private: false
            }
          : this.refusal(frame, text)
      })
      return SqlTransport.onInterrupt(described, () => task.interrupted)
    })

  /** `ping` does not ask Db2, so this runs a statement. */
  get check(): Effect.Effect<void, SqlError> {
    return Effect.asVoid(this.run(ownRequest("VALUES 1")))
  }

  readonly whenLost = (listener: (error: SqlError) => void): void => {
    const { refusal } = this.wire
    if (refusal === undefined) {
      this.listeners.push(listener)
    } else {
      listener(refusal)
    }
  }

  /** Whoever made the session tells it so; perhaps more than once. */
  died(error: SqlError): void {
    for (const listener of this.listeners.splice(0)) {
      listener(error)
    }
  }

  /** Gives up the prepared statements that are kept. */
  forget(): void {
    this.handles.clear()
  }

  readonly statements = (): number => this.wire.handles

  // -------------------------------------------------------------------------------------------------- statements

  /** The first answer to a statement, in the cheapest way that fits it. Tells the cursor what there is to go on with. */
  private first(task: Task, cursor: JobCursor, rows: number): Effect.Effect<JobAnswer, SqlError> {
    const text = fromVerb(task.request.text)
    if (!changesMeaning(text)) {
      return this.send(task, text, cursor, rows)
    }
    this.handles.clear()
    // Nobody knows what was run before it and what after it, of all that was sent until its end.
    const after = Effect.sync(() => this.handles.clear())
    return Effect.ensuring(this.send(task, text, cursor, rows), after)
  }

  private send(task: Task, text: string, cursor: JobCursor, rows: number): Effect.Effect<JobAnswer, SqlError> {
    const { request } = task
    const { params } = request
    task.closesCursors = this.closesCursors(text)
    if (params === undefined || params.length === 0) {
      return task.ask(
        { type: "sql", sql: text, rows, terse: true },
        (frame, id, blobs) => this.opened(frame, id, cursor, blobs),
        hasBinary
      )
    }
    const parameters = this.parameters(params)
    if (failure.isSqlError(parameters)) {
      return this.unencoded(parameters, request, () => this.send(task, text, cursor, rows))
    }
    return mayHaveRows(text)
      ? task.ask(
          { type: "prepare_sql_execute", sql: text, parameters, rows, terse: true },
          (frame, id, blobs) => this.opened(frame, id, cursor, blobs),
          hasBinary
        )
      : this.change(task, text, parameters, undefined)
  }

  /** In autocommit there is no transaction that it could end: it does nothing. */
  closesCursors(text: string): boolean {
    return this.transactional && closesCursors(text, this.cursorHold)
  }

  /** A change with parameters, or a batch of them, on a kept handle if there is a free one. */
  private change(
    task: Task,
    text: string,
    parameters: ReadonlyArray<unknown>,
    outcome: SqlFailure.Outcome | undefined
  ): Effect.Effect<JobAnswer, SqlError> {
    const kept = this.handles.take(text)
    const { era } = this.handles
    const answered = (frame: Frame, handle: Handle): JobAnswer | SqlError => {
      if (frame.success && task.request.prepared !== false) {
        this.handles.give(text, handle, era)
      } else {
        this.wire.close(handle.id, handle.epoch)
      }
      return frame.success
        ? this.answer(frame, undefined, task.request)
        : this.refusal(frame, task.request.text, outcome)
    }
    if (kept === undefined) {
      return task.ask({ type: "prepare_sql_execute", sql: text, parameters, rows: 1, terse: true }, (frame, id) =>
        answered(frame, { id, epoch: task.call!.epoch })
      )
    }
    task.borrowed = kept
    return task.ask({ type: "execute", cont_id: kept.id, parameters, rows: 1, terse: true }, (frame) => {
      task.borrowed = undefined
      return answered(frame, kept)
    })
  }

  private opened(frame: Frame, id: string, cursor: JobCursor, blobs?: Blobs): JobAnswer | SqlError {
    if (!frame.success && frame.data === undefined) {
      this.wire.close(id, this.wire.epoch)
      return this.refusalWithoutRows(frame, cursor.request)
    }
    const columns = frame.data === undefined && frame.body.has_results !== true ? undefined : columnsOf(frame)
    const decoder = columns === undefined ? undefined : this.decoder(columns, cursor.request)
    const gone = decoder !== undefined && frame.body.is_done === true ? cursor.goneAtFirst : undefined
    if (gone !== undefined) {
      this.wire.close(id, this.wire.epoch)
      return cursor.afterRun(gone)
    }
    const answer = this.answer(frame, decoder, cursor.request, blobs)
    if (answer.done) {
      this.wire.close(id, this.wire.epoch)
    } else {
      cursor.opened(id, answer, hasBinary(frame))
    }
    return answer
  }

  /** The pages after the first, all of them. */
  private rest(cursor: JobCursor, first: JobAnswer): Effect.Effect<JobAnswer, SqlError> {
    const pages = [first]
    const more: Effect.Effect<JobAnswer, SqlError> = Effect.flatMap(cursor.next, (page) => {
      pages.push(page)
      return page.error !== undefined
        ? Effect.fail(page.error)
        : page.done
          ? Effect.succeed(JobAnswer.all(pages))
          : more
    })
    return Effect.onError(more, () => cursor.closed)
  }

  // ------------------------------------------------------------------------------------------------------ answers

  decoder(columns: ReadonlyArray<ColumnMetadata>, { integers, shape }: Task["request"]): RowDecoder {
    let made = this.decoders.get(columns)
    if (made === undefined) {
      made = new Map()
      this.decoders.set(columns, made)
    }
    const key = `${integers} ${shape}`
    let decoder = made.get(key)
    if (decoder === undefined) {
      decoder = rowDecoder(columns, { ...this.options.rows, integers, shape })
      made.set(key, decoder)
    }
    return decoder
  }

  /** A response as a page; what failed after some rows came is in it. */
  answer(frame: Frame, decoder: RowDecoder | undefined, request: TaskRequest, blobs?: Blobs): JobAnswer {
    const more = blobs === undefined ? undefined : { blob: (address: string) => blobs.get(address) }
    const rows = decoder === undefined || frame.data === undefined ? undefined : decoder.decode(frame.data, more)
    const { text: statement } = request
    const error = frame.success
      ? rows?.error === undefined
        ? undefined
        : SqlFailure.annotate(rows.error, { statement })
      : this.refusalOfRun(frame, statement)
    const unread =
      decoder === undefined && frame.success && hasRows(frame) ? failure.rowsOfNothing(statement) : undefined
    const outputs = frame.outputs === undefined || frame.outputs === none ? [] : this.outputs(frame.outputs, request)
    const count = frame.body.update_count
    return new JobAnswer({
      decoder,
      pages: rows === undefined ? [] : [rows],
      done: error !== undefined || decoder === undefined || frame.body.is_done === true,
      // Of batches a negative sum means that Db2 did not count.
      changes: decoder === undefined && typeof count === "number" && count >= 0 ? count : undefined,
      engineNanos: (frame.executionTime ?? 0) * 1e6,
      inTransaction: this.transactionOpen,
      error: error ?? unread ?? (failure.isSqlError(outputs) ? outputs : undefined),
      outputs: failure.isSqlError(outputs) ? [] : outputs
    })
  }

  /** Output parameters, read as columns are. */
  private outputs(text: string, { integers }: TaskRequest): ReturnType<typeof outputParameters> {
    return outputParameters(text, { ...this.options.rows, integers })
  }

  /** Of a failure response that has no rows. */
  refusalWithoutRows(frame: Frame, request: TaskRequest): SqlError {
    const { text } = request
    const error = frame.body.has_results === true ? this.refusalOfRun(frame, text) : this.refusal(frame, text)
    return mayHaveRun(frame, request) ? failure.perhaps(error) : error
  }

  /** The statement was run, and reading its rows failed. */
  private refusalOfRun(frame: Frame, statement: string): SqlError {
    return afterRun(this.refusal(frame, statement), statement)
  }

  /** A failure response as a failure. Some say that the job is of no more use. */
  refusal(frame: Frame, statement: string | undefined, outcome?: SqlFailure.Outcome): SqlError {
    // What a statement had changed until it was cancelled stays changed in autocommit.
    const partial =
      !this.transactional && failure.isCancelled(frame) && (statement === undefined || mayWrite(statement))
    const known = outcome ?? (frame.refused && !partial ? undefined : "unknown")
    const error = failure.refused(frame, { job: this.wire.job, statement }, known)
    const { reason } = SqlFailure.from(error)
    if (failure.demandsRollback(frame)) {
      this.mustRollBack = this.transactionOpen
    }
    if (failure.endsTransaction(frame)) {
      this.transactionOpen = false
      if (this.transactional) {
        // With its cursors.
        this.wire.generation++
      }
    }
    if (failure.isStatementLimit(frame)) {
      this.wire.exhaust(error)
    } else if (reason === "SessionLost") {
      this.wire.retire(error)
    }
    return error
  }
}

/** The outcome of a batch, of which a message failed: what came before it has had its effect, what follows has not. */
const partly =
  (index: number, count: number) =>
  (error: SqlError): SqlError => {
    const { outcome } = SqlFailure.from(error)
    const whole = outcome === "executed" ? index === count - 1 : index === 0
    return whole ? error : failure.withOutcome(error, "unknown")
  }

/**
 * NULL for an INOUT parameter: the procedure runs, and reading the parameter back is what fails. That is the daemon's own
 * failure, or its driver's (-99999), and not Db2's.
 */
const mayHaveRun = ({ sqlRc = 0 }: Frame, { params = [], text }: TaskRequest): boolean =>
  (sqlRc === 0 || sqlRc === -99999) && params.some(isNull) && isCall(fromVerb(text))

const hasRows = ({ data }: Frame): boolean =>
  data !== undefined && /[^\s[\]]/.test(data.text.slice(data.start, data.end))

/** Only these can have values that are to be fetched. */
export const hasBinary = (frame: Frame): boolean =>
  columnsOf(frame)?.some(({ type }) => kindOf(type) === "binary") ?? false
