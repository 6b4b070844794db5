/** `SqliteClient.batch`: several statements with parameters of their own in one round trip, all of them or none. */
import type { BatchResult, BatchStatement } from "../messages.js"
import { Flag, Header } from "../page.js"
import { OwnCode } from "../resultCode.js"
import { type Connection, EngineError, errorMessage, type Prepared } from "./engine.js"
import { ParameterCount } from "./execution.js"
import { assertSound, everyRow, headerOf, nextPage } from "./pages.js"

const savepoint = `"sluice batch"`

/** What is said of it on the other side; anything else is no failure of a statement. */
const errorOf = (error: unknown) => {
  if (error instanceof ParameterCount) {
    return { code: OwnCode.failed, message: error.message, wanted: error.wanted }
  }
  if (error instanceof EngineError) {
    return errorMessage(error)
  }
  throw error
}

/** All pages of one statement. Throws `EngineError`. */
const pagesOf = (prepared: Prepared): Array<ArrayBuffer> => {
  const pages: Array<ArrayBuffer> = []
  const scratch = new ArrayBuffer(256 * 1024)
  for (;;) {
    const page = nextPage(prepared, everyRow, scratch)
    assertSound(page)
    const header = headerOf(page)
    pages.push(page === scratch ? page.slice(0, header[Header.bytes]) : page)
    if ((header[Header.flags]! & Flag.done) !== 0) {
      return pages
    }
  }
}

const runOne = (connection: Connection, statement: BatchStatement): Array<ArrayBuffer> => {
  const prepared = connection.prepare(statement.text)
  if (prepared === undefined) {
    if (statement.count > 0) {
      throw new ParameterCount(0)
    }
    return []
  }
  try {
    if (prepared.tail !== "") {
      throw new EngineError(OwnCode.failed, "each member of a batch is exactly one statement")
    }
    if (prepared.parameterCount !== statement.count) {
      throw new ParameterCount(prepared.parameterCount)
    }
    prepared.bind(new Uint8Array(statement.parameters), 0, statement.count, false)
    return pagesOf(prepared)
  } finally {
    prepared.finalize()
  }
}

export const runBatch = (connection: Connection, statements: ReadonlyArray<BatchStatement>): BatchResult => {
  const nested = connection.inTransaction()
  connection.exec(nested ? `SAVEPOINT ${savepoint}` : "BEGIN IMMEDIATE")
  const pages: Array<ReadonlyArray<ArrayBuffer>> = []
  const isPrivate = () =>
    pages.some((of) => of.length > 0 && (headerOf(of[of.length - 1]!)[Header.flags]! & Flag.private) !== 0)
  try {
    for (const statement of statements) {
      pages.push(runOne(connection, statement))
    }
    connection.exec(nested ? `RELEASE ${savepoint}` : "COMMIT")
    return { pages, failed: undefined, error: undefined, private: isPrivate() }
  } catch (error) {
    const told = errorOf(error)
    // Stopped writes have already undone the whole transaction.
    if (connection.inTransaction()) {
      // What stopped the batch must not stop this.
      connection.end()
      connection.exec(nested ? `ROLLBACK TO ${savepoint}; RELEASE ${savepoint}` : "ROLLBACK")
    }
    return {
      pages: [],
      failed: pages.length < statements.length ? pages.length : undefined,
      error: told,
      private: isPrivate()
    }
  }
}
