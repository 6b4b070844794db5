/** How SQLite would run a statement, as a tree: EXPLAIN QUERY PLAN. */
import { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import { type SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import { firstStatement } from "./split.js"

/** A step of a query plan, and those that it consists of, in order. */
export interface PlanNode {
  /** In SQLite's words, such as `SCAN t` or `SEARCH t USING INDEX i (a=?)`; they change with its versions. */
  readonly detail: string
  readonly children: ReadonlyArray<PlanNode>
}

interface PlanRow {
  readonly id: number
  readonly parent: number
  readonly detail: string
}

interface Building extends PlanNode {
  readonly children: Array<PlanNode>
}

/** A parent always comes before its children. */
const treeOf = (rows: ReadonlyArray<PlanRow>): ReadonlyArray<PlanNode> => {
  const roots: Array<PlanNode> = []
  const nodes = new Map<number, Building>()
  for (const { detail, id, parent } of rows) {
    const node: Building = { detail, children: [] }
    nodes.set(id, node)
    ;(nodes.get(parent)?.children ?? roots).push(node)
  }
  return roots
}

export const makeExplain =
  (client: SqlClient.SqlClient, compiler: Statement.Compiler) =>
  (statement: Statement.Fragment | string): Effect.Effect<ReadonlyArray<PlanNode>, SqlError> =>
    Effect.suspend(() => {
      const compiled = SqlTransport.compile(compiler, statement)
      if (compiled instanceof SqlError) {
        return Effect.fail(compiled)
      }
      const [text, params] = compiled
      const only = firstStatement(text)
      // What comes behind the first statement would be run, and not explained.
      if (only === undefined || only.tail !== "") {
        const message = "sql.explain takes exactly one statement"
        return Effect.fail(SqlFailure.make({ reason: "Unsupported", message, statement: text }))
      }
      const explained = client.unsafe<PlanRow>(`EXPLAIN QUERY PLAN ${only.text}`, params).withoutTransform
      return Effect.map(explained, treeOf)
    })
