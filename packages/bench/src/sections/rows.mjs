/** 300,000 rows of a file to plain objects on the main thread. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SqlClient } from "@sluice/sql"
import { Effect, Sink, Stream } from "effect"
import { format } from "../harness.mjs"
import { median, timed } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

const total = 300_000
/** Runs before the ones that count: the compiler needs them. */
const warmUps = 4

const tables = {
  ints: {
    label: "5 integers",
    text: "select * from ints",
    use: (row) => row.one,
    create: `create table ints(one, two, three, four, five);
      with recursive c(i) as (select 0 union all select i + 1 from c where i < ${total - 1})
      insert into ints select i, i * 2, i % 1000, i + 7, i * 31 from c;`
  },
  mixed: {
    label: "3 integers, 2 texts, 1 real",
    text: "select * from mixed",
    use: (row) => row.id,
    create: `create table mixed(id integer primary key, a int, b int, name text, tag text, x real);
      with recursive c(i) as (select 0 union all select i + 1 from c where i < ${total - 1})
      insert into mixed select i, i * 3, i % 77, 'name of ' || i, 'tag' || (i % 100), i * 0.37 from c;`
  }
}

/** Makes the file anew in every process, runs the work to warm up and then a few times, and takes the median. */
const measure = async (table, quick, work) => {
  const { Database } = await import("../../peers/index.mjs")
  const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"))
  const filename = join(directory, "rows.db")
  try {
    const db = new Database(filename)
    db.pragma("journal_mode = wal")
    db.exec(table.create)
    db.close()
    return await work({ filename, Database }, async (run) => {
      const results = []
      for (let i = 0; i < warmUps + (quick ? 3 : 6); i++) {
        globalThis.gc()
        const { mainCpuMs, ms, result } = await timed(run)
        if (result.rows !== total) {
          throw new Error(`read ${result.rows} rows instead of ${total}`)
        }
        if (i >= warmUps) {
          results.push({ rate: total / ms / 1000, mainCpu: (mainCpuMs * 1e6) / total })
        }
      }
      return { rate: median(results.map((r) => r.rate)), mainCpu: median(results.map((r) => r.mainCpu)) }
    })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const peer = (read) => (table) => (options) =>
  measure(table, options.quick, async ({ Database, filename }, repeat) => {
    const db = new Database(filename)
    const statement = db.prepare(table.text)
    const metrics = await repeat(async () => read(statement, table))
    db.close()
    return metrics
  })

const tally = (rows, table) => {
  let sum = 0
  for (const row of rows) {
    sum += table.use(row)
  }
  return sum
}

const sluice = (consume, readAhead) => (table) => (options) =>
  measure(table, options.quick, ({ filename }, repeat) =>
    withClient({ filename }, (sql) => {
      const run = Effect.suspend(() =>
        sql
          .unsafe(table.text)
          .stream.pipe(
            SqlClient.withPrefetch(options.prefetch ?? 512),
            SqlClient.withReadAhead(readAhead),
            consume(table, { rows: 0, sum: 0 })
          )
      )
      return Effect.promise(() => repeat(() => Effect.runPromise(run)))
    })
  )

const eachChunk = (table, seen) => (stream) =>
  Effect.as(
    Stream.runForEachChunk(stream, (chunk) =>
      Effect.sync(() => {
        seen.rows += chunk.length
        seen.sum += tally(chunk, table)
      })
    ),
    seen
  )

const fold = (table, seen) =>
  Stream.run(
    Sink.foldLeftChunks(seen, (seen, chunk) => {
      seen.rows += chunk.length
      seen.sum += tally(chunk, table)
      return seen
    })
  )

const kinds = {
  "Sluice stream": sluice(eachChunk, false),
  "Sluice stream, folded": sluice(fold, false),
  "Sluice stream, one page ahead": sluice(eachChunk, true),
  "better-sqlite3 .all()": peer((statement, table) => {
    const rows = statement.all()
    return { rows: rows.length, sum: tally(rows, table) }
  }),
  "better-sqlite3 .iterate()": peer((statement, table) => {
    let [rows, sum] = [0, 0]
    for (const row of statement.iterate()) {
      rows++
      sum += table.use(row)
    }
    return { rows, sum }
  })
}

const name = (kind, table) => `${kind}, ${tables[table].label}`

export default {
  name: "rows",
  title: "300,000 rows of a file to plain objects on the main thread (prefetch 512)",
  cells: () =>
    Object.keys(tables).flatMap((table) =>
      Object.keys(kinds).map((kind) => ({ name: name(kind, table), run: kinds[kind](tables[table]) }))
    ),
  metrics: [
    { key: "rate", label: "rows/s", unit: "M", better: "high" },
    { key: "mainCpu", label: "main-thread CPU per row", unit: "ns" }
  ],
  plot: {
    kind: "bars",
    metric: "rate",
    title: "Millions of rows per second to objects on the main thread (longer is better)"
  },
  bars: ({ ratio }) =>
    Object.keys(tables).flatMap((table) => {
      const [ours, theirs] = [name("Sluice stream", table), name("better-sqlite3 .all()", table)]
      const [faster, cheaper] = [ratio(ours, theirs, "rate"), ratio(theirs, ours, "mainCpu")]
      return [
        {
          bar: `${tables[table].label}: at least 3 × the rows/s of .all()`,
          figure: format(faster, "×"),
          met: faster >= 3
        },
        {
          bar: `${tables[table].label}: main-thread CPU per row at most 1/10 of .all()`,
          figure: `1/${format(cheaper)}`,
          met: cheaper >= 10
        }
      ]
    })
}
