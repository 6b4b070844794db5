/**
 * The loop's side of one worker: sends calls into the shared ring, drains replies, keeps deadlines, stops what is to be
 * stopped. Everything here is synchronous; Effects begin in `sqliteSession.ts`.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads"
import type { SqlError } from "@effect/sql/SqlError"
import { SqliteAnswer } from "./answer.js"
import {
  cancelWord,
  deadlineOffset,
  Op,
  pageBytes,
  pageOffset,
  Reply,
  replyBytes,
  replyOffset,
  replyRingOffset,
  replyRingSize,
  Request,
  requestBytes,
  RequestFlag,
  requestOffset,
  requestRingOffset,
  requestRingSize,
  slots,
  statementSlots,
  type ToLoop,
  type ToWorker,
  Transaction,
  Word
} from "./boundary.js"
import { Call } from "./call.js"
import { makeDecoder, type PageSource, readColumns, readError, UnsafeIntegerError, views } from "./decoder.js"
import * as failure from "./failure.js"
import { Flag, Header, Header8, Why } from "./page.js"
import { encode, encodeInto, encodeRows, ParameterError, parameterView } from "./parameters.js"
import { NulInText, StatementCache, type StatementEntry } from "./statementCache.js"

export interface SessionOptions {
  readonly statementCacheSize: number
  readonly maxQueued: number
  readonly maxQueuedBytes: number
  /** Milliseconds that a stopped statement may take to stop. */
  readonly grace: number
  /** Told once when the session can be used no more. */
  readonly onLost: (error: SqlError) => void
}

/** A microtask without the async resource that `queueMicrotask` makes for each. */
const resolved = Promise.resolve()

/** Pages decoded in one go before the event loop gets its turn again. */
const pagesPerTurn = 4

const nanos = (): number => Number(process.hrtime.bigint())

/** `performance.now()` 0 in ns of `process.hrtime`: deadlines come in the first, workers read the second. */
const origin = nanos() - performance.now() * 1e6

const transactionFlag = { none: Transaction.none, required: Transaction.required, free: Transaction.free } as const

export class WorkerSession {
  private readonly control: Int32Array
  private readonly deadlines: BigInt64Array
  private readonly requestRing: Int32Array
  private readonly replyRing: Int32Array
  private readonly words: Int32Array
  private readonly times: Float64Array
  private readonly shared: PageSource
  private readonly parameters
  private readonly statements: StatementCache

  private readonly calls: Array<Call | undefined> = new Array<Call | undefined>(slots).fill(undefined)
  private readonly freeStatementSlots: Array<number> = []
  private readonly freeCursorSlots: Array<number> = []
  private readonly queue: Array<Call> = []
  private readonly cursorQueue: Array<Call> = []
  private queuedBytes = 0
  private active = 0
  private lastSeq = 0
  private lastCursor = 0
  private head = 0
  private tail = 0
  /** Pages and values that came as messages before their reply was drained. */
  private readonly messages = new Map<number, ToLoop>()

  private failed: SqlError | undefined
  private transaction = false
  private timer: NodeJS.Timeout | undefined
  private timerAt = Infinity
  private resuming = false
  private waking = false

  constructor(
    memory: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly options: SessionOptions
  ) {
    this.control = new Int32Array(memory, 0, 1024)
    this.deadlines = new BigInt64Array(memory, deadlineOffset, slots)
    this.requestRing = new Int32Array(memory, requestRingOffset, requestRingSize)
    this.replyRing = new Int32Array(memory, replyRingOffset, replyRingSize)
    this.words = new Int32Array(memory, requestOffset, (slots * requestBytes) / 4)
    this.times = new Float64Array(memory, requestOffset, (slots * requestBytes) / 8)
    this.shared = views(memory)
    this.parameters = parameterView(memory)
    for (let slot = slots - 1; slot >= 0; slot--) {
      ;(slot < statementSlots ? this.freeStatementSlots : this.freeCursorSlots).push(slot)
    }
    this.statements = new StatementCache(
      options.statementCacheSize,
      (id, text) => this.post(["text", id, text]),
      (id) => this.post(["forget", id])
    )
    port.on("message", (message: ToLoop) => this.receive(message))
    port.unref()
  }

