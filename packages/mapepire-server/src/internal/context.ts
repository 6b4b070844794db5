/** What every socket of a server shares. */
import type * as Effect from "effect/Effect"
import type { Blobs, BlobLimits } from "./blobs.js"
import type { Host } from "./connection.js"
import type { Faults } from "./faults.js"
import type { Job } from "./jobs.js"
import type { Procedure } from "./procedures.js"
import type { Users } from "./signOn.js"
import type { Behaviour } from "./version.js"

export interface Limits extends BlobLimits {
  readonly messageBytes: number
  readonly inFlight: number
  readonly outboundBytes: number
  readonly stallMillis: number
}

export interface ServerContext {
  readonly host: Host
  readonly behaviour: Behaviour
  /** The database is SQLite, so Db2 is put into its words. */
  readonly sqlite: boolean
  readonly users: Users | undefined
  readonly rules: string
  readonly limits: Limits
  readonly faults: Faults
  readonly procedures: Readonly<Record<string, Procedure>>
  /** Binary values that are fetched by HTTP; undefined: they come in the rows. */
  readonly blobs: Blobs | undefined
  /** Stops what a job runs, after the delay that the server was told. Returns at once. */
  readonly postCancel: (job: Job) => Effect.Effect<void>
  /** Requests, and malformed ones of two kinds, all sockets together. */
  readonly counters: { requests: number; incomplete: number; unparseable: number }
}
