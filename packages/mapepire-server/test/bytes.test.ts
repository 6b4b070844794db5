import { assert, it } from "@effect/vitest"
import { MapepireClient } from "@sluice/mapepire"
import { SqlClient } from "@sluice/sql"
import { Effect, Redacted } from "effect"
import { serve } from "./support.js"

for (const version of ["2.3.3", "2.3.7", "v9.9.9", "next"] as const) {
  it.scopedLive(`bytes are read back from a daemon ${version} as they were written`, () =>
    Effect.gen(function* () {
      const { host, port } = yield* serve({ version })
      const bytes = [0xde, 0xad, 0xbe, 0xef]
      const written = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table files (id int not null primary key, content varbinary(20))`
        yield* sql`insert into files values (1, ${new Uint8Array(bytes)})`
        return yield* sql<{ content: Uint8Array }>`select content from files`
      })
      const Db2 = MapepireClient.layer({ host, port, secure: false, user: "DEV", password: Redacted.make("secret") })
      const [row] = yield* Effect.provide(written, Db2)
      assert.deepStrictEqual([...row!.content], bytes)
    })
  )
}
