import { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import type { Outcome } from "./scriptedDaemon.js"

/** So many rows of one number. */
export const numbers = (count: number): Outcome => ({
  columns: [
    { name: "N", type: "INTEGER" },
    { name: "Label", type: "VARCHAR" }
  ],
  rows: Array.from({ length: count }, (_, i) => [i + 1, `row ${i + 1}`])
})

/** Waits until something is so; a test that waits in vain runs into its own timeout. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.zipRight(Effect.sleep(5), until(condition))))

/** Two ends of one pipe in memory. */
export const duplexPair = (): readonly [Duplex, Duplex] => {
  const end = (other: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        other().push(chunk)
        done()
      },
      final(done) {
        other().push(null)
        done()
      }
    })
  const first: Duplex = end(() => second)
  const second: Duplex = end(() => first)
  return [first, second]
}
