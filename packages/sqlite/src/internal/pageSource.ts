/** Reads what a page (see page.ts) says of itself: header, columns block and error block. */
import { Header, Header8 } from "./page.js"

/** The typed views over one buffer that pages lie in. Make them once per buffer. */
export interface PageSource {
  readonly bytes: Uint8Array
  readonly i32: Int32Array
  readonly u32: Uint32Array
  readonly f64: Float64Array
  readonly i64: BigInt64Array
  readonly text: TextReader
  /** The buffer belongs to this page alone (it was transferred), so that large blobs may stay in it. */
  readonly owned: boolean
}

/** Buffer's own readers: unlike `TextDecoder` they accept shared memory, and they are faster for short texts. */
export interface TextReader {
  readonly latin1Slice: (start: number, end: number) => string
  readonly utf8Slice: (start: number, end: number) => string
}

export const views = (buffer: ArrayBuffer | SharedArrayBuffer, owned = false): PageSource => ({
  bytes: new Uint8Array(buffer),
  i32: new Int32Array(buffer, 0, buffer.byteLength >> 2),
  u32: new Uint32Array(buffer, 0, buffer.byteLength >> 2),
  f64: new Float64Array(buffer, 0, buffer.byteLength >> 3),
  i64: new BigInt64Array(buffer, 0, buffer.byteLength >> 3),
  text: Buffer.from(buffer) as unknown as TextReader,
  owned: owned && buffer instanceof ArrayBuffer
})

/** Kind and flags of a column, from the first word of its descriptor. */
export const columnKind = (word: number): number => word & 0xff
export const columnFlags = (word: number): number => (word >> 8) & 0xff

export const pageEngineNanos = (source: PageSource, base: number): number =>
  source.f64[(base >> 3) + Header8.engineNanos]!

export interface PageColumn {
  readonly name: string
  /** As declared in the table that the column comes from. */
  readonly type: string | undefined
}

/** The columns block, undefined when the page has none. */
export const readColumns = (source: PageSource, base: number): Array<PageColumn> | undefined => {
  const word = base >> 2
  const offset = source.u32[word + Header.columnsOffset]!
  if (offset === 0) return undefined
  const count = source.u32[word + Header.columns]!
  const out: Array<PageColumn> = []
  // Lengths in the block follow texts of any length, so they are not aligned.
  let at = base + offset
  for (let i = 0; i < count; i++) {
    const nameLength = u32At(source.bytes, at)
    const name = source.text.utf8Slice(at + 4, at + 4 + nameLength)
    at += 4 + nameLength
    const typeLength = u32At(source.bytes, at)
    at += 4
    if (typeLength === 0xffffffff) {
      out.push({ name, type: undefined })
    } else {
      out.push({ name, type: source.text.utf8Slice(at, at + typeLength) })
      at += typeLength
    }
  }
  return out
}

/** The message of the error block, undefined when the page has none. */
export const readError = (source: PageSource, base: number): string | undefined => {
  const offset = source.u32[(base >> 2) + Header.errorOffset]!
  if (offset === 0) return undefined
  const at = base + offset
  return source.text.utf8Slice(at + 4, at + 4 + u32At(source.bytes, at))
}

const u32At = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
