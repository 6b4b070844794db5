/** A transport that plays a script. */
import type * as Statement from "@effect/sql/Statement"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as SqlFailure from "../../SqlFailure.js"
import type * as SqlTransport from "../../SqlTransport.js"
import { sqliteCompiler } from "../compiler.js"
import { byText, OpenTransaction, parse } from "./control.js"
import type { Asked, Parts } from "./expectation.js"
import { answer, cursor, cut, fromObjects, type Rows } from "./rows.js"
import { Script } from "./script.js"

export interface Settings {
  readonly order: "given" | "any"
  readonly sessions: number
  readonly unexpected: "fail" | "die"
  readonly compiler: Statement.Compiler | undefined
}

/** Fails while the script has something to say against how it went; not when the test has failed anyway. */
const settle = (script: Script, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (Exit.isFailure(exit)) {
      return Effect.void
    }
    const refused =
      script.unexpected.length === 0
        ? Effect.void
        : // The program went on without it: legal, but nobody should have to guess.
          Effect.logWarning(`${script.unexpected.join("\n")}\nThe program handled this failure.`)
    const { leftOver } = script
    return leftOver === undefined ? refused : Effect.zipRight(refused, Effect.dieMessage(leftOver))
  })

class ScriptedSession implements SqlTransport.Session {
  readonly keepsContract = false
  readonly lost = Effect.never
  readonly check = Effect.void
  private readonly transaction = new OpenTransaction()

  constructor(
    readonly id: string,
    private readonly script: Script,
    private readonly settings: Settings
  ) {}

  readonly inTransaction = (): boolean => this.transaction.open

  readonly run = (request: SqlTransport.SqlRequest) =>
    this.play({ request, params: request.params }, (parts) => Effect.succeed(this.whole(parts, request.shape)))

  readonly batch = (request: SqlTransport.SqlRequest, rows: SqlTransport.ParameterRows) =>
    this.play({ request, params: rows }, (parts) =>
      Effect.succeed(this.whole({ ...parts, changes: parts.changes ?? rows.length }, request.shape))
    )

  readonly open = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Cursor, SqlError, Scope.Scope> =>
    this.play(
      { request, params: request.params },
      (parts) => Effect.succeed(this.paged(parts, request)),
      // Rows before a failure reach the stream; a failure alone is one of opening.
      ({ pages }) => pages === undefined
    )

  readonly describe = (text: string): Effect.Effect<SqlTransport.Description, SqlError> =>
    Effect.fail(
      SqlFailure.make({
        reason: "Unsupported",
        message: "TestTransport.scripted knows answers, not schemas: it cannot describe a statement",
        statement: text
      })
    )

  private play<A>(
    asked: Asked,
    reply: (parts: Parts) => Effect.Effect<A, SqlError>,
    failsAtOnce: (parts: Parts) => boolean = () => true
  ): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      const { text } = asked.request
      const command = parse(text)
      const parts = command === undefined ? this.script.take(asked) : this.script.takeControl(asked)
      if (parts === undefined && command === undefined) {
        return this.refuse(asked)
      }
      this.script.note(asked)
      const found = parts ?? silent
      const outcome = Effect.suspend((): Effect.Effect<A, SqlError> => {
        if (found.never) {
          return Effect.never
        }
        if (found.dies !== undefined) {
          return Effect.die(found.dies.defect)
        }
        if (found.fails !== undefined && failsAtOnce(found)) {
          return Effect.fail(found.fails(text))
        }
        const wrong = command === undefined ? undefined : this.transaction.apply(command, text)
        return wrong === undefined ? reply(found) : Effect.fail(wrong)
      })
      return found.delay === undefined ? outcome : Effect.delay(outcome, found.delay)
    })
  }

  private refuse(asked: Asked): Effect.Effect<never, SqlError> {
    const message = this.script.complain(asked)
    return this.settings.unexpected === "die"
      ? Effect.dieMessage(message)
      : Effect.fail(SqlFailure.make({ reason: "Unsupported", message, statement: asked.request.text }))
  }

  private whole(parts: Parts, shape: "objects" | "arrays"): SqlTransport.Answer {
    const rows = fromObjects((parts.pages ?? []).flat())
    const changes = parts.changes ?? (parts.pages === undefined ? 0 : undefined)
    return answer(
      rows,
      { inTransaction: this.transaction.open, changes, raw: parts.pages === undefined ? { changes } : [] },
      shape
    )
  }

  private paged(parts: Parts, { prefetch, text }: SqlTransport.SqlRequest): SqlTransport.Cursor {
    const given = parts.pages ?? []
    const pages: ReadonlyArray<Rows> = parts.paged ? given.map(fromObjects) : cut(fromObjects(given.flat()), prefetch)
    const error = parts.fails?.(text)
    return cursor(pages, (last) => ({
      inTransaction: this.transaction.open,
      changes: parts.changes,
      done: last,
      error: last ? error : undefined
    }))
  }
}

/** What transaction control gets that no expectation names. */
const silent: Parts = { pattern: "", times: 1, paged: false, never: false }

export const make = (
  parts: ReadonlyArray<Parts>,
  settings: Settings
): Effect.Effect<SqlTransport.SqlTransport, never, Scope.Scope> =>
  Effect.gen(function* () {
    const script = new Script(parts, settings.order)
    yield* Effect.addFinalizer((exit) => settle(script, exit))
    let sessions = 0
    return {
      system: "scripted",
      attributes: [],
      compiler: settings.compiler ?? sqliteCompiler(),
      transactions: byText,
      limits: { read: 0, write: settings.sessions, transaction: 0 },
      sharing: "exclusive",
      connect: () => Effect.sync(() => new ScriptedSession(`scripted-${++sessions}`, script, settings))
    }
  })
