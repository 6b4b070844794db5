/** Drives an engine as the worker does: binds tagged parameters, fetches pages and reads them back. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect } from "vitest"
import { deadlineOffset, sharedBytes, slots } from "../src/internal/boundary.js"
import { safest } from "../src/internal/opening.js"
import { makeDecoder, readColumns, readError, views } from "../src/internal/decoder.js"
import { Flag, Header, Header8 } from "../src/internal/page.js"
import { encode, encodeRows } from "../src/internal/parameters.js"
import { type Connection, type Engine, EngineError, type Prepared } from "../src/internal/worker/engine.js"

export interface Page {
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

export interface Opened {
  readonly connection: Connection
  readonly shared: SharedArrayBuffer
  readonly words: Int32Array
  readonly deadlines: BigInt64Array
}

export const makeHarness = (make: () => Engine) => {
  const opened: Array<Connection> = []
  const directories: Array<string> = []
  let made: Engine | undefined
  const engine = () => (made ??= make())

  const directory = () => {
    const path = mkdtempSync(join(tmpdir(), "sluice-engine-"))
    directories.push(path)
    return path
  }

  const open = (filename = ":memory:", more: { readonly?: boolean; create?: boolean; busyTimeout?: number } = {}) => {
    const shared = new SharedArrayBuffer(sharedBytes)
    const connection = engine().open({
      filename,
      readonly: more.readonly ?? false,
      create: more.create ?? true,
      shared,
      progressSteps: 1000,
      busyTimeout: more.busyTimeout ?? 0,
      safety: safest
    })
    opened.push(connection)
    return {
      connection,
      shared,
      words: new Int32Array(shared),
      deadlines: new BigInt64Array(shared, deadlineOffset, slots)
    } satisfies Opened
  }

  const cleanUp = () => {
    for (const connection of opened.splice(0)) {
      connection.end()
      connection.close()
    }
    for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true })
  }

  const closeLast = () => opened.pop()!.close()

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
    const [word, double] = [base >> 2, base >> 3]
    const columns = readColumns(source, base)
    if (columns !== undefined) known.set(prepared, columns)
    const code = source.i32[word + Header.code]!
    const flags = source.u32[word + Header.flags]!
    expect((flags & Flag.columns) !== 0).toBe(columns !== undefined)
    return {
      rows:
        source.u32[word + Header.rows] === 0
          ? []
          : makeDecoder(known.get(prepared) ?? []).decode(source, base, "arrays", "bigint"),
      columns,
      code,
      why: source.u32[word + Header.why]!,
      detail: source.i32[word + Header.detail]!,
      changes: source.f64[double + Header8.changes]!,
      lastInsertRowid: source.i64[double + Header8.lastInsertRowid]!,
      error: readError(source, base),
      flags,
      done: code !== 0 || (flags & Flag.done) !== 0,
      bytes: source.u32[word + Header.bytes]!
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

  return { engine, directory, open, closeLast, cleanUp, prepare, bind, fetch, page, drain, run, batch, failure }
}
