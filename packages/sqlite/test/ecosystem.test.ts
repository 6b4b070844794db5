/** Programs written for `@effect/sql` and its companions, run as they are on the SQLite client. */
import {
  ClusterSchema,
  Entity,
  EntityAddress,
  EntityId,
  EntityType,
  Envelope,
  Message,
  MessageStorage,
  Reply,
  Runner,
  RunnerAddress,
  RunnerStorage,
  ShardId,
  ShardingConfig,
  SingleRunner,
  Snowflake,
  SqlMessageStorage,
  SqlRunnerStorage
} from "@effect/cluster"
import { PersistedQueue } from "@effect/experimental"
import { Headers } from "@effect/platform"
import { Rpc } from "@effect/rpc"
import { Migrator, Model, SqlPersistedQueue, SqlResolver, SqlSchema } from "@effect/sql"
import * as EffectSql from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as SqliteDrizzle from "@effect/sql-drizzle/Sqlite"
import * as SqliteKysely from "@effect/sql-kysely/Sqlite"
import { afterAll, assert, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import * as Drizzle from "drizzle-orm/sqlite-core"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Option, PrimaryKey, Schema } from "effect"
import type { Generated } from "kysely"
import { layerOf, layerOnFile, leftovers, onEngines } from "./support.js"

// ---- kysely and drizzle: one table

interface Database {
  readonly person: { readonly id: Generated<number>; readonly name: string; readonly nick: string | null }
}

// Drizzle's types do not hold under exactOptionalPropertyTypes.

const person: any = Drizzle.sqliteTable("person", {
  id: Drizzle.integer("id").primaryKey(),
  name: Drizzle.text("name").notNull(),
  nick: Drizzle.text("nick")
})

// ---- Model

const PersonId = Schema.Number.pipe(Schema.brand("PersonId"))

class Person extends Model.Class<Person>("Person")({
  id: Model.Generated(PersonId),
  name: Schema.NonEmptyString,
  tags: Model.JsonFromString(Schema.Array(Schema.String)),
  createdAt: Model.DateTimeInsert,
  updatedAt: Model.DateTimeUpdate
}) {}

// ---- PersistedQueue

const Job = Schema.Struct({ size: Schema.BigInt })

// ---- cluster

class Greet extends Schema.TaggedRequest<Greet>()("Greet", {
  success: Schema.String,
  failure: Schema.Never,
  payload: { id: Schema.String, name: Schema.String }
}) {
  [PrimaryKey.symbol]() {
    return this.id
  }
}

const greet = Rpc.make("greet", {
  payload: { id: Schema.String, name: Schema.String },
  success: Schema.String,
  primaryKey: ({ id }) => id
}).annotate(ClusterSchema.Persisted, true)

const Greeter = Entity.make("Greeter", [greet])

const shard = ShardId.make("default", 1)

const greetRpc = Rpc.fromTaggedRequest(Greet)

const makeGreet = (name: string) =>
  Effect.map(
    Snowflake.Generator,
    (snowflake) =>
      new Message.OutgoingRequest({
        envelope: Envelope.makeRequest<typeof greetRpc>({
          requestId: snowflake.unsafeNext(),
          address: EntityAddress.EntityAddress.make({
            shardId: shard,
            entityType: EntityType.EntityType.make("Greeter"),
            entityId: EntityId.EntityId.make("one")
          }),
          tag: greetRpc._tag,
          payload: new Greet({ id: name, name }),
          headers: Headers.empty
        }),
        context: Context.empty(),
        rpc: greetRpc,
        lastReceivedReply: Option.none(),
        respond: () => Effect.void
      })
  )

const makeReply = (request: Message.OutgoingRequest<typeof greetRpc>, text: string) =>
  Effect.map(
    Snowflake.Generator,
    (snowflake) =>
      new Reply.ReplyWithContext<typeof greetRpc>({
        reply: new Reply.WithExit({
          id: snowflake.unsafeNext(),
          requestId: request.envelope.requestId,
          exit: Exit.succeed(text)
        }),
        context: request.context,
        rpc: greetRpc
      })
  )

