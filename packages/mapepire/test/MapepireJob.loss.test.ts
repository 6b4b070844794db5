import { assert, describe, it } from "@effect/vitest"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as MapepireJob from "@sluice/mapepire/MapepireJob"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { randomOf, ScriptedDaemon, scriptedDaemon, wss } from "./scriptedDaemon.js"
import { duplexPair, numbers, until } from "./support.js"

describe("MapepireJob: answers", () => {
  it.scopedLive("are matched by id, in whatever order they come (bug 1)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const kept: Array<() => void> = []
      daemon.override((request, connection) => {
        if (request.type !== "sql") return false
        const n = Number(/\d+/.exec(request.sql!)![0])
        kept.push(() =>
          connection.reply(request, {
            has_results: true,
            metadata: { columns: [{ name: "N", type: "INTEGER" }] },
            data: [[n]],
            is_done: true
          })
        )
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      const all = yield* Effect.fork(
        Effect.forEach(
          Array.from({ length: 200 }, (_, i) => i),
          (i) => job.queryAndRun(`select ${i}`),
          {
            concurrency: "unbounded"
          }
        )
      )
      yield* until(() => kept.length === 200)
      const random = randomOf(7)
      kept.sort(() => random() - 0.5).forEach((answer) => answer())
      assert.deepStrictEqual(
        (yield* Fiber.join(all)).map(({ rows }) => rows[0]!.n),
        Array.from({ length: 200 }, (_, i) => i)
      )
    })
  )

  it.scopedLive("unknown ids, second answers, no JSON: counted, and harmless (section 2.2)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      const job = yield* MapepireJob.make(daemon.config)
      const [connection] = daemon.connections
      daemon.once(
        ({ type }) => type === "sql",
        (request, connection) => {
          connection.send({ id: "never-sent", success: true })
          connection.send({
            id: "unparseable_3",
            unparseable: "x",
            error: "Non-parseable request: 'x'",
            success: false
          })
          connection.send("this is no JSON")
          connection.send("[1, 2]")
          connection.send("null")
          connection.send({ success: true })
          connection.handle(request)
          connection.reply(request, { has_results: false, update_count: 1 })
        }
      )
      assert.strictEqual((yield* job.queryAndRun("select * from ten")).rows.length, 10)
      yield* job.ping
      assert.strictEqual((yield* job.stats).strays, 7)
      assert.isUndefined(connection!.closed)
    })
  )

  for (const [what, message] of [
    ["no JSON", "{oops"],
    ["without an id", { success: true }]
  ] as const) {
    it.scopedLive(
      `a message that is ${what} is the answer of the only one who still waits; its job is used no more`,
      () =>
        Effect.gen(function* () {
          const daemon = yield* scriptedDaemon()
          daemon.on(/from ten/, numbers(10))
          daemon.once(
            ({ type }) => type === "sql",
            (_, connection) => connection.send(message)
          )
          const job = yield* MapepireJob.make(daemon.config)
          const failing = yield* Effect.fork(Effect.flip(job.queryAndRun("select * from bad")))
          yield* until(() => daemon.sent("sql").length === 1)
          // Who is answered is not harmed.
          assert.strictEqual((yield* job.queryAndRun("select * from ten")).rows.length, 10)
          const failed = SqlFailure.from(yield* Fiber.join(failing))
          assert.deepStrictEqual([failed.reason, failed.outcome], ["Unknown", "unknown"])
          const later = SqlFailure.from(yield* Effect.flip(job.ping))
          assert.deepStrictEqual([later.reason, later.outcome], ["SessionLost", "notExecuted"])
          assert.strictEqual(SqlFailure.from(yield* job.lost).reason, "SessionLost")
        })
    )
  }

  it.scopedLive("a message that may be the answer of several ends the job", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ type }) => type === "sql")
      const job = yield* MapepireJob.make({ ...daemon.config, cancel: false })
      const failing = yield* Effect.fork(
        Effect.all([job.queryAndRun("insert 1"), job.queryAndRun("insert 2")].map(Effect.flip), {
          concurrency: "unbounded"
        })
      )
      yield* until(() => daemon.sent("sql").length === 2)
      daemon.connections[0]!.send("{oops")
      for (const error of yield* Fiber.join(failing)) {
        const failed = SqlFailure.from(error)
        assert.deepStrictEqual([failed.reason, failed.outcome], ["SessionLost", "unknown"])
      }
    })
  )

  it.scopedLive("a message without meaning while nobody waits is only counted", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/slow/, { ...numbers(1), delay: 1_500 })
      const job = yield* MapepireJob.make({ ...daemon.config, cancel: false })
      daemon.connections[0]!.send("{oops")
      yield* Effect.delay(job.ping, "100 millis")
      // One that is sent after it cannot be whose it was.
      assert.strictEqual((yield* job.queryAndRun("select slow")).rows.length, 1)
      assert.strictEqual((yield* job.stats).strays, 1)
    })
  )

  it.scopedLive("an answer that is broken fails the request whose id can still be read in it", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.once(
        ({ type }) => type === "sql",
        ({ id }, connection) => connection.send(`{"id":"${id}","has_results":true,"data":[[1,`)
      )
      const job = yield* MapepireJob.make(daemon.config)
      const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("select 1 from t")))
      assert.strictEqual(failed.outcome, "unknown")
      yield* job.check
    })
  )

  it.scopedLive("without `success` it is a failure, whatever else it carries (section 2.1)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.once(
        ({ type }) => type === "sql",
        ({ id }, connection) =>
          connection.send({ id, has_results: false, update_count: 5, error: "java.lang.OutOfMemoryError" })
      )
      const job = yield* MapepireJob.make(daemon.config)
      const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("delete from t")))
      assert.include(failed.message, "OutOfMemoryError")
      assert.strictEqual(failed.statement, "delete from t")
    })
  )

  it.scopedLive("come in text and in binary messages (section 1.7)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon({ ...wss, binary: true })
      daemon.on(/from ten/, numbers(10))
      const job = yield* MapepireJob.make(daemon.config)
      assert.strictEqual((yield* job.queryAndRun("select * from ten")).rows.length, 10)
    })
  )

  it.scopedLive("may be larger than a megabyte (bug 7); beyond maxPayload the failure says which setting it was", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/wide/, { columns: [{ name: "T", type: "CLOB" }], rows: [["x".repeat(5_000_000)]] })
      const job = yield* MapepireJob.make(daemon.config)
      assert.strictEqual(String((yield* job.queryAndRun("select wide")).rows[0]!.t).length, 5_000_000)
      const small = yield* MapepireJob.make({ ...daemon.config, maxPayload: 1_000_000 })
      const failed = SqlFailure.from(yield* Effect.flip(small.queryAndRun("select wide")))
      assert.strictEqual(failed.reason, "SessionLost")
      assert.include(failed.message, "maxPayload")
    })
  )

  it.scopedLive(
    "failures keep what the daemon said: code, state, message id, job, statement; and no value (bugs 40, 42)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/nope/, { error: "[SQL0204] NOPE in SHOP type *FILE not found.", sqlState: "42704", sqlRc: -204 })
        const job = yield* MapepireJob.make(daemon.config)
        const error = yield* Effect.flip(job.queryAndRun("select * from nope where a = ?", ["a secret"]))
        const failed = SqlFailure.from(error)
        assert.strictEqual(failed.reason, "SqlSyntax")
        assert.strictEqual(failed.code, -204)
        assert.strictEqual(failed.sqlState, "42704")
        assert.strictEqual(failed.statement, "select * from nope where a = ?")
        assert.strictEqual(failed.outcome, "notExecuted")
        assert.strictEqual(MapepireJob.daemonError(error)!.messageId, "SQL0204")
        assert.strictEqual(MapepireJob.daemonError(error)!.job, daemon.connections[0]!.job)
        assert.notInclude(JSON.stringify([failed, failed.cause, failed.message, failed.stack]), "a secret")
      })
  )
})

