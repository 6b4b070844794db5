import { afterAll, assert, describe, it } from "@effect/vitest"
import type { SqliteClient } from "@sluice/sqlite"
import { Chunk, Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { assertIdle, open, random } from "../conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "../support.js"

afterAll(() => Effect.runPromise(leftovers))

const bytesOf = (...values: ReadonlyArray<number>) => new Uint8Array(values)

/** `t` with three rows: ten bytes each, the first of them their rowid. */
const fill = (sql: SqliteClient.SqliteClient) =>
  Effect.zipRight(
    sql`create table t (id integer primary key, b blob, note text)`,
    Effect.forEach([1, 2, 3], (id) => sql`insert into t values (${id}, ${new Uint8Array(10).fill(id)}, 'a')`)
  )

const content = (sql: SqliteClient.SqliteClient, id: number) =>
  Effect.map(sql<{ b: Uint8Array }>`select b from t where id = ${id}`, (rows) => rows[0]!.b)

const value = { table: "t", column: "b", rowid: 1 } as const

onEngines("blob handles on both engines", (engine) => {
  it.scopedLive("open, or tell that they cannot", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* fill(sql)
      if (engine === "portable") {
        const failure = yield* reasonOf(Effect.scoped(sql.blob(value)))
        assert.strictEqual(failure.reason, "Unsupported")
      } else {
        const blob = yield* sql.blob(value)
        assert.strictEqual(yield* blob.size, 10)
      }
      yield* assertIdle(sql)
    })
  )
})

