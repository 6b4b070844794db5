/** Pages: when a result is done, and what becomes of it. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, open, serve } from "./support.js"

const numbers = (n: number) =>
  `with x(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from x where n < ${n}) select n from x`

describe("a page", () => {
  it.scopedLive("is done only when the end was met while it was filled", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const odd = yield* client.sql(numbers(5), { rows: 2 })
      const more = (id: string, rows = 2) => client.ask({ type: "sqlmore", cont_id: id, rows })
      expect([odd.data, odd.is_done]).toEqual([[[1], [2]], false])
      expect(yield* more(odd.id)).toMatchObject({ data: [[3], [4]], is_done: false })
      const last = yield* more(odd.id)
      expect(last).toMatchObject({ data: [[5]], is_done: true })
      expect(last).not.toHaveProperty("metadata")
      expect(yield* more(odd.id)).toMatchObject({ data: [], is_done: true, success: true })
      const even = yield* client.sql(numbers(4), { rows: 2 })
      expect((yield* more(even.id)).is_done).toBe(false)
      expect(yield* more(even.id)).toMatchObject({ data: [], is_done: true })
    })
  )

  it.scopedLive(
    "has a thousand rows unless told otherwise; none and less are none; texts and fractions are numbers",
    () =>
      Effect.gen(function* () {
        const client = yield* connected(yield* serve())
        const plain = yield* client.sql(numbers(1500))
        expect([plain.data.length, plain.is_done]).toEqual([1000, false])
        expect((yield* client.ask({ type: "sqlmore", cont_id: plain.id })).data).toHaveLength(500)
        for (const rows of [0, -1]) {
          const empty = yield* client.sql(numbers(3), { rows })
          expect([empty.data, empty.is_done, empty.metadata.column_count]).toEqual([[], false, 1])
          expect(yield* client.ask({ type: "sqlmore", cont_id: empty.id })).toMatchObject({
            data: [[1], [2], [3]],
            is_done: true
          })
        }
        expect((yield* client.sql(numbers(9), { rows: "3" })).data).toHaveLength(3)
        expect((yield* client.sql(numbers(9), { rows: 2.7 })).data).toHaveLength(2)
      })
  )

  it.scopedLive("may be larger than the one before, and holds the rows as the first one did", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const first = yield* client.sql(numbers(70_000), { rows: 3, terse: false })
      expect(first.data[0]).toEqual({ N: 1 })
      const all = yield* client.ask({ type: "sqlmore", cont_id: first.id, rows: 100_000, terse: true })
      expect([all.data.length, all.is_done, all.data[69_996]]).toEqual([69_997, true, { N: 70_000 }])
    })
  )

  it.scopedLive("comes to one of two who ask at once (section 2.9)", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const { id } = yield* client.sql(numbers(9), { rows: 2 })
      const pages = yield* Effect.all(
        [1, 2].map(() => client.ask({ type: "sqlmore", cont_id: id, rows: 3 })),
        { concurrency: "unbounded" }
      )
      expect(pages.flatMap(({ data }) => data).sort()).toEqual([[3], [4], [5], [6], [7], [8]])
    })
  )
})

describe("sqlclose", () => {
  it.scopedLive("forgets the id at once", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const { id } = yield* client.sql(numbers(9), { rows: 2 })
      expect((yield* client.ask({ type: "sqlclose", cont_id: id })).success).toBe(true)
      expect((yield* client.ask({ type: "sqlmore", cont_id: id })).error).toBe("Bad request: invalid correlation ID")
      expect((yield* client.ask({ type: "sqlclose", cont_id: id })).success).toBe(false)
    })
  )

  it.scopedLive("knows changes and failures, too; sqlmore finds no result there", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const change = yield* client.sql("create table x (a int)")
      const failure = yield* client.sql("select * from nope")
      for (const { id } of [change, failure]) {
        expect(yield* client.ask({ type: "sqlmore", cont_id: id })).toMatchObject({
          error: "Result set was null",
          sql_state: null,
          sql_rc: 0
        })
        expect((yield* client.ask({ type: "sqlclose", cont_id: id })).success).toBe(true)
      }
    })
  )
})

describe("the limit of statements", () => {
  it.scopedLive("counts what the driver leaves open: changes, failures, results not read to their end", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve({ limits: { statements: 4 } }))
      yield* client.sql("values 1")
      yield* client.sql("values 1")
      const change = yield* client.sql("update department set location = 'X'")
      yield* client.ask({ type: "sqlclose", cont_id: change.id })
      yield* client.sql("select * from nope_at_all where 1 = 0")
      yield* client.sql("select deptno from department", { rows: 1 })
      yield* client.sql("select deptno from department", { rows: 1 })
      const over = yield* client.sql("values 1")
      expect(over).toMatchObject({
        error: "Limit on number of statements exceeded.",
        sql_state: "HY014",
        sql_rc: -99999
      })
      yield* client.connect()
      expect((yield* client.sql("values 1")).success).toBe(true)
    })
  )

  it.scopedLive("is not touched by execute, and newer daemons give back with sqlclose", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve({ limits: { statements: 2 }, version: "next" }))
      const handle = yield* client.ask({ type: "prepare_sql", sql: "values cast(? as int)" })
      for (let i = 0; i < 5; i++) {
        const answer = yield* client.ask({ type: "execute", cont_id: handle.id, parameters: [i], terse: true })
        expect(answer.data).toEqual([[i]])
      }
      for (let i = 0; i < 5; i++) {
        const change = yield* client.sql("update department set location = 'Y'")
        expect(change.success).toBe(true)
        yield* client.ask({ type: "sqlclose", cont_id: change.id })
      }
    })
  )
})

describe("an open result", () => {
  it.scopedLive("does not stand in the way of changes after another connection's", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const one = yield* connected(server)
      const two = yield* connected(server)
      const result = yield* one.sql(numbersOf("employee"), { rows: 1 })
      expect((yield* two.sql("update department set location = 'THERE'")).success).toBe(true)
      expect((yield* one.sql("update department set location = 'HERE' where deptno = 'A10'")).update_count).toBe(1)
      const rest = yield* one.ask({ type: "sqlmore", cont_id: result.id, rows: 5000 })
      expect(rest.data).toHaveLength(11 * 11 * 11 - 1)
    })
  )

  it.scopedLive("does not hide what other connections have committed since", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const reader = yield* connected(server)
      const plain = yield* connected(server)
      const manual = yield* connected(server, "auto commit=false;transaction isolation=read committed")
      const at = (place: string) => `update department set location = '${place}' where deptno = 'A10'`
      const seen = Effect.map(
        reader.sql("select location from department where deptno = 'A10'"),
        ({ data }) => (data as ReadonlyArray<readonly [string]>)[0]![0]
      )
      for (const [place, write] of [
        ["ONE", plain.sql(at("ONE"))],
        ["TWO", plain.run("update department set location = ? where deptno = 'A10'", [["TWO"]])],
        ["SIX", Effect.zipRight(manual.sql(at("SIX")), manual.sql("COMMIT"))]
      ] as const) {
        const result = yield* reader.sql(numbersOf("employee"), { rows: 1 })
        expect((yield* write).success).toBe(true)
        expect(yield* seen).toBe(place)
        const rest = yield* reader.ask({ type: "sqlmore", cont_id: result.id, rows: 5000 })
        expect(rest.data).toHaveLength(11 * 11 * 11 - 1)
      }
    })
  )

  it.scopedLive("that outlives its unit of work does not stand in the way of the next one", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const one = yield* connected(server, "auto commit=false;transaction isolation=read committed")
      const two = yield* connected(server)
      const result = yield* one.sql(numbersOf("employee"), { rows: 1 })
      expect((yield* one.sql("COMMIT")).success).toBe(true)
      expect((yield* two.sql("update department set location = 'THERE'")).success).toBe(true)
      expect((yield* one.sql("select location from department where deptno = 'A10'")).data).toEqual([["THERE"]])
      expect((yield* one.sql("update department set location = 'HERE' where deptno = 'A10'")).update_count).toBe(1)
      expect((yield* one.sql("COMMIT")).success).toBe(true)
      const rest = yield* one.ask({ type: "sqlmore", cont_id: result.id, rows: 5000 })
      expect(rest.data).toHaveLength(11 * 11 * 11 - 1)
    })
  )

  it.scopedLive("ends with its socket", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      yield* client.sql(numbers(9), { rows: 2 })
      client.ws.close()
      yield* client.end
      const other = yield* open(server)
      expect((yield* other.connect()).success).toBe(true)
    })
  )
})

const numbersOf = (table: string) => `select a.empno from ${table} a, ${table} b, ${table} c`

describe("a result that is open when another statement of its connection follows a commit of another one", () => {
  /** What is open while another connection commits and this one runs something; a row of `numbers` takes some 90 bytes. */
  const spooling = (spooledBytes: number) =>
    Effect.gen(function* () {
      const server = yield* serve({ limits: { spooledBytes } })
      const client = yield* connected(server)
      const other = yield* connected(server)
      yield* other.sql("create table committed (n int)")
      const anotherStatement = Effect.gen(function* () {
        expect((yield* other.sql("insert into committed values (1)")).success).toBe(true)
        return yield* client.sql("select count(*) from committed")
      })
      const more = (id: string) => client.ask({ type: "sqlmore", cont_id: id, rows: 10 })
      return { client, other, anotherStatement, more }
    })

  it.scopedLive(
    "fails when it is read on, if it is too large to be kept; the statement runs, and so does all else",
    () =>
      Effect.gen(function* () {
        const { anotherStatement, client, more, other } = yield* spooling(100_000)
        const endless = yield* client.sql(numbers(1_000_000_000), { rows: 5 })
        const small = yield* client.sql(numbers(9), { rows: 5 })
        expect((yield* anotherStatement).data).toEqual([[1]])
        for (let i = 0; i < 2; i++) {
          expect(yield* more(endless.id)).toMatchObject({ success: false, sql_rc: -904, sql_state: "57011" })
        }
        expect(yield* more(small.id)).toMatchObject({ data: [[6], [7], [8], [9]], is_done: true })
        expect((yield* other.sql("values 1")).success).toBe(true)
        expect((yield* client.ask({ type: "sqlclose", cont_id: endless.id })).success).toBe(true)
      })
  )

  it.scopedLive("takes room until it is read to its end, or closed, or its id is used anew, or its connection is", () =>
    Effect.gen(function* () {
      const { anotherStatement, client, more } = yield* spooling(100_000)
      // Two of these are more than there is room for.
      const kept = (id: string) =>
        Effect.gen(function* () {
          client.frames.length = 0
          client.send({ type: "sql", id, sql: numbers(800), rows: 5, terse: true })
          yield* client.answerTo(id)
          yield* anotherStatement
          return yield* more(id)
        })
      const first = yield* kept("read")
      expect(first.data).toHaveLength(10)
      expect((yield* kept("too much")).sql_rc).toBe(-904)
      expect((yield* client.ask({ type: "sqlmore", cont_id: "read", rows: 1000 })).is_done).toBe(true)
      expect((yield* kept("closed")).success).toBe(true)
      yield* client.ask({ type: "sqlclose", cont_id: "closed" })
      expect((yield* kept("anew")).success).toBe(true)
      expect((yield* kept("anew")).success).toBe(true)
      expect((yield* kept("too much")).success).toBe(false)
      yield* client.connect()
      expect((yield* kept("another connection")).success).toBe(true)
    })
  )
})
