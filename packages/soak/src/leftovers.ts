/** What a process holds: open files and sockets, threads, memory. Linux tells; elsewhere only memory is looked at. */
import { readdirSync, readlinkSync } from "node:fs"
import * as Effect from "effect/Effect"

export interface Holdings {
  /** Open descriptors by kind; files by their path. */
  readonly descriptors: ReadonlyMap<string, number>
  readonly threads: number
  /** Bytes that JavaScript holds, after a collection. */
  readonly heap: number
  /** Bytes that the process holds. */
  readonly resident: number
}

const list = (path: string): ReadonlyArray<string> => {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

const kindOf = (descriptor: string): string | undefined => {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).replace(/^(socket|pipe):.*/, "$1")
  } catch {
    return undefined
  }
}

const descriptors = (): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const descriptor of list("/proc/self/fd")) {
    const kind = kindOf(descriptor)
    // The listing itself has one that is gone by now. Modules are the runtime's: it does not close those that a thread was
    // reading when it was terminated.
    if (kind !== undefined && !kind.startsWith("/proc/") && !/\.(c|m)?js(on)?$/.test(kind)) {
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
    }
  }
  return counts
}

export const holdings = (): Holdings => {
  globalThis.gc?.()
  const { arrayBuffers, external, heapUsed, rss } = process.memoryUsage()
  return {
    descriptors: descriptors(),
    threads: list("/proc/self/task").length,
    heap: heapUsed + external + arrayBuffers,
    resident: rss
  }
}

const mebibyte = 1024 * 1024

/** Threads of Node's pool, which start when they are first needed. */
const poolThreads = 4

/** What is more than it was, in words. Before the first round the runtime's own part of it is not there yet. */
const grown = (before: Holdings, now: Holdings, warm: boolean): ReadonlyArray<string> => {
  const threads = now.threads - before.threads
  return [
    ...[...now.descriptors].flatMap(([kind, count]) => {
      const more = count - (before.descriptors.get(kind) ?? 0)
      return more > 0 && (warm || !kind.startsWith("anon_inode:")) ? [`${more} more open: ${kind}`] : []
    }),
    ...(threads > (warm ? 0 : poolThreads) ? [`${threads} more threads`] : [])
  ]
}

/** Memory may differ by what caches and compiled code take; a leak of every round would not stay below this for long. */
const allowance = { heap: 12 * mebibyte, resident: 160 * mebibyte }

const fatter = (before: Holdings, now: Holdings, warm: boolean): ReadonlyArray<string> =>
  (["heap", "resident"] as const).flatMap((name) => {
    const more = now[name] - before[name]
    return more > allowance[name] * (warm ? 1 : 3) ? [`${Math.round(more / mebibyte)} MiB more ${name} memory`] : []
  })

/** Waits, some seconds at most, until nothing is left; answers what is. */
export const leftovers = (before: Holdings, warm: boolean): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    for (let look = 0; ; look++) {
      const now = holdings()
      const left = [...grown(before, now, warm), ...fatter(before, now, warm)]
      if (left.length === 0 || look === 100) {
        return left
      }
      yield* Effect.sleep(100)
    }
  })