describe("MapepireJob: the end of the link", () => {
  it.scopedLive("fails everything that is under way, at once, with what is known about it (bugs 2, 3, 38)", () =>
    Effect.gen(function* () {
      for (const end of ["drop", "close"] as const) {
        const daemon = yield* scriptedDaemon()
        daemon.override(({ type }) => type === "sql")
        const job = yield* MapepireJob.make(daemon.config)
        const waiting = yield* Effect.forEach([1, 2, 3], (i) => Effect.fork(job.queryAndRun(`update t${i} set a = 1`)))
        yield* until(() => daemon.sent("sql").length === 3)
        const [connection] = daemon.connections
        if (end === "drop") {
          connection!.drop()
        } else {
          connection!.socket!.close(1000, "bye") // a clean close ends them, too
        }
        for (const fiber of waiting) {
          const exit = yield* Fiber.await(fiber)
          assert.isFalse(Exit.isInterrupted(exit)) // a loss is no interrupt
          const failed = SqlFailure.from(yield* Effect.flip(Fiber.join(fiber)))
          assert.strictEqual(failed.reason, "SessionLost")
          assert.strictEqual(failed.outcome, "unknown")
          assert.isFalse(failed.isRetryable)
        }
        // No silent reconnect: what comes later fails, too, and surely was not run.
        const later = SqlFailure.from(yield* Effect.flip(job.queryAndRun("update t set a = 1")))
        assert.strictEqual(later.reason, "SessionLost")
        assert.strictEqual(later.outcome, "notExecuted")
        assert.isTrue(later.isRetryable)
        assert.strictEqual(SqlFailure.from(yield* job.lost).reason, "SessionLost")
        assert.strictEqual(daemon.connections.length, 1)
      }
    })
  )

  it.scopedLive("in the middle of a result: the rows that came, then the failure", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      daemon.once(
        ({ type }) => type === "sqlmore",
        (_, connection) => connection.drop()
      )
      const job = yield* MapepireJob.make(daemon.config)
      const cursor = yield* job.query("select * from ten", [], { rows: 5 })
      assert.strictEqual((yield* cursor.next).length, 5)
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(cursor.next)).reason, "SessionLost")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(cursor.next))) // and never an end that looks like one
    })
  )

  it.scopedLive("a finalizer that finds the link gone does not hide the first failure (bug 39)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      const failed = yield* Effect.flip(
        Effect.scoped(
          Effect.gen(function* () {
            const job = yield* MapepireJob.make(daemon.config)
            yield* job.query("select * from ten", [], { rows: 2 })
            daemon.connections[0]!.drop()
            yield* job.lost
            return yield* Effect.fail("the reason")
          })
        )
      )
      assert.strictEqual(failed, "the reason")
    })
  )

  it.scopedLive("closing the job fails what is under way with Closed", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ type }) => type === "sql")
      const waiting = yield* Effect.scoped(
        Effect.gen(function* () {
          const job = yield* MapepireJob.make(daemon.config)
          const fiber = yield* Effect.forkDaemon(Effect.flip(job.queryAndRun("select 1")))
          yield* until(() => daemon.sent("sql").length === 1)
          return fiber
        })
      )
      assert.strictEqual(SqlFailure.from(yield* Fiber.join(waiting)).reason, "Closed")
    })
  )

  it.scopedLive("a half-open socket is found: no answer to pings (section 1.7)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ type }) => type === "sql")
      const job = yield* MapepireJob.make({ ...daemon.config, pingInterval: 50, missedPings: 2 })
      const fiber = yield* Effect.fork(Effect.flip(job.queryAndRun("select 1")))
      yield* until(() => daemon.connections[0]!.pings > 2)
      daemon.connections[0]!.socket!.pause() // reads nothing any more, and answers nothing
      assert.strictEqual(SqlFailure.from(yield* Fiber.join(fiber)).reason, "SessionLost")
    })
  )

  it.scopedLive("times that are longer than a timer of Node's can be are long, and not none", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const times = { openTimeout: Infinity, connectTimeout: Infinity, closeTimeout: Infinity, grace: Infinity }
      for (const pingInterval of ["30 days", Infinity] as const) {
        const job = yield* MapepireJob.make({ ...daemon.config, ...times, pingInterval })
        yield* Effect.sleep(100)
        yield* job.check
      }
      assert.deepStrictEqual(
        daemon.connections.map(({ pings }) => pings),
        [0, 0]
      )
    })
  )

  it.scopedLive(
    "a long statement is not taken for a dead daemon, nor a CL command that keeps it from reading (bug 8, section 2.3.2)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/slow/, { ...numbers(1), delay: 500 })
        daemon.on(/DLYJOB/, { columns: [{ name: "A", type: "CHAR" }], rows: [], delay: 500 })
        const job = yield* MapepireJob.make({ ...daemon.config, pingInterval: 40, missedPings: 2 })
        yield* job.queryAndRun("select slow")
        yield* job.cl("DLYJOB DLY(1)")
        yield* Effect.sleep(150)
        yield* job.check
      })
  )
})

