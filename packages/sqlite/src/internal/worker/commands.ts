/** The rare requests, each a structured message with a structured answer. */
import type { Command } from "../boundary.js"
import { runBatch } from "./batchCommand.js"
import type { Callbacks } from "./callbacks.js"
import { type Backup, type Connection, EngineError } from "./engine.js"
import type { Outbox } from "./outbox.js"
import { queryValue } from "./queryValue.js"

const backups = new WeakMap<Connection, Backup>()

const perform = (connection: Connection, callbacks: Callbacks, command: Command): unknown => {
  switch (command._tag) {
    case "Check":
      return undefined
    case "DataVersion":
      return queryValue(connection, "PRAGMA data_version")
    case "Register":
      return callbacks.apply(command.registration)
    case "LoadExtension":
      return connection.loadExtension(command.path)
    case "Export":
      return connection.serialize()
    case "Batch":
      return runBatch(connection, command.statements)
    case "BackupStart":
      backups.get(connection)?.finish()
      backups.set(connection, connection.backup(command.destination))
      return undefined
    case "BackupStep": {
      const backup = backups.get(connection)!
      const done = backup.step(command.pages)
      return { done, remaining: backup.remaining(), pageCount: backup.pageCount() }
    }
    case "BackupFinish":
      backups.get(connection)?.finish()
      backups.delete(connection)
      return undefined
  }
}

export const runCommand = (
  connection: Connection,
  callbacks: Callbacks,
  outbox: Outbox,
  slot: number,
  seq: number,
  command: Command
): void => {
  try {
    const value = perform(connection, callbacks, command)
    outbox.value(slot, seq, value, value instanceof ArrayBuffer ? [value] : [])
  } catch (error) {
    const code = error instanceof EngineError ? error.code : -1
    outbox.error(slot, seq, { code, message: error instanceof Error ? error.message : String(error) })
  }
}
