/** Opening, the first query, closing: what a short program or a test pays. */
import { Effect } from "effect"
import { fastest } from "../growth.mjs"
import { timed } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

/** The first includes the loading of what is used; then the process is warm. */
const measure = async (load, once) => {
  const { ms: first } = await timed(async () => once(await load()))
  const loaded = await load()
  return { first, again: await fastest(20, () => once(loaded)) }
}

const ours = () =>
  measure(
    async () => {},
    () => withClient({ filename: ":memory:" }, (sql) => Effect.asVoid(sql`select 1`))
  )

const upstream = () =>
  measure(
    () => import("../../peers/index.mjs"),
    ({ Effect: E, SqlClient, SqliteClient }) =>
      E.runPromise(
        E.flatMap(SqlClient.SqlClient, (sql) => sql`select 1`).pipe(
          E.provide(SqliteClient.layer({ filename: ":memory:" }))
        )
      )
  )

const better = () =>
  measure(
    () => import("../../peers/index.mjs"),
    async ({ Database }) => {
      const db = new Database(":memory:")
      db.prepare("select 1").get()
      db.close()
    }
  )

export default {
  name: "startup",
  title: "Open, one query, close",
  cells: () => [
    { name: "Sluice", run: ours },
    { name: "@effect/sql-sqlite-node", run: upstream },
    { name: "better-sqlite3", run: better }
  ],
  metrics: [
    { key: "first", label: "first time", unit: "ms" },
    { key: "again", label: "again", unit: "ms" }
  ],
  plot: { kind: "bars", metric: "again", title: "Open, one query, close: ms (shorter is better)" }
}
