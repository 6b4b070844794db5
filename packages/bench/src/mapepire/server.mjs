/**
 * A process with @sluice/mapepire-server over a SQLite file, as the Mapepire cells want it: wss, and a table of as many
 * rows as the first argument says. Tells its parent where it is, and ends with it.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqliteTransport } from "@sluice/sqlite"
import { Context, Effect, Layer } from "effect"
import { withClient } from "../sluice.mjs"

const total = Number(process.argv[2])

/** Made past the server, so names have to be as Db2 folds them. */
const tables = [
  `create table NUMBERS(ID bigint not null primary key, AMOUNT decimal(15, 2) not null, NAME varchar(40) not null)`,
  `with recursive c(i) as (select 1 union all select i + 1 from c where i < ${total})
   insert into NUMBERS select i * 9007199254, cast(i as text) || '.25', 'the name of ' || i from c`
]

const serve = (filename) =>
  Effect.gen(function* () {
    yield* Effect.promise(() => withClient({ filename }, (sql) => Effect.forEach(tables, (text) => sql.unsafe(text))))
    const context = yield* Layer.build(
      MapepireServer.layer({ port: 0, users: { DEV: "dev" }, onDisconnect: "stop" }).pipe(
        Layer.provide(SqliteTransport.layer({ filename }))
      )
    )
    const { certificate, commonName, port } = Context.get(context, MapepireServer.MapepireServer)
    process.send({ certificate, commonName, port })
    yield* Effect.async((resume) => process.once("disconnect", () => resume(Effect.void)))
  }).pipe(Effect.scoped)

const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"))
try {
  await Effect.runPromise(serve(join(directory, "mapepire.db")))
} finally {
  rmSync(directory, { recursive: true, force: true })
}
