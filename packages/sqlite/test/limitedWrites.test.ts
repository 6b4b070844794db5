import { describe, expect, it } from "vitest"
import { limitInside } from "../src/internal/worker/limitedWrites.js"

/** With single spaces, so that only the words count. */
const rewritten = (text: string) => limitInside(text)?.replaceAll(/\s+/g, " ")

describe("limitInside", () => {
  it.each([
    ["DELETE FROM t LIMIT 1", "DELETE FROM t WHERE _rowid_ IN (SELECT _rowid_ FROM t LIMIT 1) ;"],
    [
      "UPDATE t SET a = ? WHERE b = ? RETURNING a, b ORDER BY c DESC, b LIMIT ? OFFSET ?; SELECT 1",
      "UPDATE t SET a = ? WHERE _rowid_ IN (SELECT _rowid_ FROM t WHERE b = ? ORDER BY c DESC, b LIMIT ? OFFSET ?) " +
        "RETURNING a, b ;SELECT 1"
    ],
    [
      'UPDATE OR IGNORE main."from" AS f SET a = (SELECT 1 LIMIT 1), b = b IS DISTINCT FROM 3 LIMIT 2',
      'UPDATE OR IGNORE main."from" AS f SET a = (SELECT 1 LIMIT 1), b = b IS DISTINCT FROM 3 ' +
        'WHERE _rowid_ IN (SELECT _rowid_ FROM main."from" AS f LIMIT 2) ;'
    ],
    [
      "WITH old AS (SELECT id FROM u ORDER BY 1 LIMIT 9) DELETE FROM t WHERE id IN old OR id < 0 LIMIT 5",
      "WITH old AS (SELECT id FROM u ORDER BY 1 LIMIT 9) DELETE FROM t " +
        "WHERE _rowid_ IN (SELECT _rowid_ FROM t WHERE id IN old OR id < 0 LIMIT 5) ;"
    ]
  ])("%s", (text, other) => {
    expect(rewritten(text)).toBe(other)
  })

  it("a comment to the end of a line swallows nothing", () => {
    expect(limitInside("DELETE FROM t -- one\nWHERE a = 1 -- two\nLIMIT 1 -- three")).toBe(
      "DELETE FROM t -- one\n WHERE _rowid_ IN (SELECT _rowid_ FROM  t -- one\n WHERE a = 1 -- two\n LIMIT 1) ;"
    )
  })

  it.each([
    "",
    "SELECT 1 LIMIT 1",
    "INSERT INTO t SELECT 1 LIMIT 1",
    "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1 LIMIT 1",
    "WITH a AS (SELECT 1) SELECT * FROM a LIMIT 1",
    "UPDATE t SET a = 1",
    "UPDATE t SET a = 1 ORDER BY a",
    "UPDATE t SET a = 1 FROM u WHERE t.id = u.id LIMIT 1",
    "UPDATE t INDEXED BY i SET a = 1 LIMIT 1",
    "UPDATE t SET a = 1 RETURNING a + ? LIMIT ?",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t LIMIT 1; END"
  ])("left as it is: %s", (text) => {
    expect(limitInside(text)).toBeUndefined()
  })
})
