/**
 * What goes wrong in other clients of this daemon, by the numbers of the list in `bugs.test.ts`: those that no other test
 * here is about.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { MapepireClient, MapepireJob, Protocol } from "@sluice/mapepire"
import { SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Outcome, type Script, type ScriptedDaemon, scriptedDaemon } from "./scriptedDaemon.js"
import { numbers, until } from "./support.js"

/** The number in a statement, as its one row. */
const echo: Script = ({ sql }) => ({
  columns: [{ name: "N", type: "INTEGER" }],
  rows: [[Number(/\d+/.exec(sql!)![0])]]
})

const words: Outcome = {}

/** A daemon that knows transactions, and numbers. */
const daemonOf = Effect.map(scriptedDaemon(), (daemon) =>
  daemon.on(/^select \d+/i, echo).on(/^(commit|rollback|set|insert|update|delete)\b/i, words)
)

const client = (daemon: ScriptedDaemon, config: Partial<MapepireClient.MapepireClientConfig> = {}) =>
  Effect.map(Layer.build(MapepireClient.layer({ ...daemon.config, ...config })), (context) =>
    Context.get(context, MapepireClient.MapepireClient)
  )

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), SqlFailure.from)

describe("transport and matching", () => {
  it.scopedLive("bug 4: who left gets nothing, and what the late answer opened is closed", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/from ten/, { ...numbers(10), delay: 600 })
      const job = yield* MapepireJob.make({ ...daemon.config, cancel: false, pageSize: 3 })
      const fiber = yield* Effect.fork(job.queryAndRun("select * from ten"))
      yield* until(() => daemon.sent("sql").length === 1)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      const stats = yield* job.stats
      assert.deepStrictEqual([stats.pending, stats.unanswered], [0, 1])
      assert.deepStrictEqual((yield* job.queryAndRun("select 7")).rows, [{ n: 7 }])
      yield* until(() => daemon.connections[0]!.open.size === 0)
      assert.strictEqual(daemon.sent("sqlclose").length, 2)
      assert.strictEqual((yield* job.stats).unanswered, 0)
    })
  )

  it.scopedLive("bug 5: texts arrive as they were written, whatever is in them", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/./s, numbers(1))
      const job = yield* MapepireJob.make(daemon.config)
      const every = String.fromCharCode(...Array.from({ length: 0x80 }, (_, i) => i))
      const texts = [
        `select '"' from "t\\"`,
        `select '","type":"exit","x":"' from t`,
        "select 1\r\nfrom\tt",
        `select '${every}\u2028\u2029\ud83d\ude00é'`
      ]
      for (const text of texts) {
        yield* job.queryAndRun(text, [text])
        const { parameters, rows, sql } = daemon.sent("prepare_sql_execute").at(-1)!
        assert.strictEqual(sql, text)
        assert.deepStrictEqual(parameters, [text])
        assert.isNumber(rows)
      }
      assert.isEmpty(daemon.sent("exit"))
    })
  )

  it.scopedLive("bug 6: no field and no property is one that the daemon does not know", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/from ten/, numbers(10)).on(/^call/i, { parameters: [{ mode: "IN" }, { mode: "OUT" }] })
      daemon.on(/^DSPJOB/, numbers(1))
      const job = yield* MapepireJob.make({
        ...daemon.config,
        application: "orders",
        jdbc: { libraries: ["SHOP"], "variable field compression": "all" }
      })
      yield* job.queryAndRun("select * from ten", [], { rows: 3 })
      yield* job.queryAndRun("select * from ten where n > ?", [0])
      const prepared = yield* job.prepare("update ten set n = ?")
      yield* prepared.execute([1])
      yield* job.batch("insert into ten values (?)", [[1], [2]])
      yield* job.call("call shop.price(?, ?)", [null, MapepireJob.out])
      yield* job.cl("DSPJOB")
      yield* job.explain("select * from ten", { run: true })
      yield* job.setTrace({ level: "ON", destination: "FILE", driverLevel: "OFF", driverDestination: "IN_MEM" })
      yield* Effect.all([job.trace, job.ping, job.version, job.job])
      yield* job.reconnect({ "date format": "eur" })
      const decode = Schema.decodeUnknownEither(Protocol.Request, { onExcessProperty: "error" })
      for (const { connection: _, ...request } of daemon.requests) {
        assert.isTrue(decode(request)._tag === "Right", JSON.stringify(request))
      }
      const known = new Set(Object.keys(Protocol.jdbcProperties))
      const names = daemon.sent("connect").flatMap(({ props }) => props!.split(";").map((part) => part.split("=")[0]!))
      assert.include(names, "variable field compression")
      assert.deepStrictEqual(
        names.filter((name) => !known.has(name)),
        []
      )
      const types = new Set(daemon.requests.map(({ type }) => type))
      for (const type of Object.keys(Protocol.responseOf)) {
        assert.isTrue(types.has(type) || type === "sqlmore" || type === "exit", type)
      }
    })
  )

  it.scopedLive("bug 9: requests that begin within answers, and the end among them, leave nobody waiting", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      const job = yield* MapepireJob.make(daemon.config)
      const seen: Array<number> = []
      /** Each answer begins two more. */
      const tree = (n: number): Effect.Effect<void, unknown> =>
        Effect.flatMap(job.queryAndRun<{ n: number }>(`select ${n}`), ({ rows }) => {
          seen.push(rows[0]!.n)
          return n >= 128
            ? Effect.void
            : Effect.all([tree(2 * n), tree(2 * n + 1)], { concurrency: "unbounded", discard: true })
        })
      yield* tree(1)
      assert.deepStrictEqual(
        seen.sort((a, b) => a - b),
        Array.from({ length: 255 }, (_, i) => i + 1)
      )
      daemon.once(
        ({ sql }) => sql === "select 100",
        (_request, connection) => connection.drop()
      )
      const exit = yield* Effect.exit(Effect.timeout(tree(1), "20 seconds"))
      const errors = Exit.isFailure(exit) ? [...Cause.failures(exit.cause)] : []
      assert.isNotEmpty(errors)
      assert.isTrue(errors.every((error) => SqlFailure.from(error).reason === "SessionLost"))
      const stats = yield* job.stats
      assert.deepStrictEqual([stats.pending, stats.unanswered], [0, 0])
    })
  )
})

