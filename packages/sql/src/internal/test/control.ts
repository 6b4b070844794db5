/** Transaction control as texts: knows them when it sees them, and keeps count of what is open. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as SqlFailure from "../../SqlFailure.js"
import * as SqlTransport from "../../SqlTransport.js"

const verbs: ReadonlyArray<readonly [verb: Verb, pattern: RegExp]> = [
  ["begin", /^(?:begin|start\s+transaction)\b/i],
  ["commit", /^(?:commit|end)\b/i],
  ["rollbackTo", /^rollback\s+(?:transaction\s+)?to\s+(?:savepoint\s+)?(\S+)$/i],
  ["rollback", /^rollback\b/i],
  ["savepoint", /^savepoint\s+(\S+)$/i],
  ["release", /^release\s+(?:savepoint\s+)?(\S+)$/i]
]

export type Verb = "begin" | "commit" | "rollback" | "savepoint" | "rollbackTo" | "release"

export interface Command {
  readonly verb: Verb
  /** Of a savepoint. */
  readonly name: string
}

/** What may stand before a statement's first word. */
const lead = /^(?:\s|;|--[^\n]*(?:\n|$)|\/\*[^]*?\*\/)+/

/** The command that a text is; undefined for anything else, scripts of several statements included. */
export const parse = (text: string): Command | undefined => {
  const statement = text.replace(lead, "").trim().replace(/\s*;$/, "")
  if (statement.includes(";")) {
    return undefined
  }
  for (const [verb, pattern] of verbs) {
    const match = pattern.exec(statement)
    if (match !== null) {
      return { verb, name: (match[1] ?? "").toLowerCase() }
    }
  }
  return undefined
}

const refused = (message: string, statement: string) =>
  SqlFailure.make({ reason: "Unknown", message: `TestTransport: ${message}`, statement })

/** What is open on one session. */
export class OpenTransaction {
  private begun = false
  private savepoints: Array<string> = []

  /** A savepoint outside of a transaction begins one. */
  get open(): boolean {
    return this.begun || this.savepoints.length > 0
  }

  set(open: boolean): void {
    this.begun = open
    if (!open) {
      this.savepoints = []
    }
  }

  /** Does what the command says; answers the failure that a database would have for it. */
  apply({ name, verb }: Command, statement: string): SqlError | undefined {
    switch (verb) {
      case "begin":
        if (this.open) {
          return refused("a transaction is already open", statement)
        }
        this.begun = true
        return undefined
      case "commit":
      case "rollback":
        if (!this.open) {
          return refused("no transaction is open", statement)
        }
        this.set(false)
        return undefined
      case "savepoint":
        this.savepoints.push(name)
        return undefined
      case "rollbackTo":
      case "release": {
        const at = this.savepoints.lastIndexOf(name)
        if (at < 0) {
          return refused(`no savepoint is named ${name}`, statement)
        }
        this.savepoints.length = verb === "release" ? at : at + 1
        return undefined
      }
    }
  }
}

const send = (session: SqlTransport.Session, text: string): Effect.Effect<void, SqlError> =>
  Effect.asVoid(session.run(SqlTransport.request(text, { transaction: "free" })))

/** Control by the texts that most databases take. */
export const byText: SqlTransport.TransactionControl = {
  begin: (session, { mode }) => send(session, mode === undefined ? "BEGIN" : `BEGIN ${mode.toUpperCase()}`),
  commit: (session) => send(session, "COMMIT"),
  rollback: (session) => Effect.suspend(() => (session.inTransaction() ? send(session, "ROLLBACK") : Effect.void)),
  savepoint: (session, name) => send(session, `SAVEPOINT ${name}`),
  rollbackTo: (session, name) => send(session, `ROLLBACK TO ${name}`),
  release: (session, name) => send(session, `RELEASE ${name}`)
}

/**
 * Set while a transport's own control runs, so that a layer around it can tell its requests from those of the program:
 * the session that it is given need not be the one the layer has made.
 */
export const InControl: FiberRef.FiberRef<boolean> = globalValue("@sluice/sql/TestTransport/InControl", () =>
  FiberRef.unsafeMake(false)
)

type Wrap = (
  verb: Verb,
  session: SqlTransport.Session,
  effect: Effect.Effect<void, SqlError>,
  detail: Detail
) => Effect.Effect<void, SqlError>

/** What a command was given. */
export interface Detail {
  readonly name?: string | undefined
  readonly options?: SqlTransport.BeginOptions | undefined
}

/** The same control with something around each command; its requests are marked. */
export const around = (inner: SqlTransport.TransactionControl, wrap: Wrap): SqlTransport.TransactionControl => {
  const marked = (
    verb: Verb,
    session: SqlTransport.Session,
    effect: Effect.Effect<void, SqlError>,
    detail: Detail = {}
  ) => wrap(verb, session, Effect.locally(effect, InControl, true), detail)
  return {
    begin: (session, options) => {
      // The client's options say more than a database is told: a retry schedule has no place in a file.
      const { isolation, mode, readOnly } = options
      return marked("begin", session, inner.begin(session, options), { options: { isolation, mode, readOnly } })
    },
    commit: (session) => marked("commit", session, inner.commit(session)),
    rollback: (session) => marked("rollback", session, inner.rollback(session)),
    savepoint: (session, name) => marked("savepoint", session, inner.savepoint(session, name), { name }),
    rollbackTo: (session, name) => marked("rollbackTo", session, inner.rollbackTo(session, name), { name }),
    release: (session, name) => marked("release", session, inner.release(session, name), { name })
  }
}
