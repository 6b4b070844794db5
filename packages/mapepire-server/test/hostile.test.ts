/** Clients that do harm, by mistake or not: they must harm nobody else, and the server ends clean. */
import { type AddressInfo, createConnection, Server, type Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { MapepireServer } from "@sluice/mapepire-server"
import { SqliteTransport } from "@sluice/sqlite"
import { SqlTransport, TestTransport } from "@sluice/sql"
import { Cause, Effect, Exit, Layer, Logger, Scope } from "effect"
import { connected, open, type RawClient, serve, spin, spinFor, temporary } from "./support.js"

const alive = (server: MapepireServer.MapepireServer) =>
  Effect.scoped(
    Effect.flatMap(connected(server), (client) =>
      Effect.map(client.sql("values 1"), (answer) => expect(answer.data).toEqual([[1]]))
    )
  )

/** A query for so many rows of 20 kB. */
const wide = (rows: number): string =>
  `select '${"x".repeat(20_000)}' from employee a, employee b, employee c fetch first ${rows} rows only`

/** The TCP connection of a client. */
const streamOf = (client: RawClient) => (client.ws as unknown as { readonly _socket: Socket })._socket

/** A plain TCP connection that has sent some text, and does not end when the server does. */
const raw = (port: number, text: string) =>
  Effect.acquireRelease(
    Effect.async<ReturnType<typeof createConnection>>((resume) => {
      const socket = createConnection({ port, host: "127.0.0.1", allowHalfOpen: true }, () => {
        socket.write(text)
        resume(Effect.succeed(socket))
      })
      socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The listening half of a server in this process. */
const listenerOf = (port: number): Server =>
  (process as unknown as { _getActiveHandles: () => ReadonlyArray<unknown> })
    ._getActiveHandles()
    .find((handle): handle is Server => handle instanceof Server && (handle.address() as AddressInfo)?.port === port)!

describe("the server survives", () => {
  it.scopedLive("a connection that it cannot accept, and tells of it", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        logged.push(`${logLevel.label} ${String(message)}`)
      })
      const server = yield* Effect.provide(serve(), Logger.replace(Logger.defaultLogger, logger))
      listenerOf(server.port).emit("error", Object.assign(new Error("accept ENFILE"), { code: "ENFILE" }))
      yield* alive(server)
      expect(logged).toEqual([expect.stringContaining("WARN A connection could not be accepted")])
    })
  )

  it.scopedLive("garbage instead of HTTP, of TLS, of WebSocket frames", () =>
    Effect.gen(function* () {
      for (const server of [yield* serve(), yield* serve({ tls: {} })]) {
        yield* raw(server.port, "\x16\x03\x01 nonsense \r\n\r\n")
        yield* raw(server.port, "GET /db/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
        const client = yield* connected(server)
        streamOf(client).write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))
        yield* client.end
        yield* alive(server)
      }
    })
  )

  it.scopedLive("JSON of every wrong kind", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* connected(server)
      const before = client.frames.length
      const texts = [
        ...["null", "1", '"x"', "[]", "{}", "", " ", "\0", '{"id":null,"type":null}', '{"id":{},"type":"sql"}'],
        ...['{"id":"a","type":{}}', "[".repeat(100_000), '{"a":'.repeat(100_000), '{"id":"a","type":"__proto__"}'],
        '{"id":"a","type":"sql","sql":{"x":1},"rows":"many","terse":"perhaps"}',
        '{"id":"a","type":"connect","props":[1],"technique":7}',
        '{"id":"a","type":"prepare_sql_execute","sql":"values 1","parameters":{"length":3}}',
        '{"id":"a","type":"sqlmore","cont_id":[]}'
      ]
      texts.forEach((text) => client.send(text))
      yield* client.until(() => (client.frames.length >= before + texts.length ? true : undefined), "all answers")
      yield* alive(server)
    })
  )

  it.scopedLive("statements that are too deep or too long: they are answered, and soon", () =>
    Effect.gen(function* () {
      const client = yield* connected(yield* serve())
      const nested = (open: string, count: number, inside = "1") => open.repeat(count) + inside + ")".repeat(count)
      for (const [sql, code] of [
        [`values ${nested("(", 50_000)}`, -101],
        [`values ${nested("strip(", 3_000, "'a'")}`, -101],
        [`values ${"1 + ".repeat(40_000)}1`, -101],
        [`values ${"(1) + ".repeat(20_000)}1`, -101],
        [`select 1 from department where ${"1 = 1 and ".repeat(5_000)} 1 = 1`, -101],
        [`select 1${" / edlevel".repeat(2_000)} from employee`, -101],
        [`values (${"1, ".repeat(20_000)}1)`, -101],
        [`values ${"case when 1 = 1 then ".repeat(2_000)} 1 ${"end ".repeat(2_000)}`, -101],
        ["values repeat('a', 2000000000)", -171],
        ["values length(space(2147483647))", -171]
      ] as const) {
        const answer = yield* client.sql(sql)
        expect([sql.slice(0, 40), answer.sql_rc]).toEqual([sql.slice(0, 40), code])
      }
      expect((yield* client.sql(`values ${nested("(", 40)}`)).data).toEqual([[1]])
      expect((yield* client.ask({ type: "ping" })).success).toBe(true)
    })
  )

  it.scopedLive("a message that is too large: the socket is closed with 1009, the others stay", () =>
    Effect.gen(function* () {
      const server = yield* serve({ limits: { messageBytes: 10_000 } })
      const other = yield* connected(server)
      const client = yield* connected(server)
      client.send({ id: "big", type: "sql", sql: `values '${"x".repeat(20_000)}'` })
      expect((yield* client.end).code).toBe(1009)
      expect((yield* other.sql("values 1")).data).toEqual([[1]])
    })
  )

  it.scopedLive("a client that does not read: nothing more is made for it, others are served, and it is cut", () =>
    Effect.gen(function* () {
      const server = yield* serve({ limits: { outboundBytes: 100_000, stall: "2 seconds" } })
      const other = yield* connected(server)
      const client = yield* connected(server)
      const sql = `select a.empno, '${"x".repeat(2_000)}' from employee a, employee b, employee c`
      client.ws.pause()
      for (let i = 0; i < 200; i++) {
        client.send({ id: `q${i}`, type: "sql", sql, rows: 2_000 })
      }
      yield* Effect.forEach(Array.from({ length: 20 }), () => other.sql("values 1"), { discard: true })
      yield* Effect.repeat(Effect.zipLeft(server.sockets, Effect.sleep("100 millis")), {
        until: (sockets) => sockets === 1
      }).pipe(Effect.timeout("20 seconds"))
      expect((yield* other.sql("values 1")).data).toEqual([[1]])
    })
  )

  it.scopedLive("a client that does not read what it has asked for at once: only so much is read for it", () =>
    Effect.gen(function* () {
      let opened = 0
      const counting = Layer.effect(
        SqlTransport.SqlTransport,
        Effect.map(SqlTransport.SqlTransport, (transport) => ({
          ...transport,
          connect: (profile: SqlTransport.Profile) =>
            Effect.map(transport.connect(profile), (session) => ({
              ...session,
              inTransaction: () => session.inTransaction(),
              open: (request: SqlTransport.SqlRequest) => {
                opened++
                return session.open(request)
              }
            }))
        }))
      ).pipe(Layer.provide(SqliteTransport.layer({ filename: `${yield* temporary}/x.db` })))
      const server = yield* serve({ seed: MapepireServer.sample, limits: { outboundBytes: 100_000 } }, counting)
      const client = yield* connected(server)
      client.ws.pause()
      const ids = Array.from({ length: 40 }, (_, i) => `q${i}`)
      ids.forEach((id) => client.send({ id, type: "sql", sql: wide(100), rows: 1_000 }))
      // What the system buffers for both ends is a few pages.
      yield* Effect.sleep("3 seconds")
      expect(opened).toBeGreaterThan(0)
      expect(opened).toBeLessThan(20)
      client.ws.resume()
      yield* Effect.forEach(ids, (id) => client.until(() => client.hasAnswered(id), id), { discard: true })
      expect(opened).toBe(40)
    })
  )

  it.scopedLive("a client that reads slowly: it gets a page that takes it longer than it may stand still", () =>
    Effect.gen(function* () {
      const server = yield* serve({ limits: { outboundBytes: 100_000, stall: "1 second" } })
      const client = yield* connected(server)
      client.send({ id: "big", type: "sql", sql: wide(2_000), rows: 2_000 })
      const stream = streamOf(client)
      while (client.hasAnswered("big") === undefined && client.closed === undefined) {
        stream.pause()
        yield* Effect.sleep("100 millis")
        stream.resume()
        yield* Effect.sleep("1 millis")
      }
      expect(client.closed).toBeUndefined()
    })
  )

  it.scopedLive("a client that reads nothing for a while, where it may do so for ever", () =>
    Effect.gen(function* () {
      const server = yield* serve({ limits: { outboundBytes: 100_000, stall: Infinity } })
      const client = yield* connected(server)
      client.ws.pause()
      client.send({ id: "big", type: "sql", sql: wide(1_000), rows: 1_000 })
      yield* Effect.sleep("1 second")
      client.ws.resume()
      yield* client.until(() => client.hasAnswered("big"), "big")
    })
  )

  it.scopedLive("a flood: requests beyond the limit are read later, none is lost", () =>
    Effect.gen(function* () {
      const server = yield* serve({ limits: { inFlight: 4 } })
      const client = yield* connected(server)
      const ids = Array.from({ length: 500 }, (_, i) => `f${i}`)
      ids.forEach((id) => client.send({ id, type: "ping" }))
      yield* client.until(() => (client.frames.length >= 501 ? true : undefined), "all answers")
      expect(new Set(client.frames.map(({ text }) => (JSON.parse(text) as { id: string }).id)).size).toBe(501)
    })
  )

  it.scopedLive("sockets that come and go with statements under way", () =>
    Effect.gen(function* () {
      const server = yield* serve({ onDisconnect: "stop" })
      yield* Effect.forEach(
        Array.from({ length: 12 }, (_, i) => i),
        (i) =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* connected(server)
              client.send({ id: "spin", type: "sql", sql: spin })
              client.send({ id: "more", type: "sql", sql: "delete from sales" })
              if (i % 2 === 0) {
                yield* client.ask({ type: "ping" })
              }
              client.ws.terminate()
            })
          ),
        { concurrency: 4 }
      )
      yield* Effect.repeat(Effect.zipLeft(server.jobs, Effect.sleep("50 millis")), {
        until: (jobs) => jobs.length === 0
      }).pipe(Effect.timeout("15 seconds"))
      yield* alive(server)
    })
  )

  it.scopedLive("sockets that are gone before their connection is there", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* Effect.forEach(
        Array.from({ length: 10 }),
        () =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* open(server)
              client.send({ id: "c", type: "connect" })
              // So that it arrives, and the answer does not.
              yield* Effect.sleep("5 millis")
              client.ws.terminate()
            })
          ),
        { discard: true }
      )
      yield* Effect.sleep("500 millis")
      yield* Effect.repeat(Effect.zipLeft(server.jobs, Effect.sleep("50 millis")), {
        until: (jobs) => jobs.length === 0
      }).pipe(Effect.timeout("15 seconds"))
    })
  )

  it.scopedLive("a database that fails: in connecting, in answering, and by defects", () =>
    Effect.gen(function* () {
      const faulty = Layer.effect(
        SqlTransport.SqlTransport,
        Effect.map(SqlTransport.SqlTransport, (transport) => ({
          ...transport,
          connect: (profile: SqlTransport.Profile) =>
            Effect.map(transport.connect(profile), (session) => ({
              ...session,
              inTransaction: () => false,
              open: () => Effect.die(new Error("broken")),
              run: () => Effect.die("broken")
            }))
        }))
      ).pipe(Layer.provide(SqliteTransport.layer({ filename: `${yield* temporary}/x.db` })))
      const logged: Array<string> = []
      const logger = Logger.make(({ cause, logLevel, message }) => {
        logged.push(`${logLevel.label} ${String(message)} ${Cause.pretty(cause)}`)
      })
      const server = yield* Effect.provide(serve({}, faulty), Logger.replace(Logger.defaultLogger, logger))
      const client = yield* connected(server)
      const answer = yield* client.sql("values 1")
      expect(answer).toMatchObject({
        success: false,
        error: "Internal Error: the server has failed, and its log tells why"
      })
      expect(logged).toEqual([expect.stringMatching(/^ERROR A request has met a defect: sql Error: broken/)])
      expect((yield* client.sql("create table x (a int)")).success).toBe(false)
      expect((yield* client.ask({ type: "ping" })).success).toBe(true)
      const missing = yield* serve({}, SqliteTransport.layer({ filename: "/nowhere/at/all.db" }))
      const refused = yield* Effect.flatMap(open(missing), (socket) => socket.connect())
      expect(refused).toMatchObject({ success: false, sql_state: null, sql_rc: 0 })
    })
  )
})

