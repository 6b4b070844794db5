/** Sessions of the pool, against a daemon that does what it is told. */
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient, MapepireJob } from "@sluice/mapepire"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Chunk, Context, Duration, Effect, Exit, Fiber, Layer, Logger, Stream } from "effect"
import { type Connection, type Request, type ScriptedDaemon, scriptedDaemon } from "./scriptedDaemon.js"
import { numbers, until } from "./support.js"

const client = (daemon: ScriptedDaemon, config: Partial<MapepireClient.MapepireClientConfig> = {}) =>
  Effect.map(Layer.build(MapepireClient.layer({ ...daemon.config, ...config })), (context) =>
    Context.get(context, MapepireClient.MapepireClient)
  )

describe("a session that nobody shares", () => {
  it.scopedLive("stops its statement, although the next page of a stream waits for it", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/endless/, { runs: Infinity }).on(/from ten/, numbers(10))
      // The driver's lock: a page is fetched when nothing else runs.
      const locked = (request: Request, connection: Connection): void =>
        daemon.cancels.length > 0
          ? connection.handle(request)
          : void daemon.later(20, () => locked(request, connection))
      daemon.override((request, connection) => {
        const page = request.type === "sqlmore"
        if (page) {
          locked(request, connection)
        }
        return page
      })
      const sql = yield* client(daemon, { sessions: 1, transactions: 1 })
      const rows = yield* Effect.fork(
        sql<{ n: number }>`select * from ten`.stream.pipe(
          SqlClient.withPrefetch(4),
          // The next page is asked for while the session is busy.
          Stream.tap(({ n }) =>
            n === 4 ? until(() => daemon.statements.some((text) => /endless/.test(text))) : Effect.void
          ),
          Stream.map(({ n }) => n),
          Stream.runCollect
        )
      )
      yield* until(() => daemon.statements.some((text) => /from ten/.test(text)))
      const endless = yield* Effect.fork(sql.unsafe("select endless"))
      yield* until(() => daemon.statements.some((text) => /endless/.test(text)))
      yield* Effect.sleep(100)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(endless)))
      assert.strictEqual(daemon.cancels.length, 1)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(rows)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    })
  )

  it.scopedLive("says that a change which came to its end too late has been undone, where it was", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let answer = () => {}
      daemon.override((request, connection) => {
        if (request.type === "prepare_sql_execute") {
          answer = () => connection.reply(request, { has_results: false, update_count: 2, data: [], is_done: true })
        }
        return request.type === "prepare_sql_execute"
      })
      daemon.cancel = () => answer()
      const sql = yield* client(daemon)
      const many = sql.many("insert into t (a) values (?)", [[1], [2]])
      const failed = SqlFailure.from(yield* Effect.flip(SqlClient.withDeadline("2 seconds")(many)))
      assert.deepStrictEqual([failed.reason, failed.outcome], ["StatementTimeout", "notExecuted"])
      assert.strictEqual(daemon.statements.at(-1), "ROLLBACK")
    })
  )
})

