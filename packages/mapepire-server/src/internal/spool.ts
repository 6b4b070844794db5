/** Results that a connection has read into memory, because another statement needed the database: how much of them. */
import type { ResultCursor } from "./cursor.js"

type Row = ReadonlyArray<unknown>

/** What V8 takes for a row, and for a value besides its characters or bytes, about. */
const perRow = 64
const perValue = 24

const bytesOf = (rows: ReadonlyArray<Row>): number => {
  let bytes = 0
  for (const row of rows) {
    bytes += perRow + perValue * row.length
    for (const value of row) {
      if (typeof value === "string") {
        bytes += value.length
      } else if (value instanceof Uint8Array) {
        bytes += value.byteLength
      }
    }
  }
  return bytes
}

export class Spool {
  private readonly held = new Map<ResultCursor, number>()
  private used = 0

  /** `most`: bytes of all results together. */
  constructor(private readonly most: number) {}

  /** Whether there was room for these rows. */
  add(result: ResultCursor, rows: ReadonlyArray<Row>): boolean {
    const bytes = bytesOf(rows)
    this.held.set(result, (this.held.get(result) ?? 0) + bytes)
    this.used += bytes
    return this.used <= this.most
  }

  remove(result: ResultCursor): void {
    this.used -= this.held.get(result) ?? 0
    this.held.delete(result)
  }

  get results(): Iterable<ResultCursor> {
    return this.held.keys()
  }
}
