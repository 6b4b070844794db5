/** Results that were closed before their end: the daemon answers for these with an empty last page, as if all was well. */
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient, MapepireJob } from "@sluice/mapepire"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import { closesCursors } from "../src/internal/job/text.js"
import { type Connection, type Request, type ScriptedDaemon, scriptedDaemon } from "./scriptedDaemon.js"
import { numbers, until } from "./support.js"

/** Which reason a failure has. */
const reason = <A>(effect: Effect.Effect<A, unknown>) =>
  Effect.map(Effect.flip(effect), (error) => SqlFailure.from(error).reason)

/** A daemon whose ROLLBACK closes what is open, as Db2's does. */
const closing = Effect.map(scriptedDaemon(), (daemon) => {
  daemon
    .on(/^(commit|rollback)/i, {})
    .on(/from ten/, numbers(10))
    .on(/fails/, { error: "[SQL0803] Duplicate key.", sqlState: "23505", sqlRc: -803 })
  let closed: ReadonlySet<string> = new Set()
  daemon.override((request, connection) => {
    if (/^rollback$/i.test(request.sql ?? "")) {
      closed = new Set(connection.open.keys())
    }
    const empty = request.type === "sqlmore" && closed.has(request.cont_id!)
    if (empty) {
      connection.reply(request, { data: [], is_done: true })
    }
    return empty
  })
  return daemon
})

const transactional = { jdbc: { "auto commit": false } } as const

const client = (daemon: ScriptedDaemon) =>
  Effect.map(Layer.build(MapepireClient.layer(daemon.config)), (context) =>
    Context.get(context, MapepireClient.MapepireClient)
  )

describe("a result that was closed", () => {
  it.scopedLive("by a reconnect while its page is asked for has lost its rows", () =>
    Effect.gen(function* () {
      const daemon = yield* closing
      let page: (() => void) | undefined
      daemon.override((request: Request, connection: Connection) => {
        if (request.type === "sqlmore") {
          page = () => connection.reply(request, { data: [], is_done: true })
        } else if (request.type === "connect") {
          page?.()
        }
        return request.type === "sqlmore"
      })
      const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 4 })
      const rows = yield* Effect.fork(job.queryAndRun("select * from ten"))
      yield* until(() => page !== undefined)
      yield* job.reconnect()
      assert.strictEqual(yield* reason(Fiber.join(rows)), "SessionLost")
    })
  )

  it.scopedLive("by a reconnect while its first page is asked for, too", () =>
    Effect.gen(function* () {
      const daemon = yield* closing
      let page: (() => void) | undefined
      daemon.override((request: Request, connection: Connection) => {
        if (/from ten/.test(request.sql ?? "")) {
          const { columns } = numbers(10)
          page = () => connection.reply(request, { metadata: { columns }, has_results: true, data: [], is_done: true })
        } else if (request.type === "connect") {
          page?.()
        }
        return /from ten/.test(request.sql ?? "")
      })
      const job = yield* MapepireJob.make(daemon.config)
      const rows = yield* Effect.fork(job.queryAndRun("select * from ten"))
      yield* until(() => page !== undefined)
      yield* job.reconnect()
      assert.strictEqual(yield* reason(Fiber.join(rows)), "SessionLost")
    })
  )

  it.scopedLive("by a rollback fails, and says so every time", () =>
    Effect.gen(function* () {
      const daemon = yield* closing
      const job = yield* MapepireJob.make({ ...daemon.config, ...transactional })
      const before = yield* job.query("select * from ten", [], { rows: 4 })
      yield* before.next
      yield* job.rollback
      assert.strictEqual(yield* reason(before.next), "TransactionGone")
      assert.strictEqual(yield* reason(before.next), "TransactionGone")
      assert.isFalse(before.isDone)
      const after = yield* job.query("select * from ten", [], { rows: 4 })
      yield* after.next
      yield* job.commit
      assert.strictEqual((yield* after.next).length, 4)
      yield* job.queryAndRun("rollback to savepoint s")
      assert.strictEqual((yield* after.next).length, 2)
    })
  )

  it.scopedLive("by a commit, where cursors are not held", () =>
    Effect.gen(function* () {
      const daemon = yield* closing
      const job = yield* MapepireJob.make({ ...daemon.config, jdbc: { "auto commit": false, "cursor hold": false } })
      const cursor = yield* job.query("select * from ten", [], { rows: 4 })
      yield* job.commit
      yield* cursor.next
      assert.strictEqual(yield* reason(cursor.next), "TransactionGone")
    })
  )

  it.scopedLive("stays open where a rollback does nothing, in autocommit", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^rollback/i, {}).on(/from ten/, numbers(10))
      const job = yield* MapepireJob.make(daemon.config)
      const cursor = yield* job.query("select * from ten", [], { rows: 4 })
      yield* cursor.next
      yield* job.rollback
      assert.strictEqual((yield* cursor.next).length, 4)
    })
  )

  it.scopedLive("by an error that undid the transaction", () =>
    Effect.gen(function* () {
      const daemon = yield* closing
      daemon.on(/deadlock/, { error: "[SQL0911] Deadlock.", sqlState: "40001", sqlRc: -911 })
      const job = yield* MapepireJob.make({ ...daemon.config, ...transactional })
      const cursor = yield* job.query("select * from ten", [], { rows: 4 })
      yield* cursor.next
      yield* Effect.flip(job.queryAndRun("update deadlock set n = 1"))
      assert.strictEqual(yield* reason(cursor.next), "TransactionGone")
    })
  )

  it.scopedLive("by the rollback of another statement on a reserved session ends its stream with a failure", () =>
    Effect.gen(function* () {
      const daemon = yield* closing
      const sql = yield* client(daemon)
      const session = yield* sql.reserve
      let seen = 0
      const stream = session.executeStream("select * from ten", [], undefined).pipe(
        SqlClient.withPrefetch(4),
        Stream.runForEach(() =>
          ++seen === 2 ? Effect.ignore(session.execute("insert into fails values (1)", [], undefined)) : Effect.void
        )
      )
      assert.strictEqual(yield* reason(stream), "TransactionGone")
      assert.strictEqual(seen, 4)
    })
  )

  it("is told by the statement's text", () => {
    const texts = [
      "ROLLBACK",
      "rollback work;",
      "Rollback Hold",
      "rollback to savepoint a",
      "ROLLBACK WORK TO SAVEPOINT a"
    ]
    assert.deepStrictEqual(
      texts.map((text) => closesCursors(text, true)),
      [true, true, true, false, false]
    )
    assert.deepStrictEqual(
      ["commit", "commit work", "commit hold", "select 1"].map((text) => closesCursors(text, false)),
      [true, true, false, false]
    )
  })
})
