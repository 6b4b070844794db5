/** What a failure says of a statement's effect, where it had one before it failed. */
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient, MapepireJob } from "@sluice/mapepire"
import { SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { mayWrite } from "../src/internal/job/effects.js"
import { type Request, type ScriptedDaemon, scriptedDaemon } from "./scriptedDaemon.js"
import { numbers } from "./support.js"

const insert = "select * from final table (insert into t values (1), (2), (3))"

const failureOf = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(effect), (error) => SqlFailure.from(error))

/** The client on a daemon whose every INSERT has three rows. */
const clientOn = (daemon: ScriptedDaemon) =>
  MapepireClient.layer({ ...daemon.config, sessions: 1, transactions: 1, pool: { bypassWindow: "1 hour" } })

it("statements that may write", () => {
  for (const text of [
    insert,
    "SELECT id FROM FINAL -- of course\n TABLE (UPDATE t SET a = 1)",
    "with x as (select 1 from old table (delete from t)) select * from x",
    "insert into t values (1)",
    "call p()",
    "merge into t using u on 1 = 1 when matched then delete"
  ]) {
    assert.isTrue(mayWrite(text), text)
  }
  for (const text of [
    "select * from t for update",
    "(select 1 from t)",
    "values 1",
    "with x as (select 1 from t) select 'final table' as \"NEW\" from x, table (f()) as y"
  ]) {
    assert.isFalse(mayWrite(text), text)
  }
})

describe("a page that fails after rows of the statement came", () => {
  const refusals = [
    ["57033", -913],
    ["40001", -911],
    ["58004", -901]
  ] as const
  for (const [sqlState, sqlRc] of refusals) {
    it.scopedLive(`${sqlRc}: an INSERT is not said to be undone, and not repeated`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/final table/i, numbers(3))
        daemon.override((request, connection) => {
          if (request.type !== "sqlmore") {
            return false
          }
          connection.reply(request, { success: false, error: "it failed", sql_state: sqlState, sql_rc: sqlRc })
          return true
        })
        const program = Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const streamed = sql.unsafe(insert).stream.pipe(SqlClient.withPrefetch(1), Stream.runDrain)
          const failed = yield* failureOf(Effect.retry(streamed, SqlFailure.retryPolicy))
          assert.deepStrictEqual([failed.outcome, failed.isRetryable], ["unknown", false])
          assert.strictEqual(daemon.statements.filter((text) => text === insert).length, 1)
        })
        yield* Effect.provide(program, clientOn(daemon))
        const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 1 })
        assert.strictEqual((yield* failureOf(job.queryAndRun(insert))).outcome, "unknown")
      })
    )
  }

  it.scopedLive("a query that changes nothing may be repeated", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from t$/, numbers(3))
      daemon.once(
        ({ type }) => type === "sqlmore",
        (request, connection) =>
          connection.reply(request, { success: false, error: "in use", sql_state: "57033", sql_rc: -913 })
      )
      const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 2 })
      const { rows } = yield* Effect.retry(job.queryAndRun("select * from t"), SqlFailure.retryPolicy)
      assert.strictEqual(rows.length, 3)
    })
  )

  it.scopedLive("the first page fails while it is read", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const refusal = { success: false, error: "in use", sql_state: "57033", sql_rc: -913 }
      daemon.override((request, connection) => {
        if (request.type !== "sql") {
          return false
        }
        connection.reply(request, { ...refusal, has_results: true, update_count: -1 })
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      assert.strictEqual((yield* failureOf(job.queryAndRun(insert))).outcome, "unknown")
      assert.strictEqual((yield* failureOf(job.queryAndRun("select 1 from t"))).outcome, "notExecuted")
    })
  )

  it.scopedLive("its deadline passes between two pages, or the connection ends", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/./, numbers(3))
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const slowly = (text: string) =>
          sql.unsafe(text).stream.pipe(
            SqlClient.withPrefetch(1),
            SqlClient.withDeadline("200 millis"),
            Stream.mapEffect(() => Effect.sleep("300 millis")),
            Stream.runDrain
          )
        const late = yield* failureOf(slowly(insert))
        assert.deepStrictEqual([late.reason, late.outcome], ["StatementTimeout", "unknown"])
        const query = yield* failureOf(slowly("select * from t"))
        assert.deepStrictEqual([query.reason, query.outcome], ["StatementTimeout", "notExecuted"])
      })
      yield* Effect.provide(program, clientOn(daemon))
      const job = yield* MapepireJob.make(daemon.config)
      const cursor = yield* job.query(insert, [], { rows: 1 })
      yield* cursor.next
      daemon.connections.at(-1)!.drop()
      yield* job.lost
      const lost = yield* failureOf(cursor.next)
      assert.deepStrictEqual([lost.reason, lost.outcome], ["SessionLost", "unknown"])
    })
  )
})

