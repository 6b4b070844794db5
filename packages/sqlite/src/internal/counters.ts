/** What SQLite counts of a statement's run: https://www.sqlite.org/c3ref/c_stmtstatus_counter.html */

/** In the order of `counters` in native/js_statement.c. */
export const counterNames = [
  "fullScanSteps",
  "sorts",
  "autoIndexes",
  "vmSteps",
  "reprepares",
  "runs",
  "filterMisses",
  "filterHits",
  "memory"
] as const

export const memoryCounter = counterNames.indexOf("memory")

/** What a statement's run has cost SQLite. */
export interface StatementCounters {
  /** Steps through tables from one row to the next, without an index: many of them where an index would help. */
  readonly fullScanSteps: number
  /** Sorts, for want of an index in that order. */
  readonly sorts: number
  /** Rows put into indexes that were made for this run only. */
  readonly autoIndexes: number
  /** Steps of SQLite's virtual machine. */
  readonly vmSteps: number
  /** Times that it was prepared anew, because the schema or statistics had changed. */
  readonly reprepares: number
  /** Times that it was run. */
  readonly runs: number
  /** Steps of joins that a Bloom filter could not leave out, and those that it did. */
  readonly filterMisses: number
  readonly filterHits: number
  /** Bytes of the prepared statement. */
  readonly memory: number
}

export const countersOf = (values: ReadonlyArray<number>): StatementCounters =>
  Object.fromEntries(counterNames.map((name, i) => [name, values[i] ?? 0])) as unknown as StatementCounters
