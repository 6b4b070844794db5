/** From a page to what the caller gets: rows decoded, the failure named. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import { SqliteAnswer } from "./answer.js"
import { Op } from "./boundary.js"
import { callbackFailed } from "./messages.js"
import type { Call } from "./call.js"
import { makeDecoder, type PageSource, readColumns, readError, UnsafeIntegerError } from "./decoder.js"
import * as failure from "./failure.js"
import { Flag, Header, Why } from "./page.js"

/**
 * Takes a page of a call; undefined while more pages of the same answer follow. `failed` is the session's own reason,
 * where it has been ended; `holders` has the sessions and statements of the client that may hold a lock.
 */
export const readPage = (
  call: Call,
  source: PageSource,
  base: number,
  failed: SqlError | undefined,
  holders: failure.Holders
): SqliteAnswer | undefined => {
  const word = base >> 2
  const flags = source.u32[word + Header.flags]!
  const { request } = call
  const entry = call.entry
  if ((flags & Flag.columns) !== 0 && entry !== undefined) {
    entry.columns = readColumns(source, base) ?? []
    entry.decoder = makeDecoder(entry.columns)
  }
  let rows: Array<unknown> = []
  if (source.u32[word + Header.rows]! > 0 && !call.abandoned && call.error === undefined) {
    try {
      rows = entry!.decoder!.decode(source, base, request.shape, request.integers)
    } catch (error) {
      if (!(error instanceof UnsafeIntegerError)) {
        throw error
      }
      rows = entry!.decoder!.decode(source, base, request.shape, "bigint")
      const unsafe = cutAtUnsafe(rows, error)
      call.error = failure.unsafeInteger(
        typeof unsafe === "number" ? entry!.columns[unsafe]!.name : unsafe,
        request.text
      )
    }
  }
  if ((flags & Flag.more) !== 0) {
    call.rows = append(call.rows, rows)
    return undefined
  }
  if (call.rows !== undefined) {
    rows = append(call.rows, rows)
  }
  const error = outcomeOf(
    call.error ?? callbackErrorOf(call, source, base) ?? errorOf(call, source, base, failed, holders),
    flags
  )
  call.opened = call.op === Op.open && (flags & Flag.done) === 0
  return new SqliteAnswer(call, source, base, rows, error)
}

/**
 * Of rows with bigints leaves those before the first integer that a number cannot hold, with numbers. Answers its column: the
 * name, of arrays the place.
 */
const cutAtUnsafe = (rows: Array<unknown>, error: UnsafeIntegerError): string | number => {
  for (let r = 0; r < error.row; r++) {
    const row = rows[r] as Record<string, unknown>
    for (const name of Object.keys(row)) {
      const value = row[name]
      if (typeof value === "bigint") {
        const number = Number(value)
        if (!Number.isSafeInteger(number)) {
          rows.length = r
          return Array.isArray(row) ? Number(name) : name
        }
        row[name] = number
      }
    }
  }
  rows.length = error.row
  return error.column
}

/** What a callback that failed makes of its statement: the failure itself is the cause of the cause. */
export const callbackError = (call: Call, outcome: SqlFailure.Outcome): SqlError | undefined => {
  const { cause, refused } = call
  if (cause === undefined) {
    // What a hook is told of behind a commit is done, however late the hook is.
    return refused === undefined || outcome === "notExecuted" ? refused : failure.withOutcome(refused, outcome)
  }
  const failed = Cause.failureOption(cause)
  if (Option.isNone(failed)) {
    call.died = cause as Cause.Cause<never>
  }
  return failure.callbackFailed(Option.getOrUndefined(failed), call.request.text, outcome)
}

/** A callback that has failed without a reason was stopped, or never begun; the portable engine cannot say why. */
export const stoppedInCallback = (call: Call, message: string, failed?: SqlError): SqlError | undefined => {
  const { deadline, text } = call.request
  const late = deadline <= performance.now()
  return message === callbackFailed || (late && call.callback !== undefined)
    ? late
      ? failure.late(text, "notExecuted")
      : (failed ?? failure.interrupted(text))
    : undefined
}

/** A statement that was stopped, or is late, has that for its reason, whatever became of its callback. */
const callbackErrorOf = (call: Call, source: PageSource, base: number): SqlError | undefined => {
  const word = base >> 2
  const why = source.u32[word + Header.why]!
  if (why !== Why.none && why !== Why.callback) {
    return undefined
  }
  const error = callbackError(call, source.i32[word + Header.code] === 0 ? "executed" : "notExecuted")
  return error === undefined ? undefined : atFailedRow(call, source, base, error)
}

/** Of a script whose statements before have been done. */
const outcomeOf = (error: SqlError | undefined, flags: number): SqlError | undefined =>
  error === undefined || (flags & Flag.partial) === 0 ? error : failure.withOutcome(error, "unknown")

const atFailedRow = (call: Call, source: PageSource, base: number, error: SqlError): SqlError => {
  const row = source.i32[(base >> 2) + Header.detail]!
  return call.op === Op.batch && row >= 0 ? failure.atRow(error, row) : error
}

const errorOf = (
  call: Call,
  source: PageSource,
  base: number,
  failed: SqlError | undefined,
  holders: failure.Holders
): SqlError | undefined => {
  const word = base >> 2
  const flags = source.u32[word + Header.flags]!
  const why = source.u32[word + Header.why]!
  const code = source.i32[word + Header.code]!
  const { text } = call.request
  switch (why) {
    case Why.none:
      break
    case Why.deadline:
      return failure.late(text, (flags & Flag.executed) === 0 ? "notExecuted" : "executed")
    case Why.cancelled:
      // Nobody reads this but the deadline's timer, which stops a call in the moment that it begins.
      // Nor anybody but the abort of a session, which has its own reason.
      return call.request.deadline <= performance.now()
        ? failure.late(text, "notExecuted")
        : (failed ?? failure.interrupted(text))
    case Why.interrupted:
      return failure.interrupted(text)
    case Why.leftTransaction:
      return failure.leftTransaction(text)
    case Why.noTransaction:
      return failure.noTransaction(text)
    case Why.parameters:
      return failure.wrongCount(
        source.i32[word + Header.detail]!,
        call.parameterRows?.[0]?.length ?? call.request.params.length,
        text
      )
    case Why.closed:
      return failure.closed(text)
    case Why.insideTransaction:
      return failure.insideTransaction
  }
  if (code === 0) {
    return undefined
  }
  const message = readError(source, base) ?? `SQLite result code ${code}`
  const stopped = stoppedInCallback(call, message, failed)
  if (stopped !== undefined) {
    return stopped
  }
  return atFailedRow(call, source, base, failure.heldBy(failure.sqliteFailure({ code, message }, text), holders))
}

const append = (before: Array<unknown> | undefined, rows: Array<unknown>): Array<unknown> => {
  if (before === undefined) {
    return rows
  }
  for (let i = 0; i < rows.length; i++) {
    before.push(rows[i])
  }
  return before
}