describe("queries and cursors", () => {
  it.scopedLive("bug 14: nothing keeps what has ended", () =>
    Effect.gen(function* () {
      setFlagsFromString("--expose_gc")
      const collect = runInNewContext("gc") as () => void
      const daemon = yield* daemonOf
      daemon.on(/from ten/, numbers(10))
      const used = Effect.gen(function* () {
        const job = yield* MapepireJob.make(daemon.config)
        const refs: Array<WeakRef<object>> = [new WeakRef(job)]
        for (let i = 0; i < 20; i++) {
          yield* Effect.scoped(
            Effect.map(job.query("select * from ten", [], { rows: 3 }), (cursor) => refs.push(new WeakRef(cursor)))
          )
          refs.push(new WeakRef(yield* job.queryAndRun("select * from ten")))
        }
        return refs
      }).pipe(Effect.scoped)
      const refs = yield* used
      assert.strictEqual(refs.length, 41)
      yield* Effect.timeout(
        until(() => {
          collect()
          // The very last ones may still be on some stack.
          return refs.filter((ref) => ref.deref() !== undefined).length <= 2
        }),
        "15 seconds"
      )
    })
  )

  it.scopedLive("bug 18: rows that are taken one by one come in pages all the same", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/from ten/, numbers(10))
      const job = yield* MapepireJob.make(daemon.config)
      const rows = job.rows<{ n: number }>("select * from ten", [], { rows: 4 })
      const taken = yield* rows.pipe(Stream.rechunk(1), Stream.runCollect)
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(taken).map(({ n }) => n),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
      )
      assert.strictEqual(daemon.sent("sqlmore").length, 2)
    })
  )

  it.scopedLive("bug 19: a whole result comes in messages of bounded size", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/from many/, numbers(2_500))
      const job = yield* MapepireJob.make(daemon.config)
      assert.strictEqual((yield* job.queryAndRun("select * from many")).rows.length, 2_500)
      const sql = yield* client(daemon)
      assert.strictEqual((yield* sql.unsafe("select * from many")).length, 2_500)
      // On a busy machine the pool may have looked whether its job lives.
      const asked = daemon.requests.flatMap(({ rows, sql }) => (rows === undefined || sql === "VALUES 1" ? [] : [rows]))
      assert.deepStrictEqual(asked, [1_000, 1_000, 1_000, 1_000, 1_000, 1_000])
    })
  )

  it.scopedLive("bug 23: values that look like the protocol are values", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      const texts = ['"data":[[', ']],"is_done":true,"x":[[', '\\"success":false', '{"id":"s2"}', '"metadata":{']
      daemon.on(/from texts/, {
        columns: [{ name: '"data":[[', type: "VARCHAR" }],
        rows: texts.map((text) => [text])
      })
      const job = yield* MapepireJob.make({ ...daemon.config, pageSize: 2 })
      const { columns, rows } = yield* job.queryAndRun("select * from texts")
      assert.deepStrictEqual(
        columns.map(({ name }) => name),
        ['"data":[[']
      )
      assert.deepStrictEqual(
        rows.map((row) => Object.values(row)[0]),
        texts
      )
    })
  )

  it.scopedLive("bug 26: binary types are bytes", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      const types = ["BINARY", "VARBINARY", "BLOB", "CHAR () FOR BIT DATA", "VARCHAR () FOR BIT DATA"]
      daemon.on(/from files/, {
        columns: types.map((type, i) => ({ name: `C${i}`, type })),
        rows: [types.map(() => "00FF10"), types.map(() => ""), types.map(() => null)]
      })
      const job = yield* MapepireJob.make(daemon.config)
      const { rows } = yield* job.queryAndRun("select * from files")
      for (const [row, bytes] of [
        [rows[0]!, [0, 255, 16]],
        [rows[1]!, []]
      ] as ReadonlyArray<readonly [object, ReadonlyArray<number>]>) {
        for (const value of Object.values(row)) {
          assert.instanceOf(value, Uint8Array)
          assert.deepStrictEqual([...(value as Uint8Array)], [...bytes])
        }
      }
      assert.deepStrictEqual(
        Object.values(rows[2]!),
        types.map(() => null)
      )
    })
  )

  it.scopedLive("bug 28: a batch may have nulls anywhere", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      const job = yield* MapepireJob.make(daemon.config)
      const rows = [
        [null, 1],
        ["a", null],
        [null, null],
        [undefined, 2]
      ]
      assert.strictEqual((yield* job.batch("insert into t values (?, ?)", rows)).changes, 4)
      assert.deepStrictEqual(daemon.sent("prepare_sql_execute")[0]!.parameters, [
        [null, 1],
        ["a", null],
        [null, null],
        [null, 2]
      ])
    })
  )
})

