import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Db2Compiler from "../src/Db2Compiler.js"
import { tokensOf } from "../src/internal/db2/tokens.js"

const constructorOf = (compiler: Statement.Compiler) =>
  Statement.make(Effect.dieMessage("nothing is run here"), compiler, [], undefined)

const sql = constructorOf(Db2Compiler.make())

const compiled = (statement: Statement.Fragment, options?: Db2Compiler.Options) =>
  Db2Compiler.make(options).compile(statement, false)

const raw = (text: string, ...params: ReadonlyArray<unknown>) => compiled(sql.unsafe(text, params))

describe("names", () => {
  it("fold as Db2 folds them", () => {
    assert.strictEqual(compiled(sql`select * from ${sql("orders")}`)[0], 'select * from "ORDERS"')
    assert.strictEqual(compiled(sql`${sql("shop.orders")}`)[0], '"SHOP"."ORDERS"')
    assert.strictEqual(compiled(sql`${sql('or"ders')}`)[0], '"OR""DERS"')
  })

  it("stay as they are in quotes, or on demand", () => {
    assert.strictEqual(compiled(sql`${sql('"Orders"')}`)[0], '"Orders"')
    assert.strictEqual(compiled(sql`${sql('"Shop"."x"')}`)[0], '"Shop"."x"')
    assert.strictEqual(compiled(sql`${sql("Orders")}`, { identifiers: "preserve" })[0], '"Orders"')
  })

  it("stay part by part", () => {
    for (const [name, escaped] of [
      ['shop."Orders"', '"SHOP"."Orders"'],
      ['"Shop".orders', '"Shop"."ORDERS"'],
      ['"a.b".c', '"a.b"."C"'],
      ['a."b""c".d', '"A"."b""c"."D"'],
      ['"a"b.c', '"""A""B"."C"'],
      ["x.", '"X".""']
    ] as const) {
      assert.strictEqual(Db2Compiler.escape(name), escaped)
    }
    assert.strictEqual(Db2Compiler.escape('Shop."Orders"', "preserve"), '"Shop"."Orders"')
  })

  it("fold letter by letter: one stays one", () => {
    assert.strictEqual(Db2Compiler.escape("straße_größe"), '"STRAßE_GRÖßE"')
    assert.strictEqual(Db2Compiler.escape("öl.ŉx"), '"ÖL"."ŉX"')
  })

  it("no name ends before its closing quote", () =>
    FastCheck.assert(
      FastCheck.property(FastCheck.string({ minLength: 1 }), FastCheck.boolean(), (name, preserve) => {
        const tokens = tokensOf(Db2Compiler.escape(name, preserve ? "preserve" : "fold"))
        assert.isTrue(tokens.every(({ kind, text }) => kind === "name" || text === "."))
      })
    ))

  it("are transformed first, except without transforms", () => {
    const compiler = Db2Compiler.make({ transformQueryNames: (name) => name.replace(/[A-Z]/g, (c) => `_${c}`) })
    const statement = sql`${sql("createdAt")}`
    assert.strictEqual(compiler.compile(statement, false)[0], '"CREATED_AT"')
    assert.strictEqual(compiler.withoutTransform.compile(statement, false)[0], '"CREATEDAT"')
  })
})

