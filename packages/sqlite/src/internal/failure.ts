/** From SQLite's result codes to `SqlFailure` reasons (https://www.sqlite.org/rescode.html). */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import type { ErrorMessage } from "./messages.js"
import { WorkerError } from "./modules/model.js"
import type { ParameterError } from "./parameters.js"
import { ExtendedCode, OwnCode, primaryCode, ResultCode } from "./resultCode.js"
import { firstStatement } from "./split.js"
import { type Thrown, unpack } from "./thrown.js"

const uniqueCodes: ReadonlySet<number> = new Set([
  ExtendedCode.unique,
  ExtendedCode.primaryKey,
  ExtendedCode.uniqueRowid
])

const notCompiled =
  /syntax error|incomplete input|unrecognized token|no such |has no column|ambiguous column|already exists|wrong number of arguments|may not be|misuse of|near "|values for|default value|cannot |must have|do not have the same|should (match|come)|too many|unknown |duplicate|values were supplied|term out of range|misused|does not match any|missing datatype|more than one primary key|recursive table|aggregate functions are not|HAVING clause|trigger-program|unable to identify|no tables specified|sub-select|expected|tree is too large|circularly defined|variable number|parser stack/i

/** Of code 1, too. */
const refused = /^not authorized|^unsafe use of |prohibited|may not be modified$/
/** What SQLite says of every statement when it has parsed such a schema. Of code 11. */
const unsafeSchema = /^malformed database schema [^]* - (?:unsafe use of |non-deterministic functions prohibited)/
const tooLarge = /pattern too complex|too many levels of trigger/
/** Of statements that want the connection for themselves; and of those of them that must not be in a transaction. */
const besideResult = / - SQL statements in progress$|^cannot change (?:into|out of) wal mode|^database .* is locked$/
const inTransaction = /\b(?:within|inside) (?:a )?transaction$/
const badValue = /^integer overflow$|^malformed JSON|^bad JSON path/

const reasonOf = (code: number, message: string): SqlFailure.Reason => {
  if (uniqueCodes.has(code)) {
    return "UniqueViolation"
  }
  switch (primaryCode(code)) {
    case ResultCode.error:
      return refused.test(message)
        ? "Authorization"
        : besideResult.test(message)
          ? "LockTimeout"
          : inTransaction.test(message)
            ? "Unsupported"
            : tooLarge.test(message) || badValue.test(message)
              ? "InvalidParameter"
              : notCompiled.test(message)
                ? "SqlSyntax"
                : "Unknown"
    case ResultCode.corrupt:
      return unsafeSchema.test(message) ? "Authorization" : "Unknown"
    case ResultCode.abort:
      return code === ExtendedCode.abortRollback ? "TransactionGone" : "Unknown"
    case ResultCode.busy:
      return code === ExtendedCode.busySnapshot ? "Serialization" : "LockTimeout"
    case ResultCode.locked:
    case ResultCode.protocol:
      return "LockTimeout"
    case ResultCode.readonly:
      return code === ExtendedCode.moved ? "Connection" : "Authorization"
    case ResultCode.perm:
    case ResultCode.auth:
      return "Authorization"
    case ResultCode.interrupt:
      return "Interrupted"
    case ResultCode.ioerr:
    case ResultCode.cantopen:
    case ResultCode.notadb:
      return "Connection"
    case ResultCode.constraint:
    case ResultCode.mismatch:
      return "Constraint"
    case ResultCode.toobig:
    case ResultCode.range:
      return "InvalidParameter"
    default:
      return "Unknown"
  }
}

