/**
 * npm run soak -- [--minutes n] [--seed n] [--only scenario]… [--short]
 *
 * Runs the scenarios one after the other, each in a process of its own, and prints what they did. The exit code is 1 when
 * an invariant did not hold.
 */
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import { describe } from "./report.js"
import { type Result, run } from "./run.js"
import { scenarios } from "./scenarios.js"
import type { Scenario } from "./soak.js"

const defaultMinutes = 4

const usage = `npm run soak -- [options]

  --minutes <n>       how long, in all (default ${defaultMinutes})
  --seed <n>          the choices of an earlier run (default: new ones)
  --only <scenario>   one of them, or several
  --short             a few seconds each, as in the tests

${scenarios.map(({ about, name }) => `  ${name.padEnd(10)}  ${about}`).join("\n")}
`

const options = () => {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string" },
      seed: { type: "string" },
      only: { type: "string", multiple: true },
      short: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false }
    }
  })
  const number = (name: "minutes" | "seed", otherwise: number, fits: (value: number) => boolean): number => {
    const text = values[name]
    const value = text === undefined ? otherwise : Number(text)
    // Of an empty text Number makes 0.
    if (text?.trim() === "" || !fits(value)) {
      throw new Error(`--${name} cannot be "${text}"`)
    }
    return value
  }
  const only = values.only ?? []
  const unknown = only.find((word) => !scenarios.some(({ name }) => name === word))
  if (unknown !== undefined) {
    throw new Error(`There is no scenario "${unknown}"`)
  }
  return {
    help: values.help,
    short: values.short,
    timed: values.minutes !== undefined,
    minutes: number("minutes", defaultMinutes, (value) => value > 0 && value <= 24 * 60),
    seed: number("seed", Math.floor(Math.random() * 1_000_000), (value) => Number.isSafeInteger(value) && value >= 0),
    chosen: only.length === 0 ? scenarios : scenarios.filter(({ name }) => only.includes(name))
  }
}

type Options = ReturnType<typeof options>

const millisFor = (scenario: Scenario, { chosen, minutes, short }: Options): number =>
  short
    ? scenario.roundMillis.short
    : (minutes * 60_000 * scenario.weight) / chosen.reduce((sum, { weight }) => sum + weight, 0)

/** A scenario with a number of rounds of its own does them all when it was asked for alone and no time was given. */
const roundsFor = (scenario: Scenario, { chosen, short, timed }: Options): number =>
  chosen.length === 1 && !short && !timed && scenario.rounds !== undefined ? scenario.rounds : 1

const soak = async (given: Options): Promise<number> => {
  const { chosen, minutes, seed, short } = given
  console.log(
    `Soak with seed ${seed}, ${short ? "short" : `${minutes} minutes`}; Node ${process.version}, ` +
      `${cpus().length} × ${cpus()[0]?.model.trim() ?? "processor"}\n`
  )
  const results: Array<Result> = []
  for (const scenario of chosen) {
    const rounds = roundsFor(scenario, given)
    const result = await run({
      scenario: scenario.name,
      seed,
      millis: rounds > 1 ? 0 : millisFor(scenario, given),
      short,
      rounds
    })
    results.push(result)
    console.log(describe(result))
  }
  const broken = results.filter(({ breaches }) => breaches.length > 0).map(({ scenario }) => scenario)
  if (broken.length === 0) {
    console.log(`\nEvery invariant has held. Seed ${seed}.`)
    return 0
  }
  const again = [
    `--seed ${seed}`,
    ...(short ? ["--short"] : []),
    ...(given.timed ? [`--minutes ${minutes}`] : []),
    ...broken.map((name) => `--only ${name}`)
  ]
  console.log(`\nBroken: ${broken.join(", ")}. Again: npm run soak -- ${again.join(" ")}`)
  return 1
}

try {
  const given = options()
  if (given.help) {
    console.log(usage)
  } else {
    process.exitCode = await soak(given)
  }
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`)
  process.exitCode = 1
}
