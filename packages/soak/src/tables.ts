/** The tables of every scenario, made in words that both databases take. */
import { DatabaseSync } from "@photostructure/sqlite"
import type { Ledger } from "./ledger.js"

export const accounts = 8
export const total = accounts * 1_000
export const numbers = 400

const list = (count: number, row: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => row(n)).join(", ")

export const tables: ReadonlyArray<string> = [
  "create table ledger (id bigint not null primary key)",
  "create table accounts (id int not null primary key, balance int not null)",
  "create table counter (n int not null)",
  "create table numbers (n int not null primary key)",
  `insert into accounts (id, balance) values ${list(accounts, (n) => `(${n}, 1000)`)}`,
  "insert into counter (n) values (0)",
  `insert into numbers (n) values ${list(numbers, (n) => `(${n + 1})`)}`
]

/** What an auditor finds in a file: read by SQLite itself, with nothing of the toolkit in between. */
export interface Audit {
  readonly integrity: string
  readonly ledger: ReadonlyArray<number>
  readonly counter: number
  readonly balance: number
}

type Database = InstanceType<typeof DatabaseSync>

/** To be used when nobody else in this process has the file open: another copy of SQLite would drop its locks. */
const withFile = <A>(path: string, look: (database: Database) => A): A => {
  const database = new DatabaseSync(path)
  try {
    return look(database)
  } finally {
    database.close()
  }
}

/** By a function, because the statements of `prepare` keep the file open until they are collected. */
const columns = (database: Database, texts: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<unknown>> => {
  let told: Array<unknown> = []
  database.function("tell", (value: unknown) => {
    told.push(value)
    return null
  })
  return texts.map((text) => {
    told = []
    database.exec(text)
    return told
  })
}

export const audit = (path: string): Audit =>
  withFile(path, (database) => {
    const [integrity, ledger, counter, balance] = columns(database, [
      "select tell(integrity_check) from pragma_integrity_check",
      "select tell(id) from ledger",
      "select tell(n) from counter",
      "select tell(sum(balance)) from accounts"
    ]) as [Array<string>, Array<number>, Array<number>, Array<number>]
    return { integrity: integrity.join("; "), ledger, counter: counter[0] ?? NaN, balance: balance[0] ?? NaN }
  })

/** What is wrong with a file, given what the program was told. */
export const problems = (path: string, ledger: Ledger): ReadonlyArray<string> => {
  const found = audit(path)
  return [
    ...(found.integrity === "ok" ? [] : [`integrity_check: ${found.integrity}`]),
    ...(found.balance === total ? [] : [`the accounts hold ${found.balance} instead of ${total}`]),
    ...ledger.compare(found.ledger, found.counter)
  ]
}
