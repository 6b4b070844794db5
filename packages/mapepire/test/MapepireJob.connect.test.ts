import { createServer, type Socket as TlsSocket } from "node:net"
import { createServer as createTls } from "node:tls"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import type { SqlError } from "@effect/sql/SqlError"
import * as MapepireJob from "@sluice/mapepire/MapepireJob"
import * as MapepireTransport from "@sluice/mapepire/MapepireTransport"
import * as SqlFailure from "@sluice/sql/SqlFailure"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { certificate, impostor } from "./certificates.js"
import { scriptedDaemon, wss } from "./scriptedDaemon.js"
import { until } from "./support.js"

const failing = (config: MapepireJob.Config) =>
  Effect.map(Effect.flip(Effect.scoped(MapepireJob.make(config))), SqlFailure.from)

const everythingIn = (failure: SqlFailure.SqlFailure): string =>
  JSON.stringify(failure) +
  failure.message +
  String(failure.stack) +
  JSON.stringify(failure.cause) +
  String(failure.cause)

describe("MapepireJob: signing on", () => {
  it.scopedLive("Dates are not asked for where the job would write them in a form that cannot be told apart", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const dated = { ...daemon.config, dates: "date" } as const
      const refused = (attempt: Effect.Effect<unknown, SqlError, Scope.Scope>) =>
        Effect.map(Effect.flip(attempt), (error) => {
          const { message, reason } = SqlFailure.from(error)
          assert.strictEqual(reason, "InvalidParameter")
          assert.include(message, "date format")
        })
      for (const jdbc of [{ "date format": "usa" }, { raw: { "Date Format": "MDY" } }] as const) {
        yield* refused(MapepireJob.make({ ...dated, jdbc }))
        yield* MapepireJob.make({ ...daemon.config, jdbc })
        const job = yield* MapepireJob.make(dated)
        yield* refused(job.reconnect(jdbc))
        yield* job.check
      }
      yield* MapepireJob.make({ ...dated, jdbc: { "date format": "jis" } })
    })
  )

  it.scopedLive("connects with its properties, and says goodbye with exit and 1000 (section 2.18)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon(wss)
      yield* Effect.scoped(
        MapepireJob.make({
          ...daemon.config,
          application: "orders",
          jdbc: { libraries: ["SHOP", "SHOPREF"], "transaction isolation": "none" }
        })
      )
      const [sent] = daemon.sent("connect")
      assert.strictEqual(sent!.technique, "tcp")
      assert.strictEqual(sent!.application, "orders")
      const properties = sent!.props!.split(";")
      for (const property of ["naming=sql", "date format=iso", "time format=jis", "libraries=SHOP,SHOPREF"]) {
        assert.include(properties, property)
      }
      yield* until(() => daemon.connections[0]!.closed !== undefined)
      assert.deepStrictEqual(daemon.connections[0]!.closed, { code: 1000 })
      assert.isTrue(daemon.connections[0]!.exited)
    })
  )

  it.scopedLive("a wrong password opens the socket: only connect tells (sections 1.2, 2.4)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon(wss)
      const failed = yield* failing({ ...daemon.config, password: Redacted.make("open please") })
      assert.strictEqual(daemon.connections.length, 1)
      assert.strictEqual(failed.reason, "Authentication")
      assert.include(failed.message, "Password is incorrect")
      assert.notInclude(everythingIn(failed), "open please")
      yield* until(() => daemon.connections[0]!.closed !== undefined)
    })
  )

  it.scopedLive("a secret that the daemon repeats in its answer is taken out of it", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.refuse = () => "Invalid URL jdbc:as400:localhost;user=ada;password=sesame;naming=sql"
      const failed = yield* failing(daemon.config)
      assert.strictEqual(failed.reason, "Connection")
      assert.include(failed.message, "password=<redacted>")
      assert.notInclude(everythingIn(failed), "sesame")
    })
  )

  it.scopedLive("a socket that ends before connect is answered is like a port that refuses", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let drops = 0
      daemon.override((request, connection) => {
        if (request.type !== "connect" || drops === 2) {
          return false
        }
        if (++drops === 1) {
          connection.drop()
        } else {
          connection.socket!.close(4001, "not now")
        }
        return true
      })
      for (const why of ["", "code 4001: not now"]) {
        const failed = yield* failing(daemon.config)
        assert.deepStrictEqual([failed.reason, failed.outcome], ["Connection", "notExecuted"])
        assert.isTrue(failed.isRetryable)
        assert.include(failed.message, "Cannot connect to ws://127.0.0.1")
        assert.include(failed.message, why)
      }
      yield* MapepireJob.make(daemon.config)
    })
  )

  it.scopedLive("a wrong password is tried once, however many connect; another one is tried anew", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let password = "wrong"
      const endpoint = MapepireJob.webSocket({
        ...daemon.config,
        credentials: Effect.sync(() => ({ user: "ada", password: Redacted.make(password) }))
      })
      const attempts = yield* Effect.forEach(
        Array.from({ length: 10 }),
        () => Effect.flip(Effect.scoped(MapepireJob.makeAt(endpoint, {}))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        attempts.map((error) => SqlFailure.from(error).reason),
        Array.from({ length: 10 }, () => "Authentication")
      )
      assert.strictEqual(daemon.sent("connect").length, 1)
      password = "sesame"
      yield* Effect.forEach([1, 2, 3], () => MapepireJob.makeAt(endpoint, {}), { concurrency: "unbounded" })
      assert.strictEqual(daemon.sent("connect").length, 4)
    })
  )

  it.scopedLive("a password that was right once and has been changed is tried once, too, however many connect", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const endpoint = MapepireJob.webSocket(daemon.config)
      const connected = () => Effect.either(Effect.scoped(MapepireJob.makeAt(endpoint, {})))
      const all = () => Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], connected, { concurrency: "unbounded" })
      assert.isTrue((yield* all()).every(Either.isRight))
      const before = daemon.sent("connect").length
      daemon.password = "changed"
      const attempts = yield* all()
      for (const attempt of attempts) {
        assert.isTrue(Either.isLeft(attempt) && SqlFailure.is("Authentication")(attempt.left))
      }
      assert.strictEqual(daemon.sent("connect").length, before + 1)
    })
  )

  /** A daemon that takes its time for `connect`. */
  const slow = (millis: number) =>
    Effect.map(scriptedDaemon(), (daemon) =>
      daemon.override((request, connection) => {
        if (request.type === "connect") {
          daemon.later(millis, () => connection.handle(request))
        }
        return request.type === "connect"
      })
    )

  for (const [who, config, patience] of [
    ["its caller", {}, 200],
    ["connectTimeout", { connectTimeout: 200 }, Infinity]
  ] as const) {
    it.scopedLive(`a wrong password is tried once, too, where ${who} does not wait for the daemon's answer`, () =>
      Effect.gen(function* () {
        const daemon = yield* slow(1_000)
        const endpoint = MapepireJob.webSocket({ ...daemon.config, password: Redacted.make("wrong") })
        const attempt = Effect.scoped(MapepireJob.makeAt(endpoint, config)).pipe(Effect.timeoutOption(patience))
        const first = yield* Effect.either(attempt)
        yield* until(() => daemon.sent("connect").length === 1)
        yield* Effect.either(attempt)
        assert.isFalse(Either.isLeft(first) && SqlFailure.is("Authentication")(first.left))
        yield* until(() => daemon.connections[0]!.closed !== undefined)
        const last = SqlFailure.from(yield* Effect.flip(Effect.scoped(MapepireJob.makeAt(endpoint, {}))))
        assert.strictEqual(last.reason, "Authentication")
        assert.strictEqual(daemon.sent("connect").length, 1)
      })
    )
  }

  it.scopedLive("a sign-on that nobody waited for is closed when it is there, and the next one is another", () =>
    Effect.gen(function* () {
      const daemon = yield* slow(600)
      const endpoint = MapepireJob.webSocket(daemon.config)
      const left = yield* Effect.fork(Effect.scoped(MapepireJob.makeAt(endpoint, {})))
      yield* until(() => daemon.sent("connect").length === 1)
      yield* Fiber.interrupt(left)
      assert.isUndefined(daemon.connections[0]!.closed)
      const job = yield* MapepireJob.makeAt(endpoint, {})
      yield* until(() => daemon.connections[0]!.closed !== undefined)
      assert.strictEqual(daemon.connections.length, 2)
      yield* job.check
    })
  )

  it.scopedLive("whoever waits for one that nobody waited for goes on when it is answered, not when it is closed", () =>
    Effect.gen(function* () {
      const daemon = yield* slow(600)
      // Its goodbye is not answered, and takes half a second.
      daemon.override(({ type }) => type === "exit")
      const endpoint = MapepireJob.webSocket(daemon.config)
      const left = yield* Effect.fork(Effect.scoped(MapepireJob.makeAt(endpoint, {})))
      yield* until(() => daemon.sent("connect").length === 1)
      yield* Fiber.interrupt(left)
      yield* Effect.fork(MapepireJob.makeAt(endpoint, {}))
      yield* until(() => daemon.sent("connect").length === 2)
      assert.isUndefined(daemon.connections[0]!.closed)
    })
  )

  it.scopedLive(
    "of several that nobody waited for the first that is answered tells, and other passwords wait for none",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        let password = "sesame"
        const endpoint = MapepireJob.webSocket({
          ...daemon.config,
          credentials: Effect.sync(() => ({ user: "ada", password: Redacted.make(password) }))
        })
        yield* Effect.scoped(MapepireJob.makeAt(endpoint, {}))
        // Two that come together wait for a third one; then they are under way at once.
        let answered = 1
        daemon.override((request, connection) => {
          if (request.type === "connect" && answered-- > 0) {
            connection.handle(request)
          }
          return request.type === "connect"
        })
        const jobs = yield* Effect.forEach([1, 2, 3], () =>
          Effect.fork(Effect.scoped(MapepireJob.makeAt(endpoint, {})))
        )
        yield* until(() => daemon.sent("connect").length === 4)
        yield* Effect.forEach(jobs.slice(1), Fiber.interrupt, { concurrency: "unbounded" })
        yield* Fiber.join(jobs[0]!)
        const waiting = yield* Effect.fork(MapepireJob.makeAt(endpoint, {}))
        yield* Effect.sleep("300 millis")
        assert.strictEqual(daemon.sent("connect").length, 4)
        answered = 10
        password = "other"
        assert.strictEqual(
          SqlFailure.from(yield* Effect.flip(Effect.scoped(MapepireJob.makeAt(endpoint, {})))).reason,
          "Authentication"
        )
        const [hanging] = daemon.sent("connect").slice(2)
        hanging!.connection.handle(hanging!)
        yield* Fiber.join(waiting)
      })
  )

  it.scopedLive("one that is never answered does not outlive its layer", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ type }) => type === "connect")
      const began = yield* Effect.scoped(
        Effect.gen(function* () {
          const transport = yield* MapepireTransport.make(daemon.config)
          const left = yield* Effect.fork(Effect.scoped(transport.job))
          yield* until(() => daemon.sent("connect").length === 1)
          yield* Fiber.interrupt(left)
          assert.isUndefined(daemon.connections[0]!.closed)
          return performance.now()
        })
      )
      yield* until(() => daemon.connections[0]!.closed !== undefined)
      assert.isBelow(performance.now() - began, 8_000)
    })
  )

  it.scopedLive("who has waited for another one's sign-on connects beside the others", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const endpoint = MapepireJob.webSocket(daemon.config)
      let underWay = 0
      let most = 0
      daemon.override((request, connection) => {
        if (request.type !== "connect") {
          return false
        }
        most = Math.max(most, ++underWay)
        daemon.later(50, () => {
          underWay--
          connection.reply(request, { job: daemon.nextJob() })
        })
        return true
      })
      const jobs = [1, 2, 3, 4, 5]
      yield* Effect.forEach(jobs, () => MapepireJob.makeAt(endpoint, {}), { concurrency: "unbounded" })
      assert.strictEqual(daemon.sent("connect").length, 5)
      assert.strictEqual(most, 4)
    })
  )

  it.scopedLive("credentials are asked for at every connect, and a one-time code goes with them (section 1.3)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let code = 100_000
      const endpoint = MapepireJob.webSocket({
        ...daemon.config,
        credentials: Effect.sync(() => ({
          user: "ada",
          password: Redacted.make("sesame"),
          factor: Redacted.make(String(++code))
        }))
      })
      yield* MapepireJob.makeAt(endpoint, {})
      yield* MapepireJob.makeAt(endpoint, {})
      assert.deepStrictEqual(
        daemon.sent("connect").map(({ props }) => /additionalAuthenticationFactor=(\d+)/.exec(props!)![1]),
        ["100001", "100002"]
      )
    })
  )

  it.scopedLive("what the daemon cannot take as a password is never sent (bug 12)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      for (const secret of ["with:colon", "with;semicolon", "with half a pair \ud83d", ""]) {
        const failed = yield* failing({ ...daemon.config, password: Redacted.make(secret) })
        assert.strictEqual(failed.reason, "InvalidParameter")
        assert.isTrue(secret === "" || !everythingIn(failed).includes(secret))
      }
      for (const user of ["a*", "a\ude00"]) {
        assert.strictEqual((yield* failing({ ...daemon.config, user })).reason, "InvalidParameter")
      }
      assert.strictEqual(daemon.connections.length, 0)
    })
  )

  it.scopedLive("a host or a path that is more than that is refused, and the password sent nowhere", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      const odd = [
        "",
        " ",
        "127.0.0.1/",
        "127.0.0.1?x",
        "127.0.0.1#",
        "a@127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "a\\b",
        "a%2fb",
        "fe80::1%eth0",
        "999.1.1.1"
      ]
      for (const host of odd) {
        assert.strictEqual((yield* failing({ ...daemon.config, host })).reason, "InvalidParameter", host)
      }
      assert.strictEqual((yield* failing({ ...daemon.config, path: "@localhost/db/" })).reason, "InvalidParameter")
      assert.strictEqual(daemon.connections.length, 0)
      // Nobody answers at these, but they are names and addresses.
      for (const host of ["::1", "no_such-host.invalid", "bücher.invalid"]) {
        assert.strictEqual((yield* failing({ ...daemon.config, host, port: 1 })).reason, "Connection", host)
      }
    })
  )

  it.scopedLive("connecting anew asks for another code, and sends a refused password only once", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      let code = 100
      const { password, user, ...config } = daemon.config
      const credentials = Effect.sync(() => ({
        user: user!,
        password: password!,
        factor: code < 200 ? Redacted.make(String(++code)) : undefined
      }))
      const job = yield* MapepireJob.make({ ...config, credentials, cancel: false })
      yield* job.reconnect()
      assert.match(daemon.sent("connect")[0]!.props!, /additionalAuthenticationFactor=101$/)
      assert.match(daemon.sent("connect")[1]!.props!, /additionalAuthenticationFactor=102$/)
      code = 200
      daemon.refuse = () => "The application server rejected the connection. (Password is incorrect.)"
      for (let i = 0; i < 3; i++) {
        const failed = SqlFailure.from(yield* Effect.flip(job.reconnect()))
        assert.strictEqual(failed.reason, "Authentication")
      }
      assert.strictEqual(daemon.sent("connect").length, 3)
    })
  )

  it.scopedLive("connecting anew that is given up learns whether its password is wrong, though its job is closed", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ sql }) => sql === "call never()")
      const endpoint = MapepireJob.webSocket(daemon.config)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const job = yield* MapepireJob.makeAt(endpoint, { cancel: false })
          daemon.password = "changed"
          daemon.override((request, connection) => {
            if (request.type === "connect") {
              daemon.later(1_000, () => connection.handle(request))
            }
            return request.type === "connect"
          })
          const other = yield* Effect.fork(Effect.flip(job.queryAndRun("call never()")))
          yield* until(() => daemon.sent("sql").length === 1)
          const left = yield* Effect.fork(job.reconnect())
          yield* until(() => daemon.sent("connect").length === 2)
          yield* Fiber.interrupt(left)
          // Nobody waits for the answer, but those who try the same password.
          assert.strictEqual(SqlFailure.from(yield* Fiber.join(other)).outcome, "unknown")
          for (const failing of [job.reconnect(), job.queryAndRun("values 1")]) {
            const { outcome, reason } = SqlFailure.from(yield* Effect.flip<unknown, SqlError, never>(failing))
            assert.deepStrictEqual([reason, outcome], ["SessionLost", "notExecuted"])
          }
        })
      )
      assert.isUndefined(daemon.connections[0]!.closed)
      const next = SqlFailure.from(yield* Effect.flip(Effect.scoped(MapepireJob.makeAt(endpoint, {}))))
      assert.strictEqual(next.reason, "Authentication")
      assert.strictEqual(daemon.sent("connect").length, 2)
      yield* until(() => daemon.connections[0]!.closed !== undefined)
    })
  )

  it.scopedLive("a rule of the daemon is Authorization, and may be tried again (section 1.4)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.refuse = () => "Connection refused by security rule at line 3"
      const endpoint = MapepireJob.webSocket(daemon.config)
      for (let i = 0; i < 2; i++) {
        const error = yield* Effect.flip(Effect.scoped(MapepireJob.makeAt(endpoint, {})))
        assert.strictEqual(SqlFailure.from(error).reason, "Authorization")
      }
      assert.strictEqual(daemon.sent("connect").length, 2)
    })
  )

  it.scopedLive("an upgrade that is refused says so, with its status", () =>
    Effect.gen(function* () {
      for (const [status, reason, retryable] of [
        [403, "Authentication", false],
        [401, "Authentication", false],
        [429, "Connection", true],
        [503, "Connection", true],
        [404, "Connection", false]
      ] as const) {
        const daemon = yield* scriptedDaemon({ ...wss, upgradeStatus: status })
        const failed = yield* failing(daemon.config)
        assert.strictEqual(failed.reason, reason)
        assert.include(failed.message, String(status))
        assert.strictEqual(failed.isRetryable, retryable)
      }
    })
  )

  it.scopedLive("nobody there, and a server that never answers, end in time (bug 8, section 6.5)", () =>
    Effect.gen(function* () {
      const refused = yield* failing({ host: "127.0.0.1", port: 1, user: "ada", password: Redacted.make("x") })
      assert.strictEqual(refused.reason, "Connection")
      assert.include(refused.message, "127.0.0.1:1")
      assert.isTrue(refused.isRetryable)
      const silent = yield* silentServer
      for (const secure of [true, false]) {
        const failed = yield* failing({ ...silent, secure, openTimeout: 200 })
        assert.strictEqual(failed.reason, "Connection")
        assert.include(failed.message, "openTimeout")
      }
    })
  )

  it.scopedLive("a connect that is never answered ends in time, and is closed when interrupted (section 6.4.9)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ type }) => type === "connect")
      const failed = yield* failing({ ...daemon.config, connectTimeout: "2 seconds" })
      assert.include(failed.message, "connectTimeout")
      const fiber = yield* Effect.fork(Effect.scoped(MapepireJob.make(daemon.config)))
      yield* until(() => daemon.sent("connect").length === 2)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      yield* until(() => daemon.connections.every(({ closed }) => closed !== undefined))
    })
  )

  it.scopedLive("ten fibers at first use open one job (bug 37), and one of them may leave", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.once(
        ({ type }) => type === "connect",
        (request, connection) => void daemon.later(50, () => connection.handle(request))
      )
      const job = yield* MapepireJob.make({ ...daemon.config, connect: "onFirstUse" })
      assert.strictEqual(daemon.connections.length, 0)
      const leaving = yield* Effect.fork(job.check)
      const others = yield* Effect.fork(Effect.forEach(Array.from({ length: 9 }), () => job.check, { concurrency: 9 }))
      yield* until(() => daemon.sent("connect").length === 1)
      yield* Fiber.interrupt(leaving)
      yield* Fiber.join(others)
      assert.strictEqual(daemon.connections.length, 1)
      assert.strictEqual(daemon.sent("sql").length, 9)
    })
  )

  it.scopedLive("a job that is closed while it opens, or was before, fails its first use with Closed", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ type }) => type === "connect")
      const [job, waiting] = yield* Effect.scoped(
        Effect.gen(function* () {
          const job = yield* MapepireJob.make({ ...daemon.config, connect: "onFirstUse" })
          const waiting = yield* Effect.forkDaemon(Effect.flip(job.check))
          yield* until(() => daemon.sent("connect").length === 1)
          return [job, waiting] as const
        })
      )
      assert.strictEqual(SqlFailure.from(yield* Fiber.join(waiting)).reason, "Closed")
      assert.strictEqual(SqlFailure.from(yield* Effect.flip(job.check)).reason, "Closed")
      yield* until(() => daemon.connections[0]!.closed !== undefined)
      assert.strictEqual(daemon.connections.length, 1)
    })
  )

  it.scopedLive("a first use that fails is everybody's failure, and the next use tries again (bug 36)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.refuse = () => "The job could not be started"
      const job = yield* MapepireJob.make({ ...daemon.config, connect: "onFirstUse" })
      const failures = yield* Effect.forEach([1, 2, 3], () => Effect.flip(job.check), { concurrency: 3 })
      assert.isTrue(failures.every(SqlFailure.is("Connection")))
      assert.strictEqual(daemon.connections.length, 1)
      daemon.refuse = () => undefined
      yield* job.check
      assert.strictEqual(daemon.connections.length, 2)
    })
  )
})

