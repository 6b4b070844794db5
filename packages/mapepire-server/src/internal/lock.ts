/** The driver's lock: one exchange with the database at a time per connection, in no promised order. */
import * as Effect from "effect/Effect"

interface Ticket {
  given: boolean
  call: (() => void) | undefined
}

export class Lock {
  private held = false
  private readonly waiting: Array<Ticket> = []

  /** `random`: whoever waits may be next, as with the daemon's threads. */
  constructor(private readonly order: "fifo" | "random") {}

  readonly locked = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const ticket: Ticket = { given: false, call: undefined }
        return restore(this.wait(ticket)).pipe(
          // It may have been given in the very moment of the interrupt.
          Effect.onInterrupt(() => Effect.sync(() => this.leave(ticket))),
          Effect.zipRight(
            Effect.ensuring(
              restore(work),
              Effect.sync(() => this.release())
            )
          )
        )
      })
    )

  private wait(ticket: Ticket): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (!this.held) {
        this.held = true
        ticket.given = true
        return resume(Effect.void)
      }
      ticket.call = () => resume(Effect.void)
      this.waiting.push(ticket)
    })
  }

  private leave(ticket: Ticket): void {
    if (ticket.given) {
      this.release()
    } else if (ticket.call !== undefined) {
      this.waiting.splice(this.waiting.indexOf(ticket), 1)
    }
  }

  private release(): void {
    const at = this.order === "fifo" ? 0 : Math.floor(Math.random() * this.waiting.length)
    const [next] = this.waiting.splice(at, 1)
    if (next === undefined) {
      this.held = false
    } else {
      next.given = true
      next.call!()
    }
  }
}
