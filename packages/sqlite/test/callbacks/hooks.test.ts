import { afterAll, assert, describe, it } from "@effect/vitest"
import type { SqliteClient } from "@sluice/sqlite"
import { SqlClient, SqlFailure } from "@sluice/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { assertIdle, open } from "../conformance/stopping.js"
import { eventually, leftovers, reasonOf, spinFor, tempFile } from "../support.js"

afterAll(() => Effect.runPromise(leftovers))

const count = (sql: SqliteClient.SqliteClient) =>
  Effect.map(sql<{ n: number }>`select count(*) as n from t`, (rows) => rows[0]!.n)

const withTable = Effect.tap(open("native"), (sql) => sql`create table t (n)`)

describe("windows, collations and hooks as Effects (native)", () => {
  it.scopedLive("row 54: a window function, each part asynchronous; an error in a step surfaces once", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      const later = <A>(value: A) => Effect.delay(Effect.succeed(value), 1)
      yield* sql.window("moving", {
        initial: () => 0,
        step: (sum, n) => (n === 13 ? Effect.fail("thirteen") : later(sum + (n as number))),
        inverse: (sum, n) => later(sum - (n as number)),
        value: (sum) => later(sum),
        final: (sum) => later(sum)
      })
      const windowed = "moving(value) over (order by value rows between 1 preceding and current row) as m"
      assert.deepStrictEqual(yield* sql.unsafe(`select ${windowed} from json_each('[1,2,3,4]')`), [
        { m: 1 },
        { m: 3 },
        { m: 5 },
        { m: 7 }
      ])
      assert.deepStrictEqual(yield* sql`select moving(value) as m from json_each('[1,2,3]')`, [{ m: 6 }])
      assert.strictEqual(
        (yield* reasonOf(sql.unsafe(`select ${windowed} from json_each('[1,13,14]')`))).cause,
        "thirteen"
      )
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 55: a collation orders; its failure surfaces", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* sql.collation("reverse", (a, b) => Effect.delay(Effect.succeed(a < b ? 1 : a > b ? -1 : 0), 1))
      yield* sql.collation("broken", () => Effect.fail("no order"))
      yield* sql.collation("odd", () => Effect.succeed(NaN))
      yield* sql.collation("text", () => Effect.succeed("1" as never))
      for (const [name, one] of [
        ["halves", 0.5],
        ["large", 5e12],
        ["endless", Infinity]
      ] as const) {
        yield* sql.collation(name, (a, b) => Effect.succeed(a < b ? -one : a > b ? one : 0))
      }
      const order = (collation: string) =>
        sql.unsafe<{ value: string }>(
          `select value from json_each('["b","c","a"]') order by value collate ${collation}`
        )
      assert.deepStrictEqual(
        (yield* order("reverse")).map(({ value }) => value),
        ["c", "b", "a"]
      )
      assert.strictEqual((yield* reasonOf(order("broken"))).cause, "no order")
      for (const name of ["odd", "text"]) {
        assert.strictEqual((yield* reasonOf(order(name))).reason, "ConversionFailed")
      }
      for (const name of ["halves", "large", "endless"]) {
        assert.deepStrictEqual(
          (yield* order(name)).map(({ value }) => value),
          ["a", "b", "c"]
        )
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a collation that is needed is asked for once, on every session; a failure surfaces", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile, readers: 2 })
      const asked: Array<string> = []
      const needed = yield* sql.collationNeeded((name) =>
        Effect.gen(function* () {
          asked.push(name)
          yield* Effect.sleep(1)
          if (name === "broken") {
            return yield* Effect.fail("not found")
          }
          return name.startsWith("by_")
            ? (a: string, b: string) => Effect.delay(Effect.succeed(a < b ? 1 : a > b ? -1 : 0), 1)
            : undefined
        })
      )
      yield* sql`create table t (n text collate by_reverse)`
      yield* sql`insert into t values ('a'), ('c'), ('b')`
      const ordered = sql<{ n: string }>`select n from t order by n`
      const found = ["c", "b", "a"].map((n) => ({ n }))
      // On the writer first, then on both readers at once, and on one that streams.
      assert.deepStrictEqual(yield* ordered, found)
      assert.deepStrictEqual(yield* Effect.all([ordered, ordered], { concurrency: 2 }), [found, found])
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(ordered.stream)), found)
      assert.deepStrictEqual(yield* sql`select n from t order by n collate BY_REVERSE`, found)
      assert.deepStrictEqual(asked, ["by_reverse"])
      assert.include((yield* reasonOf(sql`select n from t order by n collate other`)).message, "other")
      assert.strictEqual((yield* reasonOf(sql`select n from t order by n collate broken`)).cause, "not found")
      yield* needed.remove
      assert.include((yield* reasonOf(sql`select n, 1 from t order by n`)).message, "by_reverse")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a collation that is needed may not be looked for on the session that waits for it", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* sql.collationNeeded(() => Effect.as(sql`select 1`, undefined))
      const failure = yield* reasonOf(sql`select value from json_each('[1, 2]') order by value collate c`)
      assert.strictEqual(SqlFailure.from(failure.cause).reason, "ReentrantCall")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive(
    "free pages are given back as asked; a failure gives back none, is reported, and the commit stays",
    () =>
      Effect.gen(function* () {
        const sql = yield* open("native", {
          filename: yield* tempFile,
          pragmas: { auto_vacuum: "full" }
        })
        // The file was there before its pragmas.
        yield* sql`vacuum`
        const free = Effect.map(sql.pragma("freelist_count"), Number)
        const fill = sql`create table big as select zeroblob(400000) as b`
        let answer: Effect.Effect<number, string> = Effect.delay(Effect.succeed(10), 1)
        const asked: Array<SqliteClient.FreePages> = []
        const { remove } = yield* sql.autovacuumPages((pages) =>
          Effect.suspend(() => {
            asked.push(pages)
            return answer
          })
        )
        yield* fill
        yield* sql`drop table big`
        const all = asked.at(-1)!
        assert.strictEqual(all.database, "main")
        assert.strictEqual(all.pageSize, 4096)
        assert.isAtLeast(all.freePages, 90)
        assert.isAbove(all.pages, all.freePages)
        assert.strictEqual(yield* free, all.freePages - 10)
        answer = Effect.fail("keep them")
        const before = yield* free
        assert.strictEqual((yield* reasonOf(sql`create table one (n)`)).cause, "keep them")
        assert.deepStrictEqual(yield* sql`select count(*) as n from one`, [{ n: 0 }])
        assert.isAtMost(before - (yield* free), 1)
        answer = Effect.succeed(NaN)
        assert.strictEqual((yield* reasonOf(sql`create table two (n)`)).reason, "ConversionFailed")
        answer = Effect.succeed(1_000_000)
        yield* sql`create table three (n)`
        assert.strictEqual(yield* free, 0)
        yield* remove
        yield* fill
        yield* sql`drop table big`
        assert.strictEqual(yield* free, 0)
      })
  )

  it.scopedLive("row 56: an authorizer denies, ignores, and denies when it fails", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      yield* sql`insert into t values (1)`
      let verdict: Effect.Effect<"ok" | "deny" | "ignore", string> = Effect.succeed("deny")
      // SQLITE_READ
      const { remove } = yield* sql.authorizer(({ action, first }) =>
        action === 20 && first === "t" ? verdict : Effect.succeed("ok" as const)
      )
      assert.strictEqual((yield* reasonOf(sql`select n from t`)).reason, "Authorization")
      verdict = Effect.delay(Effect.succeed("ignore" as const), 1)
      assert.deepStrictEqual(yield* sql`select n, 1 as one from t`, [{ n: null, one: 1 }])
      verdict = Effect.fail("who are you")
      assert.strictEqual((yield* reasonOf(sql`select n, 2 from t`)).cause, "who are you")
      yield* remove
      assert.deepStrictEqual(yield* sql`select n, 3 as three from t`, [{ n: 1, three: 3 }])
    })
  )

  it.scopedLive("an authorizer that allows no list of PRAGMAs still allows those that it knows", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      // SQLITE_PRAGMA
      yield* sql.authorizer(({ action, first }) =>
        Effect.succeed(action === 19 && first !== "user_version" ? ("deny" as const) : ("ok" as const))
      )
      assert.strictEqual(yield* sql.pragma("user_version"), 0)
      assert.strictEqual((yield* reasonOf(sql.pragma("page_size"))).reason, "Authorization")
    })
  )

  it.scopedLive("an authorizer is not asked about the clean-up of what failed, or was stopped", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      yield* sql`create unique index tn on t (n)`
      let reached = yield* Deferred.make<void>()
      yield* sql.function("stuck", () => Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
      const { runInWorker } = yield* sql.workerModule(
        `data:text/javascript,${encodeURIComponent(`export const fill = (db) => {
          db.exec("begin; insert into t values (1)")
          db.exec("insert into t values (stuck())")
        }`)}`
      )
      const stuck = {
        many: sql.many("insert into t values (coalesce(?, stuck()))", [[1], [2], [null]]),
        batch: sql.batch(["insert into t values (1)", "insert into t values (stuck())"]),
        script: sql.unsafe("begin; insert into t values (1); select stuck(); commit"),
        runInWorker: runInWorker("fill")
      }
      const failing = {
        many: sql.many("insert into t values (?)", [[1], [2], [1]]),
        batch: sql.batch(["insert into t values (1)", "insert into t values (1)"])
      }
      const interrupted = <A, E>(work: Effect.Effect<A, E>) =>
        Effect.gen(function* () {
          reached = yield* Deferred.make<void>()
          const fiber = yield* Effect.fork(work)
          yield* Deferred.await(reached)
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        })
      const usable = Effect.gen(function* () {
        assert.strictEqual(yield* count(sql), 0)
        yield* Effect.flip(sql.withTransaction(Effect.zipRight(sql`insert into t values (9)`, Effect.fail("undone"))))
      })
      yield* sql.authorizer(() => Effect.succeed("ok"))
      for (const work of Object.values(stuck)) {
        yield* interrupted(Effect.asVoid(work as Effect.Effect<unknown, unknown>))
        yield* usable
      }
      // In a transaction, with the rows before.
      yield* sql
        .withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into t values (-1)`
            yield* interrupted(sql.many("insert into t values (coalesce(?, stuck()))", [[1], [null]])).pipe(Effect.exit)
          })
        )
        .pipe(Effect.exit)
      assert.deepStrictEqual(yield* sql`select n from t where n > 0`, [])
      yield* sql`delete from t`
      // It says no to every end of a transaction but COMMIT: SQLITE_TRANSACTION, SQLITE_SAVEPOINT.
      const { remove } = yield* sql.authorizer(({ action, first }) =>
        Effect.succeed((action === 22 || action === 32) && first?.startsWith("ROLLBACK") === true ? "deny" : "ok")
      )
      for (const work of Object.values(failing)) {
        assert.strictEqual((yield* reasonOf(work as Effect.Effect<unknown, SqlError>)).reason, "UniqueViolation")
        assert.strictEqual(yield* count(sql), 0)
        const caught = Effect.zipRight(
          sql`insert into t values (7)`,
          Effect.ignore(work as Effect.Effect<unknown, SqlError>)
        )
        yield* sql.withTransaction(caught)
        assert.deepStrictEqual(yield* sql`select n from t`, [{ n: 7 }])
        yield* sql`delete from t`
      }
      yield* remove
      yield* usable
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 57: an update hook hears of each row; its failure is reported and the row stays changed", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      const heard: Array<SqliteClient.RowChange> = []
      const { remove } = yield* sql.updateHook((change) => Effect.sync(() => heard.push(change)))
      yield* sql`insert into t values (1), (2)`
      yield* sql`update t set n = 3 where n = 2`
      yield* sql`delete from t where n = 1`
      const main = { database: "main", table: "t" }
      assert.deepStrictEqual(heard, [
        { ...main, operation: "insert", rowid: 1 },
        { ...main, operation: "insert", rowid: 2 },
        { ...main, operation: "update", rowid: 2 },
        { ...main, operation: "delete", rowid: 1 }
      ])
      yield* remove
      yield* sql.updateHook(() => Effect.fail("told too late"))
      const failure = yield* reasonOf(sql`insert into t values (9)`)
      assert.strictEqual(failure.cause, "told too late")
      assert.strictEqual(failure.outcome, "executed")
      assert.strictEqual(yield* count(sql), 2)
    })
  )

  it.scopedLive("a hook that only tells and fails leaves the aggregates of the same request their values", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* sql`create table t (a, n)`
      yield* sql`create table source (n)`
      yield* sql`insert into source values (1), (2), (3)`
      yield* sql.aggregate("total_of", {
        initial: () => 0,
        step: (sum, n) => Effect.succeed(sum + (n as number)),
        final: (sum) => Effect.succeed(sum)
      })
      const full = Effect.fail("the log is full")
      for (const hook of [sql.trace(() => full), sql.updateHook(() => full)]) {
        const { remove } = yield* hook
        const works = [
          sql`insert into t select 'one', total_of(n) from source`,
          sql.many("insert into t select ?, total_of(n) from source", [["first"], ["second"]]),
          sql.batch([
            "insert into t select 'third', total_of(n) from source",
            "insert into t select 'fourth', total_of(n) from source"
          ]),
          sql`insert into t select 'none', total_of(n) from source where n > 3`,
          sql`insert into t select 'by ' || n, total_of(n) from source group by n`
        ]
        for (const work of works) {
          const failure = yield* reasonOf(work as Effect.Effect<unknown, SqlError>)
          assert.deepStrictEqual([failure.cause, failure.outcome], ["the log is full", "executed"])
        }
        yield* remove
        const rows = yield* sql<{ a: string; n: number }>`select a, n from t`
        assert.deepStrictEqual(Object.fromEntries(rows.map(({ a, n }) => [a, n])), {
          ...{ one: 6, first: 6, second: 6, third: 6, fourth: 6, none: 0 },
          ...{ "by 1": 1, "by 2": 2, "by 3": 3 }
        })
        yield* sql`delete from t`
      }
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a hook that is told of a commit and is late says that it is done", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* sql`create table t (n)`
      const { remove } = yield* sql.walHook(() => Effect.never)
      const late = sql.withTransaction(sql`insert into t values (1)`).pipe(SqlClient.withDeadline("200 millis"))
      const failure = yield* reasonOf(late)
      assert.deepStrictEqual([failure.reason, failure.outcome], ["StatementTimeout", "executed"])
      yield* remove
      assert.strictEqual(yield* count(sql), 1)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("row 58: a commit hook that says true, or fails, rolls back", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      let refuse: Effect.Effect<boolean, string> = Effect.succeed(false)
      let rollbacks = 0
      yield* sql.commitHook(Effect.suspend(() => refuse))
      yield* sql.rollbackHook(Effect.sync(() => void rollbacks++))
      yield* sql`insert into t values (1)`
      refuse = Effect.delay(Effect.succeed(true), 1)
      assert.strictEqual((yield* reasonOf(sql`insert into t values (2)`)).reason, "Constraint")
      assert.strictEqual((yield* reasonOf(sql.withTransaction(sql`insert into t values (3)`))).reason, "Constraint")
      refuse = Effect.fail("not today")
      assert.strictEqual((yield* reasonOf(sql`insert into t values (4)`)).cause, "not today")
      assert.strictEqual((yield* reasonOf(sql.withTransaction(sql`insert into t values (5)`))).cause, "not today")
      refuse = Effect.succeed(false)
      assert.strictEqual(yield* count(sql), 1)
      assert.isAtLeast(rollbacks, 4)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a hook that a commit or a rollback waits for ends with the fiber's deadline", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      let ended = 0
      const never = Effect.ensuring(
        Effect.never,
        Effect.sync(() => void ended++)
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* sql.commitHook(Effect.as(never, false))
          const insert = sql`insert into t values (1)`
          for (const late of [insert, sql.withTransaction(insert)]) {
            const failure = yield* reasonOf(SqlClient.withDeadline("200 millis")(Effect.asVoid(late)))
            assert.deepStrictEqual([failure.reason, failure.outcome], ["StatementTimeout", "notExecuted"])
          }
          yield* eventually("both hooks have ended", () => ended === 2)
        })
      )
      yield* sql.rollbackHook(never)
      const undone = sql.withTransaction(Effect.zipRight(sql`insert into t values (2)`, Effect.fail("undone")))
      assert.strictEqual(yield* Effect.flip(SqlClient.withDeadline("200 millis")(undone)), "undone")
      yield* eventually("the third, too", () => ended === 3)
      assert.strictEqual(yield* count(sql), 0)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a rollback hook that fails is reported, and all is rolled back", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      yield* sql.rollbackHook(Effect.fail("noticed"))
      const exit = yield* Effect.exit(
        sql.withTransaction(Effect.zipRight(sql`insert into t values (1)`, Effect.fail("x")))
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(yield* count(sql), 0)
    })
  )

  it.scopedLive("a WAL hook hears of commits, and the file is still checkpointed", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      const pages: Array<number> = []
      yield* sql.walHook((written) => Effect.sync(() => pages.push(written.pages)))
      yield* sql`create table t (n)`
      yield* sql`insert into t values (zeroblob(6000000))`
      yield* sql`insert into t values (1)`
      yield* sql`insert into t values (1)`
      assert.isAbove(Math.max(...pages), 1_000)
      assert.isBelow(pages.at(-1)!, 1_000)
    })
  )

  it.scopedLive("a WAL hook checkpoints where the connection was told to, and leaves it so", () =>
    Effect.gen(function* () {
      const fill = 2_000 * 4_096
      for (const [pages, filled] of [
        [0, 4_000],
        [100, 2_000]
      ] as const) {
        const filename = yield* tempFile
        const sql = yield* open("native", { filename, pragmas: { wal_autocheckpoint: pages } })
        yield* sql`create table t (n)`
        const heard: Array<number> = []
        const insert = sql`insert into t values (zeroblob(${fill}))`
        const hear = sql.walHook((written) => Effect.sync(() => heard.push(written.pages)))
        // A second hook takes the place of the first, and gives it back.
        const first = yield* hear
        yield* insert
        const second = yield* hear
        yield* insert
        yield* second.remove
        assert.isAtLeast(heard.at(-1)!, filled)
        if (pages > 0) {
          assert.isBelow(heard.at(-1)!, 2 * filled)
        }
        yield* first.remove
        assert.strictEqual(yield* sql.pragma("wal_autocheckpoint"), pages)
        yield* insert
        assert.lengthOf(heard, 2)
      }
    })
  )

  it.scopedLive("a WAL hook's place is taken by a pragma, which then stands", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* sql`create table t (n)`
      const heard: Array<number> = []
      const hook = yield* sql.walHook((written) => Effect.sync(() => heard.push(written.pages)))
      yield* sql`insert into t values (1)`
      yield* sql.pragma("wal_autocheckpoint", 50)
      yield* sql`insert into t values (1)`
      yield* hook.remove
      assert.lengthOf(heard, 1)
      assert.strictEqual(yield* sql.pragma("wal_autocheckpoint"), 50)
    })
  )

  it.scopedLive("row 59: a busy handler that gives up after n tries has been asked n + 1 times", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const [holder, waiter] = [yield* open("native", { filename }), yield* open("native", { filename })]
      yield* holder`create table t (n)`
      const tries: Array<number> = []
      yield* waiter.busyHandler((n) =>
        Effect.delay(
          Effect.sync(() => tries.push(n) <= 4),
          1
        )
      )
      const failure = yield* holder.withTransaction(
        Effect.zipRight(holder`insert into t values (1)`, reasonOf(waiter`insert into t values (2)`))
      )
      assert.strictEqual(failure.reason, "LockTimeout")
      assert.deepStrictEqual(tries, [0, 1, 2, 3, 4])
      yield* waiter`insert into t values (3)`
      assert.strictEqual(yield* count(waiter), 2)
    })
  )

  it.scopedLive("row 60: a progress handler of the program beside ours", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { progressSteps: 10_000 })
      let asked = 0
      let stop = false
      yield* sql.progressHandler(
        Effect.sync(() => {
          asked++
          return stop
        })
      )
      yield* sql.unsafe(spinFor(100_000))
      assert.isAbove(asked, 10)
      stop = true
      assert.strictEqual((yield* reasonOf(sql.unsafe(spinFor(100_000)))).reason, "Interrupted")
      stop = false
      const fiber = yield* Effect.fork(sql.unsafe(spinFor(1_000_000_000)))
      yield* Effect.sleep(30)
      yield* Fiber.interrupt(fiber)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("trace and profile hear of statements; their failure is reported, the work stays", () =>
    Effect.gen(function* () {
      const sql = yield* withTable
      const [traced, profiled]: [Array<string>, Array<string>] = [[], []]
      const trace = yield* sql.trace((statement) => Effect.sync(() => traced.push(statement)))
      const profile = yield* sql.profile(({ nanos, statement }) =>
        Effect.sync(() => {
          assert.isAtLeast(nanos, 0)
          profiled.push(statement)
        })
      )
      yield* sql`insert into t values (${1})`
      assert.deepStrictEqual([traced, profiled], [["insert into t values (?)"], ["insert into t values (?)"]])
      yield* trace.remove
      yield* profile.remove
      yield* sql.trace((statement) => (statement.startsWith("insert") ? Effect.fail("heard") : Effect.void))
      assert.strictEqual((yield* reasonOf(sql`insert into t values (${2})`)).cause, "heard")
      assert.strictEqual(yield* count(sql), 2)
    })
  )
})

describe("windows, collations and hooks (portable)", () => {
  it.scopedLive("are Unsupported, and leave nothing registered", () =>
    Effect.gen(function* () {
      const sql = yield* open("portable")
      const none = Effect.succeed(0)
      for (const registering of [
        sql.collation("c", () => none),
        sql.window("w", {
          initial: () => 0,
          step: () => none,
          inverse: () => none,
          value: () => none,
          final: () => none
        }),
        sql.authorizer(() => Effect.succeed("ok")),
        sql.collationNeeded(() => Effect.succeed(undefined)),
        sql.autovacuumPages(() => none),
        sql.updateHook(() => Effect.void),
        sql.commitHook(Effect.succeed(false)),
        sql.progressHandler(Effect.succeed(false)),
        sql.trace(() => Effect.void)
      ]) {
        const failure = yield* reasonOf(registering)
        assert.strictEqual(failure.reason, "Unsupported")
        assert.include(failure.message, "native engine")
      }
      yield* assertIdle(sql)
    })
  )
})
