/** Memory while 10 million generated rows stream by. */
import { SqlClient } from "@sluice/sql"
import { Effect, Sink, Stream } from "effect"
import { format } from "../harness.mjs"
import { withClient } from "../sluice.mjs"

const text = (n) =>
  `with recursive c(i) as (select 1 union all select i + 1 from c where i < ${n})
   select i, i * 2 as twice, 'row ' || i as name from c`

const warmUp = 200_000
const total = ({ quick }) => (quick ? 2_000_000 : 10_000_000)
const mebibytes = (bytes) => bytes / 2 ** 20

/** `read(n, seen)` reads n rows and calls `seen` now and then with how many it has had. */
const growth = async (read, options) => {
  await read(warmUp, () => {})
  globalThis.gc()
  const before = process.memoryUsage().rss
  let peak = before
  const start = performance.now()
  let next = 0
  await read(total(options), (rows) => {
    if (rows >= next) {
      next = rows + 50_000
      peak = Math.max(peak, process.memoryUsage().rss)
    }
  })
  const seconds = (performance.now() - start) / 1000
  return { growth: mebibytes(peak - before), rss: mebibytes(peak), rate: total(options) / seconds / 1e6 }
}

/** The function's effect holds its page: see the README for what V8 makes of that. */
const eachChunk = (seen) => {
  let rows = 0
  return Stream.runForEachChunk((chunk) => Effect.sync(() => seen((rows += chunk.length))))
}

const fold = (seen) =>
  Stream.run(
    Sink.foldLeftChunks(0, (rows, chunk) => {
      seen(rows + chunk.length)
      return rows + chunk.length
    })
  )

const sluice = (consume) => (options) =>
  withClient({ filename: ":memory:" }, (sql) => {
    const read = (n, seen) =>
      sql.unsafe(text(n)).stream.pipe(SqlClient.withPrefetch(options.prefetch ?? 512), consume(seen), Effect.runPromise)
    return Effect.promise(() => growth(read, options))
  })

export default {
  name: "memory",
  title: "Resident memory while 10 million generated rows stream by (2 million with --quick)",
  rounds: ({ quick }) => (quick ? 1 : 2),
  cells: () => [
    { name: "Sluice stream, a function per page", run: sluice(eachChunk) },
    { name: "Sluice stream, folded", run: sluice(fold) },
    {
      name: "better-sqlite3 .iterate()",
      run: async (options) => {
        const { Database } = await import("../../peers/index.mjs")
        const db = new Database(":memory:")
        const read = async (n, seen) => {
          let rows = 0
          for (const row of db.prepare(text(n)).iterate()) {
            seen((rows += row.i > 0 ? 1 : 0))
          }
        }
        return growth(read, options)
      }
    }
  ],
  metrics: [
    { key: "growth", label: "RSS growth", unit: "MiB", pick: "max" },
    { key: "rss", label: "peak RSS", unit: "MiB", spread: false },
    { key: "rate", label: "rows/s", unit: "M" }
  ],
  plot: { kind: "bars", metric: "growth", title: "Growth of resident memory, MiB (shorter is better)" },
  bars: ({ max }) =>
    ["a function per page", "folded"].map((how) => {
      const worst = max(`Sluice stream, ${how}`, "growth")
      return { bar: `${how}: RSS growth under 64 MiB`, figure: format(worst, "MiB"), met: worst < 64 }
    })
}
