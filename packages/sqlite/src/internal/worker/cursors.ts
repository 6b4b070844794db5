/** The results that are handed out page by page, and which of them holds the session. */
import { Op, Request, Transaction } from "../boundary.js"
import { Flag, Header, Why } from "../page.js"
import { ResultCode } from "../resultCode.js"
import { Cursor } from "./cursor.js"
import type { Connection } from "./engine.js"
import type { Inbox } from "./inbox.js"
import type { Outbox } from "./outbox.js"
import { isEmpty, type Place, wordsOf } from "./place.js"
import type { Runner } from "./runner.js"

export class Cursors {
  private readonly cursors = new Map<number, Cursor>()
  /** The one that holds the session: it writes and has not ended, or it has a transaction open. */
  private holder: number | undefined
  private readonly scratch: Place

  constructor(
    private readonly connection: Connection,
    private readonly runner: Runner,
    private readonly inbox: Inbox,
    private readonly outbox: Outbox
  ) {
    const memory = new ArrayBuffer(256 * 1024)
    this.scratch = { bytes: new Uint8Array(memory), offset: 0, capacity: memory.byteLength, reply: 0 }
  }

  /** Only cursors may be served meanwhile. */
  get holdSession(): boolean {
    return this.holder !== undefined
  }

  /** Starts one, and answers with its first page. */
  open(slot: number, seq: number): void {
    const id = this.inbox.word(slot, Request.cursor)
    const cursor = new Cursor(
      this.runner.execution(slot, seq, true),
      this.inbox.word(slot, Request.maxRows),
      this.runner.transactionUse(slot)
    )
    this.cursors.set(id, cursor)
    this.answerPage(slot, seq, id, cursor)
  }

  /** The next page. */
  pull(slot: number, seq: number, id: number): void {
    const cursor = this.cursors.get(id)
    if (cursor === undefined) {
      return this.runner.answerEmpty(slot, seq, { code: ResultCode.misuse, message: "the cursor is closed" })
    }
    this.answerPage(slot, seq, id, cursor)
  }

  private answerPage(slot: number, seq: number, id: number, cursor: Cursor): void {
    const queue = this.runner.queueNanos(slot)
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
        this.runner.tellCounters(execution)
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
          return this.runner.answerEmpty(slot, seq, { why }, execution.wrote)
        }
      }
      place = this.runner.step(execution, cursor.maxRows, place, slot)
    } while (isEmpty(place) && !execution.finished)
    if (execution.finished) {
      this.runner.undoLeftOpen(cursor.use, place)
    }
    this.settle(id, cursor)
    if (this.runner.hidden && this.holder !== id) {
      wordsOf(place)[Header.flags]! &= ~Flag.inTransaction
    }
    this.runner.tellCounters(execution)
    this.outbox.publish(place, seq, false, queue)
  }

  /** The next statement of a script must find what its first found: no transaction of others, or its own. */
  private refuseNext(slot: number, seq: number, id: number, cursor: Cursor): boolean {
    const open = this.connection.inTransaction()
    const gone = cursor.transaction === Transaction.required && !open
    const others = cursor.transaction === Transaction.none && cursor.foreign && open
    if (gone || others) {
      this.end(id)
      this.runner.answerEmpty(
        slot,
        seq,
        gone
          ? { why: Why.noTransaction }
          : {
              code: ResultCode.busy,
              message: "the script cannot go on while another fiber's transaction is open on its session"
            },
        cursor.execution.wrote
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
        const place = this.runner.step(execution, cursor.maxRows, scratch, slot)
        if (execution.finished) {
          this.runner.undoLeftOpen(cursor.use, place)
        }
        return place
      })
    } while (!cursor.waits && !execution.finished)
  }

  /** Ends a cursor that has nothing left, and decides whether one that has holds the session. */
  private settle(id: number, cursor: Cursor): void {
    if (cursor.finished) {
      this.cursors.delete(id)
    }
    const { execution } = cursor
    const own = !execution.finished && cursor.use === Transaction.none && this.connection.inTransaction()
    if (own || (!execution.finished && execution.writes)) {
      this.holder = id
      this.runner.hidden = own
    } else {
      this.letGo(id)
    }
  }

  private letGo(id: number): void {
    if (this.holder === id) {
      this.holder = undefined
      this.runner.hidden = false
    }
  }

  /** Ends one, with the transaction that it has left open. */
  end(id: number): void {
    const cursor = this.cursors.get(id)
    if (cursor !== undefined) {
      cursor.execution.abandon()
      this.cursors.delete(id)
      if (cursor.transaction === Transaction.none && this.holder === id && this.connection.inTransaction()) {
        this.runner.rollback()
      }
    }
    this.letGo(id)
  }

  /**
   * A pull that is stopped before it begins ends its cursor all the same: the rows it would have got have no taker.
   * Whether its statements before have written.
   */
  refusePull(slot: number): boolean {
    if (this.inbox.word(slot, Request.op) !== Op.fetch) {
      return false
    }
    const id = this.inbox.word(slot, Request.id)
    const wrote = this.cursors.get(id)?.execution.wrote === true
    this.end(id)
    return wrote
  }

  endAll(): void {
    for (const id of [...this.cursors.keys()]) {
      this.end(id)
    }
  }
}
