/** SQLite's primary result codes (https://www.sqlite.org/rescode.html). */
export const ResultCode = {
  ok: 0,
  error: 1,
  perm: 3,
  abort: 4,
  busy: 5,
  locked: 6,
  nomem: 7,
  readonly: 8,
  interrupt: 9,
  ioerr: 10,
  corrupt: 11,
  full: 13,
  cantopen: 14,
  protocol: 15,
  toobig: 18,
  constraint: 19,
  mismatch: 20,
  misuse: 21,
  auth: 23,
  range: 25,
  notadb: 26
} as const

/** The primary code of an extended one. */
export const primaryCode = (code: number): number => code & 0xff

/** Extended codes that are told apart. */
export const ExtendedCode = {
  /** The database is a directory. */
  isDirectory: 526,
  /** A rollback that changed the schema has ended a result that was open on the connection. */
  abortRollback: 516,
  /** Another connection has written since this one's transaction began to read; waiting does not help. */
  busySnapshot: 517,
  /** The file has been moved or replaced since it was opened. */
  moved: 1032,
  check: 275,
  foreignKey: 787,
  notNull: 1299,
  primaryKey: 1555,
  unique: 2067,
  uniqueRowid: 2579,
  datatype: 3091
} as const

/** Codes of what is no error of SQLite's, below zero as none of its codes are: the message tells all. */
export const OwnCode = {
  failed: -1,
  /** It cannot be done at all: where a file is opened, that is not for the connection's sake. */
  unsupported: -2,
  /** The configuration asks for what there is not. */
  invalid: -3
} as const
