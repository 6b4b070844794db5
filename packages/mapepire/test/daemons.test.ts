/** Daemons of several versions and moods: what surprises in them, and what comes of it. */
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient, MapepireJob } from "@sluice/mapepire"
import { SqlFailure } from "@sluice/sql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { type Outcome, type ScriptedDaemon, scriptedDaemon } from "./scriptedDaemon.js"
import { numbers, until } from "./support.js"

const client = (daemon: ScriptedDaemon, config: Partial<MapepireClient.MapepireClientConfig> = {}) =>
  Effect.map(Layer.build(MapepireClient.layer({ ...daemon.config, ...config })), (context) =>
    Context.get(context, MapepireClient.MapepireClient)
  )

describe("versions", () => {
  const bytes = Buffer.from([0, 255, 16])

  /** The same result, as daemons of that version send it. */
  const files = (daemon: ScriptedDaemon) => (): Outcome => {
    const newest = daemon.version.startsWith("2.4")
    if (newest) {
      daemon.blobs.set("/blob/1", bytes)
    }
    const column = (name: string, type: string) => ({
      name,
      type,
      display_size: 10,
      label: name,
      precision: 10,
      scale: 0,
      ...(daemon.version === "2.3.2"
        ? undefined
        : { autoIncrement: false, nullable: 1, readOnly: true, writeable: false }),
      ...(newest ? { table: "FILES", collation: { of: ["something", "new"] } } : undefined)
    })
    return {
      columns: [column("ID", "BIGINT"), column("NAME", "VARCHAR"), column("CONTENT", "BLOB")],
      rows: [[7, "seven", newest ? { blob_url: "/blob/1", size: 3 } : "00FF10"]],
      ...(newest ? { more: { warnings: [], statement: { kind: "SELECT" } } } : undefined)
    }
  }
  const expected = [{ id: 7, name: "seven", content: new Uint8Array(bytes) }]

  for (const version of ["2.3.2", "2.3.3", "2.3.6", "2.4.0-SNAPSHOT"]) {
    it.scopedLive(`${version} gives what the others give`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon({ binary: version === "2.3.3" })
        daemon.version = version
        daemon.on(/from files/, files(daemon))
        const job = yield* MapepireJob.make(daemon.config)
        assert.strictEqual((yield* job.version).version, version)
        assert.deepStrictEqual((yield* job.queryAndRun("select * from files")).rows, expected)
        assert.deepStrictEqual((yield* job.queryAndRun("select * from files where id = ?", [7])).rows, expected)
      })
    )
  }

  it.scopedLive("a daemon that comes back as another version is read by what it sends", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.version = "2.3.2"
      daemon.on(/from files/, files(daemon))
      const sql = yield* client(daemon, { sessions: 1 })
      assert.deepStrictEqual(yield* sql.unsafe("select * from files"), expected)
      for (const version of ["2.4.0", "2.3.6"]) {
        daemon.version = version
        const connection = daemon.connections.at(-1)!
        connection.drop()
        yield* until(() => connection.closed !== undefined)
        assert.deepStrictEqual(yield* Effect.retry(sql.unsafe("select * from files"), { times: 3 }), expected)
      }
      assert.strictEqual(daemon.connections.length, 3)
    })
  )
})

