/**
 * One fiber's life: statements of all kinds, one after the other, each of them stopped or not as chance has it, and each
 * noted with what the program was told about it. The same on both databases.
 */
import * as Effect from "effect/Effect"
import type { Ledger } from "./ledger.js"
import type { Place } from "./life/place.js"
import { committed, endless, point, stream, sum } from "./life/reads.js"
import { counter, transfer } from "./life/transactions.js"
import { Trial } from "./life/trial.js"
import { batch, duplicate, inWorker, insert, many } from "./life/writes.js"
import type { Random } from "./random.js"
import type { Soak } from "./soak.js"

type Kind = (trial: Trial) => Effect.Effect<void>

/** What is done at a place, and how often. */
const kindsAt = (place: Place): ReadonlyArray<readonly [kind: Kind, weight: number]> => [
  [insert, 20],
  [point, 14],
  [many, 8],
  [transfer, 18],
  [counter, 8],
  [stream, 12],
  [sum, 6],
  [committed, 6],
  [duplicate, 3],
  [endless, place.alone ? 3 : 0],
  ...(place.batch === undefined ? [] : [[batch(place.batch), 6] as const]),
  ...(place.inWorker === undefined ? [] : [[inWorker(place.inWorker), 6] as const])
]

const oneOf = (kinds: ReturnType<typeof kindsAt>, next: Random): Kind => {
  let at = next() * kinds.reduce((sum, [, weight]) => sum + weight, 0)
  return kinds.find(([, weight]) => (at -= weight) < 0)?.[0] ?? point
}

const live = (trial: Trial, over: () => boolean): Effect.Effect<void> => {
  const kinds = kindsAt(trial.place)
  const step: Effect.Effect<void> = Effect.suspend(() => {
    if (over()) {
      return Effect.void
    }
    trial.soak.count("queries")
    return Effect.zipRight(oneOf(kinds, trial.next)(trial), step)
  })
  return step
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
    (i) => live(new Trial(place, ledger, soak, soak.random.fork(i)), over),
    { concurrency: "unbounded", discard: true }
  )
