/** A statement that is carried out for a request. */
import type { Client, Entry } from "../client.js"
import type { Connection } from "../connection.js"
import type { Known } from "../statementCache.js"

export interface Execution {
  readonly client: Client
  readonly connection: Connection
  /** Gets the result, if there is one. */
  readonly entry: Entry
  readonly known: Known
  /** Wanted of the result's first page. */
  readonly rows: number
}
