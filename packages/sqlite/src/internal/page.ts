/**
 * The page: how rows, errors and facts cross the thread boundary. Little-endian, 8-aligned, offsets from its start.
 *
 *     0        header, `headerBytes` (words below)
 *     96       one descriptor of 16 bytes per column: u8 kind, u8 flags, u16 0, u32 data, u32 aux, u32 auxBytes
 *     …        column data, each 8-aligned; the columns block; the error block
 *
 * Column data by kind (n = rows):
 *
 *     null     nothing
 *     int32    n × i32
 *     float64  n × f64
 *     int53    n × f64: integers within ±(2⁵³ − 1), not all within 32 bits
 *     int64    n × i64: at least one integer beyond that
 *     text     n × u32 ends, then at `aux` the bytes of all rows one after the other (`auxBytes`). Ends count UTF-16
 *              units, except where the column is flagged badUtf8: then they count bytes
 *     blob     n × u32 ends (bytes), then at `aux` the bytes (`auxBytes`)
 *     mixed    n × 8-byte slots (i64, f64, or for text and blob u32 end in bytes in the low half, 0 in the high), then
 *              at `aux` n type tags and after them the bytes of all texts and blobs (`auxBytes` counts the bytes alone)
 *
 * A column with `hasNulls` (kinds int32 … blob) has n type tags more: right after the data for fixed-width kinds, right
 * after the bytes for text and blob. Tags are SQLite's: 1 integer, 2 float, 3 text, 4 blob, 5 null. A null row in a text
 * or blob column repeats the previous end.
 *
 * Columns block (at `columnsOffset` if flagged): per column u32 length + UTF-8 name, u32 length + UTF-8 declared type
 * (0xffffffff: none). Error block (at `errorOffset` if not 0): u32 length + UTF-8 message.
 */
export const headerBytes = 96
export const descriptorBytes = 16

/** Header words (u32, or i32 where noted). */
export const Header = {
  rows: 0,
  flags: 1,
  /** i32: SQLite's extended result code, 0 when all went well. */
  code: 2,
  /** See `Why`. */
  why: 3,
  bytes: 4,
  columns: 5,
  seq: 6,
  columnsOffset: 7,
  errorOffset: 8,
  /** i32: row of a batch that failed, or the number of parameters that the statement wants; −1 none. */
  detail: 9
} as const

/** Header fields of 8 bytes, as index of an 8-byte element from the page's start. */
export const Header8 = {
  /** f64: rows changed by a statement that is not read-only, −1 when it is. */
  changes: 6,
  /** i64: the last rowid inserted on this connection. */
  lastInsertRowid: 7,
  /** f64: nanoseconds spent in SQLite for this page. */
  engineNanos: 8,
  /** f64: nanoseconds from sending to the start of work. Written by the worker loop. */
  queueNanos: 9
} as const

export const Flag = {
  /** The statement has ended. */
  done: 1,
  /** The connection is inside a transaction (SQLite's own word). */
  inTransaction: 2,
  /** The columns block is there: first page of this prepared statement, or its columns changed. */
  columns: 4,
  /** The statement may run on a reader. */
  routable: 8,
  /** The statement does not write. */
  readonly: 16,
  /** The connection has what others do not: temporary objects, attached databases, a view that speaks of its connection. */
  private: 32,
  /** Another page of the same request follows unasked. Written by the worker loop. */
  more: 64,
  /** A statement before, of the same text, has written. Written by the worker loop. */
  partial: 128,
  /** It was too late to stop it: it has failed for its deadline, and its effect is committed. */
  executed: 256
} as const

/** Why a request ended early. */
export const Why = {
  none: 0,
  cancelled: 1,
  deadline: 2,
  interrupted: 3,
  /** It left a transaction open outside of one, which was rolled back. */
  leftTransaction: 4,
  /** It needed an open transaction and found none; it was not run. */
  noTransaction: 5,
  /** It has another number of parameters than were given (`detail` has the number); it was not run. */
  parameters: 6,
  /** It was not begun before the session ended. */
  closed: 7,
  /** It found somebody's transaction open, and belongs to none; it was not run. */
  insideTransaction: 8,
  /** A callback of it failed; the loop knows how. */
  callback: 9
} as const

export const Kind = { null: 0, int32: 1, float64: 2, int53: 3, int64: 4, text: 5, blob: 6, mixed: 7 } as const

export const ColumnFlag = { ascii: 1, hasNulls: 2, badUtf8: 4 } as const

/** SQLite's fundamental datatypes (https://www.sqlite.org/c3ref/c_blob.html). */
export const Tag = { integer: 1, float: 2, text: 3, blob: 4, null: 5 } as const

/** A row of more bytes than this gets a page of its own, written straight from SQLite's memory. */
export const largeRowBytes = 64 * 1024
