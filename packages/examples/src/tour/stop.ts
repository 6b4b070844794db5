/** Stopping: interruption and deadlines end the statement in the database itself, not just the wait for it. */
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Effect, Fiber } from "effect"
import { Place } from "./place.js"
import * as Report from "./report.js"

/** Counts for ever. Where a statement can be stopped between its rows only, it gives some. */
const runaway = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { stopsBetweenRows } = yield* Place
  const result = sql.literal(stopsBetweenRows ? "i" : "count(*)")
  return yield* sql`with c(i) as (values (1) union all select i + 1 from c) select ${result} as n from c`
})

const interrupted = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const fiber = yield* Effect.fork(runaway)
  yield* Effect.sleep("300 millis")
  const [free] = yield* Effect.timed(Fiber.interrupt(fiber))
  const [next] = yield* Effect.timed(sql`select max(id) as flights from flights`)
  return { free, next }
})

const overdue = runaway.pipe(SqlClient.withDeadline("250 millis"), Effect.flip, Effect.timed)

export const stop = Effect.gen(function* () {
  yield* Report.heading("Stop", "a query that would count for ever")
  const { free, next } = yield* interrupted
  yield* Report.line("interrupted after 300 ms", Report.time(free), "until the fiber was free")
  yield* Report.line("the next query", Report.time(next), "at once")
  const [took, error] = yield* overdue
  yield* Report.line("deadline of 250 ms", Report.time(took), `failed with ${SqlFailure.from(error).reason}`)
})