  get inTransaction(): boolean {
    return this.transaction
  }

  /** Calls that are not settled yet. */
  get pending(): number {
    return this.active
  }

  /** What the worker is doing, in a word. */
  get state(): "open" | "busy" | "closed" {
    return this.failed !== undefined ? "closed" : this.active > 0 ? "busy" : "open"
  }

  nextCursor(): number {
    this.lastCursor = (this.lastCursor % 0x7fffffff) + 1
    return this.lastCursor
  }

  // ------------------------------------------------------------------------------------------------------- sending

  /** Takes a call: sends it, queues it, or settles it with a failure at once. */
  submit(call: Call): void {
    if (this.failed !== undefined) {
      return this.refuse(call, this.failed)
    }
    this.activate()
    if (call.request.deadline !== Infinity) {
      this.watch(call.request.deadline)
    }
    if (call.op === Op.fetch || call.op === Op.closeCursor) {
      const slot = this.cursorQueue.length === 0 ? this.freeCursorSlots.pop() : undefined
      return slot === undefined ? void this.cursorQueue.push(call) : this.send(call, slot)
    }
    const slot = this.queue.length === 0 ? this.freeStatementSlots.pop() : undefined
    return slot === undefined ? this.enqueue(call) : this.send(call, slot)
  }

  private refuse(call: Call, error: SqlError): void {
    call.done = true
    call.settle(error, undefined)
  }

  private enqueue(call: Call): void {
    const { maxQueued, maxQueuedBytes } = this.options
    try {
      // Encoded now: the caller may change its buffers while the statement waits.
      call.encoded = call.parameterRows === undefined ? encode(call.request.params) : encodeRows(call.parameterRows)
    } catch (error) {
      return this.finish(call, this.unsendable(error, call), undefined)
    }
    if (call.op === Op.close) {
      return void this.queue.push(call)
    }
    if (this.queue.length >= maxQueued) {
      return this.finish(call, failure.overloaded(`${maxQueued} statements wait`, call.request.text), undefined)
    }
    if (this.queuedBytes + call.encoded.byteLength > maxQueuedBytes) {
      return this.finish(call, failure.overloaded(`${maxQueuedBytes} bytes wait`, call.request.text), undefined)
    }
    this.queuedBytes += call.encoded.byteLength
    this.queue.push(call)
  }

  private unsendable(error: unknown, call: Call): SqlError {
    if (error instanceof ParameterError) {
      return failure.parameterFailure(error, call.request.text)
    }
    if (error instanceof NulInText) {
      return failure.sqliteFailure({ code: 1, message: `syntax error: ${error.message}` }, call.request.text)
    }
    throw error
  }

  private send(call: Call, slot: number): void {
    const { request } = call
    const at = slot * (requestBytes / 4)
    const { words } = this
    let length: number
    try {
      length = this.writeParameters(call, slot)
      call.entry = this.entryOf(call)
    } catch (error) {
      this.giveSlot(slot)
      return this.finish(call, this.unsendable(error, call), undefined)
    }
    call.slot = slot
    call.seq = this.lastSeq = (this.lastSeq % 0x7ffffffe) + 1
    words[at + Request.op] = call.op
    words[at + Request.seq] = call.seq
    words[at + Request.flags] = transactionFlag[request.transaction] | (request.prepared ? 0 : RequestFlag.unprepared)
    words[at + Request.length] = length
    words[at + Request.maxRows] = request.prefetch
    words[at + Request.cursor] = call.cursor
    switch (call.op) {
      case Op.fetch:
      case Op.closeCursor:
        words[at + Request.id] = call.cursor
        break
      case Op.command:
        this.post(["command", call.seq, call.command!])
        break
      case Op.close:
        break
      default:
        words[at + Request.id] = call.entry!.id
        words[at + Request.parameters] = call.parameterRows?.[0]?.length ?? request.params.length
        words[at + Request.rows] = call.parameterRows?.length ?? 1
    }
    if (length < 0) {
      const bytes = call.encoded!
      call.encoded = undefined
      this.post(["parameters", call.seq, bytes], [bytes])
    }
    this.times[slot * (requestBytes / 8) + Request.sentAt / 2] = nanos()
    this.calls[slot] = call
    Atomics.store(this.control, cancelWord + slot, 0)
    Atomics.store(
      this.deadlines,
      slot,
      request.deadline === Infinity ? 0n : BigInt(Math.max(1, Math.round(origin + request.deadline * 1e6)))
    )
    this.publish(slot)
  }

