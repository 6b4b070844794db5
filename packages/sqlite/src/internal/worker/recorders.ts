/** The recordings of a connection, by the numbers that the loop has given them. */
import type { RecordingRequest } from "../messages.js"
import { ResultCode } from "../resultCode.js"
import { type Connection, EngineError } from "./engine.js"
import { dropLeft, Recorder } from "./recorder.js"

const recorders = new WeakMap<Connection, Map<number, Recorder>>()

export const askRecorder = (connection: Connection, request: RecordingRequest): unknown => {
  const { id } = request
  let open = recorders.get(connection)
  if (open === undefined) {
    recorders.set(connection, (open = new Map()))
  }
  if (request.kind === "open") {
    const others = open
    dropLeft(connection, (id) => others.has(id))
    return void open.set(id, new Recorder(connection, id, request.options))
  }
  const recorder = open.get(id)
  if (request.kind === "close") {
    open.delete(id)
    return recorder?.close()
  }
  if (recorder === undefined) {
    throw new EngineError(ResultCode.abort, "the recording has ended")
  }
  switch (request.kind) {
    case "changeset":
      return recorder.changeset(request.patchset).buffer
    case "isEmpty":
      return recorder.isEmpty()
  }
}

/** Before the main database is replaced: what its triggers cannot hear of would be missing. */
export const endRecordings = (connection: Connection): void => {
  const open = recorders.get(connection)
  if (open !== undefined) {
    dropLeft(connection, (id) => open.has(id))
    for (const recorder of open.values()) {
      recorder.databaseReplaced()
    }
  }
}
