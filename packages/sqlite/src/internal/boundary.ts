/**
 * The thread boundary: the memory that the event loop and the worker of one session share.
 *
 * Small things cross in this one SharedArrayBuffer (control words, a ring of requests, a ring of replies); what does not
 * fit (SQL texts, large parameters, large rows) crosses as messages on one MessagePort (messages.ts). Little-endian, as
 * every platform Node runs on.
 *
 *     byte        what
 *     0           control words (Int32), see `Word`
 *     256         cancel[slot] = number of the request to stop (Int32 × slots)
 *     1024        deadline[slot] = absolute `process.hrtime` in ns, 0 none (BigInt64 × slots)
 *     2048        request ring: slot numbers, in order (Int32 × requestRingSize)
 *     2560        reply ring: `Reply` entries (Int32 × replyRingSize)
 *     4096        request slots, `requestBytes` each
 *     …           reply slots, `replyBytes` each
 *     …           page slots, `pageBytes` each
 *     …           a callback's arguments, then its answer, `callbackBytes` each (see `Ask` and `Answer`)
 */

/** Statements admitted to the worker at once; more wait on the loop's side, in order. */
export const statementSlots = 64
/** Slots that only pulls and closes of open cursors use, so that these never wait behind statements. */
export const cursorSlots = 16
export const slots = statementSlots + cursorSlots

export const requestRingSize = 128
export const replyRingSize = 256

export const requestBytes = 1024
export const replyBytes = 4096
export const pageSlots = 4
export const pageBytes = 256 * 1024

export const cancelOffset = 256
export const deadlineOffset = 1024
export const requestRingOffset = 2048
export const replyRingOffset = 2560
export const requestOffset = 4096
export const replyOffset = requestOffset + slots * requestBytes
export const pageOffset = replyOffset + slots * replyBytes
/** A callback's arguments (worker → loop) and after them its answer (loop → worker). */
export const callbackOffset = pageOffset + pageSlots * pageBytes
export const callbackBytes = 4096
export const sharedBytes = callbackOffset + 2 * callbackBytes

/** Control words: index into the Int32Array over the shared buffer. */
export const Word = {
  /** Requests published by the loop, ever (wraps). The worker sleeps on this word. */
  requestHead: 0,
  /** Replies published by the worker, ever (wraps). */
  replyHead: 1,
  /** 1 while a wake is under way to the loop. The worker sets it, the loop clears it before it drains. */
  wakePending: 2,
  /** Number of the request that the worker is running, 0 when none. */
  running: 3,
  /** Number of the request that an explicit `interrupt()` is meant for, 0 none. */
  interrupt: 4,
  /** Replies drained by the loop, ever (wraps); with `pageFree` the worker's credit. */
  replyTail: 5,
  /** Bumped by the loop whenever a page slot or ring place is given back; the worker waits on it for room. */
  credit: 6,
  /** Bumped whenever a callback's answer is there, or its statement is to stop; the worker waits on it for both. */
  callback: 7,
  /** 1 while page slot i is in use: words 8 … 8 + pageSlots − 1. The worker sets, the loop clears. */
  page: 8,
  /** How the worker sleeps on `requestHead`: see `Sleep`. */
  requestSleep: 12,
  /** Number of the callback whose answer was written last. */
  answered: 13,
  /** How the worker sleeps on `credit`. */
  creditSleep: 14,
  /** How the worker sleeps on `callback`. */
  callbackSleep: 15,
  /** What being woken takes, in ns, as the worker has seen it: how long either side may look for what comes. 0: not at all. */
  wakeNanos: 16,
  /** 1 once the thread ends, in the middle of a request perhaps, whose number then stays in `running`. */
  ended: 17
} as const

/**
 * How the worker sleeps, so that the loop knows whether and how to wake it. It changes its word first and takes the sleep
 * away then; the worker announces its sleep first and looks at the word then.
 */
export const Sleep = {
  awake: 0,
  /** In `Atomics.wait`, which also ends when the thread is terminated. */
  atomics: 1,
  /** In the pump's `sleep`. */
  pump: 2
} as const

/** The words that the worker sleeps on, and where it says how. */
export const sleepWord = {
  [Word.requestHead]: Word.requestSleep,
  [Word.credit]: Word.creditSleep,
  [Word.callback]: Word.callbackSleep
} as const

export type SleepWord = keyof typeof sleepWord

