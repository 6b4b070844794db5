/** Streaming: a page is read when it is asked for, so memory stays flat and the event loop stays free. */
import { SqlClient } from "@sluice/sql"
import { Effect, Stream } from "effect"
import { withLoopDelay } from "./loopDelay.js"
import * as Report from "./report.js"

interface Flight {
  readonly id: number
  readonly departed: number
  readonly distance: number
  readonly delay: number
}

const wholeTable = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<Flight>`select id, departed, distance, delay from flights`.stream.pipe(
    SqlClient.withPrefetch(512),
    Stream.runFold({ rows: 0, miles: 0, late: 0 }, (sum, flight) => ({
      rows: sum.rows + 1,
      miles: sum.miles + flight.distance,
      late: sum.late + (flight.delay > 15 ? 1 : 0)
    }))
  )
})

const tenOfEndlessly = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<{ i: number }>`
    with c(i) as (values (1) union all select i + 1 from c) select i from c`.stream.pipe(
    Stream.take(10),
    Stream.runCount
  )
})

export const stream = Effect.gen(function* () {
  yield* Report.heading("Stream", "every flight, 512 rows a page, the next page only when it is wanted")
  const idle = yield* withLoopDelay(Effect.sleep("300 millis"))
  const { p50, p99, value } = yield* withLoopDelay(Effect.timed(wholeTable))
  const [took, { late, miles, rows }] = value
  yield* Report.line(`${Report.whole(rows)} rows`, Report.time(took), Report.rate(rows, took))
  yield* Report.line(
    "what they said",
    `${Report.whole(miles / 1e6)} M miles`,
    `${((100 * late) / rows).toFixed(1)} % left more than 15 minutes late`
  )
  yield* Report.line("event-loop delay, median", Report.time(p50), `${Report.time(idle.p50)} when idle`)
  yield* Report.line("event-loop delay, p99", Report.time(p99), `${Report.time(idle.p99)} when idle`)
  const [stopped, count] = yield* Effect.timed(tenOfEndlessly)
  yield* Report.line(`${count} rows of an endless query`, Report.time(stopped), "the rest was never computed")
})