describe("the pool", () => {
  it.scopedLive("bug 29: a transaction's job is nobody else's until it has ended", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/^insert/i, () => ({ updateCount: 1, delay: Math.floor(daemon.random() * 4) }))
      const sql = yield* client(daemon, { sessions: 2, transactions: 2 })
      const owner = (n: number) =>
        Effect.gen(function* () {
          for (let i = 0; i < 3; i++) {
            yield* sql.unsafe(`insert into t values ('owner ${n}.')`)
          }
          if (n % 3 === 0) {
            yield* Effect.fail("undone")
          }
        })
      yield* Effect.forEach(
        Array.from({ length: 12 }, (_, n) => n),
        (n) => (n % 2 === 0 ? Effect.ignore(sql.withTransaction(owner(n))) : Effect.ignore(owner(n))),
        { concurrency: "unbounded", discard: true }
      )
      const ownerOf = (text: string) => /owner (\d+)\./.exec(text)?.[1]
      let transactions = 0
      for (const connection of daemon.connections) {
        const manual = daemon.requests.some(
          (request) =>
            request.connection === connection &&
            request.type === "connect" &&
            request.props!.includes("auto commit=false")
        )
        const texts = daemon.requests.flatMap(({ connection: on, sql }) =>
          on === connection && sql !== undefined ? [sql] : []
        )
        let current: string | undefined
        for (const text of texts) {
          if (/^(commit|rollback)$/i.test(text)) {
            assert.isTrue(manual)
            transactions++
            current = undefined
          } else {
            const owner = ownerOf(text)
            assert.isDefined(owner)
            assert.strictEqual(Number(owner) % 2 === 0, manual)
            if (manual) {
              current ??= owner
              assert.strictEqual(owner, current)
            }
          }
        }
      }
      assert.strictEqual(transactions, 6)
    })
  )

  it.scopedLive("bug 30: statements come while every job is still connecting", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.override((request, connection) => {
        if (request.type !== "connect") {
          return false
        }
        daemon.later(100, () => connection.handle(request))
        return true
      })
      const sql = yield* client(daemon, { sessions: 2 })
      const answers = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => n),
        (n) => sql.unsafe<{ n: number }>(`select ${n}`),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        answers.map(([row]) => row!.n),
        Array.from({ length: 20 }, (_, n) => n)
      )
      assert.isAtMost(daemon.connections.length, 2)
    })
  )

  it.scopedLive("bug 31: a job that could not be had is its caller's failure, and takes no place", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/^select \d+/i, (request, connection) => ({ ...echo(request, connection), delay: 20 }))
      const rejections: Array<unknown> = []
      const noteRejection = (reason: unknown) => void rejections.push(reason)
      process.on("unhandledRejection", noteRejection)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.off("unhandledRejection", noteRejection)))
      const sql = yield* client(daemon, { sessions: 3 })
      yield* sql.unsafe("select 1")
      const { refuse } = daemon
      daemon.refuse = () => "java.sql.SQLException: The application requester cannot establish the connection."
      const many = Effect.forEach(
        Array.from({ length: 9 }, (_, n) => n),
        (n) => Effect.either(sql.unsafe(`select ${n}`)),
        { concurrency: "unbounded" }
      )
      const down = yield* many
      assert.isTrue(down.some(({ _tag }) => _tag === "Right"))
      for (const one of down) {
        if (one._tag === "Left") {
          assert.strictEqual(SqlFailure.from(one.left).reason, "Connection")
        }
      }
      daemon.refuse = refuse
      // All places can be had now.
      const up = yield* many
      assert.isTrue(up.every(({ _tag }) => _tag === "Right"))
      yield* many
      assert.strictEqual(daemon.connections.filter(({ job }) => job !== undefined).length, 3)
      assert.isEmpty(rejections)
    })
  )

  it.scopedLive("bug 32: options reach every job of the pool, by their real names", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      const sql = yield* client(daemon, {
        technique: "cli",
        application: "orders",
        libraries: ["SHOP", "SHOPREF"],
        jdbc: { "date format": "eur", "block size": 256, "query optimize goal": "2" }
      })
      yield* sql.unsafe("select 1")
      yield* sql.withTransaction(sql.unsafe("select 2"))
      const connects = daemon.sent("connect")
      assert.strictEqual(connects.length, 2)
      for (const { application, props, technique } of connects) {
        assert.deepStrictEqual([application, technique], ["orders", "cli"])
        for (const property of [
          "libraries=SHOP,SHOPREF",
          "date format=eur",
          "block size=256",
          "query optimize goal=2"
        ]) {
          assert.include(props!.split(";"), property)
        }
      }
    })
  )

  it.scopedLive("bug 33: a job that died is replaced, and the end of a pool waits for its jobs", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      yield* Effect.gen(function* () {
        const sql = yield* client(daemon, { sessions: 1 })
        yield* sql.unsafe("select 1")
        daemon.connections[0]!.drop()
        yield* until(() => daemon.connections[0]!.closed !== undefined)
        // Perhaps one is told before the pool is.
        yield* Effect.retry(sql.unsafe("select 2"), { times: 3 })
        assert.deepStrictEqual(yield* sql.unsafe("select 3"), [{ n: 3 }])
        assert.strictEqual(daemon.connections.length, 2)
      }).pipe(Effect.scoped)
      assert.isTrue(daemon.connections[1]!.exited)
      yield* until(() => daemon.connections.every(({ closed }) => closed !== undefined))
    })
  )

  it.scopedLive("bug 34: who finds no job free waits in turn, for a time, and no more jobs are made than allowed", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      daemon.on(/^select \d+/i, (request, connection) => ({ ...echo(request, connection), delay: 5 }))
      let finish = () => {}
      daemon.override((request, connection) => {
        if (request.sql !== "select held") {
          return false
        }
        finish = () => connection.handle({ ...request, sql: "select 13" })
        return true
      })
      const sql = yield* client(daemon, { sessions: 1, cancel: false, pool: { acquireTimeout: "3 seconds" } })
      yield* sql.unsafe("select 0")
      yield* Effect.forEach(
        Array.from({ length: 10 }, (_, n) => n),
        (n) => sql.unsafe(`select ${n}`),
        { concurrency: "unbounded", discard: true }
      )
      assert.deepStrictEqual(
        daemon.statements.slice(1),
        Array.from({ length: 10 }, (_, n) => `select ${n}`)
      )
      const long = yield* Effect.fork(sql.unsafe("select held"))
      yield* until(() => daemon.statements.at(-1) === "select held")
      const failed = yield* failureOf(sql.unsafe("select 11"))
      assert.deepStrictEqual([failed.reason, failed.outcome], ["PoolTimeout", "notExecuted"])
      finish()
      assert.deepStrictEqual(yield* Fiber.join(long), [{ n: 13 }])
      assert.deepStrictEqual(yield* sql.unsafe("select 12"), [{ n: 12 }])
      assert.notInclude(daemon.statements, "select 11")
      assert.strictEqual(daemon.connections.length, 1)
    })
  )

  it.scopedLive("bug 35: a statement that cannot be sent gives its job back", () =>
    Effect.gen(function* () {
      const daemon = yield* daemonOf
      const sql = yield* client(daemon, { sessions: 1, transactions: 1 })
      for (let i = 0; i < 20; i++) {
        const failed = yield* failureOf(sql.unsafe("select 1 from t where a = ?", [Symbol("no") as never]))
        assert.deepStrictEqual([failed.reason, failed.outcome], ["InvalidParameter", "notExecuted"])
        const batch = yield* failureOf(sql.many("insert into t values (?)", [[1], [1, 2]]))
        assert.strictEqual(batch.reason, "InvalidParameter")
      }
      assert.deepStrictEqual(yield* sql.unsafe("select 5"), [{ n: 5 }])
      assert.isEmpty(daemon.sent("prepare_sql_execute"))
      assert.isAtMost(daemon.connections.length, 2)
    })
  )
})

