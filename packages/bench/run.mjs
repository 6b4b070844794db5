/**
 * npm run bench -- [section…] [--quick] [--rounds n] [--prefetch n] [--report] [--cpu-prof directory]
 *
 * Builds the packages, installs the peers on first use, runs the sections and prints their tables and bars.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, "../..")
const sections = [
  "interrupt",
  "loop",
  "rows",
  "memory",
  "client",
  "pool",
  "point",
  "aio",
  "aio-prefetch",
  "bulk",
  "mixed",
  "startup",
  "callbacks",
  "backup",
  "growth-fibers",
  "growth-sessions",
  "growth-columns",
  "growth-rows",
  "growth-nesting",
  "mapepire",
  "mapepire-rows",
  "mapepire-stream"
]
/** A section's name stands for those that begin with it, too. */
const means = (word, section) => section === word || section.startsWith(`${word}-`)

const usage = `npm run bench -- [${sections.join(" | ")}]… [options]

  --quick           fewer repetitions and rounds: for a look, not for the record
  --rounds <n>      rounds per section (default 3; each cell runs once per round, in a process of its own)
  --prefetch <n>    rows per page, where a section streams (default: the section's own)
  --cpu-prof <dir>  write a CPU profile of every cell
  --report          write RESULTS.md, its plots and the README's bars; sections that are not run keep the figures they have there
  --no-build        measure the packages as they were built last
`

const fail = (message) => {
  console.error(message)
  process.exit(1)
}

const readArguments = () => {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        rounds: { type: "string" },
        prefetch: { type: "string" },
        "cpu-prof": { type: "string" },
        report: { type: "boolean", default: false },
        "no-build": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false }
      }
    })
    const count = (name) => {
      const value = values[name] === undefined ? undefined : Number(values[name])
      if (value !== undefined && !(Number.isInteger(value) && value > 0)) {
        throw new Error(`--${name} wants a whole number above 0`)
      }
      return value
    }
    const unknown = positionals.find((word) => !sections.some((name) => means(word, name)))
    if (unknown !== undefined) {
      throw new Error(`There is no section "${unknown}"`)
    }
    if (values.help) {
      console.log(usage)
      process.exit(0)
    }
    return {
      build: !values["no-build"],
      report: values.report,
      chosen:
        positionals.length === 0 ? sections : sections.filter((name) => positionals.some((word) => means(word, name))),
      options: {
        quick: values.quick,
        rounds: count("rounds"),
        prefetch: count("prefetch"),
        cpuProf: values["cpu-prof"] === undefined ? undefined : resolve(values["cpu-prof"])
      }
    }
  } catch (error) {
    return fail(`${error.message}\n\n${usage}`)
  }
}

const run = (command, args, cwd) => {
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit", shell: process.platform === "win32" })
  if (status !== 0) {
    fail(`${command} ${args.join(" ")} failed in ${cwd}`)
  }
}

const installPeers = () => {
  const peers = join(here, "peers")
  const needed = ["better-sqlite3/build/Release/better_sqlite3.node", "sqlite3/package.json", "vega/package.json"]
  if (needed.some((file) => !existsSync(join(peers, "node_modules", file)))) {
    console.log("Installing the peers (first run only; drivers may compile for some minutes) …")
    run("npm", ["ci", "--no-fund", "--no-audit", "--loglevel=error"], peers)
  }
}

const { build, chosen, options, report: wanted } = readArguments()
if (build) {
  run(process.execPath, [join(root, "scripts/build.mjs"), "packages/mapepire-server/tsconfig.src.json"], root)
}
installPeers()

const { describeMachine } = await import("./src/machine.mjs")
const machine = await describeMachine()
for (const [name, value] of Object.entries(machine)) {
  console.log(`  ${name.padEnd(24)} ${value}`)
}

const { bars, runSection, table } = await import("./src/harness.mjs")
const { writeReport } = await import("./src/report.mjs")
const report = { machine, options, sections: [] }
for (const name of chosen) {
  const { default: section } = await import(`./src/sections/${name}.mjs`)
  const outcome = await runSection(section, options)
  const decided = bars(section, outcome, options)
  report.sections.push({ ...outcome, bars: decided, date: new Date().toISOString() })
  console.log(`\n${name}: ${section.title}`)
  console.log(table(section, outcome))
  for (const [cell, message] of Object.entries(outcome.failures)) {
    console.log(`  failed: ${cell}: ${message}`)
  }
  if (outcome.stolen > 0.01) {
    console.log(`  The host took up to ${Math.round(outcome.stolen * 100)} % of the machine's time from a cell.`)
  }
  for (const { bar, figure, met } of decided) {
    console.log(`  ${met ? "met     " : "not met "} ${bar}: ${figure}`)
  }
  if (wanted) {
    // After each section: whoever ends the run early keeps what was measured.
    await writeReport(here, report, sections, join(root, "README.md"))
  }
}

const results = join(here, "results")
mkdirSync(results, { recursive: true })
const file = join(results, `${machine.date.replace(/[:.]/g, "-")}.json`)
writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
const missed = report.sections.flatMap((section) => section.bars.filter(({ met }) => !met)).length
console.log(`\n${missed === 0 ? "Every bar is met." : `${missed} of the bars not met.`} Figures: ${file}`)
