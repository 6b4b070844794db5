/** APSW's aio workload; `--prefetch` sets the rows of a batch (64). */
import * as clients from "../aio/clients.mjs"
import { format } from "../harness.mjs"

const names = {
  ours: "Sluice, rows one by one",
  ahead: "Sluice, one page ahead",
  effects: "Sluice, an Effect per row",
  main: "better-sqlite3, main thread",
  mainLoose: "better-sqlite3, main thread, no transaction",
  libsql: "libsql, main thread",
  effectSql: "@effect/sql-sqlite-node, all rows at once",
  nodeSqlite3: "node-sqlite3, all rows at once",
  batched: "plain worker, inserts in one message",
  single: "plain worker, a message per insert",
  aiosqlite: "aiosqlite"
}

export default {
  name: "aio",
  title: "APSW's aio workload: to 300,000 rows, reading 1,000 one by one and appending them",
  cells: () => [
    { name: names.ours, run: clients.oneByOne },
    { name: names.ahead, run: clients.onePageAhead },
    { name: names.effects, run: clients.effectPerRow },
    { name: names.main, run: clients.better },
    { name: names.mainLoose, run: clients.betterWithoutTransaction },
    { name: names.libsql, run: clients.libsql },
    { name: names.effectSql, run: clients.effectSql },
    { name: names.batched, run: clients.plainWorkerBatched },
    // So slow, and so far from any bar, that once is enough.
    { name: names.nodeSqlite3, run: clients.nodeSqlite3, once: true },
    { name: names.single, run: clients.plainWorkerSingle, once: true },
    ...(clients.aiosqliteVersion() === undefined ? [] : [{ name: names.aiosqlite, run: clients.aiosqlite }])
  ],
  metrics: [
    { key: "ms", label: "wall", unit: "ms", reference: names.main },
    { key: "cpuMs", label: "CPU", unit: "ms", spread: false },
    { key: "mainCpuMs", label: "of the loop", unit: "ms", spread: false },
    { key: "otherCpuMs", label: "of other threads", unit: "ms", spread: false }
  ],
  plot: {
    kind: "bars",
    metric: "ms",
    title: "APSW's aio workload at prefetch 64, wall time in ms (shorter is better)"
  },
  bars: ({ ratio }) => {
    const [main, worker, python] = [names.main, names.batched, names.aiosqlite].map((to) => ratio(names.ours, to, "ms"))
    return [
      { bar: "faster than better-sqlite3 on the main thread", figure: `${format(main)} × its time`, met: main < 1 },
      { bar: "faster than aiosqlite", figure: `${format(python)} × its time`, met: python < 1 },
      {
        bar: "under half of a plain worker (inserts in one message)",
        figure: `${format(worker)} × its time`,
        met: worker < 0.5
      }
    ]
  }
}
