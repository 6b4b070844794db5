import { assert, describe, it } from "@effect/vitest"
import * as MapepireJob from "@sluice/mapepire/MapepireJob"
import * as SqlClient from "@sluice/sql/SqlClient"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { type ScriptedDaemon, scriptedDaemon, wss } from "./scriptedDaemon.js"
import { numbers, until } from "./support.js"

/** A daemon with a statement that never ends by itself. */
const withEndless = (options = {}) =>
  scriptedDaemon(options).pipe(
    Effect.map((daemon) => daemon.on(/endless/, { runs: Infinity, updateCount: 1 }).on(/from ten/, numbers(10)))
  )

const running = (daemon: ScriptedDaemon, text: string) =>
  until(() => daemon.statements.some((sql) => sql.includes(text)))

const jobOf = (daemon: ScriptedDaemon) => daemon.connections[0]!.job

describe("MapepireJob: interruption", () => {
  it.scopedLive(
    "stops the statement in the database, through a second job, and ends in an interrupt, no SqlError (section 6.3)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* withEndless(wss)
        const job = yield* MapepireJob.make(daemon.config)
        assert.strictEqual(daemon.connections.length, 1) // the control job waits until it is needed
        const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
        yield* running(daemon, "endless")
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isInterrupted(exit))
        assert.deepStrictEqual(daemon.cancels, [jobOf(daemon)])
        assert.strictEqual(daemon.connections.length, 2)
        // Answered with -952: quiet at once, nothing more to be run.
        assert.isFalse(daemon.statements.includes("VALUES 1"))
        assert.strictEqual((yield* job.queryAndRun("select * from ten")).rows.length, 10)
        yield* job.ping
        assert.strictEqual(daemon.connections[0]!.open.size, 0)
      })
  )

  it.scopedLive(
    "the job that stops others is opened with the first long statement, not when it is needed (section 6.4.3)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* withEndless()
        const job = yield* MapepireJob.make(daemon.config)
        for (let i = 0; i < 50; i++) {
          yield* job.queryAndRun("select * from ten")
        }
        assert.strictEqual(daemon.connections.length, 1)
        const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
        yield* until(() => daemon.connections.length === 2)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(daemon.cancels, [jobOf(daemon)])
        assert.strictEqual(daemon.connections.length, 2)
      })
  )

  it.scopedLive(
    "a cancel that may still come is run into by VALUES 1, again if that is hit (sections 6.4.1, 6.4.4)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* withEndless()
        // Too late for its statement, which ends well; the cancel hits whatever comes next.
        let finish = () => {}
        let hits = 1
        daemon.override((request, connection) => {
          if (request.type === "sql" && request.sql === "select slow") {
            finish = () =>
              connection.reply(request, { has_results: true, metadata: { columns: [] }, data: [], is_done: false })
            return true
          }
          if (request.sql === "VALUES 1" && hits-- > 0) {
            connection.open.set(request.id, undefined)
            connection.reply(request, { success: false, error: "[SQL0952]", sql_state: "57014", sql_rc: -952 })
            return true
          }
          return false
        })
        daemon.cancel = () => finish()
        const job = yield* MapepireJob.make(daemon.config)
        const fiber = yield* Effect.fork(job.queryAndRun("select slow"))
        yield* running(daemon, "slow")
        const interrupted = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* until(() => daemon.cancels.length > 0)
        const next = yield* Effect.fork(job.queryAndRun("select * from ten"))
        yield* Fiber.join(interrupted)
        yield* Fiber.join(next)
        const texts = daemon.statements.filter((sql) => !sql.startsWith("CALL"))
        assert.deepStrictEqual(texts, ["select slow", "VALUES 1", "VALUES 1", "select * from ten"])
        yield* job.ping
        // The late result was closed, although nobody had asked for it any more.
        assert.strictEqual(daemon.connections[0]!.open.size, 0)
      })
  )

  it.scopedLive(
    "a cancel that comes late finds nothing to hit: neither the next statement, nor who gets the job's name",
    () =>
      Effect.gen(function* () {
        const daemon = yield* withEndless()
        daemon.on(/next/, { columns: [{ name: "N", type: "INTEGER" }], rows: [[1]], runs: 120 })
        let finish = () => {}
        daemon.override((request, connection) => {
          if (/^update/.test(request.sql ?? "")) {
            finish = () => connection.reply(request, { has_results: false, update_count: 1 })
          }
          return /^update/.test(request.sql ?? "")
        })
        const came: Array<string> = []
        daemon.cancel = (job) => {
          // The statement ends in this very moment; what was to stop it comes after it.
          finish()
          daemon.later(100, () => {
            const target = daemon.connections.find((connection) => connection.job === job)
            came.push(target === undefined || target.exited ? "gone" : "come")
            target?.cancel()
          })
        }
        const raced = (text: string) => (job: MapepireJob.MapepireJob) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.fork(job.queryAndRun(text))
            yield* running(daemon, text)
            yield* Fiber.interrupt(fiber)
          })
        const job = yield* MapepireJob.make(daemon.config)
        yield* raced("update one")(job)
        // Told at once, run when nothing can happen to it any more.
        assert.deepStrictEqual(came, [])
        assert.strictEqual((yield* job.queryAndRun("select next")).rows.length, 1)
        assert.deepStrictEqual(came, ["come"])
        yield* Effect.scoped(Effect.flatMap(MapepireJob.make(daemon.config), raced("update two")))
        assert.deepStrictEqual(came, ["come", "come"])
      })
  )

  it.scopedLive("a serial job runs one thing at a time, in order, so that it can be stopped", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      const job = yield* MapepireJob.make({ ...daemon.config, serial: true })
      const cursor = yield* job.query<{ n: number }>("select * from ten", [], { rows: 4 })
      yield* cursor.next
      const endless = yield* Effect.fork(job.queryAndRun("call endless()"))
      yield* running(daemon, "endless")
      const page = yield* Effect.fork(cursor.next)
      const second = yield* Effect.fork(job.queryAndRun("select * from ten where second"))
      const late = yield* Effect.fork(Effect.flip(job.queryAndRun("select never", [], { timeout: 30 })))
      const left = yield* Effect.fork(job.queryAndRun("select left"))
      const late1 = SqlFailure.from(yield* Fiber.join(late))
      assert.deepStrictEqual([late1.reason, late1.outcome], ["StatementTimeout", "notExecuted"])
      yield* Fiber.interrupt(left)
      // What needs no turn gets none.
      yield* job.ping
      assert.strictEqual(daemon.sent("sqlmore").length, 0)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(endless)))
      assert.deepStrictEqual(daemon.cancels, [jobOf(daemon)])
      assert.deepStrictEqual(
        (yield* Fiber.join(page)).map(({ n }) => n),
        [5, 6, 7, 8]
      )
      assert.strictEqual((yield* Fiber.join(second)).rows.length, 10)
      assert.isFalse(daemon.statements.some((sql) => /never|left/.test(sql)))
    })
  )

  it.scopedLive("a neighbour's statement is never hit: with several under way nothing is stopped (contract 3)", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      daemon.on(/neighbour/, { ...numbers(3), delay: 150 })
      daemon.on(/ten/, { ...numbers(10), delay: 150 })
      const job = yield* MapepireJob.make(daemon.config)
      const fiber = yield* Effect.fork(job.queryAndRun("select neighbour"))
      yield* running(daemon, "neighbour")
      const second = yield* Effect.fork(job.queryAndRun("select * from ten"))
      yield* running(daemon, "ten")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(second)))
      assert.strictEqual((yield* Fiber.join(fiber)).rows.length, 3)
      assert.deepStrictEqual(daemon.cancels, [])
      yield* until(() => daemon.connections[0]!.open.size === 0) // the late answer's cursor, too
    })
  )

  it.scopedLive(
    "one that was left behind and does not end costs the job: its neighbours fail, and do not wait for ever",
    () =>
      Effect.gen(function* () {
        const daemon = yield* withEndless()
        // As in Db2, where they would wait for the statement before them.
        daemon.override((request) => request.sql === "select neighbour")
        const job = yield* MapepireJob.make({ ...daemon.config, grace: 300 })
        const endless = yield* Effect.fork(job.queryAndRun("call endless()"))
        yield* running(daemon, "endless")
        const neighbour = yield* Effect.fork(Effect.flip(job.queryAndRun("select neighbour")))
        yield* running(daemon, "neighbour")
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(endless)))
        assert.deepStrictEqual(daemon.cancels, [])
        const failed = SqlFailure.from(yield* Fiber.join(neighbour))
        assert.strictEqual(failed.reason, "SessionLost")
        assert.strictEqual(failed.outcome, "unknown")
        // Only now, when nobody else can be hit.
        yield* until(() => daemon.cancels.length > 0)
      })
  )

  it.scopedLive(
    "what is kept back while another statement is being stopped is never sent when interrupted (contract 1)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* withEndless()
        let cancel = () => {}
        const really = daemon.cancel
        daemon.cancel = (name) => {
          cancel = () => really(name)
        }
        const job = yield* MapepireJob.make(daemon.config)
        const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
        yield* running(daemon, "endless")
        const stopping = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* until(() => daemon.cancels.length > 0)
        const never = yield* Effect.fork(job.queryAndRun("select never"))
        const later = yield* Effect.fork(job.queryAndRun("select * from ten"))
        yield* Effect.sleep(20)
        yield* Fiber.interrupt(never)
        cancel()
        yield* Fiber.join(stopping)
        yield* Fiber.join(later)
        assert.isFalse(daemon.statements.includes("select never"))
      })
  )

  it.scopedLive("a cancel that found nothing to stop is sent again", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      const really = daemon.cancel
      let lost = 1
      daemon.cancel = (name) => {
        if (lost-- <= 0) {
          really(name)
        }
      }
      const job = yield* MapepireJob.make(daemon.config)
      const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
      yield* running(daemon, "endless")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(daemon.cancels.length, 2)
      // Two were sent, one was seen: the other may still come.
      assert.isTrue(daemon.statements.includes("VALUES 1"))
      yield* job.check
    })
  )

  it.scopedLive("no quiet within the grace period: the job is given up, and the interrupt completes (contract 4)", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      daemon.cancel = () => {}
      const job = yield* MapepireJob.make({ ...daemon.config, grace: 300 })
      const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
      yield* running(daemon, "endless")
      const waiting = yield* Effect.fork(
        Effect.sleep(50).pipe(Effect.zipRight(Effect.flip(job.queryAndRun("select * from ten"))))
      )
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      const failed = SqlFailure.from(yield* Fiber.join(waiting))
      assert.strictEqual(failed.reason, "SessionLost")
      assert.strictEqual(SqlFailure.from(yield* job.lost).reason, "SessionLost")
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(job.check)).reason, "SessionLost")
      assert.isUndefined(daemon.connections[0]!.closed) // its name must not go to a stranger yet
    })
  )

  /** Interrupts a statement that no cancel stops; its job is in quarantine then. */
  const giveUp = (daemon: Effect.Effect.Success<ReturnType<typeof withEndless>>) =>
    Effect.gen(function* () {
      daemon.cancel = () => {}
      const endpoint = MapepireJob.webSocket(daemon.config)
      const control = yield* MapepireJob.control(endpoint, daemon.config)
      yield* Effect.gen(function* () {
        const job = yield* MapepireJob.makeAt(endpoint, { grace: 200, control })
        const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
        yield* running(daemon, "endless")
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.scoped)
    })

  it.scopedLive("a job that was given up is kept until its answer comes, then closed (section 6.4.5)", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      yield* giveUp(daemon)
      const [connection] = daemon.connections
      yield* Effect.sleep(100)
      assert.isUndefined(connection!.closed)
      connection!.cancel()
      yield* until(() => connection!.closed !== undefined)
    })
  )

  it.scopedLive("and told to stop until then: it may hold locks; closed when no cancel can be on its way", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      const really = daemon.cancel
      yield* giveUp(daemon)
      let obeyed = 0
      daemon.cancel = (job) => {
        obeyed = performance.now()
        really(job)
      }
      yield* until(() => daemon.connections[0]!.closed !== undefined)
      assert.strictEqual(daemon.connections[0]!.inFlight.size, 0)
      assert.isAbove(performance.now() - obeyed, 200)
    })
  )

  it.scopedLive("less and less often: it may be of no use", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      yield* giveUp(daemon)
      const began = performance.now()
      const before = daemon.cancels.length
      yield* until(() => daemon.cancels.length === before + 3)
      // At once or nearly so, after one second, and after two more.
      assert.isAbove(performance.now() - began, 2_700)
    })
  )

  it.scopedLive("one whose answer is lost is closed soon, so that its locks are given back", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ sql }) => sql?.startsWith("insert") === true)
      const endpoint = MapepireJob.webSocket(daemon.config)
      const control = yield* MapepireJob.control(endpoint, daemon.config)
      yield* Effect.gen(function* () {
        const job = yield* MapepireJob.makeAt(endpoint, { grace: 200, control, jdbc: { "auto commit": false } })
        const fiber = yield* Effect.fork(job.queryAndRun("insert into t values (1)"))
        yield* running(daemon, "insert")
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.scoped)
      const since = performance.now()
      yield* until(() => daemon.connections[0]!.closed !== undefined)
      // It would be a minute if the statement could still be running.
      assert.isBelow(performance.now() - since, 20_000)
    })
  )

  it.scopedLive("a cancel whose line is cut is sent again on another one, and the job is given up", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      let cuts = 2
      daemon.override((request, connection) => {
        if (request.sql?.includes("CANCEL_SQL") !== true || cuts-- <= 0) return false
        connection.drop()
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
      yield* running(daemon, "endless")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(daemon.cancels, [jobOf(daemon)])
      assert.strictEqual(daemon.connections[0]!.inFlight.size, 0)
      // Of the two that were cut off nobody knows whether they will not be obeyed after all.
      assert.strictEqual(SqlFailure.from(yield* job.lost).reason, "SessionLost")
    })
  )

  it.scopedLive("a user who may not cancel loses the job instead, at once (section 6.4.11)", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      daemon.override((request, connection) => {
        if (request.sql?.includes("CANCEL_SQL") !== true) return false
        connection.reply(request, {
          success: false,
          error: "[SQL0443] Not authorized",
          sql_state: "38501",
          sql_rc: -443
        })
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      const fiber = yield* Effect.fork(job.queryAndRun("call endless()"))
      yield* running(daemon, "endless")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.strictEqual(SqlFailure.from(yield* job.lost).reason, "SessionLost")
    })
  )

  it.scopedLive(
    "cancel: false leaves the statement behind, and closes what it opened when it is late (section 6.4.8)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/slow/, { ...numbers(10), delay: 100 })
        const job = yield* MapepireJob.make({ ...daemon.config, cancel: false })
        const fiber = yield* Effect.fork(job.query("select slow", [], { rows: 2 }))
        yield* running(daemon, "slow")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual((yield* job.stats).unanswered, 1)
        yield* until(() => daemon.sent("sqlclose").length === 1)
        assert.strictEqual(daemon.connections.length, 1)
        // Never before the response: the daemon would have forgotten the id, and kept the cursor (section 2.3.4).
        const closed = daemon.requests.findIndex(({ type }) => type === "sqlclose")
        assert.strictEqual(daemon.requests[closed]!.cont_id, daemon.sent("sql")[0]!.id)
        yield* until(() => daemon.connections[0]!.open.size === 0)
      })
  )

  it.scopedLive("a job that is given up tells each caller of his own statement", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      daemon.override(({ type, sql }) => type === "sql" && /endless|neighbour/.test(sql ?? ""))
      const job = yield* MapepireJob.make({ ...daemon.config, grace: "300 millis" })
      const neighbour = yield* Effect.fork(Effect.flip(job.queryAndRun("select neighbour")))
      const endless = yield* Effect.fork(job.queryAndRun("select endless"))
      yield* until(() => daemon.sent("sql").length === 2)
      yield* Fiber.interrupt(endless)
      const failed = SqlFailure.from(yield* Fiber.join(neighbour))
      assert.deepStrictEqual(
        [failed.reason, failed.outcome, failed.statement],
        ["SessionLost", "unknown", "select neighbour"]
      )
    })
  )

  it.scopedLive("an interrupted pull ends its cursor: no row is lost silently (contract 6)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      daemon.once(
        ({ type }) => type === "sqlmore",
        (request, connection) => void daemon.later(150, () => connection.handle(request))
      )
      const job = yield* MapepireJob.make({ ...daemon.config, cancel: false })
      const cursor = yield* job.query("select * from ten", [], { rows: 3 })
      yield* cursor.next
      const pull = yield* Effect.fork(cursor.next)
      yield* until(() => daemon.sent("sqlmore").length === 1)
      yield* Fiber.interrupt(pull)
      const failed = SqlFailure.from(yield* Effect.flip(cursor.next))
      assert.strictEqual(failed.reason, "Interrupted")
      yield* cursor.close
      assert.strictEqual(daemon.sent("sqlclose").length, 0) // its answer is still to come
      yield* until(() => daemon.connections[0]!.open.size === 0)
    })
  )

  it.scopedLive("a pull after the cursor was closed says so: nobody was interrupted", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      const job = yield* MapepireJob.make(daemon.config)
      const cursor = yield* job.query("select * from ten", [], { rows: 3 })
      yield* cursor.next
      yield* cursor.close
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(cursor.next)).reason, "Closed")
    })
  )

  it.scopedLive("an interrupted stream closes its cursor (section 6.4.6)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      const job = yield* MapepireJob.make(daemon.config)
      const fiber = yield* job.rows("select * from ten", [], { rows: 2 }).pipe(
        Stream.runForEach(() => Effect.never),
        Effect.fork
      )
      yield* running(daemon, "ten")
      yield* Effect.sleep(20)
      yield* Fiber.interrupt(fiber)
      yield* job.ping
      assert.strictEqual(daemon.connections[0]!.open.size, 0)
      assert.strictEqual((yield* job.stats).statements, 1) // closed early: the driver keeps it (section 2.11)
    })
  )
})

