/** What the worker answers: pages in the reply slot, in a page slot or as a message, and the ring that announces them. */
import type { MessagePort } from "node:worker_threads"
import {
  pageBytes,
  pageOffset,
  pageSlots,
  Reply,
  replyBytes,
  replyOffset,
  replyRingOffset,
  replyRingSize,
  Word
} from "../boundary.js"
import type { ChangesMessage, ErrorMessage, ToLoop } from "../messages.js"
import { Flag, Header, Header8, headerBytes } from "../page.js"
import { type Place, wordsOf } from "./place.js"
import type { Sleeper } from "./sleeper.js"

export class Outbox {
  private readonly control: Int32Array
  private readonly ring: Int32Array
  private readonly shared: Uint8Array
  private head = 0
  private changes = 0
  private counted = 0
  /** What is to be told before the next page. */
  counters: ReadonlyArray<number> | undefined
  /** What is to be told before each answer; undefined: nobody listens. */
  committed: (() => ChangesMessage | undefined) | undefined

  constructor(
    shared: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly sleeper: Sleeper,
    private readonly wake: () => void
  ) {
    this.control = new Int32Array(shared, 0, 64)
    this.ring = new Int32Array(shared, replyRingOffset, replyRingSize)
    this.shared = new Uint8Array(shared)
  }

  inline(slot: number): Place {
    return {
      bytes: this.shared,
      offset: replyOffset + slot * replyBytes,
      capacity: replyBytes,
      reply: Reply.inline | slot
    }
  }

  /** A free page slot; waits for the loop to give one back. Undefined when `stop` says so meanwhile. */
  page(slot: number, stop: () => boolean): Place | undefined {
    for (;;) {
      const credit = Atomics.load(this.control, Word.credit)
      for (let i = 0; i < pageSlots; i++) {
        if (Atomics.load(this.control, Word.page + i) === 0) {
          Atomics.store(this.control, Word.page + i, 1)
          return {
            bytes: this.shared,
            offset: pageOffset + i * pageBytes,
            capacity: pageBytes,
            reply: Reply.page | (i << 12) | slot
          }
        }
      }
      if (stop()) {
        return undefined
      }
      // Cancel bumps the credit word, too; a deadline is looked at ten times a second.
      this.sleeper.sleep(Word.credit, credit, 100)
    }
  }

  /** Memory of its own, for a row that fits nowhere else. */
  own(slot: number, bytes: number): Place {
    const buffer = new ArrayBuffer((bytes + 7) & ~7)
    return { bytes: new Uint8Array(buffer), offset: 0, capacity: buffer.byteLength, reply: Reply.buffer | slot }
  }

  /** Gives an unused page slot back. */
  release(place: Place): void {
    if ((place.reply & Reply.kind) === Reply.page) {
      Atomics.store(this.control, Word.page + (place.reply >> 12), 0)
    }
  }

  /** Completes a page's header and hands it to the loop. */
  publish(place: Place, seq: number, more: boolean, queueNanos: number): void {
    const words = wordsOf(place)
    words[Header.seq] = seq
    words[Header.flags] = (words[Header.flags]! & ~Flag.more) | (more ? Flag.more : 0)
    new Float64Array(words.buffer, words.byteOffset, headerBytes / 8)[Header8.queueNanos] = queueNanos
    if (this.counters !== undefined) {
      this.post(["counters", ++this.counted, this.counters])
      this.counters = undefined
      this.enter(Reply.counters)
    }
    if ((place.reply & Reply.kind) === Reply.buffer) {
      const own = place.bytes.buffer as ArrayBuffer
      this.post(["buffer", seq, own], [own])
    }
    this.announce(place.reply)
  }

  /** Hands over a page that lies in memory of its own, in the reply slot if it fits. */
  publishBuffer(slot: number, seq: number, page: ArrayBuffer, queueNanos: number): void {
    if (page.byteLength <= replyBytes) {
      const place = this.inline(slot)
      this.shared.set(new Uint8Array(page), place.offset)
      this.publish(place, seq, false, queueNanos)
    } else {
      const place = { bytes: new Uint8Array(page), offset: 0, capacity: page.byteLength, reply: Reply.buffer | slot }
      this.publish(place, seq, false, queueNanos)
    }
  }

  /** `inTransaction`: whether one is open now. */
  value(slot: number, seq: number, value: unknown, inTransaction: boolean, transfer: Array<ArrayBuffer> = []): void {
    this.post(["value", seq, value, inTransaction], transfer)
    this.announce(Reply.message | slot)
  }

  error(slot: number, seq: number, error: ErrorMessage, inTransaction: boolean): void {
    this.post(["error", seq, error, inTransaction])
    this.announce(Reply.message | slot)
  }

  /** Announces the callback whose arguments lie in its area. */
  ask(slot: number): void {
    this.enter(Reply.callback | slot)
  }

  post(message: ToLoop, transfer: Array<ArrayBuffer> = []): void {
    this.port.postMessage(message, transfer)
  }

  private announce(reply: number): void {
    const changes = this.committed?.()
    if (changes !== undefined) {
      this.post(["changes", ++this.changes, changes], [changes.entries])
      this.enter(Reply.changes)
    }
    this.enter(reply)
  }

  private enter(reply: number): void {
    const { control } = this
    // The ring holds twice the slots and all page slots, so it is only ever full when the loop has not drained for long.
    while (((this.head - Atomics.load(control, Word.replyTail)) | 0) >= replyRingSize) {
      this.sleeper.sleep(Word.credit, Atomics.load(control, Word.credit), 10)
    }
    Atomics.store(this.ring, this.head & (replyRingSize - 1), reply)
    this.head = (this.head + 1) | 0
    Atomics.store(control, Word.replyHead, this.head)
    if (Atomics.exchange(control, Word.wakePending, 1) === 0) {
      this.wake()
    }
  }
}
