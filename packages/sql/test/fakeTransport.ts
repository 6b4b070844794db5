/** A transport whose answers the test writes: for what only a fault can show. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import { Effect, Layer } from "effect"

export const answer = (
  rows: ReadonlyArray<Record<string, unknown>> = [],
  facts: Partial<SqlTransport.Answer> = {}
): SqlTransport.Answer => ({
  columns: Object.keys(rows[0] ?? {}).map((name) => ({ name })),
  length: rows.length,
  objects: () => rows,
  arrays: () => rows.map((row) => Object.values(row)),
  raw: () => rows,
  error: undefined,
  done: true,
  inTransaction: false,
  changes: undefined,
  queueNanos: 0,
  engineNanos: 0,
  routable: true,
  private: false,
  ...facts
})

export const failure = (reason: SqlFailure.Reason, message: string = reason): SqlError =>
  SqlFailure.make({ reason, message })

/** One session, as the test sees it. */
export interface FakeSession {
  readonly id: string
  readonly texts: Array<string>
  inTransaction: boolean
  closed: boolean
}

export interface FakeOptions {
  /** What a request gets; undefined: one empty answer. */
  readonly run?: (
    request: SqlTransport.SqlRequest,
    session: FakeSession
  ) => Effect.Effect<SqlTransport.Answer, SqlError> | undefined
  readonly pages?: (request: SqlTransport.SqlRequest) => ReadonlyArray<Partial<SqlTransport.Page>>
  /** What the pull of a page gets, from 1 on; undefined: the page of `pages`. */
  readonly pull?: (
    page: number,
    request: SqlTransport.SqlRequest
  ) => Effect.Effect<SqlTransport.Page, SqlError> | undefined
  readonly close?: Effect.Effect<void>
  readonly limits?: SqlTransport.Limits
  readonly sharing?: SqlTransport.Sharing
  readonly keepsContract?: boolean
  readonly prefetch?: number | undefined
}

const control = (text: string) => (session: SqlTransport.Session) =>
  Effect.asVoid(session.run(SqlTransport.request(text, { transaction: "free" })))

const named = (verb: string) => (session: SqlTransport.Session, name: string) => control(`${verb} ${name}`)(session)

export const fake = (options: FakeOptions = {}) => {
  const sessions: Array<FakeSession> = []
  const requests: Array<SqlTransport.SqlRequest> = []

  const connect = (): SqlTransport.Session => {
    const session: FakeSession = { id: `fake-${sessions.length + 1}`, texts: [], inTransaction: false, closed: false }
    sessions.push(session)
    const run = (request: SqlTransport.SqlRequest): Effect.Effect<SqlTransport.Answer, SqlError> =>
      Effect.suspend(() => {
        session.texts.push(request.text)
        requests.push(request)
        const scripted = options.run?.(request, session)
        const settle = Effect.sync(() => {
          if (/^begin/i.test(request.text)) session.inTransaction = true
          if (/^(commit|rollback)$/i.test(request.text)) session.inTransaction = false
          return answer([], { inTransaction: session.inTransaction })
        })
        return scripted ?? settle
      })
    return {
      id: session.id,
      keepsContract: options.keepsContract ?? false,
      run,
      batch: (request, rows) => Effect.as(run(request), answer([], { changes: rows.length })),
      describe: () => Effect.succeed({ parameters: 0, columns: [], routable: true, private: false }),
      check: Effect.void,
      inTransaction: () => session.inTransaction,
      lost: Effect.never,
      open: (request) =>
        Effect.suspend(() => {
          session.texts.push(request.text)
          requests.push(request)
          const pages = (options.pages?.(request) ?? [{}]).map((page) => answer([], page))
          let next = 1
          return Effect.as(
            Effect.addFinalizer(() => Effect.sync(() => session.texts.push("close cursor"))),
            {
              first: pages[0]!,
              columns: pages[0]!.columns,
              next: Effect.suspend(() => {
                const page = next++
                return options.pull?.(page, request) ?? Effect.succeed(pages[page]!)
              })
            }
          )
        })
    }
  }

  const transport: SqlTransport.SqlTransport = {
    system: "fake",
    attributes: [],
    compiler: Statement.makeCompilerSqlite(),
    transactions: {
      begin: control("BEGIN"),
      commit: control("COMMIT"),
      rollback: (session) => (session.inTransaction() ? control("ROLLBACK")(session) : Effect.void),
      savepoint: named("SAVEPOINT"),
      rollbackTo: named("ROLLBACK TO"),
      release: named("RELEASE")
    },
    limits: options.limits ?? { read: 0, write: 1, transaction: 0 },
    sharing: options.sharing ?? "fifo",
    prefetch: options.prefetch,
    connect: () =>
      Effect.acquireRelease(Effect.sync(connect), (session) =>
        Effect.zipRight(
          Effect.sync(() => {
            sessions.find((fake) => fake.id === session.id)!.closed = true
          }),
          options.close ?? Effect.void
        )
      )
  }
  return { sessions, requests, layer: Layer.succeed(SqlTransport.SqlTransport, transport) }
}
