/** The kinds of transactions: what is undone leaves nothing, and what was committed is there as a whole. */
import { SqlClient, SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { rowId } from "../ledger.js"
import { accounts } from "../tables.js"
import { insertRow, nothing, ofDeadline, OnPurpose, type Trial } from "./trial.js"

const retry = Schedule.intersect(Schedule.exponential(5), Schedule.recurs(5))

/** Savepoints within a transaction; answers the rows that they leave. Some give themselves up, some are stopped. */
const nested = (
  trial: Trial,
  unit: number,
  from: number,
  depth: number,
  stopping: () => void
): Effect.Effect<ReadonlyArray<number>, unknown> =>
  Effect.gen(function* () {
    const { next, place, soak } = trial
    const rows: Array<number> = [rowId(unit, from)]
    soak.count("savepoints")
    const undone = next.chance(0.3)
    const stopped = next.chance(0.1)
    const body = Effect.gen(function* () {
      yield* insertRow(place.sql, rowId(unit, from))
      if (depth > 0) {
        rows.push(...(yield* nested(trial, unit, from + 10, depth - 1, stopping)))
      }
      if (stopped) {
        stopping()
        yield* SqlClient.withDeadline(next() * 4)(place.sql.unsafe(place.endless))
      }
      if (undone) {
        return yield* new OnPurpose()
      }
      return rows
    })
    return yield* place.sql.withTransaction(body).pipe(
      Effect.catchIf(
        (error) => error instanceof OnPurpose || (stopped && SqlFailure.is("StatementTimeout")(error)),
        () => Effect.succeed([])
      )
    )
  })

/** Between two accounts; the ledger's rows in the same transaction. */
export const transfer = (trial: Trial) =>
  Effect.gen(function* () {
    const { ledger, next, place, soak } = trial
    const { sql } = place
    const unit = ledger.begin()
    const from = next.between(0, accounts)
    const to = (from + next.between(1, accounts)) % accounts
    const amount = next.between(1, 10)
    const undone = next.chance(0.15)
    const depth = next.chance(0.5) ? next.between(0, 5) : -1
    let rows: ReadonlyArray<number> = []
    let ended = false
    let committed = false
    let stopped = false
    const body = Effect.gen(function* () {
      ended = false
      yield* sql`update accounts set balance = balance - ${amount} where id = ${from}`
      yield* insertRow(sql, rowId(unit, 0))
      const inner = depth < 0 ? [] : yield* nested(trial, unit, 1, depth, () => (stopped = true))
      yield* sql`update accounts set balance = balance + ${amount} where id = ${to}`
      yield* sql.afterCommit(Effect.sync(() => void (committed = true)))
      if (undone) {
        return yield* new OnPurpose()
      }
      rows = [rowId(unit, 0), ...inner]
      ended = true
    })
    soak.count("transactions")
    const exit = yield* trial.chance("a transaction", sql.transaction({ retry })(body), () =>
      stopped ? ofDeadline : nothing
    )
    trial.settle(unit, rows, exit, { ended, committed })
  })

/** Reads and writes back one more: two of them must never read the same. */
export const counter = (trial: Trial) =>
  Effect.gen(function* () {
    const { ledger, place, soak } = trial
    const { sql } = place
    const unit = ledger.begin()
    const rows = [rowId(unit, 0)]
    let ended = false
    let committed = false
    const body = Effect.gen(function* () {
      ended = false
      const [row] = yield* sql<{ n: number }>`select n from counter`
      yield* sql`update counter set n = ${row!.n + 1}`
      yield* insertRow(sql, rows[0]!)
      yield* sql.afterCommit(Effect.sync(() => void (committed = true)))
      ended = true
    })
    soak.count("transactions")
    const exit = yield* trial.chance("a counting transaction", sql.transaction({ retry })(body))
    trial.settle(unit, rows, exit, { ended, committed, counted: true })
  })
