/** What both engines must do: run on each of them, so that a page says the same wherever it was written. */
import { FastCheck as fc } from "effect"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { cancelWord, deadlineOffset, sharedBytes, slots, Word } from "../src/internal/boundary.js"
import {
  makeDecoder,
  pageChanges,
  pageCode,
  pageDetail,
  pageFlags,
  pageLastInsertRowid,
  pageLength,
  pageRows,
  pageWhy,
  readColumns,
  readError,
  views
} from "../src/internal/decoder.js"
import { Flag, Why } from "../src/internal/page.js"
import { encode, encodeRows } from "../src/internal/parameters.js"
import { type Connection, type Engine, EngineError, type Prepared } from "../src/internal/worker/engine.js"

export interface EngineSuiteOptions {
  /** The carrier passes texts on whole, and not up to a NUL. */
  readonly nul: boolean
}

interface Page {
  readonly rows: Array<unknown>
  readonly columns: ReadonlyArray<{ readonly name: string; readonly type: string | undefined }> | undefined
  readonly code: number
  readonly why: number
  readonly detail: number
  readonly changes: number
  readonly lastInsertRowid: bigint
  readonly error: string | undefined
  readonly flags: number
  readonly done: boolean
  readonly bytes: number
}

interface Opened {
  readonly connection: Connection
  readonly shared: SharedArrayBuffer
  readonly words: Int32Array
  readonly deadlines: BigInt64Array
}

const numbers = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) SELECT x FROM c"

