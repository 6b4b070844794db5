/** Replies and the messages that belong to them come by different ways. */
import { MessageChannel } from "node:worker_threads"
import { expect, it } from "vitest"
import { pageSlots, Reply, replyRingOffset, replyRingSize, sharedBytes, Word } from "../src/internal/boundary.js"
import type { ToLoop } from "../src/internal/messages.js"
import { ReplyReader } from "../src/internal/replyReader.js"
import { Waker } from "../src/internal/waker.js"

/** A reader of memory of its own; `took` is told of every page, by its first byte if it came as a message. */
const setUp = (took: (first: number) => void) => {
  const memory = new SharedArrayBuffer(sharedBytes)
  const control = new Int32Array(memory, 0, 64)
  const ring = new Int32Array(memory, replyRingOffset, replyRingSize)
  const { port1, port2 } = new MessageChannel()
  const never = () => expect.unreachable()
  const reader = new ReplyReader(memory, port1, new Waker(memory, undefined), {
    seqOf: () => 7,
    page: (_slot, source) => took(source.owned ? source.bytes[0]! : 0),
    value: never,
    error: never,
    callback: never,
    counters: never,
    changes: never,
    waits: () => false
  })
  const reply = (...replies: ReadonlyArray<number>) => {
    replies.forEach((one, i) => (ring[i] = one))
    Atomics.store(control, Word.replyHead, replies.length)
  }
  return { port: port1, reader, reply, worker: port2 }
}

const inPage = (page: number) => Reply.page | (page << 12) | 1

it("messages of one request that come before their replies are read keep their order", async () => {
  const taken: Array<number> = []
  const { promise, resolve } = withResolvers()
  const { port, reply, worker } = setUp((first) => {
    taken.push(first)
    if (taken.length === pageSlots + 3) resolve()
  })
  // As many pages as one turn takes, and behind them rows of one statement that fit into none.
  reply(...Array.from({ length: pageSlots }, (_, page) => inPage(page)), ...[1, 2, 3].map(() => Reply.buffer | 1))
  for (const n of [1, 2, 3]) {
    const bytes = new ArrayBuffer(8)
    new Uint8Array(bytes).fill(n)
    worker.postMessage(["buffer", 7, bytes] satisfies ToLoop, [bytes])
  }
  await promise
  expect(taken).toEqual([...new Array<number>(pageSlots).fill(0), 1, 2, 3])
  port.close()
})

it("no turn follows its end", async () => {
  let taken = 0
  const { port, reader, reply } = setUp(() => taken++)
  reader.woken()
  reader.end()
  reply(inPage(0))
  for (let turns = 0; turns < 5; turns++) {
    await new Promise(setImmediate)
  }
  expect(taken).toBe(0)
  port.close()
})

const withResolvers = () => {
  let resolve!: () => void
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}
