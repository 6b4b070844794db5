/** From the worker's message to changes. */
import type { ChangesMessage } from "../messages.js"
import { rowOperations } from "../callbacks/make.js"
import type { Change } from "./model.js"

const entryBytes = 16

const exact = (value: bigint): number | bigint => {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** Something has changed, and that is all that is known. */
export const anything: Change = { operation: "unknown", database: undefined, table: undefined, rows: undefined }

export const decode = ({ entries, names, unknown }: ChangesMessage): Array<Change> => {
  const words = new Int32Array(entries)
  const rowids = new BigInt64Array(entries)
  const changes: Array<Change> = []
  for (let i = 0; i < entries.byteLength / entryBytes; i++) {
    const at = 2 * words[4 * i]!
    const [database, table] = [names[at]!, names[at + 1]!]
    const operation = rowOperations[words[4 * i + 1]!]
    const rowid = rowids[2 * i + 1]!
    changes.push(
      operation === undefined
        ? { operation: "unknown", database, table, rows: rowid < 0n ? undefined : Number(rowid) }
        : { operation, database, table, rowid: exact(rowid) }
    )
  }
  if (unknown) {
    changes.push(anything)
  }
  return changes
}
