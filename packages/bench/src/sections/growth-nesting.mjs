/** Transactions in transactions: a BEGIN, then savepoints. */
import { Effect } from "effect"
import { fastest, growth } from "../growth.mjs"
import { withClient } from "../sluice.mjs"

export default growth({
  name: "growth-nesting",
  title: "A statement in ever deeper transactions",
  axis: "levels",
  label: "per level",
  unit: "µs",
  sizes: [1, 2, 5, 10, 20, 50],
  run: (depth) =>
    withClient({ filename: ":memory:" }, (sql) =>
      Effect.gen(function* () {
        yield* sql`create table t (n)`
        const nested = Array.from({ length: depth }).reduce(
          (self) => sql.withTransaction(self),
          Effect.asVoid(sql`insert into t values (1)`)
        )
        const times = Math.ceil(500 / depth)
        const run = Effect.replicateEffect(nested, times, { discard: true })
        const ms = yield* Effect.promise(() => fastest(4, () => Effect.runPromise(run)))
        return { figure: (ms * 1_000) / times / depth }
      })
    )
})
