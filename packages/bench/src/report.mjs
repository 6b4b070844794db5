/** RESULTS.md and its plots, from the outcome of a run. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
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

/** Writes RESULTS.md into the folder and a plot per section, where it has one, into `plots`. */
export const writeReport = async (folder, machine, measured, options) => {
  const plots = join(folder, "plots")
  rmSync(plots, { recursive: true, force: true })
  mkdirSync(plots, { recursive: true })
  const bars = measured.flatMap(({ decided, section }) => decided.map((bar) => ({ section: section.name, ...bar })))
  const parts = [
    "# Results",
    "Written by `npm run bench -- --report`; figures of one machine in one run, to be read as ratios. How they are made, and what may be compared: [README.md](README.md).",
    markdownTable([["what", "version"], ...Object.entries(machine)]),
    `## Bars: ${bars.filter(({ met }) => met).length} of ${bars.length} met`,
    markdownTable([
      ["section", "bar", "figure", "met"],
      ...bars.map(({ bar, figure, met, section }) => [section, bar, figure, met ? "yes" : "**no**"])
    ])
  ]
  for (const { outcome, section } of measured) {
    parts.push(`## ${section.name}`, `${section.title}.`)
    const svg = await plotOf(section, outcome, options)
    if (svg !== undefined) {
      writeFileSync(join(plots, `${section.name}.svg`), svg)
      parts.push(`![${section.plot.title}](plots/${section.name}.svg)`)
    }
    parts.push(markdownTable(cellsOf(section, outcome)))
    for (const [cell, message] of Object.entries(outcome.failures)) {
      parts.push(`Failed: ${cell}: ${message}`)
    }
  }
  writeFileSync(join(folder, "RESULTS.md"), `${parts.join("\n\n")}\n`)
}
