import { assert, describe, it } from "@effect/vitest"
import * as MapepireJob from "@sluice/mapepire/MapepireJob"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Chunk from "effect/Chunk"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { scriptedDaemon, wss } from "./scriptedDaemon.js"
import { numbers, until } from "./support.js"

const ten = scriptedDaemon(wss).pipe(Effect.map((daemon) => daemon.on(/from ten/, numbers(10))))

describe("MapepireJob: queries", () => {
  it.scopedLive("pages on demand: nothing is asked for before it is wanted", () =>
    Effect.gen(function* () {
      const daemon = yield* ten
      const job = yield* MapepireJob.make(daemon.config)
      const cursor = yield* job.query<{ n: number; Label: string }>("select * from ten", [], { rows: 4 })
      assert.deepStrictEqual(
        cursor.columns.map(({ name, type }) => [name, type]),
        [
          ["n", "INTEGER"],
          ["Label", "VARCHAR"]
        ]
      )
      assert.isUndefined(cursor.rowCount)
      assert.deepStrictEqual((yield* cursor.next)[3], { n: 4, Label: "row 4" })
      assert.isFalse(cursor.isDone)
      assert.strictEqual(daemon.sent("sqlmore").length, 0)
      assert.strictEqual((yield* cursor.next).length, 4)
      assert.strictEqual((yield* cursor.next).length, 2)
      assert.isTrue(cursor.isDone)
      assert.strictEqual((yield* cursor.next).length, 0)
      assert.strictEqual(daemon.sent("sqlmore").length, 2)
    })
  )

  it.scopedLive("run reads to the end, not only the first page (bug 15)", () =>
    Effect.gen(function* () {
      const daemon = yield* ten
      const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 3 })
      const { rowCount, rows } = yield* job.queryAndRun("select * from ten where n > ?", [0])
      assert.deepStrictEqual(
        rows.map((row) => row.n),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
      )
      assert.isUndefined(rowCount)
    })
  )

  it.scopedLive("an exact multiple of the page size ends with an empty page (section 4)", () =>
    Effect.gen(function* () {
      const daemon = yield* ten
      const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 5 })
      assert.strictEqual((yield* job.queryAndRun("select * from ten")).rows.length, 10)
      assert.strictEqual(daemon.sent("sqlmore").length, 2)
    })
  )

  it.scopedLive(
    "a stream asks for a page when the rows before it are taken, and for no more than it uses (section 2.3.5)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* ten
        const job = yield* MapepireJob.make(daemon.config)
        const five = yield* job
          .rows<{ n: number }>("select * from ten", [], { rows: 2 })
          .pipe(Stream.take(5), Stream.runCollect)
        assert.deepStrictEqual(
          Chunk.toReadonlyArray(five).map(({ n }) => n),
          [1, 2, 3, 4, 5]
        )
        assert.strictEqual(daemon.sent("sqlmore").length, 2)
        yield* job.ping
        assert.strictEqual(daemon.connections[0]!.open.size, 0)
      })
  )

  it.scopedLive(
    "rows are asked for in terse form, so that columns of one name are all there (bug 22, section 3.1)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/twice/, {
          columns: [
            { name: "A", type: "INTEGER" },
            { name: "A", type: "INTEGER" }
          ],
          rows: [[1, 2]]
        })
        const job = yield* MapepireJob.make(daemon.config)
        const { columns } = yield* job.queryAndRun("select twice")
        assert.strictEqual(columns.length, 2)
        assert.isTrue(daemon.sent("sql")[0]!.terse)
        const session = yield* job.session
        const answer = yield* session.run({
          text: "select twice",
          params: [],
          prefetch: 1,
          deadline: Infinity,
          integers: "number",
          shape: "arrays",
          prepared: true,
          transaction: "none"
        })
        assert.deepStrictEqual(answer.arrays(), [[1, 2]])
      })
  )

  it.scopedLive("a change has a count and no rows, and is no open cursor (bug 16, section 2.5)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/^update/, { updateCount: 3 })
      const job = yield* MapepireJob.make(daemon.config)
      for (const parameters of [[], [7]]) {
        const cursor = yield* job.query("update t set a = 1", parameters)
        assert.strictEqual(cursor.rowCount, 3)
        assert.deepStrictEqual(yield* cursor.next, [])
        assert.isTrue(cursor.isDone)
      }
      assert.strictEqual(daemon.sent("sqlmore").length, 0)
    })
  )

  it.scopedLive("numbers keep their digits (bug 25)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override((request, connection) => {
        if (request.type !== "sql") return false
        connection.send(
          `{"id":"${request.id}","has_results":true,"update_count":-1,"metadata":{"column_count":2,"columns":[` +
            `{"name":"B","type":"BIGINT"},{"name":"D","type":"DECIMAL"}]},` +
            `"data":[[9007199254740993,12345678901234567890.50]],"is_done":true,"success":true,"execution_time":1}\n\n`
        )
        return true
      })
      const job = yield* MapepireJob.make(daemon.config)
      const { rows } = yield* job.queryAndRun("select b, d from t", [], { integers: "bigint" })
      assert.deepStrictEqual(rows, [{ b: 9007199254740993n, d: "12345678901234567890.50" }])
      const error = yield* Effect.flip(job.queryAndRun("select b, d from t"))
      assert.strictEqual(SqlFailure.from(error).reason, "ConversionFailed")
    })
  )

  it.scopedLive(
    "comments before the verb are not sent: daemon and driver look at the first word only (sections 2.5, 2.6)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* ten
        const job = yield* MapepireJob.make(daemon.config)
        yield* job.queryAndRun("-- who\n /* why /* nested */ */ select * from ten")
        assert.strictEqual(daemon.sent("sql")[0]!.sql, "select * from ten")
      })
  )

  it.scopedLive("a page with rows and a failure after them gives the rows first", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.on(/breaks/, {
        ...numbers(10),
        failAfter: 5,
        error: "[SQL0802] Data conversion.",
        sqlState: "22012",
        sqlRc: -802
      })
      const job = yield* MapepireJob.make(daemon.config)
      const seen: Array<number> = []
      const error = yield* job.rows<{ n: number }>("select breaks", [], { rows: 3 }).pipe(
        Stream.runForEach(({ n }) => Effect.sync(() => seen.push(n))),
        Effect.flip
      )
      assert.deepStrictEqual(seen, [1, 2, 3, 4, 5])
      assert.strictEqual(SqlFailure.from(error).code, -802)
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(job.queryAndRun("select breaks"))).code, -802)
      yield* job.ping
      assert.strictEqual(daemon.connections[0]!.open.size, 0)
    })
  )

  it.scopedLive(
    "binary values come as digits, or as addresses to be fetched with the socket's login (section 3.7)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon(wss)
        const blobs = Array.from({ length: 20 }, (_, i) => Buffer.alloc(1_000 * i, i))
        const give = () => blobs.forEach((blob, i) => daemon.blobs.set(`/blob/${i}`, blob))
        daemon.on(/from files/, {
          columns: [
            { name: "I", type: "INTEGER" },
            { name: "B", type: "BLOB" }
          ],
          rows: [
            [99, "00FF"],
            [98, null],
            ...blobs.map((blob, i) => [i, { blob_url: `/blob/${i}`, size: blob.length }])
          ]
        })
        const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 7 })
        give()
        const { rows } = yield* job.queryAndRun<{ i: number; b: Uint8Array }>("select * from files")
        assert.deepStrictEqual(rows[0]!.b, new Uint8Array([0, 255]))
        assert.isNull(rows[1]!.b)
        assert.deepStrictEqual(
          rows.slice(2).map(({ b }) => b.length),
          blobs.map((blob) => blob.length)
        )
        assert.isTrue(rows.slice(2).every(({ b, i }) => b.every((byte) => byte === i)))
        // They are given once: fetching them again is a failure, and the result is closed.
        const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("select * from files")))
        assert.include(failed.message, "404")
        yield* job.ping
        assert.strictEqual(daemon.connections[0]!.open.size, 0)
      })
  )

  it.scopedLive("binary values by address come from prepared statements and from explain, too", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const columns = [{ name: "B", type: "BLOB" }]
      const data = [[{ blob_url: "/blob/1", size: 2 }]]
      daemon.on(/from files/, ({ type }) =>
        type === "dove"
          ? { columns: [{ name: "ICON_LABEL", type: "VARCHAR" }], more: { metadata: { columns }, data } }
          : { columns, rows: data }
      )
      const job = yield* MapepireJob.make(daemon.config)
      const give = () => daemon.blobs.set("/blob/1", Buffer.from([1, 2]))
      const prepared = yield* job.prepare("select * from files where id = ?")
      give()
      assert.deepStrictEqual((yield* prepared.execute([1])).rows, [{ b: new Uint8Array([1, 2]) }])
      give()
      const { result } = yield* job.explain("select * from files", { run: true })
      assert.deepStrictEqual(result!.rows, [{ b: new Uint8Array([1, 2]) }])
    })
  )

  it.scopedLive(
    "binary values that do not come: the deadline, an interrupt and the end of the socket or the job stop fetching them",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.on(/from files/, {
          columns: [{ name: "B", type: "BLOB" }],
          rows: [1, 2, 3].map((i) => [{ blob_url: `/blob/${i}`, size: 1 }])
        })
        daemon.blobsStall = true
        const fetching = until(() => daemon.stalled.size === 1)
        const quiet = until(() => daemon.stalled.size === 0)
        const select = (job: MapepireJob.MapepireJob, timeout?: Duration.DurationInput) =>
          job.queryAndRun("select * from files", [], { rows: 1, timeout })
        const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 1 })
        const late = SqlFailure.from(yield* Effect.flip(select(job, "300 millis")))
        assert.strictEqual(late.reason, "StatementTimeout")
        yield* quiet
        const interrupted = yield* Effect.fork(select(job))
        yield* fetching
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(interrupted)))
        yield* quiet
        yield* job.ping
        assert.strictEqual(daemon.connections[0]!.open.size, 0)
        const cut = yield* Effect.fork(Effect.flip(select(job)))
        yield* fetching
        daemon.connections[0]!.drop()
        const lost = SqlFailure.from(yield* Effect.timeout(Fiber.join(cut), "10 seconds"))
        assert.deepStrictEqual(
          [lost.reason, lost.outcome, lost.statement],
          ["SessionLost", "executed", "select * from files"]
        )
        yield* quiet
        const scope = yield* Scope.make()
        const closing = yield* Scope.extend(MapepireJob.make(daemon.config), scope)
        const left = yield* Effect.fork(Effect.flip(select(closing)))
        yield* until(() => daemon.stalled.size > 0)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(SqlFailure.from(yield* Fiber.join(left)).reason, "Closed")
        yield* quiet
      })
  )

  it.scopedLive(
    "a binary value of another size than its reference says is a failure, as is one that does not come",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        const job = yield* MapepireJob.make(daemon.config)
        for (const reference of [
          { blob_url: "/blob/1", size: 5 },
          { size: 5, blob_url: "/blob/1" }
        ]) {
          daemon.blobs.set("/blob/1", Buffer.from([1, 2, 3]))
          daemon.on(/from files/, { columns: [{ name: "B", type: "BLOB" }], rows: [[reference]] })
          const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("select * from files")))
          assert.include(failed.message, "could not be fetched: 3 bytes came instead of 5")
        }
        yield* job.check
      })
  )

  it.scopedLive("an address elsewhere is not followed: it would get the password; nor one that is none", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const job = yield* MapepireJob.make(daemon.config)
      for (const address of ["//evil.example.com/blob", "http://evil.example.com", "/blob/a b", "/blob/\u0001", ""]) {
        daemon.on(/from files/, { columns: [{ name: "B", type: "BLOB" }], rows: [[{ blob_url: address, size: 1 }]] })
        const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("select * from files")))
        assert.include(failed.message, "not one of the daemon's")
      }
    })
  )
})
