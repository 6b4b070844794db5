import { type SqlTransport, TestTransport } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Effect, Layer } from "effect"
import { type Capabilities, contractSuite } from "../../sql/test/contractSuite.js"
import { countTo, type EngineName, spin, tempFile } from "./support.js"

const capabilities = (engine: EngineName): Omit<Capabilities, "reconnects"> => ({
  // The portable engine stops between rows, not within one.
  endless:
    engine === "native"
      ? spin
      : "with recursive spin(n) as (select 1 union all select n + 1 from spin) select n from spin where n % 1000 = 0",
  countTo,
  pausing:
    "with recursive spin(n) as (select 1 union all select n + 1 from spin) select n from spin where n % 1500000 = 1",
  // The last row has a number that JavaScript's numbers do not hold.
  failsAfter: (rows) =>
    `with recursive up(n) as (select 1 union all select n + 1 from up limit ${rows + 1}) ` +
    `select iif(n <= ${rows}, n, abs(-9223372036854775807 - 1)) as n from up`,
  stopsWithin: 2_500
})

const slowWrite =
  "insert into t with recursive up(n) as (select 1 union all select n + 1 from up limit 1000000000) " +
  "select n from up where n % 1000000 = 0"

const inMemory = (engine: EngineName) => SqliteTransport.layer({ filename: ":memory:", engine })

const onFile = (engine: EngineName, config: Partial<SqliteTransport.Config> = {}) =>
  Layer.unwrapScoped(Effect.map(tempFile, (filename) => SqliteTransport.layer({ ...config, filename, engine })))

const around =
  <E>(wrapper: Layer.Layer<SqlTransport.SqlTransport, E, SqlTransport.SqlTransport>) =>
  <E2>(transport: Layer.Layer<SqlTransport.SqlTransport, E2>) =>
    Layer.provide(wrapper, transport)

contractSuite("SQLite in memory (native)", () => inMemory("native"), {
  ...capabilities("native"),
  slowWrite,
  reconnects: false
})

contractSuite("SQLite on a file with readers (native)", () => onFile("native", { readers: 2 }), {
  ...capabilities("native"),
  slowWrite,
  reconnects: true
})

contractSuite("SQLite on a file (portable)", () => onFile("portable"), {
  ...capabilities("portable"),
  reconnects: true
})

// Nothing is lost here, but everything comes late, some of it twice, and the client keeps the contract itself.
contractSuite(
  "SQLite behind faults that do no harm",
  () => around(TestTransport.faults({ seed: 7, rates: { delay: 0.3, duplicate: 0.3 }, delay: 3 }))(onFile("native")),
  { ...capabilities("native"), slowWrite, reconnects: true }
)

contractSuite("SQLite in memory, rolled back", () => around(TestTransport.rolledBack)(inMemory("native")), {
  ...capabilities("native"),
  reconnects: false,
  begin: false
})
