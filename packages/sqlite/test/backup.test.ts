import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { afterAll, assert, it } from "@effect/vitest"
import type { SqliteClient } from "@sluice/sqlite"
import { Chunk, Effect, Fiber, Option, Ref, Stream } from "effect"
import { assertIdle, open } from "./conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const fill = (sql: SqliteClient.SqliteClient) =>
  Effect.zipRight(
    sql`create table t (n integer primary key, b blob)`,
    sql`with recursive up(n) as (select 1 union all select n + 1 from up limit 500)
        insert into t select n, zeroblob(4000) from up`
  )

const count = (sql: SqliteClient.SqliteClient) =>
  Effect.map(sql<{ n: number }>`select count(*) as n from t`, (rows) => rows[0]!.n)

onEngines("backup as a stream", (engine) => {
  it.scopedLive("a database is not copied over itself, by whatever path", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const link = `${filename}-link`
      symlinkSync(filename, link)
      const sql = yield* open(engine, { filename })
      yield* fill(sql)
      for (const path of [filename, link]) {
        assert.strictEqual((yield* reasonOf(sql.backup(path))).reason, "InvalidParameter")
      }
      yield* sql`insert into t (b) values ('after')`
      const other = yield* open(engine, { filename })
      assert.strictEqual(yield* count(other), 501)
    })
  )

  it.scopedLive("goes to another client's database, a file or in memory", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* fill(sql)
      const file = yield* open(engine, { filename: yield* tempFile })
      const before = yield* reasonOf(count(file))
      assert.strictEqual(before.reason, "SqlSyntax")
      if (engine === "native") {
        const { remainingPages, totalPages } = yield* sql.backup(file)
        assert.strictEqual(remainingPages, 0)
        assert.isAbove(totalPages, 500)
        assert.strictEqual(yield* count(file), 500)
        yield* file`insert into t (b) values ('of its own')`
        assert.strictEqual(yield* count(file), 501)
      }
      const memory = yield* open(engine)
      if (engine === "native") {
        const [progress] = yield* Stream.runCollect(file.backupStream(memory))
        assert.strictEqual(progress?.remaining, 0)
        assert.isAbove(progress!.pageCount, 500)
        assert.strictEqual(yield* count(memory), 501)
      } else {
        assert.strictEqual((yield* reasonOf(sql.backup(memory))).reason, "Unsupported")
      }
    })
  )

  it.scopedLive("a path that names no file is refused", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      for (const path of ["", ":memory:", "cut\0off.db"]) {
        assert.strictEqual((yield* reasonOf(sql.backup(path))).reason, "InvalidParameter")
      }
    })
  )

  it.scopedLive("row 93: completes while the source is written to, and tells how far it is", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      const destination = yield* tempFile
      yield* fill(sql)
      const written = yield* Ref.make(0)
      const progress = yield* sql.backupStream(destination, { pages: 50 }).pipe(
        Stream.tap(() =>
          Effect.zipRight(
            sql`insert into t (b) values ('new')`,
            Ref.update(written, (n) => n + 1)
          )
        ),
        Stream.runCollect
      )
      const last = Chunk.unsafeLast(progress)
      assert.strictEqual(last.remaining, 0)
      assert.isAtLeast(last.pageCount, 500)
      assert.isAtLeast(progress.length, engine === "native" ? 10 : 1)
      // The last row came after the copy was complete.
      const copy = yield* open(engine, { filename: destination })
      assert.strictEqual(yield* count(copy), 500 + (yield* Ref.get(written)) - 1)
      assert.deepStrictEqual(yield* copy`pragma integrity_check`, [{ integrity_check: "ok" }])
      if (engine === "native") {
        const again = yield* sql.backup(destination)
        assert.strictEqual(again.remainingPages, 0)
        assert.strictEqual(yield* count(copy), yield* count(sql))
      }
    })
  )

  it.scopedLive("row 94: given up, it leaves the destination as it was", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* fill(sql)
      const [fresh, old] = [yield* tempFile, yield* tempFile]
      yield* Effect.scoped(
        Effect.flatMap(open(engine, { filename: old, disableWAL: true }), (other) => other`create table kept (n)`)
      )
      const before = readFileSync(old)
      for (const destination of engine === "native" ? [fresh, old] : [fresh]) {
        const stream = sql.backupStream(destination, { pages: 20 })
        if (engine === "native") {
          assert.strictEqual((yield* Stream.runCollect(Stream.take(stream, 2))).length, 2)
          assert.isTrue((yield* Effect.either(Stream.runForEach(stream, () => Effect.fail("enough"))))._tag === "Left")
        }
        const fiber = yield* Effect.fork(Stream.runDrain(Stream.tap(stream, () => Effect.never)))
        yield* Effect.sleep(engine === "native" ? 50 : 0)
        yield* Fiber.interrupt(fiber)
      }
      assert.isFalse(engine === "native" && existsSync(fresh))
      assert.isTrue(before.equals(readFileSync(old)))
      yield* assertIdle(sql)
    })
  )

  it.scopedLive(
    "row 95: a busy source or destination fails typed and retryable; one that is free in time goes on",
    () =>
      Effect.gen(function* () {
        const filename = yield* tempFile
        const config = { filename, disableWAL: true, busyTimeout: "3 seconds" } as const
        const sql = yield* open(engine, config)
        yield* fill(sql)
        const other = yield* open(engine, config)
        const destination = yield* tempFile
        const locked = Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* other.reserve
            yield* connection.executeUnprepared("begin exclusive", [], undefined)
            const failure = yield* reasonOf(Stream.runDrain(sql.backupStream(destination)))
            assert.strictEqual(failure.reason, "LockTimeout")
            assert.isTrue(failure.isRetryable)
            const waiting = yield* Effect.fork(sql.backup(destination))
            yield* Effect.sleep(100)
            yield* connection.executeUnprepared("rollback", [], undefined)
            assert.strictEqual((yield* Fiber.join(waiting)).remainingPages, 0)
          })
        )
        yield* locked
        yield* assertIdle(sql)
      })
  )

  it.scopedLive("steps of any size come to an end", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* fill(sql)
      for (const pages of [NaN, Infinity, -1, 0.5, 2 ** 40]) {
        const last = yield* Stream.runLast(sql.backupStream(yield* tempFile, { pages }))
        assert.strictEqual(Option.getOrThrow(last).remaining, 0)
      }
    })
  )

  it.scopedLive("what is no database is not overwritten", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* fill(sql)
      const destination = yield* tempFile
      const letter = "Dear Ada, this is no database, but it is all I have. ".repeat(100)
      writeFileSync(destination, letter)
      const failure = yield* reasonOf(sql.backup(destination))
      assert.strictEqual(failure.reason, engine === "native" ? "Connection" : "Unsupported")
      assert.strictEqual(readFileSync(destination, "utf8"), letter)
      writeFileSync(destination, "")
      yield* sql.backup(destination)
      const copy = yield* open(engine, { filename: destination })
      assert.strictEqual(yield* count(copy), 500)
    })
  )

  for (const disableWAL of [true, false]) {
    it.scopedLive(`a client that has the destination open loses nothing, WAL ${disableWAL ? "off" : "on"}`, () =>
      Effect.gen(function* () {
        const sql = yield* open(engine, { filename: yield* tempFile, busyTimeout: "100 millis" })
        yield* fill(sql)
        const destination = yield* tempFile
        const config = { filename: destination, disableWAL }
        const other = yield* open(engine, config)
        yield* other`create table mine (n)`
        const refused = engine === "native" ? "LockTimeout" : "Unsupported"
        yield* other.withTransaction(
          Effect.gen(function* () {
            yield* other`insert into mine values (1)`
            const failure = yield* reasonOf(sql.backup(destination))
            assert.strictEqual(failure.reason, refused)
            // Nor has it lost its lock.
            const third = yield* open(engine, { ...config, busyTimeout: 0 })
            assert.strictEqual((yield* reasonOf(third`insert into mine values (7)`)).reason, "LockTimeout")
            yield* other`insert into mine values (2)`
          })
        )
        if (engine === "portable") {
          const failure = yield* reasonOf(sql.backup(destination))
          assert.strictEqual(failure.reason, refused)
          assert.include(failure.message, "new path")
          yield* other`insert into mine values (3)`
        }
        const fresh = yield* open(engine, config)
        assert.deepStrictEqual(
          yield* fresh`select n from mine`,
          [1, 2, 3].slice(0, engine === "native" ? 2 : 3).map((n) => ({ n }))
        )
      })
    )
  }

  it.scopedLive("an empty file that a client has open stays that client's, too", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* fill(sql)
      const destination = yield* tempFile
      const other = yield* open(engine, { filename: destination, disableWAL: true })
      assert.strictEqual(statSync(destination).size, 0)
      yield* sql.backup(destination)
      yield* other`insert into t (b) values ('mine')`
      assert.strictEqual(yield* count(yield* open(engine, { filename: destination })), 501)
    })
  )

  it.scopedLive("a file that appears while the copy waits is left alone", () =>
    Effect.gen(function* () {
      if (engine === "native") return
      const config = { filename: yield* tempFile, disableWAL: true, busyTimeout: "5 seconds" } as const
      const sql = yield* open(engine, config)
      yield* fill(sql)
      const other = yield* open(engine, config)
      const destination = yield* tempFile
      const failure = yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* other.reserve
          yield* connection.executeUnprepared("begin exclusive", [], undefined)
          const waiting = yield* Effect.fork(reasonOf(sql.backup(destination)))
          yield* Effect.sleep(200)
          writeFileSync(destination, "mine")
          yield* connection.executeUnprepared("rollback", [], undefined)
          return yield* Fiber.join(waiting)
        })
      )
      assert.strictEqual(failure.reason, "Unsupported")
      assert.strictEqual(readFileSync(destination, "utf8"), "mine")
    })
  )

  it.scopedLive("an impossible destination", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const failure = yield* reasonOf(Stream.runDrain(sql.backupStream("/nowhere/at/all.db")))
      assert.strictEqual(failure.reason, "Connection")
      yield* assertIdle(sql)
    })
  )
})

