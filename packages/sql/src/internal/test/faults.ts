/** A transport that fails on purpose, the same way every time. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as SqlFailure from "../../SqlFailure.js"
import * as SqlTransport from "../../SqlTransport.js"
import { stoppable } from "../stoppable.js"
import { around, InControl } from "./control.js"
import { type Fault, type FaultOptions, type Kind, Plan } from "./faultPlan.js"
import * as wrapped from "./wrapped.js"

const gone = (id: string, outcome: SqlFailure.Outcome, statement?: string): SqlError =>
  SqlFailure.make({ reason: "SessionLost", message: `TestTransport.faults dropped session ${id}`, statement, outcome })

const injected = (reason: SqlFailure.Reason, statement: string, after: boolean): SqlError =>
  SqlFailure.make({
    reason,
    message: `TestTransport.faults: ${reason} ${after ? "after" : "before"} the statement`,
    statement,
    outcome: after ? "unknown" : "notExecuted"
  })

/** Keeps nobody alive and cannot be interrupted, unlike `Effect.never`. */
const stuck: Effect.Effect<never> = Effect.uninterruptible(Effect.async<never>(() => {}))

/** A session whose requests meet the faults of a plan. */
const faulty = (inner: SqlTransport.Session, plan: Plan, lost: Deferred.Deferred<SqlError>): SqlTransport.Session => {
  let dropped = false

  const drop = (text: string) =>
    Effect.suspend(() => {
      dropped = true
      Deferred.unsafeDone(lost, Effect.succeed(gone(inner.id, "notExecuted")))
      return Effect.fail(gone(inner.id, "unknown", text))
    })

  /** Another request may have dropped it by now: its pool closes it, and the session itself would speak of that. */
  const unlessDropped = <A, R>(
    text: string | undefined,
    effect: Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> =>
    Effect.suspend(() => (dropped ? Effect.fail(gone(inner.id, "notExecuted", text)) : effect))

  const apply = <A, R>(
    fault: Fault | undefined,
    text: string,
    effect: Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> => {
    switch (fault?._tag) {
      case undefined:
        return effect
      case "Fail": {
        const failure = Effect.fail(injected(fault.reason, text, fault.after))
        return fault.after ? Effect.zipRight(effect, failure) : failure
      }
      case "Drop":
        return fault.after ? Effect.zipRight(Effect.exit(effect), drop(text)) : drop(text)
      case "Delay":
        return Effect.zipRight(Effect.sleep(fault.duration), unlessDropped(text, effect))
      case "Duplicate":
        return Effect.flatMap(Effect.exit(effect), (exit) =>
          Effect.async<A, SqlError>((resume) => {
            resume(exit)
            resume(exit)
          })
        )
      case "Lose":
        return Effect.zipRight(Effect.exit(effect), fault.quiet ? Effect.never : stuck)
    }
  }

  const meet = <A, R>(
    kind: Kind,
    request: SqlTransport.SqlRequest,
    effect: Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> =>
    unlessDropped(
      request.text,
      Effect.flatMap(FiberRef.get(InControl), (inControl) =>
        apply(plan.next(inControl ? "control" : kind, request), request.text, effect)
      )
    )

  return {
    id: inner.id,
    // A lost answer keeps neither deadline nor grace: the client has to.
    keepsContract: false,
    inTransaction: () => inner.inTransaction(),
    altered: () => inner.altered?.() === true,
    irreplaceable: () => inner.irreplaceable?.() === true,
    reentrant: (context, statement) => inner.reentrant?.(context, statement),
    lost: stoppable(Effect.raceFirst(inner.lost, Deferred.await(lost))),
    check: unlessDropped(undefined, inner.check),
    run: (request) => meet("statement", request, inner.run(request)),
    batch: (request, rows) => meet("statement", request, inner.batch(request, rows)),
    describe: (text) => unlessDropped(text, inner.describe(text)),
    open: (request) =>
      Effect.map(meet("statement", request, inner.open(request)), (cursor) => {
        let poisoned = false
        return {
          first: cursor.first,
          columns: cursor.columns,
          // A page that came and was kept back is a page lost: what follows must not pass for the next one.
          next: Effect.suspend(() =>
            poisoned
              ? Effect.fail(gone(inner.id, "notExecuted", request.text))
              : Effect.onError(meet("page", request, cursor.next), () =>
                  Effect.sync(() => {
                    poisoned = true
                  })
                )
          )
        }
      })
  }
}

export const make = (
  options: FaultOptions
): Effect.Effect<SqlTransport.SqlTransport, never, SqlTransport.SqlTransport> =>
  Effect.map(SqlTransport.SqlTransport, (inner) => {
    // A plan of its own each time the layer is built: numbers start at 1 in every test.
    const plan = new Plan(options)
    return wrapped.transport(inner, {
      transactions: around(inner.transactions, (_verb, _session, effect) => effect),
      connect: (profile) =>
        Effect.flatMap(inner.connect(profile), (session) =>
          Effect.map(Deferred.make<SqlError>(), (lost) => faulty(session, plan, lost))
        )
    })
  })
