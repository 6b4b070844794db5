import { FastCheck as fc } from "effect"
import { describe, expect, it, vi } from "vitest"
import { makeDecoder, readColumns, readError, UnsafeIntegerError, views } from "../src/internal/decoder.js"
import { ColumnFlag, Header, Header8, Kind } from "../src/internal/page.js"
import type { PageColumn } from "../src/internal/pageSource.js"
import { PageWriter, type Value } from "../src/internal/worker/encodePage.js"

const facts = {
  flags: 0,
  code: 0,
  why: 0,
  detail: -1,
  changes: -1,
  lastInsertRowid: 0n,
  engineNanos: 0,
  error: undefined
}

/** A page of these rows at `base` of a buffer that is filled with other bytes. */
const page = (
  rows: ReadonlyArray<ReadonlyArray<Value>>,
  columns: number,
  options: { base?: number; shared?: boolean; block?: ReadonlyArray<PageColumn>; error?: string } = {}
) => {
  const base = options.base ?? 0
  const writer = new PageWriter(columns, options.block)
  for (const row of rows) expect(writer.add(row, 1e9)).toBe(0)
  const length = writer.length(options.error)
  const buffer = options.shared ? new SharedArrayBuffer(base + length) : new ArrayBuffer(base + length)
  const bytes = new Uint8Array(buffer).fill(0xa5)
  expect(writer.finish(bytes, base, { ...facts, error: options.error })).toBe(length)
  return { buffer, base, source: views(buffer) }
}

const named = (...names: Array<string>) => names.map((name) => ({ name }))

const model = (value: Value, integers: "number" | "bigint") =>
  typeof value === "bigint" && integers === "number" ? Number(value) : value

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("", "\0", "a\0b", "😀", "x😀é", "\ufeff", "é".repeat(40), "abc".repeat(20))
)
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const safeInteger = fc.maxSafeInteger().map(BigInt)
const float = fc.double({ noNaN: true })
const blob = fc.uint8Array({ maxLength: 20 })
const kinds: Array<fc.Arbitrary<Value>> = [
  fc.constant(null),
  fc.integer().map(BigInt),
  safeInteger,
  int64,
  float,
  text,
  fc.string({ unit: "binary-ascii" }),
  blob,
  fc.oneof(fc.constant(null), safeInteger, float, text, blob)
]

/** Columns that each keep to one kind, with or without nulls, and rows of them. */
const table = fc
  .array(fc.tuple(fc.nat(kinds.length - 1), fc.boolean()), { minLength: 1, maxLength: 6 })
  .chain((columns) =>
    fc
      .array(
        fc.tuple(...columns.map(([kind, nulls]) => (nulls ? fc.option(kinds[kind]!, { freq: 3 }) : kinds[kind]!))),
        { maxLength: 12 }
      )
      .map((rows) => ({ columns: columns.length, rows }))
  )

const isSafe = (rows: ReadonlyArray<ReadonlyArray<Value>>) =>
  rows.every((row) => row.every((value) => typeof value !== "bigint" || Number.isSafeInteger(Number(value))))

