/**
 * docs/ibm-i.md finds what to do by what a failure says. Every message marked there with a dot is provoked here, so none of
 * them can change without the page.
 */
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { layer as withLayer } from "@effect/vitest"
import { MapepireClient, MapepireJob } from "@sluice/mapepire"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqlFailure } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Effect, Layer, Redacted } from "effect"
import { afterAll, expect } from "vitest"
import { root } from "./built.js"

/** Rows of the page: what it says of a message, and the reason beside it. `…` stands for anything. */
const entries = [
  ...readFileSync(join(root, "docs/ibm-i.md"), "utf8").matchAll(/^\| (•?) ?(`.*?) +\| `(\w+)`/gm)
].flatMap(([, dot, cell, reason]) =>
  [...cell!.matchAll(/`([^`]+)`/g)].map(([, text]) => ({
    text: text!,
    reason: reason!,
    provoked: dot === "•",
    pattern: new RegExp(`^${text!.split("…").map(escaped).join("[^]*")}$`)
  }))
)

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
}

const seen = new Set<string>()

/** The effect fails, with a message and a reason that the page has. */
const explained = (effect: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const { message, reason } = SqlFailure.from(yield* Effect.flip(effect))
    const found = entries.filter(({ pattern }) => pattern.test(message.trim()))
    expect(
      found.map((entry) => entry.reason),
      message
    ).toContain(reason)
    for (const { text } of found) seen.add(text)
  })

const password = Redacted.make("secret")
const Database = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return SqliteTransport.layer({ filename: `${yield* fs.makeTempDirectoryScoped()}/sample.db` })
}).pipe(Layer.unwrapScoped, Layer.provide(NodeFileSystem.layer))
const Server = MapepireServer.layer({
  port: 0,
  users: { ADA: password, QSECOFR: password },
  seed: MapepireServer.sample
}).pipe(Layer.provide(Database))

const Config = Effect.map(MapepireServer.MapepireServer, ({ certificate, commonName, host, port }) => ({
  ...{ host, port, user: "ADA", password },
  tls: { ca: certificate, servername: commonName }
}))

const connect = (change: Partial<MapepireJob.Config>) =>
  Effect.flatMap(Config, (config) => explained(Effect.scoped(MapepireJob.make({ ...config, ...change }))))

withLayer(Server, { timeout: 60_000, excludeTestServices: true })("troubleshooting by message", (it) => {
  it.effect("connecting", () =>
    Effect.gen(function* () {
      const { tls } = yield* Config
      yield* connect({ port: 1 })
      yield* connect({ host: "no-such-host.invalid" })
      yield* connect({ tls: undefined })
      yield* connect({ tls: { ca: tls.ca } })
      yield* connect({ tls: { ...tls, servername: "ibmi.example.com" } })
      yield* connect({ tls: { fingerprint: "00".repeat(32) } })
      yield* connect({ tls: { fingerprint: "0123" } })
      yield* connect({ tls: { ca: "/etc/ssl/ibmi.pem" } })
      yield* connect({ secure: false })
      yield* connect({ path: "/another/" })
    })
  )

  it.scoped("something else listens there", () =>
    Effect.gen(function* () {
      const web = createServer((_, response) => response.end())
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void web.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.async<void>((resume) => void web.close(() => resume(Effect.void)))
      )
      yield* connect({ port: (web.address() as AddressInfo).port })
    })
  )

  it.effect("signing on", () =>
    Effect.gen(function* () {
      const config = yield* Config
      const wrong = MapepireJob.webSocket({ ...config, password: Redacted.make("guessed") })
      const once = Effect.scoped(MapepireJob.makeAt(wrong, {}))
      yield* explained(once)
      yield* explained(once)
      yield* connect({ password: Redacted.make("with:colon") })
      yield* connect({ user: "QSECOFR" })
      yield* connect({ user: undefined })
      yield* connect({ jdbc: { nonsense: true } as never })
      yield* connect({ jdbc: { "date format": "sometimes" } as never })
    })
  )

  it.effect("statements", () =>
    Effect.gen(function* () {
      const config = yield* Config
      yield* Effect.gen(function* () {
        const sql = yield* MapepireClient.MapepireClient
        yield* explained(sql`select * from nowhere`)
        yield* explained(sql`select shoesize from employee`)
        yield* explained(sql`select cast(9007199254740993 as bigint) as big from sysibm.sysdummy1`)
        yield* explained(sql.unsafe("select empno from employee where empno = ?", [Symbol("no SQL type")]))
        const slow = sql.unsafe(
          "select count(*) from employee, employee b, employee c, employee d, employee e, employee f, employee g, employee h"
        )
        yield* explained(Effect.scoped(Effect.flatMap(sql.job, (job) => job.cl("NOSUCHCMD"))))
        yield* explained(
          Effect.scoped(
            Effect.flatMap(sql.job, (job) => job.queryAndRun(slow.compile()[0], [], { timeout: "50 millis" }))
          )
        )
      }).pipe(Effect.provide(MapepireClient.layer(config)))
    })
  )
})

afterAll(() => {
  const marked = entries.filter(({ provoked }) => provoked)
  expect(marked.length).toBeGreaterThan(15)
  expect(marked.filter(({ text }) => !seen.has(text)).map(({ text }) => text)).toEqual([])
})
