/** The worker's loop: takes requests in order, runs each on the connection, answers with pages. */
import {
  Op,
  type Registration,
  Request,
  RequestFlag,
  requestBytes,
  requestOffset,
  type Start,
  Transaction,
  Word
} from "../boundary.js"
import { Flag, Header, Why } from "../page.js"
import { emptyPage } from "./answer.js"
import { Callbacks } from "./callbacks.js"
import { runCommand } from "./commands.js"
import { Cursor } from "./cursor.js"
import { type Connection, type Engine, EngineError } from "./engine.js"
import { Execution, ParameterCount } from "./execution.js"
import { Inbox } from "./inbox.js"
import { Modules } from "./modules.js"
import { Outbox, type Place } from "./outbox.js"
import { Statements } from "./statements.js"

const shared8 = (shared: SharedArrayBuffer) => new Uint8Array(shared)
const noRowLimit = 0x7fffffff

/** A request that waits until a held session is free again. */
interface Deferred {
  readonly slot: number
  readonly since: number
}

export class Loop {
  private readonly statements: Statements
  private readonly inbox: Inbox
  private readonly outbox: Outbox
  private readonly callbacks: Callbacks
  private readonly control: Int32Array
  private readonly bytes: Uint8Array
  private readonly cursors = new Map<number, Cursor>()
  private readonly deferred: Array<Deferred> = []
  /** The cursor that holds the session: it writes and has not ended, or it has a transaction open. */
  private holder: number | undefined
  private closing = false
  /** The request that runs has not ended yet: it waits for this. Never rejects. */
  private promised: Promise<void> | undefined
  private readonly scratch: Place

  constructor(
    private readonly start: Start,
    private readonly connection: Connection,
    engine: Engine["kind"]
  ) {
    this.statements = new Statements(connection)
    this.inbox = new Inbox(start.shared, start.port, this.statements)
    this.outbox = new Outbox(start.shared, start.port)
    this.callbacks = new Callbacks(
      start.shared,
      connection,
      new Modules(connection, engine === "native"),
      this.inbox,
      this.outbox
    )
    this.control = new Int32Array(start.shared, 0, 64)
    this.bytes = shared8(start.shared)
    const memory = new ArrayBuffer(256 * 1024)
    this.scratch = { bytes: new Uint8Array(memory), offset: 0, capacity: memory.byteLength, reply: 0 }
  }

  /** Puts callbacks on the connection, in order. Answers a promise when there are modules to import. */
  register(callbacks: ReadonlyArray<Registration>): Promise<void> | undefined {
    let imported: Promise<void> | undefined
    for (const registration of callbacks) {
      imported =
        imported === undefined
          ? (this.callbacks.apply(registration) ?? undefined)
          : imported.then(() => this.callbacks.apply(registration))
    }
    return imported
  }

  /** Serves requests until it is closed, then calls `ended`. It sleeps between them, but leaves where one waits for a promise. */
  run(ended: () => void): void {
    while (!this.closing) {
      const slot = this.take()
      if (slot !== undefined) {
        this.handle(slot)
      }
      const { promised } = this
      if (promised !== undefined) {
        this.promised = undefined
        return void promised.then(() => {
          this.finish()
          this.run(ended)
        })
      }
    }
    ended()
  }

  /** The next request in order. While a cursor holds the session only cursors are served, the rest waits. */
  private take(): number | undefined {
    if (this.holder === undefined) {
      return this.deferred.shift()?.slot ?? this.inbox.next(Infinity)
    }
    const slot = this.inbox.next(this.deferred.length === 0 ? Infinity : 20)
    if (slot !== undefined) {
      const op = this.inbox.word(slot, Request.op)
      if (op === Op.fetch || op === Op.closeCursor || op === Op.close) {
        return slot
      }
      this.deferred.push({ slot, since: performance.now() })
    }
    this.refuseLate()
    return undefined
  }

