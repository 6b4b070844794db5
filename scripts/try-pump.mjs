// Does this very pump load, and do statements run on it? Another one that lies around cannot answer in its place.
//
//     node scripts/try-pump.mjs path/to/pump.node     after `npm run build`
import { resolve } from "node:path"

process.env.SLUICE_SQLITE_PUMP = resolve(process.argv[2])

const { Effect } = await import("effect")
const { SqliteClient } = await import("@sluice/sqlite")

const program = Effect.gen(function* () {
  const sql = yield* SqliteClient.SqliteClient
  yield* sql`create table t(a integer primary key, b text)`
  yield* sql.many("insert into t(b) values (?)", [["one"], ["two"]])
  return JSON.stringify(yield* sql`select a, b from t`.values)
})
const Sql = SqliteClient.layer({ filename: ":memory:", engine: "native" })

const answer = await Effect.runPromise(Effect.provide(program, Sql))
if (answer !== '[[1,"one"],[2,"two"]]') throw new Error(`The pump answered ${answer}`)
console.log("It loads, and statements run on it")
