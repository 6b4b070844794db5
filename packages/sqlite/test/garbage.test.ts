/** What is closed is garbage: programs that open one file after the other need no more memory for it. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, it } from "@effect/vitest"
import { SqliteClient } from "@sluice/sqlite"
import { Effect } from "effect"
import { onEngines, tempFile } from "./support.js"

setFlagsFromString("--expose-gc")
const gc = runInNewContext("gc") as () => void

onEngines("garbage", (engine) => {
  it.scopedLive("a client that was closed, each of another file", () =>
    Effect.gen(function* () {
      const closed: Array<WeakRef<SqliteClient.SqliteClient>> = []
      for (let i = 0; i < 4; i++) {
        const filename = yield* tempFile
        yield* Effect.gen(function* () {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`create table t (n)`
          yield* sql.withTransaction(sql`insert into t values (1)`)
          assert.deepStrictEqual(yield* sql`select n from t`, [{ n: 1 }])
          closed.push(new WeakRef(sql))
        }).pipe(Effect.provide(SqliteClient.layer({ filename, engine, readers: 1 })))
      }
      for (let i = 0; i < 100 && closed.some((client) => client.deref() !== undefined); i++) {
        yield* Effect.sleep(20)
        gc()
      }
      assert.deepStrictEqual(
        closed.map((client) => client.deref() === undefined),
        [true, true, true, true]
      )
    })
  )
})
