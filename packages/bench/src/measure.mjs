/** What a cell measures with. Everything here works on the running process alone. */
import { readdirSync, readFileSync } from "node:fs"
import { monitorEventLoopDelay, performance } from "node:perf_hooks"

/** Nanoseconds of CPU that one thread of this process has used. The main thread's id is the process's own (Linux). */
export const threadCpu = (tid = process.pid) =>
  Number(readFileSync(`/proc/self/task/${tid}/schedstat`, "utf8").split(" ", 1)[0])

export const threadIds = () => readdirSync("/proc/self/task").map(Number)

export const median = (values) => quantile(values, 0.5)

export const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b)
  const position = (sorted.length - 1) * q
  const low = sorted[Math.floor(position)]
  return low + (sorted[Math.ceil(position)] - low) * (position % 1)
}

/** Runs it and answers wall time, main-thread CPU and process CPU in milliseconds, beside the result. */
export const timed = async (use) => {
  const cpu = process.cpuUsage()
  const main = threadCpu()
  const start = performance.now()
  const result = await use()
  const ms = performance.now() - start
  const { system, user } = process.cpuUsage(cpu)
  return { result, ms, mainCpuMs: (threadCpu() - main) / 1e6, cpuMs: (system + user) / 1000 }
}

/** Event-loop delay in milliseconds while it runs, as Node's own monitor sees it at a resolution of 1 ms. */
export const loopDelay = async (use) => {
  const monitor = monitorEventLoopDelay({ resolution: 1 })
  monitor.enable()
  // The monitor sees a delay only between two of its ticks: one before the work begins, one after it ended.
  await sleep(5)
  await use()
  await sleep(5)
  monitor.disable()
  return { p50: monitor.percentile(50) / 1e6, p99: monitor.percentile(99) / 1e6, max: monitor.max / 1e6 }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * The smallest tracer that makes a span object for each span, as an exporter would need it. For either copy of Effect.
 */
export const minimalTracer = (Tracer) => {
  let ids = 0
  class Span {
    _tag = "Span"
    sampled = true
    status
    attributes = new Map()
    constructor(name, parent, context, links, startTime, kind) {
      this.name = name
      this.parent = parent
      this.context = context
      this.links = links
      this.kind = kind
      this.status = { _tag: "Started", startTime }
      this.spanId = String(ids++)
      this.traceId = parent._tag === "Some" ? parent.value.traceId : this.spanId
    }
    end(endTime, exit) {
      this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
    }
    attribute(key, value) {
      this.attributes.set(key, value)
    }
    event() {}
    addLinks() {}
  }
  return Tracer.make({
    span: (name, parent, context, links, startTime, kind) => new Span(name, parent, context, links, startTime, kind),
    context: (f) => f()
  })
}
