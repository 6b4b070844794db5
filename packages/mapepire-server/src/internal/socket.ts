/** One socket: its messages in, its answers out. */
import type { Socket as Stream } from "node:net"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { WebSocket } from "ws"
import { Client } from "./client.js"
import type { ServerContext } from "./context.js"
import { dispatch, type Dispatched } from "./dispatch.js"
import type { Fault } from "./faults.js"
import type { Run } from "./fibers.js"
import { Gather } from "./gather.js"
import { Outbound } from "./outbound.js"
import { defect, frame, type Reply } from "./reply.js"
import type { Credentials } from "./upgrade.js"

export class Socket {
  private readonly client: Client
  private readonly gather: Gather
  private readonly inbox: Array<string> = []
  /** A request that blocks the reading of others runs. */
  private blocked = false
  private inFlight = 0
  private silent = false
  private ended = false
  private paused = false
  private readonly outbound: Outbound

  constructor(
    private readonly server: ServerContext,
    private readonly ws: WebSocket,
    stream: Stream,
    credentials: Credentials,
    address: string,
    private readonly run: Run,
    private readonly onEnd: (socket: Socket) => void
  ) {
    this.outbound = new Outbound(ws, stream, server.limits)
    this.client = new Client(server, credentials, address, run, this.outbound)
    this.gather = new Gather(stream, () => this.inFlight > 0)
    // The data's kind is not looked at: whatever its listeners do, a socket's failure is its own.
    ws.on("message", (data: Buffer, isBinary) => {
      if (!isBinary && !this.silent) {
        this.inbox.push(data.toString("utf8"))
        this.pump()
      }
    })
    ws.on("error", () => ws.terminate())
    ws.on("close", () => this.end())
  }

  /** Asks the client to go, then leaves. */
  close(): void {
    this.ws.close(1001, "The server is shutting down")
  }

  /** Everything that the socket had: what runs is stopped or waited for. */
  cleanUp(stop: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.client.connection = undefined
      return Effect.forEach(
        this.client.left,
        (connection) => (stop ? Effect.zipRight(connection.stop, connection.close) : connection.close),
        { concurrency: "unbounded", discard: true }
      )
    })
  }

  private end(): void {
    if (!this.ended) {
      this.ended = true
      this.client.end()
      this.inbox.length = 0
      this.outbound.end()
      this.gather.end()
      this.onEnd(this)
    }
  }

  /** Begins what may begin; stops reading while there is more than that. */
  private pump(): void {
    while (!this.ended && !this.blocked && this.inbox.length > 0 && this.inFlight < this.server.limits.inFlight) {
      this.begin(this.inbox.shift()!)
    }
    this.read(this.inbox.length === 0 && !this.blocked)
  }

  private read(wanted: boolean): void {
    if (wanted === this.paused && this.ws.readyState === this.ws.OPEN && !this.silent) {
      this.paused = !wanted
      if (wanted) {
        this.ws.resume()
      } else {
        this.ws.pause()
      }
    }
  }

  private begin(message: string): void {
    const started = performance.now()
    const dispatched = dispatch(this.client, message)
    const { id, type } = dispatched
    const { user } = this.client.credentials
    const fault = this.server.faults.request?.({ id, type, user, number: ++this.server.counters.requests })
    const ready = fault === undefined && !this.outbound.full ? dispatched.now?.() : undefined
    if (ready !== undefined) {
      // That of `sqlclose` is waited for by few, and there is one for each statement.
      const hurries = type !== "sqlclose"
      return this.write(frame(id, ready, Math.round(performance.now() - started)), hurries)
    }
    this.inFlight++
    this.blocked ||= dispatched.blocks
    const done = Effect.sync(() => {
      this.inFlight--
      if (dispatched.blocks) {
        this.blocked = false
      }
      this.pump()
    })
    this.run(Effect.ensuring(this.answer(dispatched, fault, started), done))
  }

  private answer(dispatched: Dispatched, fault: Fault | undefined, started: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      switch (fault?._tag) {
        case "DropBefore":
          this.ws.terminate()
          return Effect.void
        case "HalfOpen":
          this.silent = true
          this.ws.pause()
          return Effect.void
      }
      return Effect.flatMap(this.outcome(dispatched), (reply) => this.send(dispatched.id, reply, fault, started))
    })
  }

  /**
   * No defect reaches the socket: it is an answer as any other, and what it was stands in the log. So is an interruption
   * that got here: it was of something that the request has waited for, and not of the request itself, whose own handlers
   * would not run any more.
   */
  private outcome(dispatched: Dispatched): Effect.Effect<Reply> {
    return Effect.catchAllCause(this.outbound.after(dispatched.answer), (cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.succeed(defect("InterruptedException: null"))
        : Effect.as(Effect.logError(`A request has met a defect: ${dispatched.type}`, cause), defect(nameOf(cause)))
    )
  }

  private send(id: string, reply: Reply, fault: Fault | undefined, started: number): Effect.Effect<void> {
    const write = Effect.sync(() => {
      const text = frame(id, reply, Math.round(performance.now() - started))
      switch (fault?._tag) {
        case "DropAfter":
          return this.ws.terminate()
        case "NoAnswer":
          return
        case "NoSuccess":
          return this.write(text.replace(/"success":(?:true|false),/, ""))
        case "Binary":
          return this.write(text, true, true)
        case "UnknownId":
          this.write(frame(`${id}_of_nobody`, { fields: "" }, 0))
          return this.write(text)
        case "Twice":
          this.write(text)
          return this.write(text)
        default:
          return this.write(text)
      }
    })
    return fault?._tag === "Delay" ? Effect.delay(write, fault.by) : write
  }

  private write(text: string, hurries = true, binary = this.server.behaviour.binaryResponses): void {
    if (this.ended || this.silent || this.ws.readyState !== this.ws.OPEN) {
      return
    }
    this.gather.before(hurries)
    this.outbound.send(text, binary)
  }
}

/** A result may be too large for one text. */
const nameOf = (cause: Cause.Cause<never>): string =>
  Cause.squash(cause) instanceof RangeError ? "OutOfMemoryError: null" : "the server has failed, and its log tells why"