/** Word index of cancel[slot]. */
export const cancelWord = cancelOffset / 4

/** What a request asks for. */
export const Op = {
  /** Run a statement to its end and answer with all its rows, in as many pages as needed. */
  run: 1,
  /** Start a cursor and answer with its first page. */
  open: 2,
  /** The next page of a cursor. */
  fetch: 3,
  /** End a cursor. */
  closeCursor: 4,
  /** One prepared statement, many parameter rows. */
  batch: 5,
  /** Prepare only: parameters and columns. */
  describe: 6,
  /** Anything rare, carried as a structured message (see `Command`). */
  command: 7,
  /** Close the connection and end the worker. */
  close: 8
} as const

/**
 * A request slot, as Int32 words from its start; parameters follow at byte `Request.bytes`, tagged as in parameters.ts.
 */
export const Request = {
  op: 0,
  seq: 1,
  /** Statement id (run, open, batch, describe) or cursor id (fetch, closeCursor). */
  id: 2,
  flags: 3,
  /** Parameters in one row. */
  parameters: 4,
  /** Rows a page may hold. */
  maxRows: 5,
  /** Bytes of parameters in the slot, or −1 when they come as a message. */
  length: 6,
  /** Parameter rows (batch only). */
  rows: 7,
  /** Cursor id that `open` shall give to the new cursor. */
  cursor: 8,
  /** When it was sent: Float64 at word 10 (ns of `process.hrtime`). */
  sentAt: 10,
  /** Where parameters start, in bytes. */
  bytes: 48
} as const

/** How a request stands to transactions (two bits of its flags). */
export const Transaction = {
  /** Outside of any: one that the statement leaves open is rolled back at once. */
  none: 0,
  /** Must find one open, else it is not run. */
  required: 1,
  /** Belongs to the holder of the session: may open and end them. */
  free: 2
} as const

export const RequestFlag = {
  /** Mask of `Transaction`. */
  transaction: 3,
  /** Do not keep the statement prepared. */
  unprepared: 4,
  /** What the statement counts is told along with its pages. */
  counters: 8
} as const

/** A reply ring entry: slot number in the low byte, where its page lies above it. */
export const Reply = {
  /** In the slot's own reply area. */
  inline: 0x000,
  /** In a page slot: its number in bits 12–15. */
  page: 0x100,
  /** As a message `[seq, ArrayBuffer]` on the port. */
  buffer: 0x200,
  /** No answer, but a callback to run for the request in this slot. */
  callback: 0x400,
  /** No answer, but changes of rows that its request has committed, as a message; in the ring before the answer. */
  changes: 0x500,
  /** No answer, but what its statement has counted, as a message; in the ring before its page. */
  counters: 0x600,
  /** As a structured message on the port: a value or an `ErrorMessage`. */
  message: 0x300,
  kind: 0xf00
} as const

/**
 * A callback that the loop shall answer, as Int32 words of its area; tagged arguments follow at byte `Ask.bytes`. One at
 * a time: the worker waits for the answer. When the statement is stopped it does not, and may write the next question over
 * one that the loop has not read yet: whoever reads compares slot and number, the latter once more when all is read.
 */
export const Ask = {
  /** Which callback: the number it was registered with. */
  id: 0,
  /** Counts callbacks, so that a late answer is not taken for the next one's. 0 while the area is written. */
  serial: 1,
  /** What is asked of it, see `AggregateOp`; 0 for anything but aggregates. */
  op: 2,
  /** The aggregate's group, 0: no row was in it. */
  group: 3,
  /** Arguments. */
  count: 4,
  /** Bytes of arguments, or −1 when they come as a message. */
  length: 5,
  /** Slot of the request that asks. */
  slot: 6,
  bytes: 32
} as const

/** The answer, as Int32 words of its area; one tagged value follows at byte `Answer.bytes`. */
export const Answer = {
  /** 1 when it failed: the loop keeps the reason. */
  failed: 0,
  /** Bytes of the value, or −1 when it comes as a message. */
  length: 1,
  /** Number of the callback that the loop has read last: its area may be written again. */
  taken: 2,
  bytes: 16
} as const

/** What SQLite asks of an aggregate: the first argument of its function in the pump. */
export const AggregateOp = { step: 0, final: 1, value: 2, inverse: 3 } as const

/** What SQLite asks of a table function: the first argument of its function in the pump (native/vtab.c). */
export const TableOp = { open: 0, next: 1, close: 2 } as const
