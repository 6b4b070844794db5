/** The port's contract, kept by the Mapepire client against this server over SQLite. */
import { MapepireTransport } from "@sluice/mapepire"
import { Effect, Layer, Redacted } from "effect"
import { contractSuite } from "../../sql/test/contractSuite.js"
import { serve, users } from "./support.js"

const transport = (config: Partial<MapepireTransport.Config> = {}) =>
  Layer.unwrapScoped(
    Effect.map(Effect.orDie(serve({ seed: [], limits: {} })), ({ host, port }) =>
      MapepireTransport.layer({
        host,
        port,
        secure: false,
        user: "DEV",
        password: Redacted.make(users.DEV),
        // What the suite waits for is the end of it.
        grace: "2 seconds",
        ...config
      })
    )
  )

contractSuite("Db2 through a Mapepire server", () => transport(), {
  endless:
    "with spin(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from spin) select count(*) as n from spin",
  countTo: (count) =>
    `with up(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from up where n < ${count}) select n from up`,
  pausing:
    "with spin(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from spin) select n from spin where mod(n, 1500000) = 1",
  failsAfter: (rows) =>
    `with up(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from up where n <= ${rows}) ` +
    `select case when n <= ${rows} then n else cast('9223372036854775807' as bigint) end as n from up`,
  reconnects: true,
  stopsWithin: 5_000
})
