/** Properties go through one table: what the client writes is what the server reads. */
import { assert, describe, it } from "@effect/vitest"
import { Protocol } from "@sluice/mapepire"
import { parseProperties } from "../src/internal/properties.js"

const read = (options: Protocol.JdbcOptions) => {
  const text = Protocol.encodeJdbc(options)
  return typeof text === "string" ? parseProperties(text) : assert.fail(String(text))
}

describe("JDBC properties", () => {
  it("are read as they were written", () => {
    assert.deepStrictEqual(
      read({
        "auto commit": false,
        "cursor hold": false,
        "transaction isolation": "none",
        access: "read only",
        libraries: ["*LIBL", "shop", "SHOPREF"],
        "date format": "usa",
        "date separator": "-",
        "time format": "hms",
        "time separator": ".",
        "timestamp format": "ibmsql"
      }),
      {
        autoCommit: false,
        isolated: false,
        readOnly: true,
        cursorHold: false,
        schema: "SHOP",
        libraries: ["SHOP", "SHOPREF"],
        date: "usa",
        dateSeparator: "-",
        time: "hms",
        timeSeparator: ".",
        timestampFormat: "ibmsql"
      }
    )
    assert.isUndefined(read({ naming: "system", libraries: ["SHOP"] }).schema)
  })

  it("have the defaults of a daemon's job, names in any case, and the last of two counts", () => {
    const { autoCommit, date, isolated, readOnly, schema, time } = parseProperties("nothing;unknown=1")
    assert.deepStrictEqual(
      [autoCommit, isolated, readOnly, schema, date, time],
      [true, true, false, undefined, "iso", "jis"]
    )
    assert.isFalse(parseProperties("AUTO COMMIT=true; Auto Commit = FALSE ").autoCommit)
  })
})
