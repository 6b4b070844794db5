/** SET, and the special registers of a connection. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connected, serve } from "./support.js"

describe("SET SCHEMA", () => {
  it.scopedLive("takes names, literals, registers and a marker", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve(), "libraries=SHOP,SAMPLE")
      for (const [sql, schema] of [
        ["set schema other", "OTHER"],
        ["set schema 'Mixed'", "Mixed"],
        ["set schema = 'X'", "X"],
        ['set current schema = "low"', "low"],
        ["set current_schema user", "DEV"],
        ["set schema default", "SHOP"],
        ["set schema = session_user", "DEV"],
        ["set current sqlid = sample", "SAMPLE"],
        ["set schema current user", "DEV"],
        ["set schema default", "SHOP"],
        ["set schema = current_user", "DEV"]
      ] as const) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
        expect([sql, (yield* client.sql("values current schema")).data]).toEqual([sql, [[schema]]])
      }
      const prepared = yield* client.run("set schema ?", ["ASKED"])
      expect(prepared).toMatchObject({ success: true, parameter_count: 1, update_count: 0 })
      expect(prepared.metadata.parameters).toMatchObject([{ type: "VARCHAR", precision: 128 }])
      expect((yield* client.sql("values current schema")).data).toEqual([["ASKED"]])
      expect((yield* client.run("set schema ?", [])).sql_state).toBe("07001")
      expect((yield* client.sql("set schema ?")).sql_state).toBe("07001")
      expect((yield* client.run("set schema x", [1])).sql_state).toBe("07009")
      expect((yield* client.run("commit", ["x"])).sql_state).toBe("07009")
      for (const sql of ["set schema", "set schema current date", "set schema user x", "set schema ? ?"]) {
        expect([sql, (yield* client.run(sql, [])).sql_rc]).toEqual([sql, -104])
      }
    })
  )
})

describe("SET", () => {
  it.scopedLive("of what means nothing here does nothing; of anything else it fails", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const sql of [
        "set path = sample, qsys2",
        'set current path system path, "SAMPLE"',
        "set current function path = system path",
        "set current degree = 'ANY'",
        "set encryption password = 'x'",
        "set transaction isolation level ur",
        "set transaction isolation level cs, read only"
      ]) {
        expect([sql, (yield* client.sql(sql)).error]).toEqual([sql, undefined])
      }
      for (const [sql, code, state] of [
        ["set name = 1", -206, "42703"],
        ["set x.name = (select 1 from sysibm.sysdummy1)", -206, "42703"],
        ["set (a, b) = (1, 2)", -206, "42703"],
        ["set option commit = *none", -84, "42612"],
        ["set result sets cursor c", -84, "42612"],
        ["set current nonsense = 1", -104, "42601"],
        ["set", -104, "42601"],
        ["set = 1", -104, "42601"]
      ] as const) {
        const answer = yield* client.sql(sql)
        expect([sql, answer.sql_rc, answer.sql_state]).toEqual([sql, code, state])
      }
      expect((yield* client.sql("set x.name = 1")).error).toContain("X.NAME")
    })
  )
})

describe("special registers", () => {
  it.scopedLive("of the user have four names, which tables and columns may have, too", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      expect((yield* client.sql("values (user, current user, session_user, system_user)")).data).toEqual([
        ["DEV", "DEV", "DEV", "DEV"]
      ])
      const answer = yield* client.sql("select user from sysibm.sysdummy1 where user = 'DEV'")
      expect([answer.data, answer.metadata.columns[0].name]).toEqual([[["DEV"]], "00001"])
      yield* client.sql('create table user (id integer, "USER" varchar(9))')
      yield* client.sql("insert into user values (1, user)")
      expect((yield* client.sql('select u.user, "USER", user from user u')).data).toEqual([["DEV", "DEV", "DEV"]])
    })
  )

  it.scopedLive("that are not known are refused by name", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      for (const name of ["current path", "current timezone", "current_path", "current degree"]) {
        const answer = yield* client.sql(`values ${name}`)
        expect([name, answer.sql_rc, answer.error]).toEqual([name, -84, expect.stringMatching(/know CURRENT \w+\.$/)])
      }
    })
  )
})
