/** What `applyChangeset` has the worker do: changes one after the other, until one of them needs a decision. */
import { type ChangesResult, type ChangeStatement, rowKey } from "../messages.js"
import { ParameterError } from "../parameters.js"
import { ResultCode } from "../resultCode.js"
import { Database } from "./database.js"
import { type Connection, EngineError, errorMessage } from "./engine.js"

const errorOf = (error: unknown) => {
  if (error instanceof ParameterError) {
    return { code: ResultCode.range, message: error.message }
  }
  if (error instanceof EngineError) {
    return errorMessage(error)
  }
  throw error
}

/** The row that is being changed on a connection whose guards may ask. */
const changing = new WeakMap<Connection, { row: ChangeStatement["row"] }>()

/** Of table 0 whether there is one; of its own table the values of its key. It stays: it answers NULL to everyone else. */
const listen = (connection: Connection): { row: ChangeStatement["row"] } => {
  const current: { row: ChangeStatement["row"] } = { row: undefined }
  connection.setFunction(
    { name: rowKey, arity: 2, deterministic: false, directOnly: false, innocuous: false, shape: "scalar" },
    (table, place) => {
      const { row } = current
      return row === undefined
        ? null
        : Number(table) === 0
          ? 1
          : Number(table) === row.table
            ? row.key[Number(place)]
            : null
    }
  )
  changing.set(connection, current)
  return current
}

/** Stops at the first that changes no row or fails, and without a transaction, which all of them belong to. */
export const runChanges = (connection: Connection, statements: ReadonlyArray<ChangeStatement>): ChangesResult => {
  const database = new Database(connection)
  const current = statements.some(({ row }) => row !== undefined)
    ? (changing.get(connection) ?? listen(connection))
    : undefined
  let done = 0
  try {
    for (const { own, params, row, text } of statements) {
      if (!connection.inTransaction()) {
        return { done, error: undefined, gone: true }
      }
      if (current !== undefined) {
        current.row = row
      }
      if (own === true) {
        connection.execOwn(text)
      } else if (database.run(text, params).changes === 0) {
        break
      }
      done++
    }
    return { done, error: undefined, gone: false }
  } catch (error) {
    return { done, error: errorOf(error), gone: false }
  } finally {
    if (current !== undefined) {
      current.row = undefined
    }
    database.close()
  }
}