describe("closing the server", () => {
  it.scopedLive("closes sockets, stops statements, undoes units of work, and leaves the port", () =>
    Effect.gen(function* () {
      const filename = `${yield* temporary}/test.db`
      const scope = yield* Scope.make()
      const start = (port: number) =>
        Effect.map(
          Layer.buildWithScope(
            MapepireServer.layer({ port, tls: false, seed: port === 0 ? MapepireServer.sample : [] }).pipe(
              Layer.provide(SqliteTransport.layer({ filename }))
            ),
            scope
          ),
          (context) => Effect.runSync(Effect.provide(MapepireServer.MapepireServer, context))
        )
      const server = yield* start(0)
      const idle = yield* connected(server)
      const busy = yield* connected(server)
      const writer = yield* connected(server, "auto commit=false")
      yield* writer.sql("delete from sales")
      busy.send({ id: "spin", type: "sql", sql: spin })
      busy.send({ id: "next", type: "sql", sql: spin })
      yield* busy.ask({ type: "ping" })
      yield* Effect.timeout(Scope.close(scope, Exit.void), "20 seconds")
      expect((yield* idle.end).code).toBe(1001)
      yield* busy.end
      const again = yield* serve({ port: server.port, seed: [] }, SqliteTransport.layer({ filename }))
      const client = yield* connected(again)
      expect((yield* client.sql("select count(*) from sales")).data).toEqual([[8]])
    })
  )

  it.scopedLive.each<readonly [string, MapepireServer.Config, string, string]>([
    ["has said nothing", { tls: {} }, "", ""],
    ["is in the middle of a request", {}, "GET /db/ HTTP/1.1\r\nHost: x\r\n", ""],
    [
      "was refused, and keeps its half open",
      {},
      "GET /db/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      "403"
    ]
  ])("waits for no connection that %s", ([, config, text, answer]) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(serve(config), scope)
      const socket = yield* raw(server.port, text)
      let seen = ""
      socket.on("data", (part) => (seen += part.toString()))
      yield* Effect.sleep("300 millis")
      expect(seen).toContain(answer)
      yield* Effect.timeout(Scope.close(scope, Exit.void), "10 seconds")
    })
  )

  it.scopedLive("a port that is taken is a typed failure", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const failure = yield* Effect.flip(serve({ port: server.port }))
      expect(failure).toMatchObject({ _tag: "MapepireServerError", reason: "Listen" })
      expect(failure.message).toContain(String(server.port))
      const bad = yield* Effect.flip(serve({ tls: { cert: "no", key: "no" } }))
      expect(bad.reason).toBe("Certificate")
      const seed = yield* Effect.flip(serve({ seed: ["creat table x"] }))
      expect([seed.reason, seed.message]).toEqual(["Seed", expect.stringContaining("CREAT")])
    })
  )
})

