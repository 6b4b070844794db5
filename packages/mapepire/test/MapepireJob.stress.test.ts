import { assert, describe, it } from "@effect/vitest"
import * as MapepireJob from "@sluice/mapepire/MapepireJob"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { type Outcome, scriptedDaemon } from "./scriptedDaemon.js"
import { until } from "./support.js"

/** Rows that say which statement they belong to. */
const rowsOf = (n: number): Outcome => ({
  columns: [
    { name: "N", type: "INTEGER" },
    { name: "I", type: "INTEGER" }
  ],
  rows: Array.from({ length: n % 13 }, (_, i) => [n, i])
})

const number = (text: string | undefined): number => Number(/-?\d+/.exec(text ?? "")?.[0])

describe("MapepireJob: stress", () => {
  for (const seed of [1, 2, 3]) {
    it.scopedLive(`many fibers on one job, answers late, twice, out of order, callers that leave (seed ${seed})`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon({ seed })
        const { random } = daemon
        daemon.twice = 0.1
        daemon.on(/from n/, ({ sql }) => ({
          ...rowsOf(number(sql)),
          ...(random() < 0.5 ? { delay: Math.floor(random() * 4) } : undefined),
          ...(random() < 0.1 ? { error: "[SQL0802] no", sqlState: "22012", sqlRc: -802 } : undefined)
        }))
        daemon.override((request, connection) => {
          if (request.type === "connect" || random() > 0.2) {
            return false
          }
          if (random() < 0.3) {
            connection.send({ id: "nobody", success: true, data: [], is_done: true })
          }
          daemon.later(Math.floor(random() * 8), () => connection.handle(request))
          return true
        })
        const job = yield* MapepireJob.make({ ...daemon.config, cancel: false, pageSize: 4 })
        const one = (n: number) =>
          Effect.gen(function* () {
            const run = job.queryAndRun<{ n: number; i: number }>(
              `select ${n} from n`,
              n % 2 === 0 ? [] : [n],
              n % 5 === 0 ? { timeout: 1 + (n % 30) } : {}
            )
            const fiber = yield* Effect.fork(run)
            if (n % 7 === 0) {
              yield* Effect.sleep(n % 20)
              yield* Fiber.interrupt(fiber)
            }
            const exit = yield* Fiber.await(fiber)
            if (Exit.isSuccess(exit)) {
              assert.deepStrictEqual(
                exit.value.rows,
                Array.from({ length: n % 13 }, (_, i) => ({ n, i }))
              )
              return "rows"
            }
            if (Exit.isInterrupted(exit)) {
              assert.strictEqual(n % 7, 0)
              return "interrupted"
            }
            const failed = SqlFailure.from(yield* Effect.flip(Fiber.join(fiber)))
            assert.include(["StatementTimeout", "Unknown"], failed.reason)
            return failed.reason
          })
        const ends = yield* Effect.forEach(
          Array.from({ length: 400 }, (_, i) => i + 1),
          one,
          { concurrency: 40 }
        )
        const count = (end: string) => ends.filter((one) => one === end).length
        assert.isAbove(count("rows"), 150)
        assert.isAbove(count("interrupted"), 10)
        assert.isAbove(count("Unknown"), 10)
        // Everything came to an end, and nothing was left open.
        yield* until(() => daemon.connections[0]!.open.size === 0)
        assert.strictEqual((yield* job.stats).pending, 0)
        yield* until(() => daemon.connections[0]!.inFlight.size === 0)
      })
    )

    it.scopedLive(`stops that arrive when they like never hit the next statement (seed ${seed})`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon({ seed })
        const { random } = daemon
        const really = daemon.cancel
        // Posted, and delivered some time after it was answered.
        daemon.cancel = (name) => void daemon.later(Math.floor(random() * 6), () => really(name))
        daemon.on(/from n/, ({ sql }) => ({
          ...rowsOf(number(sql)),
          ...(random() < 0.7 ? { runs: Math.floor(random() * 12) } : undefined)
        }))
        daemon.on(/values 1/i, () => ({
          columns: [{ name: "00001", type: "INTEGER" }],
          rows: [[1]],
          // Takes its time, so that what comes late comes into this one.
          runs: 10
        }))
        const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 4 })
        let stopped = 0
        for (let n = 1; n <= 150; n++) {
          const fiber = yield* Effect.fork(job.queryAndRun<{ n: number }>(`select ${n} from n`))
          if (random() < 0.6) {
            yield* Effect.sleep(Math.floor(random() * 8))
            const exit = yield* Fiber.interrupt(fiber)
            stopped += Exit.isInterrupted(exit) ? 1 : 0
            assert.isTrue(Exit.isSuccess(exit) || Exit.isInterrupted(exit))
          } else {
            // Nobody stopped this one.
            const { rows } = yield* Fiber.join(fiber)
            assert.strictEqual(rows.length, n % 13)
            assert.isTrue(rows.every((row) => row.n === n))
          }
        }
        assert.isAbove(stopped, 10)
        assert.isAbove(daemon.cancels.length, 10)
        yield* until(() => daemon.connections[0]!.open.size === 0)
      })
    )

    it.scopedLive(`a connection that drops at any moment leaves nobody waiting (seed ${seed})`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon({ seed })
        const { random } = daemon
        daemon.on(/from n/, ({ sql }) => ({ ...rowsOf(number(sql)), delay: Math.floor(random() * 3) }))
        daemon.override((request, connection) => {
          if (request.type !== "connect" && random() < 0.02) {
            connection.drop()
            return true
          }
          return false
        })
        let lost = 0
        for (let round = 0; round < 15; round++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 4 })
              const exits = yield* Effect.forEach(
                Array.from({ length: 30 }, (_, i) => i),
                (n) => Effect.exit(job.queryAndRun(`select ${n} from n`)),
                { concurrency: 6 }
              )
              for (const exit of exits) {
                if (Exit.isFailure(exit)) {
                  lost++
                  const failed = SqlFailure.from(yield* Effect.flip(exit))
                  assert.strictEqual(failed.reason, "SessionLost")
                }
              }
            })
          )
        }
        assert.isAbove(lost, 10)
      })
    )
  }
})
