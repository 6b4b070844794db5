/** What runs beside what, and what can stop it. */
import { describe, expect, it } from "@effect/vitest"
import type { MapepireServer } from "@sluice/mapepire-server"
import { Effect } from "effect"
import { connected, type RawClient, serve, spin, spinFor } from "./support.js"

const order = (client: RawClient, ids: ReadonlyArray<string>) =>
  Effect.as(
    Effect.forEach(ids, (id) => client.answerTo(id)),
    client.frames.map(({ text }) => String((JSON.parse(text) as { id: string }).id)).filter((id) => ids.includes(id))
  ).pipe(
    Effect.map(() =>
      client.frames.map(({ text }) => String((JSON.parse(text) as { id: string }).id)).filter((id) => ids.includes(id))
    )
  )

describe("requests of one socket", () => {
  it.scopedLive("are answered while a statement runs, if they need no database", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      client.send({ id: "slow", type: "sql", sql: spinFor(3_000_000) })
      client.send({ id: "ping", type: "ping" })
      client.send({ id: "quick", type: "sql", sql: "values 1" })
      client.send({ id: "job", type: "getdbjob" })
      client.send({ id: "version", type: "getversion" })
      const ids = yield* order(client, ["slow", "ping", "quick", "job", "version"])
      expect(ids.slice(0, 3).sort()).toEqual(["job", "ping", "version"])
      expect(ids.slice(3)).toEqual(["slow", "quick"])
    })
  )

  it.scopedLive("wait for a CL command, whatever they are", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      client.send({ id: "cl", type: "cl", cmd: "DLYJOB DLY(1)" })
      client.send({ id: "ping", type: "ping" })
      client.send({ id: "version", type: "getversion" })
      expect((yield* order(client, ["cl", "ping", "version"]))[0]).toBe("cl")
    })
  )

  it.scopedLive("have no promised order: a server may mix those that wait", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve({ faults: { order: "random" } }))
      const ids = Array.from({ length: 40 }, (_, i) => `q${i}`)
      client.send({ id: "slow", type: "sql", sql: spinFor(500_000) })
      ids.forEach((id) => client.send({ id, type: "sql", sql: `values ${id.slice(1)}`, terse: true }))
      const answered = yield* order(client, ids)
      expect([...answered].sort()).toEqual([...ids].sort())
      expect(answered).not.toEqual(ids)
      for (const id of ids) {
        expect((yield* client.answerTo(id)).data).toEqual([[Number(id.slice(1))]])
      }
    })
  )

  it.scopedLive("sqlclose of a request that still runs succeeds, and its result can never be closed", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      client.send({ id: "slow", type: "sql", sql: spinFor(2_000_000), rows: 1 })
      expect((yield* client.ask({ type: "sqlclose", cont_id: "slow" })).success).toBe(true)
      expect((yield* client.answerTo("slow")).success).toBe(true)
      expect((yield* client.ask({ type: "sqlclose", cont_id: "slow" })).error).toBe(
        "Bad request: invalid correlation ID"
      )
    })
  )
})

const employees = (times: number): string =>
  `select e0.empno from ${Array.from({ length: times }, (_, i) => `employee e${i}`).join(", ")}`

describe("a result that is closed while it is read to its end for another statement", () => {
  it.scopedLive.each<readonly [string, string, string]>([
    ["a change of tables", "create table made (id integer)", "select count(*) from made"],
    ["a change after another connection's commit", "insert into log values (2)", "select count(*) - 2 from log"]
  ])("lets that one go on: %s", ([, change, check]) =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      const other = yield* connected(server)
      yield* client.sql("create table log (id integer)")
      for (let round = 0; round < 5; round++) {
        client.send({ id: `open${round}`, type: "sql", sql: employees(5), rows: 2, terse: true })
        expect((yield* client.answerTo(`open${round}`)).is_done).toBe(false)
      }
      yield* other.sql("insert into log values (1)")
      client.send({ id: "change", type: "sql", sql: change })
      for (let round = 0; round < 5; round++) {
        yield* Effect.sleep(5)
        expect((yield* client.ask({ type: "sqlclose", cont_id: `open${round}` })).success).toBe(true)
      }
      expect((yield* client.answerTo("change")).success).toBe(true)
      expect((yield* client.sql(check)).data).toEqual([[0]])
    })
  )
})

/** Costs nothing with 0; with 1 it takes its time, or is stopped. */
const slowIfOne = `select count(*) from ${Array.from({ length: 8 }, (_, i) => `employee e${i}`).join(", ")} where cast(? as integer) = 1`

