/** What a client was sent and has not taken yet. It bounds what is made for one that reads slowly, or not at all. */
import type { Socket } from "node:net"
import * as Effect from "effect/Effect"
import type { Limits } from "./context.js"

/** A timer that is set for longer fires at once. */
const longestTimer = 0x7fffffff

/** Of a stream's handle: bytes that the system has not taken of the one write that is under way. Not in Node's types. */
interface WithHandle {
  readonly _handle?: { readonly writeQueueSize?: number } | null
}

/**
 * What is needed of the WebSocket. Said here, for declarations that name `ws` would ask everybody who installs the package
 * for its types.
 */
interface Peer {
  readonly bufferedAmount: number
  readonly send: (text: string, options: { readonly binary: boolean }, written: () => void) => void
  readonly terminate: () => void
}

export class Outbound {
  private ended = false
  private stalled: NodeJS.Timeout | undefined
  /** Runs when the client has taken what it was sent. */
  private readonly drained = new Set<() => void>()

  constructor(
    private readonly ws: Peer,
    private readonly stream: Socket,
    private readonly limits: Limits
  ) {}

  get full(): boolean {
    return !this.ended && this.ws.bufferedAmount > this.limits.outboundBytes
  }

  /** Nothing more is made for a client before it has taken what it has. Others do not wait for it. */
  after<A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => (this.full ? Effect.zipRight(this.drain, this.after(work)) : work))
  }

  send(text: string, binary: boolean): void {
    this.ws.send(text, { binary }, this.written)
    if (this.stalled === undefined && this.full) {
      this.watch()
    }
  }

  end(): void {
    this.ended = true
    this.resume()
  }

  private readonly drain: Effect.Effect<void> = Effect.async<void>((resume) => {
    const go = () => resume(Effect.void)
    this.drained.add(go)
    return Effect.sync(() => this.drained.delete(go))
  })

  private readonly written = (): void => {
    if (!this.full) {
      this.resume()
    }
  }

  private resume(): void {
    clearTimeout(this.stalled)
    this.stalled = undefined
    for (const resume of this.drained) {
      this.drained.delete(resume)
      resume()
    }
  }

  /** A client that takes nothing for so long will not take anything any more, and what it was sent lies in our memory. */
  private watch(): void {
    const { completed, underWay } = this.progress
    this.stalled = setTimeout(
      () => {
        this.stalled = undefined
        if (!this.full) {
          return
        }
        const now = this.progress
        if (now.completed === completed && now.underWay === underWay) {
          this.ws.terminate()
        } else {
          this.watch()
        }
      },
      Math.min(this.limits.stallMillis, longestTimer)
    )
  }

  /**
   * Bytes of the writes that have ended, and those left of the one under way, which may be a large page: they change with
   * what the client takes only, and not with what is written meanwhile.
   */
  private get progress(): { readonly completed: number; readonly underWay: number | undefined } {
    const { bytesWritten, writableLength } = this.stream
    return {
      completed: bytesWritten - writableLength,
      underWay: (this.stream as WithHandle)._handle?.writeQueueSize
    }
  }
}