  /** The statement by which the worker knows the text; pulls and closes keep their cursor's. */
  private entryOf(call: Call): StatementEntry | undefined {
    switch (call.op) {
      case Op.run:
      case Op.open:
      case Op.batch:
        return call.request.prepared ? this.statements.get(call.request.text) : this.statements.once(call.request.text)
      case Op.describe:
        return this.statements.once(call.request.text)
      default:
        return call.entry
    }
  }

  /** Parameters go into the slot when they fit, else they are a message: −1. */
  private writeParameters(call: Call, slot: number): number {
    const at = requestOffset + slot * requestBytes + Request.bytes
    const room = requestBytes - Request.bytes
    if (call.encoded !== undefined) {
      if (call.encoded.byteLength > room) {
        return -1
      }
      this.shared.bytes.set(new Uint8Array(call.encoded), at)
      return call.encoded.byteLength
    }
    if (call.parameterRows !== undefined) {
      call.encoded = encodeRows(call.parameterRows)
      return -1
    }
    const bytes = encodeInto(call.request.params, this.parameters, at, room)
    if (bytes < 0) {
      call.encoded = encode(call.request.params)
    }
    return bytes
  }

  private publish(slot: number): void {
    Atomics.store(this.requestRing, this.head & (requestRingSize - 1), slot)
    this.head = (this.head + 1) | 0
    Atomics.store(this.control, Word.requestHead, this.head)
    // Waking a thread costs more than a statement: all that is sent in one go is announced once, at its end.
    if (!this.waking) {
      this.waking = true
      void resolved.then(this.wake)
    }
  }

  private readonly wake = () => {
    this.waking = false
    if (Atomics.load(this.control, Word.sleeping) === 1) {
      Atomics.notify(this.control, Word.requestHead)
    }
  }

  private post(message: ToWorker, transfer: Array<ArrayBuffer> = []): void {
    this.port.postMessage(message, transfer)
  }

  /** The process stays alive while calls are under way, and only then. */
  private activate(): void {
    if (this.active++ === 0) {
      this.port.ref()
    }
  }

  private deactivate(): void {
    if (--this.active === 0) {
      this.port.unref()
    }
  }

  // ------------------------------------------------------------------------------------------------------ receiving

  private receive(message: ToLoop): void {
    if (message !== null) {
      this.keep(message)
    }
    Atomics.store(this.control, Word.wakePending, 0)
    this.drain(pagesPerTurn)
  }

  private keep(message: ToLoop): void {
    if (message !== null && (message[0] === "buffer" || message[0] === "value" || message[0] === "error")) {
      this.messages.set(message[1], message)
    }
  }

  /** The message that belongs to a reply: it was posted before the reply was announced. */
  private messageOf(seq: number): ToLoop {
    for (;;) {
      const message = this.messages.get(seq)
      if (message !== undefined) {
        this.messages.delete(seq)
        return message
      }
      const received = receiveMessageOnPort(this.port) as { readonly message: ToLoop } | undefined
      if (received === undefined) {
        throw new Error("a reply came without its message")
      }
      if (received.message === null) {
        // A wake was swallowed here; what it announced is drained by the loop that called.
        Atomics.store(this.control, Word.wakePending, 0)
      } else {
        this.keep(received.message)
      }
    }
  }

  /** Takes replies in order. After `budget` large pages the rest waits for the next turn of the event loop. */
  private drain(budget: number): void {
    const { control } = this
    let pages = 0
    while (this.tail !== Atomics.load(control, Word.replyHead)) {
      if (pages >= budget) {
        return this.resume()
      }
      const reply = Atomics.load(this.replyRing, this.tail & (replyRingSize - 1))
      this.tail = (this.tail + 1) | 0
      Atomics.store(control, Word.replyTail, this.tail)
      if ((reply & Reply.kind) !== Reply.inline) {
        pages++
      }
      this.take(reply)
    }
  }

