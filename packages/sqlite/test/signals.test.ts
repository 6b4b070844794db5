/** How the two threads of a session sleep and wake each other: by the pump, and without it. */
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { afterEach, describe, expect, it } from "vitest"
import { Sleep, sleepWord, Word } from "../src/internal/boundary.js"
import { Lookers } from "../src/internal/lookers.js"
import { Waker } from "../src/internal/waker.js"
import { carrier } from "../src/internal/carrier.js"
import { pin } from "../src/internal/pump.js"
import { Sleeper } from "../src/internal/worker/sleeper.js"

const pump = fileURLToPath(new URL("../native/build/pump.node", import.meta.url))
const signals = pin(carrier())!.pump
const workers: Array<Worker> = []

afterEach(() => Promise.all(workers.splice(0).map((worker) => worker.terminate())))

/** A worker with the pump. It is listened to from the start: one that ends at once says everything in one go. */
const inWorker = (source: string, workerData: object = {}) => {
  const worker = new Worker(
    `const { workerData, parentPort } = require("node:worker_threads")
     const pump = require(workerData.pump)
     ${source}`,
    { eval: true, workerData: { pump, ...workerData } }
  )
  workers.push(worker)
  const said = new Promise<unknown>((resolve, reject) => worker.once("message", resolve).once("error", reject))
  const ended = new Promise<number>((resolve) => worker.once("exit", resolve))
  return { worker, said, ended }
}

/** Until it holds; at most some seconds. */
const until = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 1_000 && !holds(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(holds()).toBe(true)
}

const control = () => new Int32Array(new SharedArrayBuffer(256))

describe.runIf(signals.futexWait !== undefined)("sleeping in the pump", () => {
  it("ends when it is woken, and tells that from the time being over", async () => {
    const words = control()
    const { said } = inWorker(
      `parentPort.postMessage([pump.futexWait(workerData.words, 1, 0, 20), pump.futexWait(workerData.words, 0, 0, 30_000)])`,
      { words }
    )
    await new Promise((resolve) => setTimeout(resolve, 100))
    words[0] = 1
    signals.futexWake!(words, 0)
    expect(await said).toEqual([false, true])
  })

  it("does not begin where the word has another value", () => {
    const words = control()
    words[3] = 7
    expect(signals.futexWait!(words, 3, 6, 30_000)).toBe(true)
    expect(() => signals.futexWait!(words, 64, 0, 1)).not.toThrow()
    expect(() => signals.futexWait!(words, 65, 0, 1)).toThrow("bounds")
    expect(() => signals.futexWake!(words, -1)).toThrow("bounds")
  })
})

describe.each([
  ["with the pump", signals],
  ["without it", undefined]
])("a sleeper and its waker, %s", (_, given) => {
  it("says how it sleeps, and nothing when it is awake", () => {
    const words = control()
    const sleeper = new Sleeper(words.buffer, given, new Lookers(new SharedArrayBuffer(4), 1))
    const waker = new Waker(words.buffer, given)
    expect(sleeper.sleep(Word.credit, 0, 15)).toBe(false)
    expect(words[sleepWord[Word.credit]]).toBe(Sleep.awake)
    expect(sleeper.sleep(Word.credit, 1, Infinity)).toBe(true)
    // Nobody sleeps: nothing to do.
    waker.wake(Word.requestHead)
    for (const how of [Sleep.atomics, ...(given?.futexWake === undefined ? [] : [Sleep.pump])]) {
      words[sleepWord[Word.callback]] = how
      waker.wake(Word.callback)
      expect(words[sleepWord[Word.callback]]).toBe(Sleep.awake)
    }
  })
})

describe("an async handle", () => {
  it("calls on the event loop what it was made for, and errors are uncaught exceptions of the process", async () => {
    let called = 0
    const handle = signals.openAsync(() => {
      if (++called === 2) throw new Error("out of the callback")
    })!
    const uncaught: Array<unknown> = []
    const hear = (error: unknown) => void uncaught.push(error)
    const others = process.listeners("uncaughtException")
    process.removeAllListeners("uncaughtException")
    process.on("uncaughtException", hear)
    try {
      const { worker } = inWorker(
        `const sender = pump.senderOf(workerData.handle)
         parentPort.on("message", () => pump.send(sender))`,
        { handle }
      )
      for (let i = 1; i <= 3; i++) {
        worker.postMessage("send")
        await until(() => called === i)
      }
      expect(uncaught).toMatchObject([{ message: "out of the callback" }])
      await worker.terminate()
      signals.closeAsync(handle)
    } finally {
      process.off("uncaughtException", hear)
      others.forEach((listener) => process.on("uncaughtException", listener))
    }
  })

  it("goes with the thread that has it", async () => {
    const gone = inWorker(`globalThis.handle = pump.openAsync(() => {}); parentPort.postMessage("there")`)
    expect(await gone.said).toBe("there")
    expect(await gone.ended).toBe(0)
    const kept = inWorker(
      `globalThis.handle = pump.openAsync(() => {}); parentPort.on("message", () => {}); parentPort.postMessage("there")`
    )
    expect(await kept.said).toBe("there")
    expect(await kept.worker.terminate()).toBe(1)
  })
})
