/** Writes calls into the shared ring: a slot for what is small, messages for what is not, one wake for all of a burst. */
import type { MessagePort } from "node:worker_threads"
import {
  cancelWord,
  deadlineOffset,
  Op,
  Request,
  requestBytes,
  RequestFlag,
  requestOffset,
  requestRingOffset,
  requestRingSize,
  slots,
  Transaction,
  Word
} from "./boundary.js"
import type { ToWorker } from "./messages.js"
import type { Call } from "./call.js"
import { origin } from "./clock.js"
import { encode, encodeInto, encodeRows, parameterView } from "./parameters.js"
import { StatementCache, type StatementEntry } from "./statementCache.js"
import type { Waker } from "./waker.js"

const transactionFlag = { none: Transaction.none, required: Transaction.required, free: Transaction.free } as const

export class RequestWriter {
  private readonly control: Int32Array
  private readonly deadlines: BigInt64Array
  private readonly ring: Int32Array
  private readonly words: Int32Array
  private readonly times: Float64Array
  private readonly parameters
  private readonly statements: StatementCache
  private lastSeq = 0
  private head = 0

  constructor(
    memory: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly waker: Waker,
    statementCacheSize: number
  ) {
    this.control = new Int32Array(memory, 0, 1024)
    this.deadlines = new BigInt64Array(memory, deadlineOffset, slots)
    this.ring = new Int32Array(memory, requestRingOffset, requestRingSize)
    this.words = new Int32Array(memory, requestOffset, (slots * requestBytes) / 4)
    this.times = new Float64Array(memory, requestOffset, (slots * requestBytes) / 8)
    this.parameters = parameterView(memory)
    this.statements = new StatementCache(
      statementCacheSize,
      (id, text) => this.post(["text", id, text]),
      (id) => this.post(["forget", id])
    )
  }

  /** Sends a call in this slot. Throws `ParameterError` or `UnsendableText`, and then has sent nothing. */
  send(call: Call, slot: number): void {
    const { request } = call
    const at = slot * (requestBytes / 4)
    const { words } = this
    const length = this.writeParameters(call, slot)
    call.entry = this.entryOf(call)
    call.slot = slot
    call.seq = this.lastSeq = (this.lastSeq % 0x7ffffffe) + 1
    words[at + Request.op] = call.op
    words[at + Request.seq] = call.seq
    words[at + Request.flags] = transactionFlag[request.transaction] | (request.prepared ? 0 : RequestFlag.unprepared)
    if (request.counters === true) {
      words[at + Request.flags]! |= RequestFlag.counters
    }
    words[at + Request.length] = length
    words[at + Request.maxRows] = request.prefetch
    words[at + Request.cursor] = call.cursor
    switch (call.op) {
      case Op.fetch:
      case Op.closeCursor:
        words[at + Request.id] = call.cursor
        break
      case Op.command:
        this.post(["command", call.seq, call.command!], call.transfer)
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
    this.times[slot * (requestBytes / 8) + Request.sentAt / 2] = origin + performance.now() * 1e6
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
      this.parameters.bytes.set(new Uint8Array(call.encoded), at)
      return call.encoded.byteLength
    }
    if (call.parameterRows !== undefined) {
      call.encoded = encodeRows(call.parameterRows)
      return -1
    }
    const params = call.params ?? call.request.params
    const bytes = encodeInto(params, this.parameters, at, room)
    if (bytes < 0) {
      call.encoded = encode(params)
    }
    return bytes
  }

  private publish(slot: number): void {
    Atomics.store(this.ring, this.head & (requestRingSize - 1), slot)
    this.head = (this.head + 1) | 0
    Atomics.store(this.control, Word.requestHead, this.head)
    // Waking a thread costs more than a statement, so only the first of a burst does; the worker is under way when the
    // next are written.
    this.waker.wake(Word.requestHead)
  }

  private post(message: ToWorker, transfer: Array<ArrayBuffer> = []): void {
    this.port.postMessage(message, transfer)
  }
}
