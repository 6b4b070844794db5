/** Functions, casts and operators of Db2 that SQLite has otherwise, or not at all. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, serve } from "./support.js"

/** A function's call, and its value; the test asks for it as it is, and of a column or a marker where that makes sense. */
const values: ReadonlyArray<readonly [string, unknown]> = [
  ["dec(12.345, 7, 2)", 12.34],
  ["decimal('12.345', 7, 2)", 12.34],
  ["cast(12.349 as decimal(5, 1))", 12.3],
  ["cast(-1.13 as decimal(5, 2))", -1.13],
  ["dec(7)", 7],
  ["int(12.9)", 12],
  ["integer(' -12 ')", -12],
  ["cast('12.7' as integer)", 12],
  ["smallint(12)", 12],
  ["bigint('9007199254740993') - 9007199254740992", 1],
  ["double('1e3')", 1000],
  ["varchar_format(timestamp '2024-06-15 13:45:30.123456', 'YYYY-MM-DD')", "2024-06-15"],
  ["to_char(timestamp '2024-06-15 13:45:30.123456', 'DD.MM.YYYY HH24:MI:SS.NNNNNN')", "15.06.2024 13:45:30.123456"],
  ["timestamp_format('15/06/2024 13:45', 'DD/MM/YYYY HH24:MI')", "2024-06-15 13:45:00.000000"],
  ["to_date('20240615', 'YYYYMMDD')", "2024-06-15 00:00:00.000000"],
  ["locate('b', 'abc')", 2],
  ["locate('b', 'abcb', 3)", 4],
  ["locate('b', 'abca', 3)", 0],
  ["posstr('abc', 'c')", 3],
  ["position('c' in 'abc')", 3],
  ["position('c', 'abc')", 3],
  ["locate_in_string('abc', 'c')", 3],
  ["strip('  x ')", "x"],
  ["strip('00x0', leading, '0')", "x0"],
  ["strip('00x0', b, '0')", "x"],
  ["trim(both ' ' from '  x ')", "x"],
  ["trim(leading '0' from '00x0')", "x0"],
  ["trim(trailing from 'x  ') || '.'", "x."],
  ["trim('x' from 'xax')", "a"],
  ["trim(' x ')", "x"],
  ["translate('abc')", "ABC"],
  ["translate('abc', 'XY', 'ab')", "XYc"],
  ["translate('abc', 'X', 'ab', '-')", "X-c"],
  ["translate('abab', 'ba', 'ab')", "baba"],
  ["ucase('a') || lcase('B')", "Ab"],
  ["left('abc', 2) || right('abc', 2)", "abbc"],
  ["repeat('ab', 2) || space(2) || 'x'", "abab  x"],
  ["lpad('7', 3, '0') || rpad('7', 3, '0') || lpad('1234', 3, '0') || lpad('a', 2)", "007700123 a"],
  ["substring('abcdef' from 2 for 3)", "bcd"],
  ["substring('abcdef' from 5)", "ef"],
  ["char_length('abc') + character_length('a')", 4],
  ["truncate(2.567, 2)", 2.56],
  ["trunc(1.13, 2)", 1.13],
  ["round(1250, -2)", 1300],
  ["absval(-3)", 3],
  ["greatest(1, 3, 2) - least(4, 2, 3)", 1],
  ["decode(1, 2, 'a', 1, 'b', 'c')", "b"],
  ["decode(cast(null as integer), null, 'none', 'some')", "none"],
  ["nvl(cast(null as integer), 4)", 4],
  ["chr(65) || ascii('A')", "A65"],
  ["year(date '2024-06-15') * 10000 + month(date '2024-06-15') * 100 + day('2024-06-15')", 20240615],
  ["hour(timestamp '2024-06-15 13:45:30') * 10000 + minute(time '13:45:30') * 100 + second('13:45:30')", 134530],
  ["microsecond(timestamp '2024-06-15 13:45:30.000042')", 42],
  ["extract(year from date '2024-06-15') + extract(dow from date '2024-06-15')", 2031],
  ["days(date '2024-06-15') - days('2024-06-01')", 14],
  ["days('0001-01-01')", 1],
  ["date(739052)", "2024-06-15"],
  ["date(timestamp '2024-06-15 13:45:30')", "2024-06-15"],
  ["time(timestamp '2024-06-15 13:45:30')", "13:45:30"],
  ["timestamp('2024-06-15-13.45.30.123456')", "2024-06-15 13:45:30.123456"],
  ["timestamp(date '2024-06-15', time '13:45:30')", "2024-06-15 13:45:30.000000"],
  ["cast('2024-06-15-13.45.30' as timestamp)", "2024-06-15 13:45:30.000000"],
  ["cast(timestamp '2024-06-15 13:45:30' as date)", "2024-06-15"],
  ["dayofweek(date '2024-06-16') * 10 + dayofweek_iso(date '2024-06-16')", 17],
  ["dayofyear(date '2024-06-15')", 167],
  ["week(date '2024-06-15') * 100 + week_iso(date '2021-01-03')", 2453],
  ["week(date '2023-01-01') * 100 + week(date '2023-12-31')", 153],
  ["quarter(date '2024-06-15')", 2],
  ["dayname(date '2024-06-15') || monthname(date '2024-06-15')", "SaturdayJune"],
  ["last_day(date '2024-02-15')", "2024-02-29"],
  ["add_months(date '2024-01-31', 1)", "2024-02-29"],
  ["add_months(date '2024-01-30', 1)", "2024-02-29"],
  ["add_months(date '2024-02-29', 1)", "2024-03-31"],
  ["add_months(date '2024-03-15', -1)", "2024-02-15"],
  ["true", true],
  ["7 / 2", 3],
  ["7 / -2.0", -3.5]
]

