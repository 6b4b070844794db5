import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Console, Effect } from "effect"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "console-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const stock = Effect.gen(function* () {
  const sql = yield* SqliteClient.SqliteClient
  yield* sql`create table goods(id integer primary key, name text not null)`
  yield* sql.many(
    "insert into goods(name) values (?)",
    ["screw", "nut", "bolt", "nail"].map((name) => [name])
  )
})

/** What somebody is told whose statement this is: the rows, that there were more, or why there are none. */
const answer = (statement: string) =>
  Effect.gen(function* () {
    const sql = yield* SqliteClient.Untrusted
    const { columns, rows, truncated } = yield* sql.query(statement)
    const lines = [columns, ...rows].map((values) => values.join(" | "))
    return truncated === false ? lines : [...lines, `(cut off: too many ${truncated})`]
  }).pipe(
    Effect.catchTag("SqlError", (error) => Effect.succeed([`${SqlFailure.from(error).reason}: ${error.message}`]))
  )

const statements = [
  "select name from goods where name like 'n%' order by name",
  "select name from goods",
  "select 1; drop table goods",
  "delete from goods",
  "attach '/etc/passwd' as secrets",
  "with recursive up(n) as (select 1 union all select n + 1 from up) select count(*) from up"
]

const program = Effect.gen(function* () {
  const filename = join(yield* folder, "shop.db")
  yield* Effect.provide(stock, SqliteClient.layer({ filename }))
  yield* Effect.forEach(statements, (statement) =>
    Effect.flatMap(answer(statement), (lines) => Console.log(`> ${statement}\n${lines.join("\n")}\n`))
  ).pipe(Effect.provide(SqliteClient.layerUntrusted({ filename, maxRows: 3, deadline: "1 second" })))
})

program.pipe(Effect.scoped, Effect.runPromise).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