  private resume(): void {
    if (!this.resuming) {
      this.resuming = true
      setImmediate(() => {
        this.resuming = false
        this.drain(pagesPerTurn)
      })
    }
  }

  private take(reply: number): void {
    const slot = reply & 0xff
    const call = this.calls[slot]!
    switch (reply & Reply.kind) {
      case Reply.inline:
        return this.page(call, this.shared, replyOffset + slot * replyBytes)
      case Reply.page: {
        const page = reply >> 12
        this.page(call, this.shared, pageOffset + page * pageBytes)
        Atomics.store(this.control, Word.page + page, 0)
        Atomics.add(this.control, Word.credit, 1)
        Atomics.notify(this.control, Word.credit)
        return
      }
      case Reply.buffer: {
        const message = this.messageOf(call.seq) as readonly ["buffer", number, ArrayBuffer]
        return this.page(call, views(message[2], true), 0)
      }
      default: {
        const message = this.messageOf(call.seq)
        this.release(call)
        return message![0] === "error"
          ? this.finish(call, failure.sqliteFailure(message![2], call.request.text || undefined), undefined)
          : this.finish(call, undefined, undefined, (message as readonly ["value", number, unknown])[2])
      }
    }
  }

  private page(call: Call, source: PageSource, base: number): void {
    const word = base >> 2
    const flags = source.u32[word + Header.flags]!
    this.transaction = (flags & Flag.inTransaction) !== 0
    const { request } = call
    const entry = call.entry
    if ((flags & Flag.columns) !== 0 && entry !== undefined) {
      entry.columns = readColumns(source, base) ?? []
      entry.decoder = makeDecoder(entry.columns)
    }
    let rows: Array<unknown> = []
    if (source.u32[word + Header.rows]! > 0 && !call.abandoned && call.error === undefined) {
      try {
        rows = entry!.decoder!.decode(source, base, request.shape, request.integers)
      } catch (error) {
        if (!(error instanceof UnsafeIntegerError)) {
          throw error
        }
        call.error = failure.unsafeInteger(error.column, request.text)
      }
    }
    if ((flags & Flag.more) !== 0) {
      call.rows = append(call.rows, rows)
      return
    }
    if (call.rows !== undefined) {
      rows = append(call.rows, rows)
    }
    const error = call.error ?? this.errorOf(call, source, base)
    call.opened = call.op === Op.open && (flags & Flag.done) === 0
    if (call.error !== undefined && call.cursor !== 0 && (flags & Flag.done) === 0) {
      // The failure ends the result for whoever reads it; the worker knows nothing of it.
      call.opened = false
      this.closeCursor(call.cursor)
    }
    const double = base >> 3
    const answer = new SqliteAnswer(
      entry?.columns ?? [],
      rows,
      request.shape,
      flags,
      source.f64[double + Header8.changes]!,
      source.i64[double + Header8.lastInsertRowid]!,
      request.integers,
      source.f64[double + Header8.queueNanos]!,
      source.f64[double + Header8.engineNanos]!,
      error
    )
    this.release(call)
    this.finish(call, undefined, answer)
  }

  private errorOf(call: Call, source: PageSource, base: number): SqlError | undefined {
    const word = base >> 2
    const why = source.u32[word + Header.why]!
    const code = source.i32[word + Header.code]!
    const { text } = call.request
    switch (why) {
      case Why.none:
        break
      case Why.deadline:
        return failure.late(text, "notExecuted")
      case Why.cancelled:
        // Nobody reads this but the deadline's timer, which stops a call in the moment that it begins.
        // Nor anybody but the abort of a session, which has its own reason.
        return call.request.deadline <= performance.now()
          ? failure.late(text, "notExecuted")
          : (this.failed ?? failure.interrupted(text))
      case Why.interrupted:
        return failure.interrupted(text)
      case Why.leftTransaction:
        return failure.leftTransaction(text)
      case Why.noTransaction:
        return failure.noTransaction(text)
      case Why.parameters:
        return failure.wrongCount(
          source.i32[word + Header.detail]!,
          call.parameterRows?.[0]?.length ?? call.request.params.length,
          text
        )
      case Why.closed:
        return failure.closed(text)
      case Why.insideTransaction:
        return failure.insideTransaction
    }
    if (code === 0) {
      return undefined
    }
    const message = readError(source, base) ?? `SQLite result code ${code}`
    const error = failure.sqliteFailure({ code, message }, text)
    const row = source.i32[word + Header.detail]!
    return call.op === Op.batch && row >= 0 ? failure.atRow(error, row) : error
  }

