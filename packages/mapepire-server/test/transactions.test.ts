/** Units of work: who has one, and how it ends. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, serve, spin } from "./support.js"

const manual = "auto commit=false;transaction isolation=read committed"
const count = "select count(*) from sales"
const change = "delete from sales where region = 'SOUTH'"

describe("with autocommit", () => {
  it.scopedLive("changes are final, COMMIT and ROLLBACK do nothing, savepoints are refused", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      const other = yield* connected(server)
      expect((yield* client.sql(change)).update_count).toBe(3)
      expect((yield* other.sql(count)).data).toEqual([[5]])
      expect(yield* client.sql("rollback")).toMatchObject({ update_count: 0, has_results: false, success: true })
      expect((yield* client.sql(count)).data).toEqual([[5]])
      expect((yield* client.sql("commit")).success).toBe(true)
      expect((yield* client.sql("savepoint a on rollback retain cursors")).sql_rc).toBe(-882)
    })
  )

  it.scopedLive("isolation none is the same, whatever autocommit says", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "auto commit=false;transaction isolation=none")
      yield* client.sql(change)
      yield* client.sql("rollback")
      expect((yield* client.sql(count)).data).toEqual([[5]])
    })
  )

  it.scopedLive("SET TRANSACTION begins a unit of work there", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "auto commit=false;transaction isolation=none")
      yield* client.sql("set transaction isolation level read committed, read write")
      yield* client.sql(change)
      yield* client.sql("rollback")
      expect((yield* client.sql(count)).data).toEqual([[8]])
    })
  )
})

describe("without autocommit", () => {
  it.scopedLive("a unit of work is undone or kept, and others see it only then", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server, manual)
      const other = yield* connected(server)
      yield* client.sql(change)
      expect((yield* client.sql(count)).data).toEqual([[5]])
      expect((yield* other.sql(count)).data).toEqual([[8]])
      yield* client.sql("rollback")
      expect((yield* client.sql(count)).data).toEqual([[8]])
      yield* client.sql("commit")
      yield* client.run("delete from sales where region = ?", ["SOUTH"])
      yield* client.sql("commit hold")
      expect((yield* other.sql(count)).data).toEqual([[5]])
    })
  )

  it.scopedLive("a failure undoes its statement only", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), manual)
      yield* client.sql(change)
      expect((yield* client.sql("insert into department values ('A10', 'x', null, 'A10', null)")).sql_rc).toBe(-803)
      yield* client.sql("commit")
      expect((yield* client.sql(count)).data).toEqual([[5]])
    })
  )

  it.scopedLive("savepoints can be gone back to, and are wanted with their clause", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), manual)
      yield* client.sql("update sales set sales = 0 where region = 'NORTH'")
      expect((yield* client.sql("savepoint a")).sql_rc).toBe(-104)
      yield* client.sql("savepoint a on rollback retain cursors")
      yield* client.sql(change)
      yield* client.sql("rollback to savepoint a")
      yield* client.sql("release savepoint a")
      expect((yield* client.sql("rollback to savepoint a")).sql_rc).toBe(-880)
      yield* client.sql("commit")
      expect((yield* client.sql("select count(*), sum(sales) from sales")).data).toEqual([[8, 20]])
    })
  )

  it.scopedLive("one that a stopped statement has taken along is told of once, then another begins", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server, manual)
      const control = yield* connected(server)
      yield* client.sql("update sales set sales = 0")
      client.send({ id: "stopped", type: "sql", sql: `insert into sales (sales) ${spin}` })
      yield* client.ask({ type: "ping" })
      // It shall have begun.
      yield* Effect.sleep(500)
      yield* control.run("call qsys2.cancel_sql(?)", [client.job])
      expect((yield* client.answerTo("stopped")).sql_rc).toBe(-952)
      expect((yield* client.sql("select sum(sales) from sales")).sql_rc).toBe(-911)
      yield* client.sql("update sales set sales = 1 where region = 'NORTH'")
      expect((yield* client.sql("commit")).success).toBe(true)
      expect((yield* client.sql("select count(*) from sales where sales = 0")).data).toEqual([[0]])
    })
  )

  it.scopedLive("READ ONLY refuses changes, until the unit of work ends; as does the access of a connection", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server, manual)
      yield* client.sql("set transaction isolation level read committed, read only")
      expect((yield* client.sql(count)).success).toBe(true)
      expect(yield* client.sql(change)).toMatchObject({ sql_rc: -817, sql_state: "25006" })
      yield* client.sql("commit")
      expect((yield* client.sql(change)).success).toBe(true)
      const reader = yield* connected(server, "access=read only")
      expect((yield* reader.sql(count)).success).toBe(true)
      expect((yield* reader.sql(change)).sql_rc).toBe(-817)
      yield* reader.sql("set transaction isolation level read committed, read write")
      expect((yield* reader.sql(change)).sql_rc).toBe(-817)
      yield* client.sql("commit")
      const automatic = yield* connected(server)
      yield* automatic.sql("set transaction isolation level read committed, read only")
      expect((yield* automatic.sql(change)).success).toBe(true)
    })
  )

  it.scopedLive("SET TRANSACTION comes too late in the middle", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), manual)
      yield* client.sql(count)
      expect((yield* client.sql("set transaction isolation level serializable")).sql_state).toBe("25001")
    })
  )

  it.scopedLive.each(["close", "terminate", "exit", "connect"] as const)("%s undoes what was not committed", (how) =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server, manual)
      const other = yield* connected(server)
      yield* client.sql(change)
      if (how === "close" || how === "terminate") {
        client.ws[how]()
        yield* client.end
      } else if (how === "exit") {
        yield* client.ask({ type: "exit" })
      } else {
        yield* client.connect(manual)
      }
      // Waits for the lock that the other one had.
      expect((yield* other.sql("update sales set sales = 1")).update_count).toBe(8)
    })
  )

  it.scopedLive("ROLLBACK closes cursors, COMMIT does not", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), manual)
      const rows = (keep: string) =>
        Effect.gen(function* () {
          const { id } = yield* client.sql("select a.empno from employee a, employee b", { rows: 1 })
          yield* client.sql(keep)
          return (yield* client.ask({ type: "sqlmore", cont_id: id })).data.length
        })
      expect(yield* rows("commit")).toBe(120)
      expect(yield* rows("rollback")).toBe(0)
    })
  )

  it.scopedLive(
    "ROLLBACK also takes what had been fetched of a small result; back to a savepoint it takes nothing",
    () =>
      Effect.gen(function* () {
        const client = yield* connected(yield* serve(), manual)
        const second = (...statements: ReadonlyArray<string>) =>
          Effect.gen(function* () {
            const { id } = yield* client.run("select deptno from department where deptno <> ?", ["x"], { rows: 2 })
            for (const text of statements) {
              expect((yield* client.sql(text)).error).toBeUndefined()
            }
            const { data, is_done, success } = yield* client.ask({ type: "sqlmore", cont_id: id, rows: 2 })
            return [data.length, is_done, success]
          })
        expect(yield* second("rollback")).toEqual([0, true, true])
        expect(yield* second("commit")).toEqual([2, false, true])
        const savepoint = "savepoint a on rollback retain cursors"
        expect(yield* second(savepoint, change, "rollback to savepoint a")).toEqual([2, false, true])
        expect(yield* second(savepoint, "rollback")).toEqual([0, true, true])
      })
  )

  it.scopedLive("without holding cursors COMMIT closes them, COMMIT HOLD does not; in autocommit nothing does", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const left = (props: string, end: string) =>
        Effect.gen(function* () {
          const client = yield* connected(server, props)
          const { id } = yield* client.sql("select deptno from department", { rows: 2 })
          yield* client.sql(end)
          return (yield* client.ask({ type: "sqlmore", cont_id: id })).data.length
        })
      expect(yield* left(`${manual};cursor hold=false`, "commit")).toBe(0)
      expect(yield* left(`${manual};cursor hold=false`, "commit hold")).toBe(4)
      expect(yield* left(manual, "commit")).toBe(4)
      expect(yield* left("", "rollback")).toBe(4)
    })
  )

  it.scopedLive("DDL belongs to it", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), manual)
      yield* client.sql("create table x (a int)")
      yield* client.sql("insert into x values (1)")
      yield* client.sql("rollback")
      expect((yield* client.sql("select * from x")).sql_rc).toBe(-204)
    })
  )

  it.scopedLive("one that lost against another is rolled back, and knows", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const one = yield* connected(server, manual)
      const two = yield* connected(server)
      yield* one.sql(count)
      yield* two.sql(change)
      expect(yield* one.sql("update sales set sales = 9")).toMatchObject({ sql_rc: -911, sql_state: "40001" })
      expect((yield* one.sql("commit")).sql_rc).toBe(-911)
      expect((yield* one.sql("update sales set sales = 9")).update_count).toBe(5)
      expect((yield* one.sql("commit")).success).toBe(true)
    })
  )
})
