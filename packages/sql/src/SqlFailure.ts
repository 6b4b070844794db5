/**
 * What went wrong, as data: the cause of every `SqlError`.
 *
 * `catchTag("SqlError")` keeps working; `SqlFailure.from(error).reason` tells what to do about it.
 *
 * @since 0.1.0
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Schedule from "effect/Schedule"
import * as Struct from "effect/Struct"

/**
 * Why a statement, a connection or a transaction failed. The names are those of Effect v4 where it has one.
 *
 * | reason | meaning | typical remedy |
 * | --- | --- | --- |
 * | `Connection` | the database could not be opened or reached | look at file name, host, rights |
 * | `PoolTimeout` | no session became free in time; `holders` names who has them | larger pool, shorter transactions |
 * | `Closed` | the client was closed | start again with a new layer |
 * | `Authentication`, `Authorization` | who you are; what you may do | credentials; grants |
 * | `SqlSyntax` | the text does not compile: syntax, unknown table or column | mend the text |
 * | `InvalidParameter` | a value that cannot be sent, or a wrong number of them | mend the call |
 * | `ConversionFailed` | a value that cannot be given back exactly | `SafeIntegers`, another column type |
 * | `UniqueViolation`, `Constraint` | a rule of the schema | mend the data |
 * | `Deadlock`, `Serialization` | lost against another transaction | retry the transaction |
 * | `LockTimeout` | another connection kept a lock too long | retry, raise the busy timeout |
 * | `StatementTimeout` | the deadline passed | more time, or less work |
 * | `TransactionGone` | the transaction has already ended | look at the first failure in it |
 * | `Interrupted` | stopped by an explicit `interrupt()` | as intended |
 * | `SessionLost` | the worker or connection died | retry if `outcome` allows |
 * | `ReentrantCall` | a callback called the session it runs in | use another session |
 * | `Unsupported` | this transport or engine cannot do it | see the message |
 * | `Unknown` | none of the above | see `code` and the message |
 *
 * @since 0.1.0
 * @category models
 */
export type Reason =
  | "Connection"
  | "PoolTimeout"
  | "Closed"
  | "Authentication"
  | "Authorization"
  | "SqlSyntax"
  | "InvalidParameter"
  | "ConversionFailed"
  | "UniqueViolation"
  | "Constraint"
  | "Deadlock"
  | "Serialization"
  | "LockTimeout"
  | "StatementTimeout"
  | "TransactionGone"
  | "Interrupted"
  | "SessionLost"
  | "ReentrantCall"
  | "Unsupported"
  | "Unknown"

/**
 * Whether the statement had its effect: `notExecuted` it had none, `executed` it had it, `unknown` nobody can tell
 * (the connection died while it ran).
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = "notExecuted" | "executed" | "unknown"

/**
 * What a `SqlFailure` is made from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Details {
  readonly reason: Reason
  /** What happened and what to do about it; never a parameter's value. */
  readonly message: string
  /** The database's own code: SQLite's extended result code, Db2's SQLCODE. */
  readonly code?: number | string | undefined
  /** Five characters, where the database gives one. */
  readonly sqlState?: string | undefined
  /** The SQL text, without values. */
  readonly statement?: string | undefined
  /** Default `notExecuted`. */
  readonly outcome?: Outcome | undefined
  /** The constraint that was violated, as far as the database names it. */
  readonly constraint?: string | undefined
  /** The columns of that constraint, or the one whose value cannot be given, as the database names them. */
  readonly columns?: ReadonlyArray<string> | undefined
  /** Index, from 0, of the row of `sql.many` that failed. */
  readonly failedRow?: number | undefined
  /** Trying again cannot help, although with this reason it may: the file is no database, say. */
  readonly permanent?: boolean | undefined
  /** Who held the sessions that were waited for. */
  readonly holders?: ReadonlyArray<string> | undefined
  /** What lies beneath, where something does. */
  readonly cause?: unknown
}

