/** Runs statements on the connection, each to its end or page by page; what goes wrong is told in a page, too. */
import { Request, RequestFlag, requestBytes, requestOffset, Transaction } from "../boundary.js"
import { Flag, Header, Why } from "../page.js"
import { OwnCode, ResultCode } from "../resultCode.js"
import { emptyPage } from "./answer.js"
import { type Connection, EngineError, errorMessage } from "./engine.js"
import { Execution, ParameterCount } from "./execution.js"
import type { Inbox } from "./inbox.js"
import type { Outbox } from "./outbox.js"
import { isEmpty, type Place, wordsOf } from "./place.js"
import type { Statements } from "./statements.js"

const noRowLimit = 0x7fffffff

export class Runner {
  private readonly bytes: Uint8Array
  /** A script outside of transactions has one of its own open: those who wait for its end are not told of it, it is not theirs. */
  hidden = false

  constructor(
    shared: SharedArrayBuffer,
    private readonly connection: Connection,
    private readonly statements: Statements,
    private readonly inbox: Inbox,
    private readonly outbox: Outbox
  ) {
    this.bytes = new Uint8Array(shared)
  }

  /** How it stands to transactions, see `Transaction`. */
  transactionUse(slot: number): number {
    return this.inbox.word(slot, Request.flags) & RequestFlag.transaction
  }

  /** How long it has waited since it was sent. */
  queueNanos(slot: number): number {
    return Math.max(0, Number(process.hrtime.bigint()) - this.inbox.sentAt(slot))
  }

  /** Where they are: in the slot, or in a message. */
  private parameters(slot: number, seq: number): { readonly bytes: Uint8Array; readonly offset: number } {
    return this.inbox.word(slot, Request.length) < 0
      ? { bytes: new Uint8Array(this.inbox.parametersOf(seq)), offset: 0 }
      : { bytes: this.bytes, offset: requestOffset + slot * requestBytes + Request.bytes }
  }

  /** The statement of a request, ready to be stepped; `keep`: over several pages. */
  execution(slot: number, seq: number, keep: boolean): Execution {
    const { inbox } = this
    const { bytes, offset } = this.parameters(slot, seq)
    const execution = new Execution(
      this.connection,
      this.statements,
      inbox.word(slot, Request.id),
      bytes,
      offset,
      inbox.word(slot, Request.parameters),
      keep
    )
    if ((inbox.word(slot, Request.flags) & RequestFlag.counters) !== 0) {
      execution.counters = []
    }
    return execution
  }

  /** A statement to its end, all its rows in as many pages as it takes. */
  run(slot: number, seq: number): void {
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
      if (use === Transaction.required && execution.between && !this.connection.inTransaction()) {
        // A statement of the text has ended the transaction: what follows would run outside of it, or hide that.
        execution.abandon()
        const words = wordsOf(place)
        words[Header.flags]! |= Flag.done | Flag.partial
        words[Header.why] = Why.noTransaction
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
        return this.answerEmpty(slot, seq, { why }, execution.wrote)
      }
      place = room
    }
  }

  /** Steps once into the place, or into memory of its own when the row needs more. What goes wrong is in the page. */
  step(execution: Execution, maxRows: number, place: Place, slot: number): Place {
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
      const page = this.errorPage(error, execution.wrote ? Flag.partial : 0)
      place.bytes.set(new Uint8Array(page), place.offset)
      return place
    }
  }

  private errorPage(error: unknown, more = 0): ArrayBuffer {
    const flags = this.flags() | more
    if (error instanceof ParameterCount) {
      return emptyPage({ flags, why: Why.parameters, detail: error.wanted })
    }
    const why = this.connection.check()
    if (error instanceof EngineError) {
      // No code: a text without any statement.
      return error.code === ResultCode.ok
        ? emptyPage({ flags: flags | Flag.readonly })
        : emptyPage({
            flags,
            ...errorMessage(error),
            why: error.code === ResultCode.interrupt ? why : Why.none
          })
    }
    return emptyPage({ flags, ...errorMessage(error) })
  }

  private flags(): number {
    return !this.hidden && this.connection.inTransaction() ? Flag.inTransaction : 0
  }

  answerEmpty(
    slot: number,
    seq: number,
    options: { readonly why?: number; readonly code?: number; readonly message?: string },
    /** Statements of the text before have written. */
    partial = false
  ): void {
    const flags = this.flags() | (partial ? Flag.partial : 0)
    this.outbox.publishBuffer(slot, seq, emptyPage({ ...options, flags }), this.queueNanos(slot))
  }

  /** Nothing stops it: the request that it ends is one that was stopped, perhaps. */
  rollback(): void {
    this.connection.end()
    this.connection.exec("ROLLBACK")
  }

  /** A transaction that a statement outside of any has left open is undone before anything else can land in it. */
  undoLeftOpen(use: number, place: Place): void {
    if (use === Transaction.none && this.connection.inTransaction()) {
      this.rollback()
      const words = wordsOf(place)
      words[Header.flags]! &= ~Flag.inTransaction
      if (words[Header.why] === Why.none && words[Header.code] === 0) {
        words[Header.why] = Why.leftTransaction
      }
    }
  }

  /** One statement with many rows of parameters. */
  batch(slot: number, seq: number): void {
    const queue = this.queueNanos(slot)
    const { inbox } = this
    const id = inbox.word(slot, Request.id)
    const { bytes, offset } = this.parameters(slot, seq)
    const width = inbox.word(slot, Request.parameters)
    const place = this.outbox.inline(slot)
    try {
      const prepared = this.statements.take(id)
      if (prepared === undefined || prepared.tail !== "") {
        prepared?.finalize()
        throw new EngineError(OwnCode.failed, "sql.many takes exactly one statement")
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

  /** With each page what was counted since the last: nobody knows which one is the last that is read. */
  tellCounters(execution: Execution): void {
    if (execution.counters !== undefined) {
      this.outbox.counters = execution.counters
      execution.counters = []
    }
  }

  /** Prepares and looks, runs nothing. Some PRAGMAs act when they are prepared, so none is. */
  describe(slot: number, seq: number, id: number): void {
    this.inbox.text(id)
    const text = this.statements.textOf(id)
    try {
      if (/^(?:\s|--[^\n]*\n|\/\*[^]*?\*\/)*(?:explain\s+(?:query\s+plan\s+)?)?pragma\b/i.test(text)) {
        throw new EngineError(OwnCode.unsupported, "a PRAGMA cannot be described: preparing it may already run it")
      }
      const prepared = this.statements.take(id)
      if (prepared !== undefined && prepared.tail !== "") {
        prepared.finalize()
        throw new EngineError(
          OwnCode.unsupported,
          "a text of several statements cannot be described: the later ones depend on the first"
        )
      }
      const value =
        prepared === undefined
          ? { parameters: 0, columns: [], routable: false, readonly: true }
          : {
              parameters: prepared.parameterCount,
              columns: prepared.columns(),
              routable: prepared.routable,
              readonly: prepared.readonly
            }
      prepared?.finalize()
      this.outbox.value(slot, seq, value, this.connection.inTransaction())
    } catch (error) {
      this.outbox.error(slot, seq, errorMessage(error), this.connection.inTransaction())
    }
    this.statements.forget(id)
  }
}
