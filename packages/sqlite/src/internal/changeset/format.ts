/**
 * Changesets and patchsets as bytes (https://www.sqlite.org/sessionintro.html, "changeset format"):
 *
 *     table     "T" (changeset) or "P" (patchset) · varint columns · a byte per column, not 0 in the key · name, NUL
 *     change    operation as SQLite numbers it · 1 when indirect · records
 *     record    a value per column: type · content; type 0 tells nothing of its column
 *
 * Records of a changeset: insert new, delete old, update old and new. Of a patchset: insert new, delete the key's values
 * only, update new with the key's values.
 */

import { isUtf8 } from "node:buffer"

/** The bytes of a text that is not UTF-8: no string has them. */
export class RawText extends Uint8Array {}

/** INTEGER as bigint, REAL as number, a text that is not UTF-8 as `RawText`. */
export type Value = null | bigint | number | string | Uint8Array

/** Undefined where nothing is told of a column. */
export type Row = ReadonlyArray<Value | undefined>

export type Operation = "insert" | "update" | "delete"

/** A table as a changeset describes it. */
export interface Table {
  readonly name: string
  /** A column each: its place in the primary key from 1, 0 outside of it. */
  readonly key: ReadonlyArray<number>
  readonly patchset: boolean
}

/** A row that was changed, as a changeset holds it. */
export interface Change {
  readonly table: Table
  readonly operation: Operation
  readonly indirect: boolean
  /** Of a delete and an update; in a patchset the key only. */
  readonly old: Row
  /** Of an insert and an update; there of the columns that are changed. */
  readonly new: Row
}

/** Bytes that are no changeset. */
export class MalformedChangeset extends Error {
  override readonly name = "MalformedChangeset"
}

const operations: Readonly<Record<number, Operation>> = { 18: "insert", 23: "update", 9: "delete" }
const codes: Readonly<Record<Operation, number>> = { insert: 18, update: 23, delete: 9 }

const Type = { nothing: 0, integer: 1, real: 2, text: 3, blob: 4, null: 5 } as const

/** "T" and "P". */
const changesetMark = 0x54
const patchsetMark = 0x50

const none: Row = []

// -------------------------------------------------------------------------------------------------------- reading

/** Of the bytes of a text. */
export const textOf = (bytes: Uint8Array): string | RawText =>
  isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8") : new RawText(bytes)

class Reader {
  private at = 0
  private readonly view: DataView

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get ended(): boolean {
    return this.at >= this.bytes.length
  }

  byte(): number {
    return this.bytes[this.skip(1)]!
  }

  /** Of SQLite's file format; lengths never need more than 32 bits. */
  varint(): number {
    let value = 0
    for (let i = 0; i < 5; i++) {
      const byte = this.byte()
      value = value * 128 + (byte & 0x7f)
      if (byte < 0x80) {
        return value
      }
    }
    throw new MalformedChangeset("a length is out of range")
  }

  /** Up to the next NUL. */
  name(): string {
    const end = this.bytes.indexOf(0, this.at)
    if (end < 0) {
      throw new MalformedChangeset("a table's name does not end")
    }
    const start = this.skip(end - this.at + 1)
    return this.text(start, end)
  }

  /** Undefined for a column that nothing is told of. */
  value(): Value | undefined {
    switch (this.byte()) {
      case Type.nothing:
        return undefined
      case Type.integer:
        return this.view.getBigInt64(this.skip(8))
      case Type.real:
        return this.view.getFloat64(this.skip(8))
      case Type.text: {
        const length = this.varint()
        const start = this.skip(length)
        return textOf(this.bytes.subarray(start, start + length))
      }
      case Type.blob: {
        const length = this.varint()
        const start = this.skip(length)
        return this.bytes.slice(start, start + length)
      }
      case Type.null:
        return null
      default:
        throw new MalformedChangeset("a value has no type that there is")
    }
  }

  private text(start: number, end: number): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, end - start).toString("utf8")
  }

  private skip(length: number): number {
    const start = this.at
    if (length > this.bytes.length - start) {
      throw new MalformedChangeset("it ends in the middle of a change")
    }
    this.at = start + length
    return start
  }
}

/** SQLite's own limit of columns. */
const mostColumns = 32_767

const readTable = (reader: Reader, mark: number): Table => {
  const count = reader.varint()
  if (count === 0 || count > mostColumns) {
    throw new MalformedChangeset("a table has no number of columns that there is")
  }
  const key = Array.from({ length: count }, () => reader.byte())
  if (key.every((place) => place === 0)) {
    throw new MalformedChangeset("a table has no primary key")
  }
  return { name: reader.name(), key, patchset: mark === patchsetMark }
}

const readRow = (reader: Reader, key: ReadonlyArray<number>): Row => key.map(() => reader.value())

/** Only the key's values are there. */
const readKey = (reader: Reader, key: ReadonlyArray<number>): Row =>
  key.map((place) => (place > 0 ? reader.value() : undefined))

/** The key of an update in a patchset stands in its one record, with the new values. */
const split = (row: Row, { key }: Table) => ({
  old: row.map((value, i) => (key[i]! > 0 ? value : undefined)),
  new: row.map((value, i) => (key[i]! > 0 ? undefined : value))
})

