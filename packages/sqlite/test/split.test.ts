import { FastCheck as fc } from "effect"
import { describe, expect, it } from "vitest"
import { firstStatement, type Statement } from "../src/internal/split.js"

const first = (sql: string): Statement => {
  const statement = firstStatement(sql)
  if (statement === undefined) throw new Error("no statement")
  return statement
}

const all = (sql: string): Array<string> => {
  const out: Array<string> = []
  let rest = sql
  while (rest !== "") {
    const statement = firstStatement(rest)
    if (statement === undefined) break
    out.push(statement.text)
    rest = statement.tail
  }
  return out
}

const trigger = `CREATE TEMP TRIGGER IF NOT EXISTS t AFTER INSERT ON a BEGIN
  UPDATE a SET x = CASE WHEN x > 1 THEN 2 ELSE 3 END; -- one; END;
  INSERT INTO b VALUES (';END;');
END`

describe("firstStatement", () => {
  it.each<[string, Array<string>]>([
    ["", []],
    [" \n\t ; ;; -- x\n /* ; */ ", []],
    ["\ufeffselect 1", ["select 1"]],
    // Inside of a name a byte order mark belongs to it; a vertical tab is white space behind other.
    ["select a\ufeff;b", ["select a\ufeff", "b"]],
    [" \v\vselect 1; \v", ["select 1"]],
    ["select 1", ["select 1"]],
    [";; select 1 ;; ", ["select 1"]],
    ["select 1; select 2;", ["select 1", "select 2"]],
    ["select ';''; ', \"a;\"\"b\", `c;`, [d;]; select 2", ["select ';''; ', \"a;\"\"b\", `c;`, [d;]", "select 2"]],
    ["select 1 -- ; x\n ; select 2 /* ; */ ;/* end", ["select 1", "select 2"]],
    ["select x';' ; select 1", ["select x';'", "select 1"]],
    ["select 'open; select 2", ["select 'open; select 2"]],
    [`${trigger}; select 1`, [trigger, "select 1"]],
    [`explain query plan ${trigger};select 1`, [`explain query plan ${trigger}`, "select 1"]],
    ["create table trigger_x(a); select 1", ["create table trigger_x(a)", "select 1"]],
    ["begin; insert into t values(1); end; select 1", ["begin", "insert into t values(1)", "end", "select 1"]],
    ["select case when 1 then 2 end; select 3", ["select case when 1 then 2 end", "select 3"]],
    ["select 1/2; select 4-3", ["select 1/2", "select 4-3"]],
    ["select $a::b(c;d) ; select 2", ["select $a::b(c;d)", "select 2"]]
  ])("splits %j", (sql, expected) => expect(all(sql)).toStrictEqual(expected))

  it("has an exact tail", () => {
    expect(first("select 1 ; -- x\n ; select 2 ").tail).toBe("select 2 ")
    expect(first("select 1 ; -- nothing").tail).toBe("")
    expect(first("select 1;;").tail).toBe("")
  })

  it.each<[string, number]>([
    ["select 1", 0],
    ["select ?, ?", 2],
    ["select ?2, ?", 3],
    ["select ?, ?1", 1],
    ["select :a, :b, :a, @a, $a", 4],
    ["select ?5, :a, :a, ?", 7],
    ["select '?', \"?\", [?], `?`, -- ?\n/* ? */ ?", 1],
    ["select $a::b(x), :c", 2],
    ["select a->?, b->>?2", 2],
    ["select 'x'||:a1_é", 1]
  ])("counts the parameters of %j", (sql, count) => expect(first(sql).parameterCount).toBe(count))

  it.each<[string, readonly: boolean, routable: boolean]>([
    ["select 1", true, true],
    [" /* c */ -- d\n SELECT replace(a, 'x', 'y') from t", true, true],
    ["values (1)", true, true],
    ["with a as (select 1) select * from a", true, true],
    ["with a as (select 1) select replace(x, 1, 2) from a", true, true],
    ["with a as (select 1) insert into t select * from a", false, false],
    ["with a as (select 1) replace into t select * from a", false, false],
    ["with a as (select 1) delete from t", false, false],
    ['select "delete" from t', true, true],
    ["select last_insert_rowid ()", true, false],
    ['select "changes"()', true, false],
    ["select total_changes /* c */ (), 1", true, false],
    ["select changes from t", true, true],
    ["select load_extension('x')", true, false],
    ["select * from pragma_table_info('t')", true, false],
    ["select * from [pragma_user_version]", true, false],
    ["explain select 1", true, false],
    ["insert into t values (1)", false, false],
    ["pragma user_version", true, false],
    ["pragma user_version = 3", false, false],
    ["pragma table_info(t)", false, false],
    ["pragma wal_checkpoint", false, false],
    ["begin", true, false],
    ["begin immediate", false, false],
    ["commit", true, false],
    ["vacuum", false, false]
  ])("knows what %j does", (sql, readonly, routable) =>
    expect([first(sql).readonly, first(sql).routable]).toStrictEqual([readonly, routable])
  )

  it.each<[string, boolean]>([
    ["create temp table t(a)", true],
    ["CREATE TEMPORARY VIEW t as select 1", true],
    ["create table temp.t(a)", true],
    ['create table if not exists "temp" . t(a)', true],
    ["create virtual table temp.t using fts5(a)", true],
    ["attach 'x' as y", true],
    ["create table t(temp)", false],
    ["select * from temp.t", false]
  ])("sees what only one connection has in %j", (sql, expected) => expect(first(sql).private).toBe(expected))

  it("loses nothing of a script", () => {
    const piece = fc.constantFrom("select 1", "select ';'", "values(?)", trigger, 'select "a;" -- ;\n', "x';'", "[;]")
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        expect(all(pieces.join(" ; "))).toStrictEqual(pieces.map((text) => text.replace(/ -- ;\n$/, "")))
      })
    )
  })

  it("ends on any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."a;'\"[]`-/*\n?:$@#(). 1e_x\0é") }), (sql) => {
        const statement = firstStatement(sql)
        if (statement !== undefined) expect(sql.endsWith(statement.tail)).toBe(true)
      })
    )
  })
})
