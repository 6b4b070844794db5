/** The rare requests, each a structured message with a structured answer. */
import type { Command } from "../messages.js"
import { finishBackup, startBackup, stepBackup } from "./backups.js"
import { ResultCode } from "../resultCode.js"
import { pack } from "../thrown.js"
import { runBatch } from "./batchCommand.js"
import { askBlob } from "./blobs.js"
import { runChanges } from "./changesCommand.js"
import type { Callbacks } from "./callbacks.js"
import { type Connection, EngineError, errorMessage } from "./engine.js"
import type { Outbox } from "./outbox.js"
import { queryValue } from "./queryValue.js"
import { askRecorder, endRecordings } from "./recorders.js"

const perform = (connection: Connection, callbacks: Callbacks, command: Command): unknown => {
  switch (command._tag) {
    case "Check":
      return undefined
    case "DataVersion":
      return queryValue(connection, "PRAGMA data_version")
    case "Register":
      return callbacks.apply(command.registration)
    case "RunInWorker":
      return callbacks.modules.run(command.url, command.name, command.args)
    case "LoadExtension":
      return connection.loadExtension(command.path)
    case "Export":
      return connection.serialize()
    case "Batch":
      return runBatch(connection, command.statements)
    case "Changes":
      return runChanges(connection, command.statements)
    case "Deserialize":
      return connection.deserialize(command.image, () => endRecordings(connection))
    case "BackupStart":
      return startBackup(connection, command.id, command.destination)
    case "BackupStep":
      return stepBackup(connection, command.id, command.pages)
    case "BackupFinish":
      return finishBackup(connection, command.id)
    case "Blob":
      return askBlob(connection, command.request)
    case "Recording":
      return askRecorder(connection, command.request)
  }
}

/** Answers a promise when the command waits for one: until then the session does nothing else. */
export const runCommand = (
  connection: Connection,
  callbacks: Callbacks,
  outbox: Outbox,
  slot: number,
  seq: number,
  command: Command
): Promise<void> | undefined => {
  const succeed = (value: unknown) => {
    const moved = value instanceof ArrayBuffer && command._tag !== "RunInWorker" ? [value] : []
    outbox.value(slot, seq, value, connection.inTransaction(), moved)
  }
  const fail = (error: unknown) => {
    outbox.error(slot, seq, errorMessage(error), connection.inTransaction())
  }
  // What cannot be cloned is found out by sending it.
  const failToSend = (error: unknown) =>
    fail(error instanceof EngineError ? error : new EngineError(ResultCode.error, pack(error)))
  try {
    const value = perform(connection, callbacks, command)
    if (value instanceof Promise) {
      return value.then(succeed).catch(failToSend)
    }
    succeed(value)
  } catch (error) {
    fail(error)
  }
  return undefined
}
