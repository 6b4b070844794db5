/** Takes replies off the shared ring, in order, with the messages that belong to some of them. */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads"
import {
  pageBytes,
  pageOffset,
  Reply,
  replyBytes,
  replyOffset,
  replyRingOffset,
  replyRingSize,
  Word
} from "./boundary.js"
import type { ChangesMessage, ErrorMessage, ToLoop } from "./messages.js"
import { pageEngineNanos, type PageSource, views } from "./decoder.js"
import { TurnPatience } from "./turnPatience.js"
import type { Waker } from "./waker.js"

/** Large pages decoded in one go before the event loop gets its turn again. */
const pagesPerTurn = 4

/** Who gets what was taken. */
export interface Taker {
  /** The number of the request in this slot. */
  readonly seqOf: (slot: number) => number
  readonly page: (slot: number, source: PageSource, base: number) => void
  /** `inTransaction`: as of this answer. */
  readonly value: (slot: number, value: unknown, inTransaction: boolean) => void
  readonly error: (slot: number, error: ErrorMessage, inTransaction: boolean) => void
  /** A callback to run; `long` gives arguments that came as a message. */
  readonly callback: (slot: number, long: (serial: number) => ArrayBuffer) => void
  /** What its statement has counted for the page that comes next. */
  readonly counters: (slot: number, counters: ReadonlyArray<number>) => void
  /** Rows that were changed by what has been committed. */
  readonly changes: (changes: ChangesMessage) => void
  /** Whether a reply is to come. */
  readonly waits: () => boolean
}

export class ReplyReader {
  private readonly control: Int32Array
  private readonly ring: Int32Array
  private readonly shared: PageSource
  private tail = 0
  private turning: NodeJS.Immediate | undefined
  private readonly patience: TurnPatience
  /** Pages and values that came as messages before their reply was drained: of one request in their order. */
  private readonly messages = new Map<number, Array<ToLoop>>()
  /** The same of callbacks, by their serial numbers. */
  private readonly arguments = new Map<number, ArrayBuffer>()
  private readonly changes = new Map<number, ChangesMessage>()
  private lastChanges = 0
  /** Of the answer that comes next: both are told in one go, also if the worker is only writing the answer. */
  private committed: ChangesMessage | undefined
  private readonly counters = new Map<number, ReadonlyArray<number>>()
  private lastCounters = 0
  /** Of the page that comes next; what its request has committed may come between them. */
  private counted: ReadonlyArray<number> | undefined

  constructor(
    memory: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly waker: Waker,
    private readonly taker: Taker
  ) {
    this.control = new Int32Array(memory, 0, 1024)
    this.ring = new Int32Array(memory, replyRingOffset, replyRingSize)
    this.patience = new TurnPatience(this.control)
    this.shared = views(memory)
    port.on("message", (message: ToLoop) => this.receive(message))
  }

  private receive(message: ToLoop): void {
    if (message !== null) {
      this.keep(message)
    }
    this.woken()
  }

  /**
   * The worker has announced something. What it answers while our fibers run is taken in this turn of the event loop and
   * the next ones, without a wake for each; it is to wake us again after a turn in which there was nothing.
   */
  woken(): void {
    this.drain(pagesPerTurn)
    this.patience.begin()
    this.again()
  }

  /**
   * A request has been sent. If its answer may come sooner than being woken takes, the event loop turns until it is there:
   * it serves everybody else meanwhile, and neither thread pays for a wake.
   */
  sent(): void {
    if (this.turning === undefined && this.patience.begin()) {
      Atomics.store(this.control, Word.wakePending, 1)
      this.again()
    }
  }

  private again(): void {
    this.turning ??= setImmediate(this.turn)
  }

  /** The worker is gone, and what could be read of its answers has been. */
  end(): void {
    clearImmediate(this.turning)
    this.turning = undefined
  }

  private readonly turn = (): void => {
    this.turning = undefined
    const { tail } = this
    this.drain(pagesPerTurn)
    if (this.tail !== tail) {
      this.patience.came()
      return this.again()
    }
    if (this.taker.waits() && this.patience.lasts()) {
      return this.again()
    }
    Atomics.store(this.control, Word.wakePending, 0)
    this.drain(pagesPerTurn)
  }

  private keep(message: ToLoop): void {
    switch (message?.[0]) {
      case "buffer":
      case "value":
      case "error":
        this.messages.set(message[1], [...(this.messages.get(message[1]) ?? []), message])
        break
      case "arguments":
        // Those of a question that was never read are nobody's: there is one at a time.
        this.arguments.clear()
        this.arguments.set(message[1], message[2])
        break
      case "counters":
        this.counters.set(message[1], message[2])
        break
      case "changes":
        this.changes.set(message[1], message[2])
        break
    }
  }

  /** The message that belongs to a reply: it was posted before the reply was announced. */
  private taken<A>(messages: Map<number, A>, number: number): A {
    for (;;) {
      const message = messages.get(number)
      if (message !== undefined) {
        messages.delete(number)
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

  private message(seq: number): ToLoop {
    const [first, ...rest] = this.taken(this.messages, seq)
    if (rest.length > 0) {
      this.messages.set(seq, rest)
    }
    return first!
  }

  /** Takes replies in order. After `budget` large pages the rest waits for the next turn of the event loop. */
  drain(budget: number): void {
    const { control } = this
    let pages = 0
    while (this.tail !== Atomics.load(control, Word.replyHead)) {
      if (pages >= budget) {
        return this.again()
      }
      const reply = Atomics.load(this.ring, this.tail & (replyRingSize - 1))
      this.tail = (this.tail + 1) | 0
      Atomics.store(control, Word.replyTail, this.tail)
      if ((reply & Reply.kind) !== Reply.inline) {
        pages++
      }
      this.take(reply)
    }
  }

  private page(slot: number, source: PageSource, base: number): void {
    const { counted } = this
    if (counted !== undefined) {
      this.counted = undefined
      this.taker.counters(slot, counted)
    }
    this.patience.expect(pageEngineNanos(source, base))
    this.taker.page(slot, source, base)
  }

  private take(reply: number): void {
    const { taker } = this
    const slot = reply & 0xff
    const { committed } = this
    if (committed !== undefined) {
      this.committed = undefined
      taker.changes(committed)
    }
    switch (reply & Reply.kind) {
      case Reply.inline:
        return this.page(slot, this.shared, replyOffset + slot * replyBytes)
      case Reply.page: {
        const page = reply >> 12
        this.page(slot, this.shared, pageOffset + page * pageBytes)
        Atomics.store(this.control, Word.page + page, 0)
        Atomics.add(this.control, Word.credit, 1)
        this.waker.wake(Word.credit)
        return
      }
      case Reply.buffer: {
        const message = this.message(taker.seqOf(slot)) as readonly ["buffer", number, ArrayBuffer]
        return this.page(slot, views(message[2], true), 0)
      }
      case Reply.callback:
        // Where one row asks, the next one does.
        this.patience.expect(0)
        return taker.callback(slot, (serial) => this.taken(this.arguments, serial))
      case Reply.counters:
        this.counted = this.taken(this.counters, ++this.lastCounters)
        return
      case Reply.changes:
        this.committed = this.taken(this.changes, ++this.lastChanges)
        return
      default: {
        const message = this.message(taker.seqOf(slot)) as
          readonly ["value", number, unknown, boolean] | readonly ["error", number, ErrorMessage, boolean]
        return message[0] === "error"
          ? taker.error(slot, message[2], message[3])
          : taker.value(slot, message[2], message[3])
      }
    }
  }
}
