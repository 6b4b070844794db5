/**
 * Stops what a job runs, and makes sure that the stop is over before anybody else uses the job.
 *
 * A cancel is aimed at a job and arrives when it likes. So while one is on its way nothing else is sent on the job; when
 * the statement was not answered with -952 the cancel may still be coming, and a harmless statement is run into it, after
 * which nothing is run for a moment; and if the job does not become quiet in time it is given up.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { SqlFailure } from "@sluice/sql"
import * as failure from "../failure.js"
import type { Frame } from "../frame.js"
import { longestTimer } from "../longestTimer.js"
import { runHarmless } from "./ask.js"
import type { Call } from "./call.js"
import type { Control } from "./control.js"
import type { Wire } from "./wire.js"

const isCancelled = (frame: Frame | undefined): boolean =>
  frame !== undefined && !frame.success && failure.isCancelled(frame)

/** A cancel that finds nothing to stop is lost (the daemon may not have begun): it is sent again after so long. */
const repeatAfter = 1_000

/** One that could not be sent, or went down with the line of the control job, is sent again on a new one after so long. */
const retryAfter = 100

/** More cancels than that cannot be on their way. */
const maxProbes = 20

export class Stops {
  constructor(
    private readonly wire: Wire,
    /** Undefined: nothing is ever stopped, only waited for where nobody shares the job, else left behind. */
    private readonly control: Control | undefined,
    /** Milliseconds. */
    private readonly grace: number,
    private readonly retire: (error: SqlError) => void
  ) {}

  /**
   * Deals with a call whose caller does not want it any more; `done` is told, once, when the caller may go on. One that
   * other callers share the job with is left behind: a cancel could hit theirs.
   */
  stop(call: Call, done: () => void): void {
    const { wire } = this
    if (call.answered) {
      return done()
    }
    if (!call.sent) {
      wire.drop(call)
      return done()
    }
    if (call.stopping !== undefined) {
      return call.stopping(done)
    }
    const { control } = this
    const alone = wire.alone(call)
    const stoppable = control !== undefined || wire.serial
    // A cancel would be for the job that is there now.
    const replaced = call.epoch !== wire.epoch
    if (!stoppable || wire.job === undefined || !call.works || !alone || replaced) {
      // Left behind: its answer will be dropped, and what it opened closed.
      call.stopping = (another) => another()
      if (control !== undefined && wire.job !== undefined && !alone && !replaced) {
        this.leaveBehind(call, control)
      }
      return done()
    }
    const waiting: Array<() => void> = [done]
    let over = false
    call.stopping = (another) => (over ? another() : void waiting.push(another))
    wire.hold()
    Effect.runFork(
      Effect.timeoutTo(Effect.either(control === undefined ? this.answered(call) : this.quiet(call, control)), {
        duration: this.grace,
        onSuccess: (result) => (result._tag === "Right" ? result.right : false),
        onTimeout: () => false
      })
    ).addObserver((exit) => {
      over = true
      if (!(exit._tag === "Success" && exit.value) && !wire.dead) {
        this.retire(failure.stuck(wire.subject(call)))
      }
      for (const one of waiting) {
        one()
      }
      wire.release()
    })
  }

  /**
   * The others on the job may wait for the one that nobody wants any more. If it has not ended after the grace period the
   * job is given up, and only then stopped: nobody else's statement can be hit by that.
   */
  private leaveBehind(call: Call, control: Control): void {
    const timer = setTimeout(() => {
      if (!call.answered && !this.wire.dead) {
        const error = failure.stuck(this.wire.subject(call))
        this.retire(error)
        this.wire.abort(error)
        Effect.runFork(Effect.ignore(control.cancel(this.wire, () => !call.answered && !this.wire.dead)))
      }
    }, this.timerGrace)
    timer.unref()
    call.whenAnswered(() => clearTimeout(timer))
  }

  /**
   * For a ROLLBACK, and for what ends a savepoint: unless it is answered within the grace period its job is given up, and
   * its caller told. That loses nothing but the transaction, which the daemon rolls back when the connection ends; a COMMIT
   * must be waited for. The answer takes it back.
   */
  orGiveUp(call: Call): () => void {
    const timer = setTimeout(() => {
      if (!call.answered && !this.wire.dead) {
        const error = failure.stuck(this.wire.subject(call))
        this.retire(error)
        this.wire.settle(call, error, undefined)
      }
    }, this.timerGrace)
    return () => clearTimeout(timer)
  }

  private get timerGrace(): number {
    return Math.min(this.grace, longestTimer)
  }

  /** Where nothing can be stopped, it may still end by itself. */
  private answered(call: Call): Effect.Effect<boolean> {
    return Effect.async((resume) => {
      const forget = call.whenAnswered(() => resume(Effect.succeed(true)))
      return Effect.sync(forget)
    })
  }

  /** True once the job is quiet, false if it never will be for sure. */
  private quiet(call: Call, control: Control): Effect.Effect<boolean, SqlError> {
    return Effect.gen(this, function* () {
      let cancels = 0
      // A cancel whose fate nobody knows may still come, at any time.
      let astray = false
      while (!call.answered) {
        const sent = yield* Effect.either(control.cancel(this.wire, () => !call.answered && !this.wire.dead))
        if (sent._tag === "Left") {
          const { outcome, reason } = SqlFailure.from(sent.left)
          astray ||= outcome !== "notExecuted"
          if (reason !== "SessionLost" && reason !== "Connection") {
            // It cannot be stopped; but perhaps it ended meanwhile.
            return call.answered && cancels === 0 && !astray
          }
        } else {
          cancels += sent.right ? 1 : 0
        }
        yield* this.answerWithin(call, sent._tag === "Left" ? retryAfter : repeatAfter)
      }
      if (astray) {
        return this.wire.dead
      }
      if (cancels === 0 || (cancels === 1 && isCancelled(call.stoppedWith))) {
        this.wire.quietFrom = 0
        return true
      }
      if (this.wire.dead) {
        return true
      }
      return yield* this.probe(cancels)
    })
  }

  /** Runs into the cancels that may still be coming, until one statement gets through. */
  private probe(cancels: number): Effect.Effect<boolean, SqlError> {
    return Effect.gen(this, function* () {
      for (let probes = 0; probes < Math.min(cancels + 2, maxProbes); probes++) {
        const frame = yield* runHarmless(this.wire)
        this.wire.close(frame.id!, this.wire.epoch)
        if (frame.success) {
          return true
        }
        if (!isCancelled(frame)) {
          return false
        }
      }
      return false
    })
  }

  private answerWithin(call: Call, millis: number): Effect.Effect<void> {
    return Effect.async((resume) => {
      if (call.answered) {
        return resume(Effect.void)
      }
      const over = () => {
        clearTimeout(timer)
        forget()
        resume(Effect.void)
      }
      const timer = setTimeout(over, millis)
      const forget = call.whenAnswered(over)
      return Effect.sync(() => {
        clearTimeout(timer)
        forget()
      })
    })
  }
}
