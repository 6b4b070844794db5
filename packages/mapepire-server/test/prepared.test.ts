/** Prepared statements, batches, procedures. */
import { describe, expect, it } from "@effect/vitest"
import { join } from "node:path"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqlTransport } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Cause, Effect, Layer, Logger } from "effect"
import { connected, serve, temporary } from "./support.js"

const table = "create table bt (id int not null primary key, name varchar(10))"

describe("prepare_sql", () => {
  it.scopedLive("tells parameters with the types of their columns, and columns in brief", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const answer = yield* client.ask({
        type: "prepare_sql",
        sql: "select empno, salary from sample.employee where hiredate > ? and salary > ?"
      })
      const { execution_time: _, id: __, ...rest } = answer
      expect(rest).toEqual({
        parameter_count: 2,
        metadata: {
          column_count: 2,
          job: client.job,
          columns: [
            { name: "EMPNO", type: "CHAR", display_size: 6, label: "EMPNO" },
            { name: "SALARY", type: "DECIMAL", display_size: 11, label: "SALARY" }
          ],
          parameters: [
            { type: "DATE", mode: "IN", precision: 10, scale: 0, name: null },
            { type: "DECIMAL", mode: "IN", precision: 9, scale: 2, name: null }
          ]
        },
        success: true
      })
      const insert = yield* client.ask({ type: "prepare_sql", sql: "insert into department values (?, ?, ?, ?, ?)" })
      expect(insert.metadata).not.toHaveProperty("columns")
      expect(insert.metadata.parameters.map(({ type }: { type: string }) => type)).toEqual([
        ...["CHAR", "VARCHAR", "CHAR", "CHAR", "VARCHAR"]
      ])
    })
  )
})

describe("prepare_sql_execute", () => {
  it.scopedLive("is a handle and a cursor at once (section 2.7)", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const answer = yield* client.run("select empno from employee where workdept = ? order by 1", ["D40"], { rows: 2 })
      expect(answer).toMatchObject({
        ...{ parameter_count: 1, has_results: true, update_count: -1, output_parms: [], is_done: false },
        data: [["000400"], ["000410"]]
      })
      expect(answer.metadata).not.toHaveProperty("parameters")
      const more = yield* client.ask({ type: "sqlmore", cont_id: answer.id })
      expect(more).toMatchObject({ data: [["000420"], ["000430"]], is_done: true })
      const again = yield* client.ask({ type: "execute", cont_id: answer.id, parameters: ["B20"], terse: true })
      expect(again.data).toEqual([["000200"], ["000210"]])
    })
  )

  it.scopedLive("tells what was prepared along with a failure", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const sql = "select empno from employee where edlevel = ?"
      for (const [parameters, failure] of [
        [undefined, { error: "Internal Error: NullPointerException: null" }],
        [99, { error: "Not a JSON Array: 99" }],
        [null, { error: "Not a JSON Array: null" }],
        [[], { sql_state: "07001", sql_rc: -99999 }],
        [[1, 2], { sql_state: "07009", sql_rc: -99999 }],
        [["abc"], { sql_state: "07006", sql_rc: -99999 }],
        [[{ a: 1 }], { error: "JsonObject" }]
      ] as const) {
        const answer = yield* client.ask({ type: "prepare_sql_execute", sql, parameters })
        expect(answer).toMatchObject({ success: false, parameter_count: 1, ...failure })
        expect(answer.metadata.parameters).toHaveLength(1)
      }
      const wrong = yield* client.run("selec ?", [1])
      expect(wrong.sql_rc).toBe(-104)
      expect(wrong).not.toHaveProperty("parameter_count")
    })
  )
})

