/** The smallest query, one after the other and from 64 fibers. */
import { Effect, Tracer } from "effect"
import { format } from "../harness.mjs"
import { median, minimalTracer, threadCpu } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

const fibers = 64

/** The same program for either client; `E` is the copy of Effect that the client runs on. */
const measure = (E, sql, { quick }) =>
  E.gen(function* () {
    const loop = (n) =>
      E.gen(function* () {
        for (let i = 0; i < n; i++) {
          const rows = yield* sql`select ${i} + 1 as n`
          if (rows[0].n !== i + 1) {
            return yield* E.dieMessage(`asked for ${i} + 1, got ${rows[0].n}`)
          }
        }
      })
    const [single, together] = quick ? [5_000, 30_000] : [10_000, 60_000]
    const crowd = E.forEach(
      Array.from({ length: fibers }, () => Math.ceil(together / fibers)),
      loop,
      { concurrency: fibers, discard: true }
    )
    yield* loop(single / 2)
    yield* crowd
    const [sequential, throughput, mainCpu] = [[], [], []]
    for (let i = 0; i < 3; i++) {
      let start = performance.now()
      yield* loop(single)
      sequential.push(((performance.now() - start) * 1000) / single)
      const cpu = threadCpu()
      start = performance.now()
      yield* crowd
      throughput.push(together / (performance.now() - start))
      mainCpu.push((threadCpu() - cpu) / 1000 / together)
    }
    return { sequential: median(sequential), throughput: median(throughput), mainCpu: median(mainCpu) }
  })

const sluice = (real) => (options) =>
  withClient({ filename: ":memory:" }, (sql) => {
    const program = measure(Effect, sql, options)
    return real ? Effect.withTracer(program, minimalTracer(Tracer)) : program
  })

const upstream = (real) => async (options) => {
  const peers = await import("../../peers/index.mjs")
  const program = peers.Effect.flatMap(peers.SqlClient.SqlClient, (sql) => measure(peers.Effect, sql, options)).pipe(
    peers.Effect.provide(peers.SqliteClient.layer({ filename: ":memory:" }))
  )
  return peers.Effect.runPromise(real ? peers.Effect.withTracer(program, minimalTracer(peers.Tracer)) : program)
}

const [ours, theirs] = ["Sluice", "@effect/sql-sqlite-node"]
const traced = (name) => `${name}, real tracer`

export default {
  name: "point",
  title: "`select ? + 1`, one after the other and from 64 fibers",
  cells: () => [
    { name: ours, run: sluice(false) },
    { name: theirs, run: upstream(false) },
    { name: traced(ours), run: sluice(true) },
    { name: traced(theirs), run: upstream(true) }
  ],
  metrics: [
    { key: "sequential", label: "sequential", unit: "µs" },
    { key: "throughput", label: "64 fibers", unit: "k/s", better: "high" },
    { key: "mainCpu", label: "main-thread CPU", unit: "µs", spread: false }
  ],
  plot: {
    kind: "bars",
    metric: "throughput",
    title: "Small queries from 64 fibers, thousands per second (longer is better)"
  },
  bars: ({ ratio }) => {
    const slower = ratio(ours, theirs, "sequential")
    const crowd = ratio(ours, theirs, "throughput")
    const crowdTraced = ratio(traced(ours), traced(theirs), "throughput")
    return [
      {
        bar: "sequential: no slower than @effect/sql-sqlite-node",
        figure: `${format(slower)} × its time`,
        met: slower <= 1
      },
      { bar: "64 fibers, default tracer: 4 × its throughput", figure: format(crowd, "×"), met: crowd >= 4 },
      { bar: "64 fibers, real tracer: 3 × its throughput", figure: format(crowdTraced, "×"), met: crowdTraced >= 3 }
    ]
  }
}
