/** A million rows through one socket at 1,000 rows per page, and what stopping a statement costs. */
import { SqlClient } from "@sluice/sql"
import { Effect, Exit, Fiber, Stream } from "effect"
import { format } from "../harness.mjs"
import { withJob, withServer, withSluice } from "../mapepire/clients.mjs"
import { loopDelay, median, quantile, sleep } from "../measure.mjs"

const pageSize = 1_000
const rowsOf = ({ quick }) => (quick ? 200_000 : 1_000_000)
const text = "select id, amount, name from numbers"
const mebibytes = (bytes) => bytes / 2 ** 20

/** `read(n, seen)` reads n rows and calls `seen` with how many it has had. */
const measure = async (read, total) => {
  await read(50_000, () => {})
  const idle = []
  for (let i = 0; i < 3; i++) {
    idle.push((await loopDelay(() => sleep(500))).p99)
  }
  globalThis.gc()
  const before = process.memoryUsage().rss
  let [peak, next] = [before, 0]
  const start = performance.now()
  const delay = await loopDelay(() =>
    read(total, (rows) => {
      if (rows >= next) {
        next = rows + 20_000
        peak = Math.max(peak, process.memoryUsage().rss)
      }
    })
  )
  const rate = total / (performance.now() - start) / 1000
  return { rate, growth: mebibytes(peak - before), idle: median(idle), p99: delay.p99, max: delay.max }
}

const ours = {
  name: "Sluice stream",
  run: (options) =>
    withServer(rowsOf(options), (server) =>
      withSluice(server, { sessions: 1 }, (sql) => {
        const read = async (n, seen) => {
          let rows = 0
          await sql.unsafe(text).stream.pipe(
            SqlClient.withPrefetch(options.prefetch ?? pageSize),
            Stream.take(n),
            Stream.runForEachChunk((chunk) => Effect.sync(() => seen((rows += chunk.length)))),
            Effect.runPromise
          )
          if (rows !== n) {
            throw new Error(`read ${rows} rows instead of ${n}`)
          }
        }
        return Effect.promise(() => measure(read, rowsOf(options)))
      })
    )
}

const theirs = {
  name: "@ibm/mapepire-js fetchMore",
  run: (options) =>
    withServer(rowsOf(options), (server) =>
      withJob(server, (job) =>
        measure(async (n, seen) => {
          const query = job.query(text)
          let page = await query.execute(options.prefetch ?? pageSize)
          let rows = page.data.length
          while (!page.is_done && rows < n) {
            page = await query.fetchMore(options.prefetch ?? pageSize)
            seen((rows += page.data.length))
          }
          await query.close()
        }, rowsOf(options))
      )
    )
}

/** Runs for minutes, if nobody stops it. */
const endless = `with c(i) as (select 1 from sysibm.sysdummy1 union all select i + 1 from c where i < 2000000000)
                 select count(*) as n from c`

/** From the interrupt until the fiber is free, and until the next query on the same and only session has answered. */
const cancel = {
  name: "Sluice, interrupt",
  run: ({ quick }) =>
    withServer(10, (server) =>
      withSluice(server, { sessions: 1 }, (sql) => {
        const one = Effect.gen(function* () {
          const fiber = yield* Effect.fork(sql.unsafe(endless))
          yield* Effect.sleep("100 millis")
          const start = performance.now()
          yield* Fiber.interrupt(fiber)
          const free = performance.now() - start
          if (!Exit.isInterrupted(yield* Fiber.await(fiber))) {
            throw new Error("The statement ended before it was interrupted")
          }
          yield* sql.unsafe("values 1")
          return { free, next: performance.now() - start }
        })
        return Effect.gen(function* () {
          yield* sql.unsafe("values 1")
          // The first one has to open the job that stops the others.
          const first = yield* one
          const rest = yield* Effect.replicateEffect(one, quick ? 10 : 40)
          return {
            free: median(rest.map(({ free }) => free)),
            next: median(rest.map(({ next }) => next)),
            slowest: quantile(
              rest.map(({ next }) => next),
              1
            ),
            first: first.next
          }
        })
      })
    )
}

export default {
  name: "mapepire-stream",
  title: "A million rows at 1,000 per page from a server in another process (200,000 with --quick); interrupts",
  rounds: ({ quick }) => (quick ? 1 : 2),
  cells: () => [ours, theirs, cancel],
  metrics: [
    { key: "rate", label: "rows/s", unit: "M", better: "high" },
    { key: "growth", label: "RSS growth", unit: "MiB", pick: "max", spread: false },
    { key: "idle", label: "idle p99", unit: "ms", spread: false },
    { key: "p99", label: "loop delay p99", unit: "ms", spread: false },
    { key: "max", label: "max", unit: "ms", pick: "max", spread: false },
    { key: "free", label: "interrupt", unit: "ms", spread: false },
    { key: "next", label: "next query", unit: "ms", spread: false },
    { key: "slowest", label: "slowest", unit: "ms", pick: "max", spread: false },
    { key: "first", label: "first", unit: "ms", spread: false }
  ],
  bars: ({ max, median }) => {
    const [growth, p99] = [max(ours.name, "growth"), median(ours.name, "p99")]
    return [
      { bar: "streaming: RSS grows by less than 64 MiB", figure: format(growth, "MiB"), met: growth < 64 },
      { bar: "streaming: loop delay p99 under 20 ms", figure: format(p99, "ms"), met: p99 < 20 }
    ]
  }
}