  private refuseLate(): void {
    const oldest = this.deferred[0]
    if (oldest !== undefined && performance.now() - oldest.since >= this.start.busyTimeout) {
      this.deferred.shift()
      this.begin(oldest.slot, (seq) => {
        this.answerEmpty(oldest.slot, seq, {
          code: 5,
          message: "the session is held by a stream of a statement that writes: consume or close that stream first"
        })
      })
    }
  }

  /** The frame of every request: announces it as running, then looks at its cancel word; the loop does the reverse. */
  private begin(slot: number, work: (seq: number) => void): void {
    const seq = this.inbox.word(slot, Request.seq)
    Atomics.store(this.control, Word.running, seq)
    const why = this.connection.start(seq, slot)
    this.callbacks.begin(slot)
    if (why !== Why.none && this.inbox.word(slot, Request.op) !== Op.closeCursor) {
      this.inbox.discard(seq, slot)
      this.refusePull(slot)
      this.answerEmpty(slot, seq, { why })
    } else {
      work(seq)
    }
    if (this.promised === undefined) {
      this.finish()
    }
  }

  private finish(): void {
    this.connection.end()
    Atomics.store(this.control, Word.running, 0)
  }

  /** A pull that is stopped before it begins ends its cursor all the same: the rows it would have got have no taker. */
  private refusePull(slot: number): void {
    if (this.inbox.word(slot, Request.op) === Op.fetch) {
      this.end(this.inbox.word(slot, Request.id))
    }
  }

  private handle(slot: number): void {
    const { inbox } = this
    const op = inbox.word(slot, Request.op)
    if (op === Op.close) {
      return this.close(slot)
    }
    this.begin(slot, (seq) => {
      const id = inbox.word(slot, Request.id)
      switch (op) {
        case Op.run:
          return this.guarded(slot, seq, id, () => this.runStatement(slot, seq))
        case Op.open:
          return this.guarded(slot, seq, id, () => this.open(slot, seq))
        case Op.batch:
          return this.guarded(slot, seq, id, () => this.batch(slot, seq))
        case Op.fetch:
          return this.pull(slot, seq, id)
        case Op.closeCursor:
          this.end(id)
          return this.answerEmpty(slot, seq, {})
        case Op.describe:
          return this.describe(slot, seq, id)
        default:
          this.promised = runCommand(this.connection, this.callbacks, this.outbox, slot, seq, inbox.commandOf(seq))
      }
    })
  }

  /** Checks what a statement asks of transactions before it runs, and drops its text when it is not to be kept. */
  private guarded(slot: number, seq: number, id: number, work: () => void): void {
    this.inbox.text(id)
    const use = this.transactionUse(slot)
    // Read now: once the answer is out, the slot may already hold the next request.
    const keep = (this.inbox.word(slot, Request.flags) & RequestFlag.unprepared) === 0
    const open = this.connection.inTransaction()
    if (open ? use === Transaction.none : use === Transaction.required) {
      this.inbox.discard(seq, slot)
      this.answerEmpty(slot, seq, { why: open ? Why.insideTransaction : Why.noTransaction })
    } else {
      work()
    }
    if (!keep) {
      this.statements.forget(id)
    }
  }

  private transactionUse(slot: number): number {
    return this.inbox.word(slot, Request.flags) & RequestFlag.transaction
  }

  private queueNanos(slot: number): number {
    return Math.max(0, Number(process.hrtime.bigint()) - this.inbox.sentAt(slot))
  }

  private execution(slot: number, seq: number, keep: boolean): Execution {
    const { inbox } = this
    const external = inbox.word(slot, Request.length) < 0
    const execution = new Execution(
      this.connection,
      this.statements,
      inbox.word(slot, Request.id),
      external ? new Uint8Array(inbox.parametersOf(seq)) : this.bytes,
      external ? 0 : parametersOffset(slot),
      inbox.word(slot, Request.parameters),
      keep
    )
    if ((inbox.word(slot, Request.flags) & RequestFlag.counters) !== 0) {
      execution.counters = []
    }
    return execution
  }

