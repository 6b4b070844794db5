/**
 * The page writer in JavaScript (layout: see page.ts). Rows are collected first, as a column's kind is known only when
 * all its values are, and written when the page is finished.
 */
import { ColumnFlag, descriptorBytes, Flag, Header, Header8, headerBytes, Kind, largeRowBytes, Tag } from "../page.js"
import type { PageColumn } from "../pageSource.js"

/** A value as a carrier answers it: integers are always bigints, floats always numbers. */
export type Value = null | bigint | number | string | Uint8Array

/** What a page says besides its rows. */
export interface PageFacts {
  readonly flags: number
  readonly code: number
  readonly why: number
  readonly detail: number
  readonly changes: number
  readonly lastInsertRowid: bigint
  readonly engineNanos: number
  readonly error: string | undefined
}

/** What has been seen in a column, as bits. */
const Seen = { null: 1, int32: 2, int53: 4, int64: 8, float: 16, text: 32, blob: 64, notAscii: 128 } as const

const align8 = (n: number): number => (n + 7) & ~7
const textBlock = (text: string | undefined): number => 4 + (text === undefined ? 0 : Buffer.byteLength(text))

export class PageWriter {
  private readonly columns: number
  /** The columns block, if this page shall have one. */
  private readonly block: ReadonlyArray<PageColumn> | undefined
  private readonly blockBytes: number
  private rows: Array<ReadonlyArray<Value>> = []
  private seen: Uint8Array
  private bytes: Float64Array
  private nextSeen: Uint8Array
  private nextBytes: Float64Array
  private large = false

  constructor(columns: number, block: ReadonlyArray<PageColumn> | undefined) {
    this.columns = columns
    this.block = block
    let bytes = 0
    if (block !== undefined) for (const column of block) bytes += textBlock(column.name) + textBlock(column.type)
    this.blockBytes = bytes
    this.seen = new Uint8Array(columns)
    this.bytes = new Float64Array(columns)
    this.nextSeen = new Uint8Array(columns)
    this.nextBytes = new Float64Array(columns)
  }

  get rowCount(): number {
    return this.rows.length
  }

  /** Takes the row and answers 0, or leaves it and answers the bytes of a page that had it in addition. */
  add(row: ReadonlyArray<Value>, capacity: number): number {
    let rowBytes = 0
    for (let i = 0; i < this.columns; i++) {
      const value = row[i]!
      let bits: number
      let bytes = 0
      if (value === null) bits = Seen.null
      else if (typeof value === "bigint") bits = integerBits(value)
      else if (typeof value === "number") bits = Seen.float
      else if (typeof value === "string") {
        bytes = Buffer.byteLength(value)
        bits = bytes === value.length ? Seen.text : Seen.text | Seen.notAscii
      } else {
        bytes = value.length
        bits = Seen.blob
      }
      rowBytes += bytes
      this.nextSeen[i] = this.seen[i]! | bits
      this.nextBytes[i] = this.bytes[i]! + bytes
    }
    const needed = this.size(this.nextSeen, this.nextBytes, this.rows.length + 1, undefined)
    if (needed > capacity) return needed
    const isLarge = rowBytes > largeRowBytes
    // A large row stands alone, so that its values are not kept alive by (or keep) other rows' pages.
    if (this.rows.length > 0 && (isLarge || this.large)) return needed
    this.large = isLarge
    const { bytes, seen } = this
    this.seen = this.nextSeen
    this.bytes = this.nextBytes
    this.nextSeen = seen
    this.nextBytes = bytes
    this.rows.push(row)
    return 0
  }

  /** The page's bytes as it stands, with this error message. */
  length(error: string | undefined): number {
    return this.size(this.seen, this.bytes, this.rows.length, error)
  }

  private size(seen: Uint8Array, bytes: Float64Array, rows: number, error: string | undefined): number {
    let at = headerBytes + this.columns * descriptorBytes
    if (rows > 0) {
      for (let i = 0; i < this.columns; i++) {
        const kind = kindOf(seen[i]!)
        at = align8(at) + rows * width(kind) + (isVariable(kind) ? bytes[i]! : 0) + (hasTags(kind, seen[i]!) ? rows : 0)
      }
    }
    at += this.blockBytes
    if (error !== undefined) at += textBlock(error)
    return align8(at)
  }

