/** Answers of the wrong shape: whatever a daemon sends, who asked is told something, and nobody else is harmed. */
import { assert, describe, it } from "@effect/vitest"
import { MapepireJob } from "@sluice/mapepire"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { randomOf, type Request, type ScriptedDaemon, scriptedDaemon } from "./scriptedDaemon.js"

type Job = MapepireJob.MapepireJob
type Fields = Readonly<Record<string, unknown>>

const answering = (daemon: ScriptedDaemon, type: string, body: Fields) =>
  daemon.override((request, connection) => {
    if (request.type !== type) {
      return false
    }
    connection.send({ id: request.id, success: true, ...body })
    return true
  })

const result = (columns: unknown, data: unknown = [[1]]): Fields => ({
  has_results: true,
  update_count: -1,
  metadata: { column_count: 1, columns },
  data,
  is_done: true
})

describe("columns of an odd shape", () => {
  const odd: ReadonlyArray<readonly [what: string, column: unknown, key: string, type: string]> = [
    ["no type", { name: "A" }, "a", "UNKNOWN"],
    ["a type that is null", { name: "A", type: null }, "a", "UNKNOWN"],
    ["a type that is a number", { name: "A", type: 5 }, "a", "UNKNOWN"],
    ["a type that is called like what objects have", { name: "A", type: "constructor" }, "a", "constructor"],
    ["no name", { type: "INTEGER" }, "00001", "INTEGER"],
    ["null", null, "00001", "UNKNOWN"],
    ["a number", 1, "00001", "UNKNOWN"]
  ]
  for (const [what, column, key, type] of odd) {
    it.scopedLive(`${what}: the value is given as it is`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        answering(daemon, "sql", result([column]))
        const job = yield* MapepireJob.make(daemon.config)
        const { columns, rows } = yield* job.queryAndRun("select a from t")
        assert.deepStrictEqual(rows, [{ [key]: 1 }])
        assert.strictEqual(columns[0]!.type, type)
      })
    )
  }

  it.scopedLive("parameters that are null describe nothing", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      answering(daemon, "prepare_sql", { parameter_count: 1, metadata: { parameters: [null] } })
      answering(daemon, "prepare_sql_execute", { has_results: false, update_count: 0, output_parms: [null] })
      const job = yield* MapepireJob.make(daemon.config)
      const { parameters } = yield* job.prepare("insert into t values (?)")
      assert.strictEqual(parameters.length, 1)
      const called = yield* job.call("call p(?)", [1])
      assert.deepStrictEqual(called.parameters, [{ index: 1, name: undefined, type: undefined, value: undefined }])
    })
  )
})

describe("rows", () => {
  it.scopedLive("whose columns nobody told are a failure, and never none", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const { metadata: _, ...rows } = result([], [[1], [2]])
      answering(daemon, "sql", rows)
      answering(daemon, "prepare_sql_execute", rows)
      const job = yield* MapepireJob.make(daemon.config)
      for (const query of [job.queryAndRun("select 1"), job.queryAndRun("select ?", [1])]) {
        const failed = SqlFailure.from(yield* Effect.flip(query))
        assert.deepStrictEqual([failed.reason, failed.outcome], ["Unknown", "executed"])
        assert.include(failed.message, "what their columns are")
      }
    })
  )

  it.scopedLive("of an unknown type may hold any JSON: plain values come out", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const columns = [
        { name: "A", type: "STRANGE" },
        { name: "B", type: "VARCHAR" }
      ]
      const value = { list: [1, "x", { deep: 1.5 }], none: null }
      answering(daemon, "sql", result(columns, [[value, [2]]]))
      answering(daemon, "prepare_sql_execute", {
        has_results: false,
        output_parms: [{ index: 1, type: "STRANGE", name: "X", value }]
      })
      const job = yield* MapepireJob.make(daemon.config)
      assert.deepStrictEqual((yield* job.queryAndRun("select a, b from t")).rows, [{ a: value, b: [2] }])
      assert.deepStrictEqual((yield* job.call("call p(?)", [1])).out, { x: value })
    })
  )
})

