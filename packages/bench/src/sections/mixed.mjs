/** Readers and a writer on one file, and what is left of the event loop meanwhile. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { loopDelay } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

const readers = 16
const fill = `create table if not exists events (id integer primary key, kind int, text text);
  insert into events with recursive c(i) as (select 1 union all select i + 1 from c where i < 50000)
  select i, i % 100, 'the text of ' || i from c;`
const read = "select count(*) as n, max(text) as text from events where kind = ?"
const write = "insert into events (kind, text) values (?, ?)"

const inFolder = async (use) => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"))
  try {
    return await use(join(directory, "mixed.db"))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** 16 fibers read and one writes for so many seconds: the same program for either client. */
const program = (E, sql, { quick }) =>
  E.gen(function* () {
    const seconds = quick ? 1 : 3
    const count = { reads: 0, writes: 0 }
    const during = (end) => {
      const until = (key, statement) =>
        E.whileLoop({
          while: () => performance.now() < end,
          // Nobody keeps a connection to themselves.
          body: () => E.zipRight(E.yieldNow(), statement(count[key])),
          step: () => count[key]++
        })
      return E.all(
        [
          until("writes", (i) => sql.unsafe(write, [i % 100, `new ${i}`])),
          ...Array.from({ length: readers }, () => until("reads", (i) => sql.unsafe(read, [i % 100])))
        ],
        { concurrency: "unbounded", discard: true }
      )
    }
    yield* during(performance.now() + 300)
    Object.assign(count, { reads: 0, writes: 0 })
    const delay = yield* E.promise(() => loopDelay(() => E.runPromise(during(performance.now() + seconds * 1000))))
    return { reads: count.reads / seconds, writes: count.writes / seconds, p99: delay.p99 }
  })

const sluice = (count) => (options) =>
  inFolder((filename) =>
    withClient({ filename, readers: count }, (sql) => Effect.zipRight(sql.unsafe(fill), program(Effect, sql, options)))
  )

const upstream = (options) =>
  inFolder(async (filename) => {
    const { Effect: E, Database, SqlClient, SqliteClient } = await import("../../peers/index.mjs")
    const db = new Database(filename)
    db.pragma("journal_mode = wal")
    db.exec(fill)
    db.close()
    return E.runPromise(
      E.flatMap(SqlClient.SqlClient, (sql) => program(E, sql, options)).pipe(
        E.provide(SqliteClient.layer({ filename }))
      )
    )
  })

export default {
  name: "mixed",
  title: "16 fibers that read and one that writes, on one file",
  cells: () => [
    { name: "Sluice, no readers", run: sluice(0) },
    { name: "Sluice, 2 readers", run: sluice(2) },
    { name: "@effect/sql-sqlite-node", run: upstream }
  ],
  metrics: [
    { key: "reads", label: "reads", unit: "/s", better: "high", reference: "@effect/sql-sqlite-node" },
    { key: "writes", label: "writes", unit: "/s", better: "high", spread: false },
    { key: "p99", label: "loop delay p99", unit: "ms", spread: false }
  ],
  plot: { kind: "bars", metric: "reads", title: "Reads per second beside a writer (longer is better)" }
}
