import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as frame from "../src/internal/frame.js"
import * as Protocol from "../src/Protocol.js"
import { exchanges } from "./frames.js"

const sent = exchanges.filter((exchange) => exchange.dir === "send")
const received = exchanges.filter((exchange) => exchange.dir === "recv")

const parsed = (text: string): frame.Frame => {
  const found = frame.parse(text)
  return found._tag === "Frame" ? found : assert.fail(`${found.why}: ${text.slice(0, 200)}`)
}

describe("recorded exchanges", () => {
  it("holds enough of them", () => {
    assert.isAbove(sent.length, 150)
    assert.isAbove(received.length, 150)
  })

  it("every response is read, as text and as bytes, and agrees with JSON.parse", () => {
    for (const { frame: text } of received) {
      const plain = JSON.parse(text) as Record<string, unknown>
      for (const message of [text, Buffer.from(text), new TextEncoder().encode(text)]) {
        const found = frame.parse(message)
        if (found._tag === "MalformedFrame") {
          return assert.fail(found.why)
        }
        const { data, ...body } = plain
        assert.deepStrictEqual({ ...found.body, data: undefined }, { ...body, data: undefined })
        assert.strictEqual(found.id, plain.id)
        assert.strictEqual(found.success, plain.success === true)
        assert.strictEqual(found.data === undefined, data === undefined)
        if (found.data !== undefined) {
          assert.deepStrictEqual(JSON.parse(found.data.text.slice(found.data.start, found.data.end)), data)
        }
      }
    }
  })

  it("every response fits the Schema of its request", () => {
    const types = new Map(
      sent.flatMap(({ file, frame: text }) => {
        const request = Protocol.parseRequest(text)
        return request._tag === "Request" ? [[`${file} ${request.request.id}`, request.request.type] as const] : []
      })
    )
    let checked = 0
    for (const { file, frame: text } of received) {
      const type = types.get(`${file} ${parsed(text).id}`)
      if (type !== undefined) {
        const decoded = Schema.decodeUnknownSync(
          Protocol.responseOf[type] as Schema.Schema<Protocol.Response, unknown>
        )(JSON.parse(text))
        assert.strictEqual(decoded.success, JSON.parse(text).success)
        checked++
      }
    }
    assert.isAbove(checked, 150)
  })
})