  private runStatement(slot: number, seq: number): void {
    const queue = this.queueNanos(slot)
    const execution = this.execution(slot, seq, false)
    const use = this.transactionUse(slot)
    let place = this.outbox.inline(slot)
    for (;;) {
      place = this.step(execution, noRowLimit, place, slot)
      if (execution.finished) {
        this.undoLeftOpen(use, place)
        this.outbox.counters = execution.counters
        return this.outbox.publish(place, seq, false, queue)
      }
      if (isEmpty(place)) {
        continue
      }
      this.outbox.publish(place, seq, true, queue)
      let why: number = Why.none
      const room = this.outbox.page(slot, () => (why = this.connection.check()) !== Why.none)
      if (room === undefined) {
        execution.abandon()
        return this.answerEmpty(slot, seq, { why })
      }
      place = room
    }
  }

  /** Steps once into the place, or into memory of its own when the row needs more. What goes wrong is in the page. */
  private step(execution: Execution, maxRows: number, place: Place, slot: number): Place {
    try {
      const bytes = execution.fetch(maxRows, place)
      if (bytes >= 0) {
        return place
      }
      const own = this.outbox.own(slot, -bytes)
      execution.fetch(maxRows, own)
      this.outbox.release(place)
      return own
    } catch (error) {
      execution.abandon()
      const page = this.errorPage(error)
      place.bytes.set(new Uint8Array(page), place.offset)
      return place
    }
  }

  private errorPage(error: unknown): ArrayBuffer {
    const flags = this.flags()
    if (error instanceof ParameterCount) {
      return emptyPage({ flags, why: Why.parameters, detail: error.wanted })
    }
    const why = this.connection.check()
    if (error instanceof EngineError) {
      // No code: a text without any statement.
      return error.code === 0
        ? emptyPage({ flags: flags | Flag.readonly })
        : emptyPage({ flags, code: error.code, message: error.message, why: error.code === 9 ? why : Why.none })
    }
    return emptyPage({ flags, code: -1, message: error instanceof Error ? error.message : String(error) })
  }

  private flags(): number {
    return this.connection.inTransaction() ? Flag.inTransaction : 0
  }

  private answerEmpty(
    slot: number,
    seq: number,
    options: { readonly why?: number; readonly code?: number; readonly message?: string }
  ): void {
    this.outbox.publishBuffer(slot, seq, emptyPage({ ...options, flags: this.flags() }), this.queueNanos(slot))
  }

  /** Nothing stops it: the request that it ends is one that was stopped, perhaps. */
  private rollback(): void {
    this.connection.end()
    this.connection.exec("ROLLBACK")
  }

  /** A transaction that a statement outside of any has left open is undone before anything else can land in it. */
  private undoLeftOpen(use: number, place: Place): void {
    if (use === Transaction.none && this.connection.inTransaction()) {
      this.rollback()
      const words = new Int32Array(place.bytes.buffer, place.bytes.byteOffset + place.offset, 24)
      words[Header.flags]! &= ~Flag.inTransaction
      if (words[Header.why] === Why.none && words[Header.code] === 0) {
        words[Header.why] = Why.leftTransaction
      }
    }
  }

  private open(slot: number, seq: number): void {
    const id = this.inbox.word(slot, Request.cursor)
    const cursor = new Cursor(
      this.execution(slot, seq, true),
      this.inbox.word(slot, Request.maxRows),
      this.transactionUse(slot)
    )
    this.cursors.set(id, cursor)
    this.answerPage(slot, seq, id, cursor)
  }

  private pull(slot: number, seq: number, id: number): void {
    const cursor = this.cursors.get(id)
    if (cursor === undefined) {
      return this.answerEmpty(slot, seq, { code: 21, message: "the cursor is closed" })
    }
    this.answerPage(slot, seq, id, cursor)
  }

