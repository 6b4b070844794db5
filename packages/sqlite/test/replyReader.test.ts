/** Replies and the messages that belong to them come by different ways. */
import { MessageChannel } from "node:worker_threads"
import { expect, it } from "vitest"
import {
  pageSlots,
  Reply,
  replyRingOffset,
  replyRingSize,
  sharedBytes,
  type ToLoop,
  Word
} from "../src/internal/boundary.js"
import { ReplyReader } from "../src/internal/replyReader.js"
import { Waker } from "../src/internal/waker.js"

it("messages of one request that come before their replies are read keep their order", async () => {
  const memory = new SharedArrayBuffer(sharedBytes)
  const control = new Int32Array(memory, 0, 64)
  const ring = new Int32Array(memory, replyRingOffset, replyRingSize)
  const { port1, port2 } = new MessageChannel()
  const taken: Array<number> = []
  const never = () => expect.unreachable()
  const done = new Promise<void>((resolve) => {
    const reader = new ReplyReader(memory, port1, new Waker(memory, undefined), {
      seqOf: () => 7,
      page: (_slot, source) => {
        taken.push(source.owned ? source.bytes[0]! : 0)
        if (taken.length === pageSlots + 3) resolve()
      },
      value: never,
      error: never,
      callback: never,
      counters: never,
      changes: never
    })
    expect(reader).toBeDefined()
  })
  // As many pages as one turn takes, and behind them rows of one statement that fit into none.
  const replies = [
    ...Array.from({ length: pageSlots }, (_, page) => Reply.page | (page << 12) | 1),
    ...[1, 2, 3].map(() => Reply.buffer | 1)
  ]
  replies.forEach((reply, i) => (ring[i] = reply))
  Atomics.store(control, Word.replyHead, replies.length)
  for (const n of [1, 2, 3]) {
    const bytes = new ArrayBuffer(8)
    new Uint8Array(bytes).fill(n)
    port2.postMessage(["buffer", 7, bytes] satisfies ToLoop, [bytes])
  }
  await done
  expect(taken).toEqual([...new Array<number>(pageSlots).fill(0), 1, 2, 3])
  port1.close()
})
