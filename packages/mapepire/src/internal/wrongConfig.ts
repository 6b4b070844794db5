/** Options with which nothing can ever work: they fail before anything is dialled, and are not tried again. */
import { isIPv6 } from "node:net"
import type { SqlError } from "@effect/sql/SqlError"
import type { Config } from "../MapepireTransport.js"
import { badConfig } from "./failure.js"
import { addressOf } from "./webSocket.js"
import { isIsolation, noSuchIsolation } from "./transport/transactions.js"

const isCount = (value: number): boolean => Number.isInteger(value) && value >= 1

/** Why there can be nobody at this address. Host and path become parts of one text, and must not be more than that. */
export const wrongAddress = (config: Pick<Config, "host" | "port" | "path">): SqlError | undefined => {
  const { host, path = "/db/", port = 8076 } = config
  if (!/^[\p{L}\p{M}\p{N}._-]+$/u.test(host) && !isIPv6(host)) {
    return badConfig(
      "host must be the name of a host or its address and nothing else: without a scheme, a port, brackets or a slash"
    )
  }
  if (!isCount(port) || port > 65_535) {
    return badConfig(`port must be a whole number from 1 to 65535, not ${port}`)
  }
  if (!path.startsWith("/")) {
    return badConfig("path must begin with a slash")
  }
  // Such as 999.1.1.1, or an address with a zone, which no URL has.
  return URL.canParse(addressOf({ host, port, secure: true }) + path)
    ? undefined
    : badConfig("host can be in no address")
}

/** Why there can be no such sessions. */
export const wrongSessions = (config: Config): SqlError | undefined => {
  for (const name of ["sessions", "transactions", "multiplex", "recycleAt"] as const) {
    const value = config[name]
    if (value !== undefined && !isCount(value)) {
      return badConfig(`${name} must be a whole number of at least 1, not ${value}`)
    }
  }
  const { isolation } = config
  return isolation === undefined || isIsolation(isolation) ? undefined : noSuchIsolation(isolation)
}
