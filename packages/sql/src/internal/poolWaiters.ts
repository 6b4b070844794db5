/** Who waits for a session, in the order in which they came. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import type { Kind, Lease } from "../SessionPool.js"
import type { HeldLease } from "./poolSlot.js"
import { async, uninterruptibleMask } from "./primitives.js"

/** What is put around the wait: interruptibility, a deadline. */
export type Wait = (signal: Effect.Effect<void, SqlError>) => Effect.Effect<void, SqlError>

/** One fiber that waits. It is queued, then either has a lease, or has failed, or has left. */
export class Waiter {
  queued = false
  /** Milliseconds of `performance.now()`. */
  readonly since = performance.now()
  lease: HeldLease | undefined
  previous: Waiter | undefined
  next: Waiter | undefined
  cancelTimer: () => void = constVoid
  readonly kind: Kind
  readonly holder: string
  readonly resume: (signal: Effect.Effect<void, SqlError>) => void

  constructor(kind: Kind, holder: string, resume: (signal: Effect.Effect<void, SqlError>) => void) {
    this.kind = kind
    this.holder = holder
    this.resume = resume
  }
}

/** A linked list, because an interrupted waiter leaves from the middle, and thousands may do so at once. */
export class Waiters {
  head: Waiter | undefined
  shared = 0
  exclusive = 0
  private tail: Waiter | undefined

  get size(): number {
    return this.shared + this.exclusive
  }

  /**
   * Joins the queue and waits. `joined` and `left` are told, so that the pool may serve it, or those behind it.
   *
   * The signal carries nothing: the lease is the waiter's from the moment it is chosen. When an interrupt, or a deadline
   * put around the wait, comes just as the signal is on its way, the lease is still found here and given back.
   */
  wait(
    kind: Kind,
    holder: string,
    wait: Wait,
    on: { readonly joined: (waiter: Waiter) => void; readonly left: () => void }
  ): Effect.Effect<Lease, SqlError> {
    let waiter: Waiter | undefined
    const signal = async<void, SqlError>((resume) => {
      waiter = new Waiter(kind, holder, resume)
      this.push(waiter)
      on.joined(waiter)
    })
    return uninterruptibleMask(() =>
      Effect.matchCauseEffect(wait(signal), {
        onFailure: (cause) => {
          if (waiter?.queued === true) {
            this.remove(waiter)
            on.left()
          }
          waiter?.lease?.end(true)
          return Effect.failCause(cause)
        },
        onSuccess: () =>
          waiter?.lease === undefined
            ? Effect.dieMessage("The wait for a lease ended before it came")
            : Effect.succeed(waiter.lease)
      })
    )
  }

  give(waiter: Waiter, lease: HeldLease): void {
    this.remove(waiter)
    waiter.lease = lease
    waiter.resume(Effect.void)
  }

  fail(waiter: Waiter, cause: Cause.Cause<SqlError>): void {
    this.remove(waiter)
    waiter.resume(Effect.failCause(cause))
  }

  private push(waiter: Waiter): void {
    waiter.queued = true
    waiter.previous = this.tail
    if (this.tail === undefined) {
      this.head = waiter
    } else {
      this.tail.next = waiter
    }
    this.tail = waiter
    this[waiter.kind]++
  }

  /** Out of the queue, wherever it stands, and its timer stopped. */
  private remove(waiter: Waiter): void {
    waiter.queued = false
    waiter.cancelTimer()
    if (waiter.previous === undefined) {
      this.head = waiter.next
    } else {
      waiter.previous.next = waiter.next
    }
    if (waiter.next === undefined) {
      this.tail = waiter.previous
    } else {
      waiter.next.previous = waiter.previous
    }
    waiter.previous = undefined
    waiter.next = undefined
    this[waiter.kind]--
  }
}
