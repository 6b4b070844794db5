import { assert, describe, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import * as Protocol from "../src/Protocol.js"

const refused = (options: object): string => {
  const failure = SqlFailure.from(Protocol.encodeJdbc(options))
  assert.strictEqual(failure.reason, "InvalidParameter", JSON.stringify(options))
  return failure.message
}

describe("JDBC properties", () => {
  it("are written by name and value", () => {
    assert.strictEqual(
      Protocol.encodeJdbc({
        naming: "sql",
        libraries: ["SHOP", "*LIBL"],
        "date format": "iso",
        "auto commit": false,
        "transaction isolation": "read committed",
        "block size": 256,
        errors: undefined
      }),
      "naming=sql;libraries=SHOP,*LIBL;date format=iso;auto commit=false;transaction isolation=read committed;block size=256"
    )
    assert.strictEqual(Protocol.encodeJdbc({}), "")
    assert.strictEqual(Protocol.encodeJdbc({ raw: { "new thing": 5, a: "x=y" } }), "new thing=5;a=x=y")
  })

  it("come back from what was written", () => {
    const text = Protocol.encodeJdbc({ "transaction isolation": "none", libraries: ["A", "B"], "cursor hold": true })
    assert.deepStrictEqual(
      [...Protocol.parseJdbc(text as string)],
      [
        ["transaction isolation", "none"],
        ["libraries", "A,B"],
        ["cursor hold", "true"]
      ]
    )
    assert.deepStrictEqual(
      [...Protocol.parseJdbc(" AUTO COMMIT = false ;nothing; unknown=1;auto commit=true")],
      [["auto commit", "true"]]
    )
    assert.strictEqual(Protocol.parseJdbc(undefined).size, 0)
  })

  it("that are not known, or not the user's to set, are refused", () => {
    assert.include(refused({ "vairiable field compression": "true" }), "vairiable")
    for (const name of ["user", "password", "PASSWORD", "prompt", "proxy server", "secondary URL"]) {
      assert.include(refused({ [name]: "s3cret" }), "must not be set")
      assert.notInclude(refused({ raw: { [name]: "s3cret" } }), "s3cret")
    }
  })

  it("values that are not allowed are refused, and never shown", () => {
    for (const options of [
      { naming: "s3cret" },
      { "auto commit": "s3cret" },
      { "block size": 16_001 },
      { "maximum scale": 1.5 },
      { "maximum blocked input rows": "" },
      { libraries: [] },
      { libraries: ["LONGERTHAN10"] },
      { libraries: ["A;password=s3cret"] },
      { "sort table": "A;password=s3cret" },
      { raw: { x: "a;password=s3cret" } },
      { raw: { "x;y": "s3cret" } },
      { raw: { "": "s3cret" } },
      { "query optimize goal": "3" }
    ]) {
      assert.notInclude(refused(options), "s3cret")
    }
  })
})