describe("Db2's functions", () => {
  it.scopedLive("calculate what they do there", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const [call, value] of values) {
        const answer = yield* client.sql(`values ${call}`)
        expect([call, answer.error, answer.data]).toEqual([call, undefined, [[value]]])
      }
    })
  )

  it.scopedLive("take columns, markers, aggregates and each other", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const [sql, given, rows] of [
        ["select days(max(hiredate)) - days(min(hiredate)) from employee", [], [[4817]]],
        ["select lastname from employee where year(hiredate) = ? order by 1", [2022], [["MBEKI"]]],
        [
          "select year(hiredate), count(*) from employee where hiredate > '2020-12-31' group by year(hiredate) order by 1",
          [],
          [
            [2021, 1],
            [2022, 1]
          ]
        ],
        ["values days(cast(? as date))", ["2024-06-15"], [[739052]]],
        [
          "values lpad(strip(cast(? as varchar(9)), both, '-'), 4, '.') || cast(? as varchar(3))",
          ["--x-", "y"],
          [["...xy"]]
        ],
        ["values int(cast(? as varchar(9))) / cast(? as integer)", ["9", 2], [[4]]],
        ["select int(sum(salary) / count(salary)) from employee where workdept = 'B20'", [], [[61795]]],
        ["select dec(avg(salary), 9, 1) from employee where workdept = 'B20'", [], [[61795.2]]],
        ["values (select upper(left(trim(lower(deptname)), 4)) from department where deptno = 'A10')", [], [["HEAD"]]],
        [
          "select listagg(deptno, ',') within group (order by deptno desc) from department where deptno < 'C31'",
          [],
          [["C30,B20,A10"]]
        ],
        [
          "select admrdept, listagg(deptno) from department where deptno = 'C31' group by admrdept",
          [],
          [["C30", "C31"]]
        ],
        ["select year(d), day(null) from (values date '2024-01-01') as t(d)", [], [[2024, null]]]
      ] as const) {
        const answer = yield* client.run(sql, given)
        expect([sql, answer.error, answer.data]).toEqual([sql, undefined, rows])
      }
      const deep = Array.from({ length: 40 }).reduce<string>((inner) => `days(date(${inner}))`, "hiredate")
      expect((yield* client.sql(`select ${deep} from employee`)).success).toBe(true)
    })
  )

  it.scopedLive("have their types", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const answer = yield* client.sql(
        "values (dec(1, 7, 2), int(1), year(current date), left('a', 1), to_date('2024', 'YYYY-MM-DD'), true, date(1))".replace(
          "'2024'",
          "'2024-01-01'"
        )
      )
      expect(answer.metadata.columns.map(({ type }: any) => type)).toEqual([
        ...["DECIMAL", "INTEGER", "INTEGER", "VARCHAR", "TIMESTAMP", "BOOLEAN", "DATE"]
      ])
    })
  )

  it.scopedLive("fail as they do there", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const [call, code, state] of [
        ["cast('abc' as integer)", -420, "22018"],
        ["int('')", -420, "22018"],
        ["cast(3000000000 as integer)", -413, "22003"],
        ["cast(123456 as decimal(3, 0))", -413, "22003"],
        ["dec('1x', 5, 2)", -420, "22018"],
        ["1 / 0", -802, "22012"],
        ["1 / (edlevel - edlevel)", -802, "22012"],
        ["mod(edlevel, 0)", -802, "22012"],
        ["date('2024-02-30')", -181, "22007"],
        ["cast('2024-13-01' as date)", -181, "22007"],
        ["date('garbage')", -180, "22007"],
        ["year('garbage')", -180, "22007"],
        ["timestamp_format('2024-02-30', 'YYYY-MM-DD')", -20448, "22007"],
        ["timestamp_format('2024-2-3', 'YYYY-MM-DD')", -20448, "22007"],
        ["substr(lastname, 0, 1)", -138, "22011"],
        ["substr(lastname, -1)", -138, "22011"],
        ["varchar_format(hiredate, 'MONTH')", -84, "42612"],
        ["varchar_format(hiredate, job)", -84, "42612"],
        ["translate(lastname, job, 'a')", -84, "42612"],
        ["regexp_replace(lastname, 'a', 'b')", -84, "42612"],
        ["json_object('a' value 1)", -84, "42612"],
        ["stddev(salary)", -84, "42612"],
        ["listagg(distinct job)", -84, "42612"],
        ["2 ** 3", -84, "42612"],
        ["left(lastname)", -440, "42884"]
      ] as const) {
        const answer = yield* client.sql(`select ${call} from employee`)
        expect([call, answer.sql_rc, answer.sql_state]).toEqual([call, code, state])
      }
      // Nothing fails that is not calculated.
      const guarded = "select case when edlevel = 0 then 1 / 0 else int('7') end from employee fetch first row only"
      expect((yield* client.sql(guarded)).data).toEqual([[7]])
    })
  )
})
