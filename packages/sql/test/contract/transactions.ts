/** Transactions: all or nothing, at every level. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option } from "effect"
import { content, failureOf, insert, running, type Subject, using } from "./harness.js"

export const transactions = (subject: Subject): void => {
  const { slowWrite } = subject.capabilities

  describe("transactions", () => {
    it.live("commit what succeeds, undo what fails, and keep the failure's type", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* sql.withTransaction(Effect.as(insert(sql, 1), "done")), "done")
          const failed = yield* Effect.flip(
            sql.withTransaction(Effect.zipRight(insert(sql, 2), Effect.fail("mine" as const)))
          )
          assert.strictEqual(failed, "mine")
          const died = yield* Effect.exit(
            sql.withTransaction(Effect.zipRight(insert(sql, 3), Effect.dieMessage("bug")))
          )
          assert.isTrue(Exit.isFailure(died))
          assert.deepStrictEqual(yield* content(sql), [1])
        })
      )
    )

    it.live("an interrupt undoes", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const fiber = yield* running(sql.withTransaction(Effect.zipRight(insert(sql, 1), Effect.never)))
          assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
          assert.deepStrictEqual(yield* content(sql), [])
        })
      )
    )

    it.live("nested: an inner failure undoes the inner one, an outer failure both", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const inner = (n: number, fails: boolean) =>
            Effect.ignore(
              sql.withTransaction(Effect.zipRight(insert(sql, n), fails ? Effect.fail("undo") : Effect.void))
            )
          yield* sql.withTransaction(Effect.all([insert(sql, 1), inner(2, true), inner(3, false), insert(sql, 4)]))
          assert.deepStrictEqual(yield* content(sql), [1, 3, 4])
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(inner(5, false), Effect.fail("undo"))))
          assert.deepStrictEqual(yield* content(sql), [1, 3, 4])
        })
      )
    )

    it.live("nested siblings are served one after the other, and undo only their own", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const numbers = Array.from({ length: 8 }, (_, i) => i)
          yield* sql.withTransaction(
            Effect.forEach(
              numbers,
              (n) =>
                Effect.ignore(
                  sql.withTransaction(
                    Effect.gen(function* () {
                      yield* insert(sql, n)
                      yield* Effect.sleep(1)
                      return yield* n % 2 === 0 ? Effect.void : Effect.fail("undo")
                    })
                  )
                ),
              { concurrency: "unbounded" }
            )
          )
          assert.deepStrictEqual(yield* content(sql), [0, 2, 4, 6])
        })
      )
    )

    it.live("a statement of the outer level waits while an inner one is open", () =>
      using(subject, (sql) =>
        sql.withTransaction(
          Effect.gen(function* () {
            const held = yield* Deferred.make<void>()
            const inner = yield* running(
              Effect.ignore(sql.withTransaction(Effect.zipRight(Deferred.await(held), Effect.fail("undo"))))
            )
            const outer = yield* running(insert(sql, 1))
            assert.isTrue(Option.isNone(yield* Fiber.poll(outer)))
            yield* Deferred.succeed(held, undefined)
            yield* Fiber.join(inner)
            yield* Fiber.join(outer)
            assert.deepStrictEqual(yield* content(sql), [1])
          })
        )
      )
    )

    it.live("a statement that fails and is handled leaves the transaction usable", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          yield* sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, 1)
              assert.strictEqual((yield* failureOf(insert(sql, 1))).reason, "UniqueViolation")
              yield* insert(sql, 2)
            })
          )
          assert.deepStrictEqual(yield* content(sql), [1, 2])
        })
      )
    )

    it.live("what outlives its transaction fails TransactionGone", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const gate = yield* Deferred.make<void>()
          const late = yield* sql.withTransaction(
            Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), failureOf(insert(sql, 1))))
          )
          yield* Deferred.succeed(gate, undefined)
          assert.strictEqual((yield* Fiber.join(late)).reason, "TransactionGone")
          assert.deepStrictEqual(yield* content(sql), [])
        })
      )
    )

    it.live("afterCommit runs after a commit, and not after a rollback", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const seen: Array<unknown> = []
          const note = sql.afterCommit(Effect.flatMap(content(sql), (rows) => Effect.sync(() => seen.push(rows))))
          yield* sql.withTransaction(Effect.zipRight(note, insert(sql, 1)))
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(note, Effect.fail("undo"))))
          assert.deepStrictEqual(seen, [[1]])
        }).pipe(Effect.orDie)
      )
    )

    it.live("afterCommit of a fiber that outlives its transaction, or its level, runs if that was committed", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const ran: Array<string> = []
          const late = yield* Deferred.make<void>()
          const fibers: Array<Fiber.Fiber<void>> = []
          const note = (name: string) => Effect.flatMap(content(sql), () => Effect.sync(() => ran.push(name)))
          const outliving = (name: string, when: Effect.Effect<void> = Deferred.await(late)) =>
            Effect.map(Effect.forkDaemon(Effect.zipRight(when, sql.afterCommit(note(name)))), (fiber) => {
              fibers.push(fiber)
            })
          const undone = (body: Effect.Effect<void>) =>
            Effect.ignore(sql.withTransaction(Effect.zipRight(body, Effect.fail("undo"))))
          yield* sql.withTransaction(outliving("committed"))
          yield* sql.withTransaction(sql.withTransaction(outliving("inner")))
          yield* undone(outliving("undone"))
          yield* sql.withTransaction(undone(outliving("inner undone")))
          yield* Deferred.succeed(late, undefined)
          yield* Fiber.joinAll(fibers)
          assert.deepStrictEqual(ran.sort(), ["committed", "inner"])
          yield* sql.withTransaction(
            Effect.gen(function* () {
              const now = yield* Deferred.make<void>()
              yield* sql.withTransaction(outliving("of the outer one", Deferred.await(now)))
              yield* Deferred.succeed(now, undefined)
              yield* Fiber.joinAll(fibers)
              assert.lengthOf(ran, 2)
            })
          )
          assert.deepStrictEqual(ran.slice(2), ["of the outer one"])
        }).pipe(Effect.orDie)
      )
    )

    it.live("many at once: each is whole", () =>
      using(subject, (sql) =>
        Effect.gen(function* () {
          const pair = (n: number) =>
            Effect.ignore(
              sql.withTransaction(
                Effect.gen(function* () {
                  yield* insert(sql, 2 * n)
                  yield* insert(sql, 2 * n + 1)
                  return yield* n % 3 === 0 ? Effect.fail("undo") : Effect.void
                })
              )
            )
          yield* Effect.forEach(
            Array.from({ length: 12 }, (_, i) => i),
            pair,
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(yield* content(sql), [2, 3, 4, 5, 8, 9, 10, 11, 14, 15, 16, 17, 20, 21, 22, 23])
        })
      )
    )

    if (slowWrite !== undefined) {
      it.live("a write that is stopped takes the transaction along: what follows fails TransactionGone", () =>
        using(subject, (sql) =>
          Effect.gen(function* () {
            const failed = yield* failureOf(
              sql.withTransaction(
                Effect.gen(function* () {
                  yield* insert(sql, 1)
                  yield* Effect.flatMap(running(sql.unsafe(slowWrite)), Fiber.interrupt)
                  assert.strictEqual((yield* failureOf(insert(sql, 2))).reason, "TransactionGone")
                })
              )
            )
            assert.strictEqual(failed.reason, "TransactionGone")
            assert.deepStrictEqual(yield* content(sql), [])
          })
        )
      )
    }
  })
}
