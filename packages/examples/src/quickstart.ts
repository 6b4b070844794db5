import { Query, SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Console, Effect, Schema, Stream } from "effect"

const lateFrom = Query.stream({
  name: "lateFrom",
  Request: Schema.String,
  Result: Schema.Struct({ origin: Schema.String, delay: Schema.Number }),
  execute: (sql, origin) => sql`select origin, delay from flights where origin = ${origin} and delay > 15`
})

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table flights(origin text not null, delay integer not null)`
  yield* sql`insert into flights values ('SEA', 42), ('SEA', 3), ('SFO', 90)`
  yield* lateFrom("SEA").pipe(Stream.runForEach(Console.log))
  // Without an end: stopped in SQLite after a tenth of a second, and nothing has waited for it but this fiber.
  const endless = sql`with recursive up(n) as (select 1 union all select n + 1 from up) select max(n) from up`
  yield* endless.pipe(Effect.timeoutOption("100 millis"), Effect.flatMap(Console.log))
})

program.pipe(Effect.provide(SqliteClient.layerMemory), Effect.runPromise).catch(console.error)
