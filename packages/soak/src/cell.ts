/** The process of one scenario: rounds until the time is over, and a look at what they leave. */
import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { holdings, leftovers } from "./leftovers.js"
import { random } from "./random.js"
import type { Result, Task } from "./run.js"
import { scenarios } from "./scenarios.js"
import type { Scenario, ScenarioModule, Soak } from "./soak.js"

/** More of them say nothing new. */
const maxBreaches = 20
/** Whatever takes longer hangs. */
const hangsAfter = 120_000

const counts: Record<string, number> = {}
const breaches: Array<string> = []
const running = new Map<object, { readonly what: string; readonly since: number }>()
let rounds = 0

const count = (what: string, by = 1): void => {
  counts[what] = (counts[what] ?? 0) + by
}

const breach = (what: string): void => {
  if (breaches.length < maxBreaches) {
    breaches.push(`round ${rounds}: ${what}`)
  }
}

const watched: Soak["watched"] = (what, effect) =>
  Effect.suspend(() => {
    const key = {}
    running.set(key, { what, since: performance.now() })
    return Effect.ensuring(
      effect,
      Effect.sync(() => running.delete(key))
    )
  })

const report = (task: Task, began: number, code: number, skipped?: string): void => {
  const result: Result = {
    scenario: task.scenario,
    rounds,
    millis: performance.now() - began,
    counts,
    breaches,
    skipped
  }
  process.send?.(result, () => process.exit(code))
}

const oneRound = ({ round }: ScenarioModule, task: Task, millis: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const directory = join(task.directory, `round-${rounds}`)
    mkdirSync(directory)
    // The time begins when somebody looks at it, which is after everything has been opened.
    let end: number | undefined
    const soak: Soak = {
      random: random(task.seed).fork(rounds),
      directory,
      round: rounds,
      short: task.short || rounds === 0,
      millis,
      over: () => performance.now() >= (end ??= performance.now() + millis) || breaches.length >= maxBreaches,
      count,
      breach,
      watched
    }
    return round(soak).pipe(
      Effect.catchAllCause((cause) => Effect.sync(() => breach(Cause.pretty(cause)))),
      Effect.ensuring(Effect.sync(() => rmSync(directory, { recursive: true, force: true })))
    )
  })

const work = (scenario: Scenario, module: ScenarioModule, task: Task): Effect.Effect<void> =>
  Effect.gen(function* () {
    const millis = scenario.roundMillis[task.short ? "short" : "long"]
    if (!task.short) {
      yield* oneRound(module, task, Math.min(millis, 300))
      // What is made once and kept (compiled code, threads of the runtime) is there by now.
      yield* Effect.sleep(200)
    }
    const before = holdings()
    const end = performance.now() + task.millis
    while (breaches.length === 0 && (rounds < task.rounds || performance.now() < end)) {
      rounds++
      yield* oneRound(module, task, millis)
      if (breaches.length === 0) {
        for (const left of yield* leftovers(before, !task.short)) {
          breach(`left behind: ${left}`)
        }
      }
    }
  })

const task = JSON.parse(process.argv[2] ?? "{}") as Task
const scenario = scenarios.find(({ name }) => name === task.scenario)
const began = performance.now()

// Nobody is there to hear the result any more.
process.on("disconnect", () => process.exit(1))

setInterval(() => {
  const all = [...running.values()].map(({ since, what }) => ({ what, seconds: (performance.now() - since) / 1_000 }))
  if (all.some(({ seconds }) => seconds * 1_000 > hangsAfter)) {
    breach(
      `does not come to an end: ${all.map(({ seconds, what }) => `${what} (${Math.round(seconds)} s)`).join(", ")}`
    )
    report(task, began, 1)
  }
}, 1_000).unref()

if (scenario === undefined) {
  throw new Error(`There is no scenario "${task.scenario}"`)
}

const module = await scenario.load()
const skipped = module.unavailable?.()
if (skipped !== undefined) {
  report(task, began, 0, skipped)
} else {
  Effect.runCallback(work(scenario, module, task), {
    onExit: (exit) => {
      if (Exit.isFailure(exit)) {
        breach(Cause.pretty(exit.cause))
      }
      report(task, began, breaches.length === 0 ? 0 : 1)
    }
  })
}
