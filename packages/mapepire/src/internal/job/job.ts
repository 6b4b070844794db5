/** A job that is opened at its first use, and is what it is until its scope ends: it never comes back by itself. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as failure from "../failure.js"
import { type Connection, open, type ConnectionOptions, type Endpoint } from "./connection.js"
import { Control } from "./control.js"
import { Once } from "./once.js"
import { JobSession, type SessionOptions } from "./session.js"
import { Stops } from "./stop.js"

interface JobOptions {
  readonly connection: ConnectionOptions
  readonly session: SessionOptions
  /** Milliseconds that a stopped statement may take until its job is given up. */
  readonly grace: number
  /** Whose control job stops statements. `undefined`: nothing is stopped, requests are left behind. */
  readonly control: Control | undefined
}

export interface OpenJob {
  readonly session: JobSession
  readonly reconnect: Connection["reconnect"]
}

/** Milliseconds that a job which cannot be stopped is kept out of the way. */
const quarantineFor = 60_000

/** A control job for any number of jobs of one endpoint, opened with the first long statement, or the first cancel. */
export const makeControl = (
  endpoint: Endpoint,
  options: ConnectionOptions
): Effect.Effect<Control, never, Scope.Scope> =>
  Effect.map(
    Effect.flatMap(Effect.scope, (scope) => Scope.fork(scope, scope.strategy)),
    (scope) =>
      new Control(
        scope,
        // It only calls a procedure: no property of the user's is of use there, least of all a transaction.
        Effect.map(open(endpoint, { ...options, properties: "" }), ({ wire }) => wire),
        quarantineFor
      )
  )

/** Opens a job, once. */
export const makeJob = (
  endpoint: Endpoint,
  options: JobOptions
): Effect.Effect<
  { readonly get: Effect.Effect<OpenJob, SqlError>; readonly lost: Effect.Effect<SqlError> },
  never,
  Scope.Scope
> =>
  Effect.flatMap(
    Effect.flatMap(Effect.scope, (scope) => Scope.fork(scope, scope.strategy)),
    (scope) =>
      Effect.map(Deferred.make<SqlError>(), (lost) => {
        const told = Deferred.await(lost)
        const once = new Once(scope, openJob(endpoint, options, lost, told), () => true, failure.closed)
        return { get: once.get, lost: told }
      })
  )

const openJob = (
  endpoint: Endpoint,
  options: JobOptions,
  lost: Deferred.Deferred<SqlError>,
  told: Effect.Effect<SqlError>
): Effect.Effect<OpenJob, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      // Not of our own scope: one that does not become quiet outlives it.
      const connection = yield* Scope.make()
      const opened = yield* Effect.onError(
        restore(Scope.extend(open(endpoint, options.connection), connection)),
        (cause) => Scope.close(connection, Exit.failCause(cause))
      )
      const { wire } = opened
      let stuck = false
      const stops = new Stops(wire, options.control, options.grace, (error) => {
        stuck = true
        wire.retire(error)
      })
      const session = new JobSession(wire, stops, options.session, told)
      wire.tell({
        lost: (error) => {
          Deferred.unsafeDone(lost, Effect.succeed(error))
          session.died(error)
        },
        late: (call) => stops.stop(call, () => wire.expired(call, session.transactional)),
        long: () => options.control !== undefined && void Effect.runFork(options.control.warm)
      })
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          for (const stop of [...wire.fetches]) {
            stop(failure.closed())
          }
          return stuck && options.control !== undefined && !wire.dead
            ? options.control.quarantine(wire, connection, options.session.transactional)
            : opened.close(Scope.close(connection, Exit.void))
        })
      )
      return { session, reconnect: opened.reconnect }
    })
  )