export const engineSuite = (name: string, make: () => Engine, options: EngineSuiteOptions) => {
  const opened: Array<Connection> = []
  const directories: Array<string> = []
  let engine: Engine | undefined

  const directory = () => {
    const made = mkdtempSync(join(tmpdir(), "sluice-engine-"))
    directories.push(made)
    return made
  }

  const open = (filename = ":memory:", more: { readonly?: boolean; create?: boolean; busyTimeout?: number } = {}) => {
    engine ??= make()
    const shared = new SharedArrayBuffer(sharedBytes)
    const connection = engine.open({
      filename,
      readonly: more.readonly ?? false,
      create: more.create ?? true,
      shared,
      progressSteps: 1000,
      busyTimeout: more.busyTimeout ?? 0
    })
    opened.push(connection)
    return {
      connection,
      shared,
      words: new Int32Array(shared),
      deadlines: new BigInt64Array(shared, deadlineOffset, slots)
    } satisfies Opened
  }

  afterEach(() => {
    for (const connection of opened.splice(0)) {
      connection.end()
      connection.close()
    }
    for (const made of directories.splice(0)) rmSync(made, { recursive: true, force: true })
  })

  const prepare = ({ connection }: Opened, sql: string): Prepared => {
    const prepared = connection.prepare(sql)
    if (prepared === undefined) throw new Error("no statement")
    return prepared
  }

  const bind = (prepared: Prepared, params: ReadonlyArray<unknown>) => {
    const bytes = new Uint8Array(encode(params))
    expect(prepared.bind(bytes, 0, params.length, true)).toBe(bytes.length)
  }

  /** One page, read with the columns that were last told. */
  const known = new WeakMap<Prepared, ReadonlyArray<{ readonly name: string; readonly type: string | undefined }>>()
  const read = (prepared: Prepared, buffer: ArrayBuffer, base: number): Page => {
    const source = views(buffer)
    const columns = readColumns(source, base)
    if (columns !== undefined) known.set(prepared, columns)
    const code = pageCode(source, base)
    const flags = pageFlags(source, base)
    expect((flags & Flag.columns) !== 0).toBe(columns !== undefined)
    return {
      rows: pageRows(source, base) === 0
        ? []
        : makeDecoder(known.get(prepared) ?? []).decode(source, base, "arrays", "bigint"),
      columns,
      code,
      why: pageWhy(source, base),
      detail: pageDetail(source, base),
      changes: pageChanges(source, base),
      lastInsertRowid: pageLastInsertRowid(source, base),
      error: readError(source, base),
      flags,
      done: code !== 0 || (flags & Flag.done) !== 0,
      bytes: pageLength(source, base)
    }
  }

  const fetch = (prepared: Prepared, maxRows = 1000, capacity = 65_536): Page | number => {
    const buffer = new ArrayBuffer(capacity + 24)
    const bytes = new Uint8Array(buffer).fill(0xa5)
    const length = prepared.fetch(maxRows, bytes, 8, capacity)
    if (length < 0) return length
    expect(length).toBeLessThanOrEqual(capacity)
    const page = read(prepared, buffer, 8)
    expect(page.bytes).toBe(length)
    expect(bytes.subarray(8 + length).every((byte) => byte === 0xa5)).toBe(true)
    return page
  }

  const page = (prepared: Prepared, maxRows?: number, capacity?: number): Page => {
    const out = fetch(prepared, maxRows, capacity)
    if (typeof out === "number") throw new Error(`needs ${-out} bytes`)
    return out
  }

  /** All rows, in pages; the last page's facts. */
  const drain = (prepared: Prepared, maxRows = 1000, capacity = 65_536) => {
    const rows: Array<unknown> = []
    let room = capacity
    for (let n = 0; n < 100_000; n++) {
      const out = fetch(prepared, maxRows, room)
      if (typeof out === "number") {
        expect(-out).toBeGreaterThan(room)
        room = -out
        continue
      }
      room = capacity
      rows.push(...out.rows)
      expect(out.rows.length).toBeLessThanOrEqual(maxRows)
      if (out.done) return { ...out, rows }
    }
    throw new Error("the statement does not end")
  }

  const run = (at: Opened, sql: string, ...params: ReadonlyArray<unknown>) => {
    const prepared = prepare(at, sql)
    expect(prepared.parameterCount).toBe(params.length)
    bind(prepared, params)
    const out = drain(prepared)
    prepared.finalize()
    return out
  }

  const batch = (prepared: Prepared, rows: ReadonlyArray<ReadonlyArray<unknown>>) => {
    const buffer = new ArrayBuffer(4096)
    const bytes = new Uint8Array(encodeRows(rows))
    const length = prepared.batch(bytes, 0, rows[0]?.length ?? 0, rows.length, new Uint8Array(buffer), 0, 4096)
    const out = read(prepared, buffer, 0)
    expect(out.bytes).toBe(length)
    expect(out.rows).toStrictEqual([])
    return out
  }

  const failure = (act: () => unknown): EngineError => {
    try {
      act()
    } catch (error) {
      expect(error).toBeInstanceOf(EngineError)
      return error as EngineError
    }
    throw new Error("nothing was thrown")
  }

  const value = fc.oneof(
    fc.constantFrom(null, "", 0.5, -0, 1e-17, 5e-324, 1e300, Infinity, -Infinity, new Uint8Array(0)),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.integer().map(BigInt),
    fc.maxSafeInteger().map(BigInt),
    fc.double({ noNaN: true }),
    fc.string({ unit: "grapheme" }).filter((text) => options.nul || !text.includes("\0")),
    fc.uint8Array({ maxLength: 50 })
  )

  describe(name, () => {
    it("says what it is", () => {
      open()
      expect(engine!.version).toMatch(/^3\.\d+\.\d+$/)
      expect(["native", "portable"]).toContain(engine!.kind)
    })

    it("stores and answers every value as it is", () => {
      const at = open()
      const echo = prepare(at, "SELECT ?1 AS v, typeof(?1), ?2")
      const type = (input: unknown) => {
        if (input === null) return "null"
        if (typeof input === "bigint") return "integer"
        if (typeof input === "number") return "real"
        return typeof input === "string" ? "text" : "blob"
      }
      // Integers come as bigints here; an integral number would be encoded as an integer.
      const bindable = (input: unknown) => typeof input !== "number" || !Number.isSafeInteger(input) ||
        Object.is(input, -0)
      fc.assert(
        fc.property(value.filter(bindable), value.filter(bindable), (first, second) => {
          bind(echo, [first, second])
          const { code, rows } = drain(echo)
          expect([code, rows]).toStrictEqual([0, [[first, type(first), second]]])
        }),
        { numRuns: 200 }
      )
    })

    it("keeps texts with NUL whole on their way in", () => {
      const at = open()
      expect(run(at, "SELECT hex(?), length(CAST(:n AS BLOB))", "a\0b", "\0").rows).toStrictEqual([["610062", 1n]])
      if (options.nul) expect(run(at, "SELECT ?", "a\0b").rows).toStrictEqual([["a\0b"]])
    })

    it("cuts pages by rows and by bytes and loses nothing", () => {
      const at = open()
      at.connection.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)")
      const row = fc.tuple(value, value)
      fc.assert(
        fc.property(fc.array(row, { maxLength: 40 }), fc.integer({ min: 1, max: 20 }), fc.nat(2000), (rows, max, more) => {
          at.connection.exec("DELETE FROM t")
          const insert = prepare(at, "INSERT INTO t(a, b) VALUES (?, ?)")
          expect(batch(insert, rows.length === 0 ? [[1n, 2n]] : rows).code).toBe(0)
          insert.finalize()
          const select = prepare(at, "SELECT a, b FROM t ORDER BY id")
          const out = drain(select, max, 400 + more)
          // An integral float is encoded as an integer.
          const model = (rows.length === 0 ? [[1n, 2n]] : rows).map((values) =>
            values.map((v) => typeof v === "number" && Number.isSafeInteger(v) ? (Object.is(v, -0) ? v : BigInt(v)) : v)
          )
          expect(out.code).toBe(0)
          // SQLite stores −0.0 as 0.0.
          expect(out.rows.map((r) => (r as Array<unknown>).map((v) => Object.is(v, -0) ? 0 : v))).toStrictEqual(
            model.map((r) => r.map((v) => Object.is(v, -0) ? 0 : v))
          )
          select.finalize()
        }),
        { numRuns: 60 }
      )
    })

    it("answers how much room a row needs, and then the row", () => {
      const at = open()
      const select = prepare(at, "SELECT 1, 'small' UNION ALL SELECT 2, printf('%.*c', 100000, 'x')")
      const first = page(select, 1000, 4096)
      expect(first.rows).toStrictEqual([[1n, "small"]])
      expect(first.done).toBe(false)
      const needed = fetch(select, 1000, 4096)
      expect(needed).toBeLessThan(-100_000)
      expect(fetch(select, 1000, 4096)).toBe(needed)
      const second = page(select, 1000, -(needed as number))
      expect(second.rows).toStrictEqual([[2n, "x".repeat(100_000)]])
      const last = second.done ? second : page(select)
      expect([last.done, last.code]).toStrictEqual([true, 0])
    })

    it("tells columns once, and again when they have changed", () => {
      const at = open()
      at.connection.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, \"b c\" VARCHAR(10)); INSERT INTO t VALUES (1, 'x')")
      const select = prepare(at, "SELECT *, a + 1 AS é, 2 FROM t")
      expect(select.columns()).toStrictEqual([
        { name: "a", type: "INTEGER" },
        { name: "b c", type: "VARCHAR(10)" },
        { name: "é", type: undefined },
        { name: "2", type: undefined }
      ])
      expect(select.columnCount()).toBe(4)
      expect(page(select).columns).toStrictEqual(select.columns())
      expect(page(select).columns).toBeUndefined()
      at.connection.exec("ALTER TABLE t ADD COLUMN d DEFAULT 5")
      const wider = page(select)
      expect(wider.columns?.map((column) => column.name)).toStrictEqual(["a", "b c", "d", "é", "2"])
      expect(wider.rows).toStrictEqual([[1n, "x", 5n, 2n, 2n]])
      at.connection.exec("ALTER TABLE t RENAME COLUMN d TO e")
      const renamed = page(select)
      expect(renamed.columns?.map((column) => column.name)).toStrictEqual(["a", "b c", "e", "é", "2"])
      expect(page(select).columns).toBeUndefined()
      at.connection.exec("DROP TABLE t")
      expect(page(select)).toMatchObject({ code: 1, error: "no such table: t", rows: [] })
      const nothing = prepare(at, "CREATE TABLE u(a)")
      expect([nothing.columnCount(), nothing.columns()]).toStrictEqual([0, []])
      expect(page(nothing).code).toBe(0)
    })

    it("tells changes, rowids and whether a transaction is open", () => {
      const at = open()
      const inside = (answer: Page) => (answer.flags & Flag.inTransaction) !== 0
      expect(run(at, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)").changes).toBe(0)
      expect(run(at, "INSERT INTO t(b) VALUES (1), (2), (3)")).toMatchObject({ changes: 3, lastInsertRowid: 3n })
      expect(run(at, "CREATE TABLE u(a)").changes).toBe(0)
      expect(run(at, "UPDATE t SET b = 0 WHERE a > ?", 1).changes).toBe(2)
      expect(run(at, "UPDATE t SET b = 0 WHERE a > 100").changes).toBe(0)
      expect(run(at, "INSERT INTO t VALUES (9223372036854775807, 1)").lastInsertRowid).toBe(2n ** 63n - 1n)
      const returning = run(at, "DELETE FROM t RETURNING a")
      expect([returning.rows.length, returning.changes]).toStrictEqual([4, 4])
      expect(run(at, "SELECT 1").changes).toBe(-1)
      expect(inside(run(at, "BEGIN"))).toBe(true)
      expect(at.connection.inTransaction()).toBe(true)
      expect(inside(run(at, "SELECT 1"))).toBe(true)
      expect(inside(run(at, "ROLLBACK"))).toBe(false)
      expect(at.connection.inTransaction()).toBe(false)
    })

    it("answers the rows before an error, and is ready again", () => {
      const at = open()
      const select = prepare(at, `${numbers.replace("SELECT x FROM c", "")}
        SELECT CASE WHEN x = ? THEN abs(-9223372036854775807 - 1) ELSE x END FROM c`)
      bind(select, [10, 4])
      const out = drain(select)
      expect([out.rows, out.code, out.error]).toStrictEqual([[[1n], [2n], [3n]], 1, "integer overflow"])
      bind(select, [2, 100])
      expect(drain(select)).toMatchObject({ rows: [[1n], [2n]], code: 0 })
    })

    it("names errors by SQLite's extended codes", () => {
      const at = open()
      at.connection.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE NOT NULL, c CHECK (c > 0))")
      run(at, "INSERT INTO t VALUES (1, 1, 1)")
      expect(failure(() => at.connection.prepare("SELEC 1"))).toMatchObject({
        code: 1,
        message: "near \"SELEC\": syntax error"
      })
      expect(failure(() => at.connection.exec("SELECT 1; INSERT INTO t VALUES (2, NULL, 1)")).code).toBe(1299)
      expect(run(at, "INSERT INTO t VALUES (1, 2, 1)")).toMatchObject({ code: 1555, changes: 0 })
      expect(run(at, "INSERT INTO t VALUES (2, 1, 1)").code).toBe(2067)
      expect(run(at, "INSERT INTO t VALUES (2, 2, 0) RETURNING a").code).toBe(275)
      expect(run(at, "SELECT json_extract('{', '$')").code).toBe(1)
      expect(run(at, "SELECT count(*) FROM t").rows).toStrictEqual([[1n]])
    })

    it("binds by SQLite's numbering of parameters", () => {
      const at = open()
      expect(run(at, "SELECT :a, ?, @b, $c, ?2, :a", 1, "two", 3, 4).rows).toStrictEqual([[1n, "two", 3n, 4n, "two", 1n]])
      expect(run(at, "SELECT ?3, ?1, ?", 1, 2, 3, 4).rows).toStrictEqual([[3n, 1n, 4n]])
      expect(run(at, "SELECT :a, @a, $a", 1, 2, 3).rows).toStrictEqual([[1n, 2n, 3n]])
      expect(run(at, "SELECT ?1, ? , :x", new Uint8Array([1]), null, "x").rows).toStrictEqual(
        [[new Uint8Array([1]), null, "x"]]
      )
      // A value that a carrier would change must not renumber its neighbours.
      expect(run(at, "SELECT typeof(?1), ?, :x, ?1 = 1e-17", 1e-17, 2, "x").rows).toStrictEqual([["real", 2n, "x", 1n]])
      const select = prepare(at, "SELECT ? AS a, ?")
      bind(select, [1e-17, 1])
      expect(page(select).columns?.map((column) => column.name)).toStrictEqual(["a", "?"])
    })

    it("takes scripts apart", () => {
      const at = open()
      const script = `
        -- a comment; with a semicolon
        CREATE TABLE t(a, "b;c");
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN
          UPDATE t SET a = CASE WHEN a > 1 THEN 2 ELSE ';END;' END; SELECT 1;
        END;
        INSERT INTO t VALUES (3, ';'); /* ; */ SELECT * FROM t ; -- end
      `
      let rest = script
      const texts: Array<number> = []
      let rows: Array<unknown> = []
      for (;;) {
        const prepared = at.connection.prepare(rest)
        if (prepared === undefined) break
        rows = drain(prepared).rows
        texts.push(prepared.tail.length)
        rest = prepared.tail
        prepared.finalize()
        if (rest === "") break
      }
      expect(texts.length).toBe(4)
      expect(rest).toBe("")
      expect(rows).toStrictEqual([[2n, ";"]])
      for (const empty of ["", " ", "-- x", "/* x", ";", " ; ; "]) {
        expect(at.connection.prepare(empty)).toBeUndefined()
      }
      at.connection.exec("; CREATE TABLE u(a);; INSERT INTO u VALUES (1);")
      expect(run(at, "SELECT * FROM u").rows).toStrictEqual([[1n]])
    })

    it("knows what may run on a reader", () => {
      const at = open()
      at.connection.exec("CREATE TABLE t(a)")
      const flags = (sql: string) => {
        const prepared = prepare(at, sql)
        const out = [prepared.routable, prepared.readonly]
        prepared.finalize()
        return out
      }
      expect(flags("SELECT * FROM t")).toStrictEqual([true, true])
      expect(flags("/* x */ WITH q AS (SELECT 1) SELECT replace('a', 'b', 'c') FROM q")).toStrictEqual([true, true])
      expect(flags("VALUES (1)")).toStrictEqual([true, true])
      expect(flags("SELECT last_insert_rowid()")).toStrictEqual([false, true])
      expect(flags("SELECT changes() + total_changes()")).toStrictEqual([false, true])
      expect(flags("INSERT INTO t VALUES (1)")).toStrictEqual([false, false])
      expect(flags("WITH q AS (SELECT 1) INSERT INTO t SELECT * FROM q")).toStrictEqual([false, false])
      expect(flags("INSERT INTO t VALUES (1) RETURNING a")).toStrictEqual([false, false])
      expect(flags("BEGIN IMMEDIATE")).toStrictEqual([false, false])
      expect(flags("SELECT * FROM pragma_table_info('t')")[0]).toBe(false)
      const select = page(prepare(at, "SELECT * FROM t"))
      expect(select.flags & (Flag.routable | Flag.readonly | Flag.private)).toBe(Flag.routable | Flag.readonly)
      expect(run(at, "CREATE TEMP TABLE x(a)").flags & Flag.private).toBe(Flag.private)
      expect(run(at, "SELECT * FROM t").flags & Flag.private).toBe(Flag.private)
    })

    it("runs batches whole or not at all", () => {
      const at = open()
      at.connection.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
      const insert = prepare(at, "INSERT INTO t VALUES (?, ?)")
      expect(batch(insert, [[1, "x"], [2, null], [3, 1e-17]])).toMatchObject({
        code: 0,
        changes: 3,
        detail: -1,
        lastInsertRowid: 3n
      })
      expect(run(at, "SELECT b FROM t WHERE a = 3").rows).toStrictEqual([[1e-17]])
      const failed = batch(insert, [[4, 1], [5, 1], [1, 1], [6, 1]])
      expect(failed).toMatchObject({ code: 1555, detail: 2, why: 0 })
      expect(failed.error).toContain("UNIQUE")
      expect(at.connection.inTransaction()).toBe(false)
      const count = () => run(at, "SELECT count(*) FROM t").rows[0]
      expect(count()).toStrictEqual([3n])
      at.connection.exec("BEGIN")
      expect(batch(insert, [[7, 1]]).code).toBe(0)
      expect(batch(insert, [[8, 1], [1, 1]])).toMatchObject({ code: 1555, detail: 1 })
      expect(at.connection.inTransaction()).toBe(true)
      expect(count()).toStrictEqual([4n])
      at.connection.exec("COMMIT")
      expect(count()).toStrictEqual([4n])
      const update = prepare(at, "UPDATE t SET b = ? WHERE a >= ? RETURNING a")
      expect(batch(update, [[0, 1], [0, 3]])).toMatchObject({ code: 0, changes: 6 })
      const empty = prepare(at, "DELETE FROM t")
      expect(batch(empty, [[]])).toMatchObject({ code: 0, changes: 4 })
      at.words[cancelWord + 1] = 9
      expect(at.connection.start(8, 1)).toBe(Why.none)
      at.words[cancelWord + 1] = 8
      expect(batch(insert, [[1, 1], [2, 1]])).toMatchObject({ code: 9, why: Why.cancelled })
      at.connection.end()
      expect(count()).toStrictEqual([0n])
    })

    it("refuses wrong use without falling over", () => {
      const at = open()
      expect(failure(() => at.connection.exec("COMMIT")).code).toBe(1)
      expect(failure(() => at.connection.loadExtension("/nowhere/there-is-none.so")).code).toBe(1)
      expect(failure(() => open(join(directory(), "missing", "a.db"))).code & 0xff).toBe(14)
      expect(failure(() => open(join(directory(), "a.db"), { create: false })).code & 0xff).toBe(14)
      const file = join(directory(), "text.db")
      writeFileSync(file, "this is no database, ".repeat(100))
      const broken = open(file)
      expect(failure(() => broken.connection.exec("SELECT * FROM sqlite_schema")).code).toBe(26)
      const written = join(directory(), "b.db")
      open(written).connection.exec("CREATE TABLE t(a)")
      const reader = open(written, { readonly: true })
      expect(run(reader, "INSERT INTO t VALUES (1)").code & 0xff).toBe(8)
      expect(run(reader, "SELECT * FROM t").code).toBe(0)
      const select = prepare(at, "SELECT 1")
      select.reset()
      select.reset()
      page(select)
      select.finalize()
    })

    it("looks at the control words of its request only", () => {
      const at = open()
      at.words[cancelWord + 3] = 41
      at.words[Word.interrupt] = 43
      at.deadlines[3] = 0n
      expect(at.connection.start(42, 3)).toBe(Why.none)
      const select = prepare(at, numbers)
      bind(select, [100])
      expect(drain(select).rows.length).toBe(100)
      at.connection.end()
      expect(at.connection.start(41, 3)).toBe(Why.cancelled)
      expect(at.connection.start(43, 5)).toBe(Why.interrupted)
      at.deadlines[5] = process.hrtime.bigint() - 1n
      expect(at.connection.start(44, 5)).toBe(Why.deadline)
      at.deadlines[5] = process.hrtime.bigint() + 60_000_000_000n
      expect(at.connection.start(44, 5)).toBe(Why.none)
      expect(at.connection.check()).toBe(Why.none)
    })

    it.each([
      ["cancelled", Why.cancelled],
      ["interrupted", Why.interrupted],
      ["past its deadline", Why.deadline]
    ])("stops a statement that is %s between its pages", (_name, why) => {
      const at = open()
      const select = prepare(at, numbers)
      bind(select, [1_000_000])
      expect(at.connection.start(7, 2)).toBe(Why.none)
      expect(page(select, 10).rows.length).toBe(10)
      if (why === Why.cancelled) at.words[cancelWord + 2] = 7
      else if (why === Why.interrupted) at.words[Word.interrupt] = 7
      else at.deadlines[2] = process.hrtime.bigint()
      const stopped = page(select, 100_000)
      expect(stopped).toMatchObject({ code: 9, why, error: "interrupted" })
      // A look at every 64th row is soon enough.
      expect(stopped.rows.length).toBeLessThanOrEqual(64)
      at.connection.end()
      at.deadlines[2] = 0n
      expect(at.connection.start(8, 2)).toBe(Why.none)
      bind(select, [3])
      expect(drain(select)).toMatchObject({ rows: [[1n], [2n], [3n]], code: 0, why: 0 })
    })

    it("waits for a lock as long as it may, and no longer than it is wanted", () => {
      const file = join(directory(), "busy.db")
      const holder = open(file)
      holder.connection.exec("CREATE TABLE t(a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
      const impatient = open(file, { busyTimeout: 60 })
      const began = performance.now()
      expect(run(impatient, "INSERT INTO t VALUES (2)").code).toBe(5)
      expect(performance.now() - began).toBeGreaterThanOrEqual(50)
      expect(performance.now() - began).toBeLessThan(3000)
      expect(run(impatient, "INSERT INTO t VALUES (2) RETURNING a").code).toBe(5)
      const patient = open(file, { busyTimeout: 30_000 })
      patient.deadlines[1] = process.hrtime.bigint() + 50_000_000n
      expect(patient.connection.start(5, 1)).toBe(Why.none)
      const insert = prepare(patient, "INSERT INTO t VALUES (?)")
      bind(insert, [3])
      expect(page(insert)).toMatchObject({ code: 9, why: Why.deadline })
      patient.words[cancelWord + 1] = 5
      expect(batch(insert, [[3]])).toMatchObject({ code: 9, why: Why.cancelled })
      patient.connection.end()
      patient.words[cancelWord + 1] = 0
      holder.connection.exec("COMMIT")
      expect(run(patient, "SELECT * FROM t").rows).toStrictEqual([[1n]])
      expect(batch(insert, [[3], [4]])).toMatchObject({ code: 0, changes: 2 })
    })

    it("keeps several statements open at once", () => {
      const at = open()
      const first = prepare(at, numbers)
      const second = prepare(at, numbers)
      bind(first, [50])
      bind(second, [50])
      const rows: Array<unknown> = []
      for (let n = 0; n < 5; n++) rows.push(...page(first, 10).rows, ...page(second, 10).rows)
      expect(rows.length).toBe(100)
      first.reset()
      second.finalize()
      bind(first, [1])
      expect(drain(first).rows).toStrictEqual([[1n]])
    })

    it("writes the whole database to bytes and to files", () => {
      const folder = directory()
      const at = open(join(folder, "source.db"))
      at.connection.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1), ('é')")
      const bytes = new Uint8Array(at.connection.serialize())
      expect(Buffer.from(bytes.subarray(0, 15)).toString()).toBe("SQLite format 3")
      const copy = join(folder, "copy.db")
      writeFileSync(copy, bytes)
      expect(run(open(`file:${copy}?immutable=1`, { readonly: true }), "SELECT * FROM t").rows).toStrictEqual([[1n], ["é"]])
      const destination = join(folder, "backup.db")
      for (let n = 0; n < 2; n++) {
        at.connection.exec(`INSERT INTO t VALUES (${n})`)
        const backup = at.connection.backup(destination)
        for (let steps = 0; !backup.step(1); steps++) expect(steps).toBeLessThan(1000)
        expect([backup.remaining(), backup.pageCount() > 0]).toStrictEqual([0, true])
        backup.finish()
        expect(run(open(destination), "SELECT count(*) FROM t").rows).toStrictEqual([[BigInt(3 + n)]])
        opened.pop()!.close()
      }
      const unfinished = at.connection.backup(join(folder, "unfinished.db"))
      unfinished.finish()
      expect(failure(() => at.connection.backup(join(folder, "no", "where.db")).step(-1)).code & 0xff).toBe(14)
      expect(existsSync(join(folder, "no"))).toBe(false)
      expect(run(at, "SELECT count(*) FROM t").rows).toStrictEqual([[4n]])
    })
  })
}
