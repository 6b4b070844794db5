import { assert, describe, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import * as FastCheck from "effect/FastCheck"
import * as frame from "../src/internal/frame.js"
import { outputParameters } from "../src/internal/outputs.js"
import { rowDecoder, type RowOptions, type Rows } from "../src/internal/rows.js"
import { scan } from "../src/internal/scan.js"
import { cellDecoder } from "../src/internal/values.js"
import { exchanges } from "./frames.js"

type Columns = Parameters<typeof rowDecoder>[0]

const raw = (text: string): frame.RawRows => ({ text, start: 0, end: text.length })
const columnsOf = (...columns: ReadonlyArray<readonly [name: string, type: string]>): Columns =>
  columns.map(([name, type]) => ({ name, type }))

/** The rows of one page, with nothing kept for the next. */
const rowsOf = (data: frame.RawRows, columns: Columns, options?: RowOptions): Rows =>
  rowDecoder(columns, options).decode(data)

const decode = (text: string, columns: Columns, options?: RowOptions) => {
  const rows = rowsOf(raw(text), columns, options)
  assert.isUndefined(rows.error)
  return rows
}

/** As the daemon writes texts: what could be HTML is escaped. */
const written = (text: string): string =>
  JSON.stringify(text).replace(/[<>&='\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)

const cellOf = (columns: Columns, text: string, options?: RowOptions): unknown =>
  decode(`[[${text}]]`, columns, { ...options, shape: "arrays" }).arrays()[0]![0]

describe("values by their column's type", () => {
  const value = (type: string, text: string, options?: RowOptions) => cellOf(columnsOf(["C", type]), text, options)

  it("decimals keep every digit and their scale", () => {
    assert.strictEqual(value("DECIMAL", "12345678901234567890123456.12345"), "12345678901234567890123456.12345")
    assert.strictEqual(value("NUMERIC", "120.50"), "120.50")
    assert.strictEqual(value("DECIMAL", "-0.00001"), "-0.00001")
    assert.strictEqual(value("DECIMAL", "0E-7"), "0.0000000")
    assert.strictEqual(value("DECIMAL", "1.5E-8"), "0.000000015")
    assert.strictEqual(value("DECIMAL", "-1.20E+3"), "-1200")
    assert.strictEqual(value("DECFLOAT", "1.234567890123456789012345678901234"), "1.234567890123456789012345678901234")
    assert.strictEqual(value("DECFLOAT", "1E+100"), "1E+100")
    assert.strictEqual(value("DECFLOAT", '"NaN"'), "NaN")
  })

  it("BIGINT is a number while that is exact, else a failure that names the column, or a bigint on demand", () => {
    assert.strictEqual(value("BIGINT", "9007199254740991"), 9007199254740991)
    assert.strictEqual(value("BIGINT", "-9007199254740991"), -9007199254740991)
    assert.strictEqual(value("BIGINT", "9007199254740993", { integers: "bigint" }), 9007199254740993n)
    assert.strictEqual(value("BIGINT", "-9223372036854775808", { integers: "bigint" }), -9223372036854775808n)
    assert.strictEqual(value("INTEGER", "5", { integers: "bigint" }), 5n)
    for (const text of ["9007199254740992", "9007199254740993", "-9223372036854775808"]) {
      const rows = rowsOf(raw(`[[1],[${text}],[3]]`), columnsOf(["BIG", "BIGINT"]))
      const failure = SqlFailure.from(rows.error)
      assert.strictEqual(failure.reason, "ConversionFailed")
      assert.include(failure.message, '"BIG"')
      assert.notInclude(failure.message, text)
      assert.deepStrictEqual(rows.objects(), [{ big: 1 }])
    }
  })

  it("what is no whole number in a column of an integer type is a failure that says so, and never 0", () => {
    for (const [text, what] of [
      ['""', "a text that is no number"],
      ['" "', "a text that is no number"],
      ['"abc"', "a text that is no number"],
      ['"1.5"', "a number that is not whole"],
      ["1.5", "a number that is not whole"]
    ] as const) {
      for (const integers of ["number", "bigint"] as const) {
        const { error } = rowsOf(raw(`[[${text}]]`), columnsOf(["N", "INTEGER"]), { integers })
        const { message, reason } = SqlFailure.from(error)
        assert.strictEqual(reason, "ConversionFailed")
        assert.strictEqual(message, `Column "N" is of an integer type, but holds ${what}`)
      }
    }
    assert.strictEqual(value("INTEGER", '"12"'), 12)
    assert.strictEqual(value("INTEGER", "1e2"), 100)
    assert.strictEqual(value("BIGINT", '"9007199254740993"', { integers: "bigint" }), 9007199254740993n)
  })

  it("floating numbers, booleans, texts and nulls", () => {
    assert.strictEqual(value("DOUBLE", "1.0E300"), 1e300)
    assert.strictEqual(value("DOUBLE", "3.141592653589793"), Math.PI)
    assert.strictEqual(value("REAL", "-1.5"), -1.5)
    assert.strictEqual(value("DOUBLE", "-0.0"), -0)
    assert.strictEqual(value("DOUBLE", '"Infinity"'), Infinity)
    assert.strictEqual(value("DOUBLE", "12345678901234567890"), 12345678901234567890)
    assert.strictEqual(value("BOOLEAN", "true"), true)
    assert.strictEqual(value("BOOLEAN", "false"), false)
    for (const type of ["CHAR", "VARCHAR", "NCHAR", "GRAPHIC", "VARGRAPHIC", "CLOB", "DBCLOB", "XML"]) {
      assert.strictEqual(value(type, '"trail  "'), "trail  ")
      assert.strictEqual(value(type, '""'), "")
      assert.strictEqual(value(type, '"\\u003ca href\\u003d\\"x\\"\\u003e\\n\\ud83d\\ude00"'), '<a href="x">\n😀')
      assert.strictEqual(value(type, "null"), null)
    }
    assert.strictEqual(value("SOMETHING NEW", "12345678901234567890.5"), "12345678901234567890.5")
    assert.strictEqual(value("SOMETHING NEW", '"text"'), "text")
  })

  it("dates and times are the texts that the job's ISO formats give", () => {
    assert.strictEqual(value("DATE", '"2024-02-29"'), "2024-02-29")
    assert.strictEqual(value("TIME", '"24:00:00"'), "24:00:00")
    assert.strictEqual(value("TIMESTAMP", '"2024-02-29 23:59:59.123456"'), "2024-02-29 23:59:59.123456")
  })

  it("or Dates in UTC", () => {
    const dates = { dates: "date" } as const
    assert.deepStrictEqual(value("DATE", '"2024-02-29"', dates), new Date("2024-02-29T00:00:00Z"))
    assert.deepStrictEqual(
      value("TIMESTAMP", '"2024-02-29 23:59:59.123456"', dates),
      new Date("2024-02-29T23:59:59.123Z")
    )
    assert.deepStrictEqual(value("TIMESTAMP", '"2024-02-29-23.59.59.1"', dates), new Date("2024-02-29T23:59:59.100Z"))
    assert.strictEqual(value("DATE", '"06/15/24"', dates), "06/15/24")
    assert.strictEqual(value("TIME", '"13:45:30"', dates), "13:45:30")
    assert.strictEqual(value("DATE", "null", dates), null)
  })

  it("bytes from hex, from base64 and from a blob's address", () => {
    for (const type of ["BINARY", "VARBINARY", "BLOB", "CHAR () FOR BIT DATA", "VARCHAR () FOR BIT DATA"]) {
      assert.deepStrictEqual(value(type, '"DEADBEEF"'), new Uint8Array([0xde, 0xad, 0xbe, 0xef]))
      assert.deepStrictEqual(value(type, '""'), new Uint8Array())
      assert.deepStrictEqual(value(type, '"3q2+7w\\u003d\\u003d"'), new Uint8Array([0xde, 0xad, 0xbe, 0xef]))
      assert.deepStrictEqual(value(type, '"ABCD"', { binary: "base64" }), new Uint8Array([0, 16, 131]))
      const reference = '{"blob_url":"/blob/3f0c","size":2}'
      assert.deepStrictEqual(value(type, reference), { blob_url: "/blob/3f0c", size: 2 })
      assert.deepStrictEqual(
        value(type, reference, { blob: (url) => (url === "/blob/3f0c" ? new Uint8Array([1, 2]) : undefined) }),
        new Uint8Array([1, 2])
      )
    }
  })
})

describe("names", () => {
  const names = (how: RowOptions["resultNames"], ...columns: ReadonlyArray<string>) =>
    rowDecoder(columnsOf(...columns.map((name) => [name, "INTEGER"] as const)), { resultNames: how }).columns.map(
      (column) => column.name
    )

  it("wholly upper-case ones come back lower-case", () => {
    assert.deepStrictEqual(names(undefined, "ID", "EMP_NO", "camelCase", "00001", "Ä"), [
      "id",
      "emp_no",
      "camelCase",
      "00001",
      "ä"
    ])
    assert.deepStrictEqual(names("asIs", "ID", "x"), ["ID", "x"])
    assert.deepStrictEqual(
      names((name) => `_${name}`, "ID"),
      ["_ID"]
    )
  })

  it("unless that would make them another column's", () => {
    assert.deepStrictEqual(names("lower", "A", "a"), ["A", "a"])
  })

  it("of equal names objects have the last, arrays have all", () => {
    const rows = decode("[[1,2,3]]", columnsOf(["A", "INTEGER"], ["A", "INTEGER"], ["B", "INTEGER"]))
    assert.deepStrictEqual(rows.objects(), [{ a: 2, b: 3 }])
    assert.deepStrictEqual(rows.arrays(), [[1, 2, 3]])
  })

  it("__proto__ is a name like any other", () => {
    const columns = columnsOf(["__proto__", "VARCHAR"], ["B", "INTEGER"])
    for (const count of [1, 2_000]) {
      const rows = decode(`[${Array.from({ length: count }, () => '["x",1]').join(",")}]`, columns).objects()
      assert.strictEqual(rows.length, count)
      assert.deepStrictEqual(Object.entries(rows[0]!), [
        ["__proto__", "x"],
        ["b", 1]
      ])
    }
  })
})

const types = [
  ["INTEGER", FastCheck.integer().map((n) => [String(n), n] as const)],
  ["BIGINT", FastCheck.maxSafeInteger().map((n) => [String(n), n] as const)],
  [
    "DECIMAL",
    FastCheck.tuple(FastCheck.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), FastCheck.nat(999)).map(([n, f]) => {
      const text = `${n}.${String(f).padStart(3, "0")}`
      return [text, text] as const
    })
  ],
  [
    "DOUBLE",
    FastCheck.double({ noNaN: true, noDefaultInfinity: true }).map(
      (n) => [Object.is(n, -0) ? "-0.0" : String(n), n] as const
    )
  ],
  ["VARCHAR", FastCheck.string({ unit: "binary" }).map((text) => [written(text), text] as const)],
  ["CHAR", FastCheck.string({ unit: "grapheme-ascii" }).map((text) => [written(text), text] as const)],
  ["TIMESTAMP", FastCheck.constant(['"2024-02-29 23:59:59.123456"', "2024-02-29 23:59:59.123456"] as const)],
  ["BOOLEAN", FastCheck.boolean().map((b) => [String(b), b] as const)],
  [
    "VARBINARY",
    FastCheck.uint8Array().map((bytes) => [`"${Buffer.from(bytes).toString("hex").toUpperCase()}"`, bytes] as const)
  ]
] as const

const table = FastCheck.array(FastCheck.constantFrom(...types), { minLength: 1, maxLength: 8 }).chain((columns) =>
  FastCheck.array(
    FastCheck.tuple(
      ...columns.map(([, values]) =>
        FastCheck.option(values as FastCheck.Arbitrary<readonly [string, unknown]>).map(
          (value) => value ?? (["null", null] as const)
        )
      )
    ),
    { maxLength: 30 }
  ).map((rows) => ({ types: columns.map(([type]) => type), rows }))
)

describe("any table", () => {
  const check = (repeat: number, spaces: string) =>
    FastCheck.property(table, ({ rows, types }) => {
      const columns = columnsOf(...types.map((type, i) => [`C${i}`, type] as const))
      const all = Array.from({ length: repeat }, () => rows).flat()
      const text = `[${all.map((row) => `[${row.map(([cell]) => cell).join("," + spaces)}]`).join("," + spaces)}]`
      const expected = all.map((row) => row.map(([, value]) => value))
      const message = `{"id":"q1","has_results":true,"data":${text},"is_done":true,"success":true}\n\n`
      const found = frame.parse(message)
      if (found._tag === "MalformedFrame") {
        return assert.fail(found.why)
      }
      const arrays = rowsOf(found.data!, columns, { shape: "arrays" })
      assert.isUndefined(arrays.error)
      assert.deepStrictEqual(arrays.arrays(), expected)
      const objects = rowsOf(found.data!, columns)
      assert.strictEqual(objects.length, expected.length)
      assert.deepStrictEqual(
        objects.objects(),
        expected.map((row) => Object.fromEntries(row.map((value, i) => [`c${i}`, value])))
      )
    })

  it("of few rows", () => FastCheck.assert(check(1, ""), { numRuns: 200 }))
  it("of many rows, read by generated functions", () => FastCheck.assert(check(100, ""), { numRuns: 30 }))
  it("written with white space", () => FastCheck.assert(check(1, " \n"), { numRuns: 50 }))
})

describe("texts with escapes, read in one go", () => {
  const columns = columnsOf(["A", "VARCHAR"], ["B", "BLOB"], ["C", "BIGINT"])
  const blob = '{"blob_url":"\\u002fblob\\/a","size":3}'
  const texts: ReadonlyArray<readonly [written: string, value: string]> = [
    ['"it\\u0027s"', "it's"],
    ['"\\\\u0027"', "\\u0027"],
    ['"\\"\\/\\b\\f\\n\\r\\t\\\\"', '"/\b\f\n\r\t\\'],
    ['"\\u00fF and \\u20AC"', "ÿ and €"],
    ['"\\ud83d\\ude00 beside 😀"', "😀 beside 😀"],
    ['""', ""],
    ['"plain, and long enough to be a piece of the message"', "plain, and long enough to be a piece of the message"]
  ]

  for (const [how, repeat] of [
    ["value by value", 1],
    ["by generated functions", 200]
  ] as const) {
    it(how, () => {
      const rows = Array.from({ length: repeat }, () => texts).flat()
      const text = `[${rows.map(([written], i) => `[${written},${i % 2 === 0 ? blob : "null"},${i}]`).join(",")}]`
      assert.deepStrictEqual(
        decode(text, columns, { shape: "arrays" }).arrays(),
        rows.map(([, value], i) => [value, i % 2 === 0 ? { blob_url: "/blob/a", size: 3 } : null, i])
      )
    })
  }

  it("one that is none makes the rows unreadable", () => {
    const filler = `["it\\u0027s",null,1],`.repeat(500)
    for (const bad of ['"\\x41"', '"\\u00g0"', '"\\u12"', '"\\', '"a"\\']) {
      for (const before of ["", filler]) {
        const { error } = rowsOf(raw(`[${before}[${bad},null,1],["\\u0027",null,2]]`), columns)
        assert.strictEqual(error && SqlFailure.from(error).reason, "Unknown", bad)
      }
    }
  })
})

describe("integers around the limits, read by generated functions", () => {
  const numbers = ["0", "-1", "4294967296", "-4294967295", "9007199254740991", "-9007199254740991"]
  const page = (more: ReadonlyArray<string>) =>
    `[${Array.from({ length: 200 }, () => numbers)
      .flat()
      .concat(more)
      .map((text) => `[${text}]`)
      .join(",")}]`

  it("as numbers, up to the first that is not safe", () => {
    for (const beyond of ["9007199254740992", "9007199254740993", "-9007199254740992", "92233720368547758070"]) {
      const rows = rowsOf(raw(page([beyond, "1"])), columnsOf(["N", "BIGINT"]), { shape: "arrays" })
      assert.strictEqual(SqlFailure.from(rows.error).reason, "ConversionFailed")
      assert.strictEqual(rows.length, 200 * numbers.length)
      assert.deepStrictEqual(
        rows.arrays().slice(0, 6),
        numbers.map((text) => [Number(text)])
      )
    }
  })

  it("as bigints, all of them", () => {
    const beyond = ["9007199254740992", "9007199254740993", "-9223372036854775808"]
    const rows = decode(page(beyond), columnsOf(["N", "BIGINT"]), { shape: "arrays", integers: "bigint" })
    assert.deepStrictEqual(
      rows.arrays().slice(-9),
      [...numbers, ...beyond].map((text) => [BigInt(text)])
    )
  })
})

describe("large frames", () => {
  const columns = columnsOf(["ID", "INTEGER"], ["PRICE", "DECIMAL"], ["NOTE", "VARCHAR"])
  const inWindows = (text: string): ReadonlyArray<ReadonlyArray<unknown>> => {
    const out: Array<ReadonlyArray<unknown>> = []
    const decoders = columns.map((column) => cellDecoder(column, {}))
    const plan = {
      names: ["id", "price", "note"],
      decoders,
      shape: "arrays",
      integers: "number",
      dates: "string"
    } as const
    scan(text, 0, text.length, plan, out, 1)
    return out
  }

  it("are read in windows, rows longer than a window, too", () => {
    const notes = (i: number) => (i === 700 ? "long ".repeat(200_000) : `note ${i} "quoted" ${"x".repeat(i % 3_000)}`)
    const rows = Array.from({ length: 2_000 }, (_, i) => `[${i},${i}.50,${JSON.stringify(notes(i))}]`)
    const read = inWindows(`[${rows.join(",")}]`)
    assert.strictEqual(read.length, 2_000)
    read.forEach((row, i) => {
      if (row[0] !== i || row[1] !== `${i}.50` || row[2] !== notes(i)) {
        assert.fail(`row ${i} differs`)
      }
    })
  })

  it("a number that a window cuts in two is read once, and whole", () => {
    for (let shift = 0; shift < 40; shift++) {
      const rows = [`[0,0.5,"${"x".repeat(262_100 + shift)}"]`]
      for (let i = 1; i < 2_000; i++) {
        rows.push(`[${i},${"1234567890123456789012345".repeat(8)}.25,"y"]`)
      }
      const read = inWindows(`[${rows.join(",")}]`)
      assert.strictEqual(read.length, 2_000)
      assert.strictEqual(read.filter((row) => String(row[1]).length === 203).length, 1_999)
    }
  })
})

describe("what is no result", () => {
  it("half a page is no frame, whatever it begins with", () => {
    for (const text of ['{"id":"a","data":[[1],[2', "[1]", "", "nonsense", '{"id":"a"', "null", '"text"']) {
      assert.strictEqual(frame.parse(text)._tag, "MalformedFrame", text)
    }
  })

  it("rows that are no JSON are a typed failure", () => {
    const columns = columnsOf(["A", "INTEGER"], ["B", "DECIMAL"])
    for (const text of ["[[1,2],[3,}]", "[[1,2],[3]]", "[[1,abc]]", "[[1,2] [3,4]]", "[[1,2", '[[1,"x]]', "[5]"]) {
      const rows = rowsOf(raw(text), columns)
      assert.strictEqual(SqlFailure.from(rows.error).reason, "Unknown", text) // the job is still there
    }
    for (const [text, told] of [
      ["[[1,abc]]", "no JSON"],
      ["[[1]]", "do not fit their columns"],
      ["[[1,2],[1,2,3]]", "do not fit their columns"],
      ["[5]", "do not fit their columns"]
    ] as const) {
      assert.include(SqlFailure.from(rowsOf(raw(text), columns).error).message, told)
    }
  })

  it("fields of any order and kind around the rows do not mislead", () => {
    const columns = columnsOf(["A", "VARCHAR"])
    const trap = JSON.stringify('],"is_done":true,"data":[[1]],"success":true')
    for (const text of [
      `{"success":true,"is_done":true,"data":[[${trap}]],"id":"x"}`,
      `{"data":[[${trap}]],"output_parms":[{"index":1,"value":${trap}}],"is_done":true,"success":true,"id":"x"}`,
      `{"note":{"data":[[1]],"is_done":false},"id":"x","data":[[${trap}]],"success":true}`,
      `{ "id" : "x" , "data" : [ [ ${trap} ] ] , "success" : true }`,
      `{"id":"x","data":[[${trap}]],"newer":[[1,[2]],[3]],"success":true}`,
      `{"id":"x","data":[{"A":${trap}}],"is_done":true,"success":true}`
    ]) {
      const found = frame.parse(text)
      if (found._tag === "MalformedFrame") {
        return assert.fail(found.why)
      }
      assert.strictEqual(found.id, "x")
      assert.isTrue(found.success)
      assert.deepStrictEqual(decode(found.data!.text.slice(found.data!.start, found.data!.end), columns).objects(), [
        { a: '],"is_done":true,"data":[[1]],"success":true' }
      ])
    }
  })

  it("metadata before the rows is read once, and only where it is the message's own", () => {
    const metadata = '{"column_count":1,"columns":[{"name":"A","type":"VARCHAR"}]}'
    const read = (fields: string) => {
      const found = frame.parse(`{"id":"q1",${fields},"is_done":true,"success":true}`)
      return found._tag === "Frame" ? found : assert.fail(found.why)
    }
    const [one, two] = [1, 2].map((n) => read(`"metadata":${metadata},"update_count":-1,"data":[[${n}]]`))
    assert.deepStrictEqual(one!.body.metadata, JSON.parse(metadata))
    assert.strictEqual(two!.body.metadata, one!.body.metadata)
    assert.strictEqual(two!.data!.text.slice(two!.data!.start, two!.data!.end), "[[2]]")
    assert.isUndefined(two!.body.data)
    for (const fields of [
      `"x":{"metadata":${metadata}},"data":[[1]]`,
      `"x":{"metadata":${metadata},"y":1},"data":[[1]]`,
      `"x":{"metadata":${metadata},"data":[[1]]}`,
      `"x":{"metadata":${metadata}},"metadata":${metadata},"data":[[1]]`,
      `"metadata":${metadata},"output_parms":[],"data":[[1]]`,
      `"metadata":${metadata},"data":[["\\"metadata\\":{"]]`
    ]) {
      const { data, ...rest } = JSON.parse(`{${fields}}`) as Record<string, unknown>
      const { body, data: rows } = read(fields)
      assert.deepStrictEqual(
        { ...body, data: undefined },
        { id: "q1", ...rest, data: undefined, is_done: true, success: true }
      )
      assert.deepStrictEqual(rows && JSON.parse(rows.text.slice(rows.start, rows.end)), data)
    }
  })

  it("output parameters of any length do not pass for rows", () => {
    const value = "9".repeat(20_000)
    const text = `{"id":"x","data":[[1]],"output_parms":[{"index":1,"name":"N","type":"DECFLOAT","value":${value}}],"is_done":true,"success":true}`
    const found = frame.parse(text) as frame.Frame
    assert.deepStrictEqual(
      decode(found.data!.text.slice(found.data!.start, found.data!.end), columnsOf(["A", "INTEGER"])).objects(),
      [{ a: 1 }]
    )
    assert.deepStrictEqual(outputParameters(found.outputs, {}), [{ index: 1, name: "N", type: "DECFLOAT", value }])
  })
})

describe("output parameters", () => {
  it("are exact and typed", () => {
    const outputs = `[{"index":1,"type":"VARCHAR","precision":20,"scale":2,"name":"SKU","ccsid":37},
      {"index":2,"type":"BIGINT","name":"N","value":9007199254740993},
      {"index":3,"type":"DECIMAL","name":"TOTAL","value":12345678901234567890.10},
      {"index":4,"type":"INTEGER","name":null,"value":null},
      {"index":5,"type":"VARBINARY","name":"B","value":"00FF"}]`
    assert.deepStrictEqual(outputParameters(outputs, { integers: "bigint" }), [
      { index: 1, name: "SKU", type: "VARCHAR", value: undefined },
      { index: 2, name: "N", type: "BIGINT", value: 9007199254740993n },
      { index: 3, name: "TOTAL", type: "DECIMAL", value: "12345678901234567890.10" },
      { index: 4, name: undefined, type: "INTEGER", value: null },
      { index: 5, name: "B", type: "VARBINARY", value: new Uint8Array([0, 255]) }
    ])
    assert.strictEqual(SqlFailure.from(outputParameters(outputs, {})).reason, "ConversionFailed")
  })
})

describe("recorded results", () => {
  it("of every type (section 3.3)", () => {
    const text = exchanges.find(({ dir, frame: text }) => dir === "recv" && text.includes('"C_DECFLOAT":'))!.frame
    const found = frame.parse(text) as frame.Frame
    const columns = (found.body.metadata as { columns: Columns }).columns
    const rows = rowsOf(found.data!, columns, { integers: "bigint" })
    assert.isUndefined(rows.error)
    const [first, second, third] = rows.objects()
    assert.deepStrictEqual(first, {
      id: 1n,
      c_smallint: 32767n,
      c_integer: 2147483647n,
      c_bigint: 9223372036854775807n,
      c_decimal: "12345678901234567890123456.12345",
      c_numeric: "1234567.89",
      c_real: 1.5,
      c_double: 3.141592653589793,
      c_decfloat: "1.234567890123456789012345678901234",
      c_char: "abc",
      c_varchar: "trail  ",
      c_clob: "clob text",
      c_binary: new Uint8Array([1, 2, 3, 4]),
      c_varbinary: new Uint8Array([0xde, 0xad, 0xbe, 0xef]),
      c_blob: new Uint8Array([0, 255]),
      c_date: "2024-02-29",
      c_time: "23:59:59",
      c_timestamp: "2024-02-29 23:59:59.123456",
      c_boolean: true
    })
    assert.strictEqual(second!.c_decfloat, "1E+100")
    assert.strictEqual(second!.c_double, 1e300)
    assert.isTrue(
      Object.values(third!)
        .slice(1)
        .every((value) => value === null)
    )
  })
})
