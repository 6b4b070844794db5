/** The table of capabilities: what is `true` works, what is `false` fails with `Unsupported`, and the README says the same. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import { afterAll, assert, it } from "@effect/vitest"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Exit, Fiber, type Scope, Stream } from "effect"
import { make, names, table } from "../src/internal/capabilities.js"
import { open } from "./conformance/stopping.js"
import { leftovers, onEngines, reasonOf, spin, tempDirectory } from "./support.js"

type Client = SqliteClient.SqliteClient
/** Uses it and asserts what it does; `directory` is empty. Fails with `Unsupported` where it is not there. */
type Trial = (sql: Client, directory: string) => Effect.Effect<unknown, SqlError, Scope.Scope>

/** Asked for by name where the client has no member for it. */
const asked =
  (name: SqliteClient.Capability): Trial =>
  (sql) =>
    sql.require(name)

const fill = (sql: Client) => sql`create table t (n); insert into t values (1), (2)`

/** Registers a hook that counts and expects it to have been called by `statement`. */
const called = (
  register: (sql: Client, count: Effect.Effect<void>) => Effect.Effect<unknown, SqlError>,
  statement: string
): Trial =>
  Effect.fnUntraced(function* (sql) {
    let calls = 0
    yield* fill(sql)
    yield* register(
      sql,
      Effect.sync(() => void calls++)
    )
    yield* Effect.exit(sql.unsafe(statement))
    assert.isAbove(calls, 0)
  })

const url = `data:text/javascript,${encodeURIComponent("export const twice = (n) => n * 2; export const add = (_, a, b) => a + b")}`

