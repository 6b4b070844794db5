/** Workers that are terminated at any moment, in the middle of whatever they do. */
import type { Worker } from "node:worker_threads"
import type { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import { lives } from "../life.js"
import type { Soak } from "../soak.js"
import { changesOptions, heard } from "./listener.js"
import { fileIn, onFile, place } from "./sqlite.js"

const workers = new Set<Worker>()

process.on("worker", (worker) => {
  workers.add(worker)
  worker.once("exit", () => workers.delete(worker))
})

const kill = (soak: Soak): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { random } = soak
    while (!soak.over()) {
      yield* Effect.sleep(random.between(5, 500))
      const alive = [...workers]
      const victim = alive[random.between(0, alive.length)]
      if (victim !== undefined) {
        soak.count("workers killed")
        void victim.terminate()
      }
    }
  })

/** Those that were killed while they opened the file have never been a session. */
const expected = ({ reason }: SqlFailure.SqlFailure): boolean => reason === "SessionLost" || reason === "Connection"

export const round = (soak: Soak): Effect.Effect<void, unknown> => {
  const { random } = soak
  const config = {
    filename: fileIn(soak),
    readers: random.between(0, 4),
    disableWAL: random.chance(0.3),
    // The portable engine's statements are calls of a library that does not survive being cut off.
    engine: "native" as const,
    changes: changesOptions(soak),
    grace: 30_000,
    busyTimeout: 30_000
  }
  return onFile(soak, config, (sql, ledger) =>
    Effect.flatMap(place(sql, expected), (here) => {
      const fibers = random.between(2, 10)
      return heard(sql, soak, Effect.zipLeft(lives(here, ledger, soak, fibers), kill(soak), { concurrent: true }))
    })
  )
}