describe("execute", () => {
  it.scopedLive("cannot be paged: not by its own id, and by the handle's only what was before", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const sql = "select empno from employee where workdept = ? order by 1"
      const handle = yield* client.ask({ type: "prepare_sql", sql })
      const page = yield* client.ask({ type: "execute", cont_id: handle.id, parameters: ["D40"], rows: 1, terse: true })
      expect([page.data, page.is_done]).toEqual([[["000400"]], false])
      expect(page).not.toHaveProperty("parameter_count")
      expect((yield* client.ask({ type: "sqlmore", cont_id: page.id })).error).toBe(
        "Bad request: invalid correlation ID"
      )
      expect((yield* client.ask({ type: "sqlmore", cont_id: handle.id })).error).toBe("Result set was null")
      const both = yield* client.run(sql, ["D40"], { rows: 1 })
      yield* client.ask({ type: "execute", cont_id: both.id, parameters: ["D40"], rows: 1 })
      const more = yield* client.ask({ type: "sqlmore", cont_id: both.id })
      expect(more).toMatchObject({ data: [], is_done: true, success: true })
    })
  )

  it.scopedLive("ends with its handle", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const handle = yield* client.ask({ type: "prepare_sql", sql: "values cast(? as int)" })
      yield* client.ask({ type: "sqlclose", cont_id: handle.id })
      const answer = yield* client.ask({ type: "execute", cont_id: handle.id, parameters: [1] })
      expect(answer.error).toBe("Bad request: invalid correlation ID")
    })
  )
})

describe("what is known of tables", () => {
  const insert = "insert into other values (?)"
  const read = "select v from other"

  it.scopedLive("is forgotten when another connection changes them: statements, and handles", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const one = yield* connected(server)
      const two = yield* connected(server)
      yield* one.sql("create table other (v varchar(10))")
      yield* two.run(insert, ["0102"])
      expect((yield* two.run(read, [])).data).toEqual([["0102"]])
      const handle = (yield* two.ask({ type: "prepare_sql", sql: insert })).id
      yield* one.sql("drop table other")
      expect((yield* two.run(insert, ["0102"])).sql_rc).toBe(-204)
      yield* one.sql("create table other (v varbinary(10))")
      yield* two.run(insert, ["0102"])
      yield* two.ask({ type: "execute", cont_id: handle, parameters: ["0304"] })
      const answer = yield* one.sql("select v, length(v) from other")
      expect(answer.data).toEqual([
        ["0102", 2],
        ["0304", 2]
      ])
      expect((yield* two.run(read, [])).metadata.columns[0].type).toBe("VARBINARY")
      expect((yield* two.run(insert, ["xyz"])).sql_state).toBe("07006")
    })
  )

  it.scopedLive("is looked at again when the unit of work ends that has changed them", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const one = yield* connected(server, "auto commit=false;transaction isolation=read committed")
      const two = yield* connected(server)
      yield* two.sql("create table other (v varchar(10))")
      for (const [end, type] of [
        ["rollback", "VARCHAR"],
        ["commit", "VARBINARY"]
      ] as const) {
        yield* one.sql("drop table other")
        yield* one.sql("create table other (v varbinary(10))")
        expect((yield* one.run(read, [])).metadata.columns[0].type).toBe("VARBINARY")
        yield* two.ask({ type: "prepare_sql", sql: insert })
        yield* one.sql(end)
        for (const client of [one, two]) {
          const { metadata } = yield* client.ask({ type: "prepare_sql", sql: insert })
          expect([end, metadata.parameters[0].type]).toEqual([end, type])
        }
      }
    })
  )
})

