/**
 * The encoder of statement parameters into the tagged values that the worker binds: a `ParameterTag`, then nothing of
 * null, 8 bytes of an int64 or float64, of text (UTF-8) and blob a u32 with the number of their bytes and these.
 *
 * Point queries write straight into their request slot without allocating (`encodeInto`). What does not fit there is
 * measured first and then written once into a buffer of exactly its size (`encode`, `encodeRows`), which can be
 * transferred. The caller's buffers are only read.
 */
import { types } from "node:util"
import { Request, requestBytes } from "./boundary.js"

/** What a tagged value begins with; also in native/pump.h. */
export const ParameterTag = { null: 0, integer: 1, float: 2, text: 3, blob: 4 } as const

/** A value that SQLite cannot store as it is. It names the place and the type, never the value. */
export class ParameterError extends Error {
  /** Counted from 1; 0 when the row as a whole is meant. */
  readonly position: number
  /** What is wrong: a type's name, or a reason such as "NaN". */
  readonly kind: string
  /** Counted from 0; undefined when there is only one row. */
  readonly row: number | undefined
  constructor(position: number, kind: string, row?: number) {
    const where = row === undefined ? "" : ` of row ${row}`
    super(position === 0 ? `Parameters${where}: ${kind}` : `Parameter ${position}${where} cannot be bound: ${kind}`)
    this.name = "ParameterError"
    this.position = position
    this.kind = kind
    this.row = row
  }
}

/** A buffer that parameters are written into. Make it once and keep it. */
export interface ParameterView {
  readonly bytes: Uint8Array
  readonly data: DataView
  readonly text: Text
}

/** Buffer's own: unlike `TextEncoder.encodeInto` and `TextDecoder` they accept shared memory. */
interface Text {
  readonly utf8Write: (text: string, offset: number) => number
  readonly utf8Slice: (start: number, end: number) => string
}

interface WellFormed {
  readonly isWellFormed: () => boolean
}

export const parameterView = (buffer: ArrayBuffer | SharedArrayBuffer): ParameterView => ({
  bytes: new Uint8Array(buffer),
  data: new DataView(buffer),
  text: Buffer.from(buffer) as unknown as Text
})

/** Up to this length a loop over an ASCII text is faster than the call into Node (measured: 24 ns against 110 ns for 4). */
const loopLength = 16
const maxInt64 = 0x7fffffffffffffffn
const minInt64 = -0x8000000000000000n
const two32 = 0x100000000

/**
 * Writes the parameters at `offset` and answers their bytes, or −1 when they need more than `room`; what lies in the
 * room is then undefined. Throws `ParameterError`.
 */
export const encodeInto = (
  params: ReadonlyArray<unknown>,
  view: ParameterView,
  offset: number,
  room: number
): number => {
  const end = offset + room
  let at = offset
  for (let i = 0; i < params.length; i++) {
    at = write(params[i], i, undefined, view, at, end)
    if (at < 0) return -1
  }
  return at - offset
}

const scratch = parameterView(new ArrayBuffer(requestBytes))

/**
 * How many bytes the parameters take, if they can wait as they are: small, and nothing that the caller could change
 * meanwhile; else −1. Throws `ParameterError`.
 */
export const lasting = (params: ReadonlyArray<unknown>): number => {
  for (let i = 0; i < params.length; i++) {
    if (typeof params[i] === "object" && params[i] !== null) return -1
  }
  return encodeInto(params, scratch, 0, requestBytes - Request.bytes)
}

/** The parameters in a buffer of their own, of exactly their size. Throws `ParameterError`. */
export const encode = (params: ReadonlyArray<unknown>): ArrayBuffer => {
  let size = 0
  for (let i = 0; i < params.length; i++) size += measure(params[i])
  const buffer = new ArrayBuffer(size)
  return whole(buffer, encodeInto(params, parameterView(buffer), 0, size))
}

/**
 * Rows one after the other, all with as many parameters as the first; answers as `encodeInto` does. Throws
 * `ParameterError` with the row.
 */
export const encodeRowsInto = (
  rows: ReadonlyArray<ReadonlyArray<unknown>>,
  view: ParameterView,
  offset: number,
  room: number
): number => {
  const end = offset + room
  const width = rows.length === 0 ? 0 : rows[0]!.length
  let at = offset
  for (let r = 0; r < rows.length; r++) {
    const row = rows[r]!
    if (row.length !== width) throw new ParameterError(0, `${row.length} where the first row has ${width}`, r)
    for (let i = 0; i < width; i++) {
      at = write(row[i], i, r, view, at, end)
      if (at < 0) return -1
    }
  }
  return at - offset
}

/** The rows in a buffer of their own, of exactly their size. Throws `ParameterError` with the row. */
export const encodeRows = (rows: ReadonlyArray<ReadonlyArray<unknown>>): ArrayBuffer => {
  let size = 0
  for (const row of rows) {
    for (let i = 0; i < row.length; i++) size += measure(row[i])
  }
  const buffer = new ArrayBuffer(size)
  return whole(buffer, encodeRowsInto(rows, parameterView(buffer), 0, size))
}

/** Shared memory can be resized by another thread between measuring and writing. */
const whole = (buffer: ArrayBuffer, written: number): ArrayBuffer => {
  if (written !== buffer.byteLength) throw new Error("A parameter changed its size while it was encoded")
  return buffer
}

