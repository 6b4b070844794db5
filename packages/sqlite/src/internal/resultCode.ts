/** SQLite's primary result codes, the low byte of extended ones (https://www.sqlite.org/rescode.html). */
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

/** Extended: the database is a directory. */
export const isDirectory = 526

/** Extended: a rollback that changed the schema has ended a result that was open on the connection. */
export const abortRollback = 516

/** Extended: another connection has written since this one's transaction began to read; waiting does not help. */
export const busySnapshot = 517