describe("short queries of one connection, which run beside each other", () => {
  it.scopedLive("get the answers that are theirs, failures too, whatever changes between them", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql("create table log (id integer)")
      const text = "select cast(? as integer) as given, count(*) from log"
      yield* client.run(text, [0])
      const request = { type: "prepare_sql_execute", sql: text, terse: true }
      for (let i = 0; i < 300; i++) {
        if (i % 10 === 0) {
          client.send({ id: `change${i}`, type: "sql", sql: "insert into log values (1)" })
        }
        client.send({ id: `q${i}`, ...request, parameters: i % 7 === 0 ? [] : [i] })
      }
      for (let i = 0; i < 300; i++) {
        const answer = yield* client.answerTo(`q${i}`)
        expect([i, answer.data]).toEqual([i, i % 7 === 0 ? undefined : [[i, Math.floor(i / 10) + 1]]])
        expect(answer.success).toBe(i % 7 !== 0)
      }
    })
  )

  it.scopedLive("see what others have committed, though one before them has left its result open", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      const other = yield* connected(server)
      yield* client.sql("create table log (id integer)")
      const count = "select count(*) from log"
      // Its first row comes late, and its result stays open.
      const large = `with c(n) as (values 1 union all select n + 1 from c where n < 3000000)
        select n, (select count(*) from log) from c where cast(? as integer) = 1 and n > 2000000`
      expect((yield* client.run(large, [0])).is_done).toBe(true)
      expect((yield* client.sql(count)).data).toEqual([[0]])
      client.send({ id: "large", type: "prepare_sql_execute", sql: large, parameters: [1], rows: 2, terse: true })
      yield* Effect.sleep("50 millis")
      yield* other.sql("insert into log values (1)")
      expect(client.hasAnswered("large")).toBeUndefined()
      expect((yield* client.sql(count)).data).toEqual([[1]])
      expect(yield* client.answerTo("large")).toMatchObject({ success: true, is_done: false })
    })
  )

  it.scopedLive("begin a unit of work once, whichever of them is its first", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server, "auto commit=false;transaction isolation=read committed")
      const other = yield* connected(server)
      yield* other.sql("create table log (id integer)")
      const text = "select cast(? as integer) as given, count(*) from log"
      const request = { type: "prepare_sql_execute", sql: text, terse: true }
      yield* client.run(text, [0])
      for (let work = 0; work < 20; work++) {
        expect((yield* client.sql("commit")).success).toBe(true)
        yield* other.sql("insert into log values (1)")
        for (let i = 0; i < 10; i++) {
          client.send({ id: `w${work}q${i}`, ...request, parameters: [i] })
        }
        for (let i = 0; i < 10; i++) {
          expect((yield* client.answerTo(`w${work}q${i}`)).data).toEqual([[i, work + 1]])
        }
      }
    })
  )

  it.scopedLive("see what others have committed while a result is open, which loses nothing by it", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      const other = yield* connected(server)
      yield* client.sql("create table log (id integer)")
      const text = "select cast(? as integer) as given, count(*) from log"
      const request = { type: "prepare_sql_execute", sql: text, terse: true }
      yield* client.run(text, [0])
      for (let round = 0; round < 20; round++) {
        const opened = `o${round}`
        const numbers =
          "with c(n) as (values 1 union all select n + 1 from c where n < 900) select n, (select count(*) from log) from c"
        client.send({ id: opened, type: "sql", sql: numbers, rows: 2, terse: true })
        const seen = [...(yield* client.answerTo(opened)).data]
        yield* other.sql("insert into log values (1)")
        for (let i = 0; i < 10; i++) {
          client.send({ id: `r${round}q${i}`, ...request, parameters: [i] })
        }
        for (let i = 0; i < 10; i++) {
          expect((yield* client.answerTo(`r${round}q${i}`)).data).toEqual([[i, round + 1]])
        }
        for (let done = false; !done;) {
          const page = yield* client.ask({ type: "sqlmore", cont_id: opened, rows: 500 })
          seen.push(...page.data)
          done = page.is_done
        }
        expect(seen).toEqual(Array.from({ length: 900 }, (_, i) => [i + 1, round]))
      }
    })
  )

  it.scopedLive("CANCEL_SQL stops the one that the database is busy with, and no other", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      const other = yield* connected(server)
      const request = { type: "prepare_sql_execute", sql: slowIfOne, terse: true }
      expect((yield* client.run(slowIfOne, [0])).data).toEqual([[0]])
      client.send({ id: "slow", ...request, parameters: [1] })
      client.send({ id: "a", ...request, parameters: [0] })
      client.send({ id: "b", ...request, parameters: [0] })
      yield* Effect.sleep("50 millis")
      expect((yield* other.run("call qsys2.cancel_sql(?)", [client.job])).success).toBe(true)
      expect(yield* client.answerTo("slow")).toMatchObject({ success: false, sql_state: "57014" })
      expect((yield* client.answerTo("a")).data).toEqual([[0]])
      expect((yield* client.answerTo("b")).data).toEqual([[0]])
    })
  )

  it.scopedLive("end with their socket, all of them", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onDisconnect: "stop" })
      const client = yield* connected(server)
      yield* client.run(slowIfOne, [0])
      for (let i = 0; i < 5; i++) {
        client.send({ id: `slow${i}`, type: "prepare_sql_execute", sql: slowIfOne, parameters: [1] })
      }
      yield* Effect.sleep("50 millis")
      client.ws.terminate()
      yield* gone(server)
    })
  )
})

