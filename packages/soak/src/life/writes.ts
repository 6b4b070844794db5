/** The kinds of statements that write, each a transaction by itself. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { rowId } from "../ledger.js"
import { insertRow, ofDuplicate, type Trial } from "./trial.js"

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
    const rows = Array.from({ length: next.between(2, 40) }, (_, i) => rowId(unit, i))
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

export const duplicate = (trial: Trial) =>
  Effect.gen(function* () {
    const { place, soak } = trial
    const exit = yield* trial.chance("a duplicate", place.sql`insert into numbers (n) values (${1})`, () => ofDuplicate)
    if (Exit.isSuccess(exit)) {
      soak.breach("a unique key was not kept")
    }
  })
