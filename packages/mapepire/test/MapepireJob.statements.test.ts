import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as MapepireJob from "@sluice/mapepire/MapepireJob"
import * as SqlClient from "@sluice/sql/SqlClient"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { scriptedDaemon } from "./scriptedDaemon.js"
import { numbers, until } from "./support.js"

describe("a deadline", () => {
  const late = <A>(effect: Effect.Effect<A, SqlError>) =>
    Effect.map(Effect.timed(Effect.flip(effect)), ([took, error]) => {
      const { outcome, reason } = SqlFailure.from(error)
      assert.deepStrictEqual([reason, outcome], ["StatementTimeout", "notExecuted"])
      assert.isBelow(Duration.toMillis(took), 5_000)
    })

  it.scopedLive("holds while another execution of the prepared statement is waited for", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^insert/, ({ parameters }) => (parameters?.[0] === 1 ? { runs: 60_000 } : { updateCount: 1 }))
      const job = yield* MapepireJob.make(daemon.config)
      const insert = yield* job.prepare("insert into t values (?)")
      const running = yield* Effect.fork(insert.execute([1]))
      yield* until(() => daemon.sent("execute").length === 1)
      yield* late(insert.execute([2], { timeout: "200 millis" }))
      assert.strictEqual(daemon.sent("execute").length, 1)
      yield* Fiber.interrupt(running)
      // Its turn was given back.
      assert.strictEqual((yield* insert.execute([3], { timeout: "20 seconds" })).rowCount, 1)
    })
  )

  it.scopedLive("holds for everything that asks the daemon, also what is no statement", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const job = yield* MapepireJob.make(daemon.config)
      daemon.override(() => true)
      for (const ask of [
        job.ping,
        job.version,
        job.job,
        job.setTrace({ level: "ON" }),
        job.trace,
        // The last one: with it the job ends, as which one answers is not known.
        job.reconnect()
      ]) {
        const [took, error] = yield* Effect.timed(Effect.flip(SqlClient.withDeadline("200 millis")(ask)))
        assert.strictEqual(SqlFailure.from(error).reason, "StatementTimeout")
        assert.isBelow(Duration.toMillis(took), 5_000)
      }
    })
  )

  it.scopedLive("holds for the check of a job", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^values 1$/i, { runs: 60_000 })
      const job = yield* MapepireJob.make(daemon.config)
      const failed = yield* Effect.flip(SqlClient.withDeadline("200 millis")(job.check))
      assert.strictEqual(SqlFailure.from(failed).reason, "StatementTimeout")
    })
  )

  it.scopedLive("of a prepared statement is that of the fiber that executes it, and not that of its preparation", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^update/, ({ parameters }) => (parameters?.flat()[0] === 1 ? { runs: 60_000 } : { updateCount: 1 }))
      const job = yield* MapepireJob.make(daemon.config)
      const update = yield* SqlClient.withDeadline("300 millis")(job.prepare("update t set a = ?"))
      yield* Effect.sleep(400)
      assert.strictEqual((yield* update.execute([2])).rowCount, 1)
      assert.deepStrictEqual(yield* update.batch([[2]]), { changes: 1 })
      for (const stuck of [Effect.asVoid(update.execute([1])), Effect.asVoid(update.batch([[1]]))]) {
        const failed = SqlFailure.from(yield* Effect.flip(SqlClient.withDeadline("200 millis")(stuck)))
        assert.deepStrictEqual([failed.reason, failed.statement], ["StatementTimeout", "update t set a = ?"])
      }
      // Where the handle was given up, it is made anew within the deadline of who needs it.
      yield* SqlClient.withDeadline("20 seconds")(update.execute([2]))
    })
  )

  it.scopedLive("holds while the job is opened", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      let open = () => {}
      daemon.once(
        ({ type }) => type === "connect",
        (request, connection) => {
          open = () => connection.handle(request)
        }
      )
      const job = yield* MapepireJob.make({ ...daemon.config, connect: "onFirstUse" })
      yield* late(job.queryAndRun("select * from ten", [], { timeout: "200 millis" }))
      yield* late(SqlClient.withDeadline("200 millis")(job.queryAndRun("select * from ten")))
      // The opening goes on for whoever waits longer.
      yield* until(() => daemon.sent("connect").length === 1)
      open()
      assert.strictEqual((yield* job.queryAndRun("select * from ten", [], { timeout: "20 seconds" })).rows.length, 10)
      assert.strictEqual(daemon.sent("connect").length, 1)
    })
  )
})

