/**
 * From what the daemon, Db2 and the network say to `SqlFailure` reasons. Codes and states are those of IBM's "SQL messages
 * and codes" for IBM i; -99999 and the HY states are the JDBC driver's own.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Data from "effect/Data"

/** What a failure response says; a `Frame` has it. */
interface Refusal {
  readonly error: string | undefined
  readonly sqlState: string | null | undefined
  readonly sqlRc: number | undefined
}

/**
 * What lies beneath a `SqlFailure` of this package: the daemon's own words, and the job that said them.
 */
export class DaemonError extends Data.TaggedError("DaemonError")<{
  /** As the daemon sent it. */
  readonly message: string
  /** `NUMBER/USER/NAME`. */
  readonly job: string | undefined
  /** `SQL0204`, where the text begins with one. */
  readonly messageId: string | undefined
  readonly sqlState: string | undefined
  readonly sqlCode: number | undefined
  /** Rows of the job log; of CL commands. */
  readonly log: ReadonlyArray<Readonly<Record<string, unknown>>>
}> {}

/** SQLCODEs that say more than their SQLSTATE does. */
const byCode: Readonly<Record<number, SqlFailure.Reason>> = {
  [-803]: "UniqueViolation",
  [-911]: "Deadlock",
  [-918]: "TransactionGone",
  [-913]: "LockTimeout",
  [-952]: "Interrupted",
  [-666]: "StatementTimeout",
  [-551]: "Authorization",
  [-552]: "Authorization",
  [-7008]: "Unsupported"
}

const byState: Readonly<Record<string, SqlFailure.Reason>> = {
  "07001": "InvalidParameter",
  "07002": "InvalidParameter",
  "07006": "InvalidParameter",
  "07009": "InvalidParameter",
  "22001": "InvalidParameter",
  "22003": "InvalidParameter",
  "22007": "InvalidParameter",
  "22008": "InvalidParameter",
  "22018": "InvalidParameter",
  "22023": "InvalidParameter",
  "22024": "InvalidParameter",
  "23505": "UniqueViolation",
  "25006": "Authorization",
  "3B001": "TransactionGone",
  "40001": "Deadlock",
  // Nobody knows what became of the statement, nor of its transaction: as in class 08, the job is of no more use.
  "40003": "SessionLost",
  "42501": "Authorization",
  "42502": "Authorization",
  "42505": "Authorization",
  "43617": "SqlSyntax",
  "51021": "TransactionGone",
  "55019": "Unsupported",
  "57005": "StatementTimeout",
  "57014": "Interrupted",
  "57033": "LockTimeout",
  HY014: "SessionLost"
}

const byClass: Readonly<Record<string, SqlFailure.Reason>> = {
  "08": "SessionLost",
  "0A": "Unsupported",
  "23": "Constraint",
  "28": "Authentication",
  "40": "Serialization",
  "42": "SqlSyntax"
}

/** The reason for a pair of SQLSTATE and SQLCODE. */
export const reasonOf = (sqlState: string | undefined, sqlCode: number | undefined): SqlFailure.Reason =>
  (sqlCode === undefined ? undefined : byCode[sqlCode]) ??
  (sqlState === undefined ? undefined : (byState[sqlState] ?? byClass[sqlState.slice(0, 2)])) ??
  "Unknown"

/** The driver allows 9,999 statements per connection; this is how it refuses one more. */
export const isStatementLimit = (refusal: Refusal): boolean => refusal.sqlState === "HY014"

/** Class 40: the unit of work is gone with the statement. After -913, whatever its state, it is as it was before. */
export const endsTransaction = ({ sqlRc, sqlState }: Refusal): boolean =>
  sqlRc === -911 || (sqlRc !== -913 && sqlState?.startsWith("40") === true)

/** Db2 takes nothing else of the unit of work than its ROLLBACK. */
export const demandsRollback = (refusal: Refusal): boolean => refusal.sqlRc === -918 || refusal.sqlState === "51021"

/** The statement was stopped by a cancel. */
export const isCancelled = (refusal: Refusal): boolean => refusal.sqlRc === -952 || refusal.sqlState === "57014"

const advice = (refusal: Refusal): string => {
  if (isStatementLimit(refusal)) {
    return ": this job has used up the statements that its driver allows; use a new one"
  }
  if (refusal.sqlState === "40003") {
    return ": nobody knows what became of the statement, so its job is used no more"
  }
  if (endsTransaction(refusal)) {
    return ": the transaction was rolled back; run it again"
  }
  switch (refusal.sqlRc) {
    case -913:
      return ": another job kept its lock longer than the file's wait time; the transaction is still open"
    case -7008:
      return ": a table must be journaled to be changed in a transaction"
    case -418:
      return ": give the marker a type, as in CAST(? AS VARCHAR(100))"
    default:
      return ""
  }
}

