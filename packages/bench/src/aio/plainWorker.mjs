/**
 * A plain worker thread with better-sqlite3, as one writes it in an afternoon: a message for every call, matched to its
 * promise by a number. Rows come `prefetch` at a time, one round trip each.
 */
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import { fileURLToPath } from "node:url"

/** The main thread's side. */
export const connect = () => {
  const worker = new Worker(fileURLToPath(import.meta.url))
  const waiting = new Map()
  let ids = 0
  worker.on("message", ({ id, error, value }) => {
    const { reject, resolve } = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) {
      resolve(value)
    } else {
      reject(new Error(error))
    }
  })
  const call = (op, ...args) =>
    new Promise((resolve, reject) => {
      const id = ids++
      waiting.set(id, { resolve, reject })
      worker.postMessage({ id, op, args })
    })
  return {
    call,
    close: () => worker.terminate(),
    rows: async function* (text, prefetch) {
      const cursor = await call("open", text)
      for (;;) {
        const { done, rows } = await call("fetch", cursor, prefetch)
        yield* rows
        if (done) {
          return
        }
      }
    }
  }
}

const serve = async () => {
  const { Database } = await import("../../peers/index.mjs")
  const db = new Database(":memory:")
  const statements = new Map()
  const prepare = (text) => {
    let statement = statements.get(text)
    if (statement === undefined) {
      statement = db.prepare(text)
      statements.set(text, statement)
    }
    return statement
  }
  const cursors = new Map()
  let ids = 0
  const operations = {
    exec: (text) => void db.exec(text),
    get: (text) => prepare(text).get(),
    run: (text, params) => prepare(text).run(params).changes,
    runMany: (text, rows) => {
      const statement = prepare(text)
      db.transaction(() => {
        for (const row of rows) {
          statement.run(row)
        }
      })()
    },
    open: (text) => {
      cursors.set(ids, prepare(text).iterate())
      return ids++
    },
    fetch: (cursor, count) => {
      const iterator = cursors.get(cursor)
      const rows = []
      while (rows.length < count) {
        const next = iterator.next()
        if (next.done) {
          cursors.delete(cursor)
          return { rows, done: true }
        }
        rows.push(next.value)
      }
      return { rows, done: false }
    }
  }
  parentPort.on("message", ({ args, id, op }) => {
    try {
      parentPort.postMessage({ id, value: operations[op](...args) })
    } catch (error) {
      parentPort.postMessage({ id, error: error.message })
    }
  })
}

if (!isMainThread) {
  await serve()
}
