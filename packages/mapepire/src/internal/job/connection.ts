/** From a daemon's address to a wire that may be used: link, sign-on, keep-alive, and the goodbye. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as failure from "../failure.js"
import type { MessageTransport } from "../link.js"
import { Call } from "./call.js"
import { ask } from "./control.js"
import { keepAlive, type KeepAliveOptions } from "./keepAlive.js"
import { Wire } from "./wire.js"

/** Whom to connect to, and as whom. */
export interface Endpoint {
  readonly address: string
  /** Finds out the credentials, and connects with them. */
  readonly signOn: <A>(
    connect: (transport: MessageTransport, way: SignOn) => Effect.Effect<A, SqlError, Scope.Scope>
  ) => Effect.Effect<A, SqlError, Scope.Scope>
}

export interface SignOn {
  /** Properties that belong to these credentials, such as a one-time code. */
  readonly properties: ReadonlyArray<readonly [name: string, value: string]>
  /** Takes the secrets out of what the daemon says. */
  readonly scrub: (text: string) => string
}

export interface ConnectionOptions {
  /** JDBC properties, encoded: `name=value;name=value`. */
  readonly properties: string
  readonly technique: "tcp" | "cli"
  readonly application: string | undefined
  /** Milliseconds for everything until the job is there. */
  readonly connectTimeout: number
  readonly keepAlive: KeepAliveOptions
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
    // Whatever the answer: the database connection that was there is gone, and what was open in it.
    wire.epoch++
    wire.handles = 0
    if (!frame.success) {
      wire.job = undefined
      return Effect.fail(
        failure.connectRefused(
          { error: frame.error, sql_state: frame.sqlState, sql_rc: frame.sqlRc },
          address,
          way.scrub
        )
      )
    }
    wire.job = typeof frame.body.job === "string" ? frame.body.job : undefined
    return Effect.void
  })

/** What a connection can do besides carrying requests. */
export interface Connection {
  readonly wire: Wire
  /** Replaces the job by a new one, with these properties. */
  readonly reconnect: (properties: string) => Effect.Effect<void, SqlError>
}

export const open = (
  endpoint: Endpoint,
  options: ConnectionOptions
): Effect.Effect<Connection, SqlError, Scope.Scope> =>
  endpoint
    .signOn((transport, way) =>
      Effect.gen(function* () {
        const wire = new Wire()
        const link = yield* transport.open(wire)
        wire.link = link
        yield* Effect.addFinalizer(() => leave(wire))
        yield* connect(wire, endpoint.address, options, way)
        const stop = keepAlive(wire, link, options.keepAlive, (why) => wire.ended(why))
        yield* Effect.addFinalizer(() => Effect.sync(stop))
        return {
          wire,
          reconnect: (properties: string) => connect(wire, endpoint.address, { ...options, properties }, way)
        }
      })
    )
    .pipe(
      Effect.timeoutFail({
        duration: options.connectTimeout,
        onTimeout: () =>
          failure.unreachable(endpoint.address, `no job within ${options.connectTimeout} ms (connectTimeout)`)
      })
    )

/** Ends the job in good order if nothing runs on it: it would have to be waited for. */
const leave = (wire: Wire): Effect.Effect<void> =>
  Effect.suspend(() => {
    const idle = wire.unanswered === 0 && wire.job !== undefined && wire.refusal === undefined
    wire.abort(failure.closed())
    if (wire.dead || !idle) {
      return Effect.sync(() => wire.ended("it was closed"))
    }
    return Effect.async<void>((resume) => {
      const said = () => {
        clearTimeout(timer)
        resume(Effect.void)
      }
      const timer = setTimeout(said, goodbye)
      wire.send(new Call({ type: "exit" }, Infinity, undefined, said))
    }).pipe(Effect.ensuring(Effect.sync(() => wire.ended("it was closed"))))
  })
