/** A thousand fibers that take turns on eight sessions: how long a turn costs, and whether anybody is kept waiting. */
import { SessionPool } from "@sluice/sql"
import { Effect, Pool } from "effect"
import { format } from "../harness.mjs"

const fibers = 1_000
const sessions = 8

const session = {
  id: "instant",
  keepsContract: true,
  check: Effect.void,
  inTransaction: () => false,
  lost: Effect.never
}

/** What a turn is used for: it ends in another turn of the event loop, so that all sessions are wanted at once. */
const work = Effect.yieldNow()

const measure = (use, { quick }) =>
  Effect.gen(function* () {
    const turns = quick ? 5 : 20
    const waits = []
    const turn = Effect.suspend(() => {
      const asked = performance.now()
      return use(
        Effect.suspend(() => {
          waits.push(performance.now() - asked)
          return work
        })
      )
    })
    const crowd = Effect.forEach(Array.from({ length: fibers }), () => Effect.repeatN(turn, turns - 1), {
      concurrency: "unbounded",
      discard: true
    })
    yield* crowd
    waits.length = 0
    const started = performance.now()
    yield* crowd
    const micros = ((performance.now() - started) * 1000) / (fibers * turns)
    // The first turns find free sessions and a queue that only grows: what counts is everybody after that.
    const settled = waits.slice(fibers)
    const mean = settled.reduce((sum, wait) => sum + wait, 0) / settled.length
    return { micros, mean, max: Math.max(...settled), ratio: Math.max(...settled) / mean }
  })

const ours = (options) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(
        SessionPool.make({
          name: "bench",
          metrics: false,
          connect: Effect.succeed(session),
          sharing: "exclusive",
          min: sessions,
          max: sessions
        }),
        (pool) => measure((body) => Effect.scoped(Effect.zipRight(pool.scoped("exclusive", "bench"), body)), options)
      )
    )
  )

const effects = (options) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(Pool.make({ acquire: Effect.succeed(session), size: sessions }), (pool) =>
        measure((body) => Effect.scoped(Effect.zipRight(pool.get, body)), options)
      )
    )
  )

const names = { ours: "SessionPool", effects: "effect's Pool" }

export default {
  name: "pool",
  title: `A turn on one of ${sessions} sessions, for ${fibers.toLocaleString("en")} fibers`,
  cells: () => [
    { name: names.ours, run: ours },
    { name: names.effects, run: effects }
  ],
  metrics: [
    { key: "micros", label: "per turn", unit: "µs" },
    { key: "mean", label: "wait, mean", unit: "ms" },
    { key: "max", label: "wait, max", unit: "ms" },
    { key: "ratio", label: "max / mean", unit: "×" }
  ],
  bars: ({ median, ratio }) => [
    {
      bar: "at least as fast as effect's Pool",
      figure: format(ratio(names.ours, names.effects, "micros"), "× its time"),
      met: ratio(names.ours, names.effects, "micros") <= 1
    },
    {
      bar: "fair: nobody waits longer than 3 times the mean",
      figure: format(median(names.ours, "ratio"), "×"),
      met: median(names.ours, "ratio") <= 3
    }
  ]
}