describe("a failure that leaves a transaction", () => {
  const late = Effect.gen(function* () {
    const daemon = yield* scriptedDaemon()
    daemon.on(/^(rollback|commit)$/i, {}).on(/^values 1$/i, numbers(1))
    let answer = () => {}
    daemon.override((request, connection) => {
      const insert = request.type === "prepare_sql_execute"
      if (insert) {
        answer = () => connection.reply(request, { has_results: false, update_count: 1, data: [], is_done: true })
      }
      return insert
    })
    daemon.cancel = () => answer()
    const sql = yield* client(daemon)
    return { daemon, sql, insert: SqlClient.withDeadline("1 seconds")(sql`insert into t (a) values (${1})`) }
  })

  it.scopedLive("has had no effect once that is rolled back, whatever its statement did", () =>
    Effect.gen(function* () {
      const { daemon, insert, sql } = yield* late
      const failed = SqlFailure.from(yield* Effect.flip(sql.withTransaction(insert)))
      assert.deepStrictEqual([failed.reason, failed.outcome], ["StatementTimeout", "notExecuted"])
      assert.strictEqual(daemon.statements.at(-1), "ROLLBACK")
    })
  )

  it.scopedLive("is inside it what it is: whoever goes on there commits what was done", () =>
    Effect.gen(function* () {
      const { daemon, insert, sql } = yield* late
      const failed = yield* sql.withTransaction(Effect.flip(insert))
      assert.strictEqual(SqlFailure.from(failed).outcome, "executed")
      assert.strictEqual(daemon.statements.at(-1), "COMMIT")
    })
  )

  it.scopedLive("is the same for a stream whose rows failed after the first", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^(rollback|commit)$/i, {}).on(/final table/, {
        ...numbers(3),
        failAfter: 2,
        error: "[SQL0901] It broke.",
        sqlState: "58004",
        sqlRc: -901
      })
      const sql = yield* client(daemon)
      for (const prefetch of [1, 10]) {
        const rows = sql`select * from final table (insert into t values (1), (2), (3))`.stream.pipe(
          SqlClient.withPrefetch(prefetch),
          Stream.runDrain
        )
        assert.strictEqual(SqlFailure.from(yield* Effect.flip(rows)).outcome, "unknown")
        assert.strictEqual(SqlFailure.from(yield* Effect.flip(sql.withTransaction(rows))).outcome, "notExecuted")
      }
    })
  )
})

describe("what a reserved session does by itself", () => {
  it.scopedLive("is not said to be done where its COMMIT failed: a stream fails like any other statement", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon
        .on(/^rollback$/i, {})
        .on(/^commit$/i, { error: "[SQL7008] Not valid.", sqlState: "55019", sqlRc: -7008 })
        .on(/final table/, numbers(3))
      const sql = yield* client(daemon)
      const session = yield* sql.reserve
      const insert = "select * from final table (insert into t values (1), (2), (3))"
      for (const prefetch of [2, 10]) {
        const rows = session
          .executeStream(insert, [], undefined)
          .pipe(SqlClient.withPrefetch(prefetch), Stream.runDrain)
        const { reason, statement } = SqlFailure.from(yield* Effect.flip(rows))
        assert.deepStrictEqual([reason, statement], ["Unsupported", "COMMIT"])
        // Else the next COMMIT would make it be there after all.
        assert.strictEqual(daemon.statements.at(-1), "ROLLBACK")
      }
    })
  )
})

describe("a transaction whose connection dies before its COMMIT", () => {
  for (const [text, outcome] of [
    ["update t set a = 1", "notExecuted"],
    ["call ends()", "unknown"]
  ] as const) {
    it.scopedLive(`was ${outcome} if it was under way with: ${text}`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.override(({ sql }, connection) => {
          if (sql === text) {
            connection.socket!.terminate()
          }
          return sql === text
        })
        const sql = yield* client(daemon, { sessions: 1, transactions: 1 })
        const failed = SqlFailure.from(yield* Effect.flip(sql.withTransaction(sql.unsafe(text))))
        assert.deepStrictEqual([failed.reason, failed.outcome], ["SessionLost", outcome])
        assert.strictEqual(SqlFailure.from(yield* Effect.flip(sql.unsafe(text))).outcome, "unknown")
      })
    )
  }

  it.scopedLive("has not kept what a statement of it had done before", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const big = { name: "B", type: "BIGINT", precision: 19, scale: 0 }
      daemon.on(/final table/, { columns: [big], rows: [["9007199254740993"]] })
      const sql = yield* client(daemon, { sessions: 1, transactions: 1 })
      const insert = sql.unsafe("select b from final table (insert into t values (1))")
      const die = Effect.sync(() => daemon.connections.at(-1)!.socket!.terminate())
      const failed = SqlFailure.from(
        yield* Effect.flip(sql.withTransaction(Effect.tapError(insert, () => Effect.zipRight(die, Effect.sleep(100)))))
      )
      assert.deepStrictEqual([failed.reason, failed.outcome], ["ConversionFailed", "notExecuted"])
    })
  )
})

