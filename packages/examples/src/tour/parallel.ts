/** Sharing: readers answer while the writer writes, and see what has been committed. */
import { SqlClient } from "@sluice/sql"
import { Duration, Effect } from "effect"
import { latestHour, worstRoutes } from "./ask.js"
import * as Report from "./report.js"

const archived = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ n: number }>`select count(*) as n from archive`
  return row?.n ?? 0
})

const archive = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql`insert into archive select id, hour, distance, delay from flights, (values (1), (2), (3))`.pipe(
    sql.withTransaction
  )
)

export const parallel = Effect.gen(function* () {
  yield* Report.heading("Share", "two readers beside a writer, on one file")
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table archive(id integer, hour real, distance integer, delay integer)`
  const before = yield* archived

  const reads: Array<Duration.Duration> = []
  const seen = new Set<number>()
  const record = ([took]: [Duration.Duration, unknown]) => Effect.sync(() => reads.push(took))
  const again = (question: Effect.Effect<unknown, unknown, SqlClient.SqlClient>) =>
    question.pipe(Effect.timed, Effect.tap(record), Effect.forever)

  // When the write has ended, the race is decided and the reading stops.
  const [took] = yield* archive.pipe(
    Effect.timed,
    Effect.raceFirst(
      Effect.all(
        [
          again(latestHour),
          again(
            Effect.zipRight(
              worstRoutes(2),
              Effect.tap(archived, (n) => Effect.sync(() => seen.add(n)))
            )
          )
        ],
        { concurrency: "unbounded" }
      )
    )
  )

  const after = yield* archived
  const slowest = Math.max(...reads.map(Duration.toMillis))
  yield* Report.line(`${Report.whole(after)} rows written`, Report.time(took), "in one transaction")
  yield* Report.line(
    "read meanwhile",
    `${reads.length} answers`,
    `the slowest in ${Report.time(slowest)}; rows of the write seen: ${[...seen].join(", ")}`
  )
  yield* Report.line("read afterwards", `${Report.whole(after - before)} rows`, "all of them")
})