describe("MapepireJob: changes, batches, prepared statements", () => {
  it.scopedLive("a batch is one message, and not one per row (bug 20)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^insert/, {})
      const job = yield* MapepireJob.make(daemon.config)
      const rows = Array.from({ length: 500 }, (_, i) => [i, i % 7 === 0 ? null : `row ${i}`])
      assert.deepStrictEqual(yield* job.batch("insert into t values(?, ?)", rows), { changes: 500 })
      const [sent] = daemon.sent("prepare_sql_execute")
      assert.deepStrictEqual(sent!.parameters, rows)
      assert.strictEqual(daemon.requests.filter(({ parameters }) => parameters !== undefined).length, 1)
    })
  )

  it.scopedLive("a batch of any size goes in messages of bounded size, on one handle", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^insert/, {})
      const job = yield* MapepireJob.make({ ...daemon.config, batchRows: 100, batchBytes: 4_000 })
      const rows = Array.from({ length: 250 }, (_, i) => [i, "x".repeat(50)])
      assert.deepStrictEqual(yield* job.batch("insert into t values(?, ?)", rows), { changes: 250 })
      assert.strictEqual(daemon.sent("prepare_sql_execute").length, 1)
      const executed = daemon.sent("execute")
      assert.isAbove(executed.length, 2)
      for (const message of executed) {
        assert.isBelow(JSON.stringify(message.parameters).length, 4_000)
      }
      assert.deepStrictEqual(
        [...daemon.sent("prepare_sql_execute"), ...executed].flatMap(({ parameters }) => parameters!.map(([i]) => i)),
        rows.map(([i]) => i)
      )
    })
  )

  it.scopedLive("no rows, no message; counts that Db2 does not know are unknown (-2 per row) (section 3.5)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^merge/, { updateCount: -4 })
      const job = yield* MapepireJob.make(daemon.config)
      assert.deepStrictEqual(yield* job.batch("merge into t", []), { changes: 0 })
      assert.strictEqual(daemon.requests.length, 1)
      assert.deepStrictEqual(yield* job.batch("merge into t", [[1], [2]]), { changes: undefined })
    })
  )

  it.scopedLive("a failed batch gives up its handle, which may keep rows of it, and its outcome is unknown", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let fail = true
      daemon.on(/^insert/, () =>
        fail ? { error: "[SQL0803] Duplicate key value specified.", sqlState: "23505", sqlRc: -803 } : {}
      )
      const job = yield* MapepireJob.make(daemon.config)
      const failed = SqlFailure.from(yield* Effect.flip(job.batch("insert into t values(?)", [["secret"], ["two"]])))
      assert.strictEqual(failed.reason, "UniqueViolation")
      assert.strictEqual(failed.outcome, "unknown")
      assert.notInclude(JSON.stringify(failed) + failed.message, "secret")
      fail = false
      yield* job.batch("insert into t values(?)", [["one"]])
      assert.strictEqual(daemon.sent("prepare_sql_execute").length, 2)
      assert.strictEqual(daemon.sent("execute").length, 0)
    })
  )

  it.scopedLive("a repeated change costs one statement of the driver's, not one each (section 2.11)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^insert/, { updateCount: 1 })
      const job = yield* MapepireJob.make(daemon.config)
      for (let i = 0; i < 50; i++) {
        assert.strictEqual((yield* job.queryAndRun("insert into t values(?)", [i])).rowCount, 1)
      }
      assert.strictEqual(daemon.connections[0]!.statements, 1)
      assert.deepStrictEqual(
        daemon.sent("execute").map(({ parameters }) => parameters![0]),
        Array.from({ length: 49 }, (_, i) => i + 1)
      )
    })
  )

  it.scopedLive(
    "two changes at once never share a handle: the daemon would mix up their parameters (section 2.3.1)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        const using = new Set<string>()
        daemon.on(/^insert/, (request) => {
          const handle = request.cont_id ?? request.id
          assert.isFalse(using.has(handle))
          using.add(handle)
          daemon.later(5, () => using.delete(handle))
          return { updateCount: 1, delay: 5 }
        })
        const job = yield* MapepireJob.make(daemon.config)
        for (let round = 0; round < 3; round++) {
          yield* Effect.forEach([1, 2, 3, 4], (i) => job.queryAndRun("insert into t values(?)", [i]), {
            concurrency: "unbounded"
          })
        }
        assert.strictEqual(daemon.sent("prepare_sql_execute").length, 4)
      })
  )

  it.scopedLive("kept statements are bounded: the one that was not used longest is closed", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^insert/, { updateCount: 1 })
      const job = yield* MapepireJob.make({ ...daemon.config, statementCacheSize: 2 })
      for (const table of ["a", "b", "a", "c", "d"]) {
        yield* job.queryAndRun(`insert into ${table} values(?)`, [1])
      }
      yield* job.ping
      assert.strictEqual(daemon.connections[0]!.open.size, 2)
    })
  )

  it.scopedLive(
    "after SET SCHEMA, DDL, a CALL, a CL command or a CONNECT nothing kept is used: its names mean something else now",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/./, { updateCount: 1 }).on(/CHGLIBL/, { columns: [{ name: "A", type: "CHAR" }], rows: [] })
        const job = yield* MapepireJob.make(daemon.config)
        const insert = job.queryAndRun("insert into t values(?)", [1])
        for (const change of [
          job.queryAndRun("set schema other"),
          job.queryAndRun("drop table t"),
          job.call("call p()"),
          job.cl("CHGLIBL LIBL(OTHER)"),
          job.queryAndRun("values qcmdexc('CHGLIBL LIBL(OTHER)')"),
          job.queryAndRun("select QSYS2.QCMDEXC(?) from t", ["CHGLIBL LIBL(OTHER)"]),
          job.queryAndRun("here: begin set schema other; end"),
          job.queryAndRun("connect reset")
        ]) {
          yield* insert
          yield* insert
          yield* change
        }
        assert.strictEqual(daemon.sent("execute").length, 8)
        yield* job.ping
        assert.strictEqual(daemon.connections[0]!.open.size, 0)
      })
  )

  it.scopedLive("nor what was in use, or was being prepared, while such a statement ran", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/./, { updateCount: 1 })
      const job = yield* MapepireJob.make(daemon.config)
      const insert = job.queryAndRun("insert into t values(?)", [1])
      const change = job.queryAndRun("set schema other")
      /** Runs the one while the other is under way. */
      const around = (outer: Effect.Effect<unknown, unknown>, inner: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function* () {
          let answer: (() => void) | undefined
          daemon.once(
            ({ type }) => type !== "sqlclose",
            (request, connection) => {
              answer = () => connection.handle(request)
            }
          )
          const fiber = yield* Effect.fork(outer)
          yield* until(() => answer !== undefined)
          yield* inner
          answer!()
          yield* Fiber.join(fiber)
        })
      yield* around(insert, change)
      yield* insert
      assert.strictEqual(daemon.sent("execute").length, 0)
      yield* around(insert, change)
      yield* insert
      assert.strictEqual(daemon.sent("execute").length, 1)
      yield* around(change, insert)
      yield* insert
      assert.strictEqual(daemon.sent("execute").length, 1)
      yield* insert
      assert.strictEqual(daemon.sent("execute").length, 2)
    })
  )

  it.scopedLive("a prepared statement is prepared once, and closed with its scope", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from people/, {
        ...numbers(1),
        parameters: [{ type: "INTEGER", mode: "IN", precision: 10, scale: 0, name: null }]
      })
      const job = yield* MapepireJob.make(daemon.config)
      yield* Effect.gen(function* () {
        const prepared = yield* job.prepare<{ n: number }>("select * from people where id = ?")
        assert.deepStrictEqual(
          prepared.parameters.map(({ mode, type }) => [type, mode]),
          [["INTEGER", "IN"]]
        )
        assert.deepStrictEqual(
          prepared.columns.map(({ name }) => name),
          ["n", "Label"]
        )
        for (const id of [1, 2, 3]) {
          assert.strictEqual((yield* prepared.execute([id])).rows[0]!.n, 1)
        }
      }).pipe(Effect.scoped)
      yield* job.ping
      assert.strictEqual(daemon.sent("prepare_sql").length, 1)
      assert.deepStrictEqual(
        daemon.sent("execute").map(({ parameters }) => parameters),
        [[1], [2], [3]]
      )
      assert.strictEqual(daemon.connections[0]!.open.size, 0)
      assert.strictEqual((yield* job.stats).statements, 1)
    })
  )

  it.scopedLive(
    "more rows than a page of `execute` are a failure, not a short answer: it cannot be paged (bug 24, section 2.8)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/from people/, numbers(10))
        const job = yield* MapepireJob.make(daemon.config)
        const prepared = yield* job.prepare("select * from people where id > ?")
        // The daemon only says that these are all when there is room for one more.
        assert.strictEqual((yield* prepared.execute([1], { rows: 10 })).rows.length, 10)
        const failed = SqlFailure.from(yield* Effect.flip(prepared.execute([1], { rows: 9 })))
        assert.strictEqual(failed.reason, "Unsupported")
        assert.strictEqual(failed.outcome, "executed")
        assert.strictEqual(daemon.sent("sqlmore").length, 0)
      })
  )

  it.scopedLive("used after its scope a prepared statement fails, and is not prepared anew", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^insert/, {})
      const job = yield* MapepireJob.make(daemon.config)
      const prepared = yield* Effect.scoped(job.prepare("insert into t values(?)"))
      for (const use of [Effect.asVoid(prepared.execute([1])), Effect.asVoid(prepared.batch([[1]]))]) {
        const { outcome, reason } = SqlFailure.from(yield* Effect.flip(use))
        assert.deepStrictEqual([reason, outcome], ["Closed", "notExecuted"])
      }
      assert.strictEqual(daemon.sent("prepare_sql").length, 1)
    })
  )

  it.scopedLive("one that is being prepared anew when its scope ends is closed all the same", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let fail = false
      daemon.on(/^insert/, () => (fail ? { error: "[SQL0404] Value too long.", sqlState: "22001", sqlRc: -404 } : {}))
      const job = yield* MapepireJob.make(daemon.config)
      const scope = yield* Scope.make()
      const prepared = yield* Scope.extend(job.prepare("insert into t values(?)"), scope)
      fail = true
      yield* Effect.flip(prepared.execute([1]))
      let answer = () => {}
      daemon.once(
        ({ type }) => type === "prepare_sql",
        (request, connection) => {
          answer = () => connection.handle(request)
        }
      )
      fail = false
      const late = yield* Effect.fork(Effect.flip(prepared.execute([2])))
      yield* until(() => daemon.sent("prepare_sql").length === 2)
      yield* Scope.close(scope, Exit.void)
      answer()
      assert.strictEqual(SqlFailure.from(yield* Fiber.join(late)).reason, "Closed")
      yield* until(() => daemon.connections[0]!.open.size === 0)
    })
  )

  it.scopedLive("after a failed execution a prepared statement is prepared anew", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let fail = false
      daemon.on(/^insert/, ({ type }) =>
        fail && type === "execute" ? { error: "[SQL0404] Value too long.", sqlState: "22001", sqlRc: -404 } : {}
      )
      const job = yield* MapepireJob.make(daemon.config)
      const prepared = yield* job.prepare("insert into t values(?)")
      assert.deepStrictEqual(yield* prepared.batch([[1], [2]]), { changes: 2 })
      fail = true
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(prepared.batch([[1]]))).reason, "InvalidParameter")
      fail = false
      yield* prepared.execute([1])
      assert.strictEqual(daemon.sent("prepare_sql").length, 2)
      assert.strictEqual(daemon.sent("execute")[2]!.cont_id, daemon.sent("prepare_sql")[1]!.id)
    })
  )

  it.scopedLive("a prepared statement's integers are as the fiber that executes it wants them", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^call/i, {
        columns: [{ name: "N", type: "BIGINT" }],
        rows: [[5]],
        more: { output_parms: [{ index: 1, type: "BIGINT", name: "X", value: 6 }] }
      })
      const job = yield* MapepireJob.make(daemon.config)
      const call = yield* job.prepare("call p(?)")
      const exact = yield* Effect.provideService(call.execute([1]), EffectSql.SafeIntegers, true)
      assert.deepStrictEqual([exact.rows, exact.out], [[{ n: 5n }], { x: 6n }])
      const plain = yield* call.execute([1])
      assert.deepStrictEqual([plain.rows, plain.out], [[{ n: 5 }], { x: 6 }])
    })
  )

  it.scopedLive("a failure of a prepared statement names its text, and says that it was not done", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^insert/, ({ type }) =>
        type === "execute" ? { error: "[SQL0803] Duplicate key.", sqlState: "23505", sqlRc: -803 } : {}
      )
      const job = yield* MapepireJob.make(daemon.config)
      const insert = yield* job.prepare("insert into t values(?)")
      const { outcome, reason, statement } = SqlFailure.from(yield* Effect.flip(insert.execute([1])))
      assert.deepStrictEqual(
        [reason, outcome, statement],
        ["UniqueViolation", "notExecuted", "insert into t values(?)"]
      )
    })
  )

  it.scopedLive("output parameters come by name and type (bug 21, section 3.6)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^call/i, {
        more: {
          output_parms: [
            { index: 1, type: "VARCHAR", precision: 20, scale: 2, name: "SKU", ccsid: 37 },
            { index: 2, type: "DECIMAL", precision: 9, scale: 2, name: "TOTAL", ccsid: 0, value: 19.98 },
            { index: 3, type: "INTEGER", precision: 10, scale: 2, name: "LEFT", ccsid: 0, value: null }
          ]
        }
      })
      const job = yield* MapepireJob.make(daemon.config)
      const called = yield* job.call("/* a comment */ CALL SHOP.PRICE(?, ?, ?)", [
        "SKU-1",
        MapepireJob.out,
        MapepireJob.out
      ])
      assert.deepStrictEqual(called.out, { total: "19.98", left: null })
      assert.deepStrictEqual(
        called.parameters.map(({ index, name, type, value }) => [index, name, type, value]),
        [
          [1, "SKU", "VARCHAR", undefined],
          [2, "TOTAL", "DECIMAL", "19.98"],
          [3, "LEFT", "INTEGER", null]
        ]
      )
      const [sent] = daemon.sent("prepare_sql_execute")
      assert.deepStrictEqual(sent!.parameters, ["SKU-1", 0, 0])
      assert.strictEqual(sent!.sql, "CALL SHOP.PRICE(?, ?, ?)")
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(job.call("SHOP.PRICE(?)", [1]))).reason, "InvalidParameter")
    })
  )

  it.scopedLive("output parameters are read as columns are: dates and binary count for them, too", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^call/i, {
        more: {
          output_parms: [
            { index: 1, type: "DATE", name: "D", value: "2024-01-01" },
            { index: 2, type: "TIMESTAMP", name: "T", value: "2024-06-15 13:45:30.123456" },
            { index: 3, type: "BLOB", name: "B", value: "CAFE" }
          ]
        }
      })
      const { out } = MapepireJob
      const job = yield* MapepireJob.make({ ...daemon.config, dates: "date", binary: "base64" })
      const called = yield* job.call("call p(?, ?, ?)", [out, out, out])
      const prepared = yield* (yield* job.prepare("call p(?, ?, ?)")).execute([out, out, out])
      for (const values of [called.out, prepared.out]) {
        assert.deepStrictEqual(values, {
          d: new Date("2024-01-01T00:00:00Z"),
          t: new Date("2024-06-15T13:45:30.123Z"),
          b: Uint8Array.of(8, 1, 68)
        })
      }
    })
  )

  it.scopedLive("NULL for an INOUT parameter is refused before the procedure runs", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let ran = 0
      daemon.on(/^call/i, ({ type }) => {
        ran += type === "prepare_sql" ? 0 : 1
        return {
          parameters: [
            { type: "INTEGER", mode: "IN", name: "A" },
            { type: "INTEGER", mode: "INOUT", name: "B" }
          ]
        }
      })
      const job = yield* MapepireJob.make(daemon.config)
      yield* job.call("call p(?, ?)", [null, 1])
      assert.strictEqual(ran, 1)
      const failed = SqlFailure.from(yield* Effect.flip(job.call("call p(?, ?)", [1, null])))
      assert.strictEqual(failed.reason, "InvalidParameter")
      assert.include(failed.message, "Parameter 2 is INOUT")
      const prepared = yield* job.prepare("call p(?, ?)")
      const refused = SqlFailure.from(yield* Effect.flip(prepared.execute([1, null])))
      assert.deepStrictEqual([refused.reason, refused.message], [failed.reason, failed.message])
      assert.strictEqual(ran, 1)
      yield* prepared.execute([null, 1])
      assert.strictEqual(ran, 2)
      yield* job.ping
      assert.strictEqual(daemon.connections[0]!.open.size, 1)
    })
  )

  it.scopedLive("NULL for a parameter of unknown mode: where the daemon fails then, the procedure may have run", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^call p/i, ({ type }) => (type === "prepare_sql" ? {} : { error: "NullPointerException: null" }))
      daemon.on(/^call nope/i, { error: "[SQL0440] Not found.", sqlState: "42884", sqlRc: -440 })
      const job = yield* MapepireJob.make(daemon.config)
      const prepared = yield* job.prepare("call p(?)")
      const outcomeOf = (effect: Effect.Effect<unknown, SqlError>) =>
        Effect.map(Effect.flip(effect), (error) => SqlFailure.from(error).outcome)
      assert.strictEqual(yield* outcomeOf(job.queryAndRun("call p(?)", [null])), "unknown")
      assert.strictEqual(yield* outcomeOf(prepared.execute([null])), "unknown")
      assert.strictEqual(yield* outcomeOf(job.queryAndRun("call p(?)", [1])), "notExecuted")
      assert.strictEqual(yield* outcomeOf(job.queryAndRun("call nope(?)", [null])), "notExecuted")
    })
  )
})

