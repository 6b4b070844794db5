import { FastCheck as fc } from "effect"
import { describe, expect, it } from "vitest"
import {
  encode,
  encodeInto,
  encodeRows,
  encodeRowsInto,
  ParameterError,
  parameterView
} from "../src/internal/parameters.js"

type Tagged = null | bigint | number | string | Array<number>

/** Reads tagged bytes as the worker does. */
const read = (buffer: ArrayBuffer | SharedArrayBuffer, offset = 0, end = buffer.byteLength): Array<Tagged> => {
  const data = new DataView(buffer)
  const out: Array<Tagged> = []
  let at = offset
  while (at < end) {
    const tag = data.getUint8(at++)
    if (tag === 0) out.push(null)
    else if (tag < 3) {
      out.push(tag === 1 ? data.getBigInt64(at, true) : data.getFloat64(at, true))
      at += 8
    } else {
      const length = data.getUint32(at, true)
      const bytes = new Uint8Array(buffer, at + 4, length).slice()
      out.push(tag === 3 ? new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) : [...bytes])
      at += 4 + length
    }
  }
  expect(at).toBe(end)
  return out
}

const failure = (run: () => unknown): Array<unknown> => {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(ParameterError)
    const { kind, message, position, row } = error as ParameterError
    expect(message).not.toContain("secret")
    return [position, kind, row]
  }
  throw new Error("nothing was thrown")
}

const wellFormed = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.constantFrom("", "\0", "a\0b", "é", "abcdefghijklmno", "abcdefghijklmnop", "abcdefghijklmnopq", "0123456789abcdeé")
)

const value = fc.oneof(
  fc.constantFrom(null, undefined, true, false, -0, 0, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53, -(2 ** 53), Infinity),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  wellFormed,
  fc.uint8Array(),
  fc.date({ noInvalidDate: true })
)

const model = (input: unknown): Tagged => {
  if (input === null || input === undefined) return null
  if (typeof input === "boolean") return input ? 1n : 0n
  if (typeof input === "number") return Number.isSafeInteger(input) && !Object.is(input, -0) ? BigInt(input) : input
  if (input instanceof Date) return input.toISOString()
  return input instanceof Uint8Array ? [...input] : (input as bigint | string)
}

describe("parameters", () => {
  it("are read back as they were written, in every kind of memory", () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 8 }), fc.nat(9), (params, offset) => {
        const expected = params.map(model)
        expect(read(encode(params))).toStrictEqual(expected)
        for (const buffer of [new ArrayBuffer(4096), new SharedArrayBuffer(4096)]) {
          const written = encodeInto(params, parameterView(buffer), offset, 4096 - offset)
          expect(read(buffer, offset, offset + written)).toStrictEqual(expected)
        }
      })
    )
  })

  it("answer −1 exactly when they do not fit, and stay within their room", () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), fc.nat(40), (params, short) => {
        const size = encode(params).byteLength
        const buffer = new ArrayBuffer(size + 64)
        const bytes = new Uint8Array(buffer).fill(0xee)
        expect(encodeInto(params, parameterView(buffer), 8, size)).toBe(size)
        const room = Math.max(0, size - 1 - short)
        expect(encodeInto(params, parameterView(buffer), 8, room)).toBe(-1)
        expect(bytes.subarray(8 + size).every((byte) => byte === 0xee)).toBe(true)
      })
    )
  })

  it("take every view on bytes and leave it as it was", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(9)
    const source = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8])
    const params = [
      source.subarray(2, 5),
      source.buffer,
      new Int8Array([-1]),
      new Uint16Array(source.buffer, 2, 1),
      new DataView(source.buffer, 7),
      shared,
      shared.buffer,
      Buffer.from("é"),
      new Uint8Array(0)
    ]
    expect(read(encode(params))).toStrictEqual([
      [3, 4, 5],
      [1, 2, 3, 4, 5, 6, 7, 8],
      [255],
      [3, 4],
      [8],
      [9, 9, 9, 9],
      [9, 9, 9, 9],
      [195, 169],
      []
    ])
    expect(source).toStrictEqual(new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]))
  })

  it("name the place and type of what cannot be bound, never the value", () => {
    const detached = new Uint8Array(8)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    class Secret {
      readonly secret = "secret"
    }
    const hostile = new Proxy(
      {},
      {
        get: () => {
          throw new Error("secret")
        }
      }
    )
    const cases: Array<readonly [unknown, string]> = [
      [NaN, "NaN"],
      [2n ** 63n, "bigint beyond 64 bits"],
      [-(2n ** 63n) - 1n, "bigint beyond 64 bits"],
      ["secret\ud800", "lone surrogate"],
      ["\udc00" + "secret".repeat(10), "lone surrogate"],
      [new Date(NaN), "invalid Date"],
      [detached, "detached buffer"],
      [detached.buffer, "detached buffer"],
      [["secret"], "Array"],
      [{ secret: 1 }, "Object"],
      [new Secret(), "Secret"],
      [Object.create(null), "object"],
      [new Map([["secret", 1]]), "Map"],
      [hostile, "object"],
      [() => "secret", "function"],
      [Symbol("secret"), "symbol"],
      [new String("secret"), "String"]
    ]
    for (const [bad, kind] of cases) {
      expect(failure(() => encode([1, bad]))).toStrictEqual([2, kind, undefined])
      expect(failure(() => encodeInto([1, bad], parameterView(new SharedArrayBuffer(64)), 0, 64))).toStrictEqual([
        2,
        kind,
        undefined
      ])
      expect(
        failure(() =>
          encodeRows([
            [1, 2],
            [bad, 1]
          ])
        )
      ).toStrictEqual([1, kind, 1])
    }
  })

  it("come in rows of one length", () => {
    const rows = [
      [1, "é"],
      [null, new Uint8Array([1])]
    ]
    expect(read(encodeRows(rows))).toStrictEqual([1n, "é", null, [1]])
    const buffer = new SharedArrayBuffer(64)
    const written = encodeRowsInto(rows, parameterView(buffer), 0, 64)
    expect(read(buffer, 0, written)).toStrictEqual([1n, "é", null, [1]])
    expect(encodeRowsInto(rows, parameterView(buffer), 0, written - 1)).toBe(-1)
    expect(encodeRows([]).byteLength).toBe(0)
    expect(failure(() => encodeRows([[1, 2], [1, 2], [1]]))).toStrictEqual([0, "1 where the first row has 2", 2])
  })
})