onEngines("serialize and deserialize", (engine) => {
  it.scopedLive("bytes out, and into memory", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* fill(sql)
      const bytes = yield* sql.serialize
      const memory = yield* open(engine)
      yield* memory`create table gone (n)`
      yield* memory`select * from gone`
      if (engine === "portable") {
        assert.strictEqual((yield* reasonOf(memory.deserialize(bytes))).reason, "Unsupported")
        const file = yield* tempFile
        writeFileSync(file, bytes)
        return assert.strictEqual(yield* count(yield* open(engine, { filename: file })), 500)
      }
      yield* memory.deserialize(bytes)
      assert.isAbove(bytes.length, 1_000_000)
      assert.strictEqual(yield* count(memory), 500)
      assert.strictEqual((yield* reasonOf(memory`select * from gone`)).reason, "SqlSyntax")
      yield* memory`insert into t values (1000, zeroblob(1000000))`
      assert.strictEqual(yield* count(memory), 501)
      const open_ = yield* reasonOf(memory.withTransaction(memory.deserialize(bytes)))
      assert.strictEqual(open_.reason, "LockTimeout")
      assert.strictEqual(yield* count(memory), 501)
      // Not zero-based: a view into a larger buffer.
      const larger = new Uint8Array(bytes.length + 8)
      larger.set(bytes, 8)
      yield* memory.deserialize(larger.subarray(8))
      assert.strictEqual(yield* count(memory), 500)
    })
  )

  it.scopedLive("not for files, nor for what is no database", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      assert.strictEqual((yield* reasonOf(sql.deserialize(yield* sql.serialize))).reason, "Unsupported")
      const memory = yield* open(engine)
      for (const bytes of [new Uint8Array(0), new Uint8Array(4096)]) {
        assert.strictEqual((yield* reasonOf(memory.deserialize(bytes))).reason, "InvalidParameter")
      }
    })
  )
})
