/**
 * Runs a section: every cell in a process of its own, in rounds (A B C, A B C, …), so that a machine that becomes
 * slower for a while does so for all of them. Ratios are made within a round; medians are taken over the rounds.
 *
 * On a virtual machine whose host gave it too little a cell measures the host: such a run is repeated, whatever it said.
 */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { median } from "./measure.mjs"
import { withStolen } from "./stolen.mjs"

const cellEntry = fileURLToPath(new URL("cell.mjs", import.meta.url))

/** Runs one cell in a fresh process and answers its metrics. */
export const runCell = (section, cell, options) =>
  new Promise((resolve, reject) => {
    const profile = options.cpuProf ? ["--cpu-prof", `--cpu-prof-dir=${options.cpuProf}`] : []
    const child = fork(cellEntry, [section, cell, JSON.stringify(options)], {
      execArgv: ["--expose-gc", ...profile],
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    let answer
    child.on("message", (message) => {
      answer = message
    })
    child.on("error", reject)
    child.on("exit", (code, signal) => {
      if (code === 0 && answer !== undefined) {
        resolve(answer)
      } else {
        reject(new Error(`${section} / ${cell}: the process ended with ${signal ?? `code ${code}`}`))
      }
    })
  })

/** Above this share of stolen time a run is repeated, so often at most; the one with the least counts. */
const [tolerated, attempts] = [0.03, 4]

const runUndisturbed = async (section, cell, options) => {
  let best
  for (let i = 0; i < attempts && (best === undefined || best.stolen > tolerated); i++) {
    const run = await withStolen(() => runCell(section, cell, options))
    best = best === undefined || run.stolen < best.stolen ? run : best
  }
  return best
}

export const runSection = async (section, options) => {
  const cells = section.cells(options)
  const rounds = options.rounds ?? section.rounds?.(options) ?? (options.quick ? 2 : 3)
  const runs = Object.fromEntries(cells.map((cell) => [cell.name, []]))
  const failures = {}
  let stolen = 0
  const progress = (text) => {
    if (process.stderr.isTTY) {
      process.stderr.write(`\r\x1b[2K${text}`)
    }
  }
  for (let round = 1; round <= rounds; round++) {
    for (const cell of cells) {
      if (failures[cell.name] !== undefined || (cell.once && round > 1)) {
        continue
      }
      progress(`  ${section.name}: round ${round} of ${rounds}, ${cell.name} …`)
      try {
        const run = await runUndisturbed(section.name, cell.name, options)
        runs[cell.name].push(run.result)
        stolen = Math.max(stolen, run.stolen)
      } catch (error) {
        failures[cell.name] = error.message
      }
    }
  }
  progress("")
  return { name: section.name, title: section.title, rounds, stolen, runs, failures }
}

/** Looks at the figures of a section: medians of metrics, and ratios made round by round. */
export const figures = (outcome) => {
  const values = (cell, metric) => (outcome.runs[cell] ?? []).map((run) => run[metric])
  const over = (pick) => (cell, metric) => {
    const list = values(cell, metric)
    return list.length === 0 ? NaN : pick(list)
  }
  return {
    median: over(median),
    max: over((list) => Math.max(...list)),
    min: over((list) => Math.min(...list)),
    /** Median over the rounds of a's metric divided by b's. */
    ratio: (a, b, metric) => {
      const [left, right] = [values(a, metric), values(b, metric)]
      const pairs = Math.min(left.length, right.length)
      return pairs === 0 ? NaN : median(Array.from({ length: pairs }, (_, i) => left[i] / right[i]))
    }
  }
}

const number = (value) => {
  const magnitude = Math.abs(value)
  const digits = magnitude >= 1000 ? 0 : magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export const format = (value, unit = "") =>
  Number.isNaN(value) ? "–" : unit === "" ? number(value) : `${number(value)} ${unit}`

/**
 * A header and one line per cell; per metric its median (or maximum, where only that matters), the spread over the
 * rounds, and how many times better or worse than the section's reference it was in the same round: above 1 × is better.
 */
export const cellsOf = (section, outcome) => {
  const look = figures(outcome)
  const header = [""]
  for (const { label, reference, spread = true } of section.metrics) {
    header.push(label, ...(spread && outcome.rounds > 1 ? ["spread"] : []), ...(reference ? [`vs ${reference}`] : []))
  }
  const lines = Object.keys(outcome.runs).map((cell) => {
    const line = [cell]
    for (const { key, unit, better = "low", pick = "median", spread = true, reference } of section.metrics) {
      line.push(format(look[pick](cell, key), unit))
      if (spread && outcome.rounds > 1) {
        const low = look.min(cell, key)
        line.push(Number.isNaN(low) ? "" : `${number(low)} … ${number(look.max(cell, key))}`)
      }
      if (reference) {
        const ratio = better === "low" ? look.ratio(reference, cell, key) : look.ratio(cell, reference, key)
        line.push(Number.isNaN(ratio) || cell === reference ? "" : `${number(ratio)} ×`)
      }
    }
    return line
  })
  return [header, ...lines]
}

/** The same for a terminal. */
export const table = (section, outcome) => {
  const [header, ...lines] = cellsOf(section, outcome)
  const widths = header.map((_, i) => Math.max(...[header, ...lines].map((line) => line[i].length)))
  const draw = (line) =>
    `  ${line.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join("   ")}`.trimEnd()
  return [draw(header), `  ${"─".repeat(draw(header).length - 2)}`, ...lines.map(draw)].join("\n")
}

/** The bars of a section: a text, the figures that decide, and whether they do. A missing figure never meets a bar. */
export const bars = (section, outcome, options) =>
  (section.bars?.(figures(outcome), options) ?? []).map(({ met, ...bar }) => ({ ...bar, met: met === true }))
