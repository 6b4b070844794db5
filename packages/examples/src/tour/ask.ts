/** Asking: answers decoded by Schema, so that a question has a type and a wrong row is a typed failure. */
import { SqlSchema } from "@effect/sql"
import { SqlClient } from "@sluice/sql"
import { Effect, Schema } from "effect"
import * as Report from "./report.js"

/** The hour of the day in which flights are latest. */
export const latestHour = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const query = SqlSchema.single({
    Request: Schema.Struct({ atLeast: Schema.Int }),
    Result: Schema.Struct({ since: Schema.Int, late: Schema.Number }),
    execute: ({ atLeast }) => sql`
      select cast(departed as integer) as since, avg(cast(delay as double)) as late from flights
      group by cast(departed as integer) having count(*) >= ${atLeast} order by 2 desc limit 1`
  })
  return yield* query({ atLeast: 1000 })
})

/** The routes with the greatest average delay, with the names of their cities. */
export const worstRoutes = (limit: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const query = SqlSchema.findAll({
      Request: Schema.Int,
      Result: Schema.Struct({ from: Schema.String, to: Schema.String, late: Schema.Number, trips: Schema.Int }),
      execute: (limit) => sql`
        select o.city as "from", d.city as "to", avg(cast(t.delay as double)) as late, count(*) as trips
        from trips t join airports o on o.iata = t.origin join airports d on d.iata = t.destination
        group by o.city, d.city, t.origin, t.destination having count(*) >= 15 order by 3 desc limit ${limit}`
    })
    return yield* query(limit)
  })

/** The day with the most departures: a date, not a text. */
export const busiestDay = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const query = SqlSchema.single({
    Request: Schema.Void,
    Result: Schema.Struct({ flown: Schema.DateFromString, trips: Schema.Int }),
    execute: () => sql`
      select date(departure) as flown, count(*) as trips from trips
      group by date(departure) order by 2 desc limit 1`
  })
  return yield* query()
})

export const ask = Effect.gen(function* () {
  yield* Report.heading("Ask", "typed questions, answers decoded by Schema")

  const [hourTook, { late, since }] = yield* Effect.timed(latestHour)
  yield* Report.line(
    "When are flights latest?",
    Report.time(hourTook),
    `from ${since}:00, by ${late.toFixed(0)} minutes on average`
  )

  const [routesTook, routes] = yield* Effect.timed(worstRoutes(2))
  for (const [i, route] of routes.entries()) {
    yield* Report.line(
      i === 0 ? "Which routes are worst?" : "",
      i === 0 ? Report.time(routesTook) : "",
      `${route.from} to ${route.to}, ${route.late.toFixed(0)} minutes over ${route.trips} trips`
    )
  }

  const [dayTook, { flown, trips }] = yield* Effect.timed(busiestDay)
  const date = flown.toLocaleDateString("en-GB", { dateStyle: "full", timeZone: "UTC" })
  yield* Report.line("Which day is busiest?", Report.time(dayTook), `${date}, ${trips} trips`)
})
