/** A daemon that is killed, or ended, and started again. */
import * as Effect from "effect/Effect"
import type { Soak } from "../soak.js"
import { troubled } from "./mapepire.js"

export const round = (soak: Soak): Effect.Effect<void, unknown> =>
  troubled(soak, (_, restart) =>
    Effect.gen(function* () {
      const random = soak.random.fork(6_000)
      while (!soak.over()) {
        yield* Effect.sleep(random.between(100, 1_000))
        yield* restart
      }
    })
  )
