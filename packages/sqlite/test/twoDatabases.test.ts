/** Two databases in one program: a tag for each, and transactions that have nothing to do with each other. */
import { Reactivity } from "@effect/experimental"
import { SqlResolver } from "@effect/sql"
import * as EffectSql from "@effect/sql/SqlClient"
import { afterAll, assert, it } from "@effect/vitest"
import type { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Context, Effect, Layer, Option, Schema, type Scope } from "effect"
import { type EngineName, leftovers, onEngines, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

class Orders extends Context.Tag("test/Orders")<Orders, SqliteClient.SqliteClient>() {}
class Archive extends Context.Tag("test/Archive")<Archive, SqliteClient.SqliteClient>() {}

const open = <I>(tag: Context.Tag<I, SqliteClient.SqliteClient>, engine: EngineName) =>
  Layer.scoped(
    tag,
    Effect.flatMap(tempFile, (filename) => SqliteClient.make({ filename, engine }))
  ).pipe(Layer.provide(Reactivity.layer))

/** Two clients that tell the same Reactivity. */
const shared = (engine: EngineName) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(Layer.provideMerge(Layer.empty, Reactivity.layer))
    const reactivity = Context.get(context, Reactivity.Reactivity)
    const make = Effect.flatMap(tempFile, (filename) => SqliteClient.make({ filename, engine })).pipe(
      Effect.provideService(Reactivity.Reactivity, reactivity)
    )
    return { reactivity, orders: yield* make, archive: yield* make }
  })

const Row = Schema.Struct({ id: Schema.Number, name: Schema.String })

/** Written for any `@effect/sql` client, as libraries are. */
const add = (name: string) =>
  Effect.flatMap(EffectSql.SqlClient, (sql) => sql`insert into items ${sql.insert({ name })}`)

/** Effect tells resolvers apart by their names. */
const resolverOf = (name: string, sql: EffectSql.SqlClient) =>
  SqlResolver.findById(name, {
    Id: Schema.Number,
    Result: Row,
    ResultId: (row) => row.id,
    execute: (ids) => sql`select id, name from items where ${sql.in("id", ids)}`
  })

const names = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ name: string }>`select name from items order by id`, (rows) => rows.map(({ name }) => name))

const setUp = Effect.gen(function* () {
  const both = { orders: yield* Orders, archive: yield* Archive }
  yield* Effect.forEach(
    [both.orders, both.archive],
    (sql) => sql`create table items(id integer primary key, name text)`
  )
  return both
})

onEngines("two databases", (engine) => {
  const layers = Layer.merge(open(Orders, engine), open(Archive, engine))
  const test = (name: string, body: Effect.Effect<void, unknown, Orders | Archive | Scope.Scope>) =>
    it.scopedLive(name, () => body.pipe(Effect.timeout("20 seconds"), Effect.provide(layers)))

  test(
    "nested transactions are independent, whichever is the inner one",
    Effect.gen(function* () {
      const { archive, orders } = yield* setUp
      yield* orders.withTransaction(
        Effect.gen(function* () {
          yield* orders`insert into items values (1, 'kept')`
          yield* Effect.ignore(
            archive.withTransaction(
              Effect.gen(function* () {
                yield* archive`insert into items values (1, 'undone')`
                yield* orders`insert into items values (2, 'kept, too')`
                // A savepoint of the outer one's, inside of the other's transaction.
                yield* Effect.ignore(
                  orders.withTransaction(Effect.zipRight(orders`delete from items`, Effect.fail("undo")))
                )
                yield* Effect.fail("undo")
              })
            )
          )
          yield* archive`insert into items values (5, 'at once')`
        })
      )
      assert.deepStrictEqual(yield* names(orders), ["kept", "kept, too"])
      assert.deepStrictEqual(yield* names(archive), ["at once"])
      const moved = archive.withTransaction(
        Effect.gen(function* () {
          yield* orders.withTransaction(orders`delete from items where id = 1`)
          return yield* Effect.fail("undo")
        })
      )
      assert.strictEqual(yield* Effect.flip(moved), "undo")
      assert.deepStrictEqual(yield* names(orders), ["kept, too"])
    })
  )

  test(
    "code for the generic tag runs on the client that it is given, in that one's transaction",
    Effect.gen(function* () {
      const { archive, orders } = yield* setUp
      const on = (sql: SqlClient.SqlClient) => Effect.provideService(EffectSql.SqlClient, sql)
      const undone = orders.withTransaction(
        archive.withTransaction(
          Effect.gen(function* () {
            yield* on(orders)(add("order"))
            yield* on(archive)(add("archived"))
            return yield* Effect.fail([yield* names(orders), yield* names(archive)])
          })
        )
      )
      assert.deepStrictEqual<unknown>(yield* Effect.flip(undone), [["order"], ["archived"]])
      yield* orders.withTransaction(
        Effect.ignore(archive.withTransaction(Effect.zipRight(on(orders)(add("order")), Effect.fail(""))))
      )
      assert.deepStrictEqual([yield* names(orders), yield* names(archive)], [["order"], []])
    })
  )

  test(
    "resolvers of either see their own transaction",
    Effect.gen(function* () {
      const { archive, orders } = yield* setUp
      const [ofOrders, ofArchive] = [yield* resolverOf("orders", orders), yield* resolverOf("archive", archive)]
      const both = Effect.all([ofOrders.execute(1), ofArchive.execute(1)], { batching: true })
      const undone = orders.withTransaction(
        Effect.zipRight(
          orders`insert into items values (1, 'order')`,
          archive.withTransaction(
            Effect.gen(function* () {
              yield* archive`insert into items values (1, 'archived')`
              return yield* Effect.fail(yield* both)
            })
          )
        )
      )
      const found = (yield* Effect.flip(undone)) as unknown as ReadonlyArray<Option.Option<typeof Row.Type>>
      assert.deepStrictEqual(
        found.map((row) => Option.getOrThrow(row).name),
        ["order", "archived"]
      )
      assert.deepStrictEqual(yield* both, [Option.none(), Option.none()])
    })
  )

  it.scopedLive("what comes after the inner client's commit is still within the outer client's transaction", () =>
    Effect.gen(function* () {
      const { archive, orders, reactivity } = yield* shared(engine)
      yield* orders`create table t (a)`
      const order: Array<string> = []
      const unregister = reactivity.unsafeRegister(["only here"], () => void order.push("invalidated"))
      const late = reactivity.mutation(["only here"], orders`insert into t values (1)`)
      yield* orders.withTransaction(
        Effect.gen(function* () {
          yield* archive.withTransaction(archive.afterCommit(late))
          order.push("open")
        })
      )
      assert.deepStrictEqual(order, ["open", "invalidated"])
      yield* Effect.ignore(
        orders.withTransaction(Effect.zipRight(archive.withTransaction(archive.afterCommit(late)), Effect.fail("undo")))
      )
      assert.deepStrictEqual(order, ["open", "invalidated"])
      unregister()
    })
  )
})