describe("MapepireJob: connecting anew", () => {
  it.scopedLive(
    "cursors and prepared statements of before fail, and never end as if all rows had come (section 1.8)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/from ten/, numbers(10)).on(/^insert/, { updateCount: 1 })
        const job = yield* MapepireJob.make(daemon.config)
        const before = yield* job.job
        const cursor = yield* job.query("select * from ten", [], { rows: 5 })
        const prepared = yield* job.prepare("select * from ten where n = ?")
        yield* job.queryAndRun("insert into t values(?)", [1])
        yield* cursor.next
        yield* job.reconnect({ libraries: ["OTHER"] })
        assert.notStrictEqual(yield* job.job, before)
        assert.strictEqual(SqlFailure.from(yield* Effect.flip(cursor.next)).reason, "SessionLost")
        assert.strictEqual(SqlFailure.from(yield* Effect.flip(prepared.execute([1]))).reason, "SessionLost")
        assert.strictEqual(daemon.sent("sqlmore").length, 0)
        // The kept handle is gone as well, and a new one is made.
        yield* job.queryAndRun("insert into t values(?)", [2])
        assert.strictEqual(daemon.sent("execute").length, 0)
        assert.include(daemon.sent("connect")[1]!.props, "libraries=OTHER")
        assert.strictEqual((yield* job.stats).statements, 1)
        assert.strictEqual(daemon.connections.length, 1)
      })
  )

  it.scopedLive("what was asked of the connection before belongs to it, whenever the answer comes", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      let answer = () => {}
      daemon.once(
        ({ type }) => type === "sql",
        (request, connection) => {
          answer = () => connection.handle(request)
        }
      )
      const job = yield* MapepireJob.make(daemon.config)
      const opening = yield* Effect.fork(job.query("select * from ten", [], { rows: 5 }))
      yield* until(() => daemon.sent("sql").length === 1)
      yield* job.reconnect()
      answer()
      const cursor = yield* Fiber.join(opening)
      yield* cursor.next
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(cursor.next)).reason, "SessionLost")
      assert.strictEqual(daemon.sent("sqlmore").length, 0)
    })
  )

  for (const [sqlState, error] of [
    ["08003", "The connection does not exist."],
    ["HY010", "Function sequence error."],
    ["HY014", "Limit on number of statements exceeded."]
  ] as const) {
    it.scopedLive(
      `how statements of the connection before end (${sqlState}) is not the end of the one that is there`,
      () =>
        Effect.gen(function* () {
          const daemon = yield* scriptedDaemon()
          let refuse = () => {}
          daemon.once(
            ({ type }) => type === "sql",
            (request, connection) => {
              refuse = () => connection.reply(request, { success: false, error, sql_state: sqlState, sql_rc: -99999 })
            }
          )
          const job = yield* MapepireJob.make(daemon.config)
          const before = yield* Effect.fork(Effect.flip(job.queryAndRun("delete from t")))
          yield* until(() => daemon.sent("sql").length === 1)
          yield* job.reconnect()
          refuse()
          const failed = SqlFailure.from(yield* Fiber.join(before))
          assert.deepStrictEqual([failed.reason, failed.outcome], ["SessionLost", "unknown"])
          assert.match(failed.message, /connected anew/)
          assert.deepStrictEqual((yield* job.queryAndRun("values 1")).rows, [{ "00001": 1 }])
          yield* job.ping
        })
    )
  }

  it.scopedLive("a statement of the connection before is left behind, not stopped: that would hit the new job", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ sql }) => sql === "call never()")
      const job = yield* MapepireJob.make({ ...daemon.config, grace: 200 })
      const before = yield* Effect.fork(job.queryAndRun("call never()"))
      yield* until(() => daemon.sent("sql").length === 1)
      yield* job.reconnect()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(before)))
      yield* Effect.sleep(400)
      assert.deepStrictEqual((yield* job.queryAndRun("values 1")).rows, [{ "00001": 1 }])
      assert.deepStrictEqual(daemon.cancels, [])
    })
  )

  it.scopedLive("one that is interrupted, or not answered, is the end of the job: nobody knows which one answers", () =>
    Effect.gen(function* () {
      for (const connectTimeout of [500, "30 seconds"] as const) {
        const daemon = yield* scriptedDaemon()
        daemon.on(/from ten/, numbers(10))
        const job = yield* MapepireJob.make({ ...daemon.config, connectTimeout })
        const cursor = yield* job.query("select * from ten", [], { rows: 5 })
        daemon.override(({ type }) => type === "connect")
        const fiber = yield* Effect.forkDaemon(
          connectTimeout === 500 ? Effect.uninterruptible(job.reconnect()) : job.reconnect()
        )
        if (connectTimeout === 500) {
          const failed = yield* Effect.flip(Fiber.join(fiber))
          assert.strictEqual(SqlFailure.from(failed).reason, "Connection")
        } else {
          yield* until(() => daemon.sent("connect").length === 2)
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        }
        yield* cursor.next
        assert.strictEqual(SqlFailure.from(yield* job.lost).reason, "SessionLost")
        for (const use of [job.queryAndRun("select 1"), job.ping, job.reconnect()]) {
          const { outcome, reason } = SqlFailure.from(yield* Effect.flip(use))
          assert.deepStrictEqual([reason, outcome], ["SessionLost", "notExecuted"])
        }
      }
    })
  )
})