/** Bytes of one value; for what cannot be bound any number, as `write` then throws. */
const measure = (value: unknown): number => {
  if (typeof value === "string") return 5 + Buffer.byteLength(value)
  if (typeof value !== "object" || value === null) return value === null || value === undefined ? 1 : 9
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return 5 + value.byteLength
  if (!types.isDate(value)) return 0
  // YYYY-MM-DDTHH:mm:ss.sssZ, or ±YYYYYY where four digits are not enough.
  const year = value.getUTCFullYear()
  return 5 + (year >= 0 && year <= 9999 ? 24 : 27)
}

const write = (
  value: unknown,
  index: number,
  row: number | undefined,
  view: ParameterView,
  at: number,
  end: number
): number => {
  switch (typeof value) {
    case "number":
      return writeNumber(value, index, row, view, at, end)
    case "string":
      return writeText(value, index, row, view, at, end)
    case "boolean":
      return writeNumber(value ? 1 : 0, index, row, view, at, end)
    case "undefined":
      return writeNull(view, at, end)
    case "bigint": {
      if (value > maxInt64 || value < minInt64) throw new ParameterError(index + 1, "bigint beyond 64 bits", row)
      if (at + 9 > end) return -1
      view.bytes[at] = ParameterTag.integer
      view.data.setBigInt64(at + 1, value, true)
      return at + 9
    }
    case "object":
      if (value === null) return writeNull(view, at, end)
      if (ArrayBuffer.isView(value)) {
        const bytes = bytesOf(value.buffer, value.byteOffset, value.byteLength, index, row)
        return writeBlob(bytes, view, at, end)
      }
      if (types.isAnyArrayBuffer(value)) {
        return writeBlob(bytesOf(value, 0, value.byteLength, index, row), view, at, end)
      }
      if (types.isDate(value)) return writeText(dateText(value, index, row), index, row, view, at, end)
      throw new ParameterError(index + 1, typeName(value), row)
    default:
      throw new ParameterError(index + 1, typeof value, row)
  }
}

const writeNull = (view: ParameterView, at: number, end: number): number => {
  if (at + 1 > end) return -1
  view.bytes[at] = ParameterTag.null
  return at + 1
}

const writeNumber = (
  value: number,
  index: number,
  row: number | undefined,
  view: ParameterView,
  at: number,
  end: number
): number => {
  if (at + 9 > end) return -1
  const low = value | 0
  if (low === value && (low !== 0 || 1 / value > 0)) {
    view.bytes[at] = ParameterTag.integer
    view.data.setInt32(at + 1, low, true)
    view.data.setInt32(at + 5, low >> 31, true)
  } else if (Number.isSafeInteger(value) && value !== 0) {
    const high = Math.floor(value / two32)
    view.bytes[at] = ParameterTag.integer
    view.data.setUint32(at + 1, value - high * two32, true)
    view.data.setInt32(at + 5, high, true)
  } else {
    // SQLite would store NULL in its place.
    if (value !== value) throw new ParameterError(index + 1, "NaN", row)
    view.bytes[at] = ParameterTag.float
    view.data.setFloat64(at + 1, value, true)
  }
  return at + 9
}

const writeText = (
  text: string,
  index: number,
  row: number | undefined,
  view: ParameterView,
  at: number,
  end: number
): number => {
  const length = text.length
  const start = at + 5
  // A text of n units has n to 3n bytes, so most texts are placed without being measured.
  if (start + length > end) return tooLong(text, index, row)
  if (length <= loopLength) {
    const bytes = view.bytes
    let i = 0
    for (; i < length; i++) {
      const unit = text.charCodeAt(i)
      if (unit > 127) break
      bytes[start + i] = unit
    }
    if (i === length) {
      bytes[at] = ParameterTag.text
      view.data.setUint32(at + 1, length, true)
      return start + length
    }
  }
  if (!(text as unknown as WellFormed).isWellFormed()) throw new ParameterError(index + 1, "lone surrogate", row)
  if (start + length * 3 > end && start + Buffer.byteLength(text) > end) return -1
  const written = view.text.utf8Write(text, start)
  view.bytes[at] = ParameterTag.text
  view.data.setUint32(at + 1, written, true)
  return start + written
}

const tooLong = (text: string, index: number, row: number | undefined): number => {
  if (!(text as unknown as WellFormed).isWellFormed()) throw new ParameterError(index + 1, "lone surrogate", row)
  return -1
}

const writeBlob = (bytes: Uint8Array, view: ParameterView, at: number, end: number): number => {
  const length = bytes.length
  if (at + 5 + length > end) return -1
  view.bytes[at] = ParameterTag.blob
  view.data.setUint32(at + 1, length, true)
  view.bytes.set(bytes, at + 5)
  return at + 5 + length
}

/** A detached buffer reads as an empty one, which would store an empty blob; making a view of it throws. */
const bytesOf = (
  buffer: ArrayBufferLike,
  offset: number,
  length: number,
  index: number,
  row: number | undefined
): Uint8Array => {
  try {
    return new Uint8Array(buffer, offset, length)
  } catch {
    throw new ParameterError(index + 1, "detached buffer", row)
  }
}

const dateText = (date: Date, index: number, row: number | undefined): string => {
  if (Number.isNaN(date.getTime())) throw new ParameterError(index + 1, "invalid Date", row)
  return date.toISOString()
}

const typeName = (value: object): string => {
  if (Array.isArray(value)) return "Array"
  try {
    const name = (value.constructor as { readonly name?: unknown } | undefined)?.name
    return typeof name === "string" && name !== "" ? name : "object"
  } catch {
    return "object"
  }
}
