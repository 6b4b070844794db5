/** What both engines must do: run on each of them, so that a page says the same wherever it was written. */
import { FastCheck as fc } from "effect"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { cancelWord } from "../src/internal/boundary.js"
import { Flag, Why } from "../src/internal/page.js"
import type { Engine } from "../src/internal/worker/engine.js"
import { controlSuite, numbers } from "./engineControlSuite.js"
import { makeHarness, type Page } from "./engineHarness.js"

export interface EngineSuiteOptions {
  /** The carrier passes texts on whole, and not up to a NUL. */
  readonly nul: boolean
}

export const engineSuite = (name: string, make: () => Engine, options: EngineSuiteOptions) => {
  const harness = makeHarness(make)
  const { batch, bind, cleanUp, closeLast, directory, drain, engine, failure, fetch, open, page, prepare, run } =
    harness
  afterEach(cleanUp)

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
      expect(engine().version).toMatch(/^3\.\d+\.\d+$/)
      expect(["native", "portable"]).toContain(engine().kind)
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
      const bindable = (input: unknown) =>
        typeof input !== "number" || !Number.isSafeInteger(input) || Object.is(input, -0)
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
        fc.property(
          fc.array(row, { maxLength: 40 }),
          fc.integer({ min: 1, max: 20 }),
          fc.nat(2000),
          (rows, max, more) => {
            at.connection.exec("DELETE FROM t")
            const insert = prepare(at, "INSERT INTO t(a, b) VALUES (?, ?)")
            expect(batch(insert, rows.length === 0 ? [[1n, 2n]] : rows).code).toBe(0)
            insert.finalize()
            const select = prepare(at, "SELECT a, b FROM t ORDER BY id")
            const out = drain(select, max, 400 + more)
            // An integral float is encoded as an integer.
            const model = (rows.length === 0 ? [[1n, 2n]] : rows).map((values) =>
              values.map((v) =>
                typeof v === "number" && Number.isSafeInteger(v) ? (Object.is(v, -0) ? v : BigInt(v)) : v
              )
            )
            expect(out.code).toBe(0)
            // SQLite stores −0.0 as 0.0.
            expect(out.rows.map((r) => (r as Array<unknown>).map((v) => (Object.is(v, -0) ? 0 : v)))).toStrictEqual(
              model.map((r) => r.map((v) => (Object.is(v, -0) ? 0 : v)))
            )
            select.finalize()
          }
        ),
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
        { name: "a", type: "INTEGER", nullable: undefined },
        { name: "b c", type: "VARCHAR(10)", nullable: true },
        { name: "é", type: undefined, nullable: undefined },
        { name: "2", type: undefined, nullable: undefined }
      ])
      expect(select.columnCount()).toBe(4)
      expect(page(select).columns).toStrictEqual(select.columns().map(({ name, type }) => ({ name, type })))
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
      const select = prepare(
        at,
        `${numbers.replace("SELECT x FROM c", "")}
        SELECT CASE WHEN x = ? THEN abs(-9223372036854775807 - 1) ELSE x END FROM c`
      )
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
        message: 'near "SELEC": syntax error'
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
      expect(run(at, "SELECT :a, ?, @b, $c, ?2, :a", 1, "two", 3, 4).rows).toStrictEqual([
        [1n, "two", 3n, 4n, "two", 1n]
      ])
      expect(run(at, "SELECT ?3, ?1, ?", 1, 2, 3, 4).rows).toStrictEqual([[3n, 1n, 4n]])
      expect(run(at, "SELECT :a, @a, $a", 1, 2, 3).rows).toStrictEqual([[1n, 2n, 3n]])
      expect(run(at, "SELECT ?1, ? , :x", new Uint8Array([1]), null, "x").rows).toStrictEqual([
        [new Uint8Array([1]), null, "x"]
      ])
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
      expect(
        batch(insert, [
          [1, "x"],
          [2, null],
          [3, 1e-17]
        ])
      ).toMatchObject({
        code: 0,
        changes: 3,
        detail: -1,
        lastInsertRowid: 3n
      })
      expect(run(at, "SELECT b FROM t WHERE a = 3").rows).toStrictEqual([[1e-17]])
      const failed = batch(insert, [
        [4, 1],
        [5, 1],
        [1, 1],
        [6, 1]
      ])
      expect(failed).toMatchObject({ code: 1555, detail: 2, why: 0 })
      expect(failed.error).toContain("UNIQUE")
      expect(at.connection.inTransaction()).toBe(false)
      const count = () => run(at, "SELECT count(*) FROM t").rows[0]
      expect(count()).toStrictEqual([3n])
      at.connection.exec("BEGIN")
      expect(batch(insert, [[7, 1]]).code).toBe(0)
      expect(
        batch(insert, [
          [8, 1],
          [1, 1]
        ])
      ).toMatchObject({ code: 1555, detail: 1 })
      expect(at.connection.inTransaction()).toBe(true)
      expect(count()).toStrictEqual([4n])
      at.connection.exec("COMMIT")
      expect(count()).toStrictEqual([4n])
      const update = prepare(at, "UPDATE t SET b = ? WHERE a >= ? RETURNING a")
      expect(
        batch(update, [
          [0, 1],
          [0, 3]
        ])
      ).toMatchObject({ code: 0, changes: 6 })
      const empty = prepare(at, "DELETE FROM t")
      expect(batch(empty, [[]])).toMatchObject({ code: 0, changes: 4 })
      at.words[cancelWord + 1] = 9
      expect(at.connection.start(8, 1)).toBe(Why.none)
      at.words[cancelWord + 1] = 8
      expect(
        batch(insert, [
          [1, 1],
          [2, 1]
        ])
      ).toMatchObject({ code: 9, why: Why.cancelled })
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

    controlSuite(harness)

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
      expect(run(open(`file:${copy}?immutable=1`, { readonly: true }), "SELECT * FROM t").rows).toStrictEqual([
        [1n],
        ["é"]
      ])
      for (let n = 0; n < 2; n++) {
        // Only the native engine copies into a database that is there.
        const destination = join(folder, engine().kind === "native" ? "backup.db" : `backup${n}.db`)
        at.connection.exec(`INSERT INTO t VALUES (${n})`)
        const backup = at.connection.backup(destination)
        for (let steps = 0; !backup.step(1); steps++) expect(steps).toBeLessThan(1000)
        expect([backup.remaining(), backup.pageCount() > 0]).toStrictEqual([0, true])
        backup.finish()
        expect(run(open(destination), "SELECT count(*) FROM t").rows).toStrictEqual([[BigInt(3 + n)]])
        closeLast()
      }
      const unfinished = at.connection.backup(join(folder, "unfinished.db"))
      unfinished.finish()
      expect(failure(() => at.connection.backup(join(folder, "no", "where.db")).step(-1)).code & 0xff).toBe(14)
      expect(existsSync(join(folder, "no"))).toBe(false)
      expect(run(at, "SELECT count(*) FROM t").rows).toStrictEqual([[4n]])
    })
  })
}
