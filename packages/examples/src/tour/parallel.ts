/** Sharing: readers answer while somebody writes, and see what has been committed. */
import { SqlClient } from "@sluice/sql"
import { Duration, Effect } from "effect"
import { latestHour, worstRoutes } from "./ask.js"
import { Place } from "./place.js"
import * as Report from "./report.js"

const archived = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ n: number }>`select count(*) as n from archive`
  return row?.n ?? 0
})

const archive = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql`insert into archive select id, departed, distance, delay from flights, (values (1), (2), (3)) as copies`.pipe(
    sql.withTransaction
  )
)

export const parallel = Effect.gen(function* () {
  const { sharing } = yield* Place
  yield* Report.heading("Share", sharing)
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table archive(id integer, departed double, distance integer, delay integer)`
  // At once, so that each has a session before the race begins.
  const [, before] = yield* Effect.all([latestHour, archived], { concurrency: "unbounded" })

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
              Effect.tap(archived, (n) => Effect.sync(() => seen.add(n))),
              worstRoutes(2)
            )
          )
        ],
        { concurrency: "unbounded" }
      )
    )
  )

  const after = yield* archived
  const slowest = Math.max(0, ...reads.map(Duration.toMillis))
  yield* Report.line(`${Report.whole(after)} rows written`, Report.time(took), "in one transaction")
  yield* Report.line(
    "answers read meanwhile",
    String(reads.length),
    `the slowest in ${Report.time(slowest)}; rows of the write seen: ${[...seen].join(", ")}`
  )
  yield* Report.line("read afterwards", `${Report.whole(after - before)} rows`, "all of them")
})