describe("a batch", () => {
  it.scopedLive("counts rows and changes", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      const insert = yield* client.run("insert into bt values (?, ?)", [
        [1, "a"],
        [2, "b"],
        [3, null]
      ])
      expect(insert).toMatchObject({
        ...{ parameter_count: 2, batch_added: 3, data: [], has_results: false, update_count: 3 },
        ...{ output_parms: [], is_done: true, success: true }
      })
      const again = yield* client.ask({ type: "execute", cont_id: insert.id, parameters: [[4, "d"]] })
      expect(again).toMatchObject({ batch_added: 1, update_count: 1 })
      expect(again).not.toHaveProperty("parameter_count")
      expect((yield* client.run("delete from bt where id = ?", [[1], [2], [99]])).update_count).toBe(2)
      expect((yield* client.run("insert into bt values (?, ?)", [[20, "x"], [21]])).batch_added).toBe(2)
      expect((yield* client.sql("select name from bt where id = 21")).data).toEqual([["x"]])
    })
  )

  it.scopedLive("leaves the rows before one that fails, unless they are in a unit of work", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      yield* client.sql(table)
      const rows = [
        [1, "a"],
        [1, "again"],
        [2, "b"]
      ]
      const failed = yield* client.run("insert into bt values (?, ?)", rows)
      expect(failed).toMatchObject({ sql_rc: -803, sql_state: "23505", success: false })
      expect((yield* client.sql("select id from bt")).data).toEqual([[1]])
      yield* client.sql("delete from bt")
      const manual = yield* connected(server, "auto commit=false")
      yield* manual.run("insert into bt values (?, ?)", rows)
      expect((yield* manual.sql("select id from bt")).data).toEqual([])
    })
  )

  it.scopedLive("never answers with rows", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const answer = yield* client.run("select * from final table (insert into department values (?, ?, ?, ?, ?))", [
        ["X1", "x", null, "X1", null],
        ["X2", "x", null, "X2", null]
      ])
      expect(answer).toMatchObject({ success: false, sql_state: "HY010" })
    })
  )
})