describe("MapepireJob: commands", () => {
  const log = {
    columns: [
      { name: "MESSAGE_ID", type: "VARCHAR" },
      { name: "SEVERITY", type: "SMALLINT" }
    ],
    rows: [["CPF2110", 40]]
  }

  it.scopedLive("a CL command gives its job log, also when it fails (bug 27, section 2.12)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/ADDLIBLE LIB\(NOPE\)/, {
        ...log,
        error: "[CPF0006] Errors occurred in command.",
        sqlState: "38501",
        sqlRc: -443
      })
      daemon.on(/ADDLIBLE LIB\(SHOP\)/, { ...log, rows: [["CPC2196", 0]] })
      const job = yield* MapepireJob.make(daemon.config)
      assert.deepStrictEqual((yield* job.cl("ADDLIBLE LIB(SHOP)")).log, [{ message_id: "CPC2196", severity: 0 }])
      const error = yield* Effect.flip(job.cl("ADDLIBLE LIB(NOPE)"))
      assert.deepStrictEqual(MapepireJob.jobLog(error), [{ message_id: "CPF2110", severity: 40 }])
      assert.strictEqual(SqlFailure.from(error).code, -443)
      assert.strictEqual(MapepireJob.daemonError(error)!.messageId, "CPF0006")
    })
  )

  it.scopedLive("the job log of a CL command that failed is read without columns, too: its rows name them", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override((request, connection) => {
        if (request.type !== "cl") {
          return false
        }
        const data = [{ SUMMARY: "CPF2110" }, { SUMMARY: "CPF0006", SEVERITY: 40 }]
        const error = "[CPF0006] Errors occurred in command."
        connection.reply(request, { success: false, error, metadata: { columns: [] }, data, is_done: true })
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      const [first, second] = MapepireJob.jobLog(yield* Effect.flip(job.cl("ADDLIBLE LIB(NOPE)")))
      assert.strictEqual(first!.summary, "CPF2110")
      assert.deepStrictEqual(second, { summary: "CPF0006", severity: 40 })
    })
  )

  it.scopedLive("explain passes the plan on, and the first page if the statement was run (section 2.13)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from t/, {
        columns: [{ name: "ICON_LABEL", type: "VARCHAR" }],
        rows: [["Table scan"]],
        more: { metadata: { columns: [{ name: "N", type: "INTEGER" }] }, data: [[1], [2]] }
      })
      const job = yield* MapepireJob.make(daemon.config)
      const explained = yield* job.explain("select * from t", { run: true })
      assert.deepStrictEqual(explained.plan, [{ icon_label: "Table scan" }])
      assert.deepStrictEqual(explained.result!.rows, [{ n: 1 }, { n: 2 }])
      // The daemon never closes a statement that it has run for this (section 2.11), and closes all others.
      assert.strictEqual((yield* job.stats).statements, 1)
      yield* job.explain("select * from t")
      assert.strictEqual((yield* job.stats).statements, 1)
      const failed = SqlFailure.from(yield* Effect.flip(job.explain("nonsense")))
      assert.strictEqual(failed.reason, "SqlSyntax")
    })
  )

  it.scopedLive("the numbers of a plan are exact, like those of rows", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const columns = [
        { name: "N", type: "BIGINT" },
        { name: "D", type: "DECIMAL" }
      ]
      const plan = '[[9007199254740993,120.50],{"N":7,"D":12345678901234567890.10}]'
      daemon.override(({ id, type }, connection) => {
        if (type !== "dove") {
          return false
        }
        const rest = JSON.stringify({ metadata: { columns }, data: [[1, "2"]], is_done: true, success: true }).slice(1)
        connection.send(`{"id":"${id}","vemetadata":${JSON.stringify({ columns })},"vedata":${plan},${rest}`)
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      const explained = yield* job.explain("select 1 from t", { integers: "bigint", run: true })
      assert.deepStrictEqual(explained.plan, [
        { n: 9007199254740993n, d: "120.50" },
        { n: 7n, d: "12345678901234567890.10" }
      ])
      assert.deepStrictEqual(explained.result!.rows, [{ n: 1n, d: "2" }])
      for (const [run, wanted] of [
        [false, "notExecuted"],
        [true, "executed"]
      ] as const) {
        const failed = SqlFailure.from(yield* Effect.flip(job.explain("select 1 from t", { run })))
        assert.deepStrictEqual([failed.reason, failed.outcome, failed.columns], ["ConversionFailed", wanted, ["N"]])
      }
    })
  )

  it.scopedLive("rows that cannot be given are a failure of explain and of cl, too", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const columns = [{ name: "N", type: "BIGINT" }]
      daemon.on(/from t/, {
        columns: [{ name: "ICON_LABEL", type: "VARCHAR" }],
        more: { metadata: { columns }, data: [[1], [9007199254740992], [3]] }
      })
      daemon.on(/DSPLIBL/, { columns, rows: [[1], [9007199254740992]] })
      const job = yield* MapepireJob.make(daemon.config)
      for (const [text, effect] of [
        ["select n from t", Effect.asVoid(job.explain("select n from t", { run: true }))],
        ["DSPLIBL", Effect.asVoid(job.cl("DSPLIBL"))]
      ] as const) {
        const { outcome, reason, statement } = SqlFailure.from(yield* Effect.flip(effect))
        assert.deepStrictEqual([reason, outcome, statement], ["ConversionFailed", "executed", text])
      }
    })
  )

  it.scopedLive("tracing is believed as it is echoed, not as it was asked for (bug 43, section 2.17)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const job = yield* MapepireJob.make(daemon.config)
      const state = yield* job.setTrace({ level: "DATASTREAM", destination: "IN_MEM" })
      assert.deepStrictEqual(state, {
        destination: "unknown",
        level: "INPUT_AND_ERRORS",
        driverDestination: "unknown",
        driverLevel: "OFF"
      })
      assert.strictEqual(daemon.sent("setconfig")[0]!.tracelevel, "DATASTREAM")
      assert.strictEqual((yield* job.trace).daemon, "<prohibited>")
    })
  )

  it.scopedLive("ping, version, job, check, commit, rollback (sections 2.14, 2.15, 2.16)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^(commit|rollback)$/i, {})
      daemon.version = "2.4.0-SNAPSHOT"
      const job = yield* MapepireJob.make({ ...daemon.config, jdbc: { "auto commit": false } })
      assert.deepStrictEqual(yield* job.ping, { alive: true, databaseAlive: true })
      assert.strictEqual((yield* job.version).version, "2.4.0-SNAPSHOT")
      assert.strictEqual(yield* job.job, daemon.connections[0]!.job)
      yield* job.commit
      yield* job.rollback
      yield* job.check
      assert.deepStrictEqual(daemon.statements, ["COMMIT", "ROLLBACK", "VALUES 1"])
    })
  )
})