/** Takes connections and says nothing. */
const silentServer = Effect.acquireRelease(
  Effect.async<{ readonly config: MapepireJob.Config; readonly close: () => void }, SqlError>((resume) => {
    const sockets = new Set<TlsSocket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
    }).listen(0, "127.0.0.1", () =>
      resume(
        Effect.succeed({
          config: {
            host: "127.0.0.1",
            port: (server.address() as AddressInfo).port,
            user: "ada",
            password: Redacted.make("sesame")
          },
          close: () => {
            server.close()
            sockets.forEach((socket) => socket.destroy())
          }
        })
      )
    )
  }),
  ({ close }) => Effect.sync(close)
).pipe(Effect.map(({ config }) => config))

/** A TLS server that notes what it is sent. */
const eavesdropper = Effect.acquireRelease(
  Effect.async<{ readonly port: number; readonly heard: Array<string>; readonly close: () => void }>((resume) => {
    const heard: Array<string> = []
    const sockets = new Set<TlsSocket>()
    const server = createTls({ cert: impostor.cert, key: impostor.key }, (socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("data", (chunk) => heard.push(chunk.toString()))
    })
    server.on("tlsClientError", () => {})
    server.listen(0, "127.0.0.1", () =>
      resume(
        Effect.succeed({
          port: (server.address() as AddressInfo).port,
          heard,
          close: () => {
            server.close()
            sockets.forEach((socket) => socket.destroy())
          }
        })
      )
    )
  }),
  ({ close }) => Effect.sync(close)
)

