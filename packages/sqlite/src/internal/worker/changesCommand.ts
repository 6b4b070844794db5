/** What `applyChangeset` has the worker do: changes one after the other, until one of them needs a decision. */
import type { ChangesResult, ChangeStatement } from "../boundary.js"
import { ParameterError } from "../parameters.js"
import { ResultCode } from "../resultCode.js"
import { Database } from "./database.js"
import { type Connection, EngineError } from "./engine.js"

const errorOf = (error: unknown) => {
  if (error instanceof ParameterError) {
    return { code: ResultCode.range, message: error.message }
  }
  if (error instanceof EngineError) {
    return { code: error.code, message: error.message }
  }
  throw error
}

/** Stops at the first that changes no row or fails, and without a transaction, which all of them belong to. */
export const runChanges = (connection: Connection, statements: ReadonlyArray<ChangeStatement>): ChangesResult => {
  const database = new Database(connection)
  let done = 0
  try {
    for (const { params, text } of statements) {
      if (!connection.inTransaction()) {
        return { done, error: undefined, gone: true }
      }
      if (database.run(text, params).changes === 0) {
        break
      }
      done++
    }
    return { done, error: undefined, gone: false }
  } catch (error) {
    return { done, error: errorOf(error), gone: false }
  } finally {
    database.close()
  }
}
