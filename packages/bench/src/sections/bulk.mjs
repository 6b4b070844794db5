/** 100,000 rows into a file. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Stream } from "effect"
import { median, timed } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

const total = 100_000
const create = "create table people (id integer primary key, name text not null, email text not null, age int)"
const insert = "insert into people values (?, ?, ?, ?)"
const row = (i) => [i, `the name of ${i}`, `person${i}@example.com`, i % 90]
const rows = Array.from({ length: total }, (_, i) => row(i))

/** `use` gets a file's name and answers what fills the table, empty each time. */
const measure = async (use) => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"))
  try {
    return await use(join(directory, "bulk.db"), async (fill, clear) => {
      const [rate, mainCpu] = [[], []]
      for (let i = 0; i < 4; i++) {
        await clear()
        globalThis.gc()
        const { mainCpuMs, ms } = await timed(fill)
        if (i > 0) {
          rate.push(total / ms)
          mainCpu.push((mainCpuMs * 1e6) / total)
        }
      }
      return { rate: median(rate), mainCpu: median(mainCpu) }
    })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const sluice = (source) => () =>
  measure((filename, repeat) =>
    withClient({ filename }, (sql) =>
      Effect.gen(function* () {
        yield* sql.unsafe(create)
        return yield* Effect.promise(() =>
          repeat(
            () => Effect.runPromise(sql.withTransaction(sql.many(insert, source()))),
            () => Effect.runPromise(sql`delete from people`)
          )
        )
      })
    )
  )

const main = () =>
  measure(async (filename, repeat) => {
    const { Database } = await import("../../peers/index.mjs")
    const db = new Database(filename)
    db.pragma("journal_mode = wal")
    db.pragma("synchronous = normal")
    db.exec(create)
    const add = db.prepare(insert)
    const all = db.transaction(() => rows.forEach((values) => add.run(values)))
    const metrics = await repeat(
      async () => all(),
      async () => db.exec("delete from people")
    )
    db.close()
    return metrics
  })

const upstream = () =>
  measure(async (filename, repeat) => {
    const { Effect: E, SqlClient, SqliteClient } = await import("../../peers/index.mjs")
    const objects = rows.map(([id, name, email, age]) => ({ id, name, email, age }))
    const chunks = Array.from({ length: total / 200 }, (_, i) => objects.slice(i * 200, i * 200 + 200))
    return E.runPromise(
      E.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql.unsafe(create)
        const fill = sql.withTransaction(
          E.forEach(chunks, (chunk) => sql`insert into people ${sql.insert(chunk)}`, { discard: true })
        )
        return yield* E.promise(() =>
          repeat(
            () => E.runPromise(fill),
            () => E.runPromise(sql`delete from people`)
          )
        )
      }).pipe(E.provide(SqliteClient.layer({ filename })))
    )
  })

const reference = "better-sqlite3, main thread, one transaction"

export default {
  name: "bulk",
  title: "100,000 rows into a file, in one transaction",
  cells: () => [
    { name: "Sluice, many with an array", run: sluice(() => rows) },
    { name: "Sluice, many with a Stream", run: sluice(() => Stream.map(Stream.range(0, total - 1), row)) },
    { name: reference, run: main },
    { name: "@effect/sql-sqlite-node, 200 rows to a statement", run: upstream }
  ],
  metrics: [
    { key: "rate", label: "rows", unit: "k/s", better: "high", reference },
    { key: "mainCpu", label: "main-thread CPU per row", unit: "ns", spread: false }
  ],
  plot: { kind: "bars", metric: "rate", title: "Thousands of rows inserted per second (longer is better)" }
}
