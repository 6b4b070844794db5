import { assert, describe, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as FastCheck from "effect/FastCheck"
import { encodeParameterRows, encodeParameters } from "../src/internal/parameters.js"
import * as Protocol from "../src/Protocol.js"

const encode = (value: unknown, options?: Parameters<typeof encodeParameters>[1]) => {
  const encoded = encodeParameters([value], options)
  return Array.isArray(encoded) ? (encoded[0] as Protocol.Parameter) : SqlFailure.from(encoded)
}

describe("parameters", () => {
  it("stand for exactly what was given (section 3.4)", () => {
    assert.strictEqual(encode(null), null)
    assert.strictEqual(encode(undefined), null)
    assert.strictEqual(encode(""), "")
    assert.strictEqual(encode("  padded  "), "  padded  ")
    assert.strictEqual(encode(true), true)
    assert.strictEqual(encode(1.5), 1.5)
    assert.strictEqual(encode(-0), "-0")
    assert.strictEqual(encode(9007199254740993n), "9007199254740993")
    assert.strictEqual(encode(-(10n ** 40n)), `-1${"0".repeat(40)}`)
    assert.strictEqual(encode(BigDecimal.unsafeFromString("120.50")), "120.50")
    assert.strictEqual(encode(BigDecimal.make(-5n, 7)), "-0.0000005")
    assert.strictEqual(encode(BigDecimal.make(12n, -3)), "12000")
    assert.strictEqual(encode(new Date("2024-06-15T13:45:30.123Z")), "2024-06-15 13:45:30.123")
    assert.strictEqual(encode(DateTime.unsafeMake("2024-06-15T13:45:30.123Z")), "2024-06-15 13:45:30.123")
  })

  it("bytes are hex, or base64 where the daemon wants that", () => {
    const bytes = new Uint8Array([0, 1, 0xde, 0xad, 0xbe, 0xef]).subarray(1)
    assert.strictEqual(encode(bytes), "01DEADBEEF")
    assert.strictEqual(encode(Buffer.from(bytes)), "01DEADBEEF")
    assert.strictEqual(encode(new Uint8Array([255]).buffer), "FF")
    assert.strictEqual(encode(new Uint8Array()), "")
    assert.strictEqual(encode(bytes, { binary: "base64" }), "Ad6tvu8=")
  })

  it("what cannot be sent is refused by place and kind, never with its value", () => {
    for (const value of [
      NaN,
      Infinity,
      -Infinity,
      "half \ud800 a pair",
      { secret: "s3cret" },
      ["s3cret"],
      () => "s3cret",
      Symbol("s3cret"),
      new Date(NaN),
      new Date(-1e15),
      Object.create(null)
    ]) {
      const failure = encode(value)
      assert.instanceOf(failure, SqlFailure.SqlFailure)
      assert.strictEqual(failure.reason, "InvalidParameter")
      assert.match(failure.message, /^Parameter 1 cannot be sent/)
      assert.notInclude(failure.message, "s3cret")
    }
  })

  it("rows of a batch tell the row that is wrong", () => {
    assert.deepStrictEqual(
      encodeParameterRows([
        [1, "a"],
        [2n, null]
      ]),
      [
        [1, "a"],
        ["2", null]
      ]
    )
    for (const [rows, failedRow] of [
      [[[1], [1, 2]], 1],
      [[[]], 0],
      [[[1], [NaN]], 1]
    ] as const) {
      const failure = SqlFailure.from(encodeParameterRows(rows))
      assert.strictEqual(failure.reason, "InvalidParameter")
      assert.strictEqual(failure.failedRow, failedRow)
    }
  })

  it("arrive as they were sent", () =>
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(
          FastCheck.oneof(
            FastCheck.string({ unit: "binary" }),
            FastCheck.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Object.is(n, -0)),
            FastCheck.boolean(),
            FastCheck.constant(null)
          )
        ),
        (values) => {
          const parameters = encodeParameters(values)
          assert.isTrue(Array.isArray(parameters))
          const text = Protocol.encode({ id: "x", type: "execute", cont_id: "p", parameters: parameters as [] })
          const request = Protocol.parseRequest(text)
          assert.strictEqual(request._tag, "Request")
          const received = (request as { request: { parameters: ReadonlyArray<unknown> } }).request.parameters
          assert.deepStrictEqual(
            received.map((value, i) => (typeof values[i] === "number" ? Number(value) : value)),
            values
          )
        }
      )
    ))
})
