/**
 * The seam below a job: whole messages out, whole messages in. WebSockets carry it today; the daemon's single mode, one
 * JSON document per line over a pipe (through SSH, say), fits it as well.
 */
import type * as Socket from "@effect/platform/Socket"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Scope from "effect/Scope"
import * as failure from "./failure.js"

/** What the other end does, told synchronously and in order. */
export interface LinkEvents {
  /** One whole message. */
  readonly message: (data: string | Uint8Array) => void
  /** A sign of life that is no message. */
  readonly pong: () => void
  /** The link has ended, by whatever cause; told once, and nothing after it. */
  readonly ended: (why: string) => void
}

/** An open link. Its scope closes it; none of these throw or wait. */
export interface Link {
  /** Whether the message was taken. False: the link has ended, nothing was sent. */
  readonly send: (message: string) => boolean
  /** Bytes taken that have not left this process yet. */
  readonly unsent: () => number
  /** Asks for a sign of life, where the link knows how to. */
  readonly ping: (() => void) | undefined
  /** The bytes of a value that the daemon gave an address instead of, where it does that. */
  readonly blob?: ((address: string) => Effect.Effect<Uint8Array, SqlError>) | undefined
}

/**
 * How a job reaches its daemon.
 */
export interface MessageTransport {
  /** Where to, for failures and spans: `wss://host:8076/db/`. */
  readonly address: string
  /** Opens a link for the time of the scope. */
  readonly open: (events: LinkEvents) => Effect.Effect<Link, SqlError, Scope.Scope>
  /** Opened again while it is open it may be the same stream, which has one job: nothing is stopped through a second one. */
  readonly single?: boolean | undefined
}

/**
 * Runs a socket's reader for the time of the scope, and answers once it is open. Its end, also by failure, is told as
 * `ended`; before it was open, as the failure that `refused` makes of it.
 */
export const runReader = (
  socket: Socket.Socket,
  handler: (data: string | Uint8Array) => void,
  ended: (why: string) => void,
  refused: (error: Socket.SocketError | undefined) => SqlError
): Effect.Effect<void, SqlError, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) =>
    Effect.async<void, SqlError>((resume) => {
      let open = false
      const reader = socket
        .runRaw(handler, {
          onOpen: Effect.sync(() => {
            open = true
            resume(Effect.void)
          })
        })
        .pipe(
          Effect.matchEffect({
            onSuccess: () => Effect.succeed<Socket.SocketError | undefined>(undefined),
            onFailure: (error) => Effect.succeed<Socket.SocketError | undefined>(error)
          }),
          Effect.flatMap((error) =>
            Effect.sync(() => (open ? ended(describeEnd(error)) : resume(Effect.fail(refused(error)))))
          ),
          Effect.onInterrupt(() => Effect.sync(() => open && ended("it was closed")))
        )
      const fiber = Effect.runFork(reader)
      Effect.runSync(Scope.addFinalizer(scope, fiber.interruptAsFork(fiber.id()).pipe(Effect.zipRight(fiber.await))))
    })
  )

const describeEnd = (error: Socket.SocketError | undefined): string => {
  if (error === undefined) {
    return "the other end closed it"
  }
  if (error.reason === "Close") {
    const reason = error.closeReason === undefined || error.closeReason === "" ? "" : `: ${error.closeReason}`
    return `the socket was closed with code ${error.code}${reason}`
  }
  return failure.textOf(error.cause)
}

/** Cuts a stream of bytes into lines, across chunks. */
class Lines {
  /** Of the line that has not ended yet. */
  private pieces: Array<string> = []
  private readonly decoder = new TextDecoder()

  constructor(private readonly line: (text: string) => void) {}

  push(chunk: string | Uint8Array): void {
    const text = typeof chunk === "string" ? chunk : this.decoder.decode(chunk, { stream: true })
    let start = 0
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      this.pieces.push(text.slice(start, end))
      const line = this.pieces.join("").trim()
      this.pieces = []
      start = end + 1
      // The daemon's own remarks begin with two slashes.
      if (line !== "" && !line.startsWith("//")) {
        this.line(line)
      }
    }
    this.pieces.push(text.slice(start))
  }
}

/** The daemon's single mode over any byte stream: one JSON document per line, both ways. */
export const lines = (socket: Socket.Socket, address: string): MessageTransport => ({
  address,
  single: true,
  open: (events) =>
    Effect.gen(function* () {
      const outbox = yield* Mailbox.make<string>()
      const lines = new Lines(events.message)
      let unsent = 0
      let over = false
      const ended = (why: string) => {
        if (!over) {
          over = true
          events.ended(why)
        }
      }
      yield* runReader(
        socket,
        (data) => lines.push(data),
        ended,
        (error) => failure.unreachable(address, error === undefined ? "it was closed" : failure.textOf(error))
      )
      // A writer of its own: messages leave in order, and whoever sends never waits.
      const write = yield* socket.writer
      const sending = outbox.take.pipe(
        Effect.flatMap((text) =>
          Effect.zipRight(
            write(text),
            Effect.sync(() => (unsent -= text.length))
          )
        ),
        Effect.forever,
        Effect.catchAll((error) => Effect.sync(() => ended(failure.textOf(error))))
      )
      // It ends by interruption alone, wherever it was opened.
      yield* Effect.forkScoped(Effect.interruptible(sending))
      return {
        send: (message) => {
          if (over) {
            return false
          }
          unsent += message.length + 1
          return outbox.unsafeOffer(message + "\n")
        },
        unsent: () => unsent,
        ping: undefined
      }
    })
})
