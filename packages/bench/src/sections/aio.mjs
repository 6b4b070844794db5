/** APSW's aio workload; `--prefetch` sets the rows of a batch (64). */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { SqlClient } from "@sluice/sql"
import { Effect, Stream } from "effect"
import { connect } from "../aio/plainWorker.mjs"
import { create, enough, insert, length, source, toArray } from "../aio/workload.mjs"
import { format } from "../harness.mjs"
import { timed } from "../measure.mjs"
import { withClient } from "../sluice.mjs"

/** One run, cold: the workload is the same for everyone, and so is the warming up in it. */
const measure = async (work) => {
  const { cpuMs, mainCpuMs, ms, result } = await timed(work)
  if (!(result > enough)) {
    throw new Error(`the table ended with ${result} rows`)
  }
  return { ms, cpuMs, mainCpuMs, rows: result }
}

const sluice = (collect) => (options) =>
  withClient({ filename: ":memory:" }, (sql) => {
    const work = Effect.gen(function* () {
      yield* Effect.forEach(create, (text) => sql.unsafe(text), { discard: true })
      for (;;) {
        const [{ n }] = yield* sql.unsafe(length)
        if (n > enough) {
          return n
        }
        yield* sql.many(insert, yield* collect(sql.unsafe(source).stream))
      }
    }).pipe(SqlClient.withPrefetch(options.prefetch ?? 64))
    return Effect.promise(() => measure(() => Effect.runPromise(work)))
  })

/** A function per row. */
const oneByOne = (stream) =>
  Effect.suspend(() =>
    Stream.runFold(stream, [], (rows, row) => {
      rows.push(toArray(row))
      return rows
    })
  )

/** An Effect per row. */
const effectPerRow = (stream) =>
  Effect.suspend(() => {
    const rows = []
    return Effect.as(
      Stream.runForEach(stream, (row) => Effect.sync(() => rows.push(toArray(row)))),
      rows
    )
  })

const mainThread = (inTransaction) => async () => {
  const { Database } = await import("../../peers/index.mjs")
  const db = new Database(":memory:")
  return measure(async () => {
    create.forEach((text) => db.exec(text))
    const [count, select, add] = [length, source, insert].map((text) => db.prepare(text))
    const append = (rows) => {
      for (const row of rows) {
        add.run(row)
      }
    }
    const write = inTransaction ? db.transaction(append) : append
    for (;;) {
      const { n } = count.get()
      if (n > enough) {
        return n
      }
      const rows = []
      for (const row of select.iterate()) {
        rows.push(toArray(row))
      }
      write(rows)
    }
  })
}

const plainWorker = (write) => async (options) => {
  const db = connect()
  await db.call("exec", "select 1")
  const metrics = await measure(async () => {
    for (const text of create) {
      await db.call("exec", text)
    }
    for (;;) {
      const { n } = await db.call("get", length)
      if (n > enough) {
        return n
      }
      const rows = []
      for await (const row of db.rows(source, options.prefetch ?? 64)) {
        rows.push(toArray(row))
      }
      await write(db, rows)
    }
  })
  await db.close()
  return metrics
}

const inOneMessage = (db, rows) => db.call("runMany", insert, rows)

const rowByRow = async (db, rows) => {
  for (const row of rows) {
    await db.call("run", insert, row)
  }
}

const script = fileURLToPath(new URL("../aio/workload.py", import.meta.url))

const python = (argument) => {
  // The system's own Python after the one on the path: that is where a distribution puts its packages.
  for (const command of ["python3", "/usr/bin/python3"]) {
    const { status, stdout } = spawnSync(command, [script, argument], { encoding: "utf8" })
    if (status === 0) {
      return stdout.trim()
    }
  }
  return undefined
}

const names = {
  ours: "Sluice, rows one by one",
  effects: "Sluice, an Effect per row",
  main: "better-sqlite3, main thread",
  mainLoose: "better-sqlite3, main thread, no transaction",
  batched: "plain worker, inserts in one message",
  single: "plain worker, a message per insert",
  aiosqlite: "aiosqlite"
}

/** The version line of aiosqlite, or undefined when it cannot be had. */
export const aiosqlite = () => python("--version")

export default {
  name: "aio",
  title: "APSW's aio workload: to 300,000 rows, reading 1,000 one by one and appending them",
  cells: () => [
    { name: names.ours, run: sluice(oneByOne) },
    { name: names.effects, run: sluice(effectPerRow) },
    { name: names.main, run: mainThread(true) },
    { name: names.mainLoose, run: mainThread(false) },
    { name: names.batched, run: plainWorker(inOneMessage) },
    // So slow, and so far from any bar, that once is enough.
    { name: names.single, run: plainWorker(rowByRow), once: true },
    ...(aiosqlite() === undefined
      ? []
      : [{ name: names.aiosqlite, run: async ({ prefetch = 64 }) => JSON.parse(python(String(prefetch))) }])
  ],
  metrics: [
    { key: "ms", label: "wall", unit: "ms", reference: names.main },
    { key: "cpuMs", label: "CPU", unit: "ms", spread: false },
    { key: "mainCpuMs", label: "CPU of the loop", unit: "ms", spread: false }
  ],
  bars: ({ ratio }) => {
    const [main, worker, python] = [names.main, names.batched, names.aiosqlite].map((to) => ratio(names.ours, to, "ms"))
    return [
      { bar: "faster than better-sqlite3 on the main thread", figure: `${format(main)} × its time`, met: main < 1 },
      { bar: "faster than aiosqlite", figure: `${format(python)} × its time`, met: python < 1 },
      {
        bar: "under half of a plain worker (inserts in one message)",
        figure: `${format(worker)} × its time`,
        met: worker < 0.5
      }
    ]
  }
}
