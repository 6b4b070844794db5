/**
 * The driver's lock: one exchange with the database at a time per connection, in no promised order. Those that may be
 * beside others like them share it.
 */
import * as Effect from "effect/Effect"

interface Ticket {
  /** Asked when its turn may have come. */
  readonly shares: () => boolean
  state: "waiting" | "alone" | "sharing"
  call: (() => void) | undefined
}

export class Lock {
  /** How many share it at this moment. */
  sharing = 0
  private alone = false
  private readonly waiting: Array<Ticket> = []
  /** Drawn of those that wait: nobody overtakes it any more. */
  private next: Ticket | undefined

  /** `random`: whoever waits may be next, as with the daemon's threads. `width`: how many may share it. */
  constructor(
    private readonly order: "fifo" | "random",
    private readonly width: number
  ) {}

  /** With the lock for itself. */
  locked<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.shared(
      () => undefined,
      () => work
    )
  }

  /** Beside others, if `look` finds something when the turn has come; otherwise with the lock for itself. */
  shared<Found, A, E, R>(
    look: () => Found | undefined,
    work: (found: Found | undefined) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        let found: Found | undefined
        const ticket: Ticket = {
          shares: () => (found = look()) !== undefined,
          state: "waiting",
          call: undefined
        }
        this.waiting.push(ticket)
        this.give()
        const turn = Effect.suspend(() =>
          Effect.ensuring(
            restore(Effect.suspend(() => work(found))),
            Effect.sync(() => this.release(ticket))
          )
        )
        return ticket.state === "waiting" ? Effect.zipRight(restore(this.wait(ticket)), turn) : turn
      })
    )
  }

  private wait(ticket: Ticket): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      ticket.call = () => resume(Effect.void)
    }).pipe(
      // It may have been given in the very moment of the interrupt.
      Effect.onInterrupt(() => Effect.sync(() => this.leave(ticket)))
    )
  }

  private leave(ticket: Ticket): void {
    if (ticket.state !== "waiting") {
      return this.release(ticket)
    }
    if (this.next === ticket) {
      this.next = undefined
    } else {
      this.waiting.splice(this.waiting.indexOf(ticket), 1)
    }
    this.give()
  }

  private release({ state }: Ticket): void {
    if (state === "sharing") {
      this.sharing--
    } else {
      this.alone = false
    }
    this.give()
  }

  private give(): void {
    while (!this.alone && this.sharing < this.width) {
      const ticket = (this.next ??= this.draw())
      if (ticket === undefined) {
        return
      }
      if (ticket.shares()) {
        ticket.state = "sharing"
        this.sharing++
      } else if (this.sharing > 0) {
        return
      } else {
        ticket.state = "alone"
        this.alone = true
      }
      this.next = undefined
      ticket.call?.()
    }
  }

  private draw(): Ticket | undefined {
    const at = this.order === "fifo" ? 0 : Math.floor(Math.random() * this.waiting.length)
    return this.waiting.splice(at, 1)[0]
  }
}