describe("what a request waits for", () => {
  it.scopedLive("may be stopped by others: the request is answered", () =>
    Effect.gen(function* () {
      const procedures = { "SHOP.STOPS": { parameters: [], run: () => Effect.interrupt } }
      const client = yield* connected(yield* serve({ procedures }))
      expect(yield* client.sql("call shop.stops()")).toMatchObject({
        success: false,
        error: "Internal Error: InterruptedException: null"
      })
      expect((yield* client.sql("values 1")).data).toEqual([[1]])
    })
  )
})

/** No job is left. */
const gone = (server: MapepireServer.MapepireServer) =>
  Effect.repeat(Effect.zipLeft(server.jobs, Effect.sleep("20 millis")), {
    until: (jobs) => jobs.length === 0
  }).pipe(Effect.timeout("10 seconds"))

describe("sockets", () => {
  it.scopedLive("do not wait for each other", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const slow = yield* connected(server)
      const quick = yield* connected(server)
      slow.send({ id: "slow", type: "sql", sql: spin })
      expect((yield* quick.sql("values 1")).data).toEqual([[1]])
      expect(slow.frames).toHaveLength(1)
      yield* quick.run("call qsys2.cancel_sql(?)", [slow.job])
      yield* slow.answerTo("slow")
    })
  )

  it.scopedLive("leave their statements running, and are gone when these end (section 6.2)", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      const other = yield* connected(server)
      client.send({ id: "slow", type: "sql", sql: spin })
      yield* client.ask({ type: "ping" })
      client.ws.terminate()
      yield* Effect.sleep("200 millis")
      expect(yield* server.jobs).toContain(client.job)
      yield* other.run("call qsys2.cancel_sql(?)", [client.job])
      yield* Effect.repeat(Effect.zipLeft(server.jobs, Effect.sleep("20 millis")), {
        until: (jobs) => !jobs.includes(client.job)
      }).pipe(Effect.timeout("10 seconds"))
    })
  )

  it.scopedLive("take them along, if the server is told so", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onDisconnect: "stop" })
      const client = yield* connected(server)
      client.send({ id: "slow", type: "sql", sql: spin })
      yield* client.ask({ type: "ping" })
      client.ws.terminate()
      yield* gone(server)
    })
  )
})

describe("a socket that takes its statements along", () => {
  it.scopedLive("has those that wait begin no more", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onDisconnect: "stop" })
      const client = yield* connected(server)
      client.send({ id: "slow", type: "sql", sql: spin })
      client.send({ id: "change", type: "sql", sql: "delete from sales" })
      client.send({ id: "next", type: "sql", sql: spin })
      yield* client.ask({ type: "ping" })
      client.ws.terminate()
      yield* gone(server)
      const other = yield* connected(server)
      expect((yield* other.sql("select count(*) from sales")).data).toEqual([[8]])
    })
  )

  it.scopedLive("takes those of a connection along that it has left", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onDisconnect: "stop" })
      const client = yield* connected(server)
      client.send({ id: "slow", type: "sql", sql: spin })
      yield* client.ask({ type: "exit" })
      client.ws.terminate()
      yield* gone(server)
    })
  )
})