const trials: Readonly<Record<SqliteClient.Capability, Trial>> = {
  stopInside: Effect.fnUntraced(function* (sql) {
    // Asked first: without it the statement would cost the session.
    yield* sql.require("stopInside")
    const running = yield* Effect.fork(sql.unsafe(spin))
    yield* Effect.sleep(100)
    assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(running)))
    assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
  }),
  readers: (sql) => Stream.runDrain(sql`select 1`.stream),
  batch: (sql) =>
    Effect.map(sql.batch(["create table b (n)", "select 1 as one"]), (answers) =>
      assert.deepStrictEqual(answers[1], [{ one: 1 }])
    ),
  explain: (sql) => Effect.map(sql.explain("select 1"), (plan) => assert.isAbove(plan.length, 0)),
  counters: (sql) => Effect.map(sql.counters("select 1"), ({ vmSteps }) => assert.isAbove(vmSteps, 0)),
  backup: (sql, directory) => Effect.zipRight(fill(sql), sql.backup(join(directory, "copy.db"))),
  serialize: (sql) => Effect.map(Effect.zipRight(fill(sql), sql.serialize), (bytes) => assert.isAbove(bytes.length, 0)),
  deserialize: Effect.fnUntraced(function* (sql) {
    yield* fill(sql)
    const bytes = yield* sql.serialize
    yield* sql`drop table t`
    yield* sql.deserialize(bytes)
    assert.deepStrictEqual(yield* sql`select n from t`, [{ n: 1 }, { n: 2 }])
  }),
  blob: Effect.fnUntraced(function* (sql) {
    yield* sql`create table b (id integer primary key, v blob); insert into b values (1, x'0102')`
    const blob = yield* sql.blob({ table: "b", column: "v", rowid: 1 })
    assert.strictEqual(yield* blob.size, 2)
  }),
  snapshot: (sql) => Effect.zipRight(fill(sql), sql.snapshot(sql`select n from t`)),
  snapshotHandle: asked("snapshotHandle"),
  changeSession: Effect.fnUntraced(function* (sql) {
    yield* sql`create table k (id integer primary key)`
    const session = yield* sql.changeSession()
    yield* sql`insert into k values (1)`
    assert.isFalse(yield* session.isEmpty)
  }),
  applyChangeset: Effect.fnUntraced(function* (sql) {
    yield* sql`create table k (id integer primary key)`
    const session = yield* sql.changeSession()
    yield* sql`insert into k values (1)`
    const changeset = yield* session.changeset
    yield* sql`delete from k`
    assert.strictEqual((yield* sql.applyChangeset(changeset)).applied, 1)
  }),
  // There is no extension at hand: what SQLite says of a file that is none shows that it has tried.
  loadExtension: (sql, directory) =>
    Effect.catchIf(
      sql.loadExtension(join(directory, "none")),
      (error) => String(error.cause).includes("none"),
      () => Effect.void
    ),
  function: Effect.fnUntraced(function* (sql) {
    yield* sql.function("seven", () => Effect.succeed(7))
    assert.deepStrictEqual(yield* sql`select seven() as n`, [{ n: 7 }])
  }),
  aggregate: Effect.fnUntraced(function* (sql) {
    yield* fill(sql)
    yield* sql.aggregate("total_of", {
      initial: () => 0,
      step: (sum, n) => Effect.succeed(sum + Number(n)),
      final: Effect.succeed
    })
    assert.deepStrictEqual(yield* sql`select total_of(n) as n from t`, [{ n: 3 }])
  }),
  window: Effect.fnUntraced(function* (sql) {
    yield* fill(sql)
    yield* sql.window("sum_of", {
      initial: () => 0,
      step: (sum, n) => Effect.succeed(sum + Number(n)),
      inverse: (sum, n) => Effect.succeed(sum - Number(n)),
      value: Effect.succeed,
      final: Effect.succeed
    })
    assert.deepStrictEqual(yield* sql`select sum_of(n) over (order by n) as n from t`, [{ n: 1 }, { n: 3 }])
  }),
  tableFunction: Effect.fnUntraced(function* (sql) {
    yield* sql.tableFunction("letters", { columns: ["letter"] }, () => Stream.make(["a"], ["b"]))
    assert.deepStrictEqual(yield* sql`select letter from letters()`, [{ letter: "a" }, { letter: "b" }])
  }),
  collation: Effect.fnUntraced(function* (sql) {
    yield* fill(sql)
    yield* sql.collation("backwards", (a, b) => Effect.succeed(a < b ? 1 : -1))
    const rows = sql`select cast(n as text) as n from t order by 1 collate backwards`
    assert.deepStrictEqual(yield* rows, [{ n: "2" }, { n: "1" }])
  }),
  collationNeeded: Effect.fnUntraced(function* (sql) {
    yield* sql.collationNeeded(() => Effect.succeed((a, b) => Effect.succeed(a < b ? 1 : -1)))
    const rows = sql`select value from json_each('["a","b"]') order by value collate unheard_of`
    assert.deepStrictEqual(yield* rows, [{ value: "b" }, { value: "a" }])
  }),
  authorizer: called((sql, count) => sql.authorizer(() => Effect.as(count, "ok" as const)), "select n from t"),
  busyHandler: (sql) => sql.busyHandler(() => Effect.succeed(false)),
  progressHandler: called((sql, count) => sql.progressHandler(Effect.as(count, true)), spin),
  updateHook: called((sql, count) => sql.updateHook(() => count), "insert into t values (3)"),
  commitHook: called((sql, count) => sql.commitHook(Effect.as(count, false)), "insert into t values (3)"),
  rollbackHook: called((sql, count) => sql.rollbackHook(count), "begin; insert into t values (3); rollback"),
  walHook: (sql) => sql.walHook(() => Effect.void),
  autovacuumPages: called(
    (sql, count) => sql.autovacuumPages(() => Effect.as(count, 0)),
    "pragma auto_vacuum = full; vacuum; create table v as select zeroblob(100000) as b; drop table v"
  ),
  trace: called((sql, count) => sql.trace(() => count), "select n from t"),
  profile: called((sql, count) => sql.profile(() => count), "select n from t"),
  changes: Effect.fnUntraced(function* (sql) {
    yield* fill(sql)
    const first = yield* Effect.fork(Stream.runHead(sql.changes))
    // Nothing is noted before somebody listens, which takes a moment: rows are written until one is told.
    const writing = yield* Effect.fork(Effect.forever(Effect.delay(sql`insert into t values (3)`, 20)))
    const told = yield* Effect.ensuring(Fiber.join(first), Fiber.interrupt(writing))
    assert.isTrue(told._tag === "Some" && told.value.operation === "insert")
  }),
  workerModule: Effect.fnUntraced(function* (sql) {
    yield* sql.workerModule<{ twice: (n: number) => number }>(url, { functions: ["twice"] })
    assert.deepStrictEqual(yield* sql`select twice(4) as n`, [{ n: 8 }])
  }),
  runInWorker: Effect.fnUntraced(function* (sql) {
    const made = yield* sql.workerModule<{ add: (_: SqliteClient.WorkerDatabase, a: number, b: number) => number }>(url)
    assert.strictEqual(yield* made.runInWorker("add", 1, 2), 3)
  }),
  innocuous: (sql) =>
    Effect.gen(function* () {
      yield* sql.function("seven", { innocuous: true }, () => Effect.succeed(7))
      yield* sql`create view v as select seven() as n`
      const rows = yield* Effect.catchIf(
        sql`select n from v`,
        (error) => String(error.message).startsWith("unsafe use"),
        () => sql.require("innocuous")
      )
      assert.deepStrictEqual(rows, [{ n: 7 }])
    }),
  layerUntrusted: (sql, directory) =>
    Effect.gen(function* () {
      const filename = join(directory, "some.db")
      yield* sql.backup(filename)
      const { kind: engine } = sql.engine
      const untrusted = yield* SqliteClient.makeUntrusted({ filename, engine }).pipe(Effect.provide(Reactivity.layer))
      assert.deepStrictEqual((yield* untrusted.query("select 1")).rows, [[1]])
    }),
  rowTracer: asked("rowTracer"),
  vfs: asked("vfs"),
  fts5Tokenizer: asked("fts5Tokenizer"),
  fts5Function: asked("fts5Function")
}

