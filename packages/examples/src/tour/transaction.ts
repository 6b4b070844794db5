/** Transactions: a transaction within a transaction is a savepoint, and its failure undoes only its own part. */
import { SqlClient } from "@sluice/sql"
import { Data, Effect } from "effect"
import * as Report from "./report.js"

class SecondThoughts extends Data.TaggedError("SecondThoughts")<{ readonly cancelled: number }> {}

/** Cancels the trips of a day, then thinks better of it. */
const cancelDay = (day: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const cancelled = yield* sql`delete from trips where date(departure) = ${day} returning departure`
    return yield* new SecondThoughts({ cancelled: cancelled.length })
  })

const count = (table: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ n: number }>`select count(*) as n from ${sql(table)}`
    return row?.n ?? 0
  })

export const transaction = Effect.gen(function* () {
  yield* Report.heading("Undo", "a transaction, and a savepoint in it that is rolled back")
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table notes(id integer not null primary key, what varchar(100) not null)`
  const before = yield* count("trips")

  const [took, undone] = yield* Effect.gen(function* () {
    yield* sql`insert into notes ${sql.insert({ id: 1, what: "about to cancel a day" })}`
    const undone = yield* cancelDay("2001-03-02").pipe(sql.withTransaction, Effect.flip)
    yield* sql`insert into notes ${sql.insert({ id: 2, what: "decided not to" })}`
    return undone
  }).pipe(sql.withTransaction, Effect.timed)

  const [trips, notes] = [yield* count("trips"), yield* count("notes")]
  if (undone._tag !== "SecondThoughts") {
    return yield* undone
  }
  yield* Report.line(
    "savepoint rolled back",
    `${undone.cancelled} deletes`,
    `${Report.whole(trips)} trips of ${Report.whole(before)} are there`
  )
  yield* Report.line("transaction committed", `${notes} inserts`, `in ${Report.time(took)}`)
})
