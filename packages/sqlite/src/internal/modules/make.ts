/** Modules of the program in the workers: the loop's half. */
import type { SqlError } from "@effect/sql/SqlError"
import { type SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { SqliteTransport } from "../../SqliteTransport.js"
import type { ChosenExport } from "../messages.js"
import { learnPrivate, onWriter as makeOnWriter } from "../onWriter.js"
import type { SqliteSession } from "../sqliteSession.js"
import type { AnyModule, Modules, WorkerFunctionOptions, WorkerModule, WorkerModuleOptions } from "./model.js"

type Chosen = ReadonlyArray<string> | Readonly<Record<string, true | WorkerFunctionOptions | undefined>>

const chosen = (what: Chosen = {}): Array<ChosenExport> => {
  const entries: Array<readonly [string, true | WorkerFunctionOptions | undefined]> = Array.isArray(what)
    ? (what as ReadonlyArray<string>).map((name) => [name, true])
    : Object.entries(what)
  return entries.flatMap(([exported, options]) => {
    if (options === undefined) {
      return []
    }
    const {
      arity,
      deterministic = false,
      directOnly = false,
      innocuous = false,
      name = exported
    } = options === true ? {} : options
    return [{ exported, name, arity, deterministic, directOnly, innocuous }]
  })
}

/** Relative ones would be relative to the worker's entry, which nobody means. */
const absolute = (url: URL | string): Effect.Effect<string, SqlError> =>
  Effect.try({
    try: () => new URL(url).href,
    catch: () =>
      SqlFailure.make({
        reason: "InvalidParameter",
        message: 'The URL of a worker module must be absolute, such as new URL("./functions.js", import.meta.url)'
      })
  })

/** Never asked: it is the worker that calls. */
const nobody = { name: "a module", run: () => Effect.void, context: Context.empty() }

const nothing = /* @__PURE__ */ SqlTransport.request("SELECT 1", { transaction: "free", prepared: false })

export const make = (client: SqlClient.SqlClient, transport: SqliteTransport): Modules => {
  const onWriter = makeOnWriter(client)
  const run = (url: string, name: string, args: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError> =>
    Effect.suspend(() => {
      let isPrivate = false
      // It may have made what readers do not see, also where it failed behind that: its session's next answer tells.
      const look = (session: SqliteSession) => () =>
        transport.limits.read === 0
          ? Effect.void
          : Effect.ignore(
              Effect.map(session.run(nothing), (answer) => {
                isPrivate = answer.private
              })
            )
      const done = onWriter((session, request) =>
        Effect.tapBoth(session.command({ _tag: "RunInWorker", url, name, args }, undefined, request), {
          onFailure: look(session),
          onSuccess: look(session)
        })
      )
      const learn = () => (isPrivate ? learnPrivate(client) : Effect.void)
      return Effect.tapBoth(done, { onFailure: learn, onSuccess: learn })
    })

  const moduleAt = <M>(url: string, remove: Effect.Effect<void, SqlError>): WorkerModule<M> => ({
    url,
    runInWorker: (name, ...args) => run(url, name, args) as never,
    remove
  })

  return {
    workerModule: <M extends object = AnyModule>(url: URL | string, options: WorkerModuleOptions<M> = {}) =>
      Effect.flatMap(absolute(url), (url) =>
        Effect.map(
          transport.register(
            (id) => ({
              kind: "module",
              url,
              functions: chosen(options.functions as Chosen | undefined),
              aggregates: chosen(options.aggregates as Chosen | undefined),
              id
            }),
            nobody
          ),
          ({ remove }) => moduleAt<M>(url, remove)
        )
      ),
    runInWorker: (module, name, ...args) => module.runInWorker(name, ...args)
  }
}
