/** Where jobs can be made: a daemon's WebSocket, which wants to know who signs on, or any other transport of messages. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as MapepireJob from "../../MapepireJob.js"
import * as failure from "../failure.js"
import type { MessageTransport } from "../link.js"
import * as tls from "../tls.js"
import { addressOf, webSocket } from "../webSocket.js"
import { wrongAddress } from "../wrongConfig.js"
import type { Endpoint, SignOn } from "./connection.js"
import { authorization, Login, secretsOf } from "./login.js"
import { millis } from "./options.js"
import { scrubber } from "./secrets.js"

const anonymous: SignOn = { properties: [], scrub: (text) => text, again: (connect) => connect(anonymous) }

export const plainEndpoint = (transport: MessageTransport): Endpoint => ({
  address: transport.address,
  single: transport.single,
  signOn: (connect) => connect(transport, anonymous),
  end: Effect.void
})

export const webSocketEndpoint = (config: MapepireJob.Config): Endpoint => {
  const { host, password, port = 8076, secure = true, user } = config
  const address = addressOf({ host, port, secure })
  const credentials =
    config.credentials ??
    (user === undefined || password === undefined
      ? Effect.fail(failure.badConfig("Give user and password, or credentials"))
      : Effect.succeed({ user, password }))
  const login = new Login(address, credentials)
  const wrong = wrongAddress(config) ?? tls.check(config.tls)
  return {
    address,
    end: login.end,
    signOn: (connect, patience) =>
      wrong !== undefined
        ? Effect.fail(wrong)
        : login.use((credentials) => {
            const transport = webSocket({
              host,
              port,
              secure,
              path: config.path ?? "/db/",
              authorization: authorization(credentials),
              tls: config.tls ?? {},
              maxPayload: config.maxPayload ?? 256 * 1024 * 1024,
              compression: config.compression ?? false,
              openTimeout: millis(config.openTimeout, 10_000),
              closeTimeout: millis(config.closeTimeout, 2_000)
            })
            const wayOf = (given: MapepireJob.Credentials): SignOn => ({
              properties: factorOf(given),
              scrub: scrubber(secretsOf(given)),
              again: (connect, patience) => login.again((fresh) => connect(wayOf(fresh)), patience, credentials)
            })
            return connect(transport, wayOf(credentials))
          }, patience)
  }
}

const factorOf = ({ factor }: MapepireJob.Credentials): ReadonlyArray<readonly [string, string]> =>
  factor === undefined ? [] : [["additionalAuthenticationFactor", Redacted.value(factor)]]
