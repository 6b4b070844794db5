/** What the tests run in workers: functions, aggregates, and programs over the database. Types of it are all that is imported. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { SqliteClient } from "@sluice/sqlite"

type Database = SqliteClient.WorkerDatabase

export class OutOfStock extends Error {
  readonly code = "E_STOCK"
}

export const slug = (title: string): string => title.toLowerCase().replaceAll(" ", "-")

export const plus = (a: number, b: number): number => a + b

export const every = (...values: ReadonlyArray<unknown>): number => values.length

export const same = (value: SqliteClient.SqlValue): SqliteClient.SqlValue => value

export const refuse = (what: string): string => {
  throw new OutOfStock(`no ${what}`)
}

/** Declared as what it is not. */
export const lie = (): string => ({}) as string

export const nan = (): number => Number.NaN

export const lone = (): string => "a\ud800b"

export const huge = (): bigint => 2n ** 63n

export const notFunction = 7

export const product = {
  initial: () => 1,
  step: (state: number, value: number) => state * value,
  final: (state: number) => state
}

export const total = {
  initial: () => 0,
  step: (state: number, value: number) => state + value,
  inverse: (state: number, value: number) => state - value,
  value: (state: number) => state,
  final: (state: number) => state
}

export const fragile = {
  initial: () => 0,
  step: (_state: number, _value: number): number => {
    throw new OutOfStock("step")
  },
  final: (): number => {
    throw new Error("must not be asked")
  }
}

export const fill = (database: Database, table: string, count: number) => {
  database.exec("begin")
  database.exec(`create table ${table}(id integer primary key, name text)`)
  let last = 0n
  for (let i = 1; i <= count; i++) {
    last = database.run(`insert into ${table} values (?, ?)`, [i, `name ${i}`]).lastInsertRowid
  }
  const { changes } = database.run(`update ${table} set name = upper(name) where id <= ?`, [2])
  database.exec("commit")
  return { last, changes, rows: database.all<{ id: number; name: string }>(`select * from ${table} where id < 3`) }
}

export const firstNames = (database: Database, table: string, count: number): Array<string> => {
  const names: Array<string> = []
  for (const { name } of database.iterate<{ name: string }>(`select name from ${table}`)) {
    if (names.push(name) === count) break
  }
  return names
}

export const echo = (_database: Database, value: unknown) => value

export const fail = (_database: Database, what: string): never => {
  throw new OutOfStock(what)
}

export const twice = (database: Database) => {
  database.run("insert into unique_names values ('a')")
  database.run("insert into unique_names values ('a')")
}

export const begun = (database: Database) => {
  database.exec("begin; create table begun(n)")
  return 1
}

export const notClonable = () => () => 1

export const later = (database: Database, millis: number): Promise<number> =>
  new Promise<void>((resolve) => setTimeout(resolve, millis)).then(
    () => database.all<{ n: number }>("select 7 as n")[0]!.n
  )

export const laterRefused = () => Promise.reject(new OutOfStock("later"))

export const never = () => new Promise<never>(() => {})

let kept: Database | undefined

export const keep = (database: Database) => {
  kept = database
}

export const useKept = () => kept!.all("select 1")

export const endless = (database: Database) =>
  database.all("with recursive spin(n) as (select 1 union all select n + 1 from spin) select n from spin where n < 0")

export const calls = (database: Database, text: string) => database.all(text)

/** Keeps the processor busy behind the text, where nothing stops it. */
export const busyAfter = (database: Database, text: string, millis: number) => {
  database.exec(text)
  const end = performance.now() + millis
  while (performance.now() < end);
}

export const failAfter = (database: Database, text: string) => {
  database.exec(text)
  throw new OutOfStock("after")
}

/** Bytes that the worker holds, without what nobody needs any more: buffers are freed some time after they were found. */
export const held = async (): Promise<number> => {
  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc") as () => void
  let least = Infinity
  for (let tries = 0; tries < 10; tries++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    least = Math.min(least, arrayBuffers + heapUsed)
  }
  return least
}

export const fillPairs = (database: Database, from: number, to: number) => {
  for (let n = from; n <= to; n++) database.run("insert into t values (?, ?)", [n, n])
}

export const fillAndUndo = (database: Database) => {
  database.exec("begin; insert into t values (100, 100); rollback; begin; insert into t values (101, 101); commit")
  database.exec("update t set v = -v where id = 101")
}
