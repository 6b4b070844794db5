import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { afterAll, afterEach, describe, expect, it } from "vitest"
import { cancelWord, deadlineOffset, sharedBytes, slots, Word } from "../src/internal/boundary.js"
import { safest } from "../src/internal/opening.js"
import { ColumnFlag, Flag, Header, headerBytes, Kind, largeRowBytes, Tag, Why } from "../src/internal/page.js"
import { carrier } from "../src/internal/carrier.js"
import { load, pin } from "../src/internal/pump.js"
import { type Connection, EngineError, type Prepared } from "../src/internal/worker/engine.js"
import { nativeEngine } from "../src/internal/worker/nativeEngine.js"

// ---- a small decoder of pages ----

type Value = null | number | bigint | string | Uint8Array

interface Page {
  readonly rows: Array<Array<Value>>
  readonly flags: number
  readonly code: number
  readonly why: number
  readonly detail: number
  readonly columns: number
  readonly kinds: Array<number>
  readonly columnFlags: Array<number>
  readonly block: Array<readonly [name: string, type: string | undefined]> | undefined
  readonly error: string | undefined
  readonly changes: number
  readonly lastInsertRowid: bigint
  readonly engineNanos: number
  readonly bytes: number
}

const utf8 = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")

const decode = (out: Uint8Array, base = 0): Page => {
  const view = new DataView(out.buffer, out.byteOffset + base)
  const slice = (from: number, to: number) => out.slice(base + from, base + to)
  const u32 = (word: number) => view.getUint32(word * 4, true)
  const rows = u32(Header.rows)
  const columns = u32(Header.columns)
  const text = (at: number): readonly [string | undefined, number] => {
    const length = view.getUint32(at, true)
    return length === 0xffffffff ? [undefined, at + 4] : [utf8(slice(at + 4, at + 4 + length)), at + 4 + length]
  }
  const result: Array<Array<Value>> = Array.from({ length: rows }, () => [])
  const kinds: Array<number> = []
  const columnFlags: Array<number> = []
  for (let c = 0; c < columns; c++) {
    const descriptor = headerBytes + 16 * c
    const kind = view.getUint8(descriptor)
    const flags = view.getUint8(descriptor + 1)
    const data = view.getUint32(descriptor + 4, true)
    const aux = view.getUint32(descriptor + 8, true)
    const auxBytes = view.getUint32(descriptor + 12, true)
    kinds.push(kind)
    columnFlags.push(flags)
    if (data % 8 !== 0 || view.getUint16(descriptor + 2, true) !== 0) throw new Error("bad descriptor")
    const width = kind === Kind.int32 ? 4 : 8
    const variable = kind === Kind.text || kind === Kind.blob
    const tags = kind === Kind.mixed ? aux : variable ? aux + auxBytes : data + width * rows
    const hasTags = kind === Kind.mixed || (flags & ColumnFlag.hasNulls) !== 0
    const bytes = kind === Kind.mixed ? aux + rows : aux
    const bad = (flags & ColumnFlag.badUtf8) !== 0
    const whole = kind === Kind.text && !bad ? utf8(slice(aux, aux + auxBytes)) : ""
    let start = 0
    for (let r = 0; r < rows; r++) {
      const tag = hasTags ? view.getUint8(tags + r) : undefined
      const row = result[r]!
      if (kind === Kind.null || tag === Tag.null) {
        if (variable && view.getUint32(data + 4 * r, true) !== start) throw new Error("bad end of a null")
        row.push(null)
      } else if (kind === Kind.int32) {
        row.push(view.getInt32(data + 4 * r, true))
      } else if (kind === Kind.int53 || kind === Kind.float64 || (kind === Kind.mixed && tag === Tag.float)) {
        row.push(view.getFloat64(data + 8 * r, true))
      } else if (kind === Kind.int64 || (kind === Kind.mixed && tag === Tag.integer)) {
        row.push(view.getBigInt64(data + 8 * r, true))
      } else {
        const end = view.getUint32(data + (kind === Kind.mixed ? 8 : 4) * r, true)
        if (kind === Kind.mixed && view.getUint32(data + 8 * r + 4, true) !== 0) throw new Error("bad slot")
        if (kind === Kind.text && !bad) row.push(whole.slice(start, end))
        else if (kind === Kind.text || tag === Tag.text) row.push(utf8(slice(bytes + start, bytes + end)))
        else row.push(slice(bytes + start, bytes + end))
        start = end
      }
    }
  }
  let block: Page["block"]
  if ((u32(Header.flags) & Flag.columns) !== 0) {
    block = []
    let at = u32(Header.columnsOffset)
    for (let c = 0; c < columns; c++) {
      const [name, afterName] = text(at)
      const [type, afterType] = text(afterName)
      block.push([name!, type])
      at = afterType
    }
  }
  return {
    rows: result,
    flags: u32(Header.flags),
    code: view.getInt32(Header.code * 4, true),
    why: u32(Header.why),
    detail: view.getInt32(Header.detail * 4, true),
    columns,
    kinds,
    columnFlags,
    block,
    error: u32(Header.errorOffset) === 0 ? undefined : text(u32(Header.errorOffset))[0],
    changes: view.getFloat64(48, true),
    lastInsertRowid: view.getBigInt64(56, true),
    engineNanos: view.getFloat64(64, true),
    bytes: u32(Header.bytes)
  }
}

/** Parameters as tagged bytes, after `lead` bytes of something else. */
const encode = (rows: ReadonlyArray<ReadonlyArray<Value | boolean>>, lead = 0): Uint8Array => {
  const parts: Array<Buffer> = [Buffer.alloc(lead, 0xee)]
  const block = (tag: number, bytes: Uint8Array) => {
    const head = Buffer.alloc(5)
    head[0] = tag
    head.writeUInt32LE(bytes.length, 1)
    parts.push(head, Buffer.from(bytes))
  }
  for (const value of rows.flat()) {
    const nine = Buffer.alloc(9)
    if (value === null) parts.push(Buffer.from([0]))
    else if (typeof value === "string") block(3, Buffer.from(value))
    else if (value instanceof Uint8Array) block(4, value)
    else if (typeof value === "number" && !Number.isSafeInteger(value)) {
      nine[0] = 2
      nine.writeDoubleLE(value, 1)
      parts.push(nine)
    } else {
      nine[0] = 1
      nine.writeBigInt64LE(BigInt(value), 1)
      parts.push(nine)
    }
  }
  return new Uint8Array(Buffer.concat(parts))
}

// ---- connections ----

const engine = nativeEngine(load(carrier())!)
/** What a worker requires to get the same carrier. */
const carrierModule = createRequire(import.meta.url).resolve(carrier().name)
const directory = mkdtempSync(join(tmpdir(), "sluice-native-"))
const opened: Array<Connection> = []
let files = 0

interface Session {
  readonly connection: Connection
  readonly shared: SharedArrayBuffer
  readonly words: Int32Array
  readonly deadlines: BigInt64Array
}

const open = (filename = ":memory:", options: { readonly busyTimeout?: number; readonly readonly?: boolean } = {}) => {
  const shared = new SharedArrayBuffer(sharedBytes)
  const connection = engine.open({
    filename,
    readonly: options.readonly ?? false,
    create: true,
    shared,
    progressSteps: 1000,
    busyTimeout: options.busyTimeout ?? 1000,
    safety: safest
  })
  opened.push(connection)
  const session: Session = {
    connection,
    shared,
    words: new Int32Array(shared),
    deadlines: new BigInt64Array(shared, deadlineOffset, slots)
  }
  return session
}

