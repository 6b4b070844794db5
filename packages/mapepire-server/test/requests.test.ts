/** Requests and their answers, frame by frame. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, open, serve } from "./support.js"

describe("the envelope", () => {
  it.scopedLive("echoes ids, numbers as texts, and ends a response with two line feeds", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      client.send({ id: 7, type: "ping" })
      const answer = yield* client.answerTo("7")
      expect(answer).toMatchObject({ id: "7", alive: true, db_alive: true, success: true })
      expect(Number.isInteger(answer.execution_time)).toBe(true)
      expect(client.textOf("7").endsWith("}\n\n")).toBe(true)
      expect(client.frames.every(({ binary }) => !binary)).toBe(true)
    })
  )

  it.scopedLive("answers malformed messages under numbers of its own, all sockets counted together", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* open(server)
      for (const text of ["hello", "[1,2]", '{"id":"a","type":"ping"}{"id":"b","type":"ping"}']) {
        client.send(text)
      }
      expect(yield* client.answerTo("unparseable_1")).toMatchObject({
        unparseable: "hello",
        error: "Non-parseable request: 'hello'",
        success: false
      })
      yield* client.answerTo("unparseable_3")
      client.send({ id: "x" })
      const incomplete = yield* client.answerTo("incomplete_1")
      expect(incomplete.incomplete).toBe('{"id":"x"}')
      expect(incomplete).not.toHaveProperty("sql_state")
      const other = yield* open(server)
      other.send("{")
      yield* other.answerTo("unparseable_4")
      other.send({ type: "ping" })
      yield* other.answerTo("incomplete_2")
    })
  )

  it.scopedLive("tells unknown types, unknown ids and missing fields without an SQLSTATE", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const errors = [
        [{ type: "dance" }, "Unknown request type: dance"],
        [{ type: "constructor" }, "Unknown request type: constructor"],
        [{ type: "sqlmore", cont_id: "nope" }, "Bad request: invalid correlation ID"],
        [{ type: "sqlclose", cont_id: "nope" }, "Bad request: invalid correlation ID"],
        [{ type: "execute", cont_id: "nope", parameters: [] }, "Bad request: invalid correlation ID"],
        [{ type: "execute", parameters: [] }, "Bad request: Correlation ID not specified"],
        [{ type: "sqlmore" }, "Bad request: Correlation ID not specified"],
        [{ type: "sql" }, "Internal Error: NullPointerException: null"],
        [{ type: "cl" }, "Internal Error: NullPointerException: null"]
      ] as const
      for (const [request, error] of errors) {
        const answer = yield* client.ask(request)
        expect(answer).toMatchObject({ error, success: false })
        expect(answer).not.toHaveProperty("sql_state")
      }
    })
  )

  it.scopedLive("ignores binary messages", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      client.ws.send(Buffer.from('{"id":"never","type":"ping"}'), { binary: true })
      yield* client.ask({ type: "ping" })
      expect(client.frames.some(({ text }) => text.includes("never"))).toBe(false)
    })
  )

  it.scopedLive("is binary for daemons that sent it so", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve({ version: "2.3.0" }))
      expect(client.frames.every(({ binary }) => binary)).toBe(true)
    })
  )
})

describe("without a connection", () => {
  it.scopedLive("everything that needs the database fails, the rest does not", () =>
    Effect.gen(function* () {
      const client = yield* open(yield* serve())
      const notConnected = { error: "Not connected", success: false, sql_state: null, sql_rc: 0 }
      expect(yield* client.ask({ type: "ping" })).toMatchObject({ ...notConnected, alive: true })
      expect(yield* client.sql("values 1")).toMatchObject(notConnected)
      expect(yield* client.run("values 1", [])).toMatchObject(notConnected)
      expect(yield* client.ask({ type: "prepare_sql", sql: "values 1" })).toMatchObject(notConnected)
      expect(yield* client.ask({ type: "cl", cmd: "DSPJOB" })).toMatchObject(notConnected)
      expect(yield* client.ask({ type: "dove", sql: "values 1" })).toMatchObject(notConnected)
      expect(yield* client.ask({ type: "getdbjob" })).toMatchObject({ job: "??????/??????/??????", success: true })
      expect(yield* client.ask({ type: "getversion" })).toMatchObject({ version: "2.3.6", success: true })
    })
  )

  it.scopedLive("exit leaves the socket, and connect works again (sections 1.8, 1.9)", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      expect(yield* client.ask({ type: "exit" })).toMatchObject({ success: true })
      expect((yield* client.sql("values 1")).error).toBe("Not connected")
      expect((yield* client.connect()).success).toBe(true)
      expect((yield* client.sql("values 1")).data).toEqual([[1]])
    })
  )
})

describe("tracing", () => {
  it.scopedLive("is asked for in vain", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      expect(yield* client.ask({ type: "setconfig", tracelevel: "DATASTREAM", tracedest: "in_mem" })).toMatchObject({
        tracedest: "unknown",
        tracelevel: "INPUT_AND_ERRORS",
        jtopentracedest: "unknown",
        jtopentracelevel: "OFF",
        success: true
      })
      expect((yield* client.ask({ type: "setconfig", tracelevel: "LOUD" })).success).toBe(false)
      expect(yield* client.ask({ type: "gettracedata" })).toMatchObject({
        tracedata: "<prohibited>",
        jtopentracedata: "<prohibited>"
      })
    })
  )
})

describe("sql", () => {
  it.scopedLive("answers a change with a count and nothing else", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const {
        execution_time: _,
        id: __,
        ...answer
      } = yield* client.sql("update employee set bonus = 1 where workdept = 'C31'")
      expect(answer).toEqual({ has_results: false, update_count: 2, success: true })
      expect((yield* client.sql("create table x (a int)")).update_count).toBe(0)
    })
  )

  it.scopedLive("takes one statement, with a semicolon at its end or without", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      expect((yield* client.sql("values 1;")).success).toBe(true)
      expect(yield* client.sql("values 1; values 2")).toMatchObject({ sql_rc: -104, sql_state: "42601" })
    })
  )

  it.scopedLive("refuses a statement with markers", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      expect(yield* client.sql("select * from employee where empno = ?")).toMatchObject({
        sql_state: "07001",
        sql_rc: -99999
      })
    })
  )

  it.scopedLive("describes columns as JDBC does, less of it on older daemons (section 3.2)", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const { metadata } = yield* client.sql("select deptno, salary, count(*) from employee, department group by 1, 2")
      expect(metadata.job).toBe(client.job)
      expect(metadata.columns).toEqual([
        {
          ...{ name: "DEPTNO", type: "CHAR", display_size: 3, label: "DEPTNO", precision: 3, scale: 0 },
          ...{ autoIncrement: false, nullable: 1, readOnly: true, writeable: false }
        },
        {
          ...{ name: "SALARY", type: "DECIMAL", display_size: 11, label: "SALARY", precision: 9, scale: 2 },
          ...{ autoIncrement: false, nullable: 1, readOnly: true, writeable: false }
        },
        {
          ...{ name: "00003", type: "INTEGER", display_size: 11, label: "00003", precision: 10, scale: 0 },
          ...{ autoIncrement: false, nullable: 2, readOnly: true, writeable: false }
        }
      ])
      const old = yield* connected(yield* serve({ version: "2.3.2" }))
      const answer = yield* old.sql("select deptno from department")
      expect(Object.keys(answer.metadata.columns[0])).toEqual([
        ...["name", "type", "display_size", "label", "precision", "scale"]
      ])
    })
  )
})

describe("cl", () => {
  it.scopedLive("answers with the job log, also when it fails", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const sent = yield* client.ask({ type: "cl", cmd: "SNDPGMMSG MSG('hello there')" })
      expect(sent).toMatchObject({ success: true, is_done: true })
      expect(sent).not.toHaveProperty("has_results")
      expect(sent.metadata.column_count).toBe(25)
      expect(sent.data[0]).toMatchObject({ MESSAGE_TEXT: "hello there", QUALIFIED_JOB_NAME: client.job })
      const unknown = yield* client.ask({ type: "cl", cmd: "NOSUCHCMD", terse: true })
      expect(unknown).toMatchObject({ success: false, sql_rc: -443, sql_state: "38501" })
      expect(unknown.data[0][3]).toBe("CPD0030")
    })
  )

  it.scopedLive("finds the libraries that something was created in, the system's and the connection's; no others", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "libraries=SHOP,*LIBL,OTHER")
      const cl = (cmd: string) =>
        Effect.map(client.ask({ type: "cl", cmd }), ({ data, success }) => [cmd, success, data[0].MESSAGE_ID])
      for (const cmd of ["ADDLIBLE LIB(NOPE)", "addlible nope *last", "CHGLIBL LIBL(QGPL NOPE)", "CHGCURLIB NOPE"]) {
        expect(yield* cl(cmd)).toEqual([cmd, false, "CPF2110"])
      }
      const failed = yield* client.ask({ type: "cl", cmd: "ADDLIBLE LIB(NOPE)" })
      expect(failed).toMatchObject({
        ...{ success: false, error: "[CPF0006] Errors occurred in command.", sql_state: "38501", sql_rc: -443 },
        data: [{ SUMMARY: "CPF2110 [ESCA]: Library NOPE not found.", SEVERITY: 40, MESSAGE_TYPE: "ESCAPE" }]
      })
      expect((yield* client.sql("call qsys2.qcmdexc('ADDLIBLE LIB(NOPE)')")).sql_rc).toBe(-443)
      for (const [cmd, id] of [
        ["ADDLIBLE", "CPD0071"],
        ["CHGCURLIB", "CPD0071"],
        ["ADDLIBLE LIB(TOOLONGLIBRARYNAME)", "CPD0074"]
      ] as const) {
        expect(yield* cl(cmd)).toEqual([cmd, false, id])
      }
      for (const library of ["SAMPLE", "SHOP", "other", "QGPL", "QTEMP"]) {
        expect((yield* cl(`ADDLIBLE LIB(${library}) POSITION(*LAST)`))[1]).toBe(true)
      }
      yield* client.sql("create schema nope")
      yield* client.sql("create table nope2.t (a int)")
      for (const cmd of ["ADDLIBLE NOPE", "CHGLIBL LIBL(NOPE NOPE2) CURLIB(*CRTDFT)", "CHGCURLIB CURLIB(NOPE2)"]) {
        expect((yield* cl(cmd))[1]).toBe(true)
      }
    })
  )
})

describe("dove", () => {
  it.scopedLive("tells a plan, with the rows if they are wanted, and cannot be paged", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const plan = yield* client.ask({ type: "dove", sql: "select * from department", run: false })
      expect(plan.vedata[0].ICON_LABEL).toMatch(/SCAN/)
      expect(plan).not.toHaveProperty("data")
      const ran = yield* client.ask({ type: "dove", sql: "select * from department", run: true, rows: 2 })
      expect(ran.data).toHaveLength(2)
      expect((yield* client.ask({ type: "sqlmore", cont_id: ran.id })).error).toBe(
        "Bad request: invalid correlation ID"
      )
      expect((yield* client.ask({ type: "dove", sql: "select * from nope" })).sql_rc).toBe(-204)
    })
  )
})
