/** What the tests of stopping share: statements without end, clients in a scope of their own, a look at the pools. */
import { assert } from "@effect/vitest"
import { SqliteClient } from "@sluice/sqlite"
import { Context, Effect, Layer } from "effect"
import type { EngineName } from "../support.js"
import { layerOf, spin } from "../support.js"

/** Never ends, and can be stopped on this engine: the portable one stops between rows only. */
export const endless = (engine: EngineName): string =>
  engine === "native"
    ? spin
    : "with recursive spin(n) as (select 1 union all select n + 1 from spin) select n from spin where n % 1000 = 0"

/** The same as a write that ends with its 10th million, in some seconds; stopped it leaves nothing. */
export const slowInsert = (engine: EngineName, table: string): string =>
  `insert into ${table} with recursive up(n) as (select 1 union all select n + 1 from up limit ` +
  `${engine === "native" ? 1_000_000_000 : 3_000_000}) select n from up where n % 1000000 = 0`

/** A client in the scope around. */
export const open = (engine: EngineName, config: Partial<SqliteClient.SqliteClientConfig> = {}) =>
  Effect.map(Layer.build(layerOf(engine, config)), (context) => Context.get(context, SqliteClient.SqliteClient))

/** Asserts that nobody holds a session or waits for one, and that the client answers. */
export const assertIdle = (sql: SqliteClient.SqliteClient) =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    for (const { leases, name, waiting } of yield* sql.statistics) {
      assert.deepStrictEqual({ name, leases, waiting }, { name, leases: 0, waiting: 0 })
    }
  })

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** How long an effect takes, in milliseconds. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [number, A], E, R> =>
  Effect.suspend(() => {
    const started = performance.now()
    return Effect.map(effect, (value) => [performance.now() - started, value] as const)
  })
