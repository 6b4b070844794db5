/** Rows of ever more columns. */
import { Effect } from "effect"
import { fastest, growth } from "../growth.mjs"
import { withClient } from "../sluice.mjs"

const values = 200_000

export default growth({
  name: "growth-columns",
  title: "200,000 integers as rows of ever more columns",
  axis: "columns",
  label: "per value",
  unit: "ns",
  sizes: [1, 10, 100, 1_000],
  run: (columns) =>
    withClient({ filename: ":memory:" }, (sql) => {
      const names = Array.from({ length: columns }, (_, i) => `i + ${i} as c${i}`).join(", ")
      const text = `with recursive c(i) as (select 1 union all select i + 1 from c where i < ${values / columns})
                    select ${names} from c`
      return Effect.promise(async () => ({
        figure: ((await fastest(5, () => Effect.runPromise(sql.unsafe(text)))) * 1e6) / values
      }))
    })
})