describe("a transaction in which a statement fails", () => {
  /** The transaction goes on after the failure, by itself and after a savepoint is tried again. */
  const goingOn = (sqlState: string, sqlRc: number) =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon
        .on(/^(commit$|rollback|savepoint|release|insert)/i, {})
        .on(/bad/, { error: "[SQL0000] It failed.", sqlState, sqlRc })
      const sql = yield* client(daemon, { sessions: 1, transactions: 1 })
      const bad = sql.unsafe("insert into bad values (1)")
      const after = (first: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function* () {
          const from = daemon.statements.length
          const seen: Array<string> = []
          const see = (effect: Effect.Effect<unknown, unknown>) =>
            Effect.map(Effect.either(effect), (done) => {
              seen.push(done._tag === "Left" ? SqlFailure.from(done.left).reason : "done")
            })
          const all = sql.withTransaction(Effect.zipRight(see(first), see(sql.unsafe("insert into c values (1)"))))
          yield* see(all)
          return [seen, daemon.statements.slice(from)] as const
        })
      const plain = yield* after(bad)
      const again = yield* after(Effect.retry(sql.withTransaction(bad), { times: 1 }))
      const next = yield* after(sql.unsafe("insert into a values (1)"))
      assert.deepStrictEqual(next[0], ["done", "done", "done"])
      return { plain, again: again[0], sent: again[1] }
    })

  for (const [state, code, reason] of [
    ["40001", -911, "Deadlock"],
    ["40504", -1229, "Serialization"],
    ["40003", -900, "SessionLost"]
  ] as const) {
    it.scopedLive(`${state}: has been rolled back, and does not go on`, () =>
      Effect.gen(function* () {
        const { again, plain, sent } = yield* goingOn(state, code)
        const bad = "insert into bad values (1)"
        assert.deepStrictEqual(plain, [[reason, "TransactionGone", "TransactionGone"], [bad]])
        assert.deepStrictEqual(again, ["TransactionGone", "TransactionGone", "TransactionGone"])
        assert.deepStrictEqual(
          sent.map((text) => text.replace(/_\d.*/, "")),
          ["SAVEPOINT sluice", bad]
        )
      })
    )
  }

  for (const [state, code, outcome, began, how] of [
    ["40001", -911, "notExecuted", "insert into", "a statement"],
    ["40504", -1229, "notExecuted", "update", "a statement"],
    ["51021", -918, "notExecuted", "delete from", "a statement"],
    ["40001", -911, "unknown", "call", "a procedure, which may have committed before"],
    ["40003", -900, "unknown", "insert into", "a statement, whose end nobody knows"]
  ] as const) {
    it.scopedLive(`${state}, of ${how}, in a transaction that goes on regardless: ${outcome}`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/./, {}).on(/bad/, { error: "[SQL0000] Rolled back.", sqlState: state, sqlRc: code })
        const program = Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const bad = Effect.ignore(sql.unsafe(`${began} bad`))
          const good = sql.unsafe("insert into a values (1)")
          for (const body of [bad, Effect.zipRight(good, bad), Effect.zipRight(bad, Effect.ignore(good))]) {
            const failed = SqlFailure.from(yield* Effect.flip(sql.withTransaction(body)))
            assert.deepStrictEqual([failed.reason, failed.outcome], ["TransactionGone", outcome])
          }
          assert.notInclude(daemon.statements, "COMMIT")
        })
        yield* Effect.provide(program, MapepireClient.layer(daemon.config))
      })
    )
  }

  it.scopedLive("40001 while rows of an INSERT are read: that is gone with the transaction", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/./, {}).on(/final table/i, numbers(3))
      daemon.override((request, connection) => {
        if (request.type === "sqlmore") {
          connection.reply(request, { success: false, error: "it failed", sql_state: "40001", sql_rc: -911 })
        }
        return request.type === "sqlmore"
      })
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const insert = sql.unsafe("select * from final table (insert into t values (1), (2), (3))")
        const streamed = insert.stream.pipe(SqlClient.withPrefetch(1), Stream.runDrain)
        const failed = SqlFailure.from(yield* Effect.flip(sql.withTransaction(streamed)))
        assert.deepStrictEqual([failed.reason, failed.outcome], ["Deadlock", "notExecuted"])
      })
      yield* Effect.provide(program, MapepireClient.layer(daemon.config))
    })
  )

  it.scopedLive("51021: can only be rolled back, and is", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ message }) => logged.push(message))
      )
      const { again, plain, sent } = yield* Effect.provide(goingOn("51021", -918), logger)
      assert.isEmpty(logged)
      const gone = ["TransactionGone", "TransactionGone", "TransactionGone"]
      assert.deepStrictEqual(plain, [gone, ["insert into bad values (1)", "ROLLBACK"]])
      assert.deepStrictEqual(again, gone)
      assert.strictEqual(sent.at(-1), "ROLLBACK")
      assert.notInclude(sent, "COMMIT")
    })
  )

  it.scopedLive("57033: goes on: only the statement has failed", () =>
    Effect.gen(function* () {
      const { plain } = yield* goingOn("57033", -913)
      assert.deepStrictEqual(plain[0], ["LockTimeout", "done", "done"])
      assert.strictEqual(plain[1].at(-1), "COMMIT")
    })
  )
})

