/** What the loop sends: the ring of requests, and the messages that accompany them. */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads"
import {
  Op,
  Request,
  requestBytes,
  RequestFlag,
  requestOffset,
  requestRingOffset,
  requestRingSize,
  slots,
  Word
} from "../boundary.js"
import type { Command, ToWorker } from "../messages.js"
import type { Sleeper } from "./sleeper.js"
import type { Statements } from "./statements.js"

export class Inbox {
  private readonly control: Int32Array
  private readonly ring: Int32Array
  private readonly words: Int32Array
  private readonly times: Float64Array
  private tail = 0
  private readonly parameters = new Map<number, ArrayBuffer>()
  private readonly commands = new Map<number, Command>()
  private readonly results = new Map<number, ArrayBuffer>()

  constructor(
    shared: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly statements: Statements,
    private readonly sleeper: Sleeper
  ) {
    this.control = new Int32Array(shared, 0, 64)
    this.ring = new Int32Array(shared, requestRingOffset, requestRingSize)
    this.words = new Int32Array(shared, requestOffset, (slots * requestBytes) / 4)
    this.times = new Float64Array(shared, requestOffset, (slots * requestBytes) / 8)
  }

  /** The next slot; sleeps until there is one, at most `timeout` milliseconds, then undefined. */
  next(timeout: number): number | undefined {
    for (;;) {
      if (Atomics.load(this.control, Word.requestHead) !== this.tail) {
        const slot = Atomics.load(this.ring, this.tail & (requestRingSize - 1))
        this.tail = (this.tail + 1) | 0
        this.sleeper.woken(this.sentAt(slot))
        return slot
      }
      if (!this.sleeper.sleep(Word.requestHead, this.tail, timeout)) {
        return undefined
      }
    }
  }

  word(slot: number, word: number): number {
    return this.words[slot * (requestBytes / 4) + word]!
  }

  /** When the loop sent it, in ns of `process.hrtime`. */
  sentAt(slot: number): number {
    return this.times[slot * (requestBytes / 8) + Request.sentAt / 2]!
  }

  /** Reads messages until `found`: each was posted before the request that needs it. */
  private read(found: () => boolean): void {
    while (!found()) {
      const received = receiveMessageOnPort(this.port) as { readonly message: ToWorker } | undefined
      if (received === undefined) {
        throw new Error("a request came without its message")
      }
      const { message } = received
      switch (message[0]) {
        case "text":
          this.statements.define(message[1], message[2])
          break
        case "forget":
          this.statements.forget(message[1])
          break
        case "parameters":
          this.parameters.set(message[1], message[2])
          break
        case "command":
          this.commands.set(message[1], message[2])
          break
        case "result":
          this.results.set(message[1], message[2])
          break
      }
    }
  }

  /** Makes sure that the statement's text is known. */
  text(id: number): void {
    this.read(() => this.statements.has(id))
  }

  parametersOf(seq: number): ArrayBuffer {
    this.read(() => this.parameters.has(seq))
    const bytes = this.parameters.get(seq)!
    this.parameters.delete(seq)
    return bytes
  }

  commandOf(seq: number): Command {
    this.read(() => this.commands.has(seq))
    const command = this.commands.get(seq)!
    this.commands.delete(seq)
    return command
  }

  /** The answer of a callback. Those that nobody waited for any more are dropped. */
  resultOf(serial: number): ArrayBuffer {
    this.read(() => this.results.has(serial))
    const bytes = this.results.get(serial)!
    this.results.clear()
    return bytes
  }

  /** Drops what came along with a request that is not run; a text only where it is not to be kept. */
  discard(seq: number, slot: number): void {
    if (this.word(slot, Request.length) < 0) {
      this.parametersOf(seq)
    }
    const unprepared = (this.word(slot, Request.flags) & RequestFlag.unprepared) !== 0
    switch (this.word(slot, Request.op)) {
      case Op.command:
        this.commandOf(seq)
        return
      case Op.run:
      case Op.open:
      case Op.batch:
        return unprepared ? this.dropText(slot) : undefined
      case Op.describe:
        return this.dropText(slot)
    }
  }

  private dropText(slot: number): void {
    const id = this.word(slot, Request.id)
    this.text(id)
    this.statements.forget(id)
  }
}
