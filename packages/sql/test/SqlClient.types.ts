/** What the compiler knows of clients; checked by `tsc`, never run. */
import type * as EffectSql from "@effect/sql/SqlClient"
import type { SqlClient } from "@sluice/sql"
import { expectTypeOf } from "vitest"

declare const sql: SqlClient.SqlClient

expectTypeOf(sql).toExtend<EffectSql.SqlClient>()

// A branch for Db2, which is none of upstream's dialects; and none for what nobody has.
const branches = { sqlite: () => "two", orElse: () => true }
expectTypeOf(sql.onDialectOrElse({ ...branches, db2: () => 1 })).toEqualTypeOf<number | string | boolean>()
expectTypeOf(sql.withoutTransforms().onDialectOrElse({ db2: () => 1, orElse: () => 1 })).toEqualTypeOf<number>()
expectTypeOf(sql.onDialectOrElse({ orElse: () => 1 })).toEqualTypeOf<number>()
// @ts-expect-error -- no such dialect
sql.onDialectOrElse({ db3: () => 1, orElse: () => 1 })
