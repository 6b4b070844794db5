/** What code of the program costs within a statement: on the event loop, in the worker, as a table, and not at all. */
import { Effect, Stream } from "effect"
import { format } from "../harness.mjs"
import { median } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

/** Registered in the worker: types and files would only be in the way here. */
const functions = `data:text/javascript,${encodeURIComponent("export const next = (n) => n + 1")}`

const countTo = (count) =>
  `with recursive up(n) as (select 1 union all select n + 1 from up limit ${count}) select sum(n) as s from up`

/** Milliseconds of each of so many runs, after two to warm up. */
const times = (effect, runs) =>
  Effect.gen(function* () {
    const all = []
    for (let i = 0; i < runs + 2; i++) {
      const start = performance.now()
      yield* effect
      all.push(performance.now() - start)
    }
    return median(all.slice(2))
  })

/** Microseconds per call, less what the same query takes without. */
const perCall = (register, calls) => () =>
  withClient({ filename: ":memory:" }, (sql) =>
    Effect.gen(function* () {
      yield* register(sql)
      const bare = yield* times(sql.unsafe(countTo(calls)), 5)
      const called = yield* times(sql.unsafe(countTo(calls).replace("sum(n)", "sum(next(n))")), 5)
      return { perCall: ((called - bare) * 1000) / calls }
    })
  )

const tableRows = () =>
  withClient({ filename: ":memory:" }, (sql) =>
    Effect.gen(function* () {
      const rows = 100_000
      yield* sql.tableFunction("numbers", { columns: ["n", "text"], parameters: ["count"] }, ({ count }) =>
        Stream.map(Stream.range(1, count), (n) => [n, "some text"])
      )
      const ms = yield* times(sql.unsafe(`select sum(n), max(text) from numbers(${rows})`), 5)
      return { rows: rows / ms }
    })
  )

/** A hundred small queries and one that steps a million times. */
const queries = (register) => () =>
  withClient({ filename: ":memory:" }, (sql) =>
    Effect.gen(function* () {
      yield* register(sql)
      const work = Effect.zipRight(
        sql.unsafe(countTo(300_000)),
        Effect.forEach(Array(300).fill(0), () => sql`select 1`)
      )
      return { query: yield* times(work, 9) }
    })
  )

const [loop, worker, table, none, unused] = [
  "function on the event loop, 20,000 calls",
  "function in the worker, 500,000 calls",
  "table function, 100,000 rows",
  "queries, nothing registered",
  "queries, callbacks registered and not used"
]

const onLoop = (sql) => sql.function("next", (n) => Effect.succeed(n + 1))

const everything = (sql) =>
  Effect.all([
    onLoop(sql),
    sql.collation("upside_down", (a, b) => Effect.succeed(a < b ? 1 : -1)),
    sql.aggregate("product", {
      initial: () => 1,
      step: (state, n) => Effect.succeed(state * n),
      final: (state) => Effect.succeed(state)
    }),
    sql.tableFunction("numbers", { columns: ["n"] }, () => Stream.make([1])),
    sql.workerModule(functions, { functions: { next: { name: "after" } } })
  ])

export default {
  name: "callbacks",
  title: "Functions and tables of the program within statements",
  cells: () => [
    { name: loop, run: perCall(onLoop, 20_000) },
    { name: worker, run: perCall((sql) => sql.workerModule(functions, { functions: ["next"] }), 500_000) },
    { name: table, run: tableRows },
    { name: none, run: queries(() => Effect.void) },
    { name: unused, run: queries(everything) }
  ],
  metrics: [
    { key: "perCall", label: "per call", unit: "µs", spread: false },
    { key: "rows", label: "rows", unit: "k/s", better: "high", spread: false },
    { key: "query", label: "queries", unit: "ms", spread: false }
  ],
  bars: ({ median, ratio }) => {
    const [slow, fast, rows] = [median(loop, "perCall"), median(worker, "perCall"), median(table, "rows")]
    const cost = ratio(unused, none, "query")
    return [
      { bar: "on the event loop: under 40 µs a call", figure: format(slow, "µs"), met: slow < 40 },
      { bar: "in the worker: under 2 µs a call", figure: format(fast, "µs"), met: fast < 2 },
      { bar: "table function: at least 200,000 rows/s", figure: format(rows, "k/s"), met: rows >= 200 },
      { bar: "registered and not used: no measurable cost", figure: `${format(cost)} × the time`, met: cost < 1.1 }
    ]
  }
}
