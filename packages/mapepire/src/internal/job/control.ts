/**
 * The second job, which stops statements of others. Nothing in the protocol stops a statement; `QSYS2.CANCEL_SQL`, called
 * on another connection, does. It aims at a job, not at a statement, and answers before anything has happened.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as failure from "../failure.js"
import type { Frame } from "../frame.js"
import { ask, runHarmless } from "./ask.js"
import { Once } from "./once.js"
import type { Wire } from "./wire.js"

/** Milliseconds that a cancel may be on its way after it was asked for. While nothing runs it has nothing to hit. */
const arrivesWithin = 250

/** Milliseconds between the first two attempts to stop what a connection in quarantine runs; the next pauses are longer. */
const repeatAfter = 1_000

/**
 * Db2 runs one statement of a job at a time, in any order. So once as many others got through as are unanswered, and one
 * more, those have ended, or never were: closing the connection then ends its transaction, and gives its locks back.
 */
const nothingRuns = (wire: Wire): Effect.Effect<void> =>
  Effect.suspend(() => {
    // Whatever it is answered with: a cancel may hit it. The end of the link is seen elsewhere.
    const other = Effect.catchAll(runHarmless(wire), () => Effect.never)
    return Effect.asVoid(Effect.repeatN(other, wire.unanswered))
  })

/** `NUMBER/USER/NAME`; anything else is never put into a statement. */
const jobName = /^[0-9]{1,6}\/[A-Z0-9_$#@.]{1,10}\/[A-Z0-9_$#@.]{1,10}$/

export class Control {
  private readonly job: Once<Wire, SqlError>
  /** By whether they are for transactions: the ones must not take the room of the others. */
  private readonly quarantined = new Map<Scope.CloseableScope, boolean>()
  /** Told when one of these was closed. */
  private readonly listeners = new Set<() => void>()

  constructor(
    private readonly scope: Scope.CloseableScope,
    open: Effect.Effect<Wire, SqlError, Scope.Scope>,
    /** Milliseconds that a job which did not become quiet is kept, so that its name is not given to another one. */
    private readonly quarantineFor: number
  ) {
    this.job = new Once(scope, open, (wire) => wire.refusal === undefined, failure.closed)
  }

  /** Opens the job, so that a stop need not wait for that. */
  get warm(): Effect.Effect<void> {
    return Effect.ignore(this.job.get)
  }

  /**
   * Asks Db2 to stop what the target's job runs. `wanted` is looked at in the last moment: once the statement has ended,
   * or the connection is given up, the cancel could hit a stranger. Answers whether it was sent; from then on the target
   * knows that it may come.
   */
  cancel(target: Wire, wanted: () => boolean): Effect.Effect<boolean, SqlError> {
    return Effect.flatMap(this.job.get, (wire) => {
      const { job } = target
      if (job === undefined || !wanted()) {
        return Effect.succeed(false)
      }
      if (!jobName.test(job)) {
        return Effect.fail(failure.unsupported(`A job with the name ${job} cannot be told to stop`))
      }
      const sql = `CALL QSYS2.CANCEL_SQL('${job}')`
      const answered = Effect.ensuring(
        Effect.either(ask(wire, { type: "sql", sql, rows: 1, terse: true }, sql)),
        Effect.sync(() => (target.quietFrom = performance.now() + arrivesWithin))
      )
      return Effect.flatMap(answered, (answer) => {
        if (answer._tag === "Left") {
          return Effect.fail(answer.left)
        }
        const frame = answer.right
        this.close(wire, frame)
        return frame.success
          ? Effect.succeed(true)
          : Effect.fail(failure.refused(frame, { job: wire.job, statement: sql }))
      })
    })
  }

  /** Each call costs a statement handle; a control job that has used up its own is replaced by the next cancel. */
  private close(wire: Wire, frame: Frame): void {
    wire.close(frame.id!, wire.epoch)
    if (wire.handles > 8_000) {
      wire.retire(failure.lost("it has used up its statements", "notExecuted", { job: wire.job }))
    }
  }

  /**
   * Takes over a connection whose statement did not stop: closing it would not stop it either, and its job's name could
   * be given to somebody else while a cancel is still on its way. Nobody else uses it, so it is told to stop until its
   * answer comes: it may hold locks. Then, or when it shows that the answer is lost and nothing runs, or after a while, it
   * is closed.
   */
  quarantine(wire: Wire, connection: Scope.CloseableScope, transactional: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.quarantined.set(connection, transactional)
      const end = Effect.ensuring(
        Scope.close(connection, Exit.void),
        Effect.sync(() => {
          this.quarantined.delete(connection)
          for (const listener of [...this.listeners]) {
            listener()
          }
        })
      )
      const answered = Effect.async<void>((resume) => {
        const look = () => {
          if (wire.unanswered === 0 || wire.dead) {
            clearInterval(timer)
            resume(Effect.void)
          }
        }
        const until = performance.now() + this.quarantineFor
        const timer = setInterval(() => {
          look()
          if (performance.now() > until) {
            clearInterval(timer)
            resume(Effect.void)
          }
        }, 250)
        return Effect.sync(() => clearInterval(timer))
      })
      const stopping = (pause: number): Effect.Effect<never> =>
        Effect.zipRight(
          Effect.ignore(this.cancel(wire, () => wire.unanswered > 0 && !wire.dead)),
          Effect.flatMap(Effect.sleep(pause), () => stopping(2 * pause))
        )
      const over = Effect.interruptible(Effect.raceAll([answered, stopping(repeatAfter), nothingRuns(wire)]))
      return Effect.asVoid(Effect.forkIn(Effect.ensuring(over, end), this.scope))
    })
  }

  /** Completes when fewer connections of a kind than that are in quarantine: each is a Db2 job that may still be working. */
  fewerThan(limit: number, transactional: boolean): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = () => {
        const kept = [...this.quarantined.values()].filter((other) => other === transactional)
        if (kept.length < limit) {
          this.listeners.delete(look)
          resume(Effect.void)
        }
      }
      this.listeners.add(look)
      look()
      return Effect.sync(() => this.listeners.delete(look))
    })
  }
}