const namesIn = (text: string): Partial<SqlFailure.Details> => {
  const column = /column or variable ([^\s.]+)/i.exec(text)?.[1]
  const constraint = /constraint ([^\s.]+)(?: in [^\s.]+)?/i.exec(text)?.[1]
  return {
    ...(column === undefined ? undefined : { columns: [column] }),
    ...(constraint === undefined || /^not$/i.test(constraint) ? undefined : { constraint })
  }
}

/** What a failure is about. */
export interface Subject {
  readonly job: string | undefined
  readonly statement?: string | undefined
}

/** The daemon's own words as data. */
export const daemonError = (
  refusal: Refusal,
  job: string | undefined,
  log: ReadonlyArray<Readonly<Record<string, unknown>>> = []
): DaemonError => {
  const message = refusal.error ?? "The daemon said that the request failed, and not why"
  return new DaemonError({
    message,
    job,
    messageId: /^\[([A-Z0-9]{7})\]/.exec(message)?.[1],
    sqlState: refusal.sqlState ?? undefined,
    sqlCode: refusal.sqlRc,
    log
  })
}

/** A failure response to a statement. The daemon answered, so the statement did not have its effect. */
export const refused = (
  refusal: Refusal,
  subject: Subject,
  outcome?: SqlFailure.Outcome,
  log?: ReadonlyArray<Readonly<Record<string, unknown>>>
): SqlError => {
  const cause = daemonError(refusal, subject.job, log)
  const sqlState = cause.sqlState
  const notConnected = /^Not connected$/i.test(cause.message)
  const reason = notConnected ? "SessionLost" : reasonOf(sqlState, cause.sqlCode)
  const lostInside = reason === "SessionLost" && !notConnected && !isStatementLimit(refusal)
  return SqlFailure.make({
    reason,
    message: cause.message + advice(refusal),
    // 0 stands for "none" where the failure was not Db2's.
    code: cause.sqlCode === 0 ? undefined : cause.sqlCode,
    sqlState,
    statement: subject.statement,
    outcome: outcome ?? (lostInside ? "unknown" : "notExecuted"),
    ...(reason === "Constraint" || reason === "UniqueViolation" ? namesIn(cause.message) : undefined),
    cause
  })
}

/** What a failed `connect` says of credentials that will never do. */
const notThisUser =
  /user ?id is not known|password is (incorrect|expired|not set|not valid)|password.{0,20}(incorrect|expired)|user ?id is disabled|user (id|profile).{0,30}(disabled|revoked|expired|not valid)|invalid (username|password)|authentication (factor|failed)/i

/**
 * A failure response to `connect`: its text is all there is. `said` is the same before secrets were taken out of it: a
 * password may be one of the words by which it is understood.
 */
export const connectRefused = (refusal: Refusal, address: string, said: unknown): SqlError => {
  const text = refusal.error ?? "no reason was given"
  const whole = typeof said === "string" ? said : text
  const reason = notThisUser.test(whole)
    ? "Authentication"
    : /refused by security rule/i.test(whole)
      ? "Authorization"
      : "Connection"
  return SqlFailure.make({
    reason,
    message: `${address} refused the connection: ${text}`,
    sqlState: refusal.sqlState ?? undefined,
    cause: daemonError({ ...refusal, error: text }, undefined)
  })
}

/** The daemon could not be reached. */
export const unreachable = (address: string, why: string, cause?: unknown): SqlError =>
  SqlFailure.make({ reason: "Connection", message: `Cannot connect to ${address}: ${why}`, cause })

/** A failure to connect without what `scrub` takes out; what lies beneath it goes, where that is not as harmless. */
export const scrubbed = (error: SqlError, scrub: (text: string) => string): SqlError => {
  const { cause, message } = SqlFailure.from(error)
  // An answer that was no HTTP is kept in its error, byte by byte.
  const told =
    cause instanceof Error ? ("rawPacket" in cause ? undefined : (cause.stack ?? cause.message)) : textOf(cause)
  return SqlFailure.annotate(error, {
    message: scrub(message),
    cause: told !== undefined && scrub(told) === told ? cause : undefined
  })
}

/** Of the answers which say that the request is wrong: these may be another one in a moment. */
const passing: ReadonlySet<number> = new Set([408, 425, 429])

/** The upgrade was answered with something else than 101. */
export const upgradeRefused = (address: string, status: number, why: string): SqlError => {
  const login = status === 401 || status === 403
  const advice = status === 404 ? ". Is `path` where the daemon's WebSocket is?" : ""
  return SqlFailure.make({
    reason: login ? "Authentication" : "Connection",
    message: `${address} refused the WebSocket with HTTP status ${status}${why === "" ? "" : ` (${why})`}${advice}`,
    code: status,
    permanent: status >= 400 && status < 500 && !passing.has(status)
  })
}

