import * as FileSystem from "@effect/platform/FileSystem"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, TestTransport } from "@sluice/sql"
import { Chunk, Effect, Exit, Fiber, Stream, TestClock } from "effect"

const { on } = TestTransport

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), SqlFailure.from)

type Body<A, E> = (sql: SqlClient.SqlClient) => Effect.Effect<A, E>

const using = <A, E>(body: Body<A, E>) =>
  Effect.flatMap(SqlClient.SqlClient, body).pipe(Effect.provide(SqlClient.layer))

/** A file for one test, and ways to record into it and to replay from it. */
const withFile = <A, E>(
  use: (tools: {
    readonly record: <B, E2>(
      script: ReadonlyArray<TestTransport.Expectation>,
      body: Body<B, E2>,
      redact?: TestTransport.Redact
    ) => Effect.Effect<B, unknown>
    readonly replay: <B, E2>(body: Body<B, E2>, options?: TestTransport.ReplayOptions) => Effect.Effect<B, unknown>
    readonly text: Effect.Effect<string>
    readonly write: (content: string) => Effect.Effect<void>
  }) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = `${yield* fs.makeTempDirectoryScoped()}/folder/recording.json`
    return yield* use({
      record: (script, body, redact) =>
        using(body).pipe(
          Effect.provide(TestTransport.recording(file, { redact })),
          Effect.provide(TestTransport.scripted(script, { order: "any" })),
          Effect.provideService(FileSystem.FileSystem, fs)
        ),
      replay: (body, options) =>
        using(body).pipe(
          Effect.provide(TestTransport.replay(file, options)),
          Effect.provideService(FileSystem.FileSystem, fs)
        ),
      text: Effect.orDie(fs.readFileString(file)),
      write: (content) =>
        Effect.orDie(
          Effect.zipRight(
            fs.makeDirectory(file.replace(/\/[^/]*$/, ""), { recursive: true }),
            fs.writeFileString(file, content)
          )
        )
    })
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

describe("TestTransport.recording and replay", () => {
  it.effect("every value comes back as it was, as object, as array, in a stream", () =>
    withFile(({ record, replay }) =>
      Effect.gen(function* () {
        const row = {
          text: "a\u0000\ud800",
          whole: 9007199254740993n,
          bytes: new Uint8Array([0, 255]),
          date: new Date("2001-02-03T04:05:06.007Z"),
          nan: NaN,
          zero: -0,
          infinite: -Infinity,
          nothing: null,
          json: { $bigint: "1", list: [1n] }
        }
        const body: Body<unknown, unknown> = (sql) =>
          Effect.all([
            sql.unsafe("select", [row.whole, row.bytes, row.date, NaN]),
            sql`select`.values,
            Effect.map(Stream.runCollect(sql`stream`.stream), Chunk.toReadonlyArray)
          ])
        const recorded = yield* record(
          [
            on(/select/)
              .rows([row])
              .times(2),
            on("stream").rows([row, row])
          ],
          body
        )
        const replayed = yield* replay(body)
        assert.deepStrictEqual(replayed, recorded)
        assert.deepStrictEqual((replayed as Array<unknown>)[0], [row])
      })
    )
  )

  it.effect("the file does not depend on the order of fibers, and has one version", () =>
    withFile(({ record, text }) =>
      Effect.gen(function* () {
        const script = [1, 2, 3].map((n) => on("select ?").params([n]).rows([{ n }]))
        const run = (order: ReadonlyArray<number>) =>
          Effect.zipRight(
            record(script, (sql) => Effect.forEach(order, (n) => sql`select ${n}`, { concurrency: "unbounded" })),
            text
          )
        const first = yield* run([1, 2, 3])
        assert.strictEqual(yield* run([3, 1, 2]), first)
        const { format, version } = JSON.parse(first) as { format: string; version: number }
        assert.deepStrictEqual({ format, version }, { format: "sluice-recording", version: 1 })
      })
    )
  )

  it.effect("the same statement gets its answers in order; the last one repeats, or a failure says it is over", () =>
    withFile(({ record, replay }) =>
      Effect.gen(function* () {
        const next: Body<ReadonlyArray<object>, unknown> = (sql) => sql`next`
        yield* record([on("next").rows([{ n: 1 }]), on("next").rows([{ n: 2 }])], (sql) =>
          Effect.zipRight(next(sql), next(sql))
        )
        assert.deepStrictEqual(yield* replay((sql) => Effect.all([next(sql), next(sql), next(sql)])), [
          [{ n: 1 }],
          [{ n: 2 }],
          [{ n: 2 }]
        ])
        const over = yield* failureOf(
          replay((sql) => Effect.all([next(sql), next(sql), next(sql)]), { exhausted: "fail" })
        )
        assert.include(over.message, "was recorded 2 times with these parameters, and runs once more")
      })
    )
  )

  it.effect("typed failures come again, with all they know", () =>
    withFile(({ record, replay, text }) =>
      Effect.gen(function* () {
        const details = { constraint: "t_id", columns: ["id"], code: 2067, sqlState: "23505" }
        const body: Body<SqlFailure.SqlFailure, unknown> = (sql) => failureOf(sql`insert`)
        yield* record([on("insert").fails("UniqueViolation", details)], body)
        const again = yield* replay(body)
        assert.deepInclude(again, {
          reason: "UniqueViolation",
          statement: "insert",
          outcome: "notExecuted",
          ...details
        })
        assert.include(yield* text, `"reason": "UniqueViolation"`)
      })
    )
  )

  it.effect("transactions: nested, undone, failed at COMMIT, retried", () =>
    withFile(({ record, replay, text }) =>
      Effect.gen(function* () {
        const body: Body<unknown, unknown> = (sql) =>
          Effect.gen(function* () {
            const inside = sql.withTransaction(
              Effect.gen(function* () {
                yield* sql`one`
                yield* Effect.ignore(sql.withTransaction(Effect.fail("undo")))
                return (yield* Effect.scoped(sql.session)).inTransaction()
              })
            )
            return [(yield* failureOf(inside)).reason, yield* inside]
          })
        yield* record([on("one").times(2), on("COMMIT").fails("LockTimeout")], body)
        assert.deepStrictEqual(yield* replay(body), ["LockTimeout", true])
        assert.match(yield* text, /"verb": ?"commit"/)
      })
    )
  )

  it.effect("a stream is cut by the prefetch of the replay; one that was left early ends typed", () =>
    withFile(({ record, replay }) =>
      Effect.gen(function* () {
        const rows = [1, 2, 3, 4, 5].map((n) => ({ n }))
        yield* record(
          [on("all").rows(rows), on("some").rows(rows), on("bad").rows(rows).fails("ConversionFailed")],
          (sql) =>
            Effect.gen(function* () {
              yield* Stream.runDrain(sql`all`.stream)
              yield* sql`some`.pipe(SqlClient.withPrefetch(2)).stream.pipe(Stream.take(3), Stream.runDrain)
              yield* Effect.ignore(Stream.runDrain(sql`bad`.stream))
            })
        )
        yield* replay((sql) =>
          Effect.gen(function* () {
            const sizes = yield* sql`all`
              .pipe(SqlClient.withPrefetch(3))
              .stream.pipe(Stream.chunks, Stream.map(Chunk.size), Stream.runCollect)
            assert.deepStrictEqual(Chunk.toReadonlyArray(sizes), [3, 2])
            assert.strictEqual(yield* sql`some`.stream.pipe(Stream.take(4), Stream.runCount), 4)
            const over = yield* failureOf(Stream.runDrain(sql`some`.stream))
            assert.include(over.message, "read no further than row 4")
            let seen = 0
            const bad = yield* failureOf(Stream.runForEach(sql`bad`.stream, () => Effect.sync(() => seen++)))
            assert.deepStrictEqual([bad.reason, seen], ["ConversionFailed", 5])
          })
        )
      })
    )
  )

  it.effect("a statement that was interrupted is not answered", () =>
    withFile(({ record, replay }) =>
      Effect.gen(function* () {
        const body: Body<boolean, unknown> = (sql) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.fork(sql`stuck`)
            yield* TestClock.adjust("1 seconds")
            return Exit.isInterrupted(yield* Fiber.interrupt(fiber))
          })
        assert.isTrue(yield* record([on("stuck").never], body))
        assert.isTrue(yield* replay(body))
      })
    )
  )

  it.effect("sql.many is told from a statement with the same text", () =>
    withFile(({ record, replay }) =>
      Effect.gen(function* () {
        const body: Body<unknown, unknown> = (sql) => sql.many("insert", [[1], [2]])
        yield* record([on("insert").changes(2)], body)
        assert.deepStrictEqual(yield* replay(body), { changes: 2 })
        assert.include(
          (yield* failureOf(replay((sql) => sql.unsafe("insert", [[1], [2]] as never)))).message,
          "in another way (sql.many)"
        )
      })
    )
  )

  describe("what is not recorded", () => {
    it.effect("fails typed and names the nearest statements", () =>
      withFile(({ record, replay }) =>
        Effect.gen(function* () {
          yield* record(
            [on("select name from users"), on("delete from audit"), on("select name from planes"), on("vacuum")],
            (sql) =>
              Effect.all([
                sql`select name from users`,
                sql`delete from audit`,
                sql`select name from planes`,
                sql`vacuum`
              ])
          )
          const missing = yield* failureOf(replay((sql) => sql`select names from users`))
          assert.strictEqual(missing.reason, "Unsupported")
          assert.match(
            missing.message,
            /is not recorded\n {2}select names from users\n {2}The nearest[^]*select name from users/
          )
          assert.notInclude(missing.message, "vacuum")
        })
      )
    )

    it.effect("tells which parameter is another, and no value", () =>
      withFile(({ record, replay }) =>
        Effect.gen(function* () {
          yield* record([on(/select/)], (sql) => sql.unsafe("select", [1, "secret"]))
          const missing = yield* failureOf(replay((sql) => sql.unsafe("select", [1, "password"])))
          assert.include(missing.message, "with another parameter 2")
          assert.notMatch(missing.message, /secret|password/)
        })
      )
    )

    it.effect("a file that is missing, broken, or of another version", () =>
      withFile(({ replay, write }) =>
        Effect.gen(function* () {
          const use = Effect.map(failureOf(replay((sql) => sql`one`)), ({ message, reason }) => `${reason}: ${message}`)
          assert.match(yield* use, /^Connection: .*cannot be read.*TestTransport.recording/)
          yield* write("{")
          assert.match(yield* use, /it is no JSON/)
          yield* write("[]")
          assert.match(yield* use, /it is no recording/)
          yield* write(`{ "format": "sluice-recording", "version": 99 }`)
          assert.match(yield* use, /it has version 99, and this is version 1/)
        })
      )
    )
  })

  describe("redact", () => {
    const script = [
      on(/insert/).changes(1),
      on(/select/).rows([{ id: 1, Password: "hunter2", pin: 1234n }]),
      on(/update/).fails("Unknown", { message: "near hunter2" })
    ]
    const body: Body<unknown, unknown> = (sql) =>
      Effect.gen(function* () {
        yield* sql`insert into users (id, password, pin) values (${1}, ${"hunter2"}, ${1234n})`
        yield* Effect.ignore(sql`update users set password = ${"hunter2"}`)
        return yield* sql`select * from users where id = ${1}`
      })

    it.effect("by names: columns of that name, parameters of statements that mention it, failures about them", () =>
      withFile(({ record, replay, text }) =>
        Effect.gen(function* () {
          yield* record(script, body, ["password", "pin"])
          const file = yield* text
          assert.notMatch(file, /hunter2|1234/)
          assert.deepStrictEqual(yield* replay(body), [{ id: 1, Password: "redacted", pin: 0n }])
        })
      )
    )

    it.effect("by functions", () =>
      withFile(({ record, replay, text }) =>
        Effect.gen(function* () {
          yield* record(script, body, {
            params: (value) => value === "hunter2" || value === 1234n,
            rows: (row) => ({ ...row, Password: "***", pin: 9n })
          })
          assert.notMatch(yield* text, /hunter2|1234/)
          assert.deepStrictEqual(yield* replay(body), [{ id: 1, Password: "***", pin: 9n }])
        })
      )
    )

    it.effect("all of it, in batches too", () =>
      withFile(({ record, replay, text }) =>
        Effect.gen(function* () {
          const many: Body<unknown, unknown> = (sql) => sql.many("insert", [["hunter2"], ["1234"]])
          yield* record([on("insert")], many, { params: true, rows: true })
          assert.notMatch(yield* text, /hunter2|1234/)
          assert.deepStrictEqual(yield* replay(many), { changes: 2 })
        })
      )
    )
  })
})
