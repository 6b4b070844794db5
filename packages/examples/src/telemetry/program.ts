/** Something to look at: each step is a span of its own, with those of its statements inside. */
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Effect, Stream } from "effect"

export const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table flights(id integer primary key, origin text not null, delay integer not null)`

  const rows = Array.from({ length: 500 }, (_, i) => [i, i % 3 === 0 ? "SEA" : "SFO", i % 90])
  yield* sql.many("insert into flights(id, origin, delay) values (?, ?, ?)", rows).pipe(Effect.withSpan("load"))

  yield* sql`select delay from flights where origin = ${"SEA"}`.stream.pipe(
    Stream.runCount,
    Effect.withSpan("read all from Seattle")
  )

  yield* sql
    .transaction()(
      Effect.gen(function* () {
        yield* sql`update flights set delay = delay + 1 where origin = ${"SEA"}`
        yield* sql`insert into flights(id, origin, delay) values (${7}, ${"SEA"}, ${0})`
      })
    )
    .pipe(
      Effect.catchIf(SqlFailure.is("UniqueViolation"), () => Effect.void),
      Effect.withSpan("a transaction that fails")
    )
})
