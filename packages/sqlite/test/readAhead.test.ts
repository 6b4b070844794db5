import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlTransport } from "@sluice/sql"
import { SqliteClient, SqliteTransport } from "@sluice/sqlite"
import { Cause, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { MessagePort } from "node:worker_threads"
import {
  countTo,
  eventually,
  layerOf,
  layerOnFile,
  leftovers,
  onEngines,
  reasonOf,
  spinFor,
  tempFile
} from "./support.js"

const rows = 1_003
const fill = `create table t (n integer primary key); insert into t ${countTo(rows)}`

interface N {
  readonly n: number
}

/** A session as the client has it; `pending` tells what is under way on it. */
const sessionOf = (filename: string, engine: "native" | "portable") =>
  SqliteTransport.make({ filename, engine }).connect({ access: "write", use: "statement" }) as Effect.Effect<
    SqlTransport.Session & { readonly pending: () => number },
    never,
    Scope.Scope
  >

const open = (session: SqlTransport.Session, text: string, prefetch: number, readAhead = true) =>
  session.open(SqlTransport.request(text, { prefetch, readAhead }))

onEngines("read-ahead", (engine) => {
  it.scopedLive("gives the same rows, whatever the page, and the event loop its turn", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.unsafe(fill)
      for (const prefetch of [1, 2, 7, 64, 1_002, 1_003, 1_004]) {
        let turns = 0
        const timer = setInterval(() => turns++, 0)
        const got = yield* sql<N>`select n from t order by n`.stream.pipe(
          SqlClient.withPrefetch(prefetch),
          SqlClient.withReadAhead(true),
          Stream.runFold([] as Array<number>, (all, { n }) => {
            all.push(n)
            return all
          })
        )
        clearInterval(timer)
        assert.deepStrictEqual(
          got,
          Array.from({ length: rows }, (_, i) => i + 1),
          `prefetch ${prefetch}`
        )
        assert.isTrue(prefetch > 2 || turns > 10, `prefetch ${prefetch}: ${turns} turns of the event loop`)
      }
    }).pipe(Effect.provide(layerOnFile(engine)))
  )

  it.scopedLive("reads one page ahead, and no more; none where nobody wants it", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const session = yield* sessionOf(filename, engine)
      yield* Effect.provide(
        Effect.flatMap(SqliteClient.SqliteClient, (sql) => sql.unsafe(fill)),
        layerOf(engine, { filename })
      )
      const text = "select n from t order by n"
      const wanted = yield* open(session, text, 10)
      assert.strictEqual(session.pending(), 1)
      yield* eventually("the page has come", () => session.pending() === 0)
      yield* Effect.sleep(50)
      assert.strictEqual(session.pending(), 0)
      assert.strictEqual((yield* wanted.next).arrays()[0]![0], 11)
      assert.strictEqual(session.pending(), 1)

      yield* eventually("quiet", () => session.pending() === 0)
      yield* open(session, text, 10, false)
      assert.strictEqual(session.pending(), 0)
    })
  )

  it.scopedLive("never for what writes, nor across the statements of a script", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const session = yield* sessionOf(filename, engine)
      yield* Effect.provide(
        Effect.flatMap(SqliteClient.SqliteClient, (sql) => sql.unsafe(fill)),
        layerOf(engine, { filename })
      )
      for (const text of [
        "insert into t select n + 10000 from t returning n",
        "select n from t; delete from t",
        "pragma table_info(t)"
      ]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* open(session, text, 1)
            assert.strictEqual(session.pending(), 0, text)
          })
        )
      }
    })
  )

  it.scopedLive("not beside callbacks, which would have no caller", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.unsafe(fill)
      const called: Array<number> = []
      yield* sql.function("seen", (n) => Effect.sync(() => called.push(Number(n))))
      const pull = yield* Stream.toPull(
        sql<N>`select n, seen(n) as s from t order by n`.stream.pipe(
          SqlClient.withPrefetch(10),
          SqlClient.withReadAhead(true)
        )
      )
      yield* pull
      yield* Effect.sleep(50)
      assert.lengthOf(called, 10)
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("an error comes after the rows before it", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.unsafe(fill)
      const got: Array<number> = []
      const failure = yield* reasonOf(
        sql<N>`select n, json(iif(n = 38, '{', '1')) as j from t order by n`.stream.pipe(
          SqlClient.withPrefetch(10),
          SqlClient.withReadAhead(true),
          Stream.runForEach(({ n }) => Effect.sync(() => got.push(n)))
        )
      )
      assert.strictEqual(got.length, 37)
      assert.match(failure.message, /malformed JSON/)
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    }).pipe(Effect.provide(layerOf(engine)))
  )

  it.scopedLive("a stream that is left early leaves nothing behind", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.unsafe(fill)
      for (let i = 0; i < 50; i++) {
        const taken = yield* sql<N>`select n from t order by n`.stream.pipe(
          SqlClient.withPrefetch(5),
          SqlClient.withReadAhead(true),
          Stream.take(1 + (i % 12)),
          Stream.runCount
        )
        assert.strictEqual(taken, 1 + (i % 12))
      }
      // A cursor that were still open would hold this off.
      yield* sql`drop table t`
    }).pipe(Effect.provide(layerOf(engine)))
  )
})

