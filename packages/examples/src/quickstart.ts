import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { SqlSchema } from "@effect/sql"
import { Console, Effect, Schema, Stream } from "effect"

const Flight = Schema.Struct({ origin: Schema.String, delay: Schema.Number })

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table flights(origin text not null, delay integer not null)`
  yield* sql`insert into flights ${sql.insert([
    { origin: "SEA", delay: 42 },
    { origin: "SFO", delay: -3 }
  ])}`

  const lateFrom = SqlSchema.findAll({
    Request: Schema.String,
    Result: Flight,
    execute: (origin) => sql`select origin, delay from flights where origin = ${origin} and delay > 15`
  })
  yield* Console.log(yield* lateFrom("SEA"))

  // Rows arrive a page at a time, and no faster than they are used. Stopping early stops the statement in SQLite.
  const endless = sql<{ i: number }>`with recursive c(i) as (select 1 union all select i + 1 from c) select i from c`
  yield* endless.stream.pipe(
    Stream.take(3),
    Stream.runForEach(({ i }) => Console.log(i))
  )
})

program.pipe(Effect.provide(SqliteClient.layerMemory), Effect.runPromise).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
