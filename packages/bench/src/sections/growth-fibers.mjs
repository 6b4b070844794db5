/** One session shared by ever more fibers. */
import { Effect } from "effect"
import { fastest, growth } from "../growth.mjs"
import { withClient } from "../sluice.mjs"

const total = 30_000

export default growth({
  name: "growth-fibers",
  title: "A small query from ever more fibers at once, on one session",
  axis: "fibers",
  label: "per query",
  unit: "µs",
  sizes: [1, 10, 100, 1_000, 10_000],
  run: (fibers) =>
    withClient({ filename: ":memory:" }, (sql) => {
      const each = Math.ceil(total / fibers)
      const one = Effect.forEach(Array(each).fill(0), (_, i) => sql`select ${i} + 1 as n`, { discard: true })
      const all = Effect.forEach(Array(fibers).fill(one), (self) => self, { concurrency: fibers, discard: true })
      return Effect.promise(async () => ({
        figure: ((await fastest(4, () => Effect.runPromise(all))) * 1_000) / (each * fibers)
      }))
    })
})