const file = () => join(directory, `${files++}.db`)

afterEach(() => {
  for (const connection of opened.splice(0)) connection.close()
})

afterAll(() => rmSync(directory, { recursive: true, force: true }))

const room = () => new Uint8Array(256 * 1024)

/** One page; with more room when the first row asks for it. */
const fetchPage = (statement: Prepared, maxRows = 1_000_000, capacity = 256 * 1024): Page => {
  let out = new Uint8Array(capacity)
  let bytes = statement.fetch(maxRows, out, 0, capacity)
  if (bytes < 0) {
    out = new Uint8Array(-bytes)
    bytes = statement.fetch(maxRows, out, 0, out.length)
    expect(bytes).toBeGreaterThan(0)
  }
  const page = decode(out)
  expect(page.bytes).toBe(bytes)
  return page
}

const fetchAll = (statement: Prepared, maxRows?: number, capacity?: number): Array<Page> => {
  const pages: Array<Page> = []
  do pages.push(fetchPage(statement, maxRows, capacity))
  while ((pages.at(-1)!.flags & Flag.done) === 0)
  return pages
}

const prepare = (connection: Connection, text: string): Prepared => connection.prepare(text)!

const run = (connection: Connection, text: string, ...parameters: ReadonlyArray<Value>): Page => {
  const statement = prepare(connection, text)
  const bytes = encode([parameters])
  expect(statement.bind(bytes, 0, parameters.length, false)).toBe(bytes.length)
  const pages = fetchAll(statement)
  statement.finalize()
  return { ...pages.at(-1)!, rows: pages.flatMap((page) => page.rows) }
}

const batch = (
  connection: Connection,
  text: string,
  rows: ReadonlyArray<ReadonlyArray<Value>>,
  capacity = 4096
): Page => {
  const statement = prepare(connection, text)
  const out = room()
  const bytes = encode(rows)
  const length = statement.batch(bytes, 0, rows[0]!.length, rows.length, out, 0, capacity)
  statement.finalize()
  const page = decode(out)
  expect(page.bytes).toBe(length)
  expect(length).toBeLessThanOrEqual(capacity)
  return page
}

const failure = (body: () => unknown): EngineError => {
  try {
    body()
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError)
    return error as EngineError
  }
  throw new Error("it did not fail")
}

const endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"

/** Writes a control word (or deadline) from another thread after some milliseconds. */
const later = async (session: Session, milliseconds: number, word: number, value: number): Promise<Worker> => {
  const source = `
    const { workerData, parentPort } = require("node:worker_threads")
    const words = new Int32Array(workerData.shared)
    parentPort.postMessage("ready")
    parentPort.once("message", () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, workerData.milliseconds)
      Atomics.store(words, workerData.word, workerData.value)
    })`
  const worker = new Worker(source, { eval: true, workerData: { shared: session.shared, milliseconds, word, value } })
  await new Promise((resolve) => worker.once("message", resolve))
  worker.postMessage("go")
  return worker
}

const deadlineIn = (session: Session, slot: number, milliseconds: number) => {
  session.deadlines[slot] = process.hrtime.bigint() + BigInt(Math.round(milliseconds * 1e6))
}

// ---- tests ----

describe("loading", () => {
  it("finds the pump and tells SQLite's version", () => {
    expect(engine.kind).toBe("native")
    expect(engine.version).toBe(carrier().version)
    expect(pin(carrier())).toBeDefined()
  })

  it("answers undefined where the carrier cannot load it", () => {
    class Refusing {
      enableLoadExtension() {
        throw new Error("no")
      }
    }
    expect(load({ DatabaseSync: Refusing as never })).toBeUndefined()
  })

  it("tells why a file cannot be opened", () => {
    const error = failure(() => open(join(directory, "nowhere", "x.db")))
    expect([error.code & 0xff, error.message]).toEqual([14, "unable to open database file"])
    expect(failure(() => open(file(), { readonly: true })).code & 0xff).toBe(14)
    writeFileSync(join(directory, "text.db"), "this is no database, but it is long enough to look at".repeat(40))
    const { connection } = open(join(directory, "text.db"))
    expect(failure(() => connection.prepare("SELECT * FROM sqlite_schema")).code).toBe(26)
  })
})

describe("prepare", () => {
  const { connection } = open()
  opened.pop()
  afterAll(() => connection.close())

  it.each([
    ["SELECT 1", ""],
    ["SELECT 1;", ""],
    ["SELECT 1; ", ""],
    ["SELECT 1; -- the end", ""],
    ["SELECT 1; /* the end */ ; -- indeed\n ;", ""],
    ["SELECT 1; /* open", ""],
    ["SELECT 'é', '日本', '😀'; SELECT 'ü😀'", "SELECT 'ü😀'"],
    ["/* é */ SELECT 1; -- 日本\n SELECT 2; SELECT 3 -- x", "SELECT 2; SELECT 3 -- x"],
    ["SELECT 1; -1", "-1"],
    ["SELECT 1; /", "/"],
    [";;SELECT 1", ""]
  ])("%s", (text, tail) => {
    const statement = prepare(connection, text)
    expect(statement.tail).toBe(tail)
    statement.finalize()
  })

  it.each(["", " ", ";", ";; ;", "-- nothing", "/* nothing */", "/* open", "\ufeff ; \n\f"])(
    "nothing in %j",
    (text) => {
      expect(connection.prepare(text)).toBeUndefined()
    }
  )

  it("describes parameters and columns", () => {
    connection.exec('CREATE TABLE d(a INTEGER, "b é" TEXT NOT NULL, c)')
    const statement = prepare(connection, 'SELECT a, "b é", c, a + ?2 AS "x😀" FROM d WHERE a = :n')
    expect(statement.parameterCount).toBe(3)
    expect(statement.columnCount()).toBe(4)
    expect(statement.columns()).toEqual([
      { name: "a", type: "INTEGER", nullable: true },
      { name: "b é", type: "TEXT", nullable: undefined },
      { name: "c", type: undefined, nullable: true },
      { name: "x😀", type: undefined, nullable: undefined }
    ])
    const write = prepare(connection, "INSERT INTO d VALUES (1, 2, 3)")
    expect([write.columnCount(), write.columns(), write.readonly]).toEqual([0, [], false])
    expect(statement.readonly).toBe(true)
  })

  it("fails with SQLite's code and message", () => {
    const error = failure(() => connection.prepare("SELECT * FROM missing"))
    expect([error.code, error.message]).toEqual([1, "no such table: missing"])
    expect(failure(() => connection.prepare("SELEKT")).message).toContain("syntax error")
  })

  it("does not run past a NUL", () => {
    expect(connection.prepare("\0SELECT 1")).toBeUndefined()
    expect(prepare(connection, "SELECT 1; \0SELECT 2").tail).toBe("\0SELECT 2")
  })
})