describe("a session that cannot be made quiet", () => {
  const interrupting = (daemon: ScriptedDaemon, config: Partial<MapepireClient.MapepireClientConfig>, tx: boolean) =>
    Effect.gen(function* () {
      const sql = yield* client(daemon, { sessions: 1, transactions: 1, grace: "500 millis", ...config })
      const endless = sql.unsafe("select endless")
      const fiber = yield* Effect.fork(tx ? sql.withTransaction(endless) : endless)
      yield* until(() => daemon.statements.some((text) => /endless/.test(text)))
      yield* Fiber.interrupt(fiber)
      // Its slot is free again, for a job that does not run anything.
      const next = sql.unsafe("values 1")
      const rows = yield* SqlClient.withDeadline("5 seconds")(tx ? sql.withTransaction(next) : next)
      assert.strictEqual(rows.length, 1)
    })

  it.scopedLive("because its ROLLBACK is not answered is given up, and the interrupt completes", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/endless/, { runs: Infinity }).on(/^commit$/i, {})
      daemon.override(({ sql }) => sql === "ROLLBACK")
      yield* interrupting(daemon, {}, true)
    })
  )

  for (const end of ["ROLLBACK TO", "RELEASE"]) {
    it.scopedLive(`because its ${end} SAVEPOINT is not answered is given up, and the interrupt completes`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/.*/, {})
        daemon.override(({ sql }) => sql?.startsWith(end) === true)
        const sql = yield* client(daemon, { sessions: 1, transactions: 1, grace: "500 millis" })
        const inner = sql.withTransaction(end === "RELEASE" ? Effect.void : Effect.fail("undo it"))
        const waits = yield* Effect.fork(sql.withTransaction(Effect.ignore(inner)))
        yield* until(() => daemon.requests.some(({ sql }) => sql?.startsWith(end) === true))
        const [took] = yield* Effect.timed(Fiber.interrupt(waits))
        assert.isBelow(Duration.toMillis(took), 10_000)
        assert.notInclude(
          daemon.sent("sql").map(({ sql }) => sql),
          "COMMIT"
        )
        // Another job takes its place.
        yield* sql.withTransaction(sql`update t set a = 1`)
      })
    )
  }

  it.scopedLive("by itself is given up if it does not answer a rollback", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ sql }) => sql === "ROLLBACK")
      const job = yield* MapepireJob.make({ ...daemon.config, grace: "500 millis", jdbc: { "auto commit": false } })
      const [took, failed] = yield* Effect.timed(Effect.flip(job.rollback))
      assert.strictEqual(SqlFailure.from(failed).reason, "SessionLost")
      assert.isBelow(Duration.toMillis(took), 10_000)
      yield* job.lost
    })
  )

  for (const tx of [false, true]) {
    it.scopedLive(`because nothing may be stopped is given up${tx ? ", also in a transaction" : ""}`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/endless/, { runs: Infinity }).on(/^commit|rollback$/i, {})
        yield* interrupting(daemon, { cancel: false }, tx)
        assert.isEmpty(daemon.cancels)
      })
    )
  }

  it.scopedLive("because a statement did not stop by its deadline is not lent to the next one of the same fiber", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ sql }) => sql === "select endless")
      const sql = yield* client(daemon, { sessions: 1, transactions: 1, grace: "300 millis" })
      const { reason } = SqlFailure.from(
        yield* Effect.flip(SqlClient.withDeadline("100 millis")(sql.unsafe("select endless")))
      )
      assert.strictEqual(reason, "StatementTimeout")
      assert.strictEqual((yield* sql.unsafe("values 1")).length, 1)
    })
  )

  it.scopedLive("gives its place to another one, but not for ever: the jobs that are kept aside are bounded", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/endless/, { runs: Infinity })
      daemon.cancel = () => {}
      const sql = yield* client(daemon, { sessions: 1, transactions: 1, grace: "100 millis" })
      const open = () => daemon.connections.filter(({ closed }) => closed === undefined)
      const endless = Effect.flip(SqlClient.withDeadline("1 second")(sql.unsafe("select endless")))
      for (let i = 0; i < 5; i++) {
        assert.strictEqual(SqlFailure.from(yield* endless).reason, "StatementTimeout")
      }
      // As many as there may be sessions, and the one that stops statements.
      assert.strictEqual(daemon.statements.filter((text) => /endless/.test(text)).length, 2)
      assert.strictEqual(open().length, 3)
      const waiting = yield* Effect.fork(sql.unsafe("values 1"))
      yield* Effect.sleep(100)
      assert.isNull(waiting.unsafePoll())
      open()
        .find(({ inFlight }) => inFlight.size > 0)!
        .cancel()
      assert.strictEqual((yield* Fiber.join(waiting)).length, 1)
    })
  )

  for (const kind of ["statement", "transaction"] as const) {
    it.scopedLive(`keeps none from being opened that is no ${kind}'s`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/endless/, { runs: Infinity }).on(/^(commit|rollback)$/i, {})
        daemon.cancel = () => {}
        const sql = yield* client(daemon, { sessions: 1, transactions: 1, grace: "100 millis" })
        const one = sql.unsafe("select endless")
        const inOne = kind === "transaction" ? sql.withTransaction(one) : one
        for (let i = 0; i < 3; i++) {
          yield* Effect.flip(SqlClient.withDeadline("1 second")(inOne))
        }
        assert.strictEqual(daemon.statements.filter((text) => /endless/.test(text)).length, 2)
        const other = sql.unsafe("values 1")
        const rows = yield* kind === "transaction" ? other : sql.withTransaction(other)
        assert.strictEqual(rows.length, 1)
      }).pipe(Effect.timeout("20 seconds"))
    )
  }

  it.scopedLive("because nothing may be stopped is used again where the statement ends in time", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/endless/, { ...numbers(3), delay: 150 })
      yield* interrupting(daemon, { cancel: false, grace: "20 seconds" }, false)
      assert.strictEqual(daemon.connections.length, 1)
    })
  )
})

describe("the driver's 9,999 statements", () => {
  it.scopedLive(
    "are all that a job by itself has; one more was not executed",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/^update/, { updateCount: 1 })
        const job = yield* MapepireJob.make(daemon.config)
        const change = job.queryAndRun("update t set a = 1")
        yield* Effect.replicateEffect(change, 9_999, { concurrency: 64, discard: true })
        const { outcome, reason, sqlState } = SqlFailure.from(yield* Effect.flip(change))
        assert.deepStrictEqual([reason, outcome, sqlState], ["SessionLost", "notExecuted", "HY014"])
        assert.strictEqual(daemon.connections.length, 1)
      }),
    120_000
  )

  it.scopedLive(
    "are no limit to who has a client: the job is replaced before",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/^update/, { updateCount: 1 })
        const sql = yield* client(daemon, { sessions: 1, transactions: 1 })
        yield* Effect.replicateEffect(sql.unsafe("update t set a = 1"), 10_500, { concurrency: 8, discard: true })
        const changes = daemon.statements.filter((text) => text.startsWith("update"))
        assert.strictEqual(changes.length, 10_500)
        assert.strictEqual(daemon.connections.length, 2)
      }),
    120_000
  )
})
