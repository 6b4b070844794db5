/** What the stream of changes consists of. */
import type * as Duration from "effect/Duration"
import type { RowChange } from "../callbacks/model.js"

/** Rows that have changed, without one being told from the other. */
export interface UnknownChange {
  readonly operation: "unknown"
  /** With `table`; undefined: any table may have changed. */
  readonly database: string | undefined
  readonly table: string | undefined
  /** How many, where that is known. */
  readonly rows: number | undefined
}

/** A row that a committed transaction has changed, or that there was more than rows can tell. */
export type Change = RowChange | UnknownChange

/** How changes wait for whoever reads them. */
export interface ChangesOptions {
  /**
   * Changes that wait for one subscriber. What comes while so many wait is not kept: the subscriber gets one
   * `UnknownChange` per table in its place, with the number of rows. Default 16,384.
   */
  readonly capacity?: number | undefined
  /**
   * How often a file is looked at for commits of other connections, while somebody listens. Default 1 second. Databases
   * in memory have no others.
   */
  readonly interval?: Duration.DurationInput | undefined
}
