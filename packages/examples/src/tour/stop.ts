/** Stopping: interruption and deadlines end the statement in SQLite itself, not just the wait for it. */
import { SqlClient, SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Fiber } from "effect"
import * as Report from "./report.js"

/** Counts for ever. The portable engine can stop a statement between its rows only, so there it gives some. */
const runaway = Effect.flatMap(SqliteClient.SqliteClient, (sql) => {
  const result = sql.literal(sql.engine.kind === "native" ? "count(*)" : "i")
  return sql`with recursive c(i) as (select 1 union all select i + 1 from c) select ${result} from c`
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
  yield* Report.line("the next query", Report.time(next), "on the same connection, at once")
  const [took, error] = yield* overdue
  yield* Report.line("deadline of 250 ms", Report.time(took), `failed with ${SqlFailure.from(error).reason}`)
})
