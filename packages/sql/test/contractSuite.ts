/**
 * The port's contract as a suite: whatever claims to be a `SqlTransport` passes it.
 *
 * A driver's test is one call. Every test builds a transport of its own, puts `SqlClient` on it, and afterwards looks
 * whether a session is still held, waited for, or unusable. `capabilities` has the texts that only the driver's database
 * understands (a query without end, one with pauses) and says what it cannot do; nothing else is asked of it.
 *
 * @example
 * ```ts
 * contractSuite("sqlite", () => SqliteTransport.layerMemory, {
 *   endless: "with recursive spin(n) as (select 1 union all select n + 1 from spin) select count(*) from spin",
 *   …
 * })
 * ```
 */
import { describe } from "@effect/vitest"
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlTransport } from "@sluice/sql"
import type { Layer } from "effect"
import type { Capabilities } from "./contract/harness.js"
import { interruption } from "./contract/interruption.js"
import { leases } from "./contract/leases.js"
import { statements } from "./contract/statements.js"
import { streams } from "./contract/streams.js"
import { transactions } from "./contract/transactions.js"

export type { Capabilities } from "./contract/harness.js"

export const contractSuite = (
  name: string,
  makeLayer: () => Layer.Layer<SqlTransport.SqlTransport, SqlError>,
  capabilities: Capabilities
): void => {
  const subject = { transport: makeLayer, capabilities }
  describe(`contract: ${name}`, () => {
    interruption(subject)
    transactions(subject)
    streams(subject)
    leases(subject)
    statements(subject)
  })
}
