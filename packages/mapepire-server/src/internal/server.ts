/** The listening server: HTTP routes, upgrades, sockets, and the end of them all. */
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo, Socket as Stream } from "node:net"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { WebSocketServer } from "ws"
import type { Certificate } from "./certificate.js"
import type { ServerContext } from "./context.js"
import { makeFibers } from "./fibers.js"
import { Socket } from "./socket.js"
import { authorize, isDatabasePath } from "./upgrade.js"

export interface Listening {
  readonly port: number
  readonly sockets: () => number
}

/** How long clients may take to answer the close of the server. */
const closeMillis = 1_000

const page = (status: number, reason: string): string =>
  `<html><head><title>Error ${status} ${reason}</title></head><body><h2>HTTP ERROR ${status} ${reason}</h2></body></html>`

/** Answers an upgrade that is refused, and ends the connection, whether or not the client ends its half. */
const refuse = (stream: Duplex, status: number, reason: string): void => {
  const body = page(status, reason)
  stream.once("finish", () => stream.destroy())
  stream.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: text/html;charset=iso-8859-1\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  )
}

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly certificate: Certificate | undefined
  readonly compression: boolean
  /** What a socket leaves running when it goes. */
  readonly onDisconnect: "finish" | "stop"
}

export const listen = (server: ServerContext, options: ListenOptions): Effect.Effect<Listening, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const { run, stop } = yield* makeFibers
    const sockets = new Set<Socket>()
    /** Also those that are no WebSockets (yet): in a handshake of TLS, in the middle of a request, refused. */
    const streams = new Set<Stream>()
    const upgrades = new WebSocketServer({
      noServer: true,
      maxPayload: server.limits.messageBytes,
      perMessageDeflate: options.compression,
      clientTracking: false
    })
    const listener =
      options.certificate === undefined
        ? http.createServer()
        : https.createServer({ cert: options.certificate.cert, key: options.certificate.key })

    listener.on("connection", (stream: Stream) => {
      streams.add(stream)
      stream.once("close", () => streams.delete(stream))
    })

    listener.on("request", (request, response) => {
      request.on("error", () => response.destroy())
      const reads = request.method === "GET" || request.method === "HEAD"
      if (reads && /^\/version(?:\?|$)/.test(request.url ?? "") && server.behaviour.versionRoute) {
        response.writeHead(200, { "content-type": "application/json" })
        response.end(JSON.stringify({ version: server.behaviour.version }))
      } else if (request.method === "GET" && server.blobs !== undefined && request.url?.startsWith("/blob/") === true) {
        server.blobs.serve(request, response)
      } else {
        response.writeHead(404, { "content-type": "text/html;charset=iso-8859-1" }).end(page(404, "Not Found"))
      }
    })

    listener.on("upgrade", (request, stream: Duplex, head) => {
      stream.on("error", () => stream.destroy())
      const refusing = server.faults.refuseUpgrade
      if (refusing !== undefined) {
        return refuse(stream, refusing, http.STATUS_CODES[refusing] ?? "Refused")
      }
      if (!isDatabasePath(request.url)) {
        return refuse(stream, 404, "Not Found")
      }
      const upgrade = authorize(request.headers.authorization)
      if (upgrade._tag === "Rejected") {
        return refuse(stream, upgrade.status, upgrade.reason)
      }
      upgrades.handleUpgrade(request, stream, head, (ws) => {
        const address = request.socket.remoteAddress ?? ""
        const socket = new Socket(server, ws, request.socket, upgrade.credentials, address, run, (ended) => {
          sockets.delete(ended)
          run(ended.cleanUp(options.onDisconnect === "stop"))
        })
        sockets.add(socket)
      })
    })
    // A handshake that fails is the client's business alone.
    listener.on("tlsClientError", (_error, socket) => socket.destroy())
    listener.on("clientError", (_error, socket) => socket.destroy())

    yield* Effect.acquireRelease(
      Effect.async<void, Error>((resume) => {
        const failed = (error: Error) => resume(Effect.fail(error))
        listener.once("error", failed)
        listener.listen(options.port, options.host, () => {
          listener.off("error", failed)
          // A client that could not be taken in, for want of file descriptors perhaps: the others are as well as before.
          listener.on("error", (error) => run(Effect.logWarning("A connection could not be accepted", error)))
          resume(Effect.void)
        })
      }),
      () =>
        Effect.gen(function* () {
          const open = [...sockets]
          const closed = Effect.async<void>((resume) => {
            listener.close(() => resume(Effect.void))
          })
          open.forEach((socket) => socket.close())
          // What runs is stopped first: a connection's end waits for its statement.
          yield* stop
          yield* Effect.forEach(open, (socket) => socket.cleanUp(true), {
            concurrency: "unbounded",
            discard: true
          })
          yield* Effect.sync(() => {
            const timer = setTimeout(
              () => streams.forEach((stream) => stream.destroy()),
              sockets.size === 0 ? 0 : closeMillis
            )
            listener.once("close", () => clearTimeout(timer))
          })
          yield* closed
        })
    )
    return { port: (listener.address() as AddressInfo).port, sockets: () => sockets.size }
  })
