/** Choices that are the same for the same seed. */

export interface Random {
  /** In [0, 1). */
  (): number
  /** A whole number in [from, to). */
  readonly between: (from: number, to: number) => number
  readonly oneOf: <A>(choices: readonly [A, ...ReadonlyArray<A>]) => A
  readonly chance: (probability: number) => boolean
  /** Choices of their own for a part of the work, so that what others do does not change them. */
  readonly fork: (salt: number) => Random
}

/** mulberry32: 32 bits of state, good enough to choose what to do next. */
export const random = (seed: number): Random => {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from))
  return Object.assign(next, {
    between,
    oneOf: <A>(choices: readonly [A, ...ReadonlyArray<A>]): A => choices[between(0, choices.length)] ?? choices[0],
    chance: (probability: number) => next() < probability,
    fork: (salt: number) => random(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(salt + 1, 0xc2b2ae35))
  })
}