describe("CALL", () => {
  const procedures: Record<string, MapepireServer.Procedure> = {
    "SHOP.PRICE": {
      parameters: [
        { name: "SKU", type: "VARCHAR(20)", mode: "IN" },
        { name: "QTY", type: "INTEGER", mode: "INOUT" },
        { name: "TOTAL", type: "DECIMAL(9,2)", mode: "OUT" }
      ],
      run: ([sku, quantity]) =>
        sku === "none"
          ? Effect.fail({ message: "[SQL0438] no such thing", state: "75001", code: -438 })
          : Effect.succeed({ outputs: [null, (quantity as number) + 1, "19.98"] })
    },
    "SHOP.STAFF": {
      parameters: [{ name: "N", type: "INTEGER", mode: "IN" }],
      run: () => Effect.succeed({ query: "select empno from sample.employee order by 1" })
    }
  }

  it.scopedLive("answers with all parameters, and the values of those that come out", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve({ procedures }))
      const answer = yield* client.run("call shop.price(?, ?, ?)", ["SKU-1", 2, 0])
      expect(answer).toMatchObject({ parameter_count: 3, data: [], has_results: false, update_count: 0, is_done: true })
      expect(answer.metadata.parameters.map(({ mode, name }: any) => [mode, name])).toEqual([
        ["IN", "SKU"],
        ["INOUT", "QTY"],
        ["OUT", "TOTAL"]
      ])
      expect(answer.output_parms).toEqual([
        { index: 1, type: "VARCHAR", precision: 20, scale: 0, name: "SKU", ccsid: 37 },
        { index: 2, type: "INTEGER", precision: 10, scale: 0, name: "QTY", ccsid: 0, value: 3 },
        { index: 3, type: "DECIMAL", precision: 9, scale: 2, name: "TOTAL", ccsid: 0, value: 19.98 }
      ])
      expect(yield* client.run("call price(?, ?, ?)", ["none", 2, 0])).toMatchObject({
        sql_state: "75001",
        sql_rc: -438
      })
      expect((yield* client.run("call price(?, ?, ?)", ["SKU-1", 2])).sql_state).toBe("07001")
    })
  )

  it.scopedLive(
    "fails with NULL for what comes out: before it runs, or, where it also goes in, after (section 3.6)",
    () =>
      Effect.gen(function* () {
        const ran: Array<unknown> = []
        const client = yield* connected(
          yield* serve({
            procedures: {
              P: {
                parameters: [
                  { name: "A", type: "INTEGER", mode: "INOUT" },
                  { name: "B", type: "INTEGER", mode: "OUT" },
                  { name: "C", type: "INTEGER", mode: "IN" }
                ],
                run: (values) => Effect.sync(() => ({ outputs: [ran.push(values[0])] }))
              }
            }
          })
        )
        expect((yield* client.run("call p(?, ?, ?)", [1, null, 3])).sql_state).toBe("HY105")
        expect(ran).toEqual([])
        expect((yield* client.run("call p(?, ?, ?)", [null, "", 3])).sql_state).toBe("HY105")
        expect(ran).toEqual([null])
        expect((yield* client.run("call p(?, ?, ?)", [7, "", null])).success).toBe(true)
      })
  )

  it.scopedLive("gives a procedure what its parameters' types say, with all digits", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [type: string, sent: unknown, given: unknown]> = [
        ["SMALLINT", 7, 7],
        ["INTEGER", "-2147483648", -2147483648],
        ["BIGINT", "9223372036854775807", 9223372036854775807n],
        ["BIGINT", 1, 1n],
        ["DECIMAL(9,2)", -19.5, "-19.50"],
        ["DECIMAL(15,2)", "1234567890123.45", "1234567890123.45"],
        ["NUMERIC(5)", 12, "12"],
        ["DECIMAL(31,5)", "12345678901234567890.12345", "12345678901234567890.12345"],
        ["DECFLOAT", "1E400", "1E400"],
        ["REAL", 0.5, 0.5],
        ["DOUBLE", "1e-3", 0.001],
        ["BOOLEAN", true, true],
        ["BOOLEAN", "N", false],
        ["CHAR(3)", "A10", "A10"],
        ["VARCHAR(9)", 7, "7"],
        ["VARBINARY(4)", "00FF", new Uint8Array([0, 255])],
        ["DATE", "2024-06-15", "2024-06-15"],
        ["TIME", "13:45:30", "13:45:30"],
        ["TIMESTAMP", "2024-06-15T13:45:30.123456", "2024-06-15 13:45:30.123456"],
        ["INTEGER", null, null]
      ]
      const ran: Array<unknown> = []
      const client = yield* connected(
        yield* serve({
          procedures: {
            P: {
              parameters: cases.map(([type], i) => ({ name: `P${i}`, type, mode: "IN" })),
              run: (values) => Effect.sync(() => (ran.push(...values), {}))
            }
          }
        })
      )
      const call = `call p(${cases.map(() => "?").join(", ")})`
      const sent = cases.map(([, value]) => value)
      expect((yield* client.run(call, sent)).error).toBeUndefined()
      expect(ran).toEqual(cases.map(([, , given]) => given))
      yield* client.sql("call p(1, -2, 9007199254740993, 4, -19.5)")
      expect(ran.splice(cases.length).slice(0, 6)).toEqual([1, -2, 9007199254740993n, 4n, "-19.50", null])
      for (const [at, value] of [
        [0, 32768],
        [1, "-2147483649"],
        [2, "9223372036854775808"]
      ] as const) {
        expect(yield* client.run(call, sent.with(at, value))).toMatchObject({ sql_state: "07006", sql_rc: -99999 })
      }
      expect(ran).toHaveLength(cases.length)
    })
  )

  it.scopedLive("tells that a procedure has met a defect, and logs which", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ cause, logLevel, message }) => {
        logged.push(`${logLevel.label} ${String(message)} ${Cause.pretty(cause)}`)
      })
      const defect = new TypeError("a secret of the server")
      const throws = (): never => {
        throw defect
      }
      const server = yield* Effect.provide(
        serve({
          procedures: {
            "SHOP.DIES": { parameters: [], run: () => Effect.die(defect) },
            "SHOP.THROWS": { parameters: [], run: throws }
          }
        }),
        Logger.replace(Logger.defaultLogger, logger)
      )
      const client = yield* connected(server)
      for (const name of ["SHOP.DIES", "SHOP.THROWS"]) {
        expect(yield* client.sql(`call ${name}()`)).toMatchObject({
          error: `[SQL0443] Procedure ${name} has failed, and the server's log tells why.`,
          sql_state: "38501",
          sql_rc: -443
        })
        expect(logged.pop()).toMatch(new RegExp(`^ERROR The procedure ${name} has met a defect TypeError: a secret`))
      }
      expect(client.frames.some(({ text }) => text.includes("secret"))).toBe(false)
      expect((yield* client.sql("values 1")).data).toEqual([[1]])
    })
  )

  it.scopedLive("may have one result set, which can be paged", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve({ procedures }))
      const answer = yield* client.run("call shop.staff(?)", [1], { rows: 2 })
      expect([answer.data, answer.is_done, answer.update_count]).toEqual([[["000100"], ["000200"]], false, -1])
      expect((yield* client.ask({ type: "sqlmore", cont_id: answer.id, rows: 1 })).data).toEqual([["000210"]])
      expect((yield* client.sql("call shop.staff(1)", { rows: 1 })).data).toEqual([["000100"]])
    })
  )

  it.scopedLive("of what is not there fails", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const call of ["nope(1)", "nope", "shop.nope(1, ?)", "nope(a => 1)", "nope(1 + 1)", "nope(current date)"]) {
        const answer = yield* client.run(`call ${call}`, call.includes("?") ? [1] : [])
        expect([call, answer.sql_rc, answer.sql_state, answer.error]).toEqual([
          call,
          -440,
          "42884",
          expect.stringContaining("NOPE in *N not found with specified parameters")
        ])
      }
      expect((yield* client.run("call qsys2.qcmdexc(?)", ["DSPJOB"])).success).toBe(true)
      expect(yield* client.run("call qsys2.qcmdexc(?)", ["NOPE"])).toMatchObject({ sql_rc: -443, sql_state: "38501" })
    })
  )

  it.scopedLive("with names gives each parameter its argument, in any order", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve({ procedures }))
      for (const [call, given] of [
        ["call shop.price(total => ?, qty => ?, sku => 'X')", [0, 2]],
        ["call shop.price('X', total => ?, qty => ?)", [0, 2]]
      ] as const) {
        const answer = yield* client.run(call, given)
        expect([answer.error, answer.output_parms?.map(({ name, value }: any) => [name, value])]).toEqual([
          undefined,
          [
            ["TOTAL", 19.98],
            ["QTY", 3]
          ]
        ])
      }
      for (const [call, code] of [
        ["call shop.price('X', 1, nope => 2)", -440],
        ["call shop.price('X', sku => 'Y', qty => 1)", -440],
        ["call shop.price('X', 1 + 1, 0)", -84],
        ["call shop.price('X', 1, 0, 4)", -440]
      ] as const) {
        expect([call, (yield* client.sql(call)).sql_rc]).toEqual([call, code])
      }
    })
  )
})