describe("MapepireJob: trust", () => {
  it.scopedLive("a daemon's own certificate is not trusted by default, and the failure says what to do (bug 11)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon(wss)
      const failed = yield* failing({ ...daemon.config, tls: undefined })
      assert.strictEqual(failed.reason, "Connection")
      assert.include(failed.message, "tls.ca")
      assert.include(failed.message, "tls.fingerprint")
      assert.strictEqual(daemon.connections.length, 0)
    })
  )

  it.scopedLive(
    "its CA alone is not enough where the name is another one: servername says which to expect (section 1.5)",
    () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon(wss)
        const failed = yield* failing({ ...daemon.config, tls: { ca: certificate.cert } })
        assert.include(failed.message, "tls.servername")
        yield* MapepireJob.make({ ...daemon.config, tls: { ca: certificate.cert, servername: "ibmi.test" } })
        const bytes = new TextEncoder().encode(certificate.cert)
        yield* MapepireJob.make({ ...daemon.config, tls: { ca: [bytes], servername: "ibmi.test" } })
      })
  )

  it.scopedLive("a CA that is no certificate's text is refused before anything is asked of the network", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon(wss)
      const pem = certificate.cert
      const escaped = pem.replaceAll("\n", "\\n")
      for (const ca of ["/etc/ssl/ibmi.pem", escaped, "", [], [pem, "x"], btoa(pem), new Uint8Array([0x30, 0x82])]) {
        const { message, reason } = yield* failing({ ...daemon.config, tls: { ca, servername: "ibmi.test" } })
        assert.strictEqual(reason, "InvalidParameter")
        assert.include(message, "tls.ca must be the text of a PEM certificate")
        assert.strictEqual(message.includes("a backslash and an n"), ca === escaped)
      }
      for (const ca of [`a comment\n${pem}`, pem + pem, pem.replaceAll("\n", "\r\n")]) {
        yield* MapepireJob.make({ ...daemon.config, tls: { ca, servername: "ibmi.test" } })
      }
    })
  )

  it.scopedLive("a pinned fingerprint is enough, in any spelling; and another certificate's is refused", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon(wss)
      const { commonName, fingerprint, pem, selfSigned } = yield* MapepireJob.certificate({
        host: "127.0.0.1",
        port: daemon.port,
        timeout: Infinity
      })
      assert.strictEqual(pem.trim(), certificate.cert.trim())
      assert.strictEqual(commonName, "ibmi.test")
      assert.isTrue(selfSigned)
      yield* MapepireJob.make({ ...daemon.config, tls: { fingerprint } })
      yield* MapepireJob.make({ ...daemon.config, tls: { fingerprint: fingerprint.replaceAll(":", "").toLowerCase() } })
      // With a CA as well, both must hold.
      yield* MapepireJob.make({ ...daemon.config, tls: { fingerprint, ca: pem, servername: "ibmi.test" } })
      const wrongName = yield* failing({ ...daemon.config, tls: { fingerprint, ca: pem } })
      assert.include(wrongName.message, "tls.servername")
      const failed = yield* failing({ ...daemon.config, tls: { fingerprint: "00".repeat(32) } })
      const untrusted = yield* failing({ ...daemon.config, tls: {} })
      for (const refused of [wrongName, failed, untrusted]) {
        assert.deepStrictEqual([refused.reason, refused.isRetryable], ["Connection", false])
      }
      assert.include(failed.message, fingerprint)
      assert.strictEqual(
        (yield* failing({ ...daemon.config, tls: { fingerprint: "sha1" } })).reason,
        "InvalidParameter"
      )
    })
  )

  it.scopedLive("whoever presents another certificate than the pinned one never hears the password", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* eavesdropper
      for (const tls of [{ fingerprint: "00".repeat(32) }, { ca: certificate.cert, servername: "ibmi.test" }, {}]) {
        yield* failing({ host: "127.0.0.1", port, user: "ada", password: Redacted.make("sesame"), tls })
      }
      yield* Effect.sleep(50)
      assert.deepStrictEqual(heard, [])
    })
  )

  it.scopedLive("insecure takes anything, for this connection alone (bug 10)", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon(wss)
      yield* MapepireJob.make({ ...daemon.config, tls: { insecure: true } })
      assert.strictEqual((yield* failing({ ...daemon.config, tls: {} })).reason, "Connection")
    })
  )

  it.scopedLive("a certificate that cannot be fetched is a typed failure", () =>
    Effect.gen(function* () {
      const { port } = yield* silentServer
      const failed = SqlFailure.from(
        yield* Effect.flip(MapepireJob.certificate({ host: "127.0.0.1", port: port!, timeout: 100 }))
      )
      assert.strictEqual(failed.reason, "Connection")
    })
  )
})