const retryable: ReadonlySet<Reason> = new Set([
  "PoolTimeout",
  "Deadlock",
  "Serialization",
  "LockTimeout",
  "SessionLost",
  "Connection"
])

/**
 * The cause of every `SqlError`: a real `Error` with a reason, the database's own code, the statement's text (never its
 * values), and whether the statement had its effect.
 *
 * @example
 * ```ts
 * import { SqlFailure } from "@sluice/sql"
 * import { Effect } from "effect"
 *
 * const tolerant = <A, R>(insert: Effect.Effect<A, import("@effect/sql/SqlError").SqlError, R>) =>
 *   insert.pipe(Effect.catchIf(SqlFailure.is("UniqueViolation"), () => Effect.logInfo("already there")))
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class SqlFailure extends Data.TaggedError("SqlFailure")<Details & { readonly outcome: Outcome }> {
  constructor(details: Details) {
    super({ ...details, outcome: details.outcome ?? "notExecuted" })
  }

  /**
   * Whether the same statement (or the whole transaction, for `Deadlock` and `Serialization`) may succeed when it is
   * tried again, and trying again cannot do its work twice. Of failures to open a database: whether what is in the way
   * may be gone in a moment, as a lock, or a folder that is not there yet.
   */
  get isRetryable(): boolean {
    return retryable.has(this.reason) && this.outcome === "notExecuted" && this.permanent !== true
  }
}

/**
 * Makes a `SqlError` whose cause is a `SqlFailure`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (details: Details): SqlError =>
  new SqlError({ cause: new SqlFailure(details), message: details.message })

/**
 * The failure within any error: its cause when that is a `SqlFailure`, itself when it is one, else one with reason
 * `Unknown` around it. Never fails.
 *
 * @since 0.1.0
 * @category accessors
 */
export const from = (error: unknown): SqlFailure => {
  let message = "An error that cannot be shown"
  // Anything may be thrown: what has no text, or throws when it is looked at.
  try {
    if (error instanceof SqlFailure) {
      return error
    }
    const cause = typeof error === "object" && error !== null && "cause" in error ? error.cause : undefined
    if (cause instanceof SqlFailure) {
      return cause
    }
    message = String(error instanceof Error ? error.message : error)
  } catch {
    // It stays as it is.
  }
  return new SqlFailure({ reason: "Unknown", message, outcome: "unknown", cause: error })
}

/**
 * A predicate over errors: is the reason one of these?
 *
 * @since 0.1.0
 * @category predicates
 */
export const is =
  (...reasons: ReadonlyArray<Reason>) =>
  (error: unknown): boolean =>
    reasons.includes(from(error).reason)

/**
 * Retries what is safe to retry (`isRetryable`): five times at most, with jittered exponential delays that start at 20
 * milliseconds. Never repeats a statement whose outcome is unknown. For less: `Schedule.intersect(Schedule.recurs(2))`.
 *
 * @since 0.1.0
 * @category schedules
 */
export const retryPolicy: Schedule.Schedule<unknown, unknown> = /* @__PURE__ */ Schedule.whileInput(
  /* @__PURE__ */ Schedule.intersect(
    /* @__PURE__ */ Schedule.jittered(/* @__PURE__ */ Schedule.exponential("20 millis")),
    /* @__PURE__ */ Schedule.recurs(5)
  ),
  (error: unknown) => from(error).isRetryable
)

/**
 * The same failure with more known about it (its statement's text, the row that failed).
 *
 * @since 0.1.0
 * @category combinators
 */
export const annotate = (error: SqlError, details: Partial<Details>): SqlError => {
  const known = Struct.pick(
    from(error),
    "cause",
    "code",
    "columns",
    "constraint",
    "failedRow",
    "holders",
    "message",
    "outcome",
    "permanent",
    "reason",
    "sqlState",
    "statement"
  )
  return make({ ...known, ...details })
}