  /** Gives the slot back and sends what waited for one. */
  private release(call: Call): void {
    this.calls[call.slot] = undefined
    this.giveSlot(call.slot)
  }

  private giveSlot(slot: number): void {
    if (slot >= statementSlots) {
      const next = this.cursorQueue.shift()
      return next === undefined ? void this.freeCursorSlots.push(slot) : this.send(next, slot)
    }
    const next = this.queue.shift()
    if (next === undefined) {
      this.freeStatementSlots.push(slot)
    } else {
      this.queuedBytes -= next.encoded?.byteLength ?? 0
      this.send(next, slot)
    }
  }

  /** Settles a call, once. */
  private finish(call: Call, error: SqlError | undefined, answer: SqliteAnswer | undefined, value?: unknown): void {
    if (!call.done) {
      call.done = true
      this.deactivate()
      call.settle(error, answer, value)
      call.onQuiet?.()
    } else if (call.opened) {
      // Nobody waits for this cursor: its opener was interrupted before it had begun.
      this.closeCursor(call.cursor)
    }
  }

  /** Ends a cursor without waiting for the answer. */
  closeCursor(cursor: number, settled: () => void = () => {}): void {
    const call = new Call(Op.closeCursor, emptyRequest, settled)
    call.cursor = cursor
    this.submit(call)
  }

  // ------------------------------------------------------------------------------------------------------- stopping

  /**
   * Stops a call. True: it is settled, or will never run. False: the worker runs it now; it has been told, and
   * `call.onQuiet` will be told when it lets go.
   */
  stop(call: Call): boolean {
    if (call.done) {
      return true
    }
    if (call.seq === 0) {
      this.unqueue(call)
      this.drop(call)
      return true
    }
    call.cancelled = true
    Atomics.store(this.control, cancelWord + call.slot, call.seq)
    Atomics.add(this.control, Word.credit, 1)
    Atomics.notify(this.control, Word.credit)
    Atomics.add(this.control, Word.callback, 1)
    Atomics.notify(this.control, Word.callback)
    if (Atomics.load(this.control, Word.running) === call.seq) {
      return false
    }
    // Either it has ended, and then its reply is in the ring already, or it has not begun, and never will.
    this.drain(Infinity)
    if (!call.done) {
      this.drop(call)
    }
    return true
  }

  /** Nobody waits for it any more; its reply, if any comes, only gives the slot back. */
  private drop(call: Call): void {
    call.abandoned = true
    call.done = true
    this.deactivate()
    call.onQuiet?.()
  }

  private unqueue(call: Call): void {
    const queue = call.op === Op.fetch || call.op === Op.closeCursor ? this.cursorQueue : this.queue
    const index = queue.indexOf(call)
    if (index >= 0) {
      queue.splice(index, 1)
      if (queue === this.queue) {
        this.queuedBytes -= call.encoded?.byteLength ?? 0
      }
    }
  }

  /**
   * Stops whatever statement runs now; its caller gets reason `Interrupted`. Nothing runs: nothing happens. Nor to the
   * end of a transaction: a rollback that is stopped would cost the session.
   */
  interrupt(): void {
    const running = Atomics.load(this.control, Word.running)
    const call = this.calls.find((call) => call?.seq === running)
    if (call !== undefined && !(call.request.transaction === "free" && endsTransaction.test(call.request.text))) {
      Atomics.store(this.control, Word.interrupt, running)
      Atomics.add(this.control, Word.credit, 1)
      Atomics.notify(this.control, Word.credit)
    }
  }

