/** Sockets that are cut at any byte, or silent for a while. */
import * as Effect from "effect/Effect"
import type { Soak } from "../soak.js"
import { troubled } from "./mapepire.js"

export const round = (soak: Soak): Effect.Effect<void, unknown> =>
  troubled(soak, (proxy) =>
    Effect.gen(function* () {
      const random = soak.random.fork(6_000)
      while (!soak.over()) {
        yield* Effect.sleep(random.between(5, 300))
        if (random.chance(0.25)) {
          soak.count("sockets stalled")
          yield* proxy.stall(random.between(10, 500))
        } else if (proxy.drop()) {
          soak.count("sockets dropped")
        }
      }
    })
  )
