/**
 * What the program was told, beside what is in the database. A unit is what must be there as a whole or not at all: a
 * statement, a call of `many`, a transaction.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import { SqlFailure } from "@sluice/sql"

/** `either`: interrupted, or failed with an unknown outcome. */
export type Told = "there" | "absent" | "either"

export interface Unit {
  readonly rows: ReadonlyArray<number>
  readonly told: Told
  /** False: some of its rows may be there without the others. */
  readonly whole: boolean
  /** Whether it has added one to the counter. */
  readonly counted: boolean
}

/** What a failure says about the effect of the statement, or of the COMMIT, that it ended. */
export const toldBy = (exit: Exit.Exit<unknown, unknown>): Told => {
  if (Exit.isSuccess(exit)) {
    return "there"
  }
  if (Cause.isInterruptedOnly(exit.cause)) {
    return "either"
  }
  const { outcome } = SqlFailure.from(Cause.squash(exit.cause))
  return outcome === "notExecuted" ? "absent" : outcome === "executed" ? "there" : "either"
}

/** Rows of a unit: their ids are of this form, so that a row that nobody asked for can be told. */
export const rowsPerUnit = 100

export const rowId = (unit: number, index: number): number => unit * rowsPerUnit + index

export class Ledger {
  private readonly units = new Map<number, Unit>()

  /** `last`: the unit behind which its own begin. */
  constructor(private last = 0) {}

  /** The number of a new unit. */
  begin(): number {
    return ++this.last
  }

  note(unit: number, rows: ReadonlyArray<number>, told: Told, more: { whole?: boolean; counted?: boolean } = {}): void {
    this.units.set(unit, { rows, told, whole: more.whole ?? true, counted: more.counted ?? false })
  }

  tally(told: Told): number {
    let count = 0
    for (const unit of this.units.values()) {
      count += unit.told === told ? 1 : 0
    }
    return count
  }

  /** What does not fit, in words; `counter` is what the database has counted. */
  compare(found: ReadonlyArray<number>, counter: number | undefined): ReadonlyArray<string> {
    const problems: Array<string> = []
    const byUnit = new Map<number, Set<number>>()
    for (const id of found) {
      const unit = Math.floor(id / rowsPerUnit)
      const rows = byUnit.get(unit) ?? new Set<number>()
      byUnit.set(unit, rows)
      if (rows.has(id)) {
        problems.push(`row ${id} is there twice`)
      }
      rows.add(id)
      if (!this.units.has(unit)) {
        problems.push(`row ${id} is there, and nobody asked for it`)
      }
    }
    let least = 0
    let most = 0
    for (const [number, { counted, rows, told, whole }] of this.units) {
      const there = byUnit.get(number) ?? new Set<number>()
      const strange = [...there].filter((id) => !rows.includes(id))
      if (told === "absent" && there.size > 0) {
        problems.push(`unit ${number} was told to have failed, but ${there.size} of its rows are there`)
      } else if (told === "there" && there.size - strange.length < rows.length) {
        problems.push(`unit ${number} was told to be done, but has ${there.size} of ${rows.length} rows`)
      } else if (whole && there.size > 0 && there.size - strange.length < rows.length) {
        problems.push(`half of unit ${number} is there: ${there.size} of ${rows.length} rows`)
      } else if (strange.length > 0) {
        problems.push(`unit ${number} has rows that were undone: ${strange.join(", ")}`)
      }
      if (counted) {
        least += told === "there" ? 1 : 0
        most += there.size > 0 ? 1 : 0
      }
    }
    if (counter !== undefined && (counter < least || counter !== most)) {
      problems.push(`the counter is ${counter}; ${most} transactions that count are there, ${least} were told to be`)
    }
    return problems
  }
}
