/** Streams that are read slowly, or left lying, beside a program that writes: nobody waits for them, and nothing piles up. */
import { SqlClient } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Soak } from "../soak.js"
import { accounts, total } from "../tables.js"
import { fileIn, livesOn, onFile } from "./sqlite.js"

/** Rows that nobody would want to hold at once: a gigabyte of them. */
const big =
  "with recursive up(n) as (select 1 union all select n + 1 from up limit 1000000) select n, printf('%1000d', n) as t from up"

const mebibyte = 1024 * 1024
/** Far more than the pages of all consumers, far less than what they have not read. */
const limit = 256 * mebibyte

const consumer = (sql: SqliteClient.SqliteClient, soak: Soak, number: number) =>
  Effect.gen(function* () {
    const random = soak.random.fork(1_000 + number)
    while (!soak.over()) {
      const take = random.between(100, 4_000)
      let last = 0
      soak.count("slow streams")
      const rows = SqlClient.withPrefetch(random.between(16, 512))(sql.unsafe<{ n: number }>(big)).stream
      yield* soak.watched(
        "a slow stream",
        rows.pipe(
          Stream.take(take),
          Stream.takeWhile(() => !soak.over()),
          Stream.runForEachChunk((chunk) => {
            for (const { n } of chunk) {
              if (n !== ++last) {
                soak.breach(`a slow stream gave row ${n} after row ${last - 1}`)
              }
            }
            return Effect.sleep(random.between(1, 60))
          })
        )
      )
    }
  })

/** One state of the file, however long it takes to read it: with readers, transactions go on meanwhile. */
const snapshot = (sql: SqliteClient.SqliteClient, soak: Soak) =>
  Effect.gen(function* () {
    while (!soak.over()) {
      let sum = 0
      const rows = SqlClient.withPrefetch(1)(sql<{ balance: number }>`select balance from accounts`).stream
      yield* soak.watched(
        "a slow snapshot",
        Stream.runForEach(rows, ({ balance }) => {
          sum += balance
          return Effect.sleep(5)
        })
      )
      soak.count("snapshots")
      if (sum !== total) {
        soak.breach(`a stream over ${accounts} accounts saw ${sum} instead of ${total}`)
      }
    }
  })

const memory = (soak: Soak) =>
  Effect.gen(function* () {
    const { rss } = process.memoryUsage()
    while (!soak.over()) {
      yield* Effect.sleep(100)
      const more = process.memoryUsage().rss - rss
      if (more > limit) {
        return soak.breach(`slow streams take ${Math.round(more / mebibyte)} MiB`)
      }
    }
  })

export const round = (soak: Soak): Effect.Effect<void, unknown> => {
  const readers = soak.random.between(1, 4)
  return onFile(soak, { filename: fileIn(soak), readers, grace: 30_000, busyTimeout: 30_000 }, (sql, ledger) =>
    Effect.all(
      [
        ...Array.from({ length: 6 }, (_, i) => consumer(sql, soak, i)),
        snapshot(sql, soak),
        memory(soak),
        livesOn(sql, ledger, soak, 3)
      ],
      { concurrency: "unbounded", discard: true }
    )
  )
}
