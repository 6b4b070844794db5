/** Where the lives of the scenarios are lived: what differs between databases, and between scenarios. */
import type * as Statement from "@effect/sql/Statement"
import type { SqlClient, SqlFailure } from "@sluice/sql"
import type * as Effect from "effect/Effect"

export interface Place {
  readonly sql: SqlClient.SqlClient
  /** A query that never ends by itself. */
  readonly endless: string
  /** Whether such a query has its session for itself: one that shares it is not stopped, and holds up the others. */
  readonly alone: boolean
  /** Failures that the trouble of this scenario may bring, beside those that a statement brings on itself. */
  readonly expected: (failure: SqlFailure.SqlFailure) => boolean
  /** Whether a call of `many` outside of a transaction is all or nothing. */
  readonly manyIsWhole: boolean
  /** Whether what has been told as committed must be seen by the next statement. */
  readonly seesItsCommits: boolean
  /** Statements in one round trip and one transaction, where the database has that; answers each one's rows. */
  readonly batch?: (
    statements: ReadonlyArray<Statement.Fragment>
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<Readonly<Record<string, unknown>>>>, unknown>
  /** Inserts rows by a program in the worker (`programs/inWorker.ts`), where there is one; answers how many it has seen. */
  readonly inWorker?: (program: "singly" | "together", rows: ReadonlyArray<number>) => Effect.Effect<number, unknown>
}
