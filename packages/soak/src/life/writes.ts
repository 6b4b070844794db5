/** The kinds of statements that write, each a transaction by itself. */
import { SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { rowId } from "../ledger.js"
import type { Place } from "./place.js"
import { insertRow, nothing, ofDuplicate, type Trial } from "./trial.js"

const rowsOf = (unit: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => rowId(unit, i))

export const insert = (trial: Trial) =>
  Effect.gen(function* () {
    const unit = trial.ledger.begin()
    const id = rowId(unit, 0)
    const exit = yield* trial.chance("an insert", insertRow(trial.place.sql, id))
    trial.note(unit, [id], exit)
  })

export const many = (trial: Trial) =>
  Effect.gen(function* () {
    const { ledger, next, place, soak } = trial
    const unit = ledger.begin()
    const rows = rowsOf(unit, next.between(2, 40))
    const call = place.sql.many(
      "insert into ledger (id) values (?)",
      rows.map((id) => [id])
    )
    const exit = yield* trial.chance("many inserts", call)
    if (Exit.isSuccess(exit) && (exit.value.changes ?? rows.length) !== rows.length) {
      soak.breach(`many inserts of ${rows.length} rows told ${exit.value.changes} changes`)
    }
    trial.note(unit, rows, exit, place.manyIsWhole)
  })

/** All of its statements or none; by itself, or as a part of a transaction. One of them may fail, and is named. */
export const batch = (run: NonNullable<Place["batch"]>) => (trial: Trial) =>
  Effect.gen(function* () {
    const { ledger, next, place, soak } = trial
    const { sql } = place
    const unit = ledger.begin()
    const rows = rowsOf(unit, next.between(1, 20))
    const failing = next.chance(0.2) ? next.between(0, rows.length) : undefined
    const statements = rows.map((id, i) =>
      i === failing
        ? sql`insert into numbers (n) values (${1})`
        : sql`insert into ledger (id) values (${id}) returning id`
    )
    const call = run(statements)
    soak.count("batches")
    const exit = yield* trial.chance("a batch", next.chance(0.3) ? sql.withTransaction(call) : call, () =>
      failing === undefined ? nothing : ofDuplicate
    )
    if (Exit.isSuccess(exit)) {
      const answered = exit.value.map((answer) => answer[0]?.["id"])
      if (failing !== undefined || answered.join() !== rows.join()) {
        soak.breach(`a batch of ${rows.join()}, to fail at ${failing}, was answered ${answered.join()}`)
      }
    } else if (Cause.isFailType(exit.cause) && SqlFailure.is("UniqueViolation")(exit.cause.error)) {
      const { failedRow } = SqlFailure.from(exit.cause.error)
      if (failedRow !== failing) {
        soak.breach(`statement ${failing} of a batch failed, told was statement ${failedRow}`)
      }
    }
    trial.note(unit, rows, exit)
  })

/** Many statements without a way in between: each by itself, in a transaction of the program's, or in one around it. */
export const inWorker = (run: NonNullable<Place["inWorker"]>) => (trial: Trial) =>
  Effect.gen(function* () {
    const { ledger, next, place, soak } = trial
    const unit = ledger.begin()
    const rows = rowsOf(unit, next.between(1, 30))
    const how = next.oneOf(["singly", "together", "inside"] as const)
    soak.count("programs in the worker")
    const call = how === "inside" ? place.sql.withTransaction(run("singly", rows)) : run(how, rows)
    const exit = yield* trial.chance("a program in the worker", call)
    if (Exit.isSuccess(exit) && exit.value !== rows.length) {
      soak.breach(`a program in the worker has inserted ${rows.length} rows, and seen ${exit.value}`)
    }
    trial.note(unit, rows, exit, how !== "singly")
  })

export const duplicate = (trial: Trial) =>
  Effect.gen(function* () {
    const { place, soak } = trial
    const exit = yield* trial.chance("a duplicate", place.sql`insert into numbers (n) values (${1})`, () => ofDuplicate)
    if (Exit.isSuccess(exit)) {
      soak.breach("a unique key was not kept")
    }
  })
