import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import { Chunk, Effect, Fiber, Option, Queue, Ref, Stream } from "effect"
import { assertIdle, open } from "./conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile, stuckWhile } from "./support.js"

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
      const escaped = `%${filename.charCodeAt(1).toString(16)}`
      const uris = [
        `file:${filename}`,
        `file://${filename}?mode=rw`,
        `file://localhost${link}#here`,
        `file:/${escaped}${filename.slice(2)}`
      ]
      const byUri = yield* open(engine, { filename: uris[0]! })
      for (const path of [filename, link, ...uris]) {
        assert.strictEqual((yield* reasonOf(sql.backup(path))).reason, "InvalidParameter", path)
        assert.strictEqual((yield* reasonOf(byUri.backup(path))).reason, "InvalidParameter", path)
      }
      yield* sql`insert into t (b) values ('after')`
      const other = yield* open(engine, { filename })
      assert.strictEqual(yield* count(other), 501)
    })
  )

  it.scopedLive("one whose session is lost meanwhile", () =>
    Effect.gen(function* () {
      if (engine === "portable") {
        return // It copies all at once.
      }
      const sql = yield* open(engine, { filename: yield* tempFile, grace: "20 millis" })
      const end = yield* tempFile
      yield* fill(sql)
      yield* sql.workerModule(stuckWhile, { functions: ["stuck"] })
      // It ends when the file is removed with its directory.
      writeFileSync(end, "")
      const copying = Stream.tap(sql.backupStream(`${end}.copy`, { pages: 1 }), () =>
        Effect.ignore(sql`select stuck(${end})`.pipe(SqlClient.withDeadline("50 millis")))
      )
      const failure = yield* reasonOf(Stream.runDrain(copying))
      assert.strictEqual(failure.reason, "SessionLost")
      assert.include(failure.message, "start it again")
    })
  )

  it.scopedLive("several at the same time, each into a file of its own", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* fill(sql)
      const [one, two, three] = [yield* tempFile, yield* tempFile, yield* tempFile].map((file) => `${file}.copy`)
      const both = Stream.zip(sql.backupStream(one!, { pages: 60 }), sql.backupStream(two!, { pages: 60 }))
      const between = Stream.tap(both, () =>
        sql.backup(three!).pipe(SqlClient.withDeadline("20 seconds"), Effect.ignore)
      )
      yield* Stream.runDrain(between).pipe(SqlClient.withDeadline("30 seconds"))
      for (const filename of [one!, two!, three!]) {
        assert.strictEqual(yield* count(yield* open(engine, { filename })), 500)
      }
      if (engine === "native") {
        const same = yield* reasonOf(
          Stream.runDrain(Stream.zip(sql.backupStream(`${one}2`), sql.backupStream(`${one}2`)))
        )
        assert.strictEqual(same.reason, "LockTimeout")
      }
    }).pipe(Effect.timeout("60 seconds"))
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

