/** A value that the worker itself asks SQLite for. */
import type { Connection } from "./engine.js"
import { Reading } from "./pages.js"

/** The first value that a statement gives, undefined without rows. */
export const queryValue = (connection: Connection, text: string): unknown => {
  const prepared = connection.prepare(text)
  if (prepared === undefined) {
    return undefined
  }
  try {
    prepared.bind(new Uint8Array(0), 0, 0, false)
    const reading = new Reading(prepared, new ArrayBuffer(4096))
    const rows = reading.rows(reading.next(1), "arrays", "number")
    return (rows[0] as ReadonlyArray<unknown> | undefined)?.[0]
  } finally {
    prepared.finalize()
  }
}
