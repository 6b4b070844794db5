/**
 * One fiber's life: statements of all kinds, one after the other, each of them stopped or not as chance has it, and each
 * noted with what the program was told about it. The same on both databases.
 */
import { SqlClient, SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { type Ledger, rowId, toldBy } from "./ledger.js"
import type { Random } from "./random.js"
import type { Soak } from "./soak.js"
import { accounts, numbers, total } from "./tables.js"

/** What differs between databases, and between scenarios. */
export interface Place {
  readonly sql: SqlClient.SqlClient
  /** A query that never ends by itself. */
  readonly endless: string
  /** Whether such a query has its session for itself: one that shares it is not stopped, and holds up the others. */
  readonly alone: boolean
  /** Failures that the trouble of this scenario may bring, beside those that a statement brings on itself. */
  readonly expected: (failure: SqlFailure.SqlFailure) => boolean
  /** Whether a call of `many` outside of a transaction is all or nothing. */
  readonly manyIsWhole: boolean
  /** Whether what has been told as committed must be seen by the next statement. */
  readonly seesItsCommits: boolean
}

/** A transaction that gives itself up. */
class OnPurpose extends Data.TaggedError("OnPurpose") {}

type Reasons = ReadonlySet<SqlFailure.Reason>

/** Of who has a deadline, and of nobody else. In a transaction it may be the next statement that tells. */
const ofDeadline: Reasons = new Set(["StatementTimeout", "TransactionGone"])
const ofDuplicate: Reasons = new Set(["UniqueViolation"])
const nothing: Reasons = new Set()

const kinds = [
  ["insert", 20],
  ["point", 14],
  ["many", 8],
  ["transfer", 18],
  ["counter", 8],
  ["stream", 12],
  ["sum", 6],
  ["look", 6],
  ["duplicate", 3],
  ["endless", 3]
] as const

type Kind = (typeof kinds)[number][0]

const kindOf = (next: Random): Kind => {
  let at = next() * kinds.reduce((sum, [, weight]) => sum + weight, 0)
  return kinds.find(([, weight]) => (at -= weight) < 0)?.[0] ?? "point"
}

const tick = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

class Life {
  /** The last unit that was told to be there, and how many rows it has. */
  private lastSeen: { readonly unit: number; readonly rows: number } | undefined

  constructor(
    private readonly place: Place,
    private readonly ledger: Ledger,
    private readonly soak: Soak,
    private readonly next: Random
  ) {}

  /**
   * Runs it, with a deadline perhaps, stops it perhaps, and answers how it ended. Complains about failures that neither
   * that nor what it brings on itself (`own`, asked when it has ended) explains.
   */
  private chance<A>(
    what: string,
    effect: Effect.Effect<A, unknown>,
    own: () => Reasons = () => nothing
  ): Effect.Effect<Exit.Exit<A, unknown>> {
    const { next, soak } = this
    return Effect.gen(this, function* () {
      const isLate = next.chance(0.08)
      const bounded = isLate ? SqlClient.withDeadline(next() * 6)(effect) : effect
      const looked = (exit: Exit.Exit<A, unknown>) => {
        this.look(what, exit, (reason) => (isLate && ofDeadline.has(reason)) || own().has(reason))
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
        return looked(yield* soak.watched(`the interrupt of ${what}`, Fiber.interrupt(fiber)))
      }
      return looked(yield* soak.watched(what, Fiber.await(fiber)))
    })
  }

  /** `own`: what it brings on itself. */
  private look(what: string, exit: Exit.Exit<unknown, unknown>, own: (reason: SqlFailure.Reason) => boolean): void {
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

  private note(unit: number, rows: ReadonlyArray<number>, exit: Exit.Exit<unknown, unknown>, whole = true): void {
    const told = toldBy(exit)
    this.ledger.note(unit, rows, told, { whole })
    if (told === "there" && Exit.isSuccess(exit)) {
      this.lastSeen = { unit, rows: rows.length }
    }
  }

  private insert(id: number) {
    return this.place.sql`insert into ledger (id) values (${id})`
  }

  private *single() {
    const unit = this.ledger.begin()
    const id = rowId(unit, 0)
    const exit = yield* this.chance("an insert", this.insert(id))
    this.note(unit, [id], exit)
  }

  private *point() {
    const wanted = this.next.between(1, numbers + 1)
    const exit = yield* this.chance("a query", this.place.sql<{ n: number }>`select n from numbers where n = ${wanted}`)
    if (Exit.isSuccess(exit) && (exit.value.length !== 1 || exit.value[0]?.n !== wanted)) {
      this.soak.breach(`the query for ${wanted} was answered ${JSON.stringify(exit.value)}`)
    }
  }

  private *many() {
    const unit = this.ledger.begin()
    const rows = Array.from({ length: this.next.between(2, 40) }, (_, i) => rowId(unit, i))
    const call = this.place.sql.many(
      "insert into ledger (id) values (?)",
      rows.map((id) => [id])
    )
    const exit = yield* this.chance("many inserts", call)
    if (Exit.isSuccess(exit) && (exit.value.changes ?? rows.length) !== rows.length) {
      this.soak.breach(`many inserts of ${rows.length} rows told ${exit.value.changes} changes`)
    }
    this.note(unit, rows, exit, this.place.manyIsWhole)
  }

  /** Savepoints within a transaction; answers the rows that they leave. Some give themselves up, some are stopped. */
  private nested(
    unit: number,
    from: number,
    depth: number,
    stopping: () => void
  ): Effect.Effect<ReadonlyArray<number>, unknown> {
    const { next, place, soak } = this
    return Effect.gen(this, function* () {
      const rows: Array<number> = [rowId(unit, from)]
      soak.count("savepoints")
      const undone = next.chance(0.3)
      const stopped = next.chance(0.1)
      const body = Effect.gen(this, function* () {
        yield* this.insert(rowId(unit, from))
        if (depth > 0) {
          rows.push(...(yield* this.nested(unit, from + 10, depth - 1, stopping)))
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
  }

  /** Between two accounts; the ledger's rows in the same transaction. */
  private *transfer() {
    const { ledger, next, place, soak } = this
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
    const body = Effect.gen(this, function* () {
      ended = false
      yield* sql`update accounts set balance = balance - ${amount} where id = ${from}`
      yield* this.insert(rowId(unit, 0))
      const inner = depth < 0 ? [] : yield* this.nested(unit, 1, depth, () => (stopped = true))
      yield* sql`update accounts set balance = balance + ${amount} where id = ${to}`
      yield* sql.afterCommit(Effect.sync(() => void (committed = true)))
      if (undone) {
        return yield* new OnPurpose()
      }
      rows = [rowId(unit, 0), ...inner]
      ended = true
    })
    soak.count("transactions")
    const retry = Schedule.intersect(Schedule.exponential(5), Schedule.recurs(5))
    const exit = yield* this.chance("a transaction", sql.transaction({ retry })(body), () =>
      stopped ? ofDeadline : nothing
    )
    this.settle(unit, rows, exit, { ended, committed })
  }

  /** What is told of a transaction: one whose body has not ended cannot have been committed, whatever its failure says. */
  private settle(
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

  /** Reads and writes back one more: two of them must never read the same. */
  private *counter() {
    const { sql } = this.place
    const unit = this.ledger.begin()
    const rows = [rowId(unit, 0)]
    let ended = false
    let committed = false
    const body = Effect.gen(this, function* () {
      ended = false
      const [row] = yield* sql<{ n: number }>`select n from counter`
      yield* sql`update counter set n = ${row!.n + 1}`
      yield* this.insert(rows[0]!)
      yield* sql.afterCommit(Effect.sync(() => void (committed = true)))
      ended = true
    })
    this.soak.count("transactions")
    const retry = Schedule.intersect(Schedule.exponential(5), Schedule.recurs(5))
    const exit = yield* this.chance("a counting transaction", sql.transaction({ retry })(body))
    this.settle(unit, rows, exit, { ended, committed, counted: true })
  }

  private *stream() {
    const { next, place, soak } = this
    const take = next.chance(0.5) ? numbers : next.between(1, numbers)
    const slow = next.chance(0.15)
    let last = 0
    const rows = SqlClient.withPrefetch(next.between(1, 120))(
      place.sql<{ n: number }>`select n from numbers order by n`
    ).stream
    const consumed = Stream.runForEachChunk(Stream.take(rows, take), (chunk) => {
      for (const { n } of chunk) {
        if (n !== ++last) {
          soak.breach(`a stream gave row ${n} after row ${last - 1}`)
        }
      }
      return slow ? Effect.sleep(next() * 20) : Effect.void
    })
    soak.count("streams")
    const exit = yield* this.chance("a stream", consumed)
    if (Exit.isSuccess(exit) && last !== take) {
      soak.breach(`a stream ended after ${last} of ${take} rows`)
    }
  }

  private *sum() {
    const { sql } = this.place
    const exit = yield* this.chance("a sum", sql<{ s: number }>`select sum(balance) as s from accounts`)
    if (Exit.isSuccess(exit) && Number(exit.value[0]?.s) !== total) {
      this.soak.breach(`half of a transaction was seen: the accounts held ${exit.value[0]?.s} instead of ${total}`)
    }
  }

  /** What was told to be committed is seen, whichever session is asked. */
  private *seen() {
    const seen = this.lastSeen
    if (seen === undefined || !this.place.seesItsCommits) {
      return
    }
    const [low, high] = [rowId(seen.unit, 0), rowId(seen.unit + 1, 0)]
    const { sql } = this.place
    const count = sql<{ c: number }>`select count(*) as c from ledger where id >= ${low} and id < ${high}`
    const exit = yield* this.chance("a look at what was committed", count)
    if (Exit.isSuccess(exit) && Number(exit.value[0]?.c) !== seen.rows) {
      this.soak.breach(`${exit.value[0]?.c} of the ${seen.rows} rows of unit ${seen.unit} were seen after its commit`)
    }
  }

  private *duplicate() {
    const exit = yield* this.chance(
      "a duplicate",
      this.place.sql`insert into numbers (n) values (${1})`,
      () => ofDuplicate
    )
    if (Exit.isSuccess(exit)) {
      this.soak.breach("a unique key was not kept")
    }
  }

  private *endless() {
    const { next, place, soak } = this
    if (!place.alone) {
      return
    }
    const statement = place.sql.unsafe(place.endless)
    const millis = next() * 10
    const isLate = next.chance(0.5)
    soak.count(isLate ? "deadlines" : "interrupts")
    const exit = yield* soak.watched(
      "the end of an endless statement",
      Effect.exit(
        isLate ? Effect.asSome(SqlClient.withDeadline(millis)(statement)) : Effect.timeoutOption(statement, millis)
      )
    )
    this.look("an endless statement", exit, (reason) => isLate && reason === "StatementTimeout")
    if (Exit.isSuccess(exit) && Option.isSome(exit.value)) {
      soak.breach("an endless statement ended")
    }
  }

  private step(kind: Kind) {
    switch (kind) {
      case "insert":
        return Effect.gen(this, this.single)
      case "point":
        return Effect.gen(this, this.point)
      case "many":
        return Effect.gen(this, this.many)
      case "transfer":
        return Effect.gen(this, this.transfer)
      case "counter":
        return Effect.gen(this, this.counter)
      case "stream":
        return Effect.gen(this, this.stream)
      case "sum":
        return Effect.gen(this, this.sum)
      case "look":
        return Effect.gen(this, this.seen)
      case "duplicate":
        return Effect.gen(this, this.duplicate)
      case "endless":
        return Effect.gen(this, this.endless)
    }
  }

  run(over: () => boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (over()) {
        return Effect.void
      }
      this.soak.count("queries")
      return Effect.zipRight(this.step(kindOf(this.next)), this.run(over))
    })
  }
}

/** So many fibers, until the time is over. */
export const lives = (
  place: Place,
  ledger: Ledger,
  soak: Soak,
  fibers: number,
  over: () => boolean = soak.over
): Effect.Effect<void> =>
  Effect.forEach(
    Array.from({ length: fibers }, (_, i) => i),
    (i) => new Life(place, ledger, soak, soak.random.fork(i)).run(over),
    { concurrency: "unbounded", discard: true }
  )
