/** Loading: one transaction per table, batches of rows through one prepared statement. */
import { SqlClient } from "@sluice/sql"
import { Chunk, Effect, Stream } from "effect"
import { tables, type Table } from "./data.js"
import * as Progress from "./progress.js"
import * as Report from "./report.js"

const loadTable = (table: Table, progress: Progress.Progress) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`create table ${table.name}(${table.columns.join(", ")})`)
    const insert = `insert into ${table.name} values (${table.columns.map(() => "?").join(", ")})`
    yield* Stream.fromIterable(table.rows).pipe(
      Stream.grouped(5000),
      Stream.runForEach((batch) =>
        Effect.zipRight(sql.many(insert, Chunk.toReadonlyArray(batch)), progress.advance(batch.length))
      ),
      sql.withTransaction
    )
  })

export const load = Effect.gen(function* () {
  yield* Report.heading("Load", "flights of 2001, batch by batch, each table in one transaction")
  const all = yield* tables
  const rows = all.reduce((sum, table) => sum + table.rows.length, 0)
  const [took] = yield* Progress.make(rows).pipe(
    Effect.flatMap((progress) => Effect.forEach(all, (table) => loadTable(table, progress), { discard: true })),
    Effect.timed,
    Effect.scoped
  )
  for (const table of all) {
    yield* Report.line(table.name, `${Report.whole(table.rows.length)} rows`)
  }
  yield* Report.line("together", Report.time(took), `${Report.whole(rows)} rows, ${Report.rate(rows, took)}`)
})
