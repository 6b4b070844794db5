/** Reads one column of a page, whatever its kind: the interpreter's half of the decoder, and what generated code calls. */
import { ColumnFlag, headerBytes, Kind, Tag } from "./page.js"
import { columnFlags, columnKind, type PageSource } from "./pageSource.js"

/** Integers as numbers (one beyond 2⁵³ − 1 is an error), or all as bigints. */
export type Integers = "number" | "bigint"

/** An integer that a number cannot hold exactly. */
export class UnsafeIntegerError extends Error {
  readonly column: string
  /** Within its page, from 0. */
  readonly row: number
  constructor(column: string, row: number) {
    super(`Column ${JSON.stringify(column)} holds an integer beyond 2^53, which a number cannot hold exactly`)
    this.name = "UnsafeIntegerError"
    this.column = column
    this.row = row
  }
}

const firstDescriptor = headerBytes / 4

/** A smaller blob is copied even out of a page that is ours: it would keep the whole page alive. */
const blobViewBytes = 64 * 1024

const blob = (source: PageSource, start: number, end: number): Uint8Array =>
  source.owned && end - start >= blobViewBytes ? source.bytes.subarray(start, end) : source.bytes.slice(start, end)

const safe = (value: bigint, column: string, row: number): number => {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new UnsafeIntegerError(column, row)
  return number
}

export const decodeColumn = (
  source: PageSource,
  base: number,
  column: number,
  rows: number,
  integers: Integers,
  name: string
): Array<unknown> => {
  const descriptor = (base >> 2) + firstDescriptor + column * 4
  const word = source.i32[descriptor]!
  const kind = columnKind(word)
  const flags = columnFlags(word)
  const data = base + source.u32[descriptor + 1]!
  const aux = base + source.u32[descriptor + 2]!
  const auxBytes = source.u32[descriptor + 3]!
  const out: Array<unknown> = []
  const tags = (flags & ColumnFlag.hasNulls) === 0 ? 0 : tagsOf(kind, data, aux, auxBytes, rows)
  const isNull = (r: number): boolean => tags !== 0 && source.bytes[tags + r] === Tag.null
  const big = integers === "bigint"
  switch (kind) {
    case Kind.null:
      for (let r = 0; r < rows; r++) out.push(null)
      return out
    case Kind.int32: {
      const first = data >> 2
      for (let r = 0; r < rows; r++) {
        const value = source.i32[first + r]!
        out.push(isNull(r) ? null : big ? BigInt(value) : value)
      }
      return out
    }
    case Kind.float64:
    case Kind.int53: {
      const first = data >> 3
      for (let r = 0; r < rows; r++) {
        if (isNull(r)) out.push(null)
        else {
          const value = source.f64[first + r]!
          out.push(big && kind === Kind.int53 ? BigInt(value) : value)
        }
      }
      return out
    }
    case Kind.int64: {
      const first = data >> 3
      for (let r = 0; r < rows; r++) {
        if (isNull(r)) out.push(null)
        else {
          const value = source.i64[first + r]!
          out.push(big ? value : safe(value, name, r))
        }
      }
      return out
    }
    case Kind.text: {
      const ends = data >> 2
      const bad = (flags & ColumnFlag.badUtf8) !== 0
      const text = bad ? "" : decodeText(source, aux, aux + auxBytes, flags)
      let start = 0
      for (let r = 0; r < rows; r++) {
        const end = source.u32[ends + r]!
        if (isNull(r)) out.push(null)
        else out.push(bad ? source.text.utf8Slice(aux + start, aux + end) : text.slice(start, end))
        start = end
      }
      return out
    }
    case Kind.blob: {
      const ends = data >> 2
      let start = 0
      for (let r = 0; r < rows; r++) {
        const end = source.u32[ends + r]!
        out.push(isNull(r) ? null : blob(source, aux + start, aux + end))
        start = end
      }
      return out
    }
    case Kind.mixed:
      return decodeMixed(source, data, aux, rows, big, name)
    default:
      throw new Error(`Unknown column kind ${kind}`)
  }
}

const decodeText = (source: PageSource, start: number, end: number, flags: number): string =>
  (flags & ColumnFlag.ascii) === 0 ? source.text.utf8Slice(start, end) : source.text.latin1Slice(start, end)

/** Where the type tags of a column with nulls begin. */
const tagsOf = (kind: number, data: number, aux: number, auxBytes: number, rows: number): number => {
  switch (kind) {
    case Kind.int32:
      return data + rows * 4
    case Kind.float64:
    case Kind.int53:
    case Kind.int64:
      return data + rows * 8
    case Kind.text:
    case Kind.blob:
      return aux + auxBytes
    default:
      return 0
  }
}

const decodeMixed = (
  source: PageSource,
  data: number,
  aux: number,
  rows: number,
  big: boolean,
  name: string
): Array<unknown> => {
  const out: Array<unknown> = []
  const slot = data >> 3
  const bytes = aux + rows
  let start = 0
  for (let r = 0; r < rows; r++) {
    switch (source.bytes[aux + r]) {
      case Tag.integer: {
        const value = source.i64[slot + r]!
        out.push(big ? value : safe(value, name, r))
        break
      }
      case Tag.float:
        out.push(source.f64[slot + r]!)
        break
      case Tag.text: {
        const end = source.u32[(slot + r) * 2]!
        out.push(source.text.utf8Slice(bytes + start, bytes + end))
        start = end
        break
      }
      case Tag.blob: {
        const end = source.u32[(slot + r) * 2]!
        out.push(blob(source, bytes + start, bytes + end))
        start = end
        break
      }
      default:
        out.push(null)
    }
  }
  return out
}

/** What generated code calls. */
export interface Cells {
  readonly safe: typeof safe
  readonly blob: typeof blob
  readonly mixed: typeof decodeColumn
}

export const cells: Cells = { safe, blob, mixed: decodeColumn }
