/** Which calls are in the slots of the shared memory, and which wait for one, in order. */
import type { SqlError } from "@effect/sql/SqlError"
import { Op, slots, statementSlots } from "./boundary.js"
import type { Call } from "./call.js"
import * as failure from "./failure.js"
import { encode, encodeRows, lasting } from "./parameters.js"

const isCursors = (call: Call): boolean => call.op === Op.fetch || call.op === Op.closeCursor

/** The caller may change its array and its buffers while the statement waits. Throws `ParameterError`. */
const keepParameters = (call: Call): void => {
  const { params } = call.request
  const bytes = call.parameterRows === undefined ? lasting(params) : -1
  if (bytes >= 0) {
    call.params = params.slice()
    call.waiting = bytes
  } else {
    call.encoded = call.parameterRows === undefined ? encode(params) : encodeRows(call.parameterRows)
    call.waiting = call.encoded.byteLength
  }
}

export class Slots {
  private readonly calls: Array<Call | undefined> = new Array<Call | undefined>(slots).fill(undefined)
  private readonly freeStatementSlots: Array<number> = []
  private readonly freeCursorSlots: Array<number> = []
  private readonly queue: Array<Call> = []
  private readonly cursorQueue: Array<Call> = []
  private queuedBytes = 0

  constructor(
    private readonly maxQueued: number,
    private readonly maxQueuedBytes: number
  ) {
    for (let slot = slots - 1; slot >= 0; slot--) {
      ;(slot < statementSlots ? this.freeStatementSlots : this.freeCursorSlots).push(slot)
    }
  }

  /** The call that was sent in it and is not answered. */
  at(slot: number): Call | undefined {
    return this.calls[slot]
  }

  /** A slot for a call that has come; undefined where it is to wait. */
  free(call: Call): number | undefined {
    if (isCursors(call)) {
      return this.cursorQueue.length === 0 ? this.freeCursorSlots.pop() : undefined
    }
    return this.queue.length === 0 ? this.freeStatementSlots.pop() : undefined
  }

  put(call: Call, slot: number): void {
    this.calls[slot] = call
  }

  /** Takes a slot back; answers who gets it next. */
  giveBack(slot: number): Call | undefined {
    this.calls[slot] = undefined
    const ofCursors = slot >= statementSlots
    const next = (ofCursors ? this.cursorQueue : this.queue).shift()
    if (next === undefined) {
      ;(ofCursors ? this.freeCursorSlots : this.freeStatementSlots).push(slot)
    } else {
      this.queuedBytes -= next.waiting
    }
    return next
  }

  /** Lets it wait. Answers the failure of one that there is no room for; throws `ParameterError`. */
  wait(call: Call): SqlError | undefined {
    if (isCursors(call)) {
      this.cursorQueue.push(call)
      return undefined
    }
    keepParameters(call)
    if (call.op !== Op.close) {
      if (this.queue.length >= this.maxQueued) {
        return failure.overloaded(`${this.maxQueued} statements wait`, call.request.text)
      }
      if (this.queuedBytes + call.waiting > this.maxQueuedBytes) {
        return failure.overloaded(`${this.maxQueuedBytes} bytes wait`, call.request.text)
      }
      this.queuedBytes += call.waiting
    }
    this.queue.push(call)
    return undefined
  }

  /** It is to wait no more. */
  leave(call: Call): void {
    const queue = isCursors(call) ? this.cursorQueue : this.queue
    const index = queue.indexOf(call)
    if (index >= 0) {
      queue.splice(index, 1)
      this.queuedBytes -= call.waiting
    }
  }

  /** All that wait; from here on they do not. */
  dismiss(): Array<Call> {
    this.queuedBytes = 0
    return [...this.cursorQueue.splice(0), ...this.queue.splice(0)]
  }

  /** All that were sent and are not answered. */
  sent(): Array<Call> {
    return this.calls.filter((call) => call !== undefined)
  }

  all(): Array<Call> {
    return [...this.cursorQueue, ...this.queue, ...this.sent()]
  }
}
