/** A result handed out page by page. */
import { Transaction } from "../boundary.js"
import type { Execution } from "./execution.js"
import { isEmpty, lengthOf, type Place } from "./place.js"

/** Bytes of pages that a statement which writes may have waiting in the worker before it holds the session. */
const waitingBytes = 16 * 1024 * 1024

export class Cursor {
  /** Pages stepped ahead of their pulls, and what they weigh. */
  private readonly waiting: Array<ArrayBuffer> = []
  private bytes = 0
  /** The transaction that is open on the session is not this cursor's doing. */
  foreign = false

  constructor(
    readonly execution: Execution,
    readonly maxRows: number,
    readonly transaction: number
  ) {}

  /** How it stands to the transaction that is open, if one is. */
  get use(): number {
    return this.foreign ? Transaction.free : this.transaction
  }

  get finished(): boolean {
    return this.execution.finished && this.waiting.length === 0
  }

  get waits(): boolean {
    return this.waiting.length > 0
  }

  next(): ArrayBuffer | undefined {
    const page = this.waiting.shift()
    this.bytes -= page?.byteLength ?? 0
    return page
  }

  /**
   * Steps a statement that writes to its end, before the session does anything else: a neighbour's acknowledged write
   * would otherwise be undone with it, should it fail or be abandoned. Past the limit it stops, and holds the session.
   */
  runAhead(scratch: Place, step: (place: Place) => Place): void {
    while (!this.execution.finished && this.execution.writes && this.bytes < waitingBytes) {
      const place = step(scratch)
      if (this.execution.finished || !isEmpty(place)) {
        const page = place.bytes.slice(place.offset, place.offset + lengthOf(place)).buffer
        this.waiting.push(page)
        this.bytes += page.byteLength
      }
    }
  }
}
