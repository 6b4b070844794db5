/**
 * The process that is killed: fibers that commit as fast as they can, and tell each commit before they go on. What it is to
 * do is its first argument; a line `+unit` is told for each commit that was acknowledged, `!words` for what must not be.
 */
import { writeSync } from "node:fs"
import { SqliteClient } from "@sluice/sqlite"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { type Commits, rowsOf } from "../commits.js"
import { rowId } from "../ledger.js"
import { random } from "../random.js"
import { accounts, total } from "../tables.js"

const task = JSON.parse(process.argv[2] ?? "{}") as Commits

/** In one piece, and gone before this returns. */
const tell = (line: string): Effect.Effect<void> => Effect.sync(() => void writeSync(1, `${line}\n`))

const commits = (sql: SqliteClient.SqliteClient, fiber: number) =>
  Effect.gen(function* () {
    const next = random(task.seed).fork(fiber)
    for (let unit = task.base + 1 + fiber; ; unit += task.fibers) {
      const rows = Array.from({ length: rowsOf(unit) }, (_, i) => [rowId(unit, i)])
      const [from, to] = [next.between(0, accounts), next.between(0, accounts)]
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update accounts set balance = balance - 1 where id = ${from}`
          yield* sql.withTransaction(sql.many("insert into ledger (id) values (?)", rows))
          yield* sql`update accounts set balance = balance + 1 where id = ${to}`
          yield* sql`update counter set n = n + 1`
          if (next.chance(0.1)) {
            // More than fits into a cache of pages: then the file is written before the commit.
            yield* sql`update ballast set bytes = zeroblob(${next.between(10_000, 400_000)})`
          }
        })
      )
      yield* tell(`+${unit}`)
    }
  })

const reads = (sql: SqliteClient.SqliteClient) =>
  Effect.gen(function* () {
    const [row] = yield* sql<{ s: number }>`select sum(balance) as s from accounts`
    const count = yield* Stream.runCount(sql`select id from ledger limit 500`.stream)
    if (row?.s !== total) {
      yield* tell(`!the accounts held ${row?.s} instead of ${total}, beside ${count} rows`)
    }
  }).pipe(Effect.repeat(Schedule.forever))

const program = Effect.gen(function* () {
  const sql = yield* SqliteClient.SqliteClient
  yield* tell("ready")
  yield* Effect.all(
    [
      ...Array.from({ length: task.fibers }, (_, i) => commits(sql, i)),
      ...Array.from({ length: task.readers }, () => reads(sql))
    ],
    { concurrency: "unbounded", discard: true }
  )
}).pipe(
  Effect.provide(SqliteClient.layer(task.config)),
  Effect.catchAllCause((cause) => tell(`!${Cause.pretty(cause).replaceAll("\n", " ")}`))
)

Effect.runFork(program)
