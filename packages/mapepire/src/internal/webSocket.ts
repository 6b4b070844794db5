/**
 * A WebSocket to a daemon: `ws` under `@effect/platform`'s Socket. The constructor is our own, because the platform's takes
 * neither headers nor anything about TLS; and messages are sent past the Socket's writer, which would cost an Effect each.
 */
import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import * as Socket from "@effect/platform/Socket"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as WebSocket from "ws"
import { fetcher } from "./blob.js"
import * as failure from "./failure.js"
import { type MessageTransport, runReader } from "./link.js"
import { longestTimer } from "./longestTimer.js"
import * as tls from "./tls.js"

interface WebSocketOptions {
  readonly host: string
  readonly port: number
  /** False: `ws:`, for daemons that were started unsecured. */
  readonly secure: boolean
  readonly path: string
  /** Basic credentials, encoded. */
  readonly authorization: Redacted.Redacted
  readonly tls: tls.TlsConfig
  /** Bytes of the largest message that is taken; 0: no limit. */
  readonly maxPayload: number
  readonly compression: boolean
  /** Milliseconds from the first packet to the open socket. */
  readonly openTimeout: number
  /** Milliseconds that the other end has to say goodbye. */
  readonly closeTimeout: number
}

/** The upgrade was answered with something else than 101. */
class UpgradeRefused extends Error {
  constructor(
    readonly status: number,
    readonly words: string
  ) {
    super(`HTTP status ${status}`)
  }
}

export const addressOf = (options: { readonly host: string; readonly port: number; readonly secure: boolean }) =>
  `${options.secure ? "wss" : "ws"}://${options.host.includes(":") ? `[${options.host}]` : options.host}:${options.port}`

const construct = (options: WebSocketOptions): WebSocket.WebSocket => {
  const socket = new WebSocket.WebSocket(addressOf(options) + options.path, {
    headers: { Authorization: Redacted.value(options.authorization) },
    handshakeTimeout: Math.min(options.openTimeout, longestTimer),
    maxPayload: options.maxPayload,
    perMessageDeflate: options.compression,
    // A redirect would carry the password to somewhere else.
    followRedirects: false,
    ...(options.secure ? { createConnection: tls.connector(options.tls) as never } : undefined)
  })
  // The platform listens once; the end of a socket that is still connecting emits a second error, which without any
  // listener would end the process.
  socket.on("error", () => {})
  socket.on("unexpected-response", (request, response: IncomingMessage) => {
    response.resume()
    request.destroy()
    socket.emit("error", new UpgradeRefused(response.statusCode ?? 0, response.statusMessage ?? ""))
    socket.terminate()
  })
  return socket
}

const refused = (address: string, error: Socket.SocketError | undefined): SqlError => {
  if (error === undefined) {
    return failure.unreachable(address, "it was closed at once")
  }
  const cause: unknown = error.reason === "Close" ? error : error.cause
  const root: unknown = typeof cause === "object" && cause !== null && "error" in cause ? cause.error : cause
  if (root instanceof UpgradeRefused) {
    return failure.upgradeRefused(address, root.status, root.words)
  }
  if (error.reason === "OpenTimeout" || /handshake has timed out/i.test(failure.textOf(root))) {
    return failure.unreachable(address, "no answer within the time for opening (openTimeout)")
  }
  const advice = tls.adviceFor(root)
  const text = error.reason === "Close" ? `it was closed with code ${error.code}` : failure.textOf(root)
  return advice === undefined
    ? failure.unreachable(address, text, root)
    : // Who is not trusted now will not be in a moment.
      SqlFailure.annotate(failure.unreachable(address, `${text}. ${advice}`, root), { permanent: true })
}

/** What ends a socket too large a message for us, in words that help. */
const explain = (why: string): string =>
  /Max payload size exceeded/i.test(why)
    ? "a message was larger than maxPayload allows; ask for fewer rows per page"
    : why

export const webSocket = (options: WebSocketOptions): MessageTransport => {
  const address = addressOf(options)
  return {
    address,
    open: (events) =>
      Effect.gen(function* () {
        let opened: WebSocket.WebSocket | undefined
        let below: Duplex | undefined
        const acquire = Effect.acquireRelease(
          Effect.try({
            try: () => {
              opened = construct(options)
              opened.once("upgrade", (response) => {
                below = response.socket
              })
              return opened
            },
            catch: (cause) => new Socket.SocketGenericError({ reason: "Open", cause })
          }),
          (socket) => Effect.sync(() => part(socket, options.closeTimeout))
        )
        const socket = yield* Socket.fromWebSocket(acquire as never as Effect.Effect<globalThis.WebSocket>, {
          openTimeout: options.openTimeout,
          // Whatever the code: the end of the socket is the end of what was asked.
          closeCodeIsError: () => true
        })
        yield* runReader(
          socket,
          events.message,
          (why) => events.ended(explain(why)),
          (error) => refused(address, error)
        )
        const ws = opened!
        const gather = gatherer(below)
        ws.on("pong", events.pong)
        return {
          send: (message) => {
            if (ws.readyState !== WebSocket.WebSocket.OPEN) {
              return false
            }
            gather()
            ws.send(message)
            return true
          },
          unsent: () => ws.bufferedAmount,
          blob: fetcher({ ...options, timeout: 60_000 }),
          ping: () => {
            if (ws.readyState === WebSocket.WebSocket.OPEN) {
              ws.ping()
            }
          }
        }
      })
  }
}

/** What is sent within one turn of the event loop leaves together: a system call per message would cost the most of all. */
const gatherer = (below: Duplex | undefined): (() => void) => {
  let gathering = false
  const flush = () => {
    gathering = false
    below!.uncork()
  }
  return () => {
    if (!gathering && below !== undefined) {
      gathering = true
      below.cork()
      setImmediate(flush)
    }
  }
}

/** A goodbye that waits for nobody; without an answer to it the connection is cut. */
const part = (socket: WebSocket.WebSocket, timeout: number): void => {
  if (socket.readyState === WebSocket.WebSocket.CONNECTING) {
    return socket.terminate()
  }
  if (socket.readyState === WebSocket.WebSocket.CLOSED) {
    return
  }
  const timer = setTimeout(() => socket.terminate(), Math.min(timeout, longestTimer))
  timer.unref()
  socket.once("close", () => clearTimeout(timer))
  socket.close(1000)
}