onEngines("ecosystem", (engine) => {
  afterAll(() => Effect.runPromise(leftovers))

  const memory = layerOf(engine)

  const table = Effect.gen(function* () {
    const sql = yield* EffectSql.SqlClient
    yield* sql`CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, nick TEXT)`
    yield* sql`INSERT INTO person ${sql.insert([
      { name: "Ada", nick: null },
      { name: "Bob", nick: "B" },
      { name: "Cleo", nick: null }
    ])}`
    return sql
  })

  const Row = Schema.Struct({ id: Schema.Number, name: Schema.String })

  // ---- SqlResolver

  it.scopedLive("SqlResolver: ordered, grouped, findById and void, each one statement per batch", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const batches: Array<number> = []
      const counted = <A>(ids: ReadonlyArray<A>) => {
        batches.push(ids.length)
        return ids
      }
      const Insert = yield* SqlResolver.ordered("Insert", {
        Request: Schema.String,
        Result: Row,
        execute: (names) => sql`INSERT INTO person ${sql.insert(counted(names).map((name) => ({ name })))} RETURNING *`
      })
      const ByNick = yield* SqlResolver.grouped("ByNick", {
        Request: Schema.NullOr(Schema.String),
        RequestGroupKey: (nick) => nick,
        Result: Schema.Struct({ name: Schema.String, nick: Schema.NullOr(Schema.String) }),
        ResultGroupKey: (row) => row.nick,
        execute: (nicks) =>
          sql`SELECT * FROM person WHERE coalesce(nick, '') IN ${sql.in(counted(nicks).map((n) => n ?? ""))} ORDER BY id`
      })
      const ById = yield* SqlResolver.findById("ById", {
        Id: Schema.Number,
        Result: Row,
        ResultId: (row) => row.id,
        execute: (ids) => sql`SELECT id, name FROM person WHERE ${sql.in("id", counted(ids))}`
      })
      const Remove = yield* SqlResolver.void("Remove", {
        Request: Schema.Number,
        execute: (ids) => sql`DELETE FROM person WHERE ${sql.in("id", counted(ids))}`
      })
      const batching = { batching: true } as const
      assert.deepStrictEqual(yield* Effect.forEach(["Dan", "Eve"], Insert.execute, batching), [
        { id: 4, name: "Dan" },
        { id: 5, name: "Eve" }
      ])
      const groups = yield* Effect.forEach(["B", null, "none"], ByNick.execute, batching)
      assert.deepStrictEqual(
        groups.map((group) => group.map(({ name }) => name)),
        [["Bob"], ["Ada", "Cleo", "Dan", "Eve"], []]
      )
      assert.deepStrictEqual(yield* Effect.forEach([5, 99, 1], ById.execute, batching), [
        Option.some({ id: 5, name: "Eve" }),
        Option.none(),
        Option.some({ id: 1, name: "Ada" })
      ])
      yield* Effect.forEach([1, 2, 3], Remove.execute, { batching: true, discard: true })
      assert.deepStrictEqual(batches, [2, 3, 3, 3])
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM person`, [{ n: 2 }])
    }).pipe(Effect.provide(memory))
  )

  it.scopedLive("SqlResolver: batches inside a transaction see it and end with it", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const Insert = yield* SqlResolver.ordered("Insert", {
        Request: Schema.String,
        Result: Row,
        execute: (names) => sql`INSERT INTO person ${sql.insert(names.map((name) => ({ name })))} RETURNING id, name`
      })
      const ById = yield* SqlResolver.findById("ById", {
        Id: Schema.Number,
        Result: Row,
        ResultId: (row) => row.id,
        execute: (ids) => sql`SELECT id, name FROM person WHERE ${sql.in("id", ids)}`
      })
      const both = Effect.gen(function* () {
        const [dan] = yield* Effect.all([Insert.execute("Dan"), Insert.execute("Eve")], { batching: true })
        return yield* Effect.all([ById.execute(dan.id), ById.execute(77)], { batching: true })
      })
      const found: Array<Option.Option<typeof Row.Type>> = [Option.some({ id: 4, name: "Dan" }), Option.none()]
      const nested = sql.withTransaction(Effect.flatMap(sql.withTransaction(both), (rows) => Effect.fail(rows)))
      assert.deepStrictEqual<unknown>(yield* Effect.flip(nested), found)
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM person`, [{ n: 3 }])
      assert.deepStrictEqual(yield* sql.withTransaction(both), found)
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM person`, [{ n: 5 }])
    }).pipe(Effect.provide(memory))
  )

  // ---- SqlSchema

  it.scopedLive("SqlSchema: findAll, findOne, single and void", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const byNick = {
        Request: Schema.String,
        execute: (nick: string) => sql`SELECT * FROM person WHERE nick = ${nick}`
      }
      assert.deepStrictEqual(yield* SqlSchema.findAll({ ...byNick, Result: Row })("B"), [{ id: 2, name: "Bob" }])
      assert.deepStrictEqual(yield* SqlSchema.findOne({ ...byNick, Result: Row })("C"), Option.none())
      assert.deepStrictEqual(yield* SqlSchema.single({ ...byNick, Result: Row })("B"), { id: 2, name: "Bob" })
      const rename = SqlSchema.void({
        Request: Schema.Struct({ id: Schema.Number, name: Schema.Trim }),
        execute: ({ id, name }) => sql`UPDATE person SET name = ${name} WHERE id = ${id}`
      })
      yield* rename({ id: 2, name: "Bert" })
      assert.deepStrictEqual(yield* sql`SELECT name FROM person WHERE id = 2`, [{ name: "Bert" }])
      const wrong = SqlSchema.findAll({ ...byNick, Result: Schema.Struct({ name: Schema.Number }) })
      assert.strictEqual((yield* Effect.flip(wrong("B")))._tag, "ParseError")
    }).pipe(Effect.provide(memory))
  )

  // ---- Model

  it.scopedLive("Model: a repository, and data loaders inside a transaction", () =>
    Effect.gen(function* () {
      const sql = yield* EffectSql.SqlClient
      yield* sql`CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, tags TEXT, createdAt TEXT, updatedAt TEXT)`
      const options = { tableName: "people", spanPrefix: "People", idColumn: "id" } as const
      const people = yield* Model.makeRepository(Person, options)
      const ada = yield* people.insert(
        Person.insert.make({ name: "Ada", tags: ["first"], createdAt: undefined, updatedAt: undefined })
      )
      assert.deepStrictEqual([ada.id, ada.name, ada.tags], [1, "Ada", ["first"]] as never)
      const updated = yield* people.update(
        Person.update.make({ id: ada.id, name: "Ada L.", tags: [], updatedAt: undefined })
      )
      assert.strictEqual(updated.name, "Ada L.")
      assert.deepStrictEqual(yield* people.findById(ada.id), Option.some(updated))
      const names = ["Bob", "Cleo"]
      const inserted = sql.withTransaction(
        Effect.gen(function* () {
          // A loader runs its batches where it was made.
          const loaders = yield* Model.makeDataLoaders(Person, { ...options, window: 5 })
          const rows = yield* Effect.forEach(
            names,
            (name) =>
              loaders.insert(Person.insert.make({ name, tags: [], createdAt: undefined, updatedAt: undefined })),
            { concurrency: "unbounded" }
          )
          const found = yield* Effect.forEach(rows, ({ id }) => loaders.findById(id), { concurrency: "unbounded" })
          return yield* Effect.fail(found.map((person) => Option.getOrThrow(person).name))
        })
      )
      assert.deepStrictEqual(yield* Effect.flip(inserted), names)
      assert.deepStrictEqual(yield* sql`SELECT name FROM people`, [{ name: "Ada L." }])
      yield* people.delete(ada.id)
      assert.deepStrictEqual(yield* people.findById(ada.id), Option.none())
    }).pipe(Effect.provide(memory))
  )

  // ---- Migrator

  it.scopedLive("Migrator: runs what is pending, once, and nothing of a set that fails", () =>
    Effect.gen(function* () {
      const sql = yield* EffectSql.SqlClient
      const create = Effect.flatMap(EffectSql.SqlClient, (sql) => sql`CREATE TABLE a(n)`)
      const fill = Effect.flatMap(EffectSql.SqlClient, (sql) => sql`INSERT INTO a VALUES (1)`)
      const migrate = (migrations: Record<string, Effect.Effect<unknown, unknown, EffectSql.SqlClient>>) =>
        Migrator.make({})({ loader: Migrator.fromRecord(migrations) })
      assert.deepStrictEqual(yield* migrate({ "1_create": create }), [[1, "create"]])
      const failing = migrate({ "1_create": create, "2_fill": fill, "3_break": Effect.fail("broken") })
      const exit = yield* Effect.exit(failing)
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      assert.deepStrictEqual(yield* sql`SELECT * FROM a`, [])
      assert.deepStrictEqual(yield* migrate({ "1_create": create, "2_fill": fill }), [[2, "fill"]])
      assert.deepStrictEqual(yield* migrate({ "1_create": create, "2_fill": fill }), [])
      assert.deepStrictEqual(yield* sql`SELECT * FROM a`, [{ n: 1 }])
      assert.deepStrictEqual(yield* sql`SELECT migration_id, name FROM effect_sql_migrations ORDER BY 1`, [
        { migration_id: 1, name: "create" },
        { migration_id: 2, name: "fill" }
      ])
    }).pipe(Effect.provide(memory))
  )

  // ---- SqlPersistedQueue

  it.scopedLive("SqlPersistedQueue: takes in order, once per id, again after a failure or an interruption", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make({ name: "jobs", schema: Job })
      yield* queue.offer({ size: 1n }, { id: "same" })
      yield* queue.offer({ size: 2n }, { id: "same" })
      yield* queue.offer({ size: 3n })
      assert.strictEqual(yield* queue.take(({ size }) => Effect.succeed(size)), 1n)
      assert.strictEqual(yield* Effect.flip(queue.take(() => Effect.fail("not now"))), "not now")
      const taken = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(queue.take(() => Effect.zipRight(Deferred.succeed(taken, void 0), Effect.never)))
      yield* Deferred.await(taken)
      yield* Fiber.interrupt(fiber)
      const last = yield* queue.take(({ size }, { attempts }) => Effect.succeed([size, attempts]))
      assert.strictEqual(last[0], 3n)
      assert.isAtLeast(Number(last[1]), 1)
      const sql = yield* EffectSql.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM effect_queue WHERE completed = TRUE`, [{ n: 2 }])
    }).pipe(
      Effect.provide(
        PersistedQueue.layer.pipe(
          Layer.provide(SqlPersistedQueue.layerStore({ pollInterval: 20 })),
          Layer.provideMerge(layerOnFile(engine, { readers: 1 }))
        )
      )
    )
  )

  // ---- kysely

  it.scopedLive("kysely: queries are effects, and stay in the transaction", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const db = yield* SqliteKysely.make<Database>()
      const insert = db.insertInto("person").values({ name: "Dan" }).returning(["id", "name"])
      const undone = db.withTransaction(
        Effect.gen(function* () {
          const dan = yield* insert
          const seen = yield* db.selectFrom("person").select("name").where("id", "=", dan[0]!.id)
          yield* sql
            .withTransaction(Effect.zipRight(db.deleteFrom("person").where("name", "=", "Ada"), Effect.fail("inner")))
            .pipe(Effect.ignore)
          const ada = yield* db.selectFrom("person").select("id").where("name", "=", "Ada")
          return yield* Effect.fail([dan, seen, ada])
        })
      )
      assert.deepStrictEqual<unknown>(yield* Effect.flip(undone), [
        [{ id: 4, name: "Dan" }],
        [{ name: "Dan" }],
        [{ id: 1 }]
      ])
      // The client's own transaction holds kysely's queries just so.
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert, Effect.fail("undo"))))
      assert.strictEqual((yield* db.selectFrom("person").selectAll()).length, 3)
      assert.deepStrictEqual(yield* sql.withTransaction(insert), [{ id: 4, name: "Dan" }])
      yield* db.updateTable("person").set({ nick: "D" }).where("id", "=", 4)
      assert.deepStrictEqual(yield* db.selectFrom("person").selectAll().where("nick", "=", "D"), [
        { id: 4, name: "Dan", nick: "D" }
      ])
      const error = yield* Effect.flip(insert)
      assert.strictEqual(SqlFailure.from(error).reason, "UniqueViolation")
    }).pipe(Effect.provide(memory))
  )

  // ---- drizzle

  it.scopedLive("drizzle: effects and promises, relational queries, and it stays in the transaction", () =>
    Effect.gen(function* () {
      const sql = yield* table
      const db = yield* SqliteDrizzle.make({ schema: { person } })
      assert.deepStrictEqual(yield* db.select({ name: person.name }).from(person).orderBy(person.id).limit(2), [
        { name: "Ada" },
        { name: "Bob" }
      ])
      const insert = db.insert(person).values({ name: "Dan" }).returning()
      const undone = sql.withTransaction(
        Effect.gen(function* () {
          const dan = yield* insert
          const all = yield* db.query.person.findMany({ columns: { name: true } })
          return yield* Effect.fail([dan, all.length])
        })
      )
      assert.deepStrictEqual(yield* Effect.flip(undone), [[{ id: 4, name: "Dan", nick: null }], 4])
      assert.strictEqual((yield* db.query.person.findMany()).length, 3)
      yield* Effect.promise(() => db.insert(person).values({ name: "Eve", nick: "E" }))
      const eve = yield* Effect.promise(() => db.select().from(person).orderBy(person.id).offset(3).limit(1))
      assert.deepStrictEqual(eve, [{ id: 4, name: "Eve", nick: "E" }])
      const error = yield* Effect.flip(db.insert(person).values({ name: "Eve" }))
      assert.instanceOf(error, SqlError)
    }).pipe(Effect.provide(memory))
  )

  // ---- cluster

  it.scopedLive("cluster: SqlMessageStorage keeps messages and replies", () =>
    Effect.gen(function* () {
      const storage = yield* MessageStorage.MessageStorage
      const requests = yield* Effect.forEach(["a", "b", "c"], makeGreet)
      for (const request of requests) {
        assert.strictEqual((yield* storage.saveRequest(request))._tag, "Success")
      }
      assert.strictEqual((yield* storage.saveRequest(requests[0]!))._tag, "Duplicate")
      yield* storage.saveReply(yield* makeReply(requests[1]!, "hello b"))
      const open = yield* storage.unprocessedMessages([shard])
      assert.deepStrictEqual(
        open.map((message) => message.envelope.requestId),
        [requests[0]!, requests[2]!].map((request) => request.envelope.requestId)
      )
      const replies = yield* storage.repliesFor(requests)
      assert.deepStrictEqual(
        replies.map((reply) => reply.requestId),
        [requests[1]!.envelope.requestId]
      )
    }).pipe(
      Effect.provide(
        SqlMessageStorage.layer.pipe(
          Layer.provideMerge(Snowflake.layerGenerator),
          Layer.provide(ShardingConfig.layerDefaults),
          Layer.provide(layerOnFile(engine))
        )
      )
    )
  )

  it.scopedLive("cluster: SqlRunnerStorage registers runners and hands out shards once", () =>
    Effect.gen(function* () {
      const storage = yield* RunnerStorage.RunnerStorage
      const [one, two] = [RunnerAddress.make("one", 1), RunnerAddress.make("two", 2)]
      const runner = Runner.make({ address: one, groups: ["default"], weight: 1 })
      yield* storage.register(runner, true)
      assert.deepStrictEqual(yield* storage.getRunners, [[runner, true]])
      const shards = [1, 2, 3].map((id) => ShardId.make("default", id))
      const ids = (shards: ReadonlyArray<ShardId.ShardId>) => shards.map(({ id }) => id).sort()
      assert.deepStrictEqual(ids(yield* storage.acquire(one, shards.slice(0, 2))), [1, 2])
      assert.deepStrictEqual(ids(yield* storage.acquire(two, shards)), [3])
      assert.deepStrictEqual(ids(yield* storage.refresh(one, shards.slice(0, 2))), [1, 2])
      yield* storage.release(one, shards[0]!)
      assert.deepStrictEqual(ids(yield* storage.acquire(two, shards)), [1, 3])
      yield* storage.unregister(one)
      assert.deepStrictEqual(yield* storage.getRunners, [])
    }).pipe(
      Effect.provide(
        SqlRunnerStorage.layer.pipe(Layer.provide(ShardingConfig.layerDefaults), Layer.provide(layerOnFile(engine)))
      )
    )
  )

  it.scopedLive("cluster: an entity answers persisted messages over both storages, each of them once", () =>
    Effect.gen(function* () {
      const client = yield* Greeter.client
      const one = client("one")
      const send = (name: string) => one.greet({ id: name, name })
      assert.deepStrictEqual(yield* Effect.forEach(["a", "b"], send, { concurrency: 2 }), ["hello a 1", "hello b 2"])
      // The same key again: the answer that was kept, not another run.
      assert.strictEqual(yield* send("a"), "hello a 1")
    }).pipe(
      Effect.provide(
        Greeter.toLayer(
          Effect.sync(() => {
            let count = 0
            return Greeter.of({
              greet: ({ payload }) => Effect.sync(() => `hello ${payload.name} ${++count}`)
            })
          })
        ).pipe(
          Layer.provideMerge(SingleRunner.layer({ shardingConfig: { entityMessagePollInterval: 50 } })),
          Layer.provide(layerOnFile(engine, { readers: 1 }))
        )
      )
    )
  )
})