  /** Writes the page at `out[offset]`, which must be 8-aligned in its buffer; answers its bytes. */
  finish(out: Uint8Array, offset: number, facts: PageFacts): number {
    const length = this.length(facts.error)
    const start = out.byteOffset + offset
    const i32 = new Int32Array(out.buffer, start, length >> 2)
    const f64 = new Float64Array(out.buffer, start, length >> 3)
    const page = Buffer.from(out.buffer as ArrayBuffer, start, length)
    const count = this.rows.length
    let at = headerBytes + this.columns * descriptorBytes
    for (let i = 0; i < this.columns; i++) {
      const bits = count === 0 ? Seen.null : this.seen[i]!
      const kind = kindOf(bits)
      at = align8(at)
      const aux = at + count * width(kind)
      const auxBytes = isVariable(kind) ? this.bytes[i]! : 0
      const flags =
        ((bits & Seen.notAscii) === 0 && kind === Kind.text ? ColumnFlag.ascii : 0) |
        ((bits & Seen.null) !== 0 && kind !== Kind.null && kind !== Kind.mixed ? ColumnFlag.hasNulls : 0)
      const descriptor = (headerBytes + i * descriptorBytes) >> 2
      i32[descriptor] = kind | (flags << 8)
      i32[descriptor + 1] = at
      i32[descriptor + 2] = aux
      i32[descriptor + 3] = auxBytes
      if (kind === Kind.null) continue
      this.writeColumn(page, i, kind, at, aux)
      at = aux + auxBytes + (hasTags(kind, bits) ? count : 0)
    }
    let columnsOffset = 0
    if (this.block !== undefined) {
      columnsOffset = at
      for (const column of this.block) at = writeText(page, writeText(page, at, column.name), column.type)
    }
    let errorOffset = 0
    if (facts.error !== undefined) {
      errorOffset = at
      at = writeText(page, at, facts.error)
    }
    page.fill(0, at, length)
    i32[Header.rows] = count
    i32[Header.flags] = facts.flags | (this.block === undefined ? 0 : Flag.columns)
    i32[Header.code] = facts.code
    i32[Header.why] = facts.why
    i32[Header.bytes] = length
    i32[Header.columns] = this.columns
    i32[Header.columnsOffset] = columnsOffset
    i32[Header.errorOffset] = errorOffset
    i32[Header.detail] = facts.detail
    f64[Header8.changes] = facts.changes
    page.writeBigInt64LE(facts.lastInsertRowid, Header8.lastInsertRowid * 8)
    f64[Header8.engineNanos] = facts.engineNanos
    return length
  }

  private writeColumn(page: Buffer, column: number, kind: number, data: number, aux: number): void {
    const rows = this.rows
    let end = 0
    let units = 0
    // Texts and blobs of a mixed column come after its tags.
    const bytesAt = kind === Kind.mixed ? aux + rows.length : aux
    for (let r = 0; r < rows.length; r++) {
      const value = rows[r]![column]!
      switch (kind) {
        case Kind.int32:
          page.writeInt32LE(Number(value ?? 0), data + r * 4)
          break
        case Kind.float64:
        case Kind.int53:
          page.writeDoubleLE(Number(value ?? 0), data + r * 8)
          break
        case Kind.int64:
          page.writeBigInt64LE((value ?? 0n) as bigint, data + r * 8)
          break
        default: {
          const slot = kind === Kind.mixed ? data + r * 8 : data + r * 4
          if (typeof value === "bigint") page.writeBigInt64LE(value, slot)
          else if (typeof value === "number") page.writeDoubleLE(value, slot)
          else {
            end += writeBytes(page, bytesAt + end, value)
            // A text column's ends count UTF-16 units, so that one decoded text can be cut with `slice`.
            if (kind === Kind.text && typeof value === "string") units += value.length
            page.writeUInt32LE(kind === Kind.text ? units : end, slot)
            if (kind === Kind.mixed) page.writeUInt32LE(0, slot + 4)
          }
        }
      }
    }
    if (!hasTags(kind, this.seen[column]!)) return
    const tags = kind === Kind.mixed ? aux : aux + (isVariable(kind) ? this.bytes[column]! : 0)
    for (let r = 0; r < rows.length; r++) page[tags + r] = tagOf(rows[r]![column]!)
  }
}

const integerBits = (value: bigint): number => {
  const number = Number(value)
  if ((number | 0) === number) return Seen.int32
  return Number.isSafeInteger(number) ? Seen.int53 : Seen.int64
}

const kindOf = (seen: number): number => {
  switch (seen & ~(Seen.null | Seen.notAscii)) {
    case 0:
      return Kind.null
    case Seen.int32:
      return Kind.int32
    case Seen.int53:
    case Seen.int32 | Seen.int53:
      return Kind.int53
    case Seen.int64:
    case Seen.int32 | Seen.int64:
    case Seen.int53 | Seen.int64:
    case Seen.int32 | Seen.int53 | Seen.int64:
      return Kind.int64
    case Seen.float:
      return Kind.float64
    case Seen.text:
      return Kind.text
    case Seen.blob:
      return Kind.blob
    default:
      return Kind.mixed
  }
}

const width = (kind: number): number => {
  if (kind === Kind.null) return 0
  return kind === Kind.int32 || kind === Kind.text || kind === Kind.blob ? 4 : 8
}

const isVariable = (kind: number): boolean => kind === Kind.text || kind === Kind.blob || kind === Kind.mixed

const hasTags = (kind: number, seen: number): boolean =>
  kind === Kind.mixed || (kind !== Kind.null && (seen & Seen.null) !== 0)

const tagOf = (value: Value): number => {
  if (value === null) return Tag.null
  if (typeof value === "bigint") return Tag.integer
  if (typeof value === "number") return Tag.float
  return typeof value === "string" ? Tag.text : Tag.blob
}

const writeBytes = (page: Buffer, at: number, value: string | Uint8Array | null): number => {
  if (value === null) return 0
  if (typeof value === "string") return page.write(value, at, "utf8")
  page.set(value, at)
  return value.length
}

const writeText = (page: Buffer, at: number, text: string | undefined): number => {
  if (text === undefined) {
    page.writeUInt32LE(0xffffffff, at)
    return at + 4
  }
  const bytes = page.write(text, at + 4, "utf8")
  page.writeUInt32LE(bytes, at)
  return at + 4 + bytes
}