describe("sqlclose", () => {
  for (const type of ["prepare_sql", "prepare_sql_execute"]) {
    it.scopedLive(`of what ${type} has made closes what execute has opened, too`, () =>
      Effect.gen(function* () {
        let open = 0
        const counting = (session: SqlTransport.Session): SqlTransport.Session =>
          Object.assign(Object.create(session) as SqlTransport.Session, {
            open: (request: SqlTransport.SqlRequest) =>
              Effect.zipRight(
                Effect.acquireRelease(
                  Effect.sync(() => open++),
                  () => Effect.sync(() => open--)
                ),
                session.open(request)
              )
          })
        const transport = Layer.effect(
          SqlTransport.SqlTransport,
          Effect.map(SqlTransport.SqlTransport, (transport) => ({
            ...transport,
            connect: (profile: SqlTransport.Profile) => Effect.map(transport.connect(profile), counting)
          }))
        ).pipe(Layer.provide(SqliteTransport.layer({ filename: join(yield* temporary, "test.db") })))
        const client = yield* connected(yield* serve({ seed: MapepireServer.sample }, transport))
        const sql = "select empno from employee"
        const { id } = yield* client.ask({ type, sql, parameters: [], rows: 1 })
        const answer = yield* client.ask({ type: "execute", cont_id: id, parameters: [], rows: 1 })
        expect([answer.is_done, open]).toEqual([false, 1])
        expect((yield* client.ask({ type: "sqlclose", cont_id: id })).success).toBe(true)
        expect(open).toBe(0)
      })
    )
  }
})
