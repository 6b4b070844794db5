/** Migrations on Db2, as far as this server is like it: the lock is LOCK TABLE, names fold, texts are Db2's. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient } from "@sluice/mapepire"
import { Migrator, SqlClient, SqlFailure } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { serve, temporary, users } from "./support.js"

/** A server, and as many clients of it as are asked for: each of them is another process to the database. */
const clients = (count: number) =>
  Effect.gen(function* () {
    // Who waits for the lock is told soon that it is not to be had, and tries again.
    const database = SqliteTransport.layer({ filename: join(yield* temporary, "test.db"), busyTimeout: 500 })
    const { host, port } = yield* serve({ seed: [] }, database)
    const one = Layer.build(
      MapepireClient.layer({ host, port, secure: false, user: "DEV", password: Redacted.make(users.DEV) })
    )
    return yield* Effect.replicateEffect(one, count)
  })

const client = Effect.map(clients(1), ([context]) => Context.get(context!, SqlClient.SqlClient))

const migrate = (
  migrations: Record<string, Migrator.Migration>,
  sql: SqlClient.SqlClient,
  options: Partial<Migrator.Options> = {}
) =>
  Migrator.run({ loader: Migrator.fromRecord(migrations), ...options }).pipe(
    Effect.provideService(SqlClient.SqlClient, sql)
  )

const failing = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.flatMap(Effect.flip(effect), (error) =>
    error instanceof Migrator.MigrationError ? Effect.succeed(error) : Effect.dieMessage(`another: ${String(error)}`)
  )

const people =
  "create table people (id integer not null generated always as identity primary key, name varchar(50) not null)"
const ada = "insert into people (name) values ('Ada')"

describe("Migrator over Mapepire", () => {
  it.scopedLive("applies what is pending, in order of numbers, once", () =>
    Effect.gen(function* () {
      const sql = yield* client
      const insert = Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql`insert into people ${sql.insert({ name: "Grace" })}`
      )
      const first = { "2_grace": insert, "1_people": people }
      assert.deepStrictEqual(yield* migrate(first, sql), [
        [1, "people"],
        [2, "grace"]
      ])
      assert.deepStrictEqual(yield* migrate(first, sql), [])
      assert.deepStrictEqual(yield* migrate({ ...first, "10_ada": ada }, sql), [[10, "ada"]])
      assert.deepStrictEqual(yield* sql`select id, name from people order by id`.values, [
        [1, "Grace"],
        [2, "Ada"]
      ])
      const rows = yield* sql<{ migration_id: number; name: string; checksum: string | null; created_at: string }>`
        select * from effect_sql_migrations order by migration_id`
      assert.deepStrictEqual(
        rows.map(({ checksum, migration_id, name }) => [migration_id, name, checksum?.length]),
        [
          [1, "people", 64],
          [2, "grace", undefined],
          [10, "ada", 64]
        ]
      )
      rows.forEach(({ created_at }) => assert.match(created_at, /^\d{4}-\d\d-\d\d/))
    })
  )

  it.scopedLive("one that fails is undone, with its tables; those before it are kept", () =>
    Effect.gen(function* () {
      const sql = yield* client
      const half = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.zipRight(sql`create table half (n integer)`, sql`insert into nowhere values (1)`)
      )
      const error = yield* failing(migrate({ "1_people": people, "2_half": half, "3_ada": ada }, sql))
      assert.deepStrictEqual([error.reason, error.migration], ["failed", { id: 2, name: "half" }])
      assert.strictEqual(SqlFailure.from(error.cause).reason, "SqlSyntax")
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(sql`select * from half`)).reason, "SqlSyntax")
      assert.deepStrictEqual(yield* sql`select * from people`, [])
      assert.deepStrictEqual(yield* migrate({ "1_people": people, "3_ada": ada }, sql), [[3, "ada"]])
    })
  )

  it.scopedLive("one that was changed after it was applied is noticed", () =>
    Effect.gen(function* () {
      const sql = yield* client
      yield* migrate({ "1_people": people }, sql)
      const error = yield* failing(migrate({ "1_people": people.replace("50", "60") }, sql))
      assert.deepStrictEqual([error.reason, error.migration], ["checksum", { id: 1, name: "people" }])
    })
  )

  it.scopedLive("clients that start together run each migration once", () =>
    Effect.gen(function* () {
      const all = (yield* clients(4)).map((context) => Context.get(context, SqlClient.SqlClient))
      const migrations = { "1_people": people, "2_ada": ada, "3_again": ada, "4_grace": ada.replace("Ada", "Grace") }
      const done = yield* Effect.forEach(all, (sql) => migrate(migrations, sql), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        done
          .flat()
          .map(([id]) => id)
          .sort(),
        [1, 2, 3, 4]
      )
      assert.deepStrictEqual(yield* all[0]!`select name from people order by id`.values, [["Ada"], ["Ada"], ["Grace"]])
    })
  )

  it.scopedLive("one that is interrupted is undone, and its lock let go", () =>
    Effect.gen(function* () {
      const [first, second] = (yield* clients(2)).map((context) => Context.get(context, SqlClient.SqlClient))
      const inside = yield* Deferred.make<void>()
      const slow = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        sql.unsafe(ada).pipe(Effect.zipRight(Deferred.succeed(inside, void 0)), Effect.zipRight(Effect.never))
      )
      const fiber = yield* Effect.fork(migrate({ "1_people": people, "2_slow": slow }, first!))
      yield* Deferred.await(inside)
      const locked = yield* failing(
        migrate({ "1_people": people, "2_slow": ada }, second!, { lockTimeout: "100 millis" })
      )
      assert.strictEqual(locked.reason, "locked")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(yield* second!`select * from people`, [])
      assert.deepStrictEqual(yield* migrate({ "1_people": people, "2_slow": ada }, second!), [[2, "slow"]])
    })
  )
})
