/** Runs a scenario in a process of its own: what it breaks cannot break the others, and a crash is a result like any other. */
import { execFileSync, fork } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** What a process is told to do. */
export interface Task {
  readonly scenario: string
  readonly seed: number
  /** How long, in milliseconds. */
  readonly millis: number
  readonly short: boolean
  /** Rounds at least, however long they take. */
  readonly rounds: number
  readonly directory: string
}

export interface Result {
  readonly scenario: string
  readonly rounds: number
  readonly millis: number
  readonly counts: Readonly<Record<string, number>>
  readonly breaches: ReadonlyArray<string>
  /** Why it was not run, if it was not. */
  readonly skipped?: string | undefined
}

/** From the sources as well as from what is built: processes run what is built. */
const program = fileURLToPath(new URL("../dist/cell.js", import.meta.url))

/** A scenario that was killed may have left a file system mounted in its directory. */
const remove = (directory: string): void => {
  try {
    const mounts = readFileSync("/proc/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
    for (const mount of mounts.filter((path) => path.startsWith(`${directory}/`))) {
      execFileSync("umount", ["--lazy", mount])
    }
  } catch {
    // No /proc: then nothing was mounted.
  }
  rmSync(directory, { recursive: true, force: true })
}

/** Time beyond its own that a scenario has to come to its end, on a machine that is busy with other things. */
const patience = 180_000
/** The same for each round that it has to do, however long that takes. */
const roundPatience = 120_000

export const run = (task: Omit<Task, "directory">): Promise<Result> =>
  new Promise((resolve) => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-soak-"))
    const began = performance.now()
    const child = fork(program, [JSON.stringify({ ...task, directory })], {
      execArgv: ["--expose-gc"],
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    let result: Result | undefined
    let late = false
    const limit = setTimeout(
      () => {
        late = true
        child.kill("SIGKILL")
      },
      task.millis + patience + task.rounds * roundPatience
    )
    child.on("message", (message) => {
      result = message as Result
    })
    child.on("exit", (code, signal) => {
      clearTimeout(limit)
      remove(directory)
      const millis = performance.now() - began
      const ended = late ? "the scenario did not come to its end" : `the process ended with ${signal ?? `code ${code}`}`
      if (result === undefined) {
        return resolve({ scenario: task.scenario, rounds: 0, millis, counts: {}, breaches: [ended] })
      }
      // Ended by a watchdog it says so itself.
      const wrong = code === 0 || result.breaches.length > 0 ? [] : [ended]
      resolve({ ...result, millis, breaches: [...result.breaches, ...wrong] })
    })
  })
