/** A line between client and daemon that can be cut, also in the middle of a message, and that can stop for a while. */
import { connect, createServer, type Server, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Random } from "./random.js"

interface Line {
  readonly client: Socket
  readonly server: Socket
  /** Bytes that may still pass to the client; then the line is cut. */
  allowance: number
}

export class Proxy {
  /** Where the daemon listens now; undefined while there is none. */
  target: number | undefined
  private readonly lines = new Set<Line>()

  constructor(
    private readonly server: Server,
    private readonly random: Random
  ) {
    server.on("connection", (client) => this.accept(client))
  }

  get port(): number {
    const address = this.server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }

  private accept(client: Socket): void {
    if (this.target === undefined) {
      return void client.destroy()
    }
    const line: Line = { client, server: connect(this.target, "127.0.0.1"), allowance: Infinity }
    this.lines.add(line)
    const end = () => this.cut(line)
    for (const socket of [client, line.server]) {
      socket.on("error", end).on("close", end).setNoDelay(true)
    }
    client.on("data", (data) => line.server.write(data))
    line.server.on("data", (data) => {
      client.write(data.subarray(0, Math.min(data.length, line.allowance)))
      line.allowance -= data.length
      if (line.allowance <= 0) {
        end()
      }
    })
  }

  private cut(line: Line): void {
    this.lines.delete(line)
    line.client.destroy()
    line.server.destroy()
  }

  private some(): Line | undefined {
    return [...this.lines][this.random.between(0, this.lines.size)]
  }

  /** Cuts a line: at once, or after a few bytes more, in the middle of an answer. Answers whether there was one. */
  drop(): boolean {
    const line = this.some()
    if (line !== undefined && this.random.chance(0.5)) {
      line.allowance = this.random.between(1, 200)
    } else if (line !== undefined) {
      this.cut(line)
    }
    return line !== undefined
  }

  /** Lets nothing through on a line for a while, to either side. */
  stall(millis: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const line = this.some()
      line?.client.pause()
      line?.server.pause()
      return Effect.zipRight(
        Effect.sleep(millis),
        Effect.sync(() => {
          line?.client.resume()
          line?.server.resume()
        })
      )
    })
  }

  cutAll(): void {
    for (const line of this.lines) {
      this.cut(line)
    }
  }
}

/** Listens on a port that is free, for the scope. */
export const makeProxy = (random: Random): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<readonly [Server, Proxy]>((resume) => {
      const server = createServer()
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed([server, new Proxy(server, random)])))
    }),
    ([server, proxy]) =>
      Effect.async<void>((resume) => {
        proxy.target = undefined
        proxy.cutAll()
        server.close(() => resume(Effect.void))
      })
  ).pipe(Effect.map(([, proxy]) => proxy))
