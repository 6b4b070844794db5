/** Rows that the worker itself asks SQLite for, with integers as bigint. */
import { type Decoder, makeDecoder, readColumns, readError, views } from "../decoder.js"
import type { Value } from "../changeset/format.js"
import { Flag, Header } from "../page.js"
import { encode } from "../parameters.js"
import { type Connection, EngineError, type Prepared } from "./engine.js"

const pageBytes = 16 * 1024

export class Query {
  private readonly prepared: Prepared
  private decoder: Decoder | undefined
  private page = new ArrayBuffer(pageBytes)

  constructor(connection: Pick<Connection, "prepare">, text: string) {
    this.prepared = connection.prepare(text)!
  }

  rows(params: ReadonlyArray<unknown>): Array<ReadonlyArray<Value>> {
    const { prepared } = this
    const rows: Array<ReadonlyArray<Value>> = []
    prepared.bind(new Uint8Array(encode(params)), 0, params.length, true)
    try {
      for (;;) {
        const needed = prepared.fetch(0x7fffffff, new Uint8Array(this.page), 0, this.page.byteLength)
        if (needed < 0) {
          this.page = new ArrayBuffer((-needed + 7) & ~7)
          continue
        }
        const source = views(this.page)
        const flags = source.u32[Header.flags]!
        if ((flags & Flag.columns) !== 0) {
          this.decoder = makeDecoder(readColumns(source, 0) ?? [])
        }
        if (source.i32[Header.code] !== 0) {
          throw new EngineError(source.i32[Header.code]!, readError(source, 0) ?? "a query of the worker failed")
        }
        if (source.u32[Header.rows]! > 0) {
          // The page is written over by the next fetch, and blobs are views into it.
          for (const row of this.decoder!.decode(source, 0, "arrays", "bigint") as Array<ReadonlyArray<Value>>) {
            rows.push(row.map((value) => (value instanceof Uint8Array ? value.slice() : value)))
          }
        }
        if ((flags & Flag.done) !== 0) {
          return rows
        }
      }
    } finally {
      prepared.reset()
    }
  }

  close(): void {
    this.prepared.finalize()
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
