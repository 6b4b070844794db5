/**
 * A listener to `sql.changes`, beside whatever else is done: it is told of each row that was committed, once and in order, and
 * of no other. What it does not take in time it is told of by numbers.
 */
import type { SqliteClient } from "@sluice/sqlite"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Soak } from "../soak.js"

/** How changes wait: so many that some are told by their number only, or enough for all. */
export const changesOptions = (soak: Soak) => ({
  capacity: soak.random.oneOf([16, 16_384]),
  interval: "50 millis" as const
})

/** What has been told of one table. */
class Told {
  readonly rowids: Array<number> = []
  /** Rows that were told by their number only. */
  unnamed = 0

  get rows(): number {
    return this.rowids.length + this.unnamed
  }
}

class Listener {
  private readonly tables = new Map<string, Told>()
  /** Something has changed that is not told row by row, nor by table: another connection's, or a lost session's. */
  anything = false

  of(table: string): Told {
    const told = this.tables.get(table) ?? new Told()
    this.tables.set(table, told)
    return told
  }

  take(changes: Iterable<SqliteClient.Change>): void {
    for (const change of changes) {
      if (change.operation !== "unknown") {
        this.of(change.table).rowids.push(Number(change.rowid))
      } else if (change.table === undefined || change.rows === undefined) {
        this.anything = true
      } else {
        this.of(change.table).unnamed += change.rows
      }
    }
  }
}

/** Changes a row of a table that nobody else changes, until the listener has heard of one of these changes. */
const mark = (sql: SqliteClient.SqliteClient, listener: Listener, table: "beginning" | "ending") =>
  Effect.gen(function* () {
    while (listener.of(table).rows === 0) {
      // Its session may have been lost.
      yield* Effect.ignore(sql.unsafe(`insert into ${table} default values`))
      yield* Effect.sleep(20)
    }
  })

const rowidsOf = (sql: SqliteClient.SqliteClient) =>
  Effect.map(sql<{ id: number }>`select rowid as id from ledger order by id`, (rows) => rows.map(({ id }) => id))

const counts = (listener: Listener, there: ReadonlyArray<number>, counted: number) => [
  { table: "ledger", rows: listener.of("ledger").rows, expected: there.length },
  { table: "counter", rows: listener.of("counter").rows, expected: counted }
]

const compare = (listener: Listener, there: ReadonlyArray<number>, counted: number, soak: Soak): void => {
  const ledger = listener.of("ledger")
  const counter = listener.of("counter")
  const known = new Set(there)
  const strange = ledger.rowids.filter((id) => !known.has(id))
  if (strange.length > 0) {
    soak.breach(`the listener was told of ledger rows that are not there: ${strange.slice(0, 20).join(", ")}`)
  }
  const early = ledger.rowids.filter((id, i) => i > 0 && id <= ledger.rowids[i - 1]!)
  if (early.length > 0) {
    soak.breach(`the listener was told of ledger rows again, or out of order: ${early.slice(0, 20).join(", ")}`)
  }
  for (const { expected, rows, table } of counts(listener, there, counted)) {
    if (rows > expected || (rows < expected && !listener.anything)) {
      soak.breach(`the listener was told of ${rows} of ${expected} changes of ${table}`)
    }
  }
  soak.count("changes heard", ledger.rows + counter.rows)
  soak.count("of these by number", ledger.unnamed + counter.unnamed)
}

/** Listens while the work is done; on an engine that can tell. */
export const heard = <E>(
  sql: SqliteClient.SqliteClient,
  soak: Soak,
  work: Effect.Effect<void, E>
): Effect.Effect<void, unknown> => {
  if (!sql.capabilities.changes) {
    return work
  }
  const random = soak.random.fork(7_000)
  const listener = new Listener()
  const slowly = random.chance(0.5)
  const listening = Stream.runForEachChunk(sql.changes, (changes) => {
    listener.take(changes)
    return slowly && random.chance(0.2) ? Effect.sleep(random.between(1, 100)) : Effect.void
  })
  return Effect.scoped(
    Effect.gen(function* () {
      yield* sql`create table beginning (n integer primary key)`
      yield* sql`create table ending (n integer primary key)`
      yield* Effect.forkScoped(
        Effect.catchAll(listening, (error) => Effect.sync(() => soak.breach(`the listener failed: ${error.message}`)))
      )
      yield* soak.watched("a listener's beginning", mark(sql, listener, "beginning"))
      yield* work
      yield* soak.watched("what a listener is told last", mark(sql, listener, "ending"))
      const [row] = yield* sql<{ n: number }>`select n from counter`
      const there = yield* rowidsOf(sql)
      const pools = yield* sql.statistics
      if (pools.some(({ lost, retired }) => lost + retired > 0)) {
        // What a lost session did not tell is told as something, once the next one looks at the file.
        yield* Effect.sleep("200 millis")
      } else if (listener.anything) {
        soak.breach("the listener was told of changes by others, but nobody else was there")
      }
      compare(listener, there, row!.n, soak)
    })
  )
}
