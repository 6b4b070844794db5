/** The backups that a connection is making, by the numbers that the loop has given them. One that is given up leaves its destination as it was. */
import { existsSync, rmSync } from "node:fs"
import { OwnCode, primaryCode, ResultCode } from "../resultCode.js"
import { type Backup, type Connection, EngineError } from "./engine.js"
import { fileAt } from "./files.js"
import { queryRows } from "./queryRows.js"
import { queryValue } from "./queryValue.js"

interface Running {
  readonly backup: Backup
  readonly destination: string
  /** A file that was not there before, to be removed unless the backup is completed. */
  readonly fresh: string | undefined
  done: boolean
}

const running = new WeakMap<Connection, Map<number, Running>>()

const backupsOf = (connection: Connection): Map<number, Running> => {
  let backups = running.get(connection)
  if (backups === undefined) {
    running.set(connection, (backups = new Map()))
  }
  return backups
}

/** By whatever path. */
const isSameFile = (one: string, other: string): boolean => {
  const [a, b] = [fileAt(one), fileAt(other)]
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev
}

/** A copy would take the place of what the connection has open. */
const isOpen = (connection: Connection, destination: string): boolean =>
  queryRows(connection, "PRAGMA database_list").some(([, , file]) => isSameFile(String(file), destination))

const isBusy = (error: unknown): boolean => error instanceof EngineError && primaryCode(error.code) === ResultCode.busy

export const startBackup = (connection: Connection, id: number, destination: string): void => {
  const backups = backupsOf(connection)
  if (isOpen(connection, destination)) {
    throw new EngineError(ResultCode.range, "A backup must go to another file than a database that is open here")
  }
  // The one that is given up first would take the file of the other away.
  if ([...backups.values()].some((other) => isSameFile(other.destination, destination))) {
    throw new EngineError(ResultCode.busy, "Another backup to this file is being made")
  }
  const fresh = destination.startsWith("file:") || existsSync(destination) ? undefined : destination
  backups.set(id, { backup: connection.backup(destination), destination, fresh, done: false })
}

export const stepBackup = (connection: Connection, id: number, pages: number) => {
  const current = backupsOf(connection).get(id)
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
          OwnCode.unsupported,
          "A backup cannot be made inside a transaction that writes: run it before or after the transaction"
        )
      : error
  }
  return { done: current.done, remaining: backup.remaining(), pageCount: backup.pageCount() }
}

export const finishBackup = (connection: Connection, id: number): void => {
  const backups = backupsOf(connection)
  const current = backups.get(id)
  if (current !== undefined) {
    backups.delete(id)
    current.backup.finish()
    // What is there although nothing was copied is somebody else's.
    if (!current.done && !current.backup.atOnce && current.fresh !== undefined) {
      rmSync(current.fresh, { force: true })
    }
  }
}
