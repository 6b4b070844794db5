/** Failures of expressions while they are calculated: SQLite lets none be raised but those of its own functions. */
import * as failures from "./failures.js"

const failuresOf = {
  NUMBER: failures.noNumber,
  OVERFLOW: failures.overflow,
  ZERO: failures.divisionByZero,
  SYNTAX: failures.dateSyntax,
  DATE: failures.noDate,
  FORMAT: failures.formatMismatch,
  ARGUMENT: failures.invalidArgument
}

export type Raised = keyof typeof failuresOf

/** An expression that fails when it is calculated: it asks for a path in JSON that is none, and the message has the path. */
export const raise = (kind: Raised): string => `json_extract('1', 'SLUICE_${kind}')`

/** The failure that SQLite's message stands for; undefined if it is another one's. */
export const raised = (message: string): failures.Db2Failure | undefined => {
  const kind = /'SLUICE_([A-Z]+)'/.exec(message)?.[1]
  return kind !== undefined && Object.hasOwn(failuresOf, kind) ? failuresOf[kind as Raised] : undefined
}