/** "UNIQUE constraint failed: t.a, t.b" names columns, "CHECK constraint failed: name" a constraint. */
const constraintOf = (message: string): Partial<SqlFailure.Details> => {
  const match = /^(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed(?:: (.*))?$/.exec(message)
  const what = match?.[2]
  if (what === undefined) {
    return {}
  }
  const index = /^index '(.*)'$/.exec(what)
  if (index !== null) {
    return { constraint: index[1] }
  }
  return match![1] === "UNIQUE" || match![1] === "NOT NULL"
    ? { constraint: what, columns: what.split(", ").map((name) => name.slice(name.lastIndexOf(".") + 1)) }
    : { constraint: what }
}

/** What to do, for codes whose message does not say it. */
const advice = (code: number, message: string): string | undefined => {
  switch (code) {
    case ExtendedCode.abortRollback:
      return (
        "a transaction on the same session was rolled back, which ended this result; run the statement again, " +
        "and with readers a stream outside of transactions has a session of its own"
      )
    case ExtendedCode.busySnapshot:
      return "another connection has written since this transaction began to read; run the transaction again"
    case ExtendedCode.moved:
      return "the file was moved or replaced since it was opened; make the client anew"
  }
  switch (primaryCode(code)) {
    case ResultCode.error:
      return besideResult.test(message)
        ? "a result or a transaction on the same session is open; end it first"
        : /^cannot start a transaction/.test(message)
          ? "inside of one use sql.withTransaction, which makes a savepoint"
          : inTransaction.test(message)
            ? "run it outside of transactions"
            : undefined
    case ResultCode.busy:
      if (message.startsWith("the database cannot be replaced")) {
        return undefined
      }
      return /^unable to delete\/modify/.test(message) || besideResult.test(message)
        ? "a result on the same session is open; end its stream first"
        : "another connection kept its lock longer than the busy timeout"
    case ResultCode.locked:
      return "an open result on the same session reads it; end its stream first"
    case ResultCode.nomem:
      return "SQLite got no memory, or the statement is beyond the limit vdbeOps"
    case ResultCode.readonly:
      return "the file or its folder may not be written to, or the connection only reads"
    case ResultCode.ioerr:
      return "reading or writing the files of the database failed; look at the disk, its mount and its rights"
    case ResultCode.corrupt:
      return unsafeSchema.test(message)
        ? "the schema is not trusted, and needs a function that was registered; see innocuous and trustedSchema"
        : "the file is damaged; pragma integrity_check tells where, a backup brings it back"
    case ResultCode.full:
      return "make room on the disk, or raise max_page_count, and run it again"
    case ResultCode.cantopen:
      return "look at the path, the rights, and how many files the process may open"
    default:
      return undefined
  }
}

/** What was on its way to the disk may be there; rows before the one that OR FAIL stumbled over are. */
const mayBePartial = (code: number, statement: string | undefined): boolean =>
  primaryCode(code) === ResultCode.ioerr ||
  (primaryCode(code) === ResultCode.constraint && statement !== undefined && /\bor\s+fail\b/i.test(statement))

/** A failure of SQLite itself. */
export const sqliteFailure = (
  error: ErrorMessage,
  statement: string | undefined,
  outcome: SqlFailure.Outcome = "notExecuted"
): SqlError => {
  const thrown = unpack(error.message)
  if (thrown !== undefined) {
    return threw(thrown, statement, outcome)
  }
  // Codes below zero are the worker's own words, not SQLite's.
  if (error.code < 0) {
    return SqlFailure.make({ reason: "Unsupported", message: error.message, statement, outcome })
  }
  const reason = reasonOf(error.code, error.message)
  const more = advice(error.code, error.message)
  return SqlFailure.make({
    reason,
    message: more === undefined ? error.message : `${error.message}: ${more}`,
    code: error.code,
    statement,
    outcome: mayBePartial(error.code, statement) ? "unknown" : outcome,
    ...(primaryCode(error.code) === ResultCode.constraint ? constraintOf(error.message) : undefined)
  })
}

/** Code of the program in the worker has thrown. */
const threw = (thrown: Thrown, statement: string | undefined, outcome: SqlFailure.Outcome): SqlError => {
  const { className, message } = thrown
  return SqlFailure.make({
    reason: className === "NotStorable" || className === "DataCloneError" ? "ConversionFailed" : "Unknown",
    message: message === "" ? className : `${className}: ${message}`,
    statement,
    outcome,
    cause: new WorkerError(thrown)
  })
}

/** SQLite would silently stop reading at a NUL, and read something else for what is no UTF-8. */
export const unsendableText = (why: string, statement: string): SqlError =>
  sqliteFailure({ code: ResultCode.error, message: `syntax error: ${why}` }, statement)

/** What may be otherwise in a moment: a lock, a lack of memory, files or room, a folder that is not there yet. */
const passing: ReadonlySet<number> = new Set([
  ResultCode.busy,
  ResultCode.locked,
  ResultCode.nomem,
  ResultCode.ioerr,
  ResultCode.full,
  ResultCode.cantopen,
  ResultCode.protocol
])

/**
 * A failure to open the file; whatever SQLite's code, it is about the connection. What is wrong in a `statement` that the
 * configuration asks for is about that.
 */
export const openFailure = (error: ErrorMessage, filename: string, statement?: string): SqlError => {
  const thrown = unpack(error.message)
  if (thrown !== undefined) {
    return threw(thrown, statement, "notExecuted")
  }
  const reason =
    error.code === OwnCode.unsupported
      ? "Unsupported"
      : error.code === OwnCode.invalid
        ? "InvalidParameter"
        : error.code < 0
          ? "Connection"
          : reasonOf(error.code, error.message)
  const ofStatement = statement !== undefined && primaryCode(error.code) === ResultCode.error
  return SqlFailure.make({
    reason: !ofStatement && (reason === "Unknown" || reason === "SqlSyntax") ? "Connection" : reason,
    message: `Cannot open SQLite database "${filename}": ${error.message}`,
    code: error.code < 0 ? undefined : error.code,
    statement,
    ...constraintOf(error.message),
    permanent: error.code < 0 || error.code === ExtendedCode.isDirectory || !passing.has(primaryCode(error.code))
  })
}

/** SQLite tells of a missing file, of one that is no library, and of one that refuses in the same way. */
export const notLoaded = (error: SqlError, path: string): SqlError => {
  const { code, message } = SqlFailure.from(error)
  return code === ResultCode.error
    ? SqlFailure.annotate(error, {
        reason: "InvalidParameter",
        message: `Cannot load the extension "${path}": ${message}`
      })
    : error
}

export const parameterFailure = (error: ParameterError, statement: string): SqlError =>
  SqlFailure.make({
    reason: "InvalidParameter",
    message: error.message,
    statement,
    failedRow: error.row
  })

export const wrongCount = (wanted: number, given: number, statement: string): SqlError => {
  // Of several statements those behind the one that got too few are not counted.
  const several = (firstStatement(statement)?.tail ?? "") !== ""
  const has = several ? `The statements of the text have${wanted > given ? " at least" : ""}` : "The statement has"
  return SqlFailure.make({
    reason: "InvalidParameter",
    message: `${has} ${wanted} parameter${wanted === 1 ? "" : "s"}, but ${given} ${given === 1 ? "was" : "were"} given`,
    statement
  })
}

export const unsafeInteger = (column: string, statement: string): SqlError =>
  SqlFailure.make({
    reason: "ConversionFailed",
    message:
      `Column "${column}" holds an integer beyond 2^53 that a number cannot hold exactly. ` +
      "Provide SqlClient.SafeIntegers as true to get bigints, or cast it to text in the query",
    statement,
    columns: [column],
    outcome: "executed"
  })

export const leftTransaction = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Unsupported",
    message:
      "The statement left a transaction open outside of one, so it was rolled back. " +
      "Use sql.transaction or sql.withTransaction, or run it on a session from sql.reserve",
    statement
  })

