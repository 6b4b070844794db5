/**
 * Transactions: begin, run, commit or roll back; each level inside is a savepoint.
 *
 * Waiting for the session and beginning are interruptible; commit and rollback are not, and have no deadline. Whatever
 * happens, the session is given back clean, or it is retired.
 */
import * as EffectSql from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Tracer from "effect/Tracer"
import * as SqlFailure from "../SqlFailure.js"
import type * as SqlTransport from "../SqlTransport.js"
import { wrongOption } from "./beginOptions.js"
import { LevelConnection } from "./connection.js"
import type { Core } from "./core.js"
import { within } from "./deadline.js"
import { type AnyFiber, withFiber } from "./fiber.js"
import { type Bound, Level, type Root, rootOf, undoneIn } from "./level.js"
import { failAfterLoss } from "./lost.js"
import { thenAlways } from "./primitives.js"
import { deadlineOf, withDeadline } from "./settings.js"
import { inSpan, isTraced, spanTime, startSpan } from "./telemetry.js"
import type { Restore } from "./turn.js"

/**
 * Options of `sql.transaction`: locking `mode` (SQLite), `isolation` and `readOnly` (where the database has them), a
 * `deadline` for waiting, beginning and the statements of the body, and a `retry` schedule that is followed on
 * `Serialization`, `Deadlock` and `LockTimeout` only, and not after a commit that may have been done. What the body
 * does beside statements is not interrupted when the deadline passes; its next statement fails. `Effect.timeout`
 * around the transaction bounds that, too.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionOptions extends SqlTransport.BeginOptions {
  /** Bounds waiting, beginning and the statements of the body; not commit or rollback. */
  readonly deadline?: Duration.DurationInput | undefined
  /** Runs the whole transaction again, on `Serialization`, `Deadlock` and `LockTimeout` only. */
  readonly retry?: Schedule.Schedule<unknown, SqlError> | undefined
}

/** It was in the way of somebody else: run again it may succeed. */
const isConflict = SqlFailure.is("Serialization", "Deadlock", "LockTimeout")

/** With its session a transaction is undone, savepoints and all; whoever is in it is told by its next statement. */
const isTold = (cause: Cause.Cause<SqlError>) =>
  Option.exists(Cause.failureOption(cause), SqlFailure.is("SessionLost", "Closed"))

/** A transaction that only its whole rollback can end takes none to a savepoint: its next statement tells that, too. */
const isDoomed = (cause: Cause.Cause<SqlError>) =>
  Option.exists(Cause.failureOption(cause), SqlFailure.is("TransactionGone"))

/** It is over, and nothing of it is there: no statement before the one that it was undone with may have committed it. */
const isUndone = (root: Root) => root.undone && !root.unsure

/** Failures of commits that may have been done all the same: their transactions are not run again. */
const unsure = new WeakSet<SqlError>()

const noteUnsure = (error: SqlError) =>
  Effect.sync(() => SqlFailure.from(error).outcome !== "notExecuted" && unsure.add(error))

const isSqlError = (error: unknown): error is SqlError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "SqlError"

/** One attempt at a transaction or a savepoint: what each of its steps needs. */
interface Attempt<A, E, R> {
  readonly core: Core
  readonly fiber: AnyFiber
  readonly options: TransactionOptions
  readonly effect: Effect.Effect<A, E, R>
  readonly restore: Restore
  readonly span: Tracer.Span | undefined
  readonly bounds: ReadonlyArray<Bound>
  /** For what comes before the body, by the fiber's clock; `Infinity`: none. */
  readonly deadline: number
}

