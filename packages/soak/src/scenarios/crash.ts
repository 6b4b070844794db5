/**
 * A process is killed (SIGKILL) while it commits. Whatever it has told is in the file, of what it has not told there is all
 * or nothing. The next process goes on with the same file, recovering it as SQLite does; each time a copy of what the
 * killed process left is looked at, too.
 */
import { spawn } from "node:child_process"
import { copyFileSync, existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { type Commits, rowsOf } from "../commits.js"
import { rowsPerUnit } from "../ledger.js"
import type { Soak } from "../soak.js"
import { audit, total } from "../tables.js"
import { open, setUp } from "./sqlite.js"

const program = fileURLToPath(new URL("../programs/committer.js", import.meta.url))

interface Killed {
  /** The lines that it has told. */
  readonly lines: ReadonlyArray<string>
  /** Whether it has ended before it was killed, and how. */
  readonly byItself: string | undefined
}

/** Runs it until it is killed. */
const killed = (task: Commits, afterMillis: number): Effect.Effect<Killed, Error> =>
  Effect.async<Killed>((resume) => {
    const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    let timer: NodeJS.Timeout | undefined
    child.stdout.on("data", (data: Buffer) => {
      output += data.toString()
      // Counted from the first commit: how long a process takes to start says nothing.
      if (timer === undefined && output.includes("+")) {
        timer = setTimeout(() => child.kill("SIGKILL"), afterMillis)
      } else if (output.includes("!")) {
        child.kill("SIGKILL")
      }
    })
    // Told when the pipe has been read to its end, too.
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      const byItself = signal === "SIGKILL" ? undefined : (signal ?? `code ${code}`)
      resume(Effect.succeed({ lines: output.split("\n"), byItself }))
    })
    return Effect.sync(() => void child.kill("SIGKILL"))
  }).pipe(
    Effect.timeoutFail({
      duration: "50 seconds",
      onTimeout: () => new Error(`A process with ${JSON.stringify(task)} has not committed anything in 50 seconds`)
    })
  )

/** One file that lives through many processes. */
interface Lane {
  readonly path: string
  readonly config: Commits["config"]
  readonly told: Set<number>
  base: number
}

const look = (soak: Soak, { base, path, told }: Lane, fibers: number): void => {
  const copy = `${path}.${soak.random.between(0, 1e9)}`
  copyFileSync(path, copy)
  for (const beside of ["-wal", "-journal"]) {
    if (existsSync(path + beside)) {
      copyFileSync(path + beside, copy + beside)
    }
  }
  const found = audit(copy)
  const rows = new Map<number, number>()
  for (const id of found.ledger) {
    const unit = Math.floor(id / rowsPerUnit)
    rows.set(unit, (rows.get(unit) ?? 0) + 1)
  }
  if (found.integrity !== "ok") {
    soak.breach(`integrity_check: ${found.integrity}`)
  }
  if (found.balance !== total || found.counter !== rows.size) {
    soak.breach(`accounts ${found.balance} of ${total}, counter ${found.counter} of ${rows.size}`)
  }
  for (const unit of told) {
    if (!rows.has(unit)) {
      soak.breach(`unit ${unit} was acknowledged and is not there`)
    }
  }
  for (const [unit, count] of rows) {
    if (count !== rowsOf(unit)) {
      soak.breach(`half of unit ${unit} is there: ${count} of ${rowsOf(unit)} rows`)
    }
  }
  // Each fiber had one unit under way.
  const untold = [...rows.keys()].filter((unit) => unit > base && !told.has(unit))
  if (untold.length > fibers) {
    soak.breach(`${untold.length} units are there that were not acknowledged, by ${fibers} fibers`)
  }
  soak.count("commits acknowledged", [...told].filter((unit) => unit > base).length)
  soak.count("commits that could not be acknowledged", untold.length)
  for (const unit of untold) {
    told.add(unit)
  }
}

const once = (soak: Soak, lane: Lane) =>
  Effect.gen(function* () {
    const { random } = soak
    const fibers = random.between(1, 6)
    const task: Commits = {
      config: lane.config,
      seed: random.between(0, 1e9),
      base: lane.base,
      fibers,
      readers: (lane.config.readers ?? 0) > 0 ? 2 : random.between(0, 2)
    }
    const { byItself, lines } = yield* soak.watched(
      "a process that is to be killed",
      killed(task, random() * random.between(5, 150))
    )
    soak.count("kill -9")
    if (byItself !== undefined) {
      soak.breach(`the process ended by itself with ${byItself}`)
    }
    const words = lines.find((line) => line.startsWith("!"))
    if (words !== undefined) {
      soak.breach(`the process said: ${words.slice(1)}`)
    }
    // What has no end of line was cut off by the kill: it was not told.
    for (const line of lines.slice(0, -1).filter((text) => text.startsWith("+"))) {
      lane.told.add(Number(line.slice(1)))
    }
    look(soak, lane, fibers)
    lane.base = Math.max(lane.base, ...lane.told)
  })

const laneFor = (
  soak: Soak,
  name: string,
  config: Omit<Commits["config"], "filename">
): Effect.Effect<Lane, unknown> => {
  const path = join(soak.directory, `${name}.db`)
  const prepared = Effect.gen(function* () {
    const sql = yield* open({ ...config, filename: path })
    yield* setUp(sql)
    yield* sql`create table ballast (bytes blob)`
    yield* sql`insert into ballast values (null), (null), (null)`
  })
  return Effect.as(Effect.scoped(prepared), { path, config: { ...config, filename: path }, told: new Set(), base: 0 })
}

/** Times that one file is killed over. */
const perRound = 10

export const round = (soak: Soak): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const { random } = soak
    const engine = random.chance(0.8) ? ("native" as const) : ("portable" as const)
    const shared = { engine, readers: random.between(0, 3), busyTimeout: 30_000, pragmas: { cache_size: 40 } }
    const lanes = [
      yield* laneFor(soak, "wal", { ...shared }),
      yield* laneFor(soak, "journal", { ...shared, disableWAL: true })
    ]
    const kills = soak.short ? 2 : perRound
    yield* Effect.forEach(
      lanes,
      (lane) => Effect.forEach(Array.from({ length: kills }), () => once(soak, lane), { discard: true }),
      { concurrency: 2, discard: true }
    )
  })
