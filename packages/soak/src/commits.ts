/** What the process that is killed while it commits is told to do. */
import type { SqliteClient } from "@sluice/sqlite"

export interface Commits {
  readonly config: SqliteClient.SqliteClientConfig
  readonly seed: number
  /** The first unit is the one behind it; each fiber takes every `fibers`-th of those that follow. */
  readonly base: number
  readonly fibers: number
  readonly readers: number
}

/** How many rows a unit has, known to those who look at the file. */
export const rowsOf = (unit: number): number => 1 + (unit % 7)
