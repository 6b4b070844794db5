/** What modules of this package need to know of a client, and nobody else. */
import * as EffectSql from "@effect/sql/SqlClient"
import type * as Context from "effect/Context"
import type { SqlClient } from "../SqlClient.js"
import type { TransformRows } from "./rows.js"

export const InsideId: unique symbol = Symbol.for("@sluice/sql/SqlClient/Inside")

export interface Inside {
  /** Identifies the transaction (or its level) that a context is in. */
  readonly transactionOf: (context: Context.Context<never>) => unknown
  readonly transformRows: TransformRows
}

/** A client that somebody wrapped may have lost it; then only `@effect/sql`'s own tag tells of transactions. */
const unknown: Inside = {
  transactionOf: (context) => {
    const connection = context.unsafeMap.get(EffectSql.TransactionConnection.key) as ReadonlyArray<unknown> | undefined
    return connection?.[0]
  },
  transformRows: undefined
}

export const insideOf = (client: SqlClient): Inside =>
  InsideId in client ? (client as unknown as { readonly [InsideId]: Inside })[InsideId] : unknown
