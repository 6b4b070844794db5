/** What waits for one reader of the stream of changes: so many, and of the rest a number per table. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Change } from "./model.js"

interface Lost {
  readonly database: string | undefined
  readonly table: string | undefined
  rows: number | undefined
}

export class Subscriber {
  private waiting: Array<Change> = []
  private lost = new Map<string, Lost>()
  private wake: (() => void) | undefined
  private ended = false

  constructor(private readonly capacity: number) {}

  offer(changes: ReadonlyArray<Change>): void {
    for (const change of changes) {
      if (this.waiting.length < this.capacity) {
        this.waiting.push(change)
      } else {
        this.lose(change)
      }
    }
    this.rouse()
  }

  private lose(change: Change): void {
    const { database, table } = change
    const rows = change.operation === "unknown" ? change.rows : 1
    const key = JSON.stringify([database, table])
    const known = this.lost.get(key)
    if (known === undefined) {
      this.lost.set(key, { database, table, rows })
    } else {
      known.rows = known.rows === undefined || rows === undefined ? undefined : known.rows + rows
    }
  }

  /** No further change: the stream ends behind what waits. */
  end(): void {
    this.ended = true
    this.rouse()
  }

  private rouse(): void {
    const { wake } = this
    this.wake = undefined
    wake?.()
  }

  /** All that waits, once there is something; `None` at the end. */
  readonly take: Effect.Effect<Chunk.Chunk<Change>, Option.Option<never>> = Effect.suspend(() => {
    if (this.waiting.length > 0) {
      const taken = this.waiting
      for (const lost of this.lost.values()) {
        taken.push({ operation: "unknown", ...lost })
      }
      this.waiting = []
      this.lost = new Map()
      return Effect.succeed(Chunk.unsafeFromArray(taken))
    }
    if (this.ended) {
      return Effect.fail(Option.none())
    }
    return Effect.zipRight(
      Effect.async<void>((resume) => {
        this.wake = () => resume(Effect.void)
      }),
      this.take
    )
  })
}
