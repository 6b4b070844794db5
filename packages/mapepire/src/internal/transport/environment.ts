/** The configuration of a transport as environment variables. */
import * as Config from "effect/Config"
import * as Option from "effect/Option"
import type { Config as TransportConfig } from "../../MapepireTransport.js"

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), Option.getOrUndefined)

const count = (name: string): Config.Config<number> =>
  Config.validate(Config.integer(name), { message: `Expected ${name} to be 1 or more`, validation: (n) => n >= 1 })

const list = (text: string): ReadonlyArray<string> => text.split(/[\s,]+/).filter((name) => name !== "")

export const environment: Config.Config<TransportConfig> = Config.all({
  host: Config.nonEmptyString("MAPEPIRE_HOST"),
  port: Config.withDefault(Config.port("MAPEPIRE_PORT"), 8076),
  user: Config.nonEmptyString("MAPEPIRE_USER"),
  password: Config.redacted("MAPEPIRE_PASSWORD"),
  secure: optional(Config.boolean("MAPEPIRE_SECURE")),
  application: optional(Config.string("MAPEPIRE_APPLICATION")),
  libraries: optional(Config.map(Config.nonEmptyString("MAPEPIRE_LIBRARIES"), list)),
  sessions: optional(count("MAPEPIRE_SESSIONS")),
  transactions: optional(count("MAPEPIRE_TRANSACTIONS")),
  multiplex: optional(count("MAPEPIRE_MULTIPLEX")),
  tls: Config.all({
    ca: optional(Config.nonEmptyString("MAPEPIRE_CA")),
    servername: optional(Config.nonEmptyString("MAPEPIRE_SERVERNAME")),
    fingerprint: optional(Config.nonEmptyString("MAPEPIRE_FINGERPRINT")),
    insecure: optional(Config.boolean("MAPEPIRE_INSECURE"))
  })
})
