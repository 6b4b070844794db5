/** A value that the worker itself asks SQLite for. */
import { makeDecoder, readColumns, readError, views } from "../decoder.js"
import { type Connection, EngineError } from "./engine.js"

/** The first value that a statement gives, undefined without rows. */
export const queryValue = (connection: Connection, text: string): unknown => {
  const prepared = connection.prepare(text)
  if (prepared === undefined) {
    return undefined
  }
  try {
    const page = new ArrayBuffer(4096)
    prepared.bind(new Uint8Array(0), 0, 0, false)
    prepared.fetch(1, new Uint8Array(page), 0, page.byteLength)
    const source = views(page)
    const message = readError(source, 0)
    if (message !== undefined) {
      throw new EngineError(source.i32[2]!, message)
    }
    const rows = makeDecoder(readColumns(source, 0) ?? []).decode(source, 0, "arrays", "number")
    return (rows[0] as ReadonlyArray<unknown> | undefined)?.[0]
  } finally {
    prepared.finalize()
  }
}
