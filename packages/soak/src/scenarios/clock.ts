/** The wall clock jumps, by seconds and by years, to and fro. Deadlines and waits are measured in time that passes. */
import { SqlClient, SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import * as Effect from "effect/Effect"
import type { Soak } from "../soak.js"
import { changesOptions, heard } from "./listener.js"
import { endless, fileIn, livesOn, onFile } from "./sqlite.js"

const RealDate = Date

/** Moves what `Date` says in this process, for the scope. */
const movedClock = Effect.acquireRelease(
  Effect.sync(() => {
    let offset = 0
    class MovedDate extends RealDate {
      constructor(...args: ReadonlyArray<unknown>) {
        super(...((args.length === 0 ? [RealDate.now() + offset] : args) as [number]))
      }
      static override now(): number {
        return RealDate.now() + offset
      }
    }
    globalThis.Date = MovedDate as DateConstructor
    return (by: number) => void (offset += by)
  }),
  () => Effect.sync(() => void (globalThis.Date = RealDate))
)

const year = 365 * 24 * 3_600_000

const jumps = (soak: Soak, move: (by: number) => void) =>
  Effect.gen(function* () {
    const { random } = soak
    while (!soak.over()) {
      yield* Effect.sleep(random.between(1, 40))
      move((random() * 2 - 1) * random.oneOf([1_000, 60_000, 3_600_000, year]))
      soak.count("clock jumps")
    }
  })

/** None ends early, and none is kept waiting; late by seconds it may be on a busy machine. */
const deadlines = (sql: SqliteClient.SqliteClient, soak: Soak) =>
  Effect.gen(function* () {
    const random = soak.random.fork(2_000)
    while (!soak.over()) {
      const millis = random.between(20, 300)
      const began = performance.now()
      soak.count("deadlines")
      const exit = yield* soak.watched(
        "a deadline under a moving clock",
        Effect.either(SqlClient.withDeadline(millis)(sql.unsafe(endless)))
      )
      const took = performance.now() - began
      if (exit._tag === "Right" || !SqlFailure.is("StatementTimeout")(exit.left)) {
        soak.breach(`an endless statement with a deadline ended with ${String(exit)}`)
      } else if (took < millis - 5 || took > millis + 20_000) {
        soak.breach(`a deadline of ${millis} ms passed after ${Math.round(took)} ms`)
      }
      const answer = yield* Effect.either(SqlClient.withDeadline("30 seconds")(sql`select 1 as one`))
      if (answer._tag === "Left") {
        soak.breach(`a query with a deadline of 30 seconds failed: ${SqlFailure.from(answer.left).message}`)
      }
    }
  })

/** Sessions that are closed soon, so that others are opened all the time. */
const shortLives = (soak: Soak) => ({
  idleTimeout: soak.random.between(100, 500),
  maxLifetime: soak.random.between(300, 1_000),
  acquireTimeout: 60_000
})

/** Sessions get as old as the time that passes says: they do not go with a jump, and none stays because of one. */
const ages = (
  sql: SqliteClient.SqliteClient,
  soak: Soak,
  { idleTimeout, maxLifetime }: ReturnType<typeof shortLives>,
  opened: number
) =>
  Effect.gen(function* () {
    const generations = 1 + (performance.now() - opened) / Math.min(idleTimeout, maxLifetime)
    for (const { max, name, opened } of yield* sql.statistics) {
      soak.count("sessions opened", opened)
      // Twice: a statement that was stopped may have cost its session.
      if (opened > 2 * max * generations) {
        soak.breach(`the pool of at most ${max} ${name} sessions has opened ${opened} in ${generations} lifetimes`)
      }
    }
    const began = performance.now()
    const left = Effect.map(sql.statistics, (pools) => pools.reduce((sum, { open }) => sum + open, 0))
    const gone = Effect.repeat(Effect.delay(left, 20), { until: (open) => open === 0 })
    yield* soak.watched("the end of sessions that nobody uses", gone)
    const took = performance.now() - began
    if (took > 20_000) {
      soak.breach(`sessions were closed ${Math.round(took)} ms after their last use`)
    }
  })

export const round = (soak: Soak): Effect.Effect<void, unknown> => {
  const { random } = soak
  const pool = soak.short || random.chance(0.7) ? shortLives(soak) : undefined
  const config = {
    filename: fileIn(soak),
    readers: random.between(0, 3),
    grace: 30_000,
    busyTimeout: 30_000,
    changes: changesOptions(soak),
    pool
  }
  return Effect.scoped(
    Effect.gen(function* () {
      const move = yield* movedClock
      const opened = performance.now()
      yield* onFile(soak, config, (sql, ledger) =>
        Effect.gen(function* () {
          const all = [livesOn(sql, ledger, soak, 3), deadlines(sql, soak), jumps(soak, move)]
          yield* heard(sql, soak, Effect.all(all, { concurrency: "unbounded", discard: true }))
          if (pool !== undefined) {
            move(-year)
            yield* ages(sql, soak, pool, opened)
          }
        })
      )
    })
  )
}
