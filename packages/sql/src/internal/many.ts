/** One statement, many parameter rows: cut into chunks, one round trip each. */
import { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SqlFailure from "../SqlFailure.js"
import type * as SqlTransport from "../SqlTransport.js"
import type { Core } from "./core.js"
import { within } from "./deadline.js"
import { type AnyFiber, withFiber } from "./fiber.js"
import { deadlineOf } from "./settings.js"
import { stoppable } from "./stoppable.js"
import { transaction } from "./transaction.js"

/** Rows in one chunk, and what they may weigh together. */
const chunkRows = 4_096
const chunkBytes = 4 * 1024 * 1024

/** A guess is enough: it only decides where to cut. */
const weigh = (row: ReadonlyArray<unknown>): number => {
  let bytes = 0
  for (let i = 0; i < row.length; i++) {
    const value = row[i]
    bytes +=
      typeof value === "string"
        ? value.length
        : ArrayBuffer.isView(value) || value instanceof ArrayBuffer
          ? value.byteLength
          : 8
  }
  return bytes
}

/** Cuts rows into chunks as they are asked for, so that an endless iterable needs no memory. */
function* cut(rows: Iterable<ReadonlyArray<unknown>>): Generator<SqlTransport.ParameterRows> {
  let chunk: Array<ReadonlyArray<unknown>> = []
  let bytes = 0
  for (const row of rows) {
    const weight = weigh(row)
    if (chunk.length > 0 && (chunk.length === chunkRows || bytes + weight > chunkBytes)) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(row)
    bytes += weight
  }
  if (chunk.length > 0) {
    yield chunk
  }
}

/** Whether it is known beforehand that one round trip will do. */
const isOneChunk = (rows: unknown): boolean => {
  if (!Array.isArray(rows) || rows.length > chunkRows) {
    return false
  }
  let bytes = 0
  for (const row of rows as ReadonlyArray<ReadonlyArray<unknown>>) {
    bytes += weigh(row)
  }
  return bytes <= chunkBytes
}

interface Sum {
  rows: number
  changes: number | undefined
  /** Of chunks that were done, when a later one fails: they stay, or are undone by the engine or by our savepoint. */
  readonly then: "kept" | "undone" | "savepoint"
}

const isStream = <E, R>(rows: SqlTransport.RowSource<E, R>): rows is Stream.Stream<ReadonlyArray<unknown>, E, R> =>
  Stream.StreamTypeId in rows

export const many = <E, R>(
  core: Core,
  text: string,
  rows: SqlTransport.RowSource<E, R>
): Effect.Effect<{ readonly changes: number | undefined }, SqlError | E, R> =>
  withFiber((fiber) => {
    const level = core.levelOf(fiber.currentContext)
    // Inside a transaction the whole call is one step: all of it or nothing. A batch alone may be that already.
    const isStep = level === undefined || (core.transport.atomicBatches === true && isOneChunk(rows))
    const then = level?.root.use !== "required" ? "kept" : isStep ? "undone" : "savepoint"
    const sum: Sum = { rows: 0, changes: 0, then }
    const all = isStream(rows)
      ? inTime(
          fiber,
          text,
          sum,
          untilClosed(core, sum, (sending) =>
            Stream.runForEachChunk(Stream.rechunk(rows, chunkRows), (chunk) =>
              sending(sendAll(core, text, Chunk.toReadonlyArray(chunk), sum))
            )
          )
        )
      : sendAll(core, text, rows, sum)
    return Effect.map(then === "savepoint" ? transaction(core, {})(all) : all, () => ({ changes: sum.changes }))
  })

/** A Stream may take its time between two rows: no statement is there to keep the deadline then. */
const inTime = <E, R>(
  fiber: AnyFiber,
  text: string,
  { then }: Sum,
  effect: Effect.Effect<void, SqlError | E, R>
): Effect.Effect<void, SqlError | E, R> => {
  const deadline = deadlineOf(fiber.currentContext)
  return deadline === Infinity
    ? effect
    : within(effect, deadline, text, then === "savepoint" ? "notExecuted" : "unknown")
}

/** A Stream that stalls would not notice that its rows have no taker any more. What is being sent gets its answer. */
const untilClosed = <A, E, R>(
  core: Core,
  sum: Sum,
  all: (sending: <B, E, R>(send: Effect.Effect<B, E, R>) => Effect.Effect<B, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> => {
  const sending = Effect.unsafeMakeSemaphore(1).withPermits(1)
  const closed = Effect.catchAll(core.closed, (error) => sending(Effect.suspend(() => Effect.fail(ofAll(error, sum)))))
  return stoppable(Effect.raceFirst(all(sending), closed))
}

const sendAll = (
  core: Core,
  text: string,
  rows: Iterable<ReadonlyArray<unknown>>,
  sum: Sum
): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    const chunks = cut(rows)
    const step: Effect.Effect<void, SqlError> = Effect.suspend(() => {
      const chunk = chunks.next()
      return chunk.done === true ? Effect.void : Effect.zipRight(send(core, text, chunk.value, sum), step)
    })
    // An array has nothing to end; a generator has its `finally`.
    return Array.isArray(rows) ? step : Effect.onError(step, () => Effect.sync(() => chunks.return(undefined)))
  })

const send = (core: Core, text: string, rows: SqlTransport.ParameterRows, sum: Sum): Effect.Effect<void, SqlError> =>
  withFiber<void, SqlError>((fiber) => {
    const request = core.request(fiber, text, [], "arrays", true, undefined)
    if (request instanceof SqlError) {
      return Effect.fail(ofAll(request, sum))
    }
    const sent = core.telemetry.batch(fiber, [text], rows.length, core.batch(fiber, request, rows), (answer) => answer)
    const failed = (error: SqlError) => {
      const whole = ofAll(error, sum)
      core.levelOf(fiber.currentContext)?.failed(whole)
      return Effect.fail(whole)
    }
    return Effect.matchEffect(sent, {
      onFailure: failed,
      onSuccess: (answer) => {
        if (answer.error !== undefined) {
          return failed(answer.error)
        }
        sum.rows += rows.length
        sum.changes =
          answer.changes === undefined || sum.changes === undefined ? undefined : sum.changes + answer.changes
        return Effect.void
      }
    })
  })

/**
 * The session knows of its chunk alone, the caller of the call: which row it was, and whether nothing has been done. What is
 * in our savepoint goes with it, or, where that fails, with the transaction; of a session that is lost nobody knows.
 */
const ofAll = (error: SqlError, { rows, then }: Sum): SqlError => {
  const { failedRow, outcome, reason } = SqlFailure.from(error)
  const undone = then === "savepoint" && reason !== "SessionLost"
  if (rows === 0 && (!undone || outcome === "notExecuted")) {
    return error
  }
  return SqlFailure.annotate(error, {
    failedRow: failedRow === undefined ? undefined : rows + failedRow,
    outcome: undone ? "notExecuted" : then === "kept" ? "unknown" : outcome
  })
}