describe("blob handles", () => {
  it.scopedLive("one that was opened for reading cannot be written", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* fill(sql)
      const blob = yield* sql.blob(value)
      const write = blob.write(0, bytesOf(9))
      const { outcome, reason } = yield* reasonOf(write)
      assert.deepStrictEqual([reason, outcome], ["Authorization", "notExecuted"])
      assert.strictEqual((yield* reasonOf(Stream.run(Stream.make(bytesOf(9)), blob.sink()))).reason, "Authorization")
      yield* blob.reopen(2)
      assert.strictEqual((yield* reasonOf(write)).reason, "Authorization")
      assert.deepStrictEqual(yield* content(sql, 1), new Uint8Array(10).fill(1))
      assert.deepStrictEqual(yield* content(sql, 2), new Uint8Array(10).fill(2))
    })
  )

  it.scopedLive("row 89: read and write, nothing past the end", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* fill(sql)
      const blob = yield* sql.blob({ ...value, write: true })
      assert.deepStrictEqual(yield* blob.read(0, 10), new Uint8Array(10).fill(1))
      yield* blob.write(2, bytesOf(7, 8, 9))
      assert.deepStrictEqual(yield* blob.read(1, 5), bytesOf(1, 7, 8, 9, 1))
      assert.deepStrictEqual(yield* content(sql, 1), bytesOf(1, 1, 7, 8, 9, 1, 1, 1, 1, 1))
      assert.deepStrictEqual(yield* blob.read(10, 0), bytesOf())
      for (const wrong of [
        blob.read(0, 11),
        blob.read(11, 0),
        blob.read(-1, 2),
        blob.read(0, -1),
        blob.read(0.5, 1),
        blob.read(2 ** 40, 1),
        blob.write(8, bytesOf(4, 4, 4)),
        blob.write(-1, bytesOf(4)),
        blob.write(2 ** 31 - 1, bytesOf(4))
      ]) {
        assert.strictEqual((yield* reasonOf<unknown, unknown, never>(wrong)).reason, "InvalidParameter")
      }
      assert.deepStrictEqual(yield* content(sql, 1), bytesOf(1, 1, 7, 8, 9, 1, 1, 1, 1, 1))
      yield* blob.write(10, bytesOf())
      yield* blob.write(9, bytesOf(5))
      assert.strictEqual((yield* content(sql, 1))[9], 5)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a rowid that is none is told, and costs the handle nothing", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* fill(sql)
      const blob = yield* sql.blob(value)
      for (const rowid of [1.5, NaN, Infinity, 2 ** 60, 2n ** 63n]) {
        assert.strictEqual((yield* reasonOf(Effect.scoped(sql.blob({ ...value, rowid })))).reason, "InvalidParameter")
        assert.strictEqual((yield* reasonOf(blob.reopen(rowid))).reason, "InvalidParameter")
      }
      assert.strictEqual(yield* blob.size, 10)
    })
  )

  it.scopedLive("row 89: reopen, good and bad", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* fill(sql)
      yield* sql`insert into t values (4, 'a text', 'a'), (5, null, 'a'), (6, 6, 'a')`
      const blob = yield* sql.blob(value)
      yield* blob.reopen(2)
      assert.deepStrictEqual(yield* blob.read(0, 2), bytesOf(2, 2))
      yield* blob.reopen(4n)
      assert.strictEqual(yield* blob.size, 6)
      assert.strictEqual(Buffer.from(yield* blob.read(2, 4)).toString(), "text")
      for (const rowid of [99, 5, 6]) {
        assert.strictEqual((yield* reasonOf(blob.reopen(rowid))).reason, "InvalidParameter")
        for (const use of [blob.size, blob.read(0, 1), blob.write(0, bytesOf(1)), Stream.runDrain(blob.stream())]) {
          assert.strictEqual((yield* reasonOf<unknown, unknown, never>(use)).reason, "Closed")
        }
      }
      yield* blob.reopen(3)
      assert.strictEqual(yield* blob.size, 10)
      assert.deepStrictEqual(yield* blob.read(9, 1), bytesOf(3))
    })
  )

  it.scopedLive("row 90: concurrent reads and writes of many fibers, each at its own offset", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* sql`create table t (id integer primary key, b blob)`
      const bytes = Uint8Array.from({ length: 50_000 }, (_, i) => (i * 7) % 251)
      yield* sql`insert into t values (1, ${bytes})`
      const blob = yield* sql.blob({ ...value, write: true })
      const next = random(90)
      const reads = Array.from({ length: 300 }, () => {
        const offset = Math.floor(next() * 49_000)
        const length = Math.floor(next() * 1_000)
        return Effect.map(blob.read(offset, length), (read) =>
          assert.deepStrictEqual(read, bytes.slice(offset, offset + length))
        )
      })
      const writes = Array.from({ length: 50 }, (_, i) =>
        blob.write(i * 1_000, bytes.slice(i * 1_000, i * 1_000 + 500))
      )
      yield* Effect.all([...reads, ...writes], { concurrency: "unbounded", discard: true })
      yield* Effect.all(reads.slice(0, 2), { concurrency: 2 })
      assert.deepStrictEqual(yield* content(sql, 1), bytes)
    })
  )

  it.scopedLive("a row that is changed, deleted or replaced ends the handle; others do not", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const sql = yield* open("native", { filename })
      yield* fill(sql)
      for (const write of [false, true]) {
        const blob = yield* sql.blob({ ...value, write })
        const gone = Effect.gen(function* () {
          for (const use of [blob.read(0, 1), blob.write(0, bytesOf(9)), blob.size]) {
            const failure = yield* reasonOf<unknown, unknown, never>(use)
            assert.strictEqual(failure.reason, "Closed")
            assert.include(failure.message, "Reopen")
          }
          yield* blob.reopen(1)
          assert.deepStrictEqual(yield* blob.read(0, 1), bytesOf(1))
        })
        yield* blob.read(0, 1)
        yield* sql`update t set note = 'b' where id = 2`
        yield* sql`insert into t values (7, zeroblob(1), null)`
        assert.deepStrictEqual(yield* blob.read(0, 1), bytesOf(1))
        yield* sql`update t set note = 'b' where id = 1`
        yield* gone
        yield* Effect.ignore(
          sql.withTransaction(Effect.zipRight(sql`delete from t where id = 1`, Effect.fail("undone")))
        )
        yield* gone
        yield* sql`replace into t values (1, ${new Uint8Array(10).fill(1)}, 'c')`
        yield* gone
        yield* sql`delete from t where id = 7`
        assert.deepStrictEqual(yield* blob.read(0, 1), bytesOf(1))
      }
      const blob = yield* sql.blob({ ...value, write: true })
      const other = yield* open("native", { filename })
      // Another connection's change of the row is seen when it was given another size.
      yield* other`update t set b = zeroblob(3) where id = 1`
      assert.strictEqual((yield* reasonOf(blob.write(0, bytesOf(9)))).reason, "Closed")
      yield* blob.reopen(2)
      yield* sql`delete from t`
      assert.strictEqual((yield* reasonOf(blob.read(0, 1))).reason, "Closed")
      yield* sql`drop table t`
      assert.strictEqual((yield* reasonOf(blob.reopen(1))).reason, "SqlSyntax")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("what cannot be opened is told at once", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* fill(sql)
      yield* sql`create view v as select * from t`
      yield* sql`create table w (id integer primary key, b blob unique) without rowid`
      yield* sql`create index i on t (note)`
      const reason = (options: SqliteClient.BlobOptions) =>
        Effect.map(reasonOf(Effect.scoped(sql.blob(options))), (failure) => failure.reason)
      assert.strictEqual(yield* reason({ ...value, rowid: 9 }), "InvalidParameter")
      assert.strictEqual(yield* reason({ ...value, column: "id" }), "InvalidParameter")
      assert.strictEqual(yield* reason({ ...value, column: "nothing" }), "SqlSyntax")
      assert.strictEqual(yield* reason({ ...value, table: "nothing" }), "SqlSyntax")
      assert.strictEqual(yield* reason({ ...value, schema: "nothing" }), "SqlSyntax")
      assert.strictEqual(yield* reason({ ...value, table: "v" }), "Unsupported")
      assert.strictEqual(yield* reason({ ...value, table: "w" }), "Unsupported")
      assert.strictEqual(yield* reason({ ...value, column: "note", write: true }), "Unsupported")
      yield* sql.attach(":memory:", "other")
      yield* sql`create table other.t (id integer primary key, b blob)`
      yield* sql`insert into other.t values (1, zeroblob(3))`
      const blob = yield* sql.blob({ ...value, schema: "other", write: true })
      assert.strictEqual(yield* blob.size, 3)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("an open handle holds up nobody: writes of others, transactions, other connections", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      for (const config of [{ filename }, { filename: yield* tempFile, disableWAL: true }]) {
        const sql = yield* open("native", { ...config, busyTimeout: "100 millis" })
        const other = yield* open("native", { ...config, busyTimeout: "100 millis" })
        yield* fill(sql)
        const writing = yield* sql.blob({ ...value, write: true })
        const reading = yield* sql.blob({ ...value, rowid: 2 })
        yield* writing.write(0, bytesOf(42))
        yield* reading.read(0, 10)
        // Committed: another connection sees it, and can write.
        assert.strictEqual((yield* content(other, 1))[0], 42)
        yield* other`insert into t values (10, zeroblob(1), null)`
        assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 4 }])
        yield* sql`insert into t values (11, zeroblob(1), null)`
        assert.deepStrictEqual(yield* other`select count(*) as n from t`, [{ n: 5 }])
        // The commit of a transaction in which it was written to.
        yield* sql.withTransaction(
          Effect.zipRight(writing.write(1, bytesOf(43)), Effect.zipRight(reading.read(0, 1), sql`select 1`))
        )
        yield* sql.withTransaction(writing.write(2, bytesOf(44)))
        assert.deepStrictEqual((yield* content(other, 1)).slice(0, 3), bytesOf(42, 43, 44))
      }
    })
  )

  it.scopedLive("inside a transaction: undone with it, and nobody else's", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile, readers: 1 })
      yield* fill(sql)
      const inside = Effect.gen(function* () {
        const blob = yield* sql.blob({ ...value, write: true })
        yield* blob.write(0, bytesOf(9, 9))
        yield* sql.withTransaction(blob.write(2, bytesOf(9, 9)))
        yield* Effect.ignore(sql.withTransaction(Effect.zipRight(blob.write(4, bytesOf(9)), Effect.fail("inner"))))
        assert.deepStrictEqual(yield* blob.read(0, 5), bytesOf(9, 9, 9, 9, 1))
        return blob
      })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(sql.withTransaction(Effect.zipRight(inside, Effect.fail("no"))))))
      assert.deepStrictEqual(yield* content(sql, 1), new Uint8Array(10).fill(1))
      const blob = yield* sql.withTransaction(inside)
      assert.deepStrictEqual((yield* content(sql, 1)).slice(0, 5), bytesOf(9, 9, 9, 9, 1))
      // It outlives the transaction that it was opened in, and waits for those of others.
      const begun = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      const holding = yield* Effect.fork(
        sql.withTransaction(
          Effect.zipRight(
            sql`insert into t values (9, null, null)`,
            Effect.zipRight(Deferred.succeed(begun, void 0), Deferred.await(end))
          )
        )
      )
      yield* Deferred.await(begun)
      const writing = yield* Effect.fork(blob.write(0, bytesOf(5)))
      const impatient = yield* Effect.fork(blob.write(1, bytesOf(6)))
      yield* Effect.sleep(50)
      assert.isNull(yield* Fiber.poll(writing).pipe(Effect.map((exit) => (exit._tag === "None" ? null : exit))))
      yield* Fiber.interrupt(impatient)
      yield* Deferred.succeed(end, void 0)
      yield* Fiber.join(holding)
      yield* Fiber.join(writing)
      assert.deepStrictEqual((yield* content(sql, 1)).slice(0, 2), bytesOf(5, 9))
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("as a stream and as a sink", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* sql`create table t (id integer primary key, b blob)`
      const size = 3_000_000
      yield* sql`insert into t values (1, zeroblob(${size}))`
      const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 31) % 253)
      const pieces = Stream.fromIterable([bytes.slice(0, 1), bytes.slice(1, 1_000_000), bytes.slice(1_000_000)])
      const blob = yield* sql.blob({ ...value, write: true })
      const end = yield* sql.withTransaction(Stream.run(Stream.rechunk(pieces, 2), blob.sink()))
      assert.strictEqual(end, size)
      const chunks = yield* Stream.runCollect(blob.stream())
      assert.strictEqual(chunks.length, Math.ceil(size / 262_144))
      assert.isTrue(Buffer.concat(Chunk.toReadonlyArray(chunks)).equals(bytes))
      const part = yield* Stream.runCollect(blob.stream({ offset: 10, length: 25, chunkSize: 10 }))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(part).map((chunk) => chunk.length),
        [10, 10, 5]
      )
      assert.deepStrictEqual(Buffer.concat(Chunk.toReadonlyArray(part)), Buffer.from(bytes.slice(10, 35)))
      assert.strictEqual(
        (yield* reasonOf(Stream.runDrain(blob.stream({ offset: 5, length: size })))).reason,
        "InvalidParameter"
      )
      assert.strictEqual((yield* reasonOf(Stream.runDrain(blob.stream({ chunkSize: 0 })))).reason, "InvalidParameter")
      assert.strictEqual(
        (yield* reasonOf(Stream.run(Stream.make(bytesOf(1, 2)), blob.sink(size - 1)))).reason,
        "InvalidParameter"
      )
      assert.strictEqual(yield* Stream.run(Stream.make(bytesOf(1)), blob.sink(size - 1)), size)
      // Abandoned in the middle, it leaves no read transaction behind: a checkpoint can empty the log.
      yield* Stream.runDrain(Stream.take(blob.stream({ chunkSize: 1000 }), 2))
      const [checkpoint] = yield* sql<{ busy: number }>`pragma wal_checkpoint(truncate)`
      assert.strictEqual(checkpoint!.busy, 0)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("its writes are told to the stream of changes", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* fill(sql)
      const blob = yield* sql.blob({ ...value, write: true })
      const listening = yield* Effect.fork(Stream.runCollect(Stream.take(sql.changes, 2)))
      yield* Effect.sleep(100)
      yield* blob.write(0, bytesOf(1))
      yield* sql`insert into t values (12, null, null)`
      const changes = Chunk.toReadonlyArray(yield* Fiber.join(listening))
      assert.deepInclude(changes[0], { operation: "update", table: "t", rowid: 1 })
      assert.deepInclude(changes[1], { operation: "insert", table: "t", rowid: 12 })
    }).pipe(Effect.timeout("20 seconds"))
  )

  it.scopedLive("its writes are told under the names that the schema has, in whatever case it was opened", () =>
    Effect.gen(function* () {
      const [filename, attached] = [yield* tempFile, yield* tempFile]
      const sql = yield* open("native", { filename, attach: { Other: attached } })
      for (const place of ['"Us""ers"', 'Other."Us""ers"']) {
        yield* sql.unsafe(`create table ${place} (id integer primary key, "a""B" blob)`)
        yield* sql.unsafe(`insert into ${place} values (1, zeroblob(10))`)
      }
      // What our own look at the schema does concerns nobody.
      const asked: Array<unknown> = []
      yield* sql.authorizer((action) => Effect.sync(() => (asked.push(action), "ok")))
      const listening = yield* Effect.fork(Stream.runCollect(Stream.take(sql.changes, 3)))
      yield* Effect.sleep(100)
      asked.length = 0
      for (const schema of ["MAIN", "OTHER"]) {
        const blob = yield* sql.blob({ schema, table: 'US"ERS', column: 'A"b', rowid: 1, write: true })
        yield* blob.write(0, bytesOf(1))
      }
      assert.deepStrictEqual(asked, [])
      yield* sql`update main."US""ERS" set id = 2`
      const changes = Chunk.toReadonlyArray(yield* Fiber.join(listening))
      const table = 'Us"ers'
      assert.deepInclude(changes[0], { operation: "update", database: "main", table, rowid: 1 })
      assert.deepInclude(changes[1], { operation: "update", database: "Other", table, rowid: 1 })
      assert.deepInclude(changes[2], { operation: "update", database: "main", table })
    }).pipe(Effect.timeout("20 seconds"))
  )

  it.scopedLive("is released with its scope, on failure and on interruption, and of no use after it", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* fill(sql)
      const scope = yield* Scope.make()
      const blob = yield* Scope.extend(sql.blob({ ...value, write: true }), scope)
      yield* Scope.close(scope, Exit.fail("enough"))
      for (const use of [blob.size, blob.read(0, 1), blob.reopen(1)]) {
        assert.strictEqual((yield* reasonOf<unknown, unknown, never>(use)).reason, "Closed")
      }
      const reading = yield* Effect.fork(
        Effect.scoped(
          Effect.flatMap(sql.blob(value), (blob) => Stream.runDrain(Stream.forever(blob.stream({ chunkSize: 1 }))))
        )
      )
      yield* Effect.sleep(50)
      yield* Fiber.interrupt(reading)
      // With an open handle SQLite would refuse this.
      yield* sql`drop table t`
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("a handle whose session is lost says so", () =>
    Effect.gen(function* () {
      const sql = yield* open("native", { filename: yield* tempFile })
      yield* fill(sql)
      const blob = yield* sql.blob(value)
      const module = yield* sql.workerModule<{ readonly end: () => void }>(
        new URL("data:text/javascript,export const end = () => process.exit(1)")
      )
      yield* Effect.ignore(module.runInWorker("end"))
      assert.strictEqual((yield* reasonOf(blob.read(0, 1))).reason, "SessionLost")
      assert.strictEqual((yield* reasonOf(blob.reopen(2))).reason, "SessionLost")
      const again = yield* sql.blob(value)
      assert.deepStrictEqual(yield* again.read(0, 1), bytesOf(1))
    })
  )

  it.scopedLive("many handles, opened and closed, leave nothing", () =>
    Effect.gen(function* () {
      const sql = yield* open("native")
      yield* fill(sql)
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, i) => i),
        (i) => Effect.scoped(Effect.flatMap(sql.blob({ ...value, rowid: (i % 3) + 1 }), (blob) => blob.read(0, 1))),
        { concurrency: 20, discard: true }
      )
      yield* sql`drop table t`
      yield* assertIdle(sql)
    })
  )
})
