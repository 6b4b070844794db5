/** From a daemon's address to a wire that may be used: link, sign-on, keep-alive, and the goodbye. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as failure from "../failure.js"
import type { MessageTransport } from "../link.js"
import { ask } from "./ask.js"
import { Call } from "./call.js"
import { keepAlive, type KeepAliveOptions } from "./keepAlive.js"
import { Reconnect } from "./reconnect.js"
import { Wire } from "./wire.js"

/** Whom to connect to, and as whom. */
export interface Endpoint {
  readonly address: string
  /** It may have one job and no more: see `MessageTransport`. */
  readonly single?: boolean | undefined
  /**
   * Finds out the credentials, and connects with them. Who leaves meanwhile leaves an attempt behind, which goes on for about
   * as many milliseconds as `patience` says, until it is known whether the password is wrong.
   */
  readonly signOn: <A>(
    connect: (transport: MessageTransport, way: SignOn) => Effect.Effect<A, SqlError, Scope.Scope>,
    patience: number
  ) => Effect.Effect<A, SqlError, Scope.Scope>
  /** Ends attempts that were left behind. */
  readonly end: Effect.Effect<void>
}

export interface SignOn {
  /** Properties that belong to these credentials, such as a one-time code. */
  readonly properties: ReadonlyArray<readonly [name: string, value: string]>
  /** Takes the secrets out of what a failure would repeat of the daemon's words. */
  readonly scrub: (text: string) => string
  /**
   * Finds out anew what changes with every sign-on, and signs on with it over the link that is there. Who leaves meanwhile
   * leaves an attempt behind, as with `signOn`.
   */
  readonly again: (
    connect: (way: SignOn) => Effect.Effect<void, SqlError, Scope.Scope>,
    patience: number
  ) => Effect.Effect<void, SqlError, Scope.Scope>
}

export interface ConnectionOptions {
  /** JDBC properties, encoded: `name=value;name=value`. */
  readonly properties: string
  readonly technique: "tcp" | "cli"
  readonly application: string | undefined
  /** Milliseconds for everything until the job is there. */
  readonly connectTimeout: number
  readonly keepAlive: KeepAliveOptions
  /** One statement or page at a time. */
  readonly serial: boolean
}

/** Milliseconds that `exit` may take when everything is over anyway. */
const goodbye = 500

const connectRequest = (options: ConnectionOptions, way: SignOn): Call["request"] => {
  const more = way.properties.map(([name, value]) => `${name}=${value}`)
  const props = [options.properties, ...more].filter((text) => text !== "").join(";")
  return {
    type: "connect",
    technique: options.technique,
    ...(props === "" ? undefined : { props }),
    ...(options.application === undefined ? undefined : { application: options.application })
  }
}

/** Signs on; also anew, over a link that has a job already. */
const connect = (wire: Wire, address: string, options: ConnectionOptions, way: SignOn): Effect.Effect<void, SqlError> =>
  Effect.flatMap(ask(wire, connectRequest(options, way)), (frame) => {
    if (!frame.success) {
      wire.job = undefined
      return Effect.fail(failure.connectRefused(frame, address, frame.body.error))
    }
    wire.job = typeof frame.body.job === "string" ? frame.body.job : undefined
    return Effect.void
  })

/** What a connection can do besides carrying requests. */
export interface Connection {
  readonly wire: Wire
  /** Replaces the job by a new one, with these properties. `begun` is told when the one before is given up for it. */
  readonly reconnect: (properties: string, begun: () => void) => Effect.Effect<void, SqlError>
  /** Closes it, when an attempt at connecting anew that was left behind is over. */
  readonly close: (close: Effect.Effect<void>) => Effect.Effect<void>
}

export const open = (
  endpoint: Endpoint,
  options: ConnectionOptions
): Effect.Effect<Connection, SqlError, Scope.Scope> =>
  endpoint
    .signOn(
      (transport, way) =>
        Effect.gen(function* () {
          const wire = new Wire(options.serial, way.scrub)
          const link = yield* Effect.mapError(transport.open(wire), (error) => failure.scrubbed(error, way.scrub))
          wire.link = link
          yield* Effect.addFinalizer(() => leave(wire))
          yield* Effect.mapError(connect(wire, endpoint.address, options, way), (error) =>
            // There was no job that could have been lost: it is as if nobody had answered at all.
            SqlFailure.is("SessionLost")(error)
              ? failure.unreachable(endpoint.address, wire.endedBy ?? "the connection was lost")
              : error
          )
          const stop = keepAlive(wire, link, options.keepAlive, (why) => wire.ended(why))
          yield* Effect.addFinalizer(() => Effect.sync(stop))
          const attempt = new Reconnect(wire)
          return {
            wire,
            close: attempt.close,
            reconnect: (properties: string, begun: () => void) =>
              withinConnectTimeout(
                endpoint,
                options
              )(
                attempt.run(
                  way.again(
                    (fresh) =>
                      attempt.under(
                        Effect.suspend(() => {
                          begun()
                          wire.scrub = (text) => fresh.scrub(way.scrub(text))
                          return connect(wire, endpoint.address, { ...options, properties }, fresh)
                        })
                      ),
                    options.connectTimeout
                  )
                )
              )
          }
        }),
      options.connectTimeout
    )
    .pipe(withinConnectTimeout(endpoint, options))

const withinConnectTimeout =
  ({ address }: Endpoint, { connectTimeout }: ConnectionOptions) =>
  <A, R>(connected: Effect.Effect<A, SqlError, R>): Effect.Effect<A, SqlError, R> =>
    SqlTransport.stoppable(
      Effect.timeoutFail(connected, {
        duration: connectTimeout,
        onTimeout: () => failure.unreachable(address, `no job within ${connectTimeout} ms (connectTimeout)`)
      })
    )

const quiet = (wire: Wire): Effect.Effect<void> =>
  Effect.async((resume) => {
    const rest = wire.quietFrom - performance.now()
    if (rest > 0) {
      setTimeout(() => resume(Effect.void), rest)
    } else {
      resume(Effect.void)
    }
  })

/** Ends the job in good order if nothing runs on it: it would have to be waited for. */
const leave = (wire: Wire): Effect.Effect<void> =>
  Effect.suspend(() => {
    const idle = wire.unanswered === 0 && wire.job !== undefined && wire.refusal === undefined
    wire.abort(failure.closed())
    const exit = Effect.async<void>((resume) => {
      const said = () => {
        clearTimeout(timer)
        resume(Effect.void)
      }
      const timer = setTimeout(said, goodbye)
      wire.send(new Call({ type: "exit" }, Infinity, undefined, said))
    })
    // Whoever gets a job of this name next must not be hit by a cancel that was meant for us.
    const left = wire.dead ? Effect.void : Effect.zipRight(quiet(wire), idle ? exit : Effect.void)
    return Effect.ensuring(
      left,
      Effect.sync(() => wire.ended("it was closed"))
    )
  })
