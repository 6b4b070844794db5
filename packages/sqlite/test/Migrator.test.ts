import { spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { NodeFileSystem } from "@effect/platform-node"
import * as Upstream from "@effect/sql/Migrator"
import * as UpstreamFiles from "@effect/sql/Migrator/FileSystem"
import * as EffectSql from "@effect/sql/SqlClient"
import { afterAll, assert, it } from "@effect/vitest"
import { Migrator, SqlClient, SqlFailure } from "@sluice/sql"
import { SqliteMigrator as FromIndex } from "@sluice/sqlite"
import * as SqliteMigrator from "@sluice/sqlite/SqliteMigrator"
import { Deferred, Effect, Exit, Fiber, Layer, Logger } from "effect"
import { layerOf, leftovers, onEngines, tempDirectory, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const statement = (text: string): Migrator.Step => Effect.flatMap(EffectSql.SqlClient, (sql) => sql.unsafe(text))

const migrate = (migrations: Record<string, Migrator.Migration>, options: Partial<Migrator.Options> = {}) =>
  Migrator.run({ loader: Migrator.fromRecord(migrations), ...options })

const people = "create table people(id integer primary key, name text not null)"
const ada = "insert into people(name) values ('Ada')"

const failing = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.flip(effect), (error) =>
    error instanceof Migrator.MigrationError
      ? Effect.succeed(error)
      : Effect.dieMessage(`other failure: ${String(error)}`)
  )

const rowsOf = (table: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select * from ${sql(table)}`)

const appliedRows = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ migration_id: number; name: string; checksum: string | null }>`
    select migration_id, name, checksum from effect_sql_migrations order by migration_id`
)

onEngines("Migrator", (engine) => {
  const memory = layerOf(engine)

  it.scopedLive("applies what is pending, in order of numbers, once", () =>
    Effect.gen(function* () {
      const first = { "2_ada": statement(ada), "1_people": people }
      assert.deepStrictEqual(yield* migrate(first), [
        [1, "people"],
        [2, "ada"]
      ])
      assert.deepStrictEqual(yield* migrate(first), [])
      assert.deepStrictEqual(yield* migrate({ ...first, "10_grace": ada }), [[10, "grace"]])
      assert.strictEqual((yield* rowsOf("people")).length, 2)
      assert.deepStrictEqual(
        (yield* appliedRows).map(({ checksum, migration_id }) => [migration_id, checksum?.length]),
        [
          [1, 64],
          [2, undefined],
          [10, 64]
        ]
      )
    }).pipe(Effect.provide(memory))
  )

  it.scopedLive("with nothing pending nothing is written", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const migrations = { "1_people": people }
      yield* Effect.provide(migrate(migrations), layerOf(engine, { filename }))
      const second = layerOf(engine, { filename, readonly: true })
      assert.deepStrictEqual(yield* Effect.provide(migrate(migrations), second), [])
      const pending = migrate({ ...migrations, "2_ada": ada }).pipe(Effect.provide(second))
      assert.strictEqual(SqlFailure.from((yield* failing(pending)).cause).reason, "Authorization")
    })
  )

  it.scopedLive("one that fails is undone, those before it are kept, and the failure is typed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const broken = Effect.zipRight(statement("create table half(n)"), Effect.fail("broken"))
      const error = yield* failing(migrate({ "1_people": people, "2_half": broken, "3_ada": ada }))
      assert.deepStrictEqual([error.reason, error.migration], ["failed", { id: 2, name: "half" }])
      assert.strictEqual(error.cause, "broken")
      assert.deepStrictEqual(yield* sql`select name from sqlite_master where name = 'half'`, [])
      assert.deepStrictEqual(yield* rowsOf("people"), [])

      const wrong = yield* failing(migrate({ "1_people": people, "2_half": "create table half(n); nonsense" }))
      assert.strictEqual(SqlFailure.from(wrong.cause).reason, "SqlSyntax")
      assert.include(wrong.message, "2_half")
      assert.deepStrictEqual(yield* sql`select name from sqlite_master where name = 'half'`, [])

      const dying = yield* failing(migrate({ "1_people": people, "2_half": Effect.die(new Error("a defect")) }))
      assert.deepStrictEqual([dying.reason, (dying.cause as Error).message], ["failed", "a defect"])

      const deferred = `
        create table child(id integer references people(id) deferrable initially deferred); insert into child values (9)`
      const uncommitted = yield* failing(migrate({ "1_people": people, "2_child": deferred }))
      assert.strictEqual(SqlFailure.from(uncommitted.cause).reason, "Constraint")

      const ending = yield* failing(migrate({ "1_people": people, "2_half": "create table half(n); commit" }))
      assert.deepStrictEqual([ending.reason, SqlFailure.from(ending.cause).reason], ["failed", "TransactionGone"])
      assert.include(ending.message, "COMMIT of its own")
      assert.deepStrictEqual(yield* migrate({ "1_people": people, "3_ada": ada }), [[3, "ada"]])
    }).pipe(Effect.provide(memory))
  )

  it.scopedLive("one that is interrupted is undone", () =>
    Effect.gen(function* () {
      const inside = yield* Deferred.make<void>()
      const slow = Effect.zipRight(statement(ada), Effect.zipRight(Deferred.succeed(inside, void 0), Effect.never))
      const fiber = yield* Effect.fork(migrate({ "1_people": people, "2_slow": slow }))
      yield* Deferred.await(inside)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(yield* rowsOf("people"), [])
      assert.deepStrictEqual(yield* migrate({ "1_people": people, "2_slow": ada }), [[2, "slow"]])
    }).pipe(Effect.provide(memory))
  )

  it.scopedLive("a changed migration is a failure, a warning, or accepted; it is never run again", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ message }) => void logged.push(String(message)))
      )
      yield* migrate({ "1_people": people, "2_ada": { run: statement(ada), checksum: "one" } })
      const changed = { "1_people": people.replace("name", "title"), "2_ada": { run: statement(ada), checksum: "one" } }
      const error = yield* failing(migrate(changed))
      assert.deepStrictEqual([error.reason, error.migration], ["checksum", { id: 1, name: "people" }])
      assert.include(error.message, "1_people")
      const explicit = yield* failing(
        migrate({ "1_people": people, "2_ada": { run: statement(ada), checksum: "two" }, "3_more": ada })
      )
      assert.deepStrictEqual([explicit.reason, explicit.migration?.id], ["checksum", 2])
      assert.strictEqual((yield* rowsOf("people")).length, 1)

      // Line ends are no change.
      const lines = "create table a(n);\ncreate table b(n)"
      yield* migrate({ "3_lines": lines })
      assert.deepStrictEqual(yield* migrate({ "3_lines": lines.replaceAll("\n", "\r\n") }), [])

      assert.deepStrictEqual(yield* Effect.provide(migrate(changed, { onChanged: "warn" }), logger), [])
      assert.isTrue(logged.some((message) => message.includes("1_people has changed")))
      assert.strictEqual((yield* failing(migrate(changed))).reason, "checksum")
      assert.deepStrictEqual(yield* migrate(changed, { onChanged: "accept" }), [])
      assert.deepStrictEqual(yield* migrate(changed), [])
      assert.strictEqual((yield* rowsOf("people")).length, 1)
    }).pipe(Effect.provide(memory))
  )

  it.scopedLive("duplicates, keys without a number, names that changed, numbers that come too late", () =>
    Effect.gen(function* () {
      const duplicates = yield* failing(migrate({ "1_people": people, "01_other": ada }))
      assert.strictEqual(duplicates.reason, "duplicates")
      assert.include(duplicates.message, "1_people and 1_other")
      assert.strictEqual((yield* failing(migrate({ people }))).reason, "bad-state")

      yield* migrate({ "1_people": people, "5_ada": ada })
      const renamed = yield* failing(migrate({ "1_persons": people, "5_ada": ada }))
      assert.deepStrictEqual([renamed.reason, renamed.migration], ["bad-state", { id: 1, name: "persons" }])
      const late = { "1_people": people, "3_late": ada, "5_ada": ada }
      const error = yield* failing(migrate(late))
      assert.deepStrictEqual([error.reason, error.migration], ["bad-state", { id: 3, name: "late" }])
      assert.deepStrictEqual(yield* migrate(late, { onLate: "skip" }), [])
      assert.deepStrictEqual(yield* migrate(late, { onLate: "run" }), [[3, "late"]])
      // Those that were applied and are not listed any more are nobody's business.
      assert.deepStrictEqual(yield* migrate({ "6_more": ada }), [[6, "more"]])
    }).pipe(Effect.provide(memory))
  )

  it.scopedLive("what cannot be imported is known before anything runs", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const glob = (second: () => Promise<unknown>) =>
        Migrator.run({
          loader: Migrator.fromGlob({
            "./migrations/1_people.ts": () => Promise.resolve({ default: statement(people) }),
            "./migrations/2_second.ts": second,
            "./migrations/readme.md": () => Promise.resolve("")
          })
        })
      const rejected = yield* failing(glob(() => Promise.reject(new Error("no such module"))))
      assert.deepStrictEqual([rejected.reason, rejected.migration?.id], ["import-error", 2])
      assert.include(rejected.message, "no such module")
      const missing = yield* failing(migrate({ "3_missing": undefined as never }))
      assert.deepStrictEqual([missing.reason, missing.migration?.id], ["import-error", 3])
      assert.include((yield* failing(glob(() => Promise.resolve({})))).message, "no default export")
      assert.include((yield* failing(glob(() => Promise.resolve({ default: () => 1 })))).message, "is no Effect")
      assert.deepStrictEqual(yield* sql`select name from sqlite_master where name = 'people'`, [])
      const nested = Promise.resolve({ default: { default: statement(ada) } })
      assert.deepStrictEqual(yield* glob(() => nested), [
        [1, "people"],
        [2, "second"]
      ])
    }).pipe(Effect.provide(memory))
  )

  it.scopedLive("loaders: glob with sources, babel's glob, a directory", () =>
    Effect.gen(function* () {
      const modules = { "/m/1_people.ts": () => Promise.resolve({ default: statement(people) }) }
      const globbed = (source: string) =>
        Migrator.run({ loader: Migrator.fromGlob(modules, { "/m/1_people.ts": source }) })
      assert.deepStrictEqual(yield* globbed("one"), [[1, "people"]])
      assert.strictEqual((yield* failing(globbed("two"))).reason, "checksum")
      const babel = Migrator.fromBabelGlob({ _2_adaTs: { default: statement(ada) } })
      assert.deepStrictEqual(yield* Migrator.run({ loader: babel }), [[2, "ada"]])

      const directory = join(yield* tempDirectory, "some migrations")
      mkdirSync(directory)
      const effect = JSON.stringify(pathToFileURL(modulesAt("effect/dist/esm/index.js")).href)
      const client = JSON.stringify(pathToFileURL(modulesAt("@effect/sql/dist/esm/SqlClient.js")).href)
      const module = (text: string) =>
        `import { Effect } from ${effect}\nimport { SqlClient } from ${client}\n` +
        `export default Effect.flatMap(SqlClient, (sql) => sql.unsafe(${JSON.stringify(text)}))\n`
      writeFileSync(join(directory, "3_grace.mjs"), module("insert into people(name) values ('Grace')"))
      writeFileSync(join(directory, "4_two.sql"), "create table two(n);\ninsert into two values (1), (2);")
      writeFileSync(join(directory, "README.md"), "no migration")
      const files = Migrator.run({ loader: Migrator.fromFileSystem(directory) })
      assert.deepStrictEqual(yield* files, [
        [3, "grace"],
        [4, "two"]
      ])
      assert.deepStrictEqual(yield* files, [])
      assert.strictEqual((yield* rowsOf("people")).length + (yield* rowsOf("two")).length, 4)
      writeFileSync(join(directory, "3_grace.mjs"), module("select 1"))
      assert.strictEqual((yield* failing(files)).reason, "checksum")
      const nowhere = yield* failing(Migrator.run({ loader: Migrator.fromFileSystem(join(directory, "nowhere")) }))
      assert.strictEqual(nowhere.reason, "import-error")
    }).pipe(Effect.provide([memory, NodeFileSystem.layer]))
  )

  it.scopedLive("changing over from @effect/sql's migrator, and back", () =>
    Effect.gen(function* () {
      const loader = Upstream.fromRecord({ "1_people": Effect.asVoid(statement(people) as never) })
      yield* Upstream.make({})({ loader })
      const options: SqliteMigrator.MigratorOptions = { loader }
      assert.deepStrictEqual(yield* SqliteMigrator.run(options), [])
      assert.deepStrictEqual(yield* FromIndex.run(options), [])
      assert.deepStrictEqual(yield* migrate({ "1_people": people, "2_ada": ada }), [[2, "ada"]])
      // The first one's checksum is known from now on.
      assert.isTrue((yield* appliedRows).every(({ checksum }) => checksum?.length === 64))
      assert.strictEqual((yield* failing(migrate({ "1_people": ada }))).reason, "checksum")
      const back = Upstream.make({})({
        loader: Upstream.fromRecord({ "3_more": Effect.asVoid(statement(ada) as never) })
      })
      assert.deepStrictEqual(yield* back, [[3, "more"]])
      assert.deepStrictEqual(yield* migrate({ "1_people": people, "2_ada": ada, "3_more": ada }), [])
      const unreadable = yield* failing(Migrator.run({ loader: UpstreamFiles.fromFileSystem("/nowhere/at/all") }))
      assert.strictEqual(unreadable.reason, "import-error")
    }).pipe(Effect.provide([memory, NodeFileSystem.layer]))
  )

  it.scopedLive("as a layer; fibers that migrate at once; names that the client transforms", () =>
    Effect.gen(function* () {
      const slow = Effect.zipRight(statement(ada), Effect.sleep(100))
      const loader = Migrator.fromRecord({ "1_people": people, "2_slow": slow, "3_ada": ada })
      const runs = Array.from({ length: 4 }, () => Migrator.run({ loader, table: "myMigrations" }))
      const done = yield* Effect.all(runs, { concurrency: "unbounded" })
      assert.deepStrictEqual(
        done.flat().sort(([a], [b]) => a - b),
        [
          [1, "people"],
          [2, "slow"],
          [3, "ada"]
        ]
      )
      assert.strictEqual((yield* rowsOf("people")).length, 2)
      const layer = Migrator.layer({ loader: Migrator.fromRecord({ "4_more": ada }), table: "myMigrations" })
      yield* Layer.build(layer)
      assert.strictEqual((yield* rowsOf("people")).length, 3)
    }).pipe(
      Effect.provide(
        layerOf(engine, {
          transformQueryNames: (name) => name.toLowerCase(),
          transformResultNames: (name) => name.toUpperCase()
        })
      )
    )
  )

  it.scopedLive("a lock that is kept too long", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const config = { filename, busyTimeout: 20 }
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`create table t(n)`
        const other = (limit: number) =>
          Effect.provide(migrate({ "1_people": people }, { lockTimeout: limit }), layerOf(engine, config))
        yield* sql.withTransaction(
          Effect.gen(function* () {
            const error = yield* failing(other(300))
            assert.deepStrictEqual([error.reason, SqlFailure.from(error.cause).reason], ["locked", "LockTimeout"])
          })
        )
        // It waits longer than SQLite does.
        const waiting = yield* Effect.fork(other(60_000))
        yield* sql.withTransaction(Effect.sleep(500))
        assert.deepStrictEqual(yield* Fiber.join(waiting), [[1, "people"]])
      }).pipe(Effect.provide(layerOf(engine, config)))
    })
  )

  it.scopedLive(
    "processes that start together run each migration once; one that is killed in the middle leaves nothing",
    () =>
      Effect.gen(function* () {
        const directory = yield* tempDirectory
        const filename = join(directory, "test.db")
        const start = (name: string, killAt?: string) => Effect.fork(child(directory, filename, name, killAt))
        const first = yield* Effect.forEach(["a", "b"], (name) => start(name, name === "a" ? "inside 2" : undefined))
        const [killed, survivor] = yield* Effect.forEach(first, (fiber) => Fiber.join(fiber))
        // One of the two got to the second migration first: if it was the one to be killed, the other did it all over.
        assert.strictEqual(survivor!.code, 0, survivor!.output)
        if (killed!.output.includes("inside 2")) {
          assert.isTrue(killed!.killed)
          assert.notInclude(killed!.output, "done")
        }
        const others = yield* Effect.forEach(["c", "d", "e"], (name) => start(name))
        const rest = yield* Effect.forEach(others, (fiber) => Fiber.join(fiber))
        assert.deepStrictEqual(
          rest.map(({ code, output }) => [code, output.trim()]),
          [
            [0, "done"],
            [0, "done"],
            [0, "done"]
          ]
        )
        yield* Effect.gen(function* () {
          assert.deepStrictEqual(yield* rowsOf("log"), [{ step: 1 }, { step: 2 }, { step: 3 }])
          assert.strictEqual((yield* appliedRows).length, 3)
        }).pipe(Effect.provide(layerOf(engine, { filename })))
      }),
    120_000
  )

  it.scopedLive(
    "processes that start together, none of them killed",
    () =>
      Effect.gen(function* () {
        const directory = yield* tempDirectory
        const filename = join(directory, "test.db")
        const results = yield* Effect.forEach(["a", "b", "c"], (name) => child(directory, filename, name), {
          concurrency: "unbounded"
        })
        assert.isTrue(
          results.every(({ code }) => code === 0),
          JSON.stringify(results)
        )
        const runs = results.flatMap(({ output }) => output.split("\n").filter((line) => line.startsWith("inside")))
        assert.deepStrictEqual(runs.sort(), ["inside 1", "inside 2", "inside 3"])
        yield* Effect.gen(function* () {
          assert.deepStrictEqual(yield* rowsOf("log"), [{ step: 1 }, { step: 2 }, { step: 3 }])
        }).pipe(Effect.provide(layerOf(engine, { filename })))
      }),
    120_000
  )
})

const modulesAt = (path: string) => fileURLToPath(new URL(`../../../node_modules/${path}`, import.meta.url))

/** A process that applies three migrations, the second of them slowly; killed when it says so. */
const child = (directory: string, filename: string, name: string, killAt?: string) =>
  Effect.async<{ readonly code: number | null; readonly output: string; readonly killed: boolean }>((resume) => {
    const path = join(directory, `${name}.mjs`)
    const url = (path: string) => JSON.stringify(pathToFileURL(path).href)
    const built = (name: string) => url(fileURLToPath(new URL(`../../${name}/dist/index.js`, import.meta.url)))
    writeFileSync(
      path,
      `import { Effect } from ${url(modulesAt("effect/dist/esm/index.js"))}
import { Migrator, SqlClient } from ${built("sql")}
import { SqliteClient } from ${built("sqlite")}
const step = (n, after) => Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  if (n === 1) yield* sql\`create table log(step)\`
  yield* sql\`insert into log values (\${n})\`
  process.stdout.write("inside " + n + "\\n")
  yield* after
})
await Migrator.run({
  loader: Migrator.fromRecord({
    "1_one": step(1, Effect.void),
    "2_two": step(2, Effect.sleep(1500)),
    "3_three": step(3, Effect.void)
  })
}).pipe(
  Effect.provide(SqliteClient.layer({ filename: ${JSON.stringify(filename)}, busyTimeout: 100 })),
  Effect.runPromise
)
process.stdout.write("done\\n")
`
    )
    const started = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    let killed = false
    started.stdout.on("data", (data: Buffer) => {
      output += data.toString()
      if (killAt !== undefined && output.includes(killAt) && !killed) {
        killed = true
        started.kill("SIGKILL")
      }
    })
    started.on("close", (code) => resume(Effect.succeed({ code, output, killed })))
    return Effect.sync(() => void started.kill("SIGKILL"))
  })
