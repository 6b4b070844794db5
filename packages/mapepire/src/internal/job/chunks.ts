/** Cuts a batch into messages that the daemon takes: it closes the socket on one of more than 50 MB. */
import type { Parameter } from "../../Protocol.js"

/** What a value needs in JSON, from above: every character escaped would be six bytes, most are one. */
const bytesOf = (value: Parameter): number => (typeof value === "string" ? Buffer.byteLength(value) * 1.1 + 3 : 24)

export const chunksOf = (
  rows: ReadonlyArray<ReadonlyArray<Parameter>>,
  maxRows: number,
  maxBytes: number
): ReadonlyArray<ReadonlyArray<ReadonlyArray<Parameter>>> => {
  const chunks: Array<Array<ReadonlyArray<Parameter>>> = []
  let chunk: Array<ReadonlyArray<Parameter>> = []
  let bytes = 0
  for (const row of rows) {
    const size = row.reduce<number>((sum, value) => sum + bytesOf(value), 3)
    if (chunk.length > 0 && (chunk.length >= maxRows || bytes + size > maxBytes)) {
      chunks.push(chunk)
      chunk = []
      bytes = 0
    }
    chunk.push(row)
    bytes += size
  }
  return chunk.length === 0 ? chunks : [...chunks, chunk]
}
