/** Rows that the worker itself asks SQLite for, with integers as bigint. */
import type { Value } from "../changeset/format.js"
import { encode } from "../parameters.js"
import type { Connection } from "./engine.js"
import { everyRow, isLast, Reading } from "./pages.js"

const pageBytes = 16 * 1024

export class Query {
  private readonly reading: Reading

  constructor(connection: Pick<Connection, "prepare">, text: string) {
    this.reading = new Reading(connection.prepare(text)!, new ArrayBuffer(pageBytes))
  }

  rows(params: ReadonlyArray<unknown>): Array<ReadonlyArray<Value>> {
    const { reading } = this
    const rows: Array<ReadonlyArray<Value>> = []
    reading.prepared.bind(new Uint8Array(encode(params)), 0, params.length, true)
    try {
      for (;;) {
        const page = reading.next(everyRow)
        for (const row of reading.rows(page, "arrays", "bigint")) {
          rows.push(row as ReadonlyArray<Value>)
        }
        if (isLast(page)) {
          return rows
        }
      }
    } finally {
      reading.prepared.reset()
    }
  }

  close(): void {
    this.reading.prepared.finalize()
  }
}

export const queryRows = (
  connection: Pick<Connection, "prepare">,
  text: string,
  params: ReadonlyArray<unknown> = []
): Array<ReadonlyArray<Value>> => {
  const query = new Query(connection, text)
  try {
    return query.rows(params)
  } finally {
    query.close()
  }
}
