/** The soak is worth what its ledger notices: each kind of fault, and nothing where there is none. */
import { SqlFailure } from "@sluice/sql"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { assert, describe, it } from "@effect/vitest"
import { Ledger, rowId, toldBy, type Told } from "../src/ledger.js"

/** A ledger with one unit of two rows. */
const one = (told: Told, more: { readonly whole?: boolean; readonly counted?: boolean } = {}) => {
  const ledger = new Ledger()
  const unit = ledger.begin()
  const rows = [rowId(unit, 0), rowId(unit, 1)] as const
  ledger.note(unit, rows, told, more)
  return { ledger, unit, rows }
}

describe("ledger", () => {
  it("what was told to be done is there, as a whole", () => {
    const { ledger, rows } = one("there")
    assert.deepStrictEqual(ledger.compare(rows, undefined), [])
    assert.match(ledger.compare([], undefined).join(), /told to be done, but has 0 of 2 rows/)
    assert.match(ledger.compare([rows[0]], undefined).join(), /told to be done, but has 1 of 2 rows/)
  })

  it("what was told to have failed is not there", () => {
    const { ledger, rows } = one("absent")
    assert.deepStrictEqual(ledger.compare([], undefined), [])
    assert.match(ledger.compare([rows[1]], undefined).join(), /told to have failed, but 1 of its rows/)
  })

  it("what may be either is all or nothing, if it is a whole", () => {
    const { ledger, rows } = one("either")
    assert.deepStrictEqual(ledger.compare([], undefined), [])
    assert.deepStrictEqual(ledger.compare(rows, undefined), [])
    assert.match(ledger.compare([rows[0]], undefined).join(), /half of unit/)
    const parts = one("either", { whole: false })
    assert.deepStrictEqual(parts.ledger.compare([parts.rows[0]], undefined), [])
  })

  it("rows that are there twice, that were undone, and that nobody asked for", () => {
    const { ledger, rows, unit } = one("there")
    assert.match(ledger.compare([...rows, rows[0]], undefined).join(), /is there twice/)
    assert.match(ledger.compare([...rows, rowId(unit, 7)], undefined).join(), /rows that were undone/)
    assert.match(ledger.compare([...rows, rowId(unit + 1, 0)], undefined).join(), /nobody asked for it/)
  })

  it("a counter that missed a transaction, or counted one that is not there", () => {
    const { ledger, rows } = one("there", { counted: true })
    assert.deepStrictEqual(ledger.compare(rows, 1), [])
    assert.match(ledger.compare(rows, 0).join(), /the counter is 0/)
    assert.match(ledger.compare(rows, 2).join(), /the counter is 2/)
  })

  it("begins behind the units of another one", () => {
    const { ledger } = one("there")
    assert.strictEqual(new Ledger(ledger.begin()).begin(), 3)
  })

  it("takes a failure's outcome for what it says", () => {
    const failed = (outcome: SqlFailure.Outcome) =>
      toldBy(Exit.fail(SqlFailure.make({ reason: "SessionLost", message: "lost", outcome })))
    assert.deepStrictEqual(
      [failed("notExecuted"), failed("executed"), failed("unknown"), toldBy(Exit.interrupt(FiberId.none))],
      ["absent", "there", "either", "either"]
    )
  })
})
