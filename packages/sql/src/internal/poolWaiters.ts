/** Who waits for a session, in the order in which they came. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import type { Kind } from "../SessionPool.js"
import type { HeldLease } from "./poolSlot.js"

/** One fiber that waits. It is queued, then either has a lease, or has failed, or has been interrupted. */
export class Waiter {
  queued = false
  /** Set the moment it is chosen: what it was given is never on its way only, and so never lost with an interrupt. */
  lease: HeldLease | undefined
  previous: Waiter | undefined
  next: Waiter | undefined
  cancelTimer: () => void = constVoid

  readonly kind: Kind
  readonly holder: string
  private readonly resume: (signal: Effect.Effect<void, SqlError>) => void

  constructor(kind: Kind, holder: string, resume: (signal: Effect.Effect<void, SqlError>) => void) {
    this.kind = kind
    this.holder = holder
    this.resume = resume
  }

  give(lease: HeldLease): void {
    this.lease = lease
    this.resume(Effect.void)
  }

  fail(cause: Cause.Cause<SqlError>): void {
    this.resume(Effect.failCause(cause))
  }
}

/** A linked list, because an interrupted waiter leaves from the middle and thousands may do so at once. */
export class Waiters {
  head: Waiter | undefined
  shared = 0
  exclusive = 0
  private tail: Waiter | undefined

  get size(): number {
    return this.shared + this.exclusive
  }

  push(waiter: Waiter): void {
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

  /** Takes it out, wherever it stands, and stops its timer. */
  remove(waiter: Waiter): void {
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
