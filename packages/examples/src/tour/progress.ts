/** A progress bar: one line that is rewritten on a terminal, a few plain lines anywhere else. */
import { Effect } from "effect"
import { column, whole } from "./report.js"

const width = 34

export interface Progress {
  readonly advance: (rows: number) => Effect.Effect<void>
}

/** Starts a bar; its line is cleared when the scope closes, whatever the reason. */
export const make = (total: number) =>
  Effect.acquireRelease(
    Effect.sync(() => (process.stdout.isTTY ? onTerminal(total) : inPlainLines(total))),
    ({ clear }) => clear
  )

const onTerminal = (total: number): Progress & { readonly clear: Effect.Effect<void> } => {
  let done = 0
  const write = (text: string) => Effect.sync(() => void process.stdout.write(`\r\x1b[2K${text}`))
  return {
    advance: (rows) =>
      Effect.suspend(() => {
        done += rows
        const filled = Math.round((width * done) / total)
        const bar = "█".repeat(filled) + "░".repeat(width - filled)
        return write(`${column}${bar} ${percent(done, total)}   ${whole(done)} of ${whole(total)} rows`)
      }),
    clear: write("")
  }
}

const inPlainLines = (total: number): Progress & { readonly clear: Effect.Effect<void> } => {
  let done = 0
  let next = 25
  return {
    advance: (rows) =>
      Effect.sync(() => {
        done += rows
        while ((100 * done) / total >= next) {
          process.stdout.write(`${column}${percent((next * total) / 100, total)}\n`)
          next += 25
        }
      }),
    clear: Effect.void
  }
}

const percent = (done: number, total: number) => `${String(Math.floor((100 * done) / total)).padStart(3)} %`