export const noTransaction = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "TransactionGone",
    message: "SQLite has ended this transaction: a write in it was stopped, an error undid it, or a statement ended it",
    statement
  })

/** A SQL function, collation or hook of the program has failed; with what is the failure's cause. */
export const callbackFailed = (cause: unknown, statement: string, outcome: SqlFailure.Outcome): SqlError =>
  SqlFailure.make({
    ...(SqlFailure.is("ReentrantCall")(cause)
      ? { reason: "ReentrantCall", message: SqlFailure.from(cause).message }
      : { reason: "Unknown", message: "A callback of the statement failed; its failure is the cause of this one" }),
    statement: statement || undefined,
    outcome,
    cause
  })

export const badAnswer = (name: string, kind: string, statement: string): SqlError =>
  SqlFailure.make({
    reason: "ConversionFailed",
    message: `${name} answered what SQLite cannot store: ${kind}. Answer null, a number, bigint, string or bytes`,
    statement: statement || undefined
  })

export const wrongRegistration = (message: string): SqlError => SqlFailure.make({ reason: "InvalidParameter", message })

/** The message names the kind of value only. */
export const notCloned = (message: string): SqlError =>
  SqlFailure.make({
    reason: "InvalidParameter",
    message: `An argument for the worker cannot be cloned. ${message.slice(0, 80)}`
  })

