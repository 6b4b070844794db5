/** What the scenarios on SQLite files share. */
import { join } from "node:path"
import type { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Ledger } from "../ledger.js"
import { lives } from "../life.js"
import type { Place } from "../life/place.js"
import type { Soak } from "../soak.js"
import { problems, tables } from "../tables.js"

/** A client in the scope around. */
export const open = (config: SqliteClient.SqliteClientConfig) =>
  Effect.map(Layer.build(SqliteClient.layer(config)), (context) => Context.get(context, SqliteClient.SqliteClient))

/** Can be stopped on both engines: the portable one stops between rows only. */
export const endless =
  "with recursive spin(n) as (select 1 union all select n + 1 from spin) select n from spin where n % 1000 = 0"

const program = new URL("../programs/inWorker.js", import.meta.url)

/** `expected`: the failures of the trouble. One that ends a transaction may be told by its next statement. */
export const place = (sql: SqliteClient.SqliteClient, expected?: (failure: SqlFailure.SqlFailure) => boolean) =>
  Effect.map(sql.workerModule<typeof import("../programs/inWorker.js")>(program), ({ runInWorker }): Place => ({
    sql,
    endless,
    alone: true,
    expected: (failure) => expected !== undefined && (failure.reason === "TransactionGone" || expected(failure)),
    manyIsWhole: true,
    seesItsCommits: true,
    batch: sql.batch,
    inWorker: runInWorker
  }))

/** Lives on a file, at a place of their own. */
export const livesOn = (
  sql: SqliteClient.SqliteClient,
  ledger: Ledger,
  soak: Soak,
  fibers: number,
  trouble: { readonly expected?: (failure: SqlFailure.SqlFailure) => boolean; readonly over?: () => boolean } = {}
) => Effect.flatMap(place(sql, trouble.expected), (here) => lives(here, ledger, soak, fibers, trouble.over))

export const fileIn = (soak: Soak): string => join(soak.directory, "soak.db")

/** Makes the tables. */
export const setUp = (sql: SqliteClient.SqliteClient) =>
  sql.withTransaction(Effect.forEach(tables, (text) => sql.unsafe(text), { discard: true }))

/** A client is opened, works, is closed; then its file is compared with what it was told. */
export const onFile = (
  soak: Soak,
  config: SqliteClient.SqliteClientConfig,
  work: (sql: SqliteClient.SqliteClient, ledger: Ledger) => Effect.Effect<void, unknown>
): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const ledger = new Ledger()
    const client = Effect.gen(function* () {
      const sql = yield* open(config)
      yield* setUp(sql)
      yield* work(sql, ledger)
      yield* idle(soak, sql)
    })
    yield* Effect.scoped(client)
    compare(soak, config.filename, ledger)
  })

/** Nobody holds a session or waits for one. */
export const idle = (soak: Soak, sql: SqliteClient.SqliteClient) =>
  Effect.map(sql.statistics, (pools) => {
    for (const { leases, lost, name, waiting } of pools) {
      soak.count("sessions lost", lost)
      if (leases > 0 || waiting > 0) {
        soak.breach(`the pool of ${name} sessions still has ${leases} leases and ${waiting} who wait`)
      }
    }
  })

export const compare = (soak: Soak, filename: string, ledger: Ledger): void => {
  for (const problem of problems(filename, ledger)) {
    soak.breach(problem)
  }
  soak.count("units compared", ledger.tally("there") + ledger.tally("absent") + ledger.tally("either"))
  soak.count("units of unknown outcome", ledger.tally("either"))
}
