/** Sessions that are held: reserved, waited for, given back, closed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { clientOf, content, failureOf, insert, reserveAll, running, type Subject, timed, using } from "./harness.js"

export const leases = (subject: Subject): void => {
  const { begin = true } = subject.capabilities

  describe("leases", () => {
    it.live("a reserved session is the holder's alone, and runs transactions on itself", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* sql.reserve
              yield* connection.executeUnprepared("insert into t values (1)", [], undefined)
              assert.deepStrictEqual(yield* connection.executeValues("select n from t", []), [[1]])
              assert.isAtLeast(
                (yield* sql.statistics).reduce((sum, { leases }) => sum + leases, 0),
                1
              )
            })
          )
          assert.deepStrictEqual(yield* content(sql), [1])
        })
      )
    )

    it.live("waiting for a session is interruptible", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* reserveAll(sql)
              const waiting = yield* running(sql.withTransaction(insert(sql, 1)))
              const [took, exit] = yield* timed(Fiber.interrupt(waiting))
              assert.isTrue(Exit.isInterrupted(exit))
              assert.isBelow(took, 10_000)
            })
          )
          assert.deepStrictEqual(yield* content(sql), [])
        })
      )
    )

    it.live("waiting for too long fails PoolTimeout and names the holders", () =>
      using(
        subject,
        (sql) =>
          Effect.scoped(
            Effect.gen(function* () {
              yield* reserveAll(sql).pipe(Effect.withSpan("nightly report"))
              const late = yield* failureOf(sql.withTransaction(insert(sql, 1)))
              assert.strictEqual(late.reason, "PoolTimeout")
              assert.isTrue(late.isRetryable)
              assert.include((late.holders ?? []).join("\n"), "nightly report")
              assert.include(late.message, "nightly report")
            })
          ),
        undefined,
        5_000
      )
    )

    it.live("whoever waits is served when a session is given back", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          yield* Scope.extend(reserveAll(sql), scope)
          const waiting = yield* Effect.forEach([1, 2, 3], (n) => running(sql.withTransaction(insert(sql, n))))
          yield* Scope.close(scope, Exit.void)
          yield* Fiber.joinAll(waiting)
          assert.deepStrictEqual(yield* content(sql), [1, 2, 3])
        })
      )
    )

    if (begin) {
      it.live("a session given back inside a transaction is rolled back", () =>
        using(subject, (sql) =>
          Effect.gen(function* () {
            yield* Effect.scoped(
              Effect.gen(function* () {
                const connection = yield* sql.reserve
                yield* connection.executeUnprepared("begin", [], undefined)
                yield* connection.executeUnprepared("insert into t values (1)", [], undefined)
              })
            )
            assert.deepStrictEqual(yield* content(sql), [])
          })
        )
      )
    }

    it.live("a closed client fails Closed", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const sql = yield* Scope.extend(clientOf(subject.transport()), scope)
        yield* sql`select 1 as one`
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual((yield* failureOf(sql`select 1 as one`)).reason, "Closed")
        assert.strictEqual((yield* failureOf(sql.withTransaction(sql`select 1 as one`))).reason, "Closed")
      })
    )
  })
}
