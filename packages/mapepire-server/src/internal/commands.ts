/** The few CL commands that mean something without IBM i; all others are unknown. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export interface LogEntry {
  readonly id: string
  readonly type: "COMPLETION" | "INFORMATIONAL" | "ESCAPE" | "DIAGNOSTIC"
  readonly severity: number
  readonly text: string
}

export interface CommandResult {
  readonly log: ReadonlyArray<LogEntry>
  /** The message that QCMDEXC ends with. */
  readonly failure: string | undefined
}

export interface Command {
  readonly run: Effect.Effect<CommandResult>
}

const succeed = (...log: ReadonlyArray<LogEntry>): Command => ({ run: Effect.succeed({ log, failure: undefined }) })

const fail = (entry: LogEntry): Command => ({
  run: Effect.succeed({ log: [entry], failure: "[CPF0006] Errors occurred in command." })
})

const escape = (id: string, text: string): Command => fail({ id, type: "ESCAPE", severity: 40, text })
const diagnostic = (id: string, text: string): Command => fail({ id, type: "DIAGNOSTIC", severity: 30, text })

const completed = (id: string, text: string): LogEntry => ({ id, type: "COMPLETION", severity: 0, text })

/** A keyword's value. */
const value = (text: string, keyword: string): string | undefined =>
  new RegExp(`\\b${keyword}\\s*\\(\\s*'?([^')]*)'?\\s*\\)`, "i").exec(text)?.[1]?.trim()

/** The value of the keyword that may go without its name as the first argument. */
const firstValue = (text: string, keyword: string): string | undefined => {
  const positional = /^\s*\S+\s+(?:\(([^)]*)\)|'?([^\s'()]+)'?(?=\s|$))/.exec(text)
  return value(text, keyword) ?? positional?.[1] ?? positional?.[2]
}

/** What becomes of a command that names libraries: all of them must be known. */
const withLibraries = (
  names: string | undefined,
  keyword: string,
  known: (library: string) => boolean,
  done: (libraries: ReadonlyArray<string>) => LogEntry
): Command => {
  const libraries = names?.toUpperCase().split(/\s+/).filter(Boolean) ?? []
  if (libraries.length === 0) {
    return diagnostic("CPD0071", `Parameter ${keyword} required.`)
  }
  const long = libraries.find((library) => library.length > 10)
  if (long !== undefined) {
    return diagnostic("CPD0074", `Value '${long.slice(0, 10)}' for ${keyword} exceeds 10 characters.`)
  }
  // Special values: *NONE, *SAME, *CRTDFT.
  const unknown = libraries.find((library) => !library.startsWith("*") && !known(library))
  return unknown === undefined ? succeed(done(libraries)) : escape("CPF2110", `Library ${unknown} not found.`)
}

/** `known`: whether there is a library of that name. */
export const commandOf = (text: string, known: (library: string) => boolean): Command => {
  const name = /^\s*([A-Za-z0-9/*]+)/.exec(text)?.[1]?.toUpperCase() ?? ""
  switch (name.slice(name.lastIndexOf("/") + 1)) {
    case "DLYJOB": {
      const seconds = Number(value(text, "DLY") ?? /^\s*\S+\s+(\d+)/.exec(text)?.[1] ?? 0)
      const run = Effect.as(Effect.sleep(Duration.seconds(Math.min(999_999, seconds))), { log: [], failure: undefined })
      return { run }
    }
    case "SNDPGMMSG":
    case "SNDMSG":
      return succeed({ id: "", type: "INFORMATIONAL", severity: 0, text: value(text, "MSG") ?? "" })
    case "ADDLIBLE":
      return withLibraries(firstValue(text, "LIB"), "LIB", known, ([library]) =>
        completed("CPC2196", `Library ${library} added to library list.`)
      )
    case "CHGLIBL": {
      const current = value(text, "CURLIB")
      const names = current === undefined ? firstValue(text, "LIBL") : `${value(text, "LIBL") ?? ""} ${current}`
      return withLibraries(names, "LIBL", known, () => completed("CPC2101", "Library list changed."))
    }
    case "CHGCURLIB":
      return withLibraries(firstValue(text, "CURLIB"), "CURLIB", known, () =>
        completed("CPC2101", "Library list changed.")
      )
    case "CHGJOB":
    case "OVRDBF":
    case "DSPJOB":
      return succeed()
    default:
      return escape("CPD0030", `Command ${name === "" ? "*N" : name} in library *LIBL not found.`)
  }
}
