/**
 * What every kind of statement of a life is put to: it is stopped or not as chance has it, its failure is judged, and what
 * the program was told about its rows is noted.
 */
import { SqlClient, SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { type Ledger, toldBy } from "../ledger.js"
import type { Random } from "../random.js"
import type { Soak } from "../soak.js"
import type { Place } from "./place.js"

/** What gives itself up. */
export class OnPurpose extends Data.TaggedError("OnPurpose") {}

export type Reasons = ReadonlySet<SqlFailure.Reason>

/** Of who has a deadline, and of nobody else. In a transaction it may be the next statement that tells. */
export const ofDeadline: Reasons = new Set(["StatementTimeout", "TransactionGone"])
export const ofDuplicate: Reasons = new Set(["UniqueViolation"])
export const nothing: Reasons = new Set()

export const insertRow = (sql: SqlClient.SqlClient, id: number) => sql`insert into ledger (id) values (${id})`

const tick = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

export class Trial {
  /** The last unit that was told to be there, and how many rows it has. */
  lastSeen: { readonly unit: number; readonly rows: number } | undefined

  constructor(
    readonly place: Place,
    readonly ledger: Ledger,
    readonly soak: Soak,
    readonly next: Random
  ) {}

  /**
   * Runs it, with a deadline perhaps, stops it perhaps, and answers how it ended. Complains about failures that neither
   * that nor what it brings on itself (`own`, asked when it has ended) explains.
   */
  chance<A>(
    what: string,
    effect: Effect.Effect<A, unknown>,
    own: () => Reasons = () => nothing
  ): Effect.Effect<Exit.Exit<A, unknown>> {
    const { next, soak } = this
    return Effect.gen(this, function* () {
      const isLate = next.chance(0.08)
      const bounded = isLate ? SqlClient.withDeadline(next() * 6)(effect) : effect
      const judged = (exit: Exit.Exit<A, unknown>) => {
        this.judge(what, exit, (reason) => (isLate && ofDeadline.has(reason)) || own().has(reason))
        return exit
      }
      const fiber = yield* Effect.fork(
        next.chance(0.2) ? Effect.withMaxOpsBeforeYield(bounded, next.between(12, 42)) : bounded
      )
      if (isLate) {
        soak.count("deadlines")
      }
      if (next.chance(0.25)) {
        for (let turns = next.between(0, 5); turns > 0; turns--) {
          yield* next.chance(0.5) ? Effect.yieldNow() : tick
        }
        if (next.chance(0.3)) {
          yield* Effect.sleep(next() * 5)
        }
        soak.count("interrupts")
        return judged(yield* soak.watched(`the interrupt of ${what}`, Fiber.interrupt(fiber)))
      }
      return judged(yield* soak.watched(what, Fiber.await(fiber)))
    })
  }

  /** `own`: what it brings on itself. */
  judge(what: string, exit: Exit.Exit<unknown, unknown>, own: (reason: SqlFailure.Reason) => boolean): void {
    if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) {
      return
    }
    if (Cause.isDie(exit.cause)) {
      return this.soak.breach(`${what} died: ${Cause.pretty(exit.cause)}`)
    }
    const error = Cause.squash(exit.cause)
    if (error instanceof OnPurpose) {
      return
    }
    const failure = SqlFailure.from(error)
    this.soak.count(`failed ${failure.reason}`)
    if (!own(failure.reason) && !this.place.expected(failure)) {
      this.soak.breach(`${what} failed: ${failure.reason} (${failure.outcome}) ${failure.message}`)
    }
  }

  note(unit: number, rows: ReadonlyArray<number>, exit: Exit.Exit<unknown, unknown>, whole = true): void {
    const told = toldBy(exit)
    this.ledger.note(unit, rows, told, { whole })
    if (Exit.isSuccess(exit)) {
      this.lastSeen = { unit, rows: rows.length }
    }
  }

  /** What is told of a transaction: one whose body has not ended cannot have been committed, whatever its failure says. */
  settle(
    unit: number,
    rows: ReadonlyArray<number>,
    exit: Exit.Exit<unknown, unknown>,
    { committed, counted, ended }: { ended: boolean; committed: boolean; counted?: boolean }
  ): void {
    const told = ended ? toldBy(exit) : "absent"
    if (committed && told === "absent") {
      this.soak.breach(`afterCommit has run for unit ${unit}, which was told to have failed`)
    }
    if (Exit.isSuccess(exit) && !committed) {
      this.soak.breach(`afterCommit has not run for unit ${unit}, which was committed`)
    }
    this.ledger.note(unit, rows, committed ? "there" : told, { counted: counted ?? false })
    if (Exit.isSuccess(exit)) {
      this.lastSeen = { unit, rows: rows.length }
    }
  }
}