describe("answers of any shape", () => {
  /** What can stand anywhere. */
  const junk: ReadonlyArray<unknown> = [
    undefined,
    null,
    true,
    0,
    -1,
    1.5,
    "",
    "x",
    [],
    {},
    [null],
    [{}],
    [[]],
    [1],
    { a: 1 },
    "9".repeat(30),
    { columns: null },
    { columns: {} },
    { columns: [null] },
    { columns: [1] },
    { columns: [{}] },
    { columns: [{ name: null, type: null }] },
    { columns: [{ name: 5, type: 5 }] },
    { columns: [{ name: "A", type: ["x"] }] },
    { columns: [[]] },
    { columns: [{ type: "BLOB" }] },
    { columns: [{ name: "__proto__", type: "__proto__" }] },
    { parameters: null },
    { parameters: [null] },
    { parameters: [{ mode: 5, type: 5, name: 5 }] }
  ]
  const rows = result([{ name: "V", type: "INTEGER" }])
  const changed: Fields = {
    has_results: false,
    update_count: 1,
    data: [],
    output_parms: [{ index: 1, type: "INTEGER", precision: 10, scale: 0, name: "X", value: 5 }],
    is_done: true,
    parameter_count: 1
  }
  const answers: Readonly<Record<string, Fields>> = {
    sql: rows,
    prepare_sql: { parameter_count: 1, metadata: { parameters: [{ type: "INTEGER", mode: "IN", name: null }] } },
    prepare_sql_execute: { ...changed, ...rows },
    execute: changed,
    sqlmore: { data: [[2]], is_done: true },
    cl: rows,
    dove: { ...rows, vemetadata: rows.metadata, vedata: [["x"]] },
    ping: { alive: true, db_alive: true },
    getversion: { version: "2.3.3", build_date: "x" },
    getdbjob: { job: "1/A/B" },
    setconfig: { tracedest: "x", tracelevel: "ON", jtopentracedest: "x", jtopentracelevel: "ON" },
    gettracedata: { tracedata: "x", jtopentracedata: "y" },
    connect: { job: "1/A/B" }
  }
  const both = (...all: ReadonlyArray<Effect.Effect<unknown, SqlError>>): Effect.Effect<unknown, SqlError> =>
    Effect.all(all, { mode: "either" })
  const prepared = (job: Job) => Effect.scoped(Effect.flatMap(job.prepare("call p(?)"), (p) => p.execute([1])))
  const uses: Readonly<Record<string, (job: Job) => Effect.Effect<unknown, SqlError>>> = {
    sql: (job) => job.queryAndRun("select 1"),
    prepare_sql: (job) => both(prepared(job), job.call("call p(?)", [null])),
    prepare_sql_execute: (job) =>
      both(
        job.queryAndRun("select ?", [1]),
        job.call("call p(?)", [MapepireJob.out]),
        job.batch("insert into t values (?)", [[1], [2]])
      ),
    execute: prepared,
    sqlmore: (job) => job.queryAndRun("select 1"),
    cl: (job) => job.cl("X"),
    dove: (job) => job.explain("select 1", { run: true }),
    ping: (job) => job.ping,
    getversion: (job) => job.version,
    getdbjob: (job) => job.job,
    setconfig: (job) => job.setTrace({}),
    gettracedata: (job) => job.trace,
    connect: (job) => job.ping
  }
  const types = Object.keys(answers)

  /** One field of one kind of answer is something else. */
  const mutation = (random: () => number): readonly [type: string, body: Fields] => {
    const pick = <A>(list: ReadonlyArray<A>): A => list[Math.floor(random() * list.length)]!
    const type = pick(types)
    const own = type === "sqlmore" ? { ...answers[type] } : answers[type]!
    const field = pick([...Object.keys(own), "success", "error", "sql_rc", "sql_state"])
    const refused = random() < 0.3 ? { success: false, error: "it broke" } : undefined
    return [type, { ...own, ...refused, [field]: pick(junk) }]
  }

  for (const seed of [1, 2, 3, 4]) {
    it.scopedLive(
      `are answered, or fail with a SqlError (${seed})`,
      () =>
        Effect.gen(function* () {
          const random = randomOf(seed)
          const daemon = yield* scriptedDaemon()
          let now = mutation(random)
          let pages = 0
          daemon.override(({ id, type }: Request, connection) => {
            // A second page is as it should be: a result that never ends would be one of any number of rows.
            const odd = type === now[0] && (type !== "sqlmore" || pages++ === 0)
            const body = odd ? now[1] : answers[type]
            const more = now[0] === "sqlmore" && type === "sql" ? { is_done: false } : undefined
            connection.send({ id, success: true, ...body, ...more })
            return true
          })
          for (let i = 0; i < 75; i++) {
            now = mutation(random)
            pages = 0
            const [type, body] = now
            const exit = yield* MapepireJob.make({ ...daemon.config, cancel: false, closeTimeout: 100 }).pipe(
              Effect.flatMap(uses[type]!),
              Effect.scoped,
              Effect.timeout("20 seconds"),
              Effect.exit
            )
            const about = `${type} ${JSON.stringify(body)}`
            if (Exit.isFailure(exit)) {
              assert.isTrue(Cause.isFailType(exit.cause), `${about}: ${Cause.pretty(exit.cause)}`)
              assert.notInclude(Cause.pretty(exit.cause), "TimeoutException", about)
              assert.instanceOf(SqlFailure.from(Cause.squash(exit.cause)), SqlFailure.SqlFailure)
            }
          }
        }),
      120_000
    )
  }
})