afterAll(() => Effect.runPromise(leftovers))

onEngines("capabilities", (engine) => {
  for (const name of names) {
    const expected = table[name][engine === "native" ? 0 : 1] === true
    it.scopedLive(`${name} ${expected ? "works" : "is Unsupported"}`, () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        assert.strictEqual(sql.capabilities[name], expected)
        const trial = Effect.flatMap(tempDirectory, (directory) => trials[name](sql, directory))
        if (expected) {
          yield* trial
          return yield* sql.require(name)
        }
        assert.strictEqual((yield* reasonOf(trial)).reason, "Unsupported")
        const refused = yield* reasonOf(sql.require("function", name))
        assert.strictEqual(refused.reason, "Unsupported")
        assert.include(refused.message, name)
      })
    )
  }
})

it("names all that is missing, and each reason once", () =>
  Effect.gen(function* () {
    const missing = yield* reasonOf(make("portable").require("changes", "function", "window", "rowTracer", "changes"))
    assert.strictEqual(missing.reason, "Unsupported")
    assert.strictEqual(
      missing.message,
      `The portable engine has no changes, window: ${table.window[1]}; no rowTracer: ${table.rowTracer[1]}`
    )
  }).pipe(Effect.runPromise))

it("the README has a line for each", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8").split("\n| capability ")[1] ?? ""
  const word = (has: true | string) => (has === true ? "yes" : "`Unsupported`")
  for (const name of names) {
    const [native, portable] = table[name]
    const cells = readme
      .match(new RegExp(`^\\| \`${name}\` .*$`, "m"))?.[0]
      .split("|")
      .map((cell) => cell.trim())
    assert.deepStrictEqual([name, ...(cells?.slice(2, 4) ?? [])], [name, word(native), word(portable)])
  }
})