describe("ids", () => {
  it.scopedLive("are never used a second time, whatever happens to the job (section 2.2)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10)).on(/^update/, { updateCount: 1 })
      const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 3 })
      const some = Effect.gen(function* () {
        yield* job.queryAndRun("select * from ten")
        yield* job.queryAndRun("update ten set n = ?", [1])
        yield* Effect.flip(job.queryAndRun("nonsense"))
        yield* job.ping
      })
      yield* some
      yield* job.reconnect()
      yield* some
      assert.strictEqual(new Set(daemon.requests.map(({ id }) => id)).size, daemon.requests.length)
    })
  )

  it.scopedLive("are not closed before their answer is there: it would be closed never (section 2.3.4)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, { ...numbers(10), delay: 600 })
      const job = yield* MapepireJob.make({ ...daemon.config, cancel: false, pageSize: 3 })
      const fiber = yield* Effect.fork(job.queryAndRun("select * from ten"))
      yield* until(() => daemon.sent("sql").length === 1)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(daemon.connections[0]!.inFlight.has(daemon.sent("sql")[0]!.id))
      assert.isEmpty(daemon.sent("sqlclose"))
      yield* until(() => daemon.sent("sqlclose").length === 1)
      assert.strictEqual(daemon.sent("sqlclose")[0]!.cont_id, daemon.sent("sql")[0]!.id)
      assert.strictEqual(daemon.connections[0]!.open.size, 0)
    })
  )

  it.scopedLive("that are closed already are closed (section 2.10)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, numbers(10))
      daemon.override((request, connection) => {
        if (request.type !== "sqlclose") {
          return false
        }
        connection.reply(request, { success: false, error: "Bad request: invalid correlation ID" })
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      for (let i = 0; i < 3; i++) {
        assert.strictEqual((yield* job.queryAndRun("select * from ten")).rows.length, 10)
        yield* Effect.scoped(job.query("select * from ten", [], { rows: 3 }))
      }
      yield* job.ping
      const { pending, strays, unanswered } = yield* job.stats
      assert.deepStrictEqual([pending, strays, unanswered], [0, 0, 0])
    })
  )
})

describe("pages", () => {
  it.scopedLive("two pulls at once: one of them gets the page, and no row is lost (section 2.9)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/from ten/, { ...numbers(10), delay: 20 })
      const job = yield* MapepireJob.make(daemon.config)
      const cursor = yield* job.query<{ n: number }>("select * from ten", [], { rows: 3 })
      const seen = (yield* cursor.next).map(({ n }) => n)
      const both = yield* Effect.all([Effect.either(cursor.next), Effect.either(cursor.next)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(both.map(({ _tag }) => _tag).sort(), ["Left", "Right"])
      assert.strictEqual(daemon.sent("sqlmore").length, 1)
      for (const one of both) {
        if (one._tag === "Right") {
          seen.push(...one.right.map(({ n }) => n))
        }
      }
      while (!cursor.isDone) {
        seen.push(...(yield* cursor.next).map(({ n }) => n))
      }
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    })
  )

  it.scopedLive("may be huge", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const value = "x".repeat(2_000)
      daemon.on(/from wide/, {
        columns: [
          { name: "N", type: "BIGINT" },
          { name: "V", type: "VARCHAR" }
        ],
        rows: Array.from({ length: 20_000 }, (_, i) => [i, value])
      })
      const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 50_000 })
      const { rows } = yield* job.queryAndRun<{ n: number; v: string }>("select * from wide")
      assert.strictEqual(rows.length, 20_000)
      assert.isTrue(rows.every(({ n, v }, i) => n === i && v === value))
      assert.isEmpty(daemon.sent("sqlmore"))
    })
  )
})

