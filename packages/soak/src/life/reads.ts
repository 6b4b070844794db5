/** The kinds of statements that write nothing: each has an answer of its own, and only that. */
import { SqlClient } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { rowId } from "../ledger.js"
import { numbers, total } from "../tables.js"
import type { Trial } from "./trial.js"

export const point = (trial: Trial) =>
  Effect.gen(function* () {
    const { next, place, soak } = trial
    const wanted = next.between(1, numbers + 1)
    const exit = yield* trial.chance("a query", place.sql<{ n: number }>`select n from numbers where n = ${wanted}`)
    if (Exit.isSuccess(exit) && (exit.value.length !== 1 || exit.value[0]?.n !== wanted)) {
      soak.breach(`the query for ${wanted} was answered ${JSON.stringify(exit.value)}`)
    }
  })

export const stream = (trial: Trial) =>
  Effect.gen(function* () {
    const { next, place, soak } = trial
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
    const exit = yield* trial.chance("a stream", consumed)
    if (Exit.isSuccess(exit) && last !== take) {
      soak.breach(`a stream ended after ${last} of ${take} rows`)
    }
  })

export const sum = (trial: Trial) =>
  Effect.gen(function* () {
    const { sql } = trial.place
    const exit = yield* trial.chance("a sum", sql<{ s: number }>`select sum(balance) as s from accounts`)
    if (Exit.isSuccess(exit) && Number(exit.value[0]?.s) !== total) {
      trial.soak.breach(`half of a transaction was seen: the accounts held ${exit.value[0]?.s} instead of ${total}`)
    }
  })

/** What was told to be committed is seen, whichever session is asked. */
export const committed = (trial: Trial) =>
  Effect.gen(function* () {
    const { lastSeen, place, soak } = trial
    if (lastSeen === undefined || !place.seesItsCommits) {
      return
    }
    const { rows, unit } = lastSeen
    const [low, high] = [rowId(unit, 0), rowId(unit + 1, 0)]
    const { sql } = place
    const count = sql<{ c: number }>`select count(*) as c from ledger where id >= ${low} and id < ${high}`
    const exit = yield* trial.chance("a look at what was committed", count)
    if (Exit.isSuccess(exit) && Number(exit.value[0]?.c) !== rows) {
      soak.breach(`${exit.value[0]?.c} of the ${rows} rows of unit ${unit} were seen after its commit`)
    }
  })

export const endless = (trial: Trial) =>
  Effect.gen(function* () {
    const { next, place, soak } = trial
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
    trial.judge("an endless statement", exit, (reason) => isLate && reason === "StatementTimeout")
    if (Exit.isSuccess(exit) && Option.isSome(exit.value)) {
      soak.breach("an endless statement ended")
    }
  })