  private answerPage(slot: number, seq: number, id: number, cursor: Cursor): void {
    const queue = this.queueNanos(slot)
    const { execution } = cursor
    // Open before this page and not because of this cursor: somebody else's, not to be undone or held for it.
    cursor.foreign = this.holder !== id && this.connection.inTransaction()
    let place: Place | undefined
    do {
      if (execution.between && this.refuseNext(slot, seq, id, cursor)) {
        if (place !== undefined) {
          this.outbox.release(place)
        }
        return
      }
      this.runAhead(slot, cursor)
      const page = cursor.next()
      if (page !== undefined) {
        if (place !== undefined) {
          this.outbox.release(place)
        }
        this.settle(id, cursor)
        this.tellCounters(execution)
        return this.outbox.publishBuffer(slot, seq, page, queue)
      }
      if (place === undefined) {
        let why: number = Why.none
        place =
          cursor.maxRows <= 16
            ? this.outbox.inline(slot)
            : this.outbox.page(slot, () => (why = this.connection.check()) !== Why.none)
        if (place === undefined) {
          this.end(id)
          return this.answerEmpty(slot, seq, { why })
        }
      }
      place = this.step(execution, cursor.maxRows, place, slot)
    } while (isEmpty(place) && !execution.finished)
    if (execution.finished) {
      this.undoLeftOpen(cursor.use, place)
    }
    this.settle(id, cursor)
    this.tellCounters(execution)
    this.outbox.publish(place, seq, false, queue)
  }

  /** With each page what was counted since the last: nobody knows which one is the last that is read. */
  private tellCounters(execution: Execution): void {
    if (execution.counters !== undefined) {
      this.outbox.counters = execution.counters
      execution.counters = []
    }
  }

  /** The next statement of a script must find what its first found: no transaction of others, or its own. */
  private refuseNext(slot: number, seq: number, id: number, cursor: Cursor): boolean {
    const open = this.connection.inTransaction()
    const gone = cursor.transaction === Transaction.required && !open
    const others = cursor.transaction === Transaction.none && cursor.foreign && open
    if (gone || others) {
      this.end(id)
      this.answerEmpty(
        slot,
        seq,
        gone
          ? { why: Why.noTransaction }
          : { code: 5, message: "the script cannot go on while another fiber's transaction is open on its session" }
      )
    }
    return gone || others
  }

  /** Steps the statements that write and come next to their ends. Not past rows that nobody has asked for yet. */
  private runAhead(slot: number, cursor: Cursor): void {
    const { execution } = cursor
    do {
      try {
        if (!cursor.waits) {
          execution.prepare()
        }
      } catch {
        // Prepared again, and reported, by the next step.
      }
      if (!execution.writes) {
        return
      }
      cursor.runAhead(this.scratch, (scratch) => {
        const place = this.step(execution, cursor.maxRows, scratch, slot)
        if (execution.finished) {
          this.undoLeftOpen(cursor.use, place)
        }
        return { place, bytes: lengthOf(place) }
      })
    } while (!cursor.waits && !execution.finished)
  }

  /** Ends a cursor that has nothing left, and decides whether one that has holds the session. */
  private settle(id: number, cursor: Cursor): void {
    if (cursor.finished) {
      this.cursors.delete(id)
    }
    const holds =
      !cursor.execution.finished &&
      (cursor.execution.writes || (cursor.use === Transaction.none && this.connection.inTransaction()))
    if (holds) {
      this.holder = id
    } else if (this.holder === id) {
      this.holder = undefined
    }
  }

  private end(id: number): void {
    const cursor = this.cursors.get(id)
    if (cursor !== undefined) {
      cursor.execution.abandon()
      this.cursors.delete(id)
      if (cursor.transaction === Transaction.none && this.holder === id && this.connection.inTransaction()) {
        this.rollback()
      }
    }
    if (this.holder === id) {
      this.holder = undefined
    }
  }