describe("failures", () => {
  const codes: ReadonlyArray<readonly [code: number, state: string, reason: SqlFailure.Reason]> = [
    [-803, "23505", "UniqueViolation"],
    [-530, "23503", "Constraint"],
    [-531, "23504", "Constraint"],
    [-532, "23504", "Constraint"],
    [-545, "23513", "Constraint"],
    [-407, "23502", "Constraint"],
    [-911, "40001", "Deadlock"],
    [-913, "57033", "LockTimeout"],
    [-1229, "40504", "Serialization"],
    [-918, "51021", "TransactionGone"],
    [-952, "57014", "Interrupted"],
    [-666, "57005", "StatementTimeout"],
    [-551, "42501", "Authorization"],
    [-552, "42502", "Authorization"],
    [-99999, "42505", "Authorization"],
    [-204, "42704", "SqlSyntax"],
    [-206, "42703", "SqlSyntax"],
    [-104, "42601", "SqlSyntax"],
    [-601, "42710", "SqlSyntax"],
    [-7008, "55019", "Unsupported"],
    [-440, "42884", "SqlSyntax"],
    [-443, "38501", "Unknown"],
    [-313, "07001", "InvalidParameter"],
    [-404, "22001", "InvalidParameter"],
    [-180, "22007", "InvalidParameter"],
    [-99999, "43617", "SqlSyntax"],
    [-99999, "07006", "InvalidParameter"],
    [-99999, "07009", "InvalidParameter"],
    [0, "22001", "InvalidParameter"]
  ]

  it.scopedLive("have the reason that their code and state mean (section 2.20)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^select (\d+)$/, ({ sql }) => {
        const [sqlRc, sqlState] = codes[Number(sql!.slice(7))]!
        return { error: "[SQL0000] It failed.", sqlRc, sqlState }
      })
      const job = yield* MapepireJob.make(daemon.config)
      for (const [i, [code, state, reason]] of codes.entries()) {
        const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun(`select ${i}`)))
        assert.deepStrictEqual([code, state, failed.reason], [code, state, reason])
        assert.deepStrictEqual([failed.sqlState, failed.outcome], [state, "notExecuted"])
        assert.strictEqual(failed.code, code === 0 ? undefined : code)
      }
      // None of these was the end of the job; a lost connection to the database is.
      assert.strictEqual((yield* job.ping).alive, true)
      daemon.on(/^select 99$/, { error: "The connection does not exist.", sqlRc: -99999, sqlState: "08003" })
      const lost = SqlFailure.from(yield* Effect.flip(job.queryAndRun("select 99")))
      assert.deepStrictEqual([lost.reason, lost.outcome], ["SessionLost", "unknown"])
      yield* job.lost
    })
  )
})

describe("stopping", () => {
  it.scopedLive(
    "no cancel is sent once the statement was answered: its job may run something else (section 6.4.2)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/slow/, { ...numbers(3), runs: 800 })
        daemon.override((request, connection) => {
          // The job that cancels is late.
          if (request.type !== "connect" || daemon.connections.length < 2) {
            return false
          }
          daemon.later(2_000, () => connection.handle(request))
          return true
        })
        const job = yield* MapepireJob.make(daemon.config)
        const fiber = yield* Effect.fork(job.queryAndRun("select slow"))
        yield* until(() => daemon.sent("sql").length === 1)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        yield* Effect.sleep(2_500)
        assert.isEmpty(daemon.cancels)
        assert.strictEqual((yield* job.queryAndRun("select slow")).rows.length, 3)
      })
  )

  it.scopedLive(
    "in a transaction: the statement is stopped, all is undone, and the job serves the next (section 6.4.7)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/endless/, { runs: Infinity }).on(/^(insert|commit|rollback|set)\b/i, {})
        const sql = yield* client(daemon, { sessions: 1, transactions: 1 })
        const fiber = yield* Effect.fork(
          sql.withTransaction(Effect.zipRight(sql.unsafe("insert into t values (1)"), sql.unsafe("call endless()")))
        )
        yield* until(() => daemon.statements.includes("call endless()"))
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        assert.strictEqual(daemon.cancels.length, 1)
        const { connection } = daemon.requests.find(({ sql: text }) => text === "insert into t values (1)")!
        yield* sql.withTransaction(sql.unsafe("insert into t values (2)"))
        const texts = daemon.requests.flatMap((request) =>
          request.connection === connection && request.sql !== undefined ? [request.sql] : []
        )
        assert.deepStrictEqual(
          texts.map((text) => text.toLowerCase()).filter((text) => !/^(set|values)\b/.test(text)),
          ["insert into t values (1)", "call endless()", "rollback", "insert into t values (2)", "commit"]
        )
        assert.isUndefined(connection.closed)
      })
  )
})