describe("decoder", () => {
  it.each([
    ["interpreted", 1],
    ["generated", 6]
  ])("answers what the page writer was given (%s)", (_name, times) => {
    fc.assert(
      fc.property(table, fc.nat(3), fc.boolean(), ({ columns, rows }, place, shared) => {
        const { base, source } = page(rows, columns, { base: place * 8, shared })
        const names = Array.from({ length: columns }, (_, i) => `c${i}`)
        const decoder = makeDecoder(named(...names))
        for (const integers of ["number", "bigint"] as const) {
          if (integers === "number" && !isSafe(rows)) continue
          for (let n = 0; n < times; n++) {
            const arrays = rows.map((row) => row.map((value) => model(value, integers)))
            expect(decoder.decode(source, base, "arrays", integers)).toStrictEqual(arrays)
            expect(decoder.decode(source, base, "objects", integers)).toStrictEqual(
              arrays.map((row) => Object.fromEntries(row.map((value, i) => [names[i], value])))
            )
          }
        }
      }),
      { numRuns: 300 }
    )
  })

  it("names the column and row of an integer that a number cannot hold", () => {
    const rows = [
      [1n, null],
      [null, "x"],
      [2n ** 53n, 3n],
      [4n, -(2n ** 63n)]
    ]
    const { base, source } = page(rows, 2)
    const decoder = makeDecoder(named("a", "b"))
    for (let n = 0; n < 6; n++) {
      for (const shape of ["arrays", "objects"] as const) {
        const error = thrown(() => decoder.decode(source, base, shape, "number"))
        expect(error).toBeInstanceOf(UnsafeIntegerError)
        expect([
          ["a", 2],
          ["b", 3]
        ]).toContainEqual([error.column, error.row])
      }
    }
    expect(decoder.decode(source, base, "arrays", "bigint")).toStrictEqual(rows)
  })

  it("has the last of columns with the same name, and any name as an own property", () => {
    const names = ["a", "a", "__proto__", "constructor", "1", "q\"\\\n\u2028'`${x}", ""]
    const { base, source } = page([[1n, 2n, 3n, 4n, 5n, 6n, null]], names.length)
    const decoder = makeDecoder(named(...names))
    for (let n = 0; n < 6; n++) {
      const [row] = decoder.decode(source, base, "objects", "number") as [Record<string, unknown>]
      expect(Object.getPrototypeOf(row)).toBe(Object.prototype)
      expect(Object.entries(row).sort()).toStrictEqual(
        [
          ["a", 2],
          ["__proto__", 3],
          ["constructor", 4],
          ["1", 5],
          [names[5], 6],
          ["", null]
        ].sort()
      )
      expect(decoder.decode(source, base, "arrays", "number")).toStrictEqual([[1, 2, 3, 4, 5, 6, null]])
    }
  })

  it("replaces what is not UTF-8", () => {
    const { base, buffer, source } = page([["aé"], ["bb"], [null]], 1)
    const word = (base + 96) >> 2
    const bytes = source.bytes
    // As the pump writes it: ends in bytes, and the flag.
    const data = source.u32[word + 1]! >> 2
    const aux = source.u32[word + 2]!
    bytes[aux + 1] = 0xff
    bytes[aux + 2] = 0x20
    source.u32.set([3, 5, 5], data)
    source.i32[word] = Kind.text | ((ColumnFlag.badUtf8 | ColumnFlag.hasNulls) << 8)
    const decoder = makeDecoder(named("t"))
    for (let n = 0; n < 6; n++) {
      expect(decoder.decode(views(buffer), base, "arrays", "number")).toStrictEqual([["a\ufffd "], ["bb"], [null]])
    }
  })

  it("copies blobs, but views a large one in a page that is its own", () => {
    const large = new Uint8Array(70_000).fill(7)
    const { buffer } = page([[large, new Uint8Array([1, 2])]], 2)
    const own = views(buffer, true)
    const decoder = makeDecoder(named("large", "small"))
    const [[first, second]] = decoder.decode(own, 0, "arrays", "number") as [[Uint8Array, Uint8Array]]
    expect(Buffer.compare(first, large)).toBe(0)
    expect(first.buffer).toBe(buffer)
    expect(second.buffer).not.toBe(buffer)
    const [[copied]] = decoder.decode(views(buffer), 0, "arrays", "number") as [[Uint8Array]]
    expect(Buffer.compare(copied, large)).toBe(0)
    expect(copied.buffer).not.toBe(buffer)
    const shared = page([[large]], 1, { shared: true })
    const [[out]] = makeDecoder(named("b")).decode(views(shared.buffer, true), 0, "arrays", "number") as [[Uint8Array]]
    expect(out.buffer).toBeInstanceOf(ArrayBuffer)
  })

  it("reads columns, errors and an empty page", () => {
    const block = [
      { name: "é", type: "TEXT" },
      { name: "", type: undefined },
      { name: "x", type: "" }
    ]
    const { base, source } = page([], 3, { base: 16, block, error: 'near "x": 😀' })
    expect(readColumns(source, base)).toStrictEqual(block)
    expect(readError(source, base)).toBe('near "x": 😀')
    expect(source.u32[(base >> 2) + Header.rows]).toBe(0)
    expect(source.i64[(base >> 3) + Header8.lastInsertRowid]).toBe(0n)
    expect(makeDecoder(block).decode(source, base, "objects", "number")).toStrictEqual([])
    const other = page([[1n]], 1)
    expect(readColumns(other.source, 0)).toBeUndefined()
    expect(readError(other.source, 0)).toBeUndefined()
    expect(() => makeDecoder(block).decode(other.source, 0, "objects", "number")).toThrow("1 columns")
  })

  it("does without generated code where that is forbidden", async () => {
    vi.resetModules()
    vi.stubGlobal("Function", function () {
      throw new EvalError("Code generation from strings disallowed for this context")
    })
    try {
      const fresh = await import("../src/internal/decoder.js")
      const rows = Array.from({ length: 100 }, (_, i) => [BigInt(i), `t${i}`])
      const { base, source } = page(rows, 2)
      const decoder = fresh.makeDecoder(named("a", "b"))
      for (let n = 0; n < 6; n++) expect(decoder.decode(source, base, "arrays", "bigint")).toStrictEqual(rows)
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it("keeps to its layouts when there are more than it remembers", () => {
    const decoder = makeDecoder(named("a", "b", "c", "d", "e"))
    for (let n = 0; n < 160; n++) {
      const bits = n % 32
      const row = Array.from({ length: 5 }, (_, i) => (bits & (1 << i) ? BigInt(n) : null))
      const { base, source } = page([row], 5)
      expect(decoder.decode(source, base, "arrays", "bigint")).toStrictEqual([row])
    }
  })
})

describe("page writer", () => {
  it("leaves the row that does not fit, and says how much it needs", () => {
    const rows: Array<Array<Value>> = Array.from({ length: 200 }, (_, i) => [
      i % 7 === 0 ? null : BigInt(i),
      "t".repeat(i % 50),
      i % 3 === 0 ? 0.5 : new Uint8Array(i)
    ])
    const decoder = makeDecoder(named("a", "b", "c"))
    const out: Array<unknown> = []
    let at = 0
    while (at < rows.length) {
      const writer = new PageWriter(3, undefined)
      let needed = 0
      while (at < rows.length && (needed = writer.add(rows[at]!, 2048)) === 0) at++
      if (writer.rowCount === 0) throw new Error(`needs ${needed}`)
      const buffer = new ArrayBuffer(2048)
      expect(writer.finish(new Uint8Array(buffer), 0, facts)).toBeLessThanOrEqual(2048)
      out.push(...decoder.decode(views(buffer), 0, "arrays", "bigint"))
    }
    expect(out).toStrictEqual(rows)
    const writer = new PageWriter(1, undefined)
    const needed = writer.add(["x".repeat(5000)], 2048)
    expect(needed).toBeGreaterThan(5000)
    expect(writer.add(["x".repeat(5000)], needed)).toBe(0)
    expect(writer.length(undefined)).toBe(needed)
  })

  it("gives a large row a page of its own", () => {
    const large = "x".repeat(70_000)
    const first = new PageWriter(1, undefined)
    expect([first.add(["a"], 1e6), first.add([large], 1e6) > 0]).toStrictEqual([0, true])
    const second = new PageWriter(1, undefined)
    expect([second.add([large], 1e6), second.add(["a"], 1e6) > 0]).toStrictEqual([0, true])
  })
})

const thrown = (run: () => unknown): UnsafeIntegerError => {
  try {
    run()
  } catch (error) {
    return error as UnsafeIntegerError
  }
  throw new Error("nothing was thrown")
}