describe("CANCEL_SQL", () => {
  it.scopedLive("stops what a job runs with -952, and the job goes on", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const target = yield* connected(server)
      const control = yield* connected(server)
      target.send({ id: "spin", type: "sql", sql: spin })
      target.send({ id: "next", type: "sql", sql: "values 2", terse: true })
      yield* target.ask({ type: "ping" })
      expect((yield* control.run("call qsys2.cancel_sql(?)", [target.job])).success).toBe(true)
      expect(yield* target.answerTo("spin")).toMatchObject({ success: false, sql_rc: -952, sql_state: "57014" })
      expect((yield* target.answerTo("next")).data).toEqual([[2]])
    })
  )

  it.scopedLive("does nothing to a job that runs nothing", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const target = yield* connected(server)
      const control = yield* connected(server)
      expect((yield* control.sql(`call qsys2.cancel_sql('${target.job}')`)).success).toBe(true)
      expect((yield* target.sql("values 1")).success).toBe(true)
    })
  )

  it.scopedLive("costs nothing to an open result that is being read to its end for the statement", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const target = yield* connected(server)
      const control = yield* connected(server)
      const numbers =
        "with x(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from x where n < 20000) select n from x"
      const result = yield* target.sql(numbers, { rows: 1 })
      // Others have committed: the next statement is to see that, and an open result hides it.
      yield* control.sql("update department set location = 'THERE' where deptno = 'A10'")
      target.send({ id: "stopped", type: "sql", sql: "select location from department where deptno = 'A10'" })
      yield* target.ask({ type: "ping" })
      yield* control.run("call qsys2.cancel_sql(?)", [target.job])
      expect((yield* target.answerTo("stopped")).sql_rc).toBe(-952)
      expect((yield* target.sql("select location from department where deptno = 'A10'")).data).toEqual([["THERE"]])
      const rest = yield* target.ask({ type: "sqlmore", cont_id: result.id, rows: 30_000 })
      expect([rest.data.length, rest.data[0], rest.data.at(-1), rest.is_done]).toEqual([19_999, [2], [20_000], true])
    })
  )

  it.scopedLive("needs the job's own user, and a job", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const target = yield* connected(server)
      const stranger = yield* connected(server, undefined, { user: "OTHER", password: "other" })
      expect(yield* stranger.run("call qsys2.cancel_sql(?)", [target.job])).toMatchObject({ sql_state: "42502" })
      expect((yield* stranger.run("call qsys2.cancel_sql(?)", ["000000/QUSER/NOBODY"])).sql_rc).toBe(-443)
    })
  )

  it.scopedLive("undoes the statement in a unit of work, which SQLite takes along: COMMIT is told", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const target = yield* connected(server, "auto commit=false")
      const control = yield* connected(server)
      yield* target.sql("update sales set sales = 0")
      target.send({ id: "spin", type: "sql", sql: `insert into sales (sales) ${spin}` })
      yield* target.ask({ type: "ping" })
      // It shall have begun: one that never ran undoes nothing.
      yield* Effect.sleep(500)
      yield* control.run("call qsys2.cancel_sql(?)", [target.job])
      expect((yield* target.answerTo("spin")).sql_rc).toBe(-952)
      expect((yield* target.sql("commit")).sql_rc).toBe(-911)
      expect((yield* target.sql("select sum(sales) from sales")).data).toEqual([[25]])
    })
  )

  it.scopedLive("can be ignored, or late, on purpose", () =>
    Effect.gen(function* () {
      const server = yield* serve({ faults: { cancel: "ignored" } })
      const target = yield* connected(server)
      const control = yield* connected(server)
      target.send({ id: "slow", type: "sql", sql: spinFor(1_000_000) })
      yield* control.run("call qsys2.cancel_sql(?)", [target.job])
      expect((yield* target.answerTo("slow")).success).toBe(true)
    })
  )
})

describe("jobs", () => {
  it.scopedLive("have numbers of their own, unless names are to be reused", () =>
    Effect.gen(function* () {
      const server = yield* serve({ faults: { reuseJobNames: true } })
      const one = yield* connected(server)
      const two = yield* connected(server)
      expect(one.job).toMatch(/^\d{6}\/QUSER\/QZDASOINIT$/)
      expect(two.job).not.toBe(one.job)
      yield* one.ask({ type: "exit" })
      yield* Effect.repeat(Effect.zipLeft(server.jobs, Effect.sleep("20 millis")), {
        until: (jobs) => jobs.length === 1
      }).pipe(Effect.timeout("10 seconds"))
      expect((yield* connected(server)).job).toBe(one.job)
      expect((yield* two.sql("values qsys2.job_name")).data).toEqual([[two.job]])
    })
  )
})
