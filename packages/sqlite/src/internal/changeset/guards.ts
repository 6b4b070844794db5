/**
 * Keeps the actions of foreign keys (`ON DELETE CASCADE` and the like) away while a changeset is applied: what they did
 * where it was recorded is in it, and here they would do it again, or more. Foreign keys are still looked at in the end.
 *
 * SQLite's own flag for it (`SQLITE_CHANGESETAPPLY_FKNOACTION`) cannot be reached. Temporary triggers pass over the rows that
 * refer to what is not there any more, as it is only when such an action comes to them; not that of the change being made
 * (`rowKey`). They go with the transaction when it is undone.
 */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlClient } from "@sluice/sql"
import * as Effect from "effect/Effect"
import { rowKey } from "../messages.js"
import { folded } from "../folded.js"
import { quoted } from "../quoting.js"

/** Foreign keys that act on rows of their tables, a row for each of their columns. */
const acting = `
  select its.name, found.id, found."table", found."from", coalesce(found."to", (
      select name from pragma_table_info(found."table", its.schema) where pk = found.seq + 1
    ))
  from pragma_table_list as its join pragma_foreign_key_list(its.name, its.schema) as found
  where its.schema = ? collate nocase and its.type = 'table' and (select foreign_keys from pragma_foreign_keys)
    and (found.on_update in ('CASCADE', 'SET NULL', 'SET DEFAULT') or found.on_delete in ('CASCADE', 'SET NULL', 'SET DEFAULT'))
  order by 1, 2, found.seq`

interface ForeignKey {
  readonly child: string
  readonly parent: string
  readonly columns: Array<readonly [its: string, parents: string]>
}

const foreignKeys = (client: SqlClient.SqlClient, schema: string, changed: ReadonlySet<string>) =>
  Effect.map(client.unsafe(acting, [schema]).values, (rows) => {
    const found = new Map<string, ForeignKey>()
    for (const [child, id, parent, its, parents] of rows as ReadonlyArray<[string, unknown, string, string, string]>) {
      if (changed.has(folded(parent))) {
        const name = `${String(id)} ${child}`
        const key: ForeignKey = found.get(name) ?? { child, parent, columns: [] }
        found.set(name, key)
        key.columns.push([its, parents])
      }
    }
    return [...found.values()]
  })

export interface Guards {
  readonly any: boolean
  /** By which its triggers know a table; 0: it has none. */
  readonly numberOf: (table: string) => number
  readonly takeAway: Effect.Effect<void, SqlError>
}

let last = 0

/** For changes of these tables. `runOwn` runs what concerns nobody else. */
export const guard = (
  client: SqlClient.SqlClient,
  schema: string,
  changed: ReadonlyArray<string>,
  runOwn: (text: string) => Effect.Effect<unknown, SqlError>
): Effect.Effect<Guards, SqlError> =>
  Effect.gen(function* () {
    const numbers = new Map<string, number>()
    const names: Array<string> = []
    const keys = yield* foreignKeys(client, schema, new Set(changed.map(folded)))
    for (const { child, columns, parent } of keys) {
      const number = numbers.get(folded(child)) ?? ++last
      numbers.set(folded(child), number)
      const keyed = client.unsafe("select name from pragma_table_info(?, ?) where pk > 0 order by cid", [child, schema])
      const own = (yield* keyed.values).map(([name], i) => `OLD.${quoted(name as string)} = ${rowKey}(${number}, ${i})`)
      const referred = columns.map(([its, parents]) => `there.${quoted(parents)} = OLD.${quoted(its)}`)
      for (const event of ["DELETE", `UPDATE OF ${columns.map(([its]) => quoted(its)).join(", ")}`]) {
        const name = quoted(`sluice_apply_${number}_${names.length}`)
        yield* runOwn(
          `CREATE TEMP TRIGGER ${name} BEFORE ${event} ON ${quoted(schema)}.${quoted(child)} ` +
            `WHEN ${rowKey}(0, 0) AND (${own.join(" AND ") || "0"}) IS NOT 1 AND ` +
            `NOT EXISTS (SELECT 1 FROM ${quoted(schema)}.${quoted(parent)} AS there WHERE ${referred.join(" AND ")}) ` +
            "BEGIN SELECT RAISE(IGNORE); END"
        )
        names.push(name)
      }
    }
    return {
      any: names.length > 0,
      numberOf: (table) => numbers.get(folded(table)) ?? 0,
      takeAway: Effect.forEach(names, (name) => runOwn(`DROP TRIGGER temp.${name}`), { discard: true })
    }
  })
