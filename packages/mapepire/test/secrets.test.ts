/** Passwords and one-time codes that a daemon repeats: in no failure, wherever it repeats them. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { MapepireJob } from "@sluice/mapepire"
import { SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { scrubber } from "../src/internal/job/secrets.js"
import { type Connection, type Request, scriptedDaemon } from "./scriptedDaemon.js"
import { until } from "./support.js"

const [password, factor] = ["s3cr3t.PW", "424242"]
const header = `Basic ${Buffer.from(`ada:${password}`).toString("base64")}`
const words = `boom ${password} ${password.toLowerCase()} ${factor} ${header}`

const everythingIn = (cause: Cause.Cause<unknown>): string =>
  [Cause.pretty(cause), JSON.stringify(cause), inspect(cause, { depth: 20, showHidden: true })].join("\n")

const assertClean = (cause: Cause.Cause<unknown>) => {
  const all = everythingIn(cause).toLowerCase()
  for (const secret of [password, factor, header.slice(6).replace(/=+$/, "")]) {
    assert.notInclude(all, secret.toLowerCase())
  }
  assert.include(all, "<redacted>")
}

const credentials = Effect.succeed({
  user: "ada",
  password: Redacted.make(password),
  factor: Redacted.make(factor)
})

type Use = (job: MapepireJob.MapepireJob) => Effect.Effect<unknown, unknown>

const failing = (act: (request: Request, connection: Connection) => boolean, use: Use) =>
  Effect.gen(function* () {
    const daemon = yield* scriptedDaemon()
    daemon.password = password
    daemon.override(act)
    const { user: _, password: __, ...config } = daemon.config
    const made = MapepireJob.make({ ...config, credentials, cancel: false })
    return yield* Effect.flip(Effect.sandbox(Effect.flatMap(made, use)))
  })

const answering = (type: string) => (request: Request, connection: Connection) => {
  if (request.type === type) {
    connection.reply(request, { success: false, error: words, sql_state: "58004", sql_rc: -901 })
  }
  return request.type === type
}

describe("what a daemon repeats is taken out of", () => {
  it.scopedLive("the failure of a connect", () =>
    Effect.map(
      failing(answering("connect"), () => Effect.void),
      assertClean
    )
  )

  it.scopedLive("the failure of a statement, and the daemon's own words in it", () =>
    Effect.gen(function* () {
      const cause = yield* failing(answering("sql"), (job) => job.queryAndRun("select 1"))
      assertClean(cause)
      const said = MapepireJob.daemonError(Cause.squash(cause))!.message
      assert.strictEqual(said, "boom <redacted> <redacted> <redacted> Basic <redacted>==")
    })
  )

  it.scopedLive("a prepared statement's", () =>
    Effect.map(
      failing(answering("prepare_sql"), (job) => Effect.scoped(job.prepare("insert into t values (?)"))),
      assertClean
    )
  )

  it.scopedLive("a CL command's, and its job log", () =>
    Effect.gen(function* () {
      const cause = yield* failing(
        (request, connection) => {
          if (request.type === "cl") {
            const metadata = { columns: [{ name: "TEXT", type: "VARCHAR" }] }
            connection.reply(request, { success: false, error: words, metadata, data: [[words]] })
          }
          return request.type === "cl"
        },
        (job) => job.cl("NOSUCH")
      )
      assertClean(cause)
      assert.strictEqual(MapepireJob.jobLog(Cause.squash(cause)).length, 1)
    })
  )

  it.scopedLive("the reason with which a socket is closed", () =>
    Effect.gen(function* () {
      const cause = yield* failing(
        ({ type }, { socket }) => {
          if (type === "ping") {
            socket!.close(4000, words)
          }
          return type === "ping"
        },
        (job) => job.ping
      )
      assertClean(cause)
    })
  )

  it.scopedLive("the HTTP status of a refused upgrade, and an answer that is no HTTP", () =>
    Effect.gen(function* () {
      let answer = ""
      const http = createServer()
      http.on("upgrade", (request, socket) => {
        socket.on("error", () => {})
        socket.end(answer.replace("HEADER", request.headers.authorization!))
      })
      yield* Effect.async<void>((resume) => void http.listen(0, "127.0.0.1", () => resume(Effect.void)))
      yield* Effect.addFinalizer(() => Effect.sync(() => http.close()))
      const { port } = http.address() as AddressInfo
      for (answer of ["HTTP/1.1 418 no HEADER\r\nContent-Length: 0\r\n\r\n", "no HEADER\r\n\r\n"]) {
        const made = MapepireJob.make({ host: "127.0.0.1", port, secure: false, credentials })
        const cause = yield* Effect.flip(Effect.sandbox(made))
        const all = everythingIn(cause)
        assert.notInclude(all, header.slice(6, 14))
        assert.notInclude(all, "rawPacket")
        assert.strictEqual(SqlFailure.from(Cause.squash(cause)).reason, "Connection")
      }
    })
  )

  it.scopedLive("why a connection ended that nobody used", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.password = password
      const job = yield* MapepireJob.make({ ...daemon.config, cancel: false })
      daemon.connections[0]!.socket!.close(4000, `boom ${password}`)
      assertClean(Cause.fail(yield* job.lost))
      yield* until(() => daemon.connections[0]!.closed !== undefined)
    })
  )
})

describe("secrets", () => {
  it("of a few characters are taken out where they stand by themselves", () => {
    const scrub = scrubber([Redacted.make("at")])
    assert.strictEqual(
      scrub("Password 'at' is not that of ADA at MATE"),
      "Password '<redacted>' is not that of ADA <redacted> MATE"
    )
  })

  it("may have any characters, and be in an address", () => {
    const scrub = scrubber([Redacted.make("p+w$ d(")])
    assert.strictEqual(scrub("a=P+W$ D(&b=p%2Bw%24%20d(."), "a=<redacted>&b=<redacted>.")
    const all = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))
    for (const character of all) {
      const secret = `x${character}yz`
      assert.strictEqual(scrubber([Redacted.make(secret)])(`a ${secret}.`), "a <redacted>.")
      assert.strictEqual(scrubber([Redacted.make(character)])(`a ${character} b`).includes("<redacted>"), true)
    }
  })

  it.scopedLive("that are words of a refusal do not hide what it means: a wrong password is tried once", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const endpoint = MapepireJob.webSocket({ ...daemon.config, password: Redacted.make("password") })
      for (let i = 0; i < 3; i++) {
        const failed = SqlFailure.from(yield* Effect.flip(MapepireJob.makeAt(endpoint, {})))
        assert.strictEqual(failed.reason, "Authentication")
      }
      assert.strictEqual(daemon.sent("connect").length, 1)
    })
  )
})