describe("values", () => {
  const values: ReadonlyArray<Value> = [
    null,
    0,
    -1,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 31,
    2 ** 53 - 1,
    -(2 ** 53) + 1,
    2n ** 53n,
    -(2n ** 53n),
    2n ** 63n - 1n,
    -(2n ** 63n),
    0.5,
    -1e300,
    Infinity,
    "",
    "ascii",
    "naïve café",
    "日本語テキスト",
    "😀 astral 👩‍👩‍👧",
    "NUL\0inside\0",
    "long ".repeat(2000),
    new Uint8Array(0),
    new Uint8Array([0, 1, 255]),
    new Uint8Array(5000).fill(7)
  ]

  it("cross both ways", () => {
    const { connection } = open()
    for (const value of values) {
      for (const keep of [true, false]) {
        const statement = prepare(connection, "SELECT ?1, typeof(?1), 1")
        const bytes = encode([[value]], 3)
        expect(statement.bind(bytes, 3, 1, keep)).toBe(bytes.length)
        if (keep) bytes.fill(0xee)
        const page = fetchPage(statement)
        expect(page.rows).toHaveLength(1)
        expect(page.rows[0]![0]).toStrictEqual(value)
        statement.finalize()
      }
    }
  })

  const kinds: ReadonlyArray<readonly [string, number, ReadonlyArray<Value>]> = [
    ["null", Kind.null, [null, null]],
    ["int32", Kind.int32, [1, -(2 ** 31), 2 ** 31 - 1]],
    ["int32 with nulls", Kind.int32, [1, null, 3]],
    ["int53", Kind.int53, [1, 2 ** 31, -(2 ** 53) + 1]],
    ["int53 with nulls", Kind.int53, [null, 2 ** 40, null]],
    ["int64", Kind.int64, [1n, 2n ** 53n, -(2n ** 63n)]],
    ["int64 with nulls", Kind.int64, [null, 2n ** 60n]],
    ["float64", Kind.float64, [0.5, -0.25]],
    ["float64 with nulls", Kind.float64, [0.5, null]],
    ["text", Kind.text, ["a", "", "bc"]],
    ["text with nulls", Kind.text, [null, "é", null, "😀x", "日本", null]],
    ["blob", Kind.blob, [new Uint8Array([1]), new Uint8Array(0), new Uint8Array([2, 3])]],
    ["blob with nulls", Kind.blob, [new Uint8Array([1]), null, new Uint8Array([2, 3])]],
    ["mixed", Kind.mixed, [1n, "é", null, 0.5, new Uint8Array([9]), "", 2n ** 62n, "😀"]],
    ["mixed numbers", Kind.mixed, [1n, 0.5]]
  ]

  it.each(kinds)("column of %s", (_, kind, column) => {
    const { connection } = open()
    connection.exec("CREATE TABLE t(v)")
    batch(
      connection,
      "INSERT INTO t VALUES (?)",
      column.map((value) => [value])
    )
    const page = run(connection, "SELECT v FROM t ORDER BY rowid")
    expect(page.rows.map((row) => row[0])).toStrictEqual(column)
    expect(page.kinds).toEqual([kind])
    const ascii = kind === Kind.text && column.every((value) => value === null || /^[\0-\x7f]*$/.test(value as string))
    expect((page.columnFlags[0]! & ColumnFlag.ascii) !== 0).toBe(ascii)
    const tagged = column.includes(null) && kind !== Kind.null && kind !== Kind.mixed
    expect((page.columnFlags[0]! & ColumnFlag.hasNulls) !== 0).toBe(tagged)
    expect(page.columnFlags[0]! & ColumnFlag.badUtf8).toBe(0)
  })

  it.each(["ff", "61ff62c3", "c080", "eda080", "f4908080", "e282", "f09f98", "80", "c3c3a9", "61e28261"])(
    "bad UTF-8: %s",
    (hex) => {
      const { connection } = open()
      const bytes = new Uint8Array(Buffer.from(hex, "hex"))
      const sql = "SELECT 'é' AS v UNION ALL SELECT CAST(? AS TEXT) UNION ALL SELECT 'good 😀'"
      const page = run(connection, sql, bytes)
      expect(page.columnFlags[0]! & ColumnFlag.badUtf8).not.toBe(0)
      expect(page.rows).toEqual([["é"], [utf8(bytes)], ["good 😀"]])
      expect(run(connection, "SELECT 1 UNION ALL SELECT CAST(? AS TEXT)", bytes).rows).toEqual([[1n], [utf8(bytes)]])
    }
  )

  it("counts UTF-16 units as JavaScript does", () => {
    const { connection } = open()
    let seed = 7
    const random = (n: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n
    const points = [0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff]
    const texts = Array.from({ length: 300 }, () =>
      String.fromCodePoint(...Array.from({ length: random(20) }, () => points[random(points.length)]!))
    )
    connection.exec("CREATE TABLE t(v)")
    batch(
      connection,
      "INSERT INTO t VALUES (?)",
      texts.map((text) => [text])
    )
    const page = run(connection, "SELECT v FROM t ORDER BY rowid")
    expect(page.rows.map((row) => row[0])).toEqual(texts)
    expect(page.columnFlags[0]! & ColumnFlag.badUtf8).toBe(0)
  })

  it("reads a UTF-16 database", () => {
    const { connection } = open()
    connection.exec("PRAGMA encoding = 'UTF-16'; CREATE TABLE t(v); INSERT INTO t VALUES ('é😀'), ('x'), (NULL)")
    expect(run(connection, "SELECT v, v || ? FROM t", "日").rows).toEqual([
      ["é😀", "é😀日"],
      ["x", "x日"],
      [null, null]
    ])
  })

  it("refuses malformed parameters without reading past them", () => {
    const { connection } = open()
    const statement = prepare(connection, "SELECT ?, ?")
    const good = encode([["text", 1]])
    for (let length = 0; length < good.length; length++) {
      expect(failure(() => statement.bind(good.slice(0, length), 0, 2, false)).code).toBe(21)
    }
    const huge = new Uint8Array([3, 255, 255, 255, 255, 65])
    expect(failure(() => statement.bind(huge, 0, 1, false)).code).toBe(21)
    expect(failure(() => statement.bind(new Uint8Array([9]), 0, 1, false)).code).toBe(21)
    expect(failure(() => statement.bind(good, 99, 1, false)).code).toBe(21)
    expect(failure(() => statement.bind(good, -1, 1, false)).code).toBe(21)
    expect(failure(() => statement.bind(encode([[1, 2, 3]]), 0, 3, false)).code).toBe(25)
    expect(statement.bind(good, 0, 2, false)).toBe(good.length)
    expect(fetchPage(statement).rows).toEqual([["text", 1]])
  })
})

describe("pages", () => {
  const fill = (connection: Connection): Array<Array<Value>> => {
    let seed = 42
    const random = (n: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n
    const text = () => ["", "a", "héllo", "日本語", "😀", "plain text", "x".repeat(random(400))][random(7)]!
    const any = (): Value =>
      [null, BigInt(random(100)), 0.5 + random(9), text(), new Uint8Array(random(30)).fill(random(256))][random(5)]!
    const rows: Array<Array<Value>> = []
    for (let i = 0; i < 700; i++) {
      const wide = random(3) === 0 ? 2 ** 40 + random(100) : random(1000)
      rows.push([i, random(4) === 0 ? null : text(), any(), wide, random(2) === 0 ? random(100) / 8 + 0.0625 : null])
    }
    connection.exec("CREATE TABLE t(a, b, c, d, e)")
    batch(connection, "INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    return rows
  }
  /** As one text per row: the same integer is a bigint or a number as its column's kind has it. */
  const plain = (rows: Array<Array<Value>>) =>
    rows.map((row) =>
      row.map((value) => (value instanceof Uint8Array ? `x${value}` : `${typeof value === "string"}${value}`)).join()
    )

  it("cut by rows and bytes never lose a row", () => {
    const { connection } = open()
    const rows = plain(fill(connection))
    const statement = prepare(connection, "SELECT * FROM t ORDER BY a")
    for (const maxRows of [1, 2, 7, 63, 64, 65, 700, 701, 100_000]) {
      for (const capacity of [160, 500, 1000, 4096, 9999, 65536, 256 * 1024]) {
        const pages = fetchAll(statement, maxRows, capacity)
        expect(plain(pages.flatMap((page) => page.rows))).toEqual(rows)
        expect(Math.max(...pages.map((page) => page.rows.length))).toBeLessThanOrEqual(maxRows)
        expect(pages.every((page) => page.code === 0 && page.changes === -1)).toBe(true)
      }
    }
  })

  it("fill their room: another row would not have fitted", () => {
    const { connection } = open()
    const statement = prepare(
      connection,
      "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c WHERE x < 3000) SELECT x, x FROM c"
    )
    fetchAll(statement)
    const capacity = 4096
    const [page] = fetchAll(statement, 100_000, capacity)
    expect(page!.bytes).toBeLessThanOrEqual(capacity)
    expect(page!.bytes).toBeGreaterThan(capacity - 24)
    expect(page!.rows.length).toBe((capacity - headerBytes - 32) / 8)
  })

  it("ask for room and lose nothing", () => {
    const { connection } = open()
    const statement = prepare(connection, "SELECT 1, 'é', x'0102', NULL, 0.5 UNION ALL SELECT 2, 'b', x'', 7, 1.5")
    const out = room()
    const needed = -statement.fetch(10, out, 0, 96)
    expect(needed).toBeGreaterThan(96)
    expect(statement.fetch(10, out, 0, needed - 1)).toBe(-needed)
    expect(statement.fetch(10, out, 8, needed)).toBe(needed)
    expect(decode(out, 8).rows).toEqual([[1, "é", new Uint8Array([1, 2]), null, 0.5]])
    expect(decode(out, 8).block).toHaveLength(5)
    const rest = fetchPage(statement)
    expect(rest.rows).toEqual([[2, "b", new Uint8Array(0), 7, 1.5]])
    expect(rest.flags & Flag.done).toBe(Flag.done)
  })

  it("ask for room for the columns of an empty result", () => {
    const { connection } = open()
    const names = Array.from({ length: 100 }, (_, i) => `1 AS "a rather long name for a column ${i}"`).join(", ")
    const statement = prepare(connection, `SELECT ${names} WHERE 0`)
    const page = fetchPage(statement, 10, 4096)
    expect([page.rows.length, page.block!.length, page.flags & Flag.done]).toEqual([0, 100, Flag.done])
    expect(fetchPage(statement, 10, 4096).block).toBeUndefined()
  })

  it("give a large row one of its own", () => {
    const { connection } = open()
    const size = largeRowBytes + 1
    connection.exec(`CREATE TABLE t(a, b);
      INSERT INTO t VALUES (1, 'x'), (2, zeroblob(${size})), (3, 'é' || hex(zeroblob(${size}))), (4, 'y'), (5, NULL)`)
    const statement = prepare(connection, "SELECT a, b FROM t ORDER BY a")
    for (const capacity of [1024, 70 * 1024, 256 * 1024]) {
      const pages = fetchAll(statement, 100, capacity)
      expect(pages.map((page) => page.rows.map((row) => row[0]))).toEqual([[1], [2], [3], [4, 5]])
      expect(pages[1]!.rows[0]![1]).toEqual(new Uint8Array(size))
      expect(pages[2]!.rows[0]![1]).toBe("é" + "00".repeat(size))
    }
  })

  it("write a very large row where there is room, after asking for it", () => {
    const { connection } = open()
    const statement = prepare(connection, "SELECT zeroblob(30000000), 'é' || hex(zeroblob(1000000)), NULL, 5, ?")
    statement.bind(encode([["bad"]]), 0, 1, true)
    const out = room()
    const needed = -statement.fetch(10, out, 0, out.length)
    expect(needed).toBeGreaterThan(32_000_000)
    const large = new Uint8Array(needed)
    expect(statement.fetch(10, large, 0, needed)).toBe(needed)
    const [row] = decode(large).rows
    expect((row![0] as Uint8Array).length).toBe(30_000_000)
    expect((row![1] as string).length).toBe(2_000_001)
    expect(row!.slice(2)).toEqual([null, 5, "bad"])
    expect(decode(large).flags & Flag.done).toBe(0)
    const last = fetchPage(statement)
    expect([last.rows.length, last.flags & Flag.done]).toEqual([0, Flag.done])
  })

  it("tell an error behind the rows that came before it", () => {
    const { connection } = open()
    const statement = prepare(
      connection,
      "SELECT CASE WHEN value = 3 THEN json('{') ELSE value END FROM json_each('[1,2,3,4]')"
    )
    const page = fetchPage(statement)
    expect([page.rows, page.code, page.why, page.error]).toEqual([[[1], [2]], 1, 0, "malformed JSON"])
    expect(page.flags & Flag.done).toBe(Flag.done)
    expect(fetchPage(statement, 1).rows).toEqual([[1]])
  })

  it("tell a long error on a page of its own", () => {
    const { connection } = open()
    const message = "m".repeat(3000)
    connection.exec(
      `CREATE TABLE t(a); CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, '${message}'); END`
    )
    const page = fetchPage(prepare(connection, "INSERT INTO t VALUES (1)"), 10, 128)
    expect([page.code, page.error]).toEqual([1811, message])
  })

  it("leave the worker loop's fields alone and stay within their room", () => {
    const { connection } = open()
    const out = new Uint8Array(4096).fill(0xaa)
    const statement = prepare(connection, "SELECT 'abc', 1")
    const length = statement.fetch(10, out, 256, 1024)
    const view = new DataView(out.buffer, 256)
    expect([view.getUint32(Header.seq * 4), view.getBigUint64(72)]).toEqual([0xaaaaaaaa, 0xaaaaaaaaaaaaaaaan])
    expect(out.slice(0, 256).every((byte) => byte === 0xaa)).toBe(true)
    expect(out.slice(256 + length).every((byte) => byte === 0xaa)).toBe(true)
    expect(() => statement.fetch(10, out, 4000, 200)).toThrow()
    expect(() => statement.fetch(10, out, -8, 200)).toThrow()
  })

  it("hold several statements at once, each with its row", () => {
    const { connection } = open()
    const sql =
      "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c WHERE x < 40) SELECT x, x || 'é' FROM c"
    const statements = [
      prepare(connection, sql),
      prepare(connection, sql),
      prepare(connection, `SELECT * FROM (${sql})`)
    ]
    const results: Array<Array<Value>> = [[], [], []]
    const ended = new Set<number>()
    for (let turn = 0; ended.size < 3; turn++) {
      const which = turn % 3
      if (ended.has(which)) continue
      const page = fetchPage(statements[which]!, 3 + which, 200)
      results[which]!.push(...page.rows.map((row) => row[0]!))
      if ((page.flags & Flag.done) !== 0) ended.add(which)
    }
    const expected = Array.from({ length: 40 }, (_, i) => i + 1)
    expect(results).toEqual([expected, expected, expected])
  })
})

describe("facts of a page", () => {
  it("changes, rowid, transaction, time", () => {
    const { connection } = open()
    connection.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE log(a)")
    connection.exec("CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a), (new.a); END")
    const insert = run(connection, "INSERT INTO t(b) VALUES (1), (2), (3)")
    expect([insert.changes, insert.lastInsertRowid, insert.rows]).toEqual([3, 3n, []])
    expect(run(connection, "CREATE TABLE u(a)").changes).toBe(0)
    expect(run(connection, "UPDATE t SET b = 0 WHERE a > 1").changes).toBe(2)
    expect(run(connection, "DELETE FROM t WHERE a > 99").changes).toBe(0)
    const select = run(connection, "SELECT * FROM t")
    expect([select.changes, select.flags & Flag.readonly]).toEqual([-1, Flag.readonly])
    expect(select.engineNanos).toBeGreaterThan(0)
    expect(run(connection, "BEGIN").flags & Flag.inTransaction).toBe(Flag.inTransaction)
    expect(connection.inTransaction()).toBe(true)
    expect(run(connection, "COMMIT").flags & Flag.inTransaction).toBe(0)
    expect(connection.inTransaction()).toBe(false)
    expect(insert.flags & Flag.readonly).toBe(0)
  })

  it("changes of RETURNING stand on its last page", () => {
    const { connection } = open()
    connection.exec("CREATE TABLE t(a)")
    const statement = prepare(connection, "INSERT INTO t VALUES (1), (2), (3) RETURNING a")
    const pages = fetchAll(statement, 1)
    expect(pages.map((page) => page.rows)).toEqual([[[1]], [[2]], [[3]], []])
    expect(pages.map((page) => page.changes)).toEqual([0, 0, 0, 3])
  })

  it("extended codes", () => {
    const { connection } = open()
    connection.exec("CREATE TABLE t(a UNIQUE NOT NULL); INSERT INTO t VALUES (1)")
    const page = run(connection, "INSERT INTO t VALUES (1)")
    expect([page.code, page.error, page.changes]).toEqual([2067, "UNIQUE constraint failed: t.a", 0])
    expect(run(connection, "INSERT INTO t VALUES (NULL)").code).toBe(1299)
    expect(failure(() => connection.exec("INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)")).code).toBe(2067)
    expect(run(connection, "SELECT count(*) FROM t").rows).toEqual([[2]])
  })

  it("starts as the carrier's connections do", () => {
    const { connection } = open()
    expect(run(connection, "PRAGMA foreign_keys").rows).toEqual([[1]])
    expect(failure(() => connection.prepare('SELECT "no column"')).message).toContain("no such column")
  })

  it("columns come first and again when they changed", () => {
    const { connection } = open()
    connection.exec("CREATE TABLE t(a INTEGER); INSERT INTO t VALUES (1)")
    const statement = prepare(connection, "SELECT * FROM t")
    expect(fetchPage(statement).block).toEqual([["a", "INTEGER"]])
    expect(fetchPage(statement).block).toBeUndefined()
    connection.exec("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'x'")
    const added = fetchPage(statement)
    expect([added.rows, added.block]).toEqual([
      [[1, "x"]],
      [
        ["a", "INTEGER"],
        ["b", "TEXT"]
      ]
    ])
    expect(fetchPage(statement).block).toBeUndefined()
    connection.exec("ALTER TABLE t RENAME COLUMN b TO c")
    expect(fetchPage(statement).block).toEqual([
      ["a", "INTEGER"],
      ["c", "TEXT"]
    ])
    expect(statement.columnCount()).toBe(2)
    connection.exec("CREATE TABLE unrelated(a)")
    expect(fetchPage(statement).block).toBeUndefined()
    connection.exec("DROP TABLE t")
    const gone = fetchPage(statement)
    expect([gone.code, gone.error]).toEqual([1, "no such table: t"])
  })

  it("private once there are temporary objects or attached databases", () => {
    for (const sql of [
      "CREATE TEMP TABLE x(a)",
      "CREATE TEMPORARY VIEW x AS SELECT 1",
      "CREATE TABLE temp.x(a)",
      "CREATE VIEW temp.x AS SELECT 1",
      "CREATE VIRTUAL TABLE temp.x USING rtree(a, b, c)",
      "ATTACH ':memory:' AS other"
    ]) {
      const { connection } = open()
      const select = prepare(connection, "SELECT 1")
      const statement = prepare(connection, sql)
      expect(fetchPage(select).flags & (Flag.private | Flag.routable)).toBe(Flag.routable)
      expect(fetchPage(statement)).toMatchObject({ error: undefined, code: 0 })
      expect(fetchPage(select).flags & (Flag.private | Flag.routable)).toBe(Flag.private)
      const other = open().connection
      other.exec(sql)
      expect(run(other, "SELECT 1").flags & Flag.private).toBe(Flag.private)
    }
  })

  it("a VACUUM attaches nothing for good", () => {
    const { connection } = open(file())
    connection.exec("CREATE TABLE t(a); VACUUM")
    expect(run(connection, "VACUUM").flags & Flag.private).toBe(0)
    const statement = prepare(connection, "VACUUM")
    fetchAll(statement)
    connection.exec("CREATE TABLE u(a)")
    expect(fetchAll(statement).at(-1)!.flags & Flag.private).toBe(0)
  })
})

describe("routable", () => {
  const { connection } = open()
  opened.pop()
  afterAll(() => connection.close())
  connection.exec(`CREATE TABLE t(a, b); CREATE VIEW v AS SELECT a FROM t; CREATE VIRTUAL TABLE f USING fts5(x);
    INSERT INTO f VALUES ('words')`)

  it.each([
    "SELECT 1",
    "SELECT * FROM t",
    "SELECT count(*) FROM t",
    "SELECT upper(a), sum(b) OVER () FROM t WHERE a IN (SELECT b FROM t)",
    "WITH c AS (SELECT a FROM t) SELECT * FROM c",
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c LIMIT 3) SELECT * FROM c",
    "SELECT * FROM (SELECT a FROM t) JOIN v USING (a)",
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM f WHERE f MATCH 'words'",
    "SELECT value FROM json_each('[1]')",
    "VALUES (1), (2)"
  ])("%s", (sql) => {
    const statement = prepare(connection, sql)
    expect(statement.routable).toBe(true)
    const page = fetchAll(statement).at(-1)!
    expect([page.code, page.flags & Flag.routable]).toEqual([0, Flag.routable])
    statement.finalize()
  })

  it.each([
    "INSERT INTO t VALUES (1, 2)",
    "INSERT INTO t VALUES (1, 2) RETURNING a",
    "EXPLAIN SELECT 1",
    "EXPLAIN QUERY PLAN SELECT * FROM t",
    "SELECT last_insert_rowid()",
    "SELECT 1 WHERE Changes() > 0",
    "SELECT TOTAL_CHANGES()",
    "SELECT * FROM temp.sqlite_schema",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM pragma_table_info('t')",
    "SELECT name FROM pragma_database_list",
    "PRAGMA user_version",
    "PRAGMA journal_mode",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT s",
    "RELEASE s",
    "CREATE TABLE z(a)"
  ])("not: %s", (sql) => {
    const statement = prepare(connection, sql)
    expect(statement.routable).toBe(false)
    const page = fetchAll(statement).at(-1)!
    expect([page.code, page.flags & Flag.routable]).toEqual([0, 0])
    statement.finalize()
  })

  it("not any more when a view comes to read something else", () => {
    const other = open().connection
    other.exec("CREATE VIEW v AS SELECT 1 AS a")
    const statement = prepare(other, "SELECT a FROM v")
    expect(fetchPage(statement).flags & Flag.routable).toBe(Flag.routable)
    other.exec("DROP VIEW v; CREATE VIEW v AS SELECT changes() AS a")
    expect(fetchPage(statement).flags & Flag.routable).toBe(0)
  })

  it("load_extension is refused", () => {
    const error = failure(() => connection.prepare("SELECT load_extension('x')"))
    expect([error.code, error.message]).toEqual([1, "not authorized to use function: load_extension"])
  })
})

describe("batch", () => {
  const table = () => {
    const session = open()
    session.connection.exec("CREATE TABLE t(a UNIQUE, b)")
    return session
  }
  const rows = (n: number, from = 0) => Array.from({ length: n }, (_, i) => [from + i, `text ${i}`])
  const count = (connection: Connection) => run(connection, "SELECT count(*) FROM t").rows[0]![0]

  it("runs once per row", () => {
    const { connection } = table()
    const page = batch(connection, "INSERT INTO t VALUES (?, ?)", rows(500))
    expect([page.code, page.changes, page.detail, page.lastInsertRowid]).toEqual([0, 500, -1, 500n])
    expect([page.rows.length, page.flags]).toEqual([0, Flag.done])
    expect(page.engineNanos).toBeGreaterThan(0)
    expect(count(connection)).toBe(500)
    expect(run(connection, "SELECT b FROM t WHERE a = 499").rows).toEqual([["text 499"]])
  })

  it("is all or nothing, and tells the row", () => {
    const { connection } = table()
    batch(connection, "INSERT INTO t VALUES (?, ?)", [[7, "seven"]])
    const page = batch(connection, "INSERT INTO t VALUES (?, ?)", rows(20))
    expect([page.code, page.error, page.detail, page.changes]).toEqual([2067, "UNIQUE constraint failed: t.a", 7, 0])
    expect(page.flags & Flag.inTransaction).toBe(0)
    expect(count(connection)).toBe(1)
  })

  it("inside a transaction undoes only itself", () => {
    const { connection } = table()
    connection.exec("BEGIN; INSERT INTO t VALUES (100, 'before')")
    expect(batch(connection, "INSERT INTO t VALUES (?, ?)", rows(5, 10)).changes).toBe(5)
    const page = batch(connection, "INSERT INTO t VALUES (?, ?)", [...rows(5), [100, "again"]])
    expect([page.detail, page.flags & Flag.inTransaction]).toEqual([5, Flag.inTransaction])
    connection.exec("COMMIT")
    expect(count(connection)).toBe(6)
  })

  it("finds the transaction gone when SQLite rolled it back", () => {
    const { connection } = table()
    connection.exec("INSERT INTO t VALUES (3, 'three'); BEGIN; INSERT INTO t VALUES (50, 'inside')")
    const page = batch(connection, "INSERT OR ROLLBACK INTO t VALUES (?, ?)", rows(5))
    expect([page.code, page.detail, page.flags & Flag.inTransaction]).toEqual([2067, 3, 0])
    expect(count(connection)).toBe(1)
  })

  it("takes statements with rows and statements that only read", () => {
    const { connection } = table()
    expect(batch(connection, "INSERT INTO t VALUES (?, ?) RETURNING a, b", rows(3)).changes).toBe(3)
    const read = batch(connection, "SELECT ?, ? FROM t", rows(3))
    expect([read.code, read.changes, read.flags & Flag.readonly]).toEqual([0, -1, Flag.readonly])
    const bad = batch(connection, "SELECT json(?)", [["[]"], ["{"]])
    expect([bad.code, bad.detail, bad.error]).toEqual([1, 1, "malformed JSON"])
  })

  it("fails at its end when a deferred constraint fails", () => {
    const { connection } = open()
    connection.exec(`CREATE TABLE p(a PRIMARY KEY);
      CREATE TABLE t(a, p REFERENCES p DEFERRABLE INITIALLY DEFERRED)`)
    const page = batch(connection, "INSERT INTO t VALUES (?, ?)", [[1, 1]])
    expect([page.code, page.detail, page.flags & Flag.inTransaction]).toEqual([787, -1, 0])
    expect(count(connection)).toBe(0)
  })

  it("malformed rows undo what came before", () => {
    const { connection } = table()
    const statement = prepare(connection, "INSERT INTO t VALUES (?, ?)")
    const bytes = encode(rows(3))
    const out = room()
    statement.batch(bytes.slice(0, bytes.length - 1), 0, 2, 3, out, 0, 4096)
    expect([decode(out).code, decode(out).detail]).toEqual([21, 2])
    expect(count(connection)).toBe(0)
  })

  it("cuts a message that does not fit", () => {
    const { connection } = table()
    const page = batch(
      connection,
      "INSERT INTO t VALUES (?, ?)",
      [
        [1, 1],
        [1, 1]
      ],
      112
    )
    expect([page.code, page.error]).toEqual([2067, "UNIQUE const"])
    expect(
      batch(
        connection,
        "INSERT INTO t VALUES (?, ?)",
        [
          [1, 1],
          [1, 1]
        ],
        96
      ).error
    ).toBeUndefined()
  })

  it("sums changes without those of triggers", () => {
    const { connection } = table()
    connection.exec("CREATE TABLE log(a); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END")
    expect(batch(connection, "INSERT OR IGNORE INTO t VALUES (?, ?)", [...rows(3), ...rows(4)]).changes).toBe(4)
  })
})

describe("stopping", () => {
  it("constants of the control block are the pump's", () => {
    expect([cancelWord, deadlineOffset, Word.interrupt, slots, headerBytes, largeRowBytes]).toEqual([
      64, 1024, 4, 80, 96, 65536
    ])
  })

  it("looks at the words of its own request only", () => {
    const session = open()
    const { connection, words } = session
    words[cancelWord + 5] = 7
    expect(connection.start(8, 5)).toBe(Why.none)
    expect(connection.start(7, 6)).toBe(Why.none)
    expect(connection.start(7, 5)).toBe(Why.cancelled)
    expect(connection.check()).toBe(Why.cancelled)
    connection.end()
    expect(connection.check()).toBe(Why.none)
    words[Word.interrupt] = 9
    expect(connection.start(9, slots - 1)).toBe(Why.interrupted)
    expect(connection.start(10, slots - 1)).toBe(Why.none)
    deadlineIn(session, 0, -1)
    expect(connection.start(11, 0)).toBe(Why.deadline)
    deadlineIn(session, 0, 10_000)
    expect(connection.start(11, 0)).toBe(Why.none)
    expect(() => connection.start(1, slots)).toThrow()
    expect(() => connection.start(1, -1)).toThrow()
  })

  it("does not begin when told before", () => {
    const { connection, words } = open()
    connection.exec("CREATE TABLE t(a)")
    const statement = prepare(connection, "INSERT INTO t VALUES (1) RETURNING a")
    connection.start(3, 3)
    words[cancelWord + 3] = 3
    const page = fetchPage(statement)
    expect([page.code, page.why, page.error, page.changes]).toEqual([9, Why.cancelled, "interrupted", 0])
    expect(page.flags & Flag.done).toBe(Flag.done)
    connection.start(4, 3)
    expect(run(connection, "SELECT count(*) FROM t").rows).toEqual([[0]])
    expect(fetchAll(statement)[0]!.rows).toEqual([[1]])
  })

  it.each([
    ["cancel", cancelWord + 9, Why.cancelled],
    ["interrupt", Word.interrupt, Why.interrupted]
  ])("%s reaches a busy statement", async (_, word, why) => {
    const session = open()
    const statement = prepare(session.connection, endless)
    const worker = await later(session, 30, word, 21)
    expect(session.connection.start(21, 9)).toBe(0)
    const page = fetchPage(statement)
    expect([page.code, page.why, page.rows]).toEqual([9, why, []])
    expect(page.engineNanos).toBeLessThan(10e9)
    session.connection.end()
    await worker.terminate()
    session.words.fill(0)
    expect(run(session.connection, "SELECT 1").rows).toEqual([[1]])
  })

  it("a deadline reaches a busy statement", () => {
    const session = open()
    deadlineIn(session, 2, 20)
    session.connection.start(5, 2)
    const page = run(session.connection, endless)
    expect([page.code, page.why]).toEqual([9, Why.deadline])
    expect(page.engineNanos).toBeGreaterThan(5e6)
    expect(page.engineNanos).toBeLessThan(10e9)
  })

  it("stops between rows, behind those that are read", () => {
    const session = open()
    const statement = prepare(
      session.connection,
      "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    )
    session.connection.start(5, 2)
    const first = fetchPage(statement, 10)
    expect([first.rows.length, first.code]).toEqual([10, 0])
    session.words[cancelWord + 2] = 5
    const page = fetchPage(statement)
    expect([page.rows, page.code, page.why]).toEqual([[], 9, Why.cancelled])
    session.connection.start(6, 2)
    deadlineIn(session, 2, 5)
    const pages = fetchAll(statement, 1_000_000, 256 * 1024)
    const rows = pages.flatMap((each) => each.rows.map((row) => row[0]))
    expect(pages.at(-1)).toMatchObject({ code: 9, why: Why.deadline })
    expect(rows).toEqual(Array.from({ length: rows.length }, (_, i) => i + 1))
  })

  it("a held row is given up", () => {
    const { connection, words } = open()
    const statement = prepare(connection, "SELECT 1, hex(zeroblob(1000)) UNION ALL SELECT 2, 'b'")
    connection.start(5, 2)
    expect(statement.fetch(10, room(), 0, 200)).toBeLessThan(-2000)
    words[cancelWord + 2] = 5
    expect(fetchPage(statement)).toMatchObject({ rows: [], code: 9, why: Why.cancelled })
    connection.start(6, 2)
    expect(fetchPage(statement).rows.map((row) => row[0])).toEqual([1, 2])
  })

  it("a stopped write is undone", () => {
    const session = open()
    const { connection } = session
    connection.exec("CREATE TABLE t(a)")
    connection.start(5, 2)
    deadlineIn(session, 2, 20)
    const source = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c)"
    const page = run(connection, `${source} INSERT INTO t SELECT x FROM c`)
    expect(page).toMatchObject({ code: 9, why: Why.deadline, changes: 0 })
    connection.end()
    expect(run(connection, "SELECT count(*) FROM t").rows).toEqual([[0]])
  })

  it("a write with RETURNING that is stopped between its rows is undone, too", () => {
    const { connection, words } = open()
    connection.exec("CREATE TABLE t(a)")
    const statement = prepare(
      connection,
      "INSERT INTO t SELECT value FROM json_each('[1,2,3,4,5,6,7,8,9]') RETURNING a"
    )
    connection.start(5, 2)
    expect(fetchPage(statement, 3).rows).toHaveLength(3)
    words[cancelWord + 2] = 5
    expect(fetchPage(statement)).toMatchObject({ rows: [], code: 9, why: Why.cancelled, changes: 0 })
    connection.end()
    expect(run(connection, "SELECT count(*) FROM t").rows).toEqual([[0]])
    expect(run(connection, "INSERT INTO t VALUES (1)").code).toBe(0)
  })

  it("reaches the statements that exec runs", () => {
    const session = open()
    session.connection.start(5, 2)
    deadlineIn(session, 2, 20)
    const error = failure(() => session.connection.exec(`SELECT 1; ${endless}; SELECT 2`))
    expect([error.code, error.message]).toEqual([9, "interrupted"])
  })

  it("stops exec between short statements", () => {
    const { connection, words } = open()
    connection.exec("CREATE TABLE t(a)")
    connection.start(5, 2)
    words[cancelWord + 2] = 5
    expect(failure(() => connection.exec("INSERT INTO t VALUES (1)")).code).toBe(9)
    connection.end()
    expect(run(connection, "SELECT count(*) FROM t").rows).toEqual([[0]])
  })

  it("stops a batch and undoes it", () => {
    const session = open()
    const { connection } = session
    connection.exec("CREATE TABLE t(a, b)")
    connection.start(5, 2)
    deadlineIn(session, 2, 20)
    const slow = `INSERT INTO t VALUES (?, (${endless} WHERE x < 30000))`.replace(
      "FROM c) SELECT",
      "FROM c WHERE x < 300000) SELECT"
    )
    const page = batch(
      connection,
      slow,
      Array.from({ length: 5000 }, (_, i) => [i])
    )
    expect(page).toMatchObject({ code: 9, why: Why.deadline, changes: 0, error: "interrupted" })
    expect(page.detail).toBeGreaterThanOrEqual(0)
    expect(page.flags & Flag.inTransaction).toBe(0)
    connection.end()
    expect(run(connection, "SELECT count(*) FROM t").rows).toEqual([[0]])
  })

  it("stops a batch between its rows and keeps the transaction around it", () => {
    const { connection, words } = open()
    connection.exec("CREATE TABLE t(a, b); BEGIN; INSERT INTO t VALUES (1, 1)")
    connection.start(5, 2)
    words[cancelWord + 2] = 5
    const page = batch(connection, "INSERT INTO t VALUES (?, 0)", [[1], [2]])
    expect(page).toMatchObject({ code: 9, why: Why.cancelled })
    connection.end()
    connection.exec("COMMIT")
    expect(run(connection, "SELECT count(*) FROM t").rows).toEqual([[1]])
  })
})

describe("waiting for a lock", () => {
  const locked = (busyTimeout: number) => {
    const name = file()
    const holder = open(name).connection
    holder.exec("CREATE TABLE t(a); BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)")
    return { holder, session: open(name, { busyTimeout }) }
  }

  it("is bounded", () => {
    const { session } = locked(60)
    const start = process.hrtime.bigint()
    const page = fetchPage(prepareLocked(session.connection))
    const milliseconds = Number(process.hrtime.bigint() - start) / 1e6
    expect([page.code, page.why, page.error]).toEqual([5, 0, "database is locked"])
    expect(milliseconds).toBeGreaterThan(50)
    expect(milliseconds).toBeLessThan(10_000)
  })

  it("is not done at all with a timeout of 0", () => {
    const { session } = locked(0)
    expect(fetchPage(prepareLocked(session.connection)).code).toBe(5)
  })

  it("can be stopped", () => {
    const { session } = locked(30_000)
    const { connection } = session
    const statement = prepareLocked(connection)
    connection.start(5, 2)
    deadlineIn(session, 2, 30)
    const start = process.hrtime.bigint()
    expect(fetchPage(statement)).toMatchObject({ code: 9, why: Why.deadline, error: "interrupted" })
    expect(Number(process.hrtime.bigint() - start) / 1e6).toBeLessThan(10_000)
    connection.start(6, 3)
    deadlineIn(session, 3, 30)
    expect(batchOn(statement)).toMatchObject({ code: 9, why: Why.deadline, detail: -1 })
  })

  it("can be stopped while the schema is read to prepare", () => {
    const { session } = locked(30_000)
    session.connection.start(5, 2)
    deadlineIn(session, 2, 30)
    expect(failure(() => session.connection.prepare("SELECT * FROM t")).code).toBe(9)
  })

  it("ends when the lock does", async () => {
    const name = file()
    open(name).connection.exec("CREATE TABLE t(a)")
    const waiting = open(name, { busyTimeout: 20_000 }).connection
    const source = `
      const { workerData, parentPort } = require("node:worker_threads")
      const { DatabaseSync } = require(workerData.module)
      const database = new DatabaseSync(workerData.name)
      database.exec("BEGIN EXCLUSIVE")
      parentPort.postMessage("locked")
      setTimeout(() => { database.exec("COMMIT"); database.close() }, 50)`
    const worker = new Worker(source, { eval: true, workerData: { name, module: carrierModule } })
    await new Promise((resolve) => worker.once("message", resolve))
    const ended = new Promise((resolve) => worker.once("exit", resolve))
    expect(run(waiting, "INSERT INTO t VALUES (1)")).toMatchObject({ code: 0, changes: 1 })
    await ended
  })

  const prepareLocked = (connection: Connection) => prepare(connection, "BEGIN IMMEDIATE")

  const batchOn = (statement: Prepared) => {
    const out = room()
    statement.batch(encode([[]]), 0, 0, 1, out, 0, 4096)
    return decode(out)
  }
})

describe("lifetimes", () => {
  it("close with open statements and backups", () => {
    const name = file()
    const { connection } = open(name)
    connection.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
    const statement = prepare(connection, "SELECT a FROM t")
    fetchPage(statement, 1)
    const backup = connection.backup(file())
    connection.close()
    connection.close()
    const closed = [
      () => statement.fetch(1, room(), 0, 4096),
      () => statement.bind(encode([[1]]), 0, 1, false),
      () => statement.columnCount(),
      () => backup.step(1),
      () => backup.remaining(),
      () => connection.prepare("SELECT 1"),
      () => connection.start(1, 1)
    ]
    for (const use of closed) expect(use).toThrow()
    statement.finalize()
    backup.finish()
    expect(run(open(name).connection, "SELECT count(*) FROM t").rows).toEqual([[3]])
  })

  it("finalized statements are refused", () => {
    const { connection } = open()
    const statement = prepare(connection, "SELECT 1")
    statement.finalize()
    statement.finalize()
    expect(() => statement.fetch(1, room(), 0, 4096)).toThrow("finalized")
    expect(() => statement.reset()).toThrow("finalized")
  })

  it("reset ends the run and drops the parameters", () => {
    const { connection } = open()
    const statement = prepare(connection, "SELECT ?1 AS v UNION ALL SELECT ?1")
    statement.bind(encode([["x"]]), 0, 1, true)
    expect(fetchPage(statement, 1).rows).toEqual([["x"]])
    statement.reset()
    expect(fetchPage(statement).rows).toEqual([[null], [null]])
    fetchPage(statement, 1)
    statement.bind(encode([["y"]]), 0, 1, true)
    expect(fetchPage(statement).rows).toEqual([["y"], ["y"]])
  })

  it("an ending thread closes what it left open", async () => {
    expect(pin(carrier())).toBeDefined()
    const name = file()
    const pump = fileURLToPath(new URL("../native/build/pump.node", import.meta.url))
    expect(existsSync(pump)).toBe(true)
    const source = `
      const { workerData, parentPort } = require("node:worker_threads")
      const { DatabaseSync } = require(workerData.module)
      const pump = require(workerData.pump)
      const database = new DatabaseSync(":memory:", { allowExtension: true })
      database.enableLoadExtension(true)
      database.loadExtension(workerData.pump)
      const words = new Int32Array(new SharedArrayBuffer(4096))
      const connection = pump.open(pump.library(), workerData.name, false, true, words, 1000, 100)
      pump.exec(connection, "PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS t(a); BEGIN; INSERT INTO t VALUES (1)")
      globalThis.kept = [connection, pump.prepare(connection, "SELECT * FROM t"), pump.backup(connection, ":memory:")]
      parentPort.postMessage("ready")
      if (workerData.wait) parentPort.on("message", () => {})`
    for (const wait of [false, true, false, true]) {
      const worker = new Worker(source, { eval: true, workerData: { name, pump, module: carrierModule, wait } })
      const ended = new Promise((resolve) => worker.once("exit", resolve))
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject))
      if (wait) await worker.terminate()
      await ended
      // Closed: its transaction is gone, and so is the log that only an orderly close removes.
      expect(existsSync(`${name}-wal`)).toBe(false)
      expect(run(open(name).connection, "SELECT count(*) FROM t").rows).toEqual([[0]])
      opened.pop()!.close()
    }
  })

  it("collected handles harm nobody", () => {
    const { connection } = open()
    for (let i = 0; i < 2000; i++) {
      const short = engine.open({
        filename: ":memory:",
        readonly: false,
        create: true,
        shared: new SharedArrayBuffer(4096),
        progressSteps: 1000,
        busyTimeout: 0,
        safety: safest
      })
      short.prepare("SELECT 1")
      if (i % 2 === 0) short.close()
      connection.prepare(`SELECT ${i}`)
    }
    globalThis.gc?.()
    expect(run(connection, "SELECT 1").rows).toEqual([[1]])
  })
})