describe("MapepireJob: statements of the driver", () => {
  it.scopedLive("every id that was opened is closed: queries, changes, failures (bugs 13, 17, section 2.11)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10)).on(/^update/, { updateCount: 1 })
      const job = yield* MapepireJob.make({ ...daemon.config, statementCacheSize: 0, pageSize: 4 })
      yield* job.queryAndRun("select * from ten")
      yield* job.queryAndRun("select * from ten where n > ?", [1])
      yield* job.queryAndRun("update t set a = 1")
      yield* job.queryAndRun("update t set a = ?", [1])
      yield* Effect.flip(job.queryAndRun("nonsense"))
      yield* Effect.flip(job.queryAndRun("nonsense ?", [1]))
      yield* Effect.flip(Effect.scoped(job.prepare("nonsense")))
      yield* Effect.scoped(job.query("select * from ten", [], { rows: 2 }))
      yield* job.ping
      assert.strictEqual(daemon.connections[0]!.open.size, 0)
      const ids = new Set(daemon.requests.map(({ id }) => id))
      assert.strictEqual(ids.size, daemon.requests.length) // and no id is used twice
      // What the driver keeps in spite of that is counted.
      assert.strictEqual((yield* job.stats).statements, daemon.connections[0]!.statements)
    })
  )

  it.scopedLive(
    "a statement beyond the driver's limit was not executed; the job takes no more, open results can be read on",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/from ten/, numbers(10)).on(/^update/, { updateCount: 1 })
        daemon.statementLimit = 3
        const job = yield* MapepireJob.make(daemon.config)
        const cursor = yield* job.query<{ n: number }>("select * from ten", [], { rows: 5 })
        yield* job.queryAndRun("update t set a = 1")
        yield* job.queryAndRun("update t set a = 2")
        const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("update t set a = 3")))
        assert.strictEqual(failed.reason, "SessionLost")
        assert.strictEqual(failed.outcome, "notExecuted")
        assert.isTrue(failed.isRetryable)
        assert.strictEqual(failed.sqlState, "HY014")
        yield* job.lost
        yield* cursor.next
        assert.strictEqual((yield* cursor.next).at(-1)!.n, 10)
        assert.strictEqual(SqlFailure.from(yield* Effect.flip(job.check)).reason, "SessionLost")
        assert.strictEqual(daemon.sent("sql").length, 4)
      })
  )
})

