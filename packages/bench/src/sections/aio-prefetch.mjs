/** The same workload at other sizes of a batch. Small ones are round trips, and little else. */
import * as clients from "../aio/clients.mjs"

const sizes = [1, 2, 16, 64, 512, 8_192, 65_536]
const kinds = {
  Sluice: clients.oneByOne,
  "plain worker": clients.plainWorkerBatched,
  ...(clients.aiosqliteVersion() === undefined ? {} : { aiosqlite: clients.aiosqlite })
}

export default {
  name: "aio-prefetch",
  title: "APSW's aio workload by rows per batch",
  rounds: ({ quick }) => (quick ? 1 : 2),
  cells: ({ quick }) =>
    sizes
      .filter((prefetch) => !quick || prefetch >= 16)
      .flatMap((prefetch) =>
        Object.entries(kinds).map(([kind, run]) => ({
          name: `${kind}, ${prefetch}`,
          run: (options) => run({ ...options, prefetch })
        }))
      ),
  metrics: [
    { key: "ms", label: "wall", unit: "ms", spread: false },
    { key: "mainCpuMs", label: "CPU of the loop", unit: "ms", spread: false },
    { key: "otherCpuMs", label: "of other threads", unit: "ms", spread: false }
  ],
  plot: {
    kind: "lines",
    metric: "ms",
    x: "rows per batch",
    y: "wall, ms",
    title: "APSW's aio workload by rows per batch"
  }
}