export const reentrant = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "ReentrantCall",
    message:
      "A callback called the session that waits for it, which would never end. " +
      "Use another client, a reader, or read what it needs before the statement",
    statement: statement || undefined
  })

export const closed = (statement?: string): SqlError =>
  SqlFailure.make({ reason: "Closed", message: "The client was closed", statement })

export const interrupted = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Interrupted",
    message: "The statement was stopped by interrupt()",
    statement
  })

export const poisoned = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "Interrupted",
    message: "A pull of this result was interrupted, so its position is lost; run the statement again",
    statement
  })

export const late = (statement: string, outcome: SqlFailure.Outcome): SqlError =>
  SqlFailure.make({
    reason: "StatementTimeout",
    message:
      outcome === "executed"
        ? "The deadline passed while the statement ran, which could not be stopped: what it wrote is committed"
        : "The deadline passed before the statement had ended",
    statement,
    outcome
  })

export const overloaded = (what: string, statement: string): SqlError =>
  SqlFailure.make({
    reason: "PoolTimeout",
    message: `The session's queue is full (${what}): slow down, or raise maxQueued / maxQueuedBytes`,
    statement
  })

export const lost = (message: string, outcome: SqlFailure.Outcome, statement?: string): SqlError =>
  SqlFailure.make({ reason: "SessionLost", message, outcome, statement })

/** See `SqlTransport.insideTransaction`. */
export const insideTransaction: SqlError = SqlTransport.insideTransaction

export const atRow = (error: SqlError, failedRow: number): SqlError => SqlFailure.annotate(error, { failedRow })

export const withOutcome = (error: SqlError, outcome: SqlFailure.Outcome): SqlError =>
  SqlFailure.annotate(error, { outcome })

export const stuck = (statement: string): SqlError =>
  SqlFailure.make({
    reason: "SessionLost",
    message: `The session was given up: a statement on it did not stop within the grace period (${statement})`,
    statement
  })

/** Strangers' statements that could not be stopped. */
export const stillRunning = (sessions: number): SqlError =>
  SqlFailure.make({
    reason: "PoolTimeout",
    message: `${sessions} sessions were given up, and what ran on them still runs: no other is opened until one has ended`
  })

/** What of the client may hold a lock that a statement of its own did not get. */
export interface Holders {
  /** Of the sessions that were given up, by their ids: the statement that still runs. */
  readonly givenUp: ReadonlyMap<string, string>
  readonly readers: boolean
}

const setsJournalMode = /\bpragma\s+(?:\S+\s*\.\s*)?["'`[]?journal_mode["'`\]]?\s*[=(]/i

/** In a text, as the configuration makes them. */
export const locksExclusively = (text: string): boolean =>
  /\bpragma\s+(?:\S+\s*\.\s*)?["'`[]?locking_mode["'`\]]?\s*[=(]\s*["'`[]?exclusive\b/i.test(text)

export const exclusiveLocking = (): SqlError =>
  SqlFailure.make({
    reason: "Unsupported",
    message:
      "The locking mode cannot be exclusive beside readers, as the client's own sessions would lock each other out: " +
      "make a client with readers: 0"
  })

/**
 * A lock that was not given may be held by a session that was given up: its statement runs until it ends by itself. The
 * journal mode changes for nobody but the only session of a file.
 */
export const heldBy = (error: SqlError, { givenUp, readers }: Holders): SqlError => {
  if (!SqlFailure.is("LockTimeout")(error)) {
    return error
  }
  const { message, statement } = SqlFailure.from(error)
  if (readers && setsJournalMode.test(statement ?? "")) {
    return SqlFailure.annotate(error, {
      reason: "Unsupported",
      message:
        "The journal mode cannot be changed while this client's readers have the file open: " +
        "make a client with disableWAL, or with readers: 0, and change it there"
    })
  }
  return givenUp.size === 0
    ? error
    : SqlFailure.annotate(error, {
        message:
          `${message}. A session of this client was given up, and may hold it as long as its ` +
          `statement runs: ${[...givenUp.values()].join("; ")}`
      })
}