describe("MapepireJob: deadlines", () => {
  it.scopedLive("a passed deadline stops the statement and fails with StatementTimeout (section 6.4.10)", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      const job = yield* MapepireJob.make(daemon.config)
      const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("call endless()", [], { timeout: 100 })))
      assert.strictEqual(failed.reason, "StatementTimeout")
      assert.strictEqual(failed.outcome, "unknown") // in autocommit rows may have been changed before the stop
      assert.strictEqual(failed.statement, "call endless()")
      assert.deepStrictEqual(daemon.cancels, [jobOf(daemon)])
      yield* job.check
    })
  )

  it.scopedLive("in a unit of work a stopped statement has no effect", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      const job = yield* MapepireJob.make({ ...daemon.config, jdbc: { "auto commit": false } })
      const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("call endless()", [], { timeout: 100 })))
      assert.strictEqual(failed.outcome, "notExecuted")
    })
  )

  it.scopedLive("what is late before it is sent is never sent", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      const job = yield* MapepireJob.make(daemon.config)
      const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("call endless()", [], { timeout: 0 })))
      assert.strictEqual(failed.reason, "StatementTimeout")
      assert.strictEqual(failed.outcome, "notExecuted")
      yield* job.ping
      assert.deepStrictEqual(daemon.statements, [])
    })
  )

  it.scopedLive("withDeadline counts here, too", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      const job = yield* MapepireJob.make(daemon.config)
      const failed = SqlFailure.from(
        yield* job.queryAndRun("call endless()").pipe(SqlClient.withDeadline("100 millis"), Effect.flip)
      )
      assert.strictEqual(failed.reason, "StatementTimeout")
    })
  )

  it.scopedLive("with a neighbour under way only the wait ends", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      daemon.on(/neighbour/, { ...numbers(3), delay: 400 })
      const job = yield* MapepireJob.make(daemon.config)
      const neighbour = yield* Effect.fork(job.queryAndRun("select neighbour"))
      yield* running(daemon, "neighbour")
      const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("select * from ten", [], { timeout: 50 })))
      assert.strictEqual(failed.reason, "StatementTimeout")
      assert.deepStrictEqual(daemon.cancels, [])
      assert.strictEqual((yield* Fiber.join(neighbour)).rows.length, 3)
    })
  )

  it.scopedLive("a deadline and an interrupt of the same statement are one stop", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      let cancel = () => {}
      const really = daemon.cancel
      daemon.cancel = (name) => {
        cancel = () => really(name)
      }
      const job = yield* MapepireJob.make(daemon.config)
      const fiber = yield* Effect.fork(job.queryAndRun("call endless()", [], { timeout: 50 }))
      yield* until(() => daemon.cancels.length > 0)
      const stopping = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* Effect.sleep(20)
      cancel()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(stopping)))
      assert.strictEqual(daemon.cancels.length, 1)
      yield* job.check
    })
  )

  it.scopedLive("count in an uninterruptible region, too, and keep nothing that is in time", () =>
    Effect.gen(function* () {
      const daemon = yield* withEndless()
      daemon.on(/^update/, ({ type }) => (type === "execute" ? { runs: Infinity, updateCount: 1 } : {}))
      const job = yield* MapepireJob.make({ ...daemon.config, connect: "onFirstUse" })
      /** In a fiber of its own, so that the test need not wait where it should. */
      const apart = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.flatMap(Effect.forkDaemon(Effect.uninterruptible(effect)), (fiber) =>
          Effect.timeout(Fiber.join(fiber), "20 seconds")
        )
      const inTime = { timeout: "1 minute" } as const
      assert.strictEqual((yield* apart(job.queryAndRun("select * from ten", [], inTime))).rows.length, 10)
      const ten = yield* job.prepare("select * from ten")
      assert.strictEqual((yield* apart(ten.execute([], inTime))).rows.length, 10)
      const stuck = yield* job.prepare("update t set a = 1")
      const before = yield* Effect.fork(stuck.execute())
      yield* until(() => daemon.sent("execute").length === 2)
      // Behind the one before, which it waits for.
      const late = yield* apart(Effect.flip(stuck.execute([], { timeout: 100 })))
      assert.strictEqual(SqlFailure.from(late).reason, "StatementTimeout")
      yield* Fiber.interrupt(before)
      daemon.override(({ type }) => type === "connect")
      const again = yield* apart(job.reconnect().pipe(SqlClient.withDeadline(100), Effect.flip))
      assert.strictEqual(SqlFailure.from(again).reason, "StatementTimeout")
    })
  )
})