describe("MapepireJob: other links", () => {
  it.scopedLive("runs over a plain stream: the daemon's single mode, one document per line", () =>
    Effect.gen(function* () {
      const daemon = new ScriptedDaemon({})
      daemon.on(/from ten/, numbers(10)).on(/endless/, { runs: Infinity })
      const [ours, theirs] = duplexPair()
      const connection = daemon.serveLines(theirs)
      theirs.write("// starting the daemon\n\n")
      const socket = yield* NodeSocket.fromDuplex(Effect.succeed(ours))
      const job = yield* MapepireJob.makeOver(MapepireJob.lines(socket), { cancel: false, pageSize: 4 })
      assert.strictEqual((yield* job.queryAndRun("select * from ten")).rows.length, 10)
      // A document in several pieces, two in one, and characters cut in two.
      daemon.once(
        ({ type }) => type === "sql",
        ({ id }) => {
          const text = Buffer.from(
            `{"id":"x","success":true}\n// noise {"id":"${id}"}\n` +
              JSON.stringify({
                id,
                success: true,
                has_results: true,
                metadata: { columns: [{ name: "A", type: "VARCHAR" }] },
                data: [["äöü€"]],
                is_done: true
              }) +
              "\n"
          )
          for (const byte of text) {
            theirs.write(Buffer.from([byte]))
          }
        }
      )
      assert.deepStrictEqual((yield* job.queryAndRun("select a from t")).rows, [{ a: "äöü€" }])
      const waiting = yield* Effect.fork(Effect.flip(job.queryAndRun("call endless()")))
      yield* until(() => daemon.statements.includes("call endless()"))
      theirs.end()
      assert.strictEqual(SqlFailure.from(yield* Fiber.join(waiting)).reason, "SessionLost")
      assert.isDefined(connection)
    })
  )

  it.scopedLive("one stream has one job: nothing is opened on it to stop what takes long", () =>
    Effect.gen(function* () {
      const daemon = new ScriptedDaemon({})
      daemon.on(/slow/, { runs: 1_500, updateCount: 0 }).on(/endless/, { runs: Infinity })
      const [ours, theirs] = duplexPair()
      daemon.serveLines(theirs)
      const socket = yield* NodeSocket.fromDuplex(Effect.succeed(ours))
      const job = yield* MapepireJob.makeOver(MapepireJob.lines(socket))
      yield* job.queryAndRun("call slow()")
      const waiting = yield* Effect.fork(job.queryAndRun("call endless()"))
      yield* until(() => daemon.statements.includes("call endless()"))
      yield* Fiber.interrupt(waiting)
      yield* job.ping
      assert.strictEqual(daemon.sent("connect").length, 1)
      assert.deepStrictEqual(daemon.statements, ["call slow()", "call endless()"])
    })
  )

  it.scopedLive("a long line is read in linear time, however many pieces it comes in", () =>
    Effect.gen(function* () {
      const [ours, theirs] = duplexPair()
      let received = 0
      yield* MapepireJob.lines(yield* NodeSocket.fromDuplex(Effect.succeed(ours))).open({
        message: (text) => (received += text.length),
        pong: () => {},
        ended: () => {}
      })
      const piece = "x".repeat(4_096)
      const started = performance.now()
      for (let i = 0; i < 10_000; i++) theirs.write(piece)
      theirs.write("\n")
      yield* until(() => received > 0)
      assert.strictEqual(received, 40_960_000)
      // Looked at from its beginning with each piece it took more than half a minute.
      assert.isBelow(performance.now() - started, 15_000)
    })
  )

  it.scopedLive("a plain stream closes, wherever it was opened", () =>
    Effect.gen(function* () {
      const [ours] = duplexPair()
      const socket = yield* NodeSocket.fromDuplex(Effect.succeed(ours))
      const link = MapepireJob.lines(socket).open({ message: () => {}, pong: () => {}, ended: () => {} })
      const closed = yield* Effect.forkDaemon(Effect.scoped(Effect.uninterruptible(link)))
      yield* Effect.timeout(Fiber.join(closed), "20 seconds")
    })
  )
})

describe("an interrupt that comes with the answer", () => {
  it.scopedLive("leaves no prepared statement open", () =>
    Effect.gen(function* () {
      const closed: Array<string> = []
      let interrupt = () => {}
      const transport: MapepireJob.MessageTransport = {
        address: "here",
        open: (events) =>
          Effect.succeed({
            unsent: () => 0,
            ping: undefined,
            send: (message) => {
              const { cont_id, id, type } = JSON.parse(message) as Record<string, string>
              if (type === "sqlclose") {
                closed.push(cont_id!)
              }
              setTimeout(() => {
                events.message(JSON.stringify({ id, success: true, job: "1/A/B", metadata: {}, parameter_count: 0 }))
                if (type === "prepare_sql") {
                  interrupt()
                }
              })
              return true
            }
          })
      }
      const job = yield* MapepireJob.makeOver(transport)
      yield* job.job
      const preparing = yield* Effect.fork(Effect.scoped(job.prepare("update t set n = 1")))
      interrupt = () => preparing.unsafeInterruptAsFork(FiberId.none)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(preparing)))
      yield* until(() => closed.length === 1)
    })
  )
})
