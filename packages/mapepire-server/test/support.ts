/** What the tests share: a server over a SQLite file, and a client that sees every frame. */
import { mkdtempSync, rmSync } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MapepireServer } from "@sluice/mapepire-server"
import type { SqlTransport } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Context, Effect, Layer, type Scope } from "effect"
import { WebSocket } from "ws"

export const users = { DEV: "secret", OTHER: "other" }

export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-server-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** A server on a database of its own, with the sample tables. Plain, unless told otherwise: handshakes cost time. */
export const serve = (
  config: MapepireServer.Config = {},
  transport?: Layer.Layer<SqlTransport.SqlTransport>
): Effect.Effect<MapepireServer.MapepireServer, MapepireServer.MapepireServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* temporary
    const sqlite = transport ?? SqliteTransport.layer({ filename: join(directory, "test.db") })
    const seed = transport === undefined ? MapepireServer.sample : []
    const context = yield* Layer.build(
      MapepireServer.layer({ port: 0, tls: false, users, seed, ...config }).pipe(Layer.provide(sqlite))
    )
    return Context.get(context, MapepireServer.MapepireServer)
  })

export type Answer = Readonly<Record<string, any>>

export interface OpenOptions {
  readonly user?: string
  readonly password?: string
  readonly header?: string | undefined
  readonly path?: string
  /** More for `ws`, whose types know less of TLS than it does. */
  readonly socket?: object
}

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`

/** A socket and its frames, each as it came. */
export class RawClient {
  readonly frames: Array<{ readonly text: string; readonly binary: boolean }> = []
  closed: { readonly code: number } | undefined
  private next = 0
  private listeners: Array<() => void> = []

  constructor(readonly ws: WebSocket) {
    ws.on("message", (data: Buffer, binary) => {
      this.frames.push({ text: data.toString("utf8"), binary })
      this.listeners.forEach((listener) => listener())
    })
    ws.on("close", (code) => {
      this.closed = { code }
      this.listeners.forEach((listener) => listener())
    })
    ws.on("error", () => {})
  }

  /** What the condition gives, as soon as it gives anything. */
  until<A>(condition: () => A | undefined, what: string): Effect.Effect<A> {
    return Effect.async<A>((resume) => {
      const look = () => {
        const found = condition()
        if (found !== undefined) {
          this.listeners = this.listeners.filter((listener) => listener !== look)
          resume(Effect.succeed(found))
        }
      }
      this.listeners.push(look)
      look()
    }).pipe(
      Effect.timeoutFail({ duration: "15 seconds", onTimeout: () => new Error(`Waited in vain for ${what}`) }),
      Effect.orDie
    )
  }

  send(request: object | string): void {
    this.ws.send(typeof request === "string" ? request : JSON.stringify(request))
  }

  answerTo(id: string): Effect.Effect<Answer> {
    return this.until(() => {
      const frame = this.frames.map(({ text }) => JSON.parse(text) as Answer).find((answer) => answer.id === id)
      return frame
    }, `the answer to ${id}`)
  }

  /** True or undefined: large answers are not worth their parsing. */
  hasAnswered(id: string): true | undefined {
    return this.frames.some(({ text }) => text.startsWith(`{"id":"${id}"`)) || undefined
  }

  textOf(id: string): string {
    return this.frames.find(({ text }) => (JSON.parse(text) as Answer).id === id)!.text
  }

  /** Sends a request under a new id and waits for its answer. */
  ask(request: object): Effect.Effect<Answer> {
    return Effect.suspend(() => {
      const id = `t${this.next++}`
      this.send({ id, ...request })
      return this.answerTo(id)
    })
  }

  connect(props?: string): Effect.Effect<Answer> {
    return this.ask({ type: "connect", technique: "tcp", ...(props === undefined ? {} : { props }) })
  }

  sql(text: string, more: object = {}): Effect.Effect<Answer> {
    return this.ask({ type: "sql", sql: text, terse: true, ...more })
  }

  run(text: string, parameters: ReadonlyArray<unknown>, more: object = {}): Effect.Effect<Answer> {
    return this.ask({ type: "prepare_sql_execute", sql: text, parameters, terse: true, ...more })
  }

  get end(): Effect.Effect<{ readonly code: number }> {
    return this.until(() => this.closed, "the end of the socket")
  }
}

/** Opens a socket; it is cut with the scope. Fails with the status of a refused upgrade. */
export const open = (
  server: MapepireServer.MapepireServer,
  options: OpenOptions = {}
): Effect.Effect<RawClient, { readonly status: number; readonly body: string }, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<RawClient, { readonly status: number; readonly body: string }>((resume) => {
      const header = "header" in options ? options.header : basic(options.user ?? "DEV", options.password ?? "secret")
      const url = server.url.replace("/db/", options.path ?? "/db/")
      const ws = new WebSocket(url, {
        ...(header === undefined ? {} : { headers: { authorization: header } }),
        ...(server.certificate === "" ? {} : { ca: server.certificate, checkServerIdentity: () => undefined }),
        ...options.socket
      })
      const client = new RawClient(ws)
      ws.on("open", () => resume(Effect.succeed(client)))
      ws.on("unexpected-response", (_request, response) => {
        let body = ""
        response.on("data", (part) => (body += part))
        response.on("end", () => resume(Effect.fail({ status: response.statusCode ?? 0, body })))
      })
      ws.on("error", (error) => resume(Effect.fail({ status: 0, body: String(error) })))
    }),
    (client) => Effect.sync(() => client.ws.terminate())
  )

/** A socket whose `connect` has succeeded. */
export const connected = (
  server: MapepireServer.MapepireServer,
  props?: string,
  options?: OpenOptions
): Effect.Effect<
  RawClient & { readonly job: string },
  { readonly status: number; readonly body: string },
  Scope.Scope
> =>
  Effect.flatMap(open(server, options), (client) =>
    Effect.map(client.connect(props), (answer) => {
      if (answer.success !== true) {
        throw new Error(String(answer.error))
      }
      return Object.assign(client, { job: String(answer.job) })
    })
  )

export const get = (
  server: MapepireServer.MapepireServer,
  path: string,
  headers: Record<string, string> = {}
): Effect.Effect<{ readonly status: number; readonly body: Buffer }> =>
  Effect.async((resume) => {
    const secure = server.certificate !== ""
    const request = (secure ? https : http).get(
      {
        host: server.host,
        port: server.port,
        path,
        headers,
        agent: false,
        ...(secure ? { ca: server.certificate, servername: server.commonName } : {})
      },
      (response) => {
        const parts: Array<Buffer> = []
        response.on("data", (part: Buffer) => parts.push(part))
        response.on("end", () =>
          resume(Effect.succeed({ status: response.statusCode ?? 0, body: Buffer.concat(parts) }))
        )
      }
    )
    request.on("error", (error) => resume(Effect.die(error)))
  })

export const authorization = basic

/** A statement that keeps a processor busy and never ends. */
export const spin =
  "with spin(n) as (select 1 from sysibm.sysdummy1 union all select n + 1 from spin) select count(*) from spin"

/** The same, for so many turns. */
export const spinFor = (turns: number): string => `values (select count(*) from (${spinTable(turns)}))`

const spinTable = (turns: number): string =>
  `with spin(n) as (values (1) union all select n + 1 from spin limit ${turns}) select n from spin`