describe("diagnostics and options", () => {
  it.scopedLive("bug 41: nothing is written to the console", () =>
    Effect.gen(function* () {
      const written: Array<unknown> = []
      const names = ["log", "info", "warn", "error", "debug", "trace", "dir"] as const
      const before = names.map((name) => console[name])
      yield* Effect.acquireRelease(
        Effect.sync(() => names.forEach((name) => (console[name] = (...all: Array<unknown>) => written.push(all)))),
        () => Effect.sync(() => names.forEach((name, i) => (console[name] = before[i]!)))
      )
      const daemon = yield* daemonOf
      daemon.on(/nowhere/, { error: "[SQL0204] NOWHERE in SHOP not found.", sqlState: "42704", sqlRc: -204 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* client(daemon, { sessions: 1 })
          yield* sql.unsafe("select 1 from t where a = ?", ["s3cret"])
          yield* Effect.flip(sql.unsafe("select * from nowhere"))
          const job = yield* sql.job
          yield* job.setTrace({ level: "DATASTREAM" })
          daemon.connections.at(-1)!.send("{nonsense")
          daemon.connections.at(-1)!.send({ id: "nobody", success: false, error: "what?" })
          yield* Effect.flip(job.cl("NOSUCHCMD"))
          daemon.connections.at(-1)!.drop()
          yield* Effect.flip(job.queryAndRun("select 2"))
        })
      )
      yield* Effect.flip(MapepireJob.make({ ...daemon.config, user: "eve" }))
      assert.deepStrictEqual(written, [])
    })
  )

  it("bug 44: every option is written as the driver reads it, lists with commas", () => {
    assert.strictEqual(Protocol.encodeJdbc({ libraries: ["A", "B", "*LIBL"] }), "libraries=A,B,*LIBL")
    const samples = (name: keyof typeof Protocol.jdbcProperties): ReadonlyArray<readonly [unknown, string]> => {
      const kind = Protocol.jdbcProperties[name]
      switch (kind._tag) {
        case "Flag":
          return [
            [true, "true"],
            [false, "false"]
          ]
        case "OneOf":
          return kind.values.map((value) => [value, value] as const)
        case "Whole":
          return [kind.min, kind.max].map((value) => [value, String(value)] as const)
        case "Libraries":
          return [[["A"], "A"] as const, [["A", "B"], "A,B"] as const]
        case "Text":
          return [["SHOP/TABLE", "SHOP/TABLE"]]
      }
    }
    for (const name of Object.keys(Protocol.jdbcProperties) as ReadonlyArray<keyof typeof Protocol.jdbcProperties>) {
      for (const [value, text] of samples(name)) {
        assert.strictEqual(Protocol.encodeJdbc({ [name]: value }), `${name}=${text}`)
        assert.deepStrictEqual([...Protocol.parseJdbc(`${name}=${text}`)], [[name, text]])
      }
    }
  })
})
