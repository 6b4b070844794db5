/** What a query of one second does to the event loop. */
import { SqlClient } from "@sluice/sql"
import { Effect, Stream } from "effect"
import { format } from "../harness.mjs"
import { loopDelay, median, sleep } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

const count = (n) =>
  `with recursive c(i) as (select 1 union all select i + 1 from c where i < ${n}) select count(*) as n from c`

const rows = (n) => `with recursive c(i) as (select 1 union all select i + 1 from c where i < ${n}) select i from c`

/** Finds the n for which the work takes about a second, then measures it and idleness in turns. */
const beside = async (work, quick) => {
  const guess = 300_000
  await work(guess)
  const start = performance.now()
  await work(guess)
  const n = Math.round((guess * 1000) / (performance.now() - start))
  const [idle, busy, max] = [[], [], []]
  for (let i = 0; i < (quick ? 2 : 4); i++) {
    idle.push((await loopDelay(() => sleep(1000))).p99)
    const delay = await loopDelay(() => work(n))
    busy.push(delay.p99)
    max.push(delay.max)
  }
  return { idle: median(idle), busy: median(busy), added: median(busy) - median(idle), max: Math.max(...max) }
}

/** Keeps the loop busy for n microseconds, with a turn of the event loop after each step. */
const busySteps = (n) =>
  new Promise((resolve) => {
    const end = performance.now() + n / 1000
    const step = () => {
      const next = performance.now() + 0.1
      while (performance.now() < next) {
        // busy
      }
      return performance.now() < end ? setImmediate(step) : resolve()
    }
    step()
  })

const sluice = (work) => (options) =>
  withClient({ filename: ":memory:" }, (sql) =>
    Effect.promise(() => beside((n) => Effect.runPromise(work(sql, n)), options.quick))
  )

export default {
  name: "loop",
  title: "Event-loop delay beside a query of one second (1 ms timer, its own period included)",
  rounds: ({ quick }) => (quick ? 1 : 3),
  cells: () => [
    { name: "Sluice, one long query", run: sluice((sql, n) => sql.unsafe(count(n))) },
    {
      name: "Sluice, streaming at 64",
      run: sluice((sql, n) =>
        sql.unsafe(rows(n)).stream.pipe(
          SqlClient.withPrefetch(64),
          Stream.runForEachChunk(() => Effect.void)
        )
      )
    },
    {
      // The loop's own share of streaming, without any SQL: what the machine's other load makes of it.
      name: "no SQL, a loop kept busy in steps of 0.1 ms",
      run: ({ quick }) => beside(busySteps, quick)
    },
    {
      name: "better-sqlite3, one long query",
      run: async ({ quick }) => {
        const { Database } = await import("../../peers/index.mjs")
        const db = new Database(":memory:")
        return beside(async (n) => db.prepare(count(n)).all(), quick)
      }
    }
  ],
  metrics: [
    { key: "idle", label: "idle p99", unit: "ms", spread: false },
    { key: "busy", label: "busy p99", unit: "ms" },
    { key: "added", label: "added", unit: "ms" },
    { key: "max", label: "max", unit: "ms", pick: "max", spread: false }
  ],
  plot: { kind: "bars", metric: "busy", title: "Event-loop delay p99 during the work, ms (shorter is better)" },
  bars: ({ median }) => {
    const added = median("Sluice, one long query", "added")
    return [{ bar: "loop delay p99 within 2 ms of idle", figure: `${format(added, "ms")} added`, met: added <= 2 }]
  }
}
