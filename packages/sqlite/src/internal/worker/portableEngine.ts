/**
 * The engine without the pump: the carrier's own JavaScript API. It stops between rows and while it waits for a lock,
 * not inside SQLite.
 *
 * Texts that contain NUL are read up to it where the carrier passes them on as C strings (node:sqlite before Node 24,
 * @photostructure/sqlite); a copy (`backup`, `serialize`) is made by VACUUM INTO, which cannot run in a transaction.
 */
import { existsSync } from "node:fs"
import { type CarrierFaults, findFaults } from "./bindings.js"
import { limitNames, type Safety } from "../opening.js"
import { OwnCode, ResultCode } from "../resultCode.js"
import type { Carrier, CarrierDatabase } from "../carrier.js"
import { type Connection, type Engine, EngineError, type OpenOptions } from "./engine.js"
import { PortableConnection } from "./portableConnection.js"
import { engineError } from "./portableErrors.js"

export const portableEngine = (carrier: Carrier): Engine => {
  let faults: CarrierFaults | undefined
  return {
    kind: "portable",
    get version() {
      return carrier.version
    },
    open: (options) => {
      try {
        return open(carrier, options, (faults ??= findFaults(carrier)))
      } catch (error) {
        throw engineError(error)
      }
    }
  }
}

const open = (carrier: Carrier, options: OpenOptions, faults: CarrierFaults): Connection => {
  const database = new carrier.DatabaseSync(existing(options), {
    readOnly: options.readonly,
    allowExtension: true,
    enableForeignKeyConstraints: true,
    enableDoubleQuotedStringLiterals: options.safety.doubleQuotedStrings,
    // SQLite's own waiting cannot be stopped; see `whileBusy`.
    timeout: 0
  })
  database.enableLoadExtension(false)
  try {
    protect(database, options.safety)
  } catch (error) {
    database.close()
    throw error
  }
  return new PortableConnection(database, faults, options.shared, options.busyTimeout)
}

/** What the carriers call our limits, in our order. */
const carrierLimits = [
  "length",
  "sqlLength",
  "column",
  "exprDepth",
  "compoundSelect",
  "vdbeOp",
  "functionArg",
  "attach",
  "likePatternLength",
  "variableNumber",
  "triggerDepth"
]

/** A carrier without `enableDefensive` stays without it: nothing else can switch that on. */
const protect = (database: CarrierDatabase, { defensive, limits, trustedSchema }: Safety): void => {
  database.enableDefensive?.(defensive)
  database.exec(`PRAGMA trusted_schema=${trustedSchema ? "ON" : "OFF"}`)
  limitNames.forEach((name, i) => {
    const limit = limits[name]
    if (limit === undefined) return
    if (database.limits === undefined) {
      throw new EngineError(OwnCode.unsupported, `the limit ${name} needs the native engine, or a newer Node`)
    }
    database.limits[carrierLimits[i]!] = limit
  })
}

/** The carriers always create a missing file, so whether it is there is asked before. */
const existing = ({ create, filename, readonly }: OpenOptions): string => {
  if (create || readonly || filename === "" || filename === ":memory:") return filename
  if (filename.startsWith("file:")) {
    return /[?&]mode=/.test(filename) ? filename : filename + (filename.includes("?") ? "&" : "?") + "mode=rw"
  }
  if (!existsSync(filename)) throw new EngineError(ResultCode.cantopen, "unable to open database file")
  return filename
}
