/** Binary values that wait to be fetched: there is a bound for what nobody fetches. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { authorization, connected, get, serve } from "./support.js"

const kilobyte = 1024
const mine = { authorization: authorization("DEV", "secret") }
const others = { authorization: authorization("OTHER", "other") }

const serving = (limits: { readonly blobBytes?: number; readonly allBlobBytes?: number }) =>
  Effect.gen(function* () {
    const server = yield* serve({ version: "next", limits })
    const client = yield* connected(server)
    yield* client.sql("create table b (v blob(1k))")
    const value = Buffer.alloc(kilobyte, 1).toString("base64")
    for (let i = 0; i < 3; i++) {
      yield* client.run("insert into b values (?)", [value])
    }
    /** A page with three of them: where they are. */
    const page = (of = client) =>
      Effect.map(of.sql("select v from b"), ({ data }) =>
        (data as ReadonlyArray<readonly [{ readonly blob_url: string }]>).map(([{ blob_url }]) => blob_url)
      )
    const found = (urls: ReadonlyArray<string>, headers = mine) =>
      Effect.forEach(urls, (url) => Effect.map(get(server, url, headers), ({ status }) => status))
    return { server, client, page, found }
  })

describe("binary values that nobody fetches", () => {
  it.scopedLive("give way to later pages of their socket, the oldest first, and never to their own page", () =>
    Effect.gen(function* () {
      const { found, page } = yield* serving({ blobBytes: 2 * kilobyte })
      const first = yield* page()
      const second = yield* page()
      // One of 1.5 KiB, with what it takes besides, is as much as may stay when the next page comes.
      expect(yield* found(first)).toEqual([404, 404, 200])
      expect(yield* found(second)).toEqual([200, 200, 200])
    })
  )

  it.scopedLive("of all sockets are bounded, too: who has most loses first", () =>
    Effect.gen(function* () {
      const { found, page, server } = yield* serving({ allBlobBytes: 8 * kilobyte })
      const other = yield* connected(server, undefined, { user: "OTHER", password: "other" })
      const [kept, ...rest] = yield* page(other)
      yield* found(rest, others)
      const first = yield* page()
      const second = yield* page()
      yield* page()
      expect(yield* found([kept!], others)).toEqual([200])
      expect(yield* found(first)).toEqual([404, 404, 200])
      expect(yield* found(second)).toEqual([200, 200, 200])
    })
  )

  it.scopedLive("go with their socket", () =>
    Effect.gen(function* () {
      const { client, found, page, server } = yield* serving({})
      const urls = yield* page()
      expect(yield* found(urls.slice(0, 1))).toEqual([200])
      client.ws.terminate()
      yield* Effect.repeat(Effect.zipLeft(server.sockets, Effect.sleep("20 millis")), { until: (count) => count === 0 })
      expect(yield* found(urls.slice(1))).toEqual([404, 404])
    })
  )
})