  /** Fails everything that is under way, and stops it. What runs may have had its effect, what waits has not. */
  abort(error: SqlError): void {
    this.failed ??= error
    for (const call of [...this.cursorQueue.splice(0), ...this.queue.splice(0)]) {
      this.finish(call, error, undefined)
    }
    this.queuedBytes = 0
    // The last first: what stands behind a statement that is stopped would begin before it is stopped itself.
    const sent = this.calls.filter((call) => call !== undefined).sort((a, b) => b.seq - a.seq)
    for (const call of sent) {
      if (!call.done && call.op !== Op.close) {
        const running = !this.stop(call)
        if (running) {
          this.drop(call)
        }
        if (call.abandoned) {
          call.settle(running ? failure.withOutcome(error, "unknown") : error, undefined)
        }
      }
    }
  }

  // ------------------------------------------------------------------------------------------------------ deadlines

  /** One timer per session, for the earliest deadline. The worker stops what runs; this one ends what waits. */
  private watch(at: number): void {
    if (at >= this.timerAt) {
      return
    }
    clearTimeout(this.timer)
    this.timerAt = at
    this.timer = setTimeout(() => this.tick(), Math.min(Math.max(0, at - performance.now()) + 0.5, 0x7fffffff))
    // Calls under way keep the process alive, their deadlines do not.
    this.timer.unref()
  }

  private tick(): void {
    this.timer = undefined
    this.timerAt = Infinity
    const now = performance.now()
    let next = Infinity
    for (const call of [...this.cursorQueue, ...this.queue, ...this.calls]) {
      if (call === undefined || call.done || call.request.deadline === Infinity) {
        continue
      }
      const at = call.request.deadline
      if (at > now) {
        next = Math.min(next, at)
      } else if (call.seq === 0 || Atomics.load(this.control, Word.running) !== call.seq) {
        this.expire(call)
      } else if (now < at + this.options.grace) {
        next = Math.min(next, at + this.options.grace)
      } else {
        // It cannot be stopped (portable engine): its session is given up, its own caller hears of the deadline.
        this.drop(call)
        this.options.onLost(failure.stuck(call.request.text))
        call.settle(failure.late(call.request.text, "unknown"), undefined)
        return
      }
    }
    if (next !== Infinity) {
      this.watch(next)
    }
  }

  /** The deadline of a call that has not begun: it never will. */
  private expire(call: Call): void {
    if (this.stop(call)) {
      if (call.abandoned) {
        call.settle(failure.late(call.request.text, "notExecuted"), undefined)
      }
    } else {
      // It began in this very moment, and has been told to stop.
      this.watch(performance.now() + this.options.grace)
    }
  }

  // --------------------------------------------------------------------------------------------------------- ending

  /** No further call is taken; those under way go on. */
  refuseFurther(error: SqlError): void {
    this.failed ??= error
  }

  /** The last request; sent behind everything that is under way. */
  close(settled: () => void): void {
    const call = new Call(Op.close, emptyRequest, settled)
    const failed = this.failed
    this.failed = undefined
    this.submit(call)
    this.failed = failed ?? failure.closed()
  }

  /** The worker is gone: whoever still waits is told, with what is known about the statement, or why it was to end. */
  lose(message: string): void {
    this.drain(Infinity)
    const running = Atomics.load(this.control, Word.running)
    const failed = this.failed
    this.failed ??= failure.lost(message, "notExecuted")
    for (const call of [...this.calls, ...this.cursorQueue.splice(0), ...this.queue.splice(0)]) {
      if (call !== undefined && !call.done) {
        call.done = true
        this.deactivate()
        const begun = call.seq !== 0 && running === call.seq
        const lost = () => failure.lost(message, begun ? "unknown" : "notExecuted", call.request.text || undefined)
        call.settle(begun ? lost() : (failed ?? lost()), undefined)
        call.onQuiet?.()
      }
    }
    this.dispose()
  }

  dispose(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.port.close()
  }
}

export const emptyRequest = {
  text: "",
  params: [],
  prefetch: 1,
  deadline: Infinity,
  integers: "number",
  shape: "arrays",
  prepared: true,
  transaction: "free"
} as const

const endsTransaction = /^(commit|rollback|release)\b/i

const append = (before: Array<unknown> | undefined, rows: Array<unknown>): Array<unknown> => {
  if (before === undefined) {
    return rows
  }
  for (let i = 0; i < rows.length; i++) {
    before.push(rows[i])
  }
  return before
}
