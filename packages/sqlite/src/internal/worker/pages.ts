/** Statements whose pages the worker itself reads: at once, with nobody to hand them to. */
import {
  type Decoder,
  type Integers,
  makeDecoder,
  type PageSource,
  readColumns,
  readError,
  type Shape,
  views
} from "../decoder.js"
import { Flag, Header, headerBytes } from "../page.js"
import { EngineError, type Prepared } from "./engine.js"

/** No bound on the rows of a page but its memory. */
export const everyRow = 0x7fffffff

/** The header of a page that begins its memory. */
export const headerOf = (page: ArrayBuffer): Int32Array => new Int32Array(page, 0, headerBytes / 4)

/** The next page: in `scratch`, or in memory of its own where a row needs more. What goes wrong stands in it. */
export const nextPage = (prepared: Prepared, maxRows: number, scratch: ArrayBuffer): ArrayBuffer => {
  const needed = prepared.fetch(maxRows, new Uint8Array(scratch), 0, scratch.byteLength)
  if (needed >= 0) {
    return scratch
  }
  const page = new ArrayBuffer((-needed + 7) & ~7)
  prepared.fetch(maxRows, new Uint8Array(page), 0, page.byteLength)
  return page
}

/** Throws as `EngineError` what went wrong. */
export const assertSound = (page: ArrayBuffer): void => {
  const code = headerOf(page)[Header.code]!
  if (code !== 0) {
    throw new EngineError(code, readError(views(page), 0) ?? `SQLite result code ${code}`)
  }
}

/** The statement has ended with it. */
export const isLast = (page: PageSource): boolean => (page.u32[Header.flags]! & Flag.done) !== 0

/** A statement with what its pages say of its columns, which they say once. */
export class Reading {
  private decoder: Decoder = makeDecoder([])

  constructor(
    readonly prepared: Prepared,
    /** Written over by each page. */
    private readonly scratch: ArrayBuffer
  ) {}

  /** Throws `EngineError`. */
  next(maxRows: number): PageSource {
    const page = nextPage(this.prepared, maxRows, this.scratch)
    const source = views(page)
    const columns = readColumns(source, 0)
    if (columns !== undefined) {
      this.decoder = makeDecoder(columns)
    }
    assertSound(page)
    return source
  }

  /** Of the page that was read last. */
  rows(page: PageSource, shape: Shape, integers: Integers): Array<unknown> {
    return this.decoder.decode(page, 0, shape, integers)
  }
}
