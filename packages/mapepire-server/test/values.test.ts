/** Values, in and out: exact, and in the connection's formats. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, serve } from "./support.js"

const table = `create table v (
  id int, small smallint, big bigint, dec decimal(31, 5), num numeric(9, 2), flt double, dfl decfloat(34), c char(5),
  vc varchar(20), txt clob(1M), bin varbinary(10), bl blob(1K), d date, t time, ts timestamp, ts0 timestamp(0), ok boolean,
  g graphic(4)
)`

describe("numbers", () => {
  it.scopedLive("keep all their digits, in both directions", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      const insert = "insert into v (big, dec, num, dfl) values (?, ?, ?, ?)"
      yield* client.run(insert, ["9223372036854775807", "12345678901234567890123456.12345", "120.5", "1E+100"])
      client.send(
        '{"id":"x","type":"prepare_sql_execute","sql":"' +
          insert +
          '","parameters":[-9223372036854775808,-0.00001,0,0.10]}'
      )
      yield* client.answerTo("x")
      const answer = yield* client.sql("select big, dec, num, dfl from v")
      expect(client.textOf(answer.id)).toContain(
        '"data":[[9223372036854775807,12345678901234567890123456.12345,120.50,1E+100],' +
          "[-9223372036854775808,-0.00001,0.00,0.1]]"
      )
      expect(answer.metadata.columns.map(({ type }: any) => type)).toEqual(["BIGINT", "DECIMAL", "NUMERIC", "DECFLOAT"])
    })
  )

  it.scopedLive("are exact as literals, too", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      yield* client.sql("insert into v (big, dec) values (9007199254740993, 98765432109876543210.98765)")
      const answer = yield* client.sql("select big, dec from v where big = 9007199254740993")
      expect(client.textOf(answer.id)).toContain("[[9007199254740993,98765432109876543210.98765]]")
    })
  )

  it.scopedLive("are exact with a sign, and up to the last that eight bytes hold", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const exact = (sql: string, data: string) =>
        Effect.gen(function* () {
          const answer = yield* client.sql(sql)
          expect([sql, answer.error]).toEqual([sql, undefined])
          expect(client.textOf(answer.id)).toContain(`"data":${data}`)
        })
      yield* client.sql("create table w (id int, big bigint, dec decimal(31, 2), dfl decfloat(34))")
      yield* client.sql(
        "insert into w values (1, -9223372036854775808, -12345678901234567890123456789.12, -1234567890123456789012.5), " +
          "(2, 9223372036854775807, cast(-98765432109876543210.12 as decimal(31, 2)), - 9223372036854775809)"
      )
      yield* exact(
        "select big, dec, dfl from w order by id",
        "[[-9223372036854775808,-12345678901234567890123456789.12,-1234567890123456789012.5]," +
          "[9223372036854775807,-98765432109876543210.12,-9223372036854775809]]"
      )
      yield* client.sql("update w set dec = -12345678901234567890.12 where dec = -98765432109876543210.12")
      yield* exact("select dec from w where id = 2", "[[-12345678901234567890.12]]")
      yield* exact("values 9223372036854775807", "[[9223372036854775807]]")
      yield* exact("values -9223372036854775808", "[[-9223372036854775808]]")
      yield* exact("values -12345678901234567890.12", "[[-12345678901234567890.12]]")
      yield* exact("select big - 9223372036854775807 from w where id = 2", "[[0]]")
    })
  )

  it.scopedLive("never come as something JSON does not know (section 2.3.6)", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      expect((yield* client.sql("values 1e999")).data).toEqual([["Infinity"]])
    })
  )

  it.scopedLive("are announced at least as wide as they are", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const answer = yield* client.sql("select max(id) + 5000000000 from (values 1) x(id)")
      expect(answer.success === true ? answer.metadata.columns[0].type : "BIGINT").toBe("BIGINT")
      const { metadata } = yield* client.sql("select sum(sales) + 5000000000, sum(sales) from sales")
      expect(metadata.columns.map(({ type }: any) => type)).toEqual(["BIGINT", "INTEGER"])
    })
  )
})

describe("texts", () => {
  it.scopedLive("lose their blanks only as CHAR, and digits stay digits", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      yield* client.run("insert into v (c, vc, txt, g) values (?, ?, ?, ?)", ["ab   ", " x  ", "007", "0070"])
      expect((yield* client.sql("select c, vc, txt, g from v")).data).toEqual([["ab", " x  ", "007", "0070"]])
    })
  )

  it.scopedLive("may hold anything", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      const text = 'grüß 日本 😀 "q" \\ <b>&'
      yield* client.run("insert into v (vc) values (?)", [text.slice(0, 20)])
      yield* client.run("insert into v (txt) values (?)", [text])
      expect((yield* client.sql("select vc, txt from v")).data).toEqual([
        [text.slice(0, 20), null],
        [null, text]
      ])
    })
  )

  it.scopedLive("too long for their column are refused: values before they are sent, literals by the table", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      const answer = yield* client.run("insert into v (c) values (?)", ["abcdef"])
      expect(answer).toMatchObject({ error: "Data truncation", sql_state: "22001", sql_rc: 0 })
      const literal = yield* client.sql("insert into v (c) values ('abcdef')")
      expect(literal).toMatchObject({ sql_state: "22001", sql_rc: -404 })
      expect(literal.error).toBe("[SQL0404] Value for column or variable C too long.")
    })
  )
})

describe("columns", () => {
  it.scopedLive("of bytes and of single precision hold what their types hold", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql("create table w (b binary(4), vb varbinary(4), bl blob(4), re real)")
      for (const column of ["b", "vb"]) {
        const answer = yield* client.run(`insert into w (${column}) values (?)`, ["0102030405"])
        expect(answer).toMatchObject({ error: "Data truncation", sql_state: "22001" })
      }
      expect((yield* client.run("insert into w (bl) values (?)", ["0102030405"])).sql_rc).toBe(-404)
      for (const column of ["b", "vb", "bl"]) {
        expect((yield* client.sql(`insert into w (${column}) values (BX'0102030405')`)).sql_rc).toBe(-404)
      }
      expect((yield* client.run("insert into w (re) values (?)", [1e39])).sql_state).toBe("07006")
      expect((yield* client.sql("insert into w (re) values (1e39)")).sql_rc).toBe(-406)
      yield* client.run("insert into w values (?, ?, ?, ?)", ["01", "01", "01", 16777217])
      yield* client.run("insert into w values (?, ?, ?, ?)", ["02", "02", "02", 0.1])
      yield* client.sql("insert into w values (BX'03', BX'03', BX'03', 3e38)")
      expect((yield* client.sql("select * from w order by vb")).data).toEqual([
        ["01000000", "01", "01", 16777216],
        ["02000000", "02", "02", 0.1],
        ["03000000", "03", "03", 3e38]
      ])
      expect((yield* client.run("select vb from w where re = ? and b = ?", [0.1, "02"])).data).toEqual([["02"]])
    })
  )

  it.scopedLive("hold what their types hold, whichever way it comes", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      const failed = (sql: string, parameters?: ReadonlyArray<unknown>) =>
        Effect.map(
          parameters === undefined ? client.sql(sql) : client.run(sql, parameters),
          ({ sql_rc, sql_state }) => [sql, sql_rc, sql_state]
        )
      for (const [column, value, code, state] of [
        ["small", "99999", -406, "22003"],
        ["small", "-32768 - 1", -406, "22003"],
        ["id", "3000000000", -406, "22003"],
        ["big", "9223372036854775808", -406, "22003"],
        ["num", "12345678.5", -406, "22003"],
        ["dec", "-123456789012345678901234567.5", -406, "22003"],
        ["id", "'abc'", -420, "22018"],
        ["num", "'1,5'", -420, "22018"],
        ["dec", "'NaN'", -420, "22018"],
        ["flt", "''", -420, "22018"],
        ["dfl", "'much'", -420, "22018"],
        ["d", "'not a date'", -180, "22007"],
        ["d", "'15.06.2024'", -180, "22007"],
        ["d", "DATE '2024-13-45'", -181, "22007"],
        ["d", "'2023-02-29'", -181, "22007"],
        ["t", "'noon'", -180, "22007"],
        ["t", "'25:00:00'", -181, "22007"],
        ["ts", "'yesterday'", -180, "22007"],
        ["ts", "'2024-06-15 13:45:30Z'", -180, "22007"],
        ["ts", "'2024-06-15 13:61:00'", -181, "22007"]
      ] as const) {
        const sql = `insert into v (${column}) values (${value})`
        expect(yield* failed(sql)).toEqual([sql, code, state])
      }
      yield* client.sql("insert into v (id) values (1)")
      const update = "update v set small = id + 40000, d = 'x'"
      expect((yield* failed(update))[1]).toBe(-406)
      expect((yield* failed("insert into v (id) values (?)", [3000000000]))[1]).toBe(-406)
      expect((yield* client.sql("insert into v (small) values (99999)")).error).toBe(
        "[SQL0406] Conversion error on assignment to column SMALL."
      )
      yield* client.sql("alter table v add column late date not null with default")
      expect((yield* failed("update v set late = '2024-00-01'"))[1]).toBe(-181)
    })
  )

  it.scopedLive("tell whether they take NULL", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const nullable = (sql: string) =>
        Effect.map(client.sql(sql), ({ metadata }) => metadata.columns.map((column: any) => column.nullable))
      yield* client.sql(
        "create table n (id int not null primary key, x int, auto bigint not null generated always as identity)"
      )
      expect(yield* nullable("select * from n")).toEqual([0, 1, 0])
      expect(yield* nullable("select n.id as x, x as id, x + 1, auto from n where id = 1")).toEqual([0, 1, 2, 0])
      expect(yield* nullable("select d.deptno, mgrno from sample.department d")).toEqual([0, 1])
      // What an outer join adds has no values.
      const joined = "select e.workdept, d.deptno from employee e left join department d on d.deptno = e.workdept"
      expect(yield* nullable(joined)).toEqual([1, 1])
      expect(yield* nullable("select 1 from sysibm.sysdummy1")).toEqual([2])
    })
  )

  it.scopedLive("take everything else, and defaults of their types", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      for (const [column, value] of [
        ["small", "-32768"],
        ["id", "'12'"],
        ["big", "-9223372036854775808"],
        ["num", "-9999999.99"],
        ["dec", "99999999999999999999999999.12345"],
        ["dec", "-00012.5"],
        ["dfl", "'NaN'"],
        ["dfl", "1e30"],
        ["flt", "-1e300"],
        ["d", "current timestamp"],
        ["t", "'13.45.30'"],
        ["t", "current time"],
        ["ts", "'2024-06-15-13.45.30.123456'"],
        ["ts", "'2024-06-15'"],
        ["ts", "TIMESTAMP '2024-06-15 24:00:00'"],
        ["small", "null"]
      ] as const) {
        const sql = `insert into v (${column}) values (${value})`
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
      expect((yield* client.sql("select t from v where t = '13.45.30'")).data).toEqual([["13:45:30"]])
      const created = yield* client.sql(
        `create table w (id int not null, n decimal(5, 2) not null with default, d date not null with default,
          t time not null default, ts timestamp not null with default, x decimal(31) not null with default,
          c varchar(5) not null with default)`
      )
      expect(created.error).toBeUndefined()
      expect((yield* client.sql("insert into w (id) values (1)")).error).toBeUndefined()
      const { data } = yield* client.sql("select n, x, c, d, ts from w where d = current date")
      expect(data[0].slice(0, 3)).toEqual([0, 0, ""])
      expect(data[0][4]).toContain(data[0][3])
    })
  )
})

describe("binary values", () => {
  it.scopedLive("are hex in both directions", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      yield* client.run("insert into v (bin, bl) values (?, ?)", ["00ff1a", ""])
      expect((yield* client.sql("select bin, bl, length(bin) from v")).data).toEqual([["00FF1A", "", 3]])
      expect((yield* client.run("insert into v (bin) values (?)", ["0g"])).sql_state).toBe("07006")
    })
  )
})

describe("dates and times", () => {
  const values = ["2024-06-15", "13:45:30", "2024-06-15 13:45:30.123", "2024-06-15T13:45:30"]
  const insert = "insert into v (d, t, ts, ts0) values (?, ?, ?, ?)"
  const select = "select d, t, ts, ts0 from v"

  it.scopedLive.each<readonly [string, ReadonlyArray<string>]>([
    [
      "date format=iso;time format=jis",
      ["2024-06-15", "13:45:30", "2024-06-15 13:45:30.123000", "2024-06-15 13:45:30"]
    ],
    ["date format=usa;time format=usa", ["06/15/2024", "01:45 PM"]],
    ["date format=eur;time format=eur", ["15.06.2024", "13.45.30"]],
    ["date format=mdy;date separator=-;time format=hms;time separator=.", ["06-15-24", "13.45.30"]],
    ["date format=ymd", ["24/06/15", "13:45:30"]],
    ["date format=julian", ["24/167", "13:45:30"]],
    ["timestamp format=ibmsql", ["2024-06-15", "13:45:30", "2024-06-15-13.45.30.123000"]]
  ])("come as the connection wants them: %s", ([props, expected]) =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), props)
      yield* client.sql(table)
      yield* client.run(insert, values)
      expect((yield* client.sql(select)).data[0].slice(0, expected.length)).toEqual(expected)
      // What it gives it takes.
      const again = yield* client.run("select d from v where d = ?", [expected[0] ?? ""])
      expect([again.error, again.data]).toEqual([undefined, [[expected[0]]]])
    })
  )

  it.scopedLive("by the day of the year are those of leap years, too", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "date format=julian")
      for (const [day, expected] of [
        ["24/366", [["24/366"]]],
        ["2024-001", [["24/001"]]],
        ["39/365", [["39/365"]]],
        ["23/366", undefined],
        ["24/000", undefined]
      ] as const) {
        expect([day, (yield* client.run("values cast(? as date)", [day])).data]).toEqual([day, expected])
      }
    })
  )

  it.scopedLive("that are none are refused, and those with a time zone", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      for (const [column, value] of [
        ["d", "2024-02-30"],
        ["d", "soon"],
        ["t", "25:00:00"],
        ["ts", "2024-06-15T13:45:30Z"]
      ]) {
        expect((yield* client.run(`insert into v (${column}) values (?)`, [value])).sql_state).toBe("07006")
      }
    })
  )

  it.scopedLive("now is local, with six digits", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const [row] = (yield* client.sql("values (current timestamp, current date, current time)")).data
      expect(row[0]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/)
      expect(row[0]).toContain(row[1])
      expect(row[2]).toMatch(/^\d\d:\d\d:\d\d$/)
    })
  )
})

describe("rows", () => {
  it.scopedLive("as objects keep the last of equal names; unnamed columns have numbers", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const sql = 'select 1 as a, 2 as a, 3 as "a", 4 + 1, \'x\' as "Two words" from sysibm.sysdummy1'
      const answer = yield* client.sql(sql, { terse: false })
      expect(answer.data).toEqual([{ A: 2, a: 3, "00004": 5, "Two words": "x" }])
      expect((yield* client.sql(sql)).data).toEqual([[1, 2, 3, 5, "x"]])
    })
  )

  it.scopedLive("with booleans", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      yield* client.sql(table)
      yield* client.run("insert into v (id, ok) values (?, ?)", [
        [1, true],
        [2, "no"],
        [3, null]
      ])
      expect((yield* client.sql("select ok from v order by id")).data).toEqual([[true], [false], [null]])
      expect((yield* client.run("select id from v where ok = ?", [true])).data).toEqual([[1]])
    })
  )
})