const whole = (row: Row, of: Row | ReadonlyArray<number>): Row => {
  if (row.some((value, i) => value === undefined && of[i] !== 0)) {
    throw new MalformedChangeset("a value that is needed is not told")
  }
  return row
}

const readChange = (reader: Reader, table: Table, code: number): Change => {
  const operation = operations[code]
  if (operation === undefined) {
    throw new MalformedChangeset("a change has no operation that there is")
  }
  const { key, patchset } = table
  const indirect = reader.byte() !== 0
  const change = { table, operation, indirect, old: none, new: none }
  const complete = key.map(() => 1)
  switch (operation) {
    case "insert":
      return { ...change, new: whole(readRow(reader, key), complete) }
    case "delete":
      return { ...change, old: patchset ? whole(readKey(reader, key), key) : whole(readRow(reader, key), complete) }
    case "update":
      return patchset
        ? { ...change, ...split(whole(readRow(reader, key), key), table) }
        : { ...change, old: whole(readRow(reader, key), key), new: readRow(reader, key) }
  }
}

/** The changes in their order. Throws `MalformedChangeset`. */
export function* read(bytes: Uint8Array): Generator<Change, undefined> {
  const reader = new Reader(bytes)
  let table: Table | undefined
  while (!reader.ended) {
    const byte = reader.byte()
    if (byte === changesetMark || byte === patchsetMark) {
      table = readTable(reader, byte)
    } else if (table === undefined) {
      throw new MalformedChangeset("it does not begin with a table")
    } else {
      yield readChange(reader, table, byte)
    }
  }
  return undefined
}

// -------------------------------------------------------------------------------------------------------- writing

export class Writer {
  private bytes = new Uint8Array(1024)
  private view = new DataView(this.bytes.buffer)
  private at = 0
  private table: Table | undefined

  /** Changes of one table should come together: its header is written whenever another one had its turn. */
  write(change: Change): void {
    const { table } = change
    if (this.table !== table) {
      this.table = table
      this.header(table)
    }
    this.byte(codes[change.operation])
    this.byte(change.indirect ? 1 : 0)
    const { key, patchset } = table
    switch (change.operation) {
      case "insert":
        return this.row(change.new)
      case "delete":
        return this.row(patchset ? change.old.filter((_, i) => key[i]! > 0) : change.old)
      case "update":
        if (patchset) {
          return this.row(change.new.map((value, i) => (key[i]! > 0 ? change.old[i] : value)))
        }
        this.row(change.old)
        this.row(change.new)
    }
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.at)
  }

  private header({ key, name, patchset }: Table): void {
    this.byte(patchset ? patchsetMark : changesetMark)
    this.varint(key.length)
    key.forEach((place) => this.byte(place))
    this.append(Buffer.from(name, "utf8"))
    this.byte(0)
  }

  private row(row: Row): void {
    for (const value of row) {
      this.value(value)
    }
  }

  private value(value: Value | undefined): void {
    switch (typeof value) {
      case "undefined":
        return this.byte(Type.nothing)
      case "bigint": {
        this.byte(Type.integer)
        // Before the view is looked at: more room is another view.
        const at = this.room(8)
        return this.view.setBigInt64(at, value)
      }
      case "number": {
        this.byte(Type.real)
        const at = this.room(8)
        return this.view.setFloat64(at, value)
      }
      case "string":
        return this.long(Type.text, Buffer.from(value, "utf8"))
      case "object":
        return value === null
          ? this.byte(Type.null)
          : this.long(value instanceof RawText ? Type.text : Type.blob, value)
    }
  }

  private long(type: number, bytes: Uint8Array): void {
    this.byte(type)
    this.varint(bytes.length)
    this.append(bytes)
  }

  private varint(value: number): void {
    const parts = [value & 0x7f]
    for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
      parts.unshift((rest & 0x7f) | 0x80)
    }
    parts.forEach((part) => this.byte(part))
  }

  private append(bytes: Uint8Array): void {
    const at = this.room(bytes.length)
    this.bytes.set(bytes, at)
  }

  private byte(value: number): void {
    const at = this.room(1)
    this.bytes[at] = value
  }

  private room(length: number): number {
    const at = this.at
    if (at + length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.bytes.length * 2, at + length))
      larger.set(this.bytes)
      this.bytes = larger
      this.view = new DataView(larger.buffer)
    }
    this.at = at + length
    return at
  }
}

export const write = (changes: Iterable<Change>): Uint8Array => {
  const writer = new Writer()
  for (const change of changes) {
    writer.write(change)
  }
  return writer.finish()
}

// -------------------------------------------------------------------------------------------------------- values

export const same = (a: Value | undefined, b: Value | undefined): boolean =>
  a instanceof Uint8Array
    ? b instanceof Uint8Array && a instanceof RawText === b instanceof RawText && Buffer.compare(a, b) === 0
    : Object.is(a, b)

/** Tells the row within its table: the values of its key, by type and content. */
export const keyOf = (row: Row, key: ReadonlyArray<number>): string =>
  row
    .filter((_, i) => key[i]! > 0)
    .map((value) => {
      const text = value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : String(value)
      return `${value instanceof RawText ? "raw" : typeof value}${text.length}:${text}`
    })
    .join()
