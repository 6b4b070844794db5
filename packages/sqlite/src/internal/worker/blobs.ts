/** The blob handles of a connection, by the numbers that the loop has given them. */
import type { BlobRequest } from "../messages.js"
import { OwnCode, primaryCode, ResultCode } from "../resultCode.js"
import { type Blob, type Connection, EngineError } from "./engine.js"

const handles = new WeakMap<Connection, Map<number, Blob>>()

/** SQLite has one code for all reasons why a value cannot be opened; its words tell them apart. */
const opening = <A>(open: () => A): A => {
  try {
    return open()
  } catch (error) {
    if (error instanceof EngineError && primaryCode(error.code) === ResultCode.error) {
      if (/^no such rowid|^cannot open value of type/.test(error.message)) {
        throw new EngineError(ResultCode.range, error.message)
      }
      if (error.message.startsWith("cannot open ")) {
        throw new EngineError(OwnCode.failed, error.message)
      }
    }
    throw error
  }
}

const outside = (blob: Blob, offset: number, length: number): void => {
  const size = blob.size()
  if (offset + length > size) {
    throw new EngineError(
      ResultCode.range,
      `bytes ${offset} to ${offset + length} of a value that has ${size}: past its end`
    )
  }
}

export const askBlob = (connection: Connection, request: BlobRequest): unknown => {
  const { id } = request
  let open = handles.get(connection)
  if (open === undefined) {
    handles.set(connection, (open = new Map()))
  }
  if (request.kind === "open") {
    const blob = opening(() => connection.openBlob(request.place))
    open.set(id, blob)
    return blob.size()
  }
  const blob = open.get(id)
  if (request.kind === "close") {
    open.delete(id)
    return blob?.close()
  }
  if (blob === undefined) {
    throw new EngineError(ResultCode.abort, "the handle is closed")
  }
  switch (request.kind) {
    case "reopen":
      opening(() => blob.reopen(request.rowid))
      return blob.size()
    case "read": {
      outside(blob, request.offset, request.length)
      const bytes = new ArrayBuffer(request.length)
      blob.read(new Uint8Array(bytes), request.offset, request.keep)
      return bytes
    }
    case "write":
      outside(blob, request.offset, request.bytes.byteLength)
      return blob.write(new Uint8Array(request.bytes), request.offset)
  }
}
