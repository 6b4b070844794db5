/** The connection as functions of the program see it in the worker: everything at once, nothing to wait for. */
import { type Decoder, makeDecoder, readColumns } from "../decoder.js"
import type { WorkerDatabase } from "../modules/model.js"
import { Flag, Header, Header8, Why } from "../page.js"
import { readError, views } from "../pageSource.js"
import { encode } from "../parameters.js"
import { ResultCode } from "../resultCode.js"
import { type Connection, EngineError, type Prepared } from "./engine.js"

/** What `all` reads at once, and what `iterate` does. */
const everyRow = 0x7fffffff
const rowsPerPage = 64
const pageBytes = 64 * 1024

interface Cached {
  readonly prepared: Prepared
  decoder: Decoder | undefined
}

export class Database implements WorkerDatabase {
  private readonly idle = new Map<string, Cached>()
  private readonly used = new Set<Cached>()
  private closed = false
  /** Read as soon as it is written. */
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
    this.start(text, params, (cached) => {
      const keep = (page: ReadonlyArray<unknown>) => page.forEach((row) => rows.push(row as Row))
      while (this.fetch(cached, everyRow, keep)) {
        // Until there is no more.
      }
    })
    return rows
  }

  readonly run = (text: string, params: ReadonlyArray<unknown> = []) => {
    let changes = 0
    let lastInsertRowid = 0n
    this.start(text, params, (cached) => {
      const facts = (page: ArrayBuffer) => {
        changes = Math.max(0, new Float64Array(page, 0, 12)[Header8.changes]!)
        lastInsertRowid = new BigInt64Array(page, 0, 12)[Header8.lastInsertRowid]!
      }
      while (this.fetch(cached, everyRow, () => {}, facts)) {
        // Until there is no more.
      }
    })
    return { changes, lastInsertRowid }
  }

  readonly iterate = <Row>(text: string, params: ReadonlyArray<unknown> = []): IterableIterator<Row> =>
    this.rows(text, params) as IterableIterator<Row>

  private *rows(text: string, params: ReadonlyArray<unknown>): Generator<unknown, undefined> {
    const cached = this.take(text, params)
    try {
      for (let more = true; more;) {
        let page: ReadonlyArray<unknown> = []
        more = this.fetch(cached, rowsPerPage, (rows) => (page = rows))
        yield* page
      }
    } finally {
      this.give(text, cached)
    }
    return undefined
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
      throw new EngineError(-1, "the database of runInWorker is only there while its function runs")
    }
    if (this.connection.check() !== Why.none) {
      throw new EngineError(ResultCode.interrupt, "interrupted")
    }
    return this.connection
  }

  private start(text: string, params: ReadonlyArray<unknown>, use: (cached: Cached) => void): void {
    const cached = this.take(text, params)
    try {
      use(cached)
    } finally {
      this.give(text, cached)
    }
  }

  private take(text: string, params: ReadonlyArray<unknown>): Cached {
    const connection = this.usable()
    let cached = this.idle.get(text)
    this.idle.delete(text)
    if (cached === undefined) {
      const prepared = connection.prepare(text)
      if (prepared === undefined || prepared.tail !== "") {
        prepared?.finalize()
        throw new EngineError(-1, "all, run and iterate take exactly one statement; exec takes a script")
      }
      cached = { prepared, decoder: undefined }
    }
    this.used.add(cached)
    const { prepared } = cached
    try {
      if (prepared.parameterCount !== params.length) {
        throw new RangeError(`The statement has ${prepared.parameterCount} parameters, but ${params.length} were given`)
      }
      prepared.bind(new Uint8Array(encode(params)), 0, params.length, true)
    } catch (error) {
      this.give(text, cached)
      throw error
    }
    return cached
  }

  private give(text: string, cached: Cached): void {
    if (!this.used.delete(cached)) {
      // Closed, and finalized, meanwhile.
      return
    }
    cached.prepared.reset()
    if (this.idle.has(text)) {
      cached.prepared.finalize()
    } else {
      this.idle.set(text, cached)
    }
  }

  /** Reads a page; answers whether there are more. */
  private fetch(
    cached: Cached,
    maxRows: number,
    take: (rows: Array<unknown>) => void,
    facts: (page: ArrayBuffer) => void = () => {}
  ): boolean {
    this.usable()
    const { prepared } = cached
    let page = this.scratch
    const needed = prepared.fetch(maxRows, new Uint8Array(page), 0, page.byteLength)
    if (needed < 0) {
      page = new ArrayBuffer((-needed + 7) & ~7)
      prepared.fetch(maxRows, new Uint8Array(page), 0, page.byteLength)
    }
    const source = views(page)
    const flags = source.u32[Header.flags]!
    if ((flags & Flag.columns) !== 0) {
      cached.decoder = makeDecoder(readColumns(source, 0) ?? [])
    }
    const code = source.i32[Header.code]!
    if (code !== 0) {
      throw new EngineError(code, readError(source, 0) ?? `SQLite result code ${code}`)
    }
    facts(page)
    if (source.u32[Header.rows]! > 0) {
      take(cached.decoder!.decode(source, 0, "objects", "number"))
    }
    return (flags & Flag.done) === 0
  }
}