it.scopedLive("an answer that says neither success nor failure", () =>
  Effect.gen(function* () {
    const daemon = yield* scriptedDaemon()
    daemon.on(/^update/, { updateCount: 1 })
    daemon.override((request, connection) => {
      if (!/^(insert|commit)/i.test(request.sql ?? "")) {
        return false
      }
      connection.send({ id: request.id })
      return true
    })
    const program = Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (const failing of [
        sql.unsafe("insert into t values (1)"),
        sql.unsafe("insert into t values (?)", [1]),
        sql.withTransaction(sql.unsafe("update t set a = 1"))
      ]) {
        assert.strictEqual((yield* failureOf(failing)).outcome, "unknown")
      }
    })
    yield* Effect.provide(program, clientOn(daemon))
  })
)

describe("a batch", () => {
  const rowOf = ({ parameters }: Request) => (parameters?.[0] as ReadonlyArray<unknown> | undefined)?.[0]

  it.scopedLive("whose later message is not answered in time has had an effect with the ones before", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^(commit$|rollback|savepoint|release)/i, {})
      daemon.on(/^insert/, (request) => (rowOf(request) === 2 ? { runs: Infinity } : { updateCount: 1 }))
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const many = sql.many("insert into t values (?)", [[1], [2], [3]])
        const late = (effect: Effect.Effect<unknown, unknown>) =>
          Effect.map(failureOf(effect), ({ outcome, reason }) => [reason, outcome])
        const request = SqlTransport.request("insert into t values (?)", { deadline: performance.now() + 400 })
        const batch = sql.onSession((session) => session.batch(request, [[1], [2], [3]]))
        assert.deepStrictEqual(yield* sql.withTransaction(late(batch)), ["StatementTimeout", "unknown"])
        // All of many is a savepoint that was rolled back.
        const inside = late(SqlClient.withDeadline("400 millis")(many))
        assert.deepStrictEqual(yield* sql.withTransaction(inside), ["StatementTimeout", "notExecuted"])
        assert.include(
          daemon.sent("sql").map(({ sql }) => sql),
          "ROLLBACK TO SAVEPOINT sluice_1"
        )
        // By itself it is a transaction that was rolled back.
        assert.strictEqual((yield* failureOf(SqlClient.withDeadline("400 millis")(many))).outcome, "notExecuted")
      })
      yield* Effect.provide(program, MapepireClient.layer({ ...daemon.config, batchRows: 1 }))
    })
  )

  it.scopedLive("that failed and was rolled back is not there", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let rollback = true
      daemon
        .on(/^(commit$|rollback to|savepoint|release)/i, {})
        .on(/^insert/, { error: "[SQL7008] Not valid.", sqlState: "55019", sqlRc: -7008 })
      daemon.override((request, connection) => {
        if (request.sql === "ROLLBACK") {
          connection.reply(request, { success: rollback, ...(rollback ? { update_count: 0 } : { error: "It failed" }) })
        }
        return request.sql === "ROLLBACK"
      })
      const program = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const many = failureOf(sql.many("insert into t values (?)", [[1], [2]]))
        assert.strictEqual((yield* many).outcome, "notExecuted")
        // In a transaction its savepoint is.
        assert.strictEqual((yield* sql.withTransaction(many)).outcome, "notExecuted")
        rollback = false
        assert.strictEqual((yield* many).outcome, "unknown")
      })
      yield* Effect.provide(program, clientOn(daemon))
    })
  )
})

it.scopedLive("a statement whose completion is unknown (40003) is not repeated", () =>
  Effect.gen(function* () {
    const daemon = yield* scriptedDaemon()
    daemon.on(/./, { error: "[SQL0900] Statement completion is unknown.", sqlState: "40003", sqlRc: -900 })
    const program = Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const failed = yield* failureOf(Effect.retry(sql.unsafe("insert into t values (1)"), SqlFailure.retryPolicy))
      assert.deepStrictEqual([failed.reason, failed.outcome, failed.isRetryable], ["SessionLost", "unknown", false])
    })
    yield* Effect.provide(program, clientOn(daemon))
    assert.deepStrictEqual(daemon.statements, ["insert into t values (1)"])
  })
)

it.scopedLive("a statement that somebody else has cancelled", () =>
  Effect.gen(function* () {
    const daemon = yield* scriptedDaemon()
    daemon.on(/./, { error: "[SQL0952] Processing of the SQL statement ended.", sqlState: "57014", sqlRc: -952 })
    const auto = yield* MapepireJob.make(daemon.config)
    const outcome = (job: MapepireJob.MapepireJob, text: string, params?: ReadonlyArray<unknown>) =>
      Effect.map(failureOf(job.queryAndRun(text, params)), ({ outcome, reason }) => [reason, outcome])
    assert.deepStrictEqual(yield* outcome(auto, "update t set a = 1"), ["Interrupted", "unknown"])
    assert.deepStrictEqual(yield* outcome(auto, "update t set a = ?", [1]), ["Interrupted", "unknown"])
    assert.deepStrictEqual(yield* outcome(auto, "select * from t"), ["Interrupted", "notExecuted"])
    const tx = yield* MapepireJob.make({ ...daemon.config, jdbc: { "auto commit": false } })
    assert.deepStrictEqual(yield* outcome(tx, "update t set a = 1"), ["Interrupted", "notExecuted"])
  })
)