describe("whole databases", () => {
  const filled = () => {
    const session = open(file())
    session.connection.exec(`CREATE TABLE t(a, b);
      WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c WHERE x < 5000)
      INSERT INTO t SELECT x, hex(zeroblob(50)) FROM c`)
    return session.connection
  }

  it("serialize", () => {
    const connection = filled()
    const bytes = connection.serialize()
    const name = file()
    writeFileSync(name, new Uint8Array(bytes))
    const copy = open(name).connection
    expect(run(copy, "SELECT count(*), sum(a) FROM t").rows).toEqual([[5000, 12502500]])
    expect(run(copy, "PRAGMA integrity_check").rows).toEqual([["ok"]])
    expect(open().connection.serialize()).toBeInstanceOf(ArrayBuffer)
  })

  it("backup, in steps", () => {
    const connection = filled()
    const name = file()
    const backup = connection.backup(name)
    let steps = 0
    while (!backup.step(20)) {
      steps++
      expect(backup.remaining()).toBe(backup.pageCount() - steps * 20)
    }
    expect([backup.remaining(), steps > 3]).toEqual([0, true])
    backup.finish()
    expect(run(open(name).connection, "SELECT count(*) FROM t").rows).toEqual([[5000]])
  })

  it("backup at once, and one that is given up", () => {
    const connection = filled()
    const name = file()
    const whole = connection.backup(name)
    expect(whole.step(-1)).toBe(true)
    whole.finish()
    whole.finish()
    const half = connection.backup(file())
    expect(half.step(5)).toBe(false)
    half.finish()
    expect(() => half.step(1)).toThrow("finished")
    expect(run(open(name).connection, "PRAGMA integrity_check").rows).toEqual([["ok"]])
  })

  it("backup into a busy or impossible place", () => {
    const connection = filled()
    const name = file()
    const other = open(name).connection
    other.exec("CREATE TABLE u(a); BEGIN EXCLUSIVE")
    const backup = connection.backup(name)
    expect(failure(() => backup.step(-1)).code).toBe(5)
    other.exec("COMMIT")
    expect(backup.step(-1)).toBe(true)
    backup.finish()
    expect(failure(() => connection.backup(join(directory, "nowhere", "x.db"))).code & 0xff).toBe(14)
    connection.exec("BEGIN IMMEDIATE")
    connection.exec("ROLLBACK")
  })

  it("extensions that are none are refused", () => {
    const { connection } = open()
    const error = failure(() => connection.loadExtension(join(directory, "missing")))
    expect(error.code).toBe(1)
    expect(error.message).toContain("missing")
    expect(failure(() => connection.prepare("SELECT load_extension('x')")).code).toBe(1)
  })
})
