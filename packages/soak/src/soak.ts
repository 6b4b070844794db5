/** What a scenario is, and what it is given. */
import type * as Effect from "effect/Effect"
import type { Random } from "./random.js"

/** What one round of a scenario works with. */
export interface Soak {
  readonly random: Random
  /** A directory for this round alone; removed afterwards, whatever is in it. */
  readonly directory: string
  /** Counts from 0; round 0 warms up, where there is time for that. */
  readonly round: number
  /** As little as shows something: the first round, and those of the tests. */
  readonly short: boolean
  /** How long the round is to last, in milliseconds. */
  readonly millis: number
  /** Whether that time is over. */
  readonly over: () => boolean
  /** Adds to what the report tells. */
  readonly count: (what: string, by?: number) => void
  /** Notes that an invariant does not hold. */
  readonly breach: (what: string) => void
  /** Runs an effect that must come to an end within a minute; a breach if it does not, and the end of the scenario. */
  readonly watched: <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** One kind of trouble. A scenario is rounds of it, each with a database of its own. */
export interface Scenario {
  readonly name: string
  /** One line for the report. */
  readonly about: string
  /** Its part of the time, beside the others'. */
  readonly weight: number
  /** How long a round lasts, in milliseconds; 0: as long as it takes. */
  readonly roundMillis: { readonly long: number; readonly short: number }
  /** Rounds at least, when it is the only one that was asked for. */
  readonly rounds?: number
  readonly load: () => Promise<ScenarioModule>
}

/** What a scenario's module exports. */
export interface ScenarioModule {
  /** Why it cannot run on this machine, if it cannot. */
  readonly unavailable?: () => string | undefined
  /** Fails with anything that should not have been: a breach, too. */
  readonly round: (soak: Soak) => Effect.Effect<void, unknown>
}
