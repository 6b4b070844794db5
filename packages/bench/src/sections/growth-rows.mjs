/** Rows of ever more bytes. */
import { Effect } from "effect"
import { fastest, growth } from "../growth.mjs"
import { withClient } from "../sluice.mjs"

export default growth({
  name: "growth-rows",
  title: "Blobs of ever more bytes, 20 MB of them at most",
  axis: "bytes",
  label: "throughput",
  unit: "MB/s",
  better: "high",
  sizes: [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000],
  run: (bytes) =>
    withClient({ filename: ":memory:" }, (sql) => {
      const rows = Math.min(100_000, Math.max(2, 20_000_000 / bytes))
      return Effect.gen(function* () {
        yield* sql`create table blobs (bytes blob)`
        yield* sql`insert into blobs with recursive c(i) as (select 1 union all select i + 1 from c where i < ${rows})
                   select randomblob(${bytes}) from c`
        const ms = yield* Effect.promise(() => fastest(4, () => Effect.runPromise(sql`select bytes from blobs`)))
        return { figure: (rows * bytes) / 1000 / ms }
      })
    })
})