export const transaction =
  (core: Core, options: TransactionOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> => {
    const once = (around?: number): Effect.Effect<A, E | SqlError, R> =>
      Effect.uninterruptibleMask((restore) =>
        withFiber<A, E | SqlError, R>((fiber) => {
          const parent = core.levelOf(fiber.currentContext)
          const bounds = parent === undefined ? [] : [...parent.bounds]
          if (around !== undefined) {
            bounds.unshift({ own: deadlineOf(fiber.currentContext), around })
          }
          const run = (span: Tracer.Span | undefined) => {
            const deadline = deadlineOf(fiber.currentContext)
            const attempt = { core, fiber, options, effect, restore, span, bounds, deadline }
            return parent === undefined || parent.root.use === "free"
              ? outermost(attempt, parent)
              : nested(attempt, parent)
          }
          if (!isTraced(fiber)) {
            return run(undefined)
          }
          const span = startSpan(fiber, "sql.transaction", core.telemetry.attributes)
          return inSpan(fiber, span, run(span))
        })
      )
    const wrong = wrongOption(options)
    if (wrong !== undefined) {
      return Effect.fail(wrong)
    }
    const { deadline } = options
    const bounded =
      deadline === undefined
        ? once()
        : withFiber<A, E | SqlError, R>((fiber) => withDeadline(deadline)(once(deadlineOf(fiber.currentContext))))
    return options.retry === undefined
      ? bounded
      : Effect.retry(bounded, {
          schedule: options.retry as Schedule.Schedule<unknown, E | SqlError>,
          while: (error) => isSqlError(error) && isConflict(error) && !unsure.has(error)
        })
  }

/** The body, with the level (and, for resolvers, `@effect/sql`'s own tag) in its context. */
const body = <A, E, R>(
  { core, effect, restore, span }: Attempt<A, E, R>,
  level: Level
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  withFiber((fiber) => {
    let context: Context.Context<never> = Context.add(fiber.currentContext, core.tag, level)
    context = Context.add(context, EffectSql.TransactionConnection, [level.connection, level.depth])
    context = core.requesters.within(context, span, level)
    return Effect.exit(Effect.locally(restore(effect), FiberRef.currentContext, context))
  })

const outermost = <A, E, R>(
  attempt: Attempt<A, E, R>,
  reserved: Level | undefined
): Effect.Effect<A, E | SqlError, R> => {
  const { core, deadline, fiber, options, restore } = attempt
  const on = (session: SqlTransport.Session, retire: Effect.Effect<void>, giveBack: Effect.Effect<void>) => {
    const around = Context.getOrElse(fiber.currentContext, EffectSql.TransactionConnection, () => undefined)
    const root = rootOf({ session, use: "required", options, around })
    // What comes after the commit may run statements of its own: the session is free for them by then.
    const whole = Effect.zipLeft(
      Effect.ensuring(onSession(attempt, root, retire), giveBack),
      Effect.suspend(() => {
        root.committed = true
        root.ended = true
        return Effect.all(root.afterCommit, { discard: true })
      })
    )
    return Effect.ensuring(
      whole,
      Effect.suspend(() => {
        root.ended = true
        return Effect.all(root.atEnd, { discard: true })
      })
    )
  }
  // On a reserved session the transaction runs there: its holder asked for that session.
  if (reserved !== undefined) {
    const drop = Effect.sync(() => reserved.turn.drop())
    return Effect.flatMap(reserved.turn.take(restore, reserved.waiting({ text: "BEGIN", until: deadline })), () => {
      const ended = reserved.ended()
      return ended === undefined ? on(reserved.session, Effect.void, drop) : Effect.zipRight(drop, Effect.fail(ended))
    })
  }
  return Effect.flatMap(core.lease(fiber, restore, core.pools.transaction, "exclusive", { deadline }), (lease) =>
    on(lease.session, lease.retire, lease.release)
  )
}

/** Puts a deadline on what comes before a transaction's or a savepoint's body. */
const boundedBy =
  (deadline: number) =>
  (text: string) =>
  <A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    deadline === Infinity ? effect : within(effect, deadline, text, "notExecuted")

const onSession = <A, E, R>(
  attempt: Attempt<A, E, R>,
  root: Root,
  retire: Effect.Effect<void>
): Effect.Effect<A, E | SqlError, R> => {
  const { bounds, core, deadline, fiber, options, restore, span } = attempt
  const { session } = root
  const control = core.transport.transactions
  // A session that cannot be cleaned must not be lent again. The answer: whether all that was done is undone. With a session
  // that is lost it is, as no COMMIT was sent; but for one in a statement of the body's.
  const cleaned = Effect.matchCauseEffect(
    Effect.suspend(() => control.rollback(session)),
    {
      onFailure: (cause) => Effect.as(retire, isTold(cause) && !root.unsure),
      onSuccess: () => Effect.succeed(true)
    }
  )
  const clean = Effect.asVoid(cleaned)
  // A defect of the transport's in it is one of BEGIN: the session goes back all the same.
  const begin = boundedBy(deadline)("BEGIN")(Effect.suspend(() => control.begin(session, options)))
  return Effect.flatMap(
    Effect.onError(Effect.catchAllCause(restore(begin), failAfterLoss), () => clean),
    () => {
      const level = new Level(root, undefined, core.width, bounds, (level) => new LevelConnection(core, level))
      const undo = (exit: Exit.Exit<A, E | SqlError>) => {
        span?.event("db.transaction.rollback", spanTime(fiber))
        // Where it is over already, a COMMIT of its own may have ended it.
        const known = session.inTransaction() || isUndone(root)
        return Effect.flatMap(cleaned, (undone) =>
          known && undone ? Exit.mapErrorCause(exit, Cause.map(undoneIn(root))) : exit
        )
      }
      const keep = (exit: Exit.Exit<A, E>): Effect.Effect<A, E | SqlError, R> => {
        const gone = level.ended()
        level.close()
        if (gone !== undefined) {
          // A COMMIT of its own may have ended it, too.
          const outcome = root.spoiled || isUndone(root) ? "notExecuted" : "unknown"
          return Effect.zipRight(clean, Effect.fail(SqlFailure.annotate(gone, { outcome })))
        }
        span?.event("db.transaction.commit", spanTime(fiber))
        const commit = Effect.catchAllCause(
          Effect.onError(control.commit(session), () => clean),
          failAfterLoss
        )
        return Effect.zipRight(Effect.tapError(commit, noteUnsure), exit)
      }
      return Effect.flatMap(body(attempt, level), (exit) => end(attempt, level, exit, keep, undo))
    }
  )
}

/**
 * Ends a level. What its body has done well is kept once no forked fiber has a level inside it any more; that wait ends with
 * an interrupt or the deadline, and then all is undone. Undoing takes along what is inside, so it waits for nobody but the
 * statement that runs at this moment.
 */
const end = <A, E, R>(
  { deadline, restore }: Attempt<A, E, R>,
  level: Level,
  exit: Exit.Exit<A, E>,
  keep: (exit: Exit.Exit<A, E>) => Effect.Effect<A, E | SqlError, R>,
  undo: (exit: Exit.Exit<A, E | SqlError>) => Effect.Effect<A, E | SqlError, R>
): Effect.Effect<A, E | SqlError, R> => {
  const stopped = (exit: Exit.Exit<A, E | SqlError>) => Effect.flatMap(level.stop(), () => undo(exit))
  return Exit.isFailure(exit)
    ? stopped(exit)
    : Effect.matchCauseEffect(level.turn.take(restore, boundedBy(deadline)("COMMIT")), {
        onFailure: (cause) => stopped(Exit.failCause(cause)),
        onSuccess: () => keep(exit)
      })
}

const nested = <A, E, R>(attempt: Attempt<A, E, R>, parent: Level): Effect.Effect<A, E | SqlError, R> => {
  const { bounds, core, deadline, fiber, options, restore, span } = attempt
  const { root, session } = parent
  const control = core.transport.transactions
  if (options.isolation !== undefined || (options.readOnly === false && root.options.readOnly === true)) {
    return Effect.fail(
      SqlFailure.make({
        reason: "Unsupported",
        message: "A nested transaction is a savepoint: its isolation and access are those of the outermost one"
      })
    )
  }
  const name = `sluice_${++root.savepoints}`
  const bounded = boundedBy(deadline)("SAVEPOINT")
  const rollbackTo = control.rollbackTo(session, name)
  const undoWith = (rollbackTo: Effect.Effect<void, SqlError>) =>
    Effect.suspend(() =>
      session.inTransaction() ? Effect.zipRight(rollbackTo, control.release(session, name)) : Effect.void
    )
  const spoil = Effect.sync(() => {
    root.spoiled = true
  })
  // What cannot be undone alone is undone with all of the transaction, also where somebody handles this failure.
  const undone = Effect.catchAllCause(undoWith(Effect.tapErrorCause(rollbackTo, () => spoil)), (cause) =>
    isTold(cause) || isDoomed(cause) ? Effect.void : Effect.logWarning("A savepoint could not be undone", cause)
  )
  // Nothing has been done in it yet: whether it is there or not, nothing is spoiled.
  const begin = Effect.onError(restore(bounded(control.savepoint(session, name))), () =>
    Effect.ignoreLogged(undoWith(rollbackTo))
  )
  const release = Effect.onError(control.release(session, name), () => undone)
  const use = Effect.suspend((): Effect.Effect<A, E | SqlError, R> => {
    const late = parent.ended()
    if (late !== undefined) {
      return Effect.fail(late)
    }
    const level = new Level(root, parent, core.width, bounds, (level) => new LevelConnection(core, level))
    parent.inner = level
    // A level around this one may have been undone meanwhile, and the session may be somebody else's: between looking and
    // occupying nothing comes in between.
    const undo = (exit: Exit.Exit<A, E | SqlError>): Effect.Effect<A, E | SqlError, R> => {
      span?.event("db.transaction.rollback", spanTime(fiber))
      return parent.over ? exit : Effect.zipRight(level.turn.occupy(undone), exit)
    }
    const keep = (exit: Exit.Exit<A, E>): Effect.Effect<A, E | SqlError, R> => {
      const gone = level.ended()
      level.close()
      if (gone !== undefined) {
        return Effect.fail(gone)
      }
      span?.event("db.transaction.savepoint", spanTime(fiber))
      return Effect.flatMap(level.turn.occupy(Effect.catchAllCause(release, failAfterLoss)), () => {
        parent.afterCommit.push(...level.afterCommit)
        level.partOf = parent
        return exit
      })
    }
    const whole = Effect.flatMap(level.turn.occupy(Effect.catchAllCause(begin, failAfterLoss)), () =>
      Effect.flatMap(body(attempt, level), (exit) => end(attempt, level, exit, keep, undo))
    )
    return thenAlways(whole, () => {
      parent.inner = undefined
    })
  })
  return parent.turn.hold(restore, use, parent.waiting({ text: "SAVEPOINT", until: deadline }))
}