describe("RETURNING", () => {
  it("of an insert reads the final table", () => {
    assert.deepStrictEqual(compiled(sql`insert into ${sql("t")} ${sql.insert({ id: 1, name: "a" }).returning("*")}`), [
      'SELECT * FROM FINAL TABLE (insert into "T" ("ID","NAME") VALUES (?,?))',
      [1, "a"]
    ])
  })

  it("of several rows keeps their order", () => {
    assert.deepStrictEqual(compiled(sql`insert into t ${sql.insert([{ id: 1 }, { id: 2 }]).returning("id")}`), [
      'SELECT id FROM FINAL TABLE (insert into t ("ID") VALUES (?),(?)) ORDER BY INPUT SEQUENCE',
      [1, 2]
    ])
  })

  it("of an update and a delete", () => {
    assert.deepStrictEqual(raw("update t set a = ? where id = ? returning *", 1, 2), [
      "SELECT * FROM FINAL TABLE (update t set a = ? where id = ?)",
      [1, 2]
    ])
    assert.deepStrictEqual(raw("  delete from t where id = ? Returning id, a;", 1), [
      "SELECT id, a FROM OLD TABLE (delete from t where id = ?)",
      [1]
    ])
    assert.deepStrictEqual(compiled(sql`update t set ${sql.update({ a: 1 }).returning("a")}`), [
      'SELECT a FROM FINAL TABLE (update t set "A" = ?)',
      [1]
    ])
  })

  it("parameters of its list come first", () => {
    assert.deepStrictEqual(raw("insert into t (a) values (?) returning a + ?, ? as b", 1, 2, 3), [
      "SELECT a + ?, CAST(? AS BIGINT) as b FROM FINAL TABLE (insert into t (a) values (?))",
      [2, 3, 1]
    ])
  })

  it("may stand beside a column with its name", () => {
    for (const [change, list] of [
      ["update t set returning = 1", "returning"],
      ["update t set a = 1, b = returning", "returning, a"],
      ["update t set a = returning", "returning + 1, left(b, 1)"],
      ["insert into t (returning) values (1)", "a, returning"],
      ["insert into t default values", "*"],
      ["update t set a = null where b is not null", "(a + 1) as c, -b"]
    ] as const) {
      assert.strictEqual(raw(`${change} returning ${list}`)[0], `SELECT ${list} FROM FINAL TABLE (${change})`)
    }
  })

  it("as a text, a name, a comment or anything else is none", () => {
    for (const text of [
      "insert into t values ('returning *')",
      'insert into t ("returning") values (1)',
      "insert into t values (1) -- returning *",
      "insert into t values (1) /* a /* returning */ * */",
      "select returning from t",
      "insert into t values (1) returning",
      "insert into t values (1) returning;",
      "update t set returning = 1 where id = 2",
      "update t set t.returning = 1, a = 2",
      "update t set a = 1, returning = returning * 2",
      "update t set a = returning + 1",
      "update t returning set a = 1",
      "update returning set a = 1",
      "delete from t where returning > 3 and returning - 1 > 4 or not returning",
      "delete from t where a between returning and 3",
      "delete from t where case returning when 1 then returning else returning end = 1",
      "delete from t as returning where 1 = 1",
      "delete from t returning where 1 = 1",
      "insert into t select returning from u",
      "insert into t select a returning, b from u order by returning",
      "insert into t select returning.a from u returning where b concat returning = 'x'",
      "insert into returning values (1)"
    ]) {
      assert.deepStrictEqual(raw(text), [text, []])
    }
  })
})