describe("read-ahead (native)", () => {
  /** Its first rows come at once, those after 20 take for ever. */
  const slow =
    "select n, case when n > 20 then (select count(*) from t a, t b, t c, t d where a.n * b.n * c.n * d.n < 0) end as m " +
    "from t order by n"

  it.scopedLive("an interrupt stops the page that is read ahead; the stream does not go on behind a gap", () =>
    Effect.gen(function* () {
      const session = yield* sessionOf(":memory:", "native")
      yield* session.run(SqlTransport.request(`create table t (n integer primary key)`))
      yield* session.run(SqlTransport.request(`insert into t ${countTo(200)}`))
      const scope = yield* Scope.make()
      const cursor = yield* Scope.extend(open(session, slow, 20), scope)
      const fiber = yield* Effect.fork(cursor.next)
      yield* Effect.sleep(50)
      assert.strictEqual(session.pending(), 1)
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.match((yield* reasonOf(cursor.next)).message, /interrupted/)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual((yield* session.run(SqlTransport.request("select 1 as one"))).objects(), [{ one: 1 }])
    })
  )

  it.scopedLive("closing does not wait for the page that is read ahead", () =>
    Effect.gen(function* () {
      const session = yield* sessionOf(":memory:", "native")
      yield* session.run(SqlTransport.request(`create table t (n integer primary key)`))
      yield* session.run(SqlTransport.request(`insert into t ${countTo(200)}`))
      yield* Effect.scoped(open(session, slow, 20))
      assert.deepStrictEqual((yield* session.run(SqlTransport.request("select 1 as one"))).objects(), [{ one: 1 }])
    })
  )

  it.scopedLive("a deadline that passes meanwhile fails the pull, after the rows before", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.unsafe(`create table t (n integer primary key); insert into t ${countTo(200)}`)
      let seen = 0
      const failure = yield* reasonOf(
        sql.unsafe(slow).stream.pipe(
          SqlClient.withPrefetch(20),
          SqlClient.withReadAhead(true),
          Stream.runForEach(() => Effect.sync(() => seen++)),
          SqlClient.withDeadline("300 millis")
        )
      )
      assert.strictEqual(failure.reason, "StatementTimeout")
      assert.strictEqual(seen, 20)
      assert.lengthOf(yield* sql.unsafe(spinFor(10)), 1)
    }).pipe(Effect.provide(layerOf("native")))
  )

  it.scopedLive("parameters cross once, however many pages there are", () =>
    Effect.gen(function* () {
      const sql = yield* SqliteClient.SqliteClient
      yield* sql.unsafe(fill)

      const { postMessage } = MessagePort.prototype
      let sent = 0
      MessagePort.prototype.postMessage = function (this: MessagePort, message: unknown, ...rest: Array<never>) {
        if (Array.isArray(message) && message[0] === "parameters") {
          sent++
        }
        return postMessage.call(this, message, ...rest)
      }
      yield* sql`select n from t where length(${"x".repeat(5_000)}) = 5000`.stream.pipe(
        SqlClient.withPrefetch(10),
        Stream.runDrain,
        Effect.ensuring(Effect.sync(() => (MessagePort.prototype.postMessage = postMessage)))
      )
      assert.strictEqual(sent, 1)
    }).pipe(Effect.provide(layerOf("native")))
  )
})

it.live("nothing is left", () => leftovers)
