/** The backup that a connection is making. One that is given up leaves its destination as it was. */
import { existsSync, rmSync, statSync } from "node:fs"
import { unsupportedCode } from "../boundary.js"
import { ResultCode } from "../resultCode.js"
import { type Backup, type Connection, EngineError } from "./engine.js"
import { queryRows } from "./queryRows.js"
import { queryValue } from "./queryValue.js"

interface Running {
  readonly backup: Backup
  /** A file that was not there before, to be removed unless the backup is completed. */
  readonly fresh: string | undefined
  done: boolean
}

const running = new WeakMap<Connection, Running>()

/** Undefined where there is none, or SQLite shall say what is wrong with the path. */
const fileAt = (path: string) => {
  try {
    return statSync(path, { bigint: true })
  } catch {
    return undefined
  }
}

/** By whatever path: a copy would take the place of what the connection has open. */
const isOpen = (connection: Connection, destination: string): boolean => {
  const there = fileAt(destination)
  return (
    there !== undefined &&
    queryRows(connection, "PRAGMA database_list").some(([, , file]) => {
      const own = fileAt(String(file))
      return own !== undefined && own.ino === there.ino && own.dev === there.dev
    })
  )
}

const isBusy = (error: unknown): boolean => error instanceof EngineError && (error.code & 0xff) === ResultCode.busy

export const startBackup = (connection: Connection, destination: string): void => {
  finishBackup(connection)
  if (isOpen(connection, destination)) {
    throw new EngineError(ResultCode.range, "A backup must go to another file than a database that is open here")
  }
  const fresh = destination.startsWith("file:") || existsSync(destination) ? undefined : destination
  running.set(connection, { backup: connection.backup(destination), fresh, done: false })
}

export const stepBackup = (connection: Connection, pages: number) => {
  const current = running.get(connection)
  if (current === undefined) {
    throw new EngineError(ResultCode.misuse, "the backup is gone with the session that made it: start it again")
  }
  const { backup } = current
  try {
    current.done = backup.step(pages)
  } catch (error) {
    // What waits for the transaction that waits for it would never end. One that only reads holds nothing.
    const own = isBusy(error) && connection.inTransaction() && queryValue(connection, "PRAGMA query_only") !== 1
    throw own
      ? new EngineError(
          unsupportedCode,
          "A backup cannot be made inside a transaction that writes: run it before or after the transaction"
        )
      : error
  }
  return { done: current.done, remaining: backup.remaining(), pageCount: backup.pageCount() }
}

export const finishBackup = (connection: Connection): void => {
  const current = running.get(connection)
  if (current !== undefined) {
    running.delete(connection)
    current.backup.finish()
    // What is there although nothing was copied is somebody else's.
    if (!current.done && !current.backup.atOnce && current.fresh !== undefined) {
      rmSync(current.fresh, { force: true })
    }
  }
}
