/** The database's failures in Db2's words. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import { failureOf } from "./db2/constraints.js"
import * as failures from "./db2/failures.js"
import { raised } from "./db2/raise.js"

const last = (name: string): string => name.slice(name.lastIndexOf(".") + 1)

/** SQLite tells most of what went wrong by its message (https://www.sqlite.org/rescode.html tells the codes). */
const messages: ReadonlyArray<
  readonly [RegExp, (match: RegExpExecArray, schema: string, verb: string) => failures.Db2Failure]
> = [
  [/no such (?:table|view|index): (\S+)/i, ([, name], schema) => failures.notFound(last(name!), schema)],
  [/no such column: (\S+)/i, ([, name]) => failures.columnNotFound(last(name!))],
  [/has no column named (\S+)/i, ([, name]) => failures.columnNotFound(name!)],
  [/ambiguous column name: (\S+)/i, ([, name]) => failures.ambiguousColumn(last(name!))],
  [/near "([^]*?)": syntax error/, ([, token]) => failures.invalidToken(token!.replaceAll("`", ""))],
  [/unrecognized token: "?([^]*?)"?$/, ([, token]) => failures.invalidToken(token!)],
  [/incomplete input/, () => failures.invalidToken("<END-OF-STATEMENT>")],
  [/no such function: (\S+)/i, ([, name]) => failures.routineNotFound(name!)],
  [/wrong number of arguments to function (\w+)/i, ([, name]) => failures.routineNotFound(name!)],
  [
    /(?:table|view|index) (\S+) already exists/i,
    ([, name], schema) => failures.alreadyExists(name!.replace(/["`]/g, ""), schema)
  ],
  [/there is already (?:a table|an index) named (\S+)/i, ([, name], schema) => failures.alreadyExists(name!, schema)],
  [
    /values for \d+ columns|columns but \d+ values|all VALUES must have|do not have the same number/i,
    () => failures.valuesMismatch
  ],
  [/^NOT NULL constraint failed: (?:.*\.)?(\S+)/, ([, column]) => failures.notNull(column!)],
  [/^CHECK constraint failed: ([^]*)/, ([, name]) => failureOf(name!) ?? failures.checkConstraint(name!)],
  [
    /^FOREIGN KEY constraint failed/,
    (_match, _schema, verb) => (verb === "DELETE" ? failures.foreignKeyDelete : failures.foreignKey)
  ],
  [/no such savepoint: (\S+)/, ([, name]) => failures.savepointUnknown(name!)],
  [/JSON path/i, (match) => raised(match.input) ?? failures.system(match.input)],
  [/string or blob too big/, () => failures.resultTooLong],
  [
    /Expression tree is too large|parser stack overflow|Recursion limit|at most \d+ tables|too many (?:terms|columns|arguments|SQL)/i,
    () => failures.tooComplex
  ],
  [/duplicate column name: (.+)/, ([, name]) => failures.duplicateColumn(name!)],
  [/ORDER BY term out of range/, () => failures.orderRange],
  [
    /use DROP (TABLE|VIEW) to delete \w+ (\S+)/,
    ([, is, name], schema) => failures.wrongType(name!, schema, is === "TABLE" ? "VIEW" : "TABLE")
  ],
  [/datatype mismatch/, () => failures.conversion]
]

const reasons: Partial<Record<SqlFailure.Reason, (message: string) => failures.Db2Failure>> = {
  UniqueViolation: () => failures.duplicateKey,
  Deadlock: () => failures.rolledBack,
  Serialization: () => failures.rolledBack,
  LockTimeout: () => failures.inUse,
  Interrupted: () => failures.cancelled,
  StatementTimeout: () => failures.timeLimit,
  Authorization: () => failures.notAuthorized,
  InvalidParameter: () => failures.wrongParameterCount,
  Connection: (message) => ({ message, state: "08001", code: -99999 }),
  SessionLost: (message) => ({ message, state: "08S01", code: -99999 }),
  Closed: (message) => ({ message, state: "08003", code: -99999 }),
  SqlSyntax: () => failures.invalidToken("<UNKNOWN>"),
  Unsupported: (message) => failures.unsupported(message)
}

/** `verb`: the first word of the statement. */
export const describe = (error: SqlError, schema: string, verb: string): failures.Db2Failure => {
  const failure = SqlFailure.from(error)
  if (failure.sqlState !== undefined) {
    return { message: failure.message, state: failure.sqlState, code: Number(failure.code ?? 0) || 0 }
  }
  for (const [pattern, make] of messages) {
    const match = pattern.exec(failure.message)
    if (match !== null) {
      return make(match, schema, verb)
    }
  }
  return reasons[failure.reason]?.(failure.message) ?? failures.system(failure.message)
}
