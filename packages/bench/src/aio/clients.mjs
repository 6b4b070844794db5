/** The aio workload with every client: each is a function of the options that answers how it went. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { SqlClient } from "@sluice/sql"
import { Effect, Stream } from "effect"
import { timed } from "../measure.mjs"
import { withClient } from "../sluice.mjs"
import { connect } from "./plainWorker.mjs"
import { create, enough, insert, length, source, toArray } from "./workload.mjs"

/** One run, cold: the workload is the same for everyone, and so is the warming up in it. */
const measure = async (work) => {
  const { cpuMs, mainCpuMs, ms, result } = await timed(work)
  if (!(result > enough)) {
    throw new Error(`the table ended with ${result} rows`)
  }
  return { ms, cpuMs, mainCpuMs, otherCpuMs: cpuMs - mainCpuMs, rows: result }
}

/** Calls in the order of the workload; each may answer a promise. */
const loop = async ({ append, count, exec, read }) => {
  for (const text of create) {
    await exec(text)
  }
  for (;;) {
    const n = await count()
    if (n > enough) {
      return n
    }
    await append(await read())
  }
}

const sluice = (collect, readAhead) => (options) =>
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
    }).pipe(SqlClient.withPrefetch(options.prefetch ?? 64), SqlClient.withReadAhead(readAhead))
    return Effect.promise(() => measure(() => Effect.runPromise(work)))
  })

/** A function per row. */
const collectRows = (stream) =>
  Effect.suspend(() =>
    Stream.runFold(stream, [], (rows, row) => {
      rows.push(toArray(row))
      return rows
    })
  )

export const oneByOne = sluice(collectRows, false)
export const onePageAhead = sluice(collectRows, true)

/** An Effect per row. */
export const effectPerRow = sluice(
  (stream) =>
    Effect.suspend(() => {
      const rows = []
      return Effect.as(
        Stream.runForEach(stream, (row) => Effect.sync(() => rows.push(toArray(row)))),
        rows
      )
    }),
  false
)

/** better-sqlite3, or libsql with the same calls. `inTransaction`: each thousand inserts in one. */
const synchronous = (open, inTransaction) => async () => {
  const db = await open()
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

const openBetter = async () => new (await import("../../peers/index.mjs")).Database(":memory:")
const openLibsql = async () => new (await import("../../peers/native.mjs")).Libsql(":memory:")

export const better = synchronous(openBetter, true)
export const betterWithoutTransaction = synchronous(openBetter, false)
export const libsql = synchronous(openLibsql, true)

/** node-sqlite3 works on the thread pool of Node; rows come all at once, inserts one call each. */
export const nodeSqlite3 = async () => {
  const { sqlite3 } = await import("../../peers/native.mjs")
  const db = await new Promise((resolve, reject) => {
    const opened = new sqlite3.Database(":memory:", (error) => (error ? reject(error) : resolve(opened)))
  })
  const call = (on, method, ...args) =>
    new Promise((resolve, reject) => {
      on[method](...args, (error, value) => (error ? reject(error) : resolve(value)))
    })
  const metrics = await measure(async () => {
    let add
    return loop({
      exec: (text) => call(db, "exec", text),
      count: async () => (await call(db, "get", length)).n,
      read: async () => (await call(db, "all", source)).map(toArray),
      append: async (rows) => {
        add ??= db.prepare(insert)
        await call(db, "exec", "begin")
        // In order and without waiting in between: that is its fastest way.
        await Promise.all(rows.map((row) => call(add, "run", row)))
        await call(db, "exec", "commit")
      }
    }).finally(() => add !== undefined && call(add, "finalize"))
  })
  await call(db, "close")
  return metrics
}

/** It has no stream: all rows at once. Inserts row by row in a transaction, or a hundred rows to a statement. */
export const effectSql = async () => {
  const { Effect: E, SqlClient: Sql, SqliteClient } = await import("../../peers/index.mjs")
  const work = E.gen(function* () {
    const sql = yield* Sql.SqlClient
    yield* E.forEach(create, (text) => sql.unsafe(text), { discard: true })
    for (;;) {
      const [{ n }] = yield* sql.unsafe(length)
      if (n > enough) {
        return n
      }
      const rows = yield* sql.unsafe(source)
      const chunks = Array.from({ length: Math.ceil(rows.length / 100) }, (_, i) => rows.slice(i * 100, i * 100 + 100))
      yield* sql.withTransaction(
        E.forEach(chunks, (chunk) => sql`insert into foo ${sql.insert(chunk)}`, { discard: true })
      )
    }
  }).pipe(E.provide(SqliteClient.layer({ filename: ":memory:" })))
  return measure(() => E.runPromise(work))
}

const plainWorker = (write) => async (options) => {
  const db = connect()
  await db.call("exec", "select 1")
  const metrics = await measure(() =>
    loop({
      exec: (text) => db.call("exec", text),
      count: async () => (await db.call("get", length)).n,
      read: async () => {
        const rows = []
        for await (const row of db.rows(source, options.prefetch ?? 64)) {
          rows.push(toArray(row))
        }
        return rows
      },
      append: (rows) => write(db, rows)
    })
  )
  await db.close()
  return metrics
}

export const plainWorkerBatched = plainWorker((db, rows) => db.call("runMany", insert, rows))

export const plainWorkerSingle = plainWorker(async (db, rows) => {
  for (const row of rows) {
    await db.call("run", insert, row)
  }
})

const script = fileURLToPath(new URL("workload.py", import.meta.url))

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

/** The version line of aiosqlite, or undefined when it cannot be had. */
export const aiosqliteVersion = () => python("--version")

export const aiosqlite = async ({ prefetch = 64 }) => {
  const metrics = JSON.parse(python(String(prefetch)))
  return { ...metrics, otherCpuMs: metrics.cpuMs - metrics.mainCpuMs }
}
