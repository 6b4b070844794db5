/** The connection as functions of the program see it in the worker: everything at once, nothing to wait for. */
import type { PageSource } from "../decoder.js"
import type { WorkerDatabase } from "../modules/model.js"
import { Header8, Why } from "../page.js"
import { encode } from "../parameters.js"
import { OwnCode, ResultCode } from "../resultCode.js"
import { type Connection, EngineError } from "./engine.js"
import { everyRow, isLast, Reading } from "./pages.js"

/** What `iterate` reads at once. */
const rowsPerPage = 64
const pageBytes = 64 * 1024

export class Database implements WorkerDatabase {
  private readonly idle = new Map<string, Reading>()
  private readonly used = new Set<Reading>()
  private closed = false
  /** Read as soon as it is written, whichever statement's it is. */
  private readonly scratch = new ArrayBuffer(pageBytes)

  constructor(private readonly connection: Connection) {}

  get inTransaction(): boolean {
    return this.usable().inTransaction()
  }

  readonly exec = (text: string): void => {
    this.usable().exec(text)
  }

  readonly all = <Row>(text: string, params: ReadonlyArray<unknown> = []): Array<Row> => {
    const rows: Array<Row> = []
    this.each(text, params, (reading, page) => {
      for (const row of reading.rows(page, "objects", "number")) {
        rows.push(row as Row)
      }
    })
    return rows
  }

  readonly run = (text: string, params: ReadonlyArray<unknown> = []) => {
    let changes = 0
    let lastInsertRowid = 0n
    this.each(text, params, (_, page) => {
      changes = Math.max(0, page.f64[Header8.changes]!)
      lastInsertRowid = page.i64[Header8.lastInsertRowid]!
    })
    return { changes, lastInsertRowid }
  }

  readonly iterate = <Row>(text: string, params: ReadonlyArray<unknown> = []): IterableIterator<Row> =>
    this.rows(text, params) as IterableIterator<Row>

  private *rows(text: string, params: ReadonlyArray<unknown>): Generator<unknown, undefined> {
    const reading = this.take(text, params)
    try {
      for (;;) {
        const page = this.next(reading, rowsPerPage)
        // Asked now: the memory may be written over between two rows.
        const last = isLast(page)
        yield* reading.rows(page, "objects", "number")
        if (last) {
          return undefined
        }
      }
    } finally {
      this.give(text, reading)
    }
  }

  /** Ends all that it has begun; from here on it is of no use. */
  close(): void {
    this.closed = true
    for (const { prepared } of [...this.used, ...this.idle.values()]) {
      prepared.finalize()
    }
    this.used.clear()
    this.idle.clear()
  }

  private usable(): Connection {
    if (this.closed) {
      throw new EngineError(OwnCode.failed, "the database of runInWorker is only there while its function runs")
    }
    if (this.connection.check() !== Why.none) {
      throw new EngineError(ResultCode.interrupt, "interrupted")
    }
    return this.connection
  }

  private each(text: string, params: ReadonlyArray<unknown>, use: (reading: Reading, page: PageSource) => void): void {
    const reading = this.take(text, params)
    try {
      for (;;) {
        const page = this.next(reading, everyRow)
        use(reading, page)
        if (isLast(page)) {
          return
        }
      }
    } finally {
      this.give(text, reading)
    }
  }

  private take(text: string, params: ReadonlyArray<unknown>): Reading {
    const connection = this.usable()
    let reading = this.idle.get(text)
    this.idle.delete(text)
    if (reading === undefined) {
      const prepared = connection.prepare(text)
      if (prepared === undefined || prepared.tail !== "") {
        prepared?.finalize()
        throw new EngineError(OwnCode.failed, "all, run and iterate take exactly one statement; exec takes a script")
      }
      reading = new Reading(prepared, this.scratch)
    }
    this.used.add(reading)
    const { prepared } = reading
    try {
      if (prepared.parameterCount !== params.length) {
        throw new RangeError(`The statement has ${prepared.parameterCount} parameters, but ${params.length} were given`)
      }
      prepared.bind(new Uint8Array(encode(params)), 0, params.length, true)
    } catch (error) {
      this.give(text, reading)
      throw error
    }
    return reading
  }

  private give(text: string, reading: Reading): void {
    if (!this.used.delete(reading)) {
      // Closed, and finalized, meanwhile.
      return
    }
    reading.prepared.reset()
    if (this.idle.has(text)) {
      reading.prepared.finalize()
    } else {
      this.idle.set(text, reading)
    }
  }

  private next(reading: Reading, maxRows: number): PageSource {
    this.usable()
    return reading.next(maxRows)
  }
}
