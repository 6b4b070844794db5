/** One caller's way through one or more requests: where it can be stopped, and what must be tidied up then. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { addressesIn, fetchAll, type Sizes } from "../blob.js"
import * as failure from "../failure.js"
import type { Frame } from "../frame.js"
import { longestTimer } from "../longestTimer.js"
import { Call, type Settle } from "./call.js"
import type { Handle } from "./handles.js"
import type { Stops } from "./stop.js"
import type { Wire } from "./wire.js"

/** What of a request matters here; the rest has defaults. */
export type TaskRequest = Pick<SqlTransport.SqlRequest, "text" | "deadline"> & Partial<SqlTransport.SqlRequest>

/** Bytes by address. */
export type Blobs = ReadonlyMap<string, Uint8Array>

export class Task {
  /** What is asked now. */
  call: Call | undefined
  /** A kept handle that is in use. If its execution is stopped or fails it is not kept any longer. */
  borrowed: Handle | undefined
  /** The statement closes the cursors that are open on its job. */
  closesCursors = false
  /** Its job is given up unless it is answered within the grace period. */
  inGrace = false
  /** Values of a page are being fetched. */
  private stopFetch: ((why: SqlError) => void) | undefined

  constructor(
    readonly wire: Wire,
    private readonly stops: Stops,
    readonly request: TaskRequest
  ) {}

  /**
   * One request. The response is made into an answer in the moment in which it comes, so that nothing can be lost between
   * the two; an error as answer fails the Effect.
   */
  ask<A>(
    request: Call["request"],
    answer: (frame: Frame, id: string, blobs?: Blobs) => A | SqlError,
    mayHaveBlobs?: (frame: Frame) => boolean
  ): Effect.Effect<A, SqlError> {
    return SqlTransport.async<A, SqlError>((resume) => {
      let forget: (() => void) | undefined
      const settle: Settle = (error, frame) => {
        forget?.()
        if (error !== undefined) {
          this.discard()
          return resume(Effect.fail(error))
        }
        const conclude = (blobs: Blobs | undefined, failed?: SqlError) => {
          let result: A | SqlError
          try {
            result = answer(frame!, call.id, blobs)
          } catch (defect) {
            return resume(Effect.die(defect))
          }
          resume(
            failed !== undefined
              ? Effect.fail(failed)
              : failure.isSqlError(result)
                ? Effect.fail(result)
                : Effect.succeed(result)
          )
        }
        let addresses: Sizes | undefined
        try {
          addresses =
            frame!.data !== undefined && mayHaveBlobs?.(frame!) === true ? addressesIn(frame!.data) : undefined
        } catch (defect) {
          return resume(Effect.die(defect))
        }
        const fetch = this.wire.link?.blob
        if (addresses === undefined || addresses.size === 0 || fetch === undefined) {
          return conclude(undefined)
        }
        this.fetch(fetchAll(addresses, fetch), conclude)
      }
      const call = new Call(request, this.request.deadline, this.request.text, settle, this.closesCursors)
      this.call = call
      if (this.inGrace) {
        forget = this.stops.orGiveUp(call)
      }
      this.wire.submit(call)
    })
  }

  /** Fetches values of a page that came: within the deadline, and until somebody wants them no more. */
  private fetch(
    blobs: Effect.Effect<Blobs, SqlError>,
    conclude: (blobs: Blobs | undefined, failed?: SqlError) => void
  ): void {
    const { deadline, text } = this.request
    const { wire } = this
    let over = false
    const end = (blobs: Blobs | undefined, failed?: SqlError) => {
      if (!over) {
        over = true
        clearTimeout(timer)
        wire.fetches.delete(stop)
        this.stopFetch = undefined
        conclude(blobs, failed)
      }
    }
    const stop = (why: SqlError) => {
      end(undefined, SqlFailure.annotate(why, { statement: text }))
      cancel()
    }
    // The statement itself has come to its end.
    const late = () => stop(failure.late({ job: wire.job, statement: text }, "executed"))
    const rest = Math.min(Math.max(0, deadline - performance.now()), longestTimer)
    const timer = deadline === Infinity ? undefined : setTimeout(late, rest)
    wire.fetches.add(stop)
    this.stopFetch = stop
    const cancel = Effect.runCallback(Effect.either(blobs), {
      onExit: (exit) =>
        exit._tag === "Failure"
          ? end(undefined, failure.protocol(Cause.pretty(exit.cause), { job: wire.job, statement: text }))
          : exit.value._tag === "Left"
            ? end(undefined, exit.value.left)
            : end(exit.value.right)
    })
  }

  /** Completes when whoever is interrupted may go on. */
  get interrupted(): Effect.Effect<void> {
    return SqlTransport.async((resume) => {
      const { call } = this
      if (call === undefined) {
        return resume(Effect.void)
      }
      this.stopFetch?.(failure.poisoned({ job: this.wire.job, statement: this.request.text }))
      if (!call.settled) {
        this.wire.abandon(call)
      }
      this.stops.stop(call, () => {
        this.discard()
        resume(Effect.void)
      })
    })
  }

  private discard(): void {
    const handle = this.borrowed
    const { call } = this
    this.borrowed = undefined
    if (handle !== undefined && call !== undefined) {
      // Never while it is executed: the daemon would forget the id at once.
      call.whenAnswered(() => this.wire.close(handle.id, handle.epoch))
    }
  }
}