describe("replacing a database in memory (native)", () => {
  /** One with the table t (n, b) and one with it and a row, and the image of that. */
  const two = Effect.gen(function* () {
    const [sql, other] = [yield* open("native"), yield* open("native")]
    for (const each of [sql, other]) {
      yield* each`create table t (n integer primary key, b)`
    }
    yield* other`insert into t values (1, zeroblob(200000))`
    return { sql, other, image: yield* other.serialize }
  })

  it.scopedLive("recordings of changes end with it, with a failure that says so", () =>
    Effect.gen(function* () {
      const { image, other, sql } = yield* two
      for (const replace of [sql.deserialize(image), other.backup(sql)]) {
        const attached = yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* sql.changeSession()
            yield* sql`insert into t values (7, 7)`
            yield* replace
            yield* sql`insert into t values (8, 8)`
            const failure = yield* reasonOf(session.changeset)
            assert.strictEqual(failure.reason, "Unsupported")
            assert.include(failure.message, "the database was replaced")
            return yield* sql`select name from temp.sqlite_schema`
          })
        )
        assert.deepStrictEqual(attached, [])
        assert.strictEqual(yield* count(sql), 2)
        const session = yield* sql.changeSession()
        yield* sql`insert into t values (9, 9)`
        assert.isFalse(yield* session.isEmpty)
      }
    })
  )

  it.scopedLive("temporary triggers and views are those of the new tables, whatever these are", () =>
    Effect.gen(function* () {
      const { image, sql } = yield* two
      yield* sql`attach ':memory:' as more`
      yield* sql`create table more.u (n)`
      yield* sql`create table lost (n)`
      yield* sql`create temp table log (n)`
      yield* sql`create temp view seen as select n from main.t`
      yield* sql`create temp trigger a after insert on main.t begin insert into log values (new.n); end`
      yield* sql`create temp trigger b after insert on more.u begin insert into main.t values (new.n, 0); end`
      yield* sql`create temp trigger c after insert on main.lost begin insert into log values (0); end`
      for (let i = 0; i < 3; i++) {
        yield* sql.deserialize(image)
        yield* sql`insert into more.u values (5)`
        // Table-valued functions that were used before keep what they know of the main database.
        assert.strictEqual((yield* sql`select * from json_each('[1,2]')`).length, 2)
        assert.deepStrictEqual(yield* sql`select n from seen`.values, [[1], [5]])
      }
      yield* sql`drop trigger temp.a`
      yield* sql`create table lost (n)`
      yield* sql`insert into t (b) values (6)`
      yield* sql`drop view temp.seen`
      assert.strictEqual((yield* sql`select n from log`).length, 3)
    })
  )

  it.scopedLive("not while something reads it: a result, a backup; handles on values expire", () =>
    Effect.gen(function* () {
      const { image, sql } = yield* two
      const values = Array.from({ length: 2000 }, (_, i) => [i + 1, new Uint8Array(200)])
      yield* sql.many("insert into t values (?, ?)", values)
      const refused = (reason: Effect.Effect<{ readonly reason: string; readonly message: string }>, what: string) =>
        Effect.map(reason, (failure) => {
          assert.strictEqual(failure.reason, "LockTimeout")
          assert.include(failure.message, what)
        })
      const replaced = reasonOf(sql.deserialize(image))
      const rows = Stream.tap(Stream.zipWithIndex(sql`select * from t`.stream), ([, i]) =>
        i === 10 ? refused(replaced, "a result") : Effect.void
      )
      assert.strictEqual(yield* Stream.runCount(rows), 2000)
      const steps = Stream.tap(Stream.zipWithIndex(sql.backupStream(yield* tempFile, { pages: 1 })), ([, i]) =>
        i === 3 ? refused(replaced, "a backup") : Effect.void
      )
      assert.isAbove(yield* Stream.runCount(steps), 10)
      yield* sql.deserialize(image)
      const blob = yield* sql.blob({ table: "t", column: "b", rowid: 1 })
      const pieces = Stream.tap(Stream.zipWithIndex(blob.stream({ chunkSize: 1000 })), ([, i]) =>
        i === 3 ? sql.deserialize(image) : Effect.void
      )
      assert.strictEqual((yield* reasonOf(Stream.runDrain(pieces))).reason, "Closed")
      yield* blob.reopen(1)
      assert.strictEqual((yield* blob.read(0, 10)).length, 10)
    })
  )

  it.scopedLive("pages of another size only where there are none yet", () =>
    Effect.gen(function* () {
      const { sql } = yield* two
      const [small, fresh] = [yield* open("native"), yield* open("native")]
      yield* small.pragma("page_size", 1024)
      yield* fill(small)
      const image = yield* small.serialize
      const failure = yield* reasonOf(sql.deserialize(image))
      assert.strictEqual(failure.reason, "Unsupported")
      assert.include(failure.message, "page_size")
      assert.strictEqual(yield* count(sql), 0)
      yield* fresh.deserialize(image)
      assert.strictEqual(yield* count(fresh), 500)
    })
  )

  it.scopedLive("who listens to changes is told", () =>
    Effect.gen(function* () {
      const { image, other, sql } = yield* two
      const seen = yield* Queue.unbounded<number>()
      yield* Effect.forkScoped(Stream.runForEach(sql.reactive(["t"], count(sql)), (n) => Queue.offer(seen, n)))
      const next = Effect.timeout(Queue.take(seen), "20 seconds")
      assert.strictEqual(yield* next, 0)
      yield* sql.deserialize(image)
      assert.strictEqual(yield* next, 1)
      yield* other`insert into t (b) values (2)`
      yield* other.backup(sql)
      assert.strictEqual(yield* next, 2)
    })
  )
})
