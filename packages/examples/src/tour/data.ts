/** The data: flights in the United States in 2001, as the npm package vega-datasets ships them. */
import { FileSystem } from "@effect/platform"
import { Effect, Schema } from "effect"
import { fileURLToPath } from "node:url"

const Flights = Schema.parseJson(
  Schema.Array(Schema.Struct({ delay: Schema.Int, distance: Schema.Int, time: Schema.Number }))
)

const Trips = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      date: Schema.String,
      delay: Schema.Int,
      distance: Schema.Int,
      origin: Schema.String,
      destination: Schema.String
    })
  )
)

const read = (name: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    fs.readFileString(fileURLToPath(new URL(`../data/${name}`, import.meta.resolve("vega-datasets"))))
  )

/** Splits lines of comma-separated values, where a value in quotes may hold commas and doubled quotes. */
const parseCsv = (text: string): ReadonlyArray<ReadonlyArray<string>> =>
  text
    .trimEnd()
    .split(/\r?\n/)
    .slice(1)
    .map((line) =>
      Array.from(line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g), ([, quoted, plain]) =>
        quoted === undefined ? (plain ?? "") : quoted.replaceAll('""', '"')
      )
    )

/** A table to create, in words that SQLite and Db2 both understand, and the rows to put into it. */
export interface Table {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<unknown>>
}

export const tables: Effect.Effect<ReadonlyArray<Table>, unknown, FileSystem.FileSystem> = Effect.gen(function* () {
  const flights = yield* read("flights-200k.json").pipe(Effect.flatMap(Schema.decode(Flights)))
  const trips = yield* read("flights-20k.json").pipe(Effect.flatMap(Schema.decode(Trips)))
  const airports = parseCsv(yield* read("airports.csv"))
  return [
    {
      name: "airports",
      columns: [
        "iata varchar(4) not null primary key",
        "name varchar(100)",
        "city varchar(50)",
        "state varchar(2)",
        "latitude double",
        "longitude double"
      ],
      rows: airports.map(([iata, name, city, state, , latitude, longitude]) => [
        iata,
        name,
        city,
        state,
        Number(latitude),
        Number(longitude)
      ])
    },
    {
      name: "trips",
      columns: [
        "departure timestamp",
        "origin varchar(4)",
        "destination varchar(4)",
        "distance integer",
        "delay integer"
      ],
      // 2001/03/31 22:27 → 2001-03-31 22:27:00, which every database reads
      rows: trips.map((t) => [`${t.date.replaceAll("/", "-")}:00`, t.origin, t.destination, t.distance, t.delay])
    },
    {
      name: "flights",
      columns: ["id integer not null primary key", "departed double", "distance integer", "delay integer"],
      rows: flights.map((flight, i) => [i + 1, flight.time, flight.distance, flight.delay])
    }
  ]
})