/** Credentials or options that must not be sent. */
export const badConfig = (message: string): SqlError => SqlFailure.make({ reason: "InvalidParameter", message })

export const rejectedBefore = (user: string, address: string): SqlError =>
  SqlFailure.make({
    reason: "Authentication",
    message:
      `${address} has refused the password of ${user} before. It is not tried again, so that the profile is not ` +
      "disabled: build the layer anew with the right one, or let `credentials` answer differently"
  })

export const closed = (statement?: string): SqlError =>
  SqlFailure.make({ reason: "Closed", message: "The job was closed", statement })

/** The link ended, or was given up. */
export const lost = (why: string, outcome: SqlFailure.Outcome, subject: Subject): SqlError =>
  SqlFailure.make({
    reason: "SessionLost",
    message: `The connection of job ${subject.job ?? "(not connected)"} is lost: ${why}`,
    outcome,
    statement: subject.statement
  })

export const stuck = (subject: Subject): SqlError =>
  SqlFailure.make({
    reason: "SessionLost",
    message: `Job ${subject.job} was given up: a statement on it did not stop within the grace period`,
    outcome: "unknown",
    statement: subject.statement
  })

export const late = (subject: Subject, outcome: SqlFailure.Outcome): SqlError =>
  SqlFailure.make({
    reason: "StatementTimeout",
    message: "The deadline passed before the statement had ended",
    outcome,
    statement: subject.statement
  })

export const poisoned = (subject: Subject): SqlError =>
  SqlFailure.make({
    reason: "Interrupted",
    message: "A pull of this result was interrupted or failed, so its position is lost; run the statement again",
    statement: subject.statement
  })

export const closedCursor = (subject: Subject): SqlError =>
  SqlFailure.make({
    reason: "Closed",
    message: "This result was closed before its end; run the statement again for its other rows",
    statement: subject.statement
  })

/** A prepared statement whose scope has ended. */
export const closedStatement = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Closed",
    message:
      "This prepared statement was closed with its scope; prepare it in a scope that lasts as long as it is used",
    statement
  })

/** A statement, cursor or prepared statement of a connection that was replaced by `reconnect`. */
export const replaced = (subject: Subject): SqlError =>
  SqlFailure.make({
    reason: "SessionLost",
    message: "The job was connected anew since: its statements, cursors and prepared statements of before are gone",
    statement: subject.statement
  })

/** A cursor of a transaction that was rolled back. */
export const rolledBack = (subject: Subject): SqlError =>
  SqlFailure.make({
    reason: "TransactionGone",
    message: "A rollback on its job has closed this result before its end; run the statement again for its other rows",
    statement: subject.statement
  })

export const unsupported = (message: string, statement?: string, outcome?: SqlFailure.Outcome): SqlError =>
  SqlFailure.make({ reason: "Unsupported", message, statement, outcome })

/** Bytes would be written in one way or the other, and perhaps be stored as others than they are. */
export const untoldVersion = (statement: string): SqlError =>
  unsupported(
    "The daemon does not tell its version, so how it takes bytes is not known: set the option binary to hex or base64",
    statement
  )

/** They would be lost without a word. */
export const rowsOfNothing = (statement: string | undefined): SqlError =>
  SqlFailure.make({
    reason: "Unknown",
    message: "The daemon sent rows, and not what their columns are",
    outcome: "executed",
    statement
  })

/** An answer that is not what the protocol says. */
export const protocol = (message: string, subject: Subject, cause?: unknown): SqlError =>
  SqlFailure.make({ reason: "Unknown", message, outcome: "unknown", statement: subject.statement, cause })

export const withOutcome = (error: SqlError, outcome: SqlFailure.Outcome): SqlError =>
  SqlFailure.annotate(error, { outcome })

/** It is not known to have had no effect. */
export const perhaps = (error: SqlError): SqlError =>
  SqlFailure.from(error).outcome === "notExecuted" ? withOutcome(error, "unknown") : error

/** Tells a failure from what there is in its place. */
export const isSqlError = (value: unknown): value is SqlError =>
  typeof value === "object" && value !== null && "_tag" in value && value._tag === "SqlError"

/** The words of whatever was thrown, or emitted as an event. */
export const textOf = (error: unknown): string => {
  if (typeof error === "object" && error !== null) {
    if ("error" in error && error.error !== undefined) {
      return textOf(error.error)
    }
    // Of several addresses of one host all may refuse; their common error has no text of its own.
    if ("errors" in error && Array.isArray(error.errors) && error.errors.length > 0) {
      return textOf(error.errors[0])
    }
    if ("message" in error && typeof error.message === "string" && error.message !== "") {
      return error.message
    }
    if ("code" in error && typeof error.code === "string") {
      return error.code
    }
  }
  return String(error)
}