describe("markers without a type", () => {
  const text = (text: string, ...params: ReadonlyArray<unknown>) => raw(text, ...params)[0]

  it("get their value's in select lists", () => {
    assert.strictEqual(text("select ? as n", 7), "select CAST(? AS BIGINT) as n")
    assert.strictEqual(
      text("select ?, a, ? from t where b = ?", 1.5, true, 3),
      "select CAST(? AS DOUBLE), a, CAST(? AS BOOLEAN) from t where b = ?"
    )
    assert.strictEqual(
      text("select distinct ? x from t", "a"),
      "select distinct CAST(? AS VARCHAR(255) CCSID 1208) x from t"
    )
    assert.strictEqual(text("select ?", null), "select CAST(? AS VARCHAR(255) CCSID 1208)")
    assert.strictEqual(text("select ?", "x".repeat(5_000)), "select CAST(? AS VARCHAR(32000) CCSID 1208)")
    assert.strictEqual(text("select ?", "x".repeat(50_000)), "select CAST(? AS CLOB(1048576) CCSID 1208)")
    assert.strictEqual(text("select ?", new Date()), "select CAST(? AS TIMESTAMP)")
    assert.strictEqual(text("select ?", new Uint8Array(3)), "select CAST(? AS VARBINARY(255))")
    assert.strictEqual(text("select ?", 2n ** 80n), "select CAST(? AS DECIMAL(31,0))")
    assert.strictEqual(text("select ?", BigDecimal.unsafeFromString("1.50")), "select CAST(? AS DECIMAL(31,2))")
  })

  it("get one where both sides of an operator are markers", () => {
    assert.strictEqual(
      text("select ? + ? as n from t", 1, 2),
      "select CAST(? AS BIGINT) + CAST(? AS BIGINT) as n from t"
    )
    assert.strictEqual(text("select ? + 1 from t", 1), "select ? + 1 from t")
    assert.strictEqual(text("select a || ? from t", "x"), "select a || ? from t")
  })

  it("get one in VALUES where no column tells", () => {
    assert.strictEqual(text("values ?", 1), "values CAST(? AS BIGINT)")
    assert.strictEqual(text("values (?, ?)", 1, "a"), "values (CAST(? AS BIGINT), CAST(? AS VARCHAR(255) CCSID 1208))")
    assert.strictEqual(
      text("select * from (values (?, 2)) as v(a, b)", 1),
      "select * from (values (CAST(? AS BIGINT), 2)) as v(a, b)"
    )
    assert.strictEqual(text("insert into t values (?, ?)", 1, 2), "insert into t values (?, ?)")
  })

  it("in subqueries, unions and inserts from queries", () => {
    assert.strictEqual(
      text("insert into t (a, b) select ?, c from u where d in (select ? from v where e = ?)", 1, 2, 3),
      "insert into t (a, b) select CAST(? AS BIGINT), c from u where d in (select CAST(? AS BIGINT) from v where e = ?)"
    )
    assert.strictEqual(
      text("select ? union all select ?", 1, 2),
      "select CAST(? AS BIGINT) union all select CAST(? AS BIGINT)"
    )
    assert.strictEqual(
      text("select a from t where b = ? fetch first ? rows only", 1, 2),
      "select a from t where b = ? fetch first ? rows only"
    )
    assert.strictEqual(
      text("select coalesce(?, a), cast(? as int) from t", 1, 2),
      "select coalesce(?, a), cast(? as int) from t"
    )
    assert.strictEqual(text("select '?', \"?\" from t where a = ?", 1), "select '?', \"?\" from t where a = ?")
  })

  it("the same text with other values gets other types", () => {
    assert.strictEqual(text("select ? as again", 1), "select CAST(? AS BIGINT) as again")
    assert.strictEqual(text("select ? as again", 1.5), "select CAST(? AS DOUBLE) as again")
  })
})

describe("updateValues", () => {
  it("is a table for MERGE, typed by column", () => {
    assert.deepStrictEqual(
      compiled(
        sql`merge into t using ${sql.updateValues(
          [
            { id: 1, name: null },
            { id: 2, name: "b" }
          ],
          "v"
        )} on t.id = v.id when matched then update set name = v.name`
      ),
      [
        'merge into t using (VALUES (CAST(? AS BIGINT),CAST(? AS VARCHAR(255) CCSID 1208)),(CAST(? AS BIGINT),CAST(? AS VARCHAR(255) CCSID 1208))) AS v("ID","NAME") on t.id = v.id when matched then update set name = v.name',
        [1, null, 2, "b"]
      ]
    )
  })
})

describe("dialect", () => {
  it("takes a branch of its own name, else the last resort", () => {
    const branches = { sqlite: () => "sqlite", orElse: () => "else" }
    assert.strictEqual(sql.onDialectOrElse(branches), "else")
    const more = { ...branches, [Db2Compiler.dialect]: () => "db2" }
    assert.strictEqual(sql.onDialectOrElse(more), "db2")
  })

  it("compiles a statement once", () => {
    const compiler = Db2Compiler.make()
    const statement = sql`select ${1}`
    assert.strictEqual(compiler.compile(statement, false), compiler.compile(statement, false))
  })
})
