/** Small queries with a parameter from 64 fibers over 4 sockets to one server, in another process. */
import { readFileSync } from "node:fs"
import { Effect } from "effect"
import { format } from "../harness.mjs"
import { withPool, withServer, withSluice } from "../mapepire/clients.mjs"
import { median, threadCpu } from "../measure.mjs"

const fibers = 64
const text = "select id, name from numbers where id = ?"
const step = 9007199254
const tableRows = 1_000

/**
 * A daemon gives each job 9,999 statements, and queries with parameters use them up for good: four jobs have enough for
 * so many queries in one process, and no more.
 */
const [warmUp, total, repetitions] = [2_000, 10_000, 3]

/** Nanoseconds that the main thread of another process has used. */
const cpuOf = (pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ", 1)[0])

/** `run(n)` runs n queries. */
const measure = async (server, quick, run) => {
  await run(warmUp)
  const [throughput, clientCpu, serverCpu] = [[], [], []]
  for (let i = 0; i < (quick ? 2 : repetitions); i++) {
    globalThis.gc()
    const cpu = [threadCpu(), cpuOf(server.pid)]
    const start = performance.now()
    await run(total)
    throughput.push(total / (performance.now() - start))
    clientCpu.push((threadCpu() - cpu[0]) / 1000 / total)
    serverCpu.push((cpuOf(server.pid) - cpu[1]) / 1000 / total)
  }
  return { throughput: median(throughput), clientCpu: median(clientCpu), serverCpu: median(serverCpu) }
}

const check = (row, i, [id, name]) => {
  if (row?.[id] !== i * step || row[name] !== `the name of ${i}`) {
    throw new Error(`row ${i} came as ${JSON.stringify(row)}`)
  }
}

const idOf = (n) => 1 + (n % tableRows)

const ours = {
  name: "Sluice",
  run: ({ quick }) =>
    withServer(tableRows, (server) =>
      withSluice(server, { sessions: 4, multiplex: fibers / 4, recycleAt: 9_000 }, (sql) => {
        let next = 0
        const query = Effect.suspend(() => {
          const i = idOf(next++)
          return Effect.map(sql.unsafe(text, [i * step]), ([row]) => check(row, i, ["id", "name"]))
        })
        const run = (n) => {
          const end = next + n
          const fiber = Effect.whileLoop({ while: () => next < end, body: () => query, step: () => {} })
          return Effect.runPromise(
            Effect.forEach(Array.from({ length: fibers }), () => fiber, { concurrency: fibers, discard: true })
          )
        }
        return Effect.promise(() => measure(server, quick, run))
      })
    )
}

const theirs = {
  name: "@ibm/mapepire-js",
  run: ({ quick }) =>
    withServer(tableRows, (server) =>
      withPool(server, (pool) => {
        let next = 0
        const run = async (n) => {
          const end = next + n
          const fiber = async () => {
            while (next < end) {
              const i = idOf(next++)
              const { data } = await pool.execute(text, { parameters: [i * step] })
              check(data[0], i, ["ID", "NAME"])
            }
          }
          await Promise.all(Array.from({ length: fibers }, fiber))
        }
        return measure(server, quick, run)
      })
    )
}

export default {
  name: "mapepire",
  title: "10,000 small queries with a parameter, 64 fibers over 4 sockets (wss) to one server in another process",
  cells: () => [ours, theirs],
  metrics: [
    { key: "throughput", label: "queries", unit: "k/s", better: "high", reference: theirs.name },
    { key: "clientCpu", label: "client's main-thread CPU", unit: "µs" },
    { key: "serverCpu", label: "server's main-thread CPU", unit: "µs", spread: false }
  ],
  plot: {
    kind: "bars",
    metric: "throughput",
    title: "Small queries over Mapepire, thousands per second (longer is better)"
  },
  bars: ({ ratio }) => {
    const faster = ratio(ours.name, theirs.name, "throughput")
    return [{ bar: "at least the throughput of @ibm/mapepire-js", figure: format(faster, "×"), met: faster >= 1 }]
  }
}