  private batch(slot: number, seq: number): void {
    const queue = this.queueNanos(slot)
    const { inbox } = this
    const id = inbox.word(slot, Request.id)
    const external = inbox.word(slot, Request.length) < 0
    const bytes = external ? new Uint8Array(inbox.parametersOf(seq)) : this.bytes
    const offset = external ? 0 : parametersOffset(slot)
    const width = inbox.word(slot, Request.parameters)
    const place = this.outbox.inline(slot)
    try {
      const prepared = this.statements.take(id)
      if (prepared === undefined || prepared.tail !== "") {
        prepared?.finalize()
        throw new EngineError(-1, "sql.many takes exactly one statement")
      }
      if (prepared.parameterCount !== width) {
        this.statements.give(id, prepared)
        throw new ParameterCount(prepared.parameterCount)
      }
      const rows = inbox.word(slot, Request.rows)
      prepared.batch(bytes, offset, width, rows, place.bytes, place.offset, place.capacity)
      this.statements.give(id, prepared)
      this.undoLeftOpen(this.transactionUse(slot), place)
    } catch (error) {
      place.bytes.set(new Uint8Array(this.errorPage(error)), place.offset)
    }
    this.outbox.publish(place, seq, false, queue)
  }

  /** Prepares and looks, runs nothing. Some PRAGMAs act when they are prepared, so none is. */
  private describe(slot: number, seq: number, id: number): void {
    this.inbox.text(id)
    const text = this.statements.textOf(id)
    try {
      if (/^(?:\s|--[^\n]*\n|\/\*[^]*?\*\/)*(?:explain\s+(?:query\s+plan\s+)?)?pragma\b/i.test(text)) {
        throw new EngineError(-2, "a PRAGMA cannot be described: preparing it may already run it")
      }
      const prepared = this.statements.take(id)
      const value =
        prepared === undefined
          ? { parameters: 0, columns: [], routable: false, readonly: true }
          : {
              parameters: prepared.parameterCount,
              columns: prepared.columns(),
              routable: prepared.routable && prepared.tail === "",
              readonly: prepared.readonly
            }
      prepared?.finalize()
      this.outbox.value(slot, seq, value)
    } catch (error) {
      const code = error instanceof EngineError ? error.code : -1
      this.outbox.error(slot, seq, { code, message: error instanceof Error ? error.message : String(error) })
    }
    this.statements.forget(id)
  }

  /** Answers what still waits, finalizes everything, closes the file. */
  private close(slot: number): void {
    const seq = this.inbox.word(slot, Request.seq)
    for (const waiting of this.deferred.splice(0)) {
      this.answerEmpty(waiting.slot, this.inbox.word(waiting.slot, Request.seq), { why: Why.closed })
    }
    // They may have streams open on the other side.
    this.callbacks.begin(slot)
    for (const id of [...this.cursors.keys()]) {
      this.end(id)
    }
    this.statements.clear()
    try {
      this.connection.close()
      this.outbox.value(slot, seq, undefined)
    } catch (error) {
      this.outbox.error(slot, seq, { code: -1, message: error instanceof Error ? error.message : String(error) })
    }
    this.closing = true
  }
}

const parametersOffset = (slot: number) => requestOffset + slot * requestBytes + Request.bytes

const wordsOf = (place: Place) => new Int32Array(place.bytes.buffer, place.bytes.byteOffset + place.offset, 24)

const lengthOf = (place: Place): number => wordsOf(place)[Header.bytes]!

/** A page that tells nothing: the end of a statement without rows in the middle of a script. */
const isEmpty = (place: Place): boolean => {
  const words = wordsOf(place)
  return words[Header.rows] === 0 && (words[Header.flags]! & Flag.columns) === 0
}
