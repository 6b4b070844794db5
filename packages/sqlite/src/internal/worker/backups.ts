/** The backup that a connection is making. One that is given up leaves its destination as it was. */
import { existsSync, rmSync } from "node:fs"
import { type Backup, type Connection, EngineError } from "./engine.js"

interface Running {
  readonly backup: Backup
  /** A file that was not there before, to be removed unless the backup is completed. */
  readonly fresh: string | undefined
  done: boolean
}

/** SQLITE_MISUSE */
const misuse = 21

const running = new WeakMap<Connection, Running>()

export const startBackup = (connection: Connection, destination: string): void => {
  finishBackup(connection)
  const fresh = destination.startsWith("file:") || existsSync(destination) ? undefined : destination
  running.set(connection, { backup: connection.backup(destination), fresh, done: false })
}

export const stepBackup = (connection: Connection, pages: number) => {
  const current = running.get(connection)
  if (current === undefined) {
    throw new EngineError(misuse, "the backup is gone with the session that made it: start it again")
  }
  const { backup } = current
  current.done = backup.step(pages)
  return { done: current.done, remaining: backup.remaining(), pageCount: backup.pageCount() }
}

export const finishBackup = (connection: Connection): void => {
  const current = running.get(connection)
  if (current !== undefined) {
    running.delete(connection)
    current.backup.finish()
    if (!current.done && current.fresh !== undefined) {
      rmSync(current.fresh, { force: true })
    }
  }
}
