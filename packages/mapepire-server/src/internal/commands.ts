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

const escape = (id: string, text: string): Command => ({
  run: Effect.succeed({
    log: [{ id, type: "ESCAPE", severity: 40, text }],
    failure: "[CPF0006] Errors occurred in command."
  })
})

const completed = (id: string, text: string): LogEntry => ({ id, type: "COMPLETION", severity: 0, text })

/** A keyword's value, also as the first argument without its name. */
const value = (text: string, keyword: string): string | undefined =>
  new RegExp(`\\b${keyword}\\s*\\(\\s*'?([^')]*)'?\\s*\\)`, "i").exec(text)?.[1]?.trim()

export const commandOf = (text: string): Command => {
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
      return succeed(completed("CPC2196", `Library ${(value(text, "LIB") ?? "").toUpperCase()} added to library list.`))
    case "CHGLIBL":
    case "CHGCURLIB":
      return succeed(completed("CPC2101", "Library list changed."))
    case "CHGJOB":
    case "OVRDBF":
    case "DSPJOB":
      return succeed()
    default:
      return escape("CPD0030", `Command ${name === "" ? "*N" : name} in library *LIBL not found.`)
  }
}
