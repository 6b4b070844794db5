import { Duplex } from "node:stream"
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "vitest"
import { Gather } from "../src/internal/gather.js"

/** Tells which writes left together. */
const make = (more: () => boolean) => {
  const left: Array<string> = []
  const stream = new Duplex({
    decodeStrings: false,
    read: () => {},
    write: (chunk: string, _encoding, done) => {
      left.push(chunk)
      done()
    },
    writev: (chunks, done) => {
      left.push(chunks.map(({ chunk }) => chunk as string).join("+"))
      done()
    }
  })
  const gather = new Gather(stream, more)
  const write = (text: string, hurries: boolean) => {
    gather.before(hurries)
    stream.write(text)
  }
  return { gather, left, write }
}

describe("Gather", () => {
  it("answers of one turn leave in one piece, at its end", async () => {
    const { left, write } = make(() => true)
    write("a", true)
    write("b", true)
    assert.deepStrictEqual(left, [])
    await turn()
    assert.deepStrictEqual(left, ["a+b"])
    write("c", true)
    await turn()
    assert.deepStrictEqual(left, ["a+b", "c"])
  })

  it("one that need not hurry leaves with the answer that is being made", async () => {
    const { left, write } = make(() => true)
    write("closed", false)
    await turn()
    assert.deepStrictEqual(left, [])
    write("rows", true)
    await turn()
    assert.deepStrictEqual(left, ["closed+rows"])
  })

  it("one that need not hurry leaves alone where the other takes long", async () => {
    const { left, write } = make(() => true)
    write("closed", false)
    await sleep(50)
    assert.deepStrictEqual(left, ["closed"])
    write("closed", false)
    await sleep(50)
    assert.deepStrictEqual(left, ["closed", "closed"])
  })

  it("one that need not hurry leaves at once where no other is being made", async () => {
    const { left, write } = make(() => false)
    write("closed", false)
    await turn()
    assert.deepStrictEqual(left, ["closed"])
  })

  it("nothing leaves after the end, neither from its turn nor from its timer", async () => {
    for (const turns of [0, 1]) {
      const { gather, left, write } = make(() => true)
      write("closed", false)
      for (let i = 0; i < turns; i++) await turn()
      gather.end()
      await sleep(50)
      assert.deepStrictEqual(left, [])
    }
  })
})
