/** What a run did, for people. */
import type { Result } from "./run.js"

const grouped = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",")

/** What was done first, what failed on the way after it. */
const tally = (counts: Result["counts"]): string => {
  const entries = Object.entries(counts)
  const shown = (list: typeof entries) =>
    list
      .sort(([, a], [, b]) => b - a)
      .map(([what, count]) => `${grouped(count)} ${what}`)
      .join(", ")
  const done = shown(entries.filter(([what]) => !what.startsWith("failed ")))
  const failed = shown(
    entries.filter(([what]) => what.startsWith("failed ")).map(([what, count]) => [what.slice(7), count])
  )
  return failed === "" ? done : `${done}; failures: ${failed}`
}

/** Breaks a line at its commas. */
const folded = (text: string, indent: string, width = 118): string => {
  const lines: Array<string> = [""]
  for (const word of text.split(/(?<=[,;]) /)) {
    const line = lines[lines.length - 1]!
    if (line !== "" && indent.length + line.length + word.length + 1 > width) {
      lines.push(word)
    } else {
      lines[lines.length - 1] = line === "" ? word : `${line} ${word}`
    }
  }
  return lines.map((line) => indent + line).join("\n")
}

export const describe = (result: Result): string => {
  const { breaches, counts, millis, rounds, scenario } = result
  if (result.skipped !== undefined) {
    return `${scenario.padEnd(10)} not run: ${result.skipped}`
  }
  const verdict = breaches.length === 0 ? "ok    " : "BROKEN"
  const head = `${scenario.padEnd(10)} ${verdict} ${(millis / 1_000).toFixed(1).padStart(6)} s  ${rounds} rounds`
  return [
    head,
    ...(Object.keys(counts).length === 0 ? [] : [folded(tally(counts), "           ")]),
    ...breaches.map((breach) => `           ! ${breach.replaceAll("\n", "\n             ")}`)
  ].join("\n")
}
