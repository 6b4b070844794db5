/** RESULTS.md, its plots and the bars in the README, from what was measured; `results.json` beside it keeps the figures. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { cellsOf } from "./harness.mjs"
import { plotOf } from "./plots.mjs"

const row = (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`

/** Columns as wide as they must be, as the formatter of this repository has them. */
const markdownTable = (lines) => {
  const widths = lines[0].map((_, i) => Math.max(3, ...lines.map((line) => line[i].length)))
  const [header, ...rest] = lines.map((line) => row(line.map((cell, i) => cell.padEnd(widths[i]))))
  return [header, row(widths.map((width) => "-".repeat(width))), ...rest].join("\n")
}

/** What of a machine is the same from run to run. */
const versionsOf = (machine) => Object.entries(machine).filter(([name]) => name !== "date" && name !== "load")

/** Figures of another machine, or with other versions, do not belong beside these. */
const sameMachine = (a, b) => JSON.stringify(versionsOf(a)) === JSON.stringify(versionsOf(b))

/** The sections of this run, and of those before it that still compare. */
const merged = (file, { machine, options, sections }, names) => {
  const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { machine, sections: [] }
  const earlier = sameMachine(kept.machine, machine) ? kept.sections : []
  const measured = sections.map((section) => ({ ...section, options }))
  const all = [...measured, ...earlier.filter(({ name }) => !sections.some((section) => section.name === name))]
  return { machine, sections: names.flatMap((name) => all.filter((section) => section.name === name)) }
}

const barsTable = (bars) =>
  markdownTable([
    ["section", "bar", "figure", "met"],
    ...bars.map(({ bar, figure, met, section }) => [section, bar, figure, met ? "yes" : "**no**"])
  ])

/** Sections whose bars the README shows. */
const shown = new Set(["interrupt", "loop", "rows", "memory", "client", "point", "aio", "mapepire", "mapepire-rows"])
const [begin, end] = ["<!-- bars: written by npm run bench -- --report -->", "<!-- end of bars -->"]

/** Puts the bars between their two marks in the README. */
const writeBars = (readme, machine, bars) => {
  const text = readFileSync(readme, "utf8")
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) {
    throw new Error(`${readme} has no place for the bars: it is between "${begin}" and "${end}"`)
  }
  const where = `Measured on ${machine.machine}, Node ${machine.node.replace(/^v/, "")}:`
  const block = [begin, where, barsTable(bars.filter(({ section }) => shown.has(section))), ""].join("\n\n")
  writeFileSync(readme, text.slice(0, from) + block + text.slice(to))
}

/** Writes RESULTS.md into the folder, a plot per section, where it has one, into `plots`, and bars into the README. */
export const writeReport = async (folder, report, names, readme) => {
  const file = join(folder, "results.json")
  const { machine, sections } = merged(file, report, names)
  writeFileSync(file, `${JSON.stringify({ machine, sections }, null, 1)}\n`)
  const plots = join(folder, "plots")
  rmSync(plots, { recursive: true, force: true })
  mkdirSync(plots, { recursive: true })
  const bars = sections.flatMap(({ bars, name }) => bars.map((bar) => ({ section: name, ...bar })))
  const parts = [
    "# Results",
    "Written by `npm run bench -- --report`; figures of one machine, to be read as ratios within a section. How they are made, and what may be compared: [README.md](README.md).",
    markdownTable([["what", "version"], ...versionsOf(machine)]),
    `## Bars: ${bars.filter(({ met }) => met).length} of ${bars.length} met`,
    barsTable(bars)
  ]
  for (const outcome of sections) {
    const { default: section } = await import(`./sections/${outcome.name}.mjs`)
    const { date, name, options, rounds, stolen } = outcome
    const how = `${options.quick ? "a quick look, " : ""}${rounds} round${rounds === 1 ? "" : "s"}`
    // Figures from before it was looked at have none.
    const taken =
      stolen === undefined
        ? ""
        : `; the host took at most ${Math.round(stolen * 100)} % of the machine's time from a cell`
    parts.push(`## ${name}`, `${outcome.title}.`, `${date.slice(0, 16).replace("T", " ")} UTC, ${how}${taken}.`)
    const svg = await plotOf(section, outcome, options)
    if (svg !== undefined) {
      writeFileSync(join(plots, `${name}.svg`), svg)
      parts.push(`![${section.plot.title}](plots/${name}.svg)`)
    }
    parts.push(markdownTable(cellsOf(section, outcome)))
    for (const [cell, message] of Object.entries(outcome.failures)) {
      parts.push(`Failed: ${cell}: ${message}`)
    }
  }
  writeFileSync(join(folder, "RESULTS.md"), `${parts.join("\n\n")}\n`)
  writeBars(readme, machine, bars)
}
