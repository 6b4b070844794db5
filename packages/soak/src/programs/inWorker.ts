/** What `runInWorker` runs where SQLite is. Each answers how many of its rows it sees then. */
import type { SqliteClient } from "@sluice/sqlite"

type Rows = ReadonlyArray<number>

const insert = (database: SqliteClient.WorkerDatabase, rows: Rows): void => {
  for (const id of rows) {
    database.run("insert into ledger (id) values (?)", [id])
  }
}

const seen = (database: SqliteClient.WorkerDatabase, rows: Rows): number =>
  database.all<{ c: number }>(`select count(*) as c from ledger where id in (${rows.join(", ")})`)[0]?.c ?? NaN

/** Row by row: each stays by itself, or belongs to the transaction around. */
export const singly = (database: SqliteClient.WorkerDatabase, rows: Rows): number => {
  insert(database, rows)
  return seen(database, rows)
}

/** In a transaction of its own, which waits for a promise before its end. */
export const together = async (database: SqliteClient.WorkerDatabase, rows: Rows): Promise<number> => {
  database.exec("begin immediate")
  insert(database, rows)
  await new Promise((resolve) => setTimeout(resolve, 1))
  const count = seen(database, rows)
  database.exec("commit")
  return count
}
