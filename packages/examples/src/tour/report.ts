/** How the tour prints: one heading per chapter, one aligned line per fact. Colour only where a terminal shows it. */
import { Console, Duration } from "effect"

const colourful = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
const paint = (code: string) => (text: string) => (colourful ? `\x1b[${code}m${text}\x1b[0m` : text)
const bold = paint("1")
const dim = paint("2")
const green = paint("32")

const margin = "  "
const indent = " ".repeat(10)

export const title = (text: string, facts: ReadonlyArray<string>) =>
  Console.log(`\n${margin}${bold(text)}   ${dim(facts.join(" · "))}`)

export const heading = (name: string, about: string) => Console.log(`\n${margin}${bold(name.padEnd(8))}${dim(about)}`)

/** A fact: what it is about, the figure, and what to think of it. */
export const line = (label: string, value: string, note = "") =>
  Console.log(`${indent}${label.padEnd(34)}${green(value.padStart(14))}   ${dim(note)}`.trimEnd())

export const whole = (value: number): string => Math.round(value).toLocaleString("en-US")

/** Milliseconds below a second, seconds above; three digits either way. */
export const time = (duration: Duration.DurationInput): string => {
  const millis = Duration.toMillis(duration)
  const [value, unit] = millis < 1000 ? [millis, "ms"] : [millis / 1000, "s"]
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`
}

export const rate = (rows: number, duration: Duration.DurationInput): string =>
  `${whole(Number((rows / Duration.toSeconds(duration)).toPrecision(3)))} rows/s`

/** Where progress and chapters start. */
export const column = indent