describe("another transport", () => {
  it.scopedLive("gets texts as they are", () =>
    Effect.gen(function* () {
      const transport = TestTransport.scripted([
        TestTransport.on("select x from y with ur").rows([{ X: 1n, name: "a" }]),
        TestTransport.on("update y set x = 2").changes(3)
      ])
      const server = yield* serve({}, transport)
      const client = yield* connected(server)
      const answer = yield* client.sql("select x from y with ur", { terse: false })
      expect(answer.data).toEqual([{ X: 1, name: "a" }])
      expect((yield* client.sql("update y set x = 2")).update_count).toBe(3)
    })
  )
})

describe("faults on purpose", () => {
  it.scopedLive("happen to the requests that they are for", () =>
    Effect.gen(function* () {
      const server = yield* serve({
        faults: {
          request: ({ id }) => {
            switch (id) {
              case "twice":
                return { _tag: "Twice" }
              case "unknown":
                return { _tag: "UnknownId" }
              case "binary":
                return { _tag: "Binary" }
              case "bare":
                return { _tag: "NoSuccess" }
              case "late":
                return { _tag: "Delay", by: "300 millis" }
              case "never":
                return { _tag: "NoAnswer" }
              case "before":
                return { _tag: "DropBefore" }
              case "after":
                return { _tag: "DropAfter" }
              case "silent":
                return { _tag: "HalfOpen" }
            }
            return undefined
          }
        }
      })
      const client = yield* connected(server)
      for (const id of ["twice", "unknown", "binary", "never", "late", "bare"]) {
        client.send({ id, type: "ping" })
      }
      yield* client.answerTo("late")
      const ids = client.frames.map(({ text }) => (JSON.parse(text) as { id: string }).id)
      expect(ids.filter((id) => id === "twice")).toHaveLength(2)
      expect(ids).toContain("unknown_of_nobody")
      expect(ids).not.toContain("never")
      expect(ids.indexOf("bare")).toBeLessThan(ids.indexOf("late"))
      expect(client.frames.filter(({ binary }) => binary)).toHaveLength(1)
      expect(yield* client.answerTo("bare")).not.toHaveProperty("success")
      client.send({ id: "after", type: "sql", sql: "delete from sales" })
      yield* client.end
      const second = yield* connected(server)
      second.send({ id: "before", type: "sql", sql: "delete from project" })
      yield* second.end
      const third = yield* connected(server)
      expect(
        (yield* third.sql("select (select count(*) from sales), (select count(*) from project) from sysibm.sysdummy1"))
          .data
      ).toEqual([[0, 5]])
      third.send({ id: "silent", type: "sql", sql: spinFor(10) })
      third.send({ id: "ping", type: "ping" })
      yield* Effect.sleep("500 millis")
      expect(third.closed).toBeUndefined()
      expect(third.frames.some(({ text }) => text.includes('"ping"'))).toBe(false)
    })
  )
})
