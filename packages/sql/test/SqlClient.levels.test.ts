/** Levels that forked fibers hold: whose statements run on the session, whatever fails or is interrupted, and when. */
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { SqlClient, SqlFailure, type SqlTransport } from "@sluice/sql"
import type { Scope } from "effect"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, LogLevel } from "effect"
import { answer, failure, fake, type FakeSession } from "./fakeTransport.js"

const reasonOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail" ? SqlFailure.from(exit.cause.error).reason : undefined

const clientOf = (layer: Layer.Layer<SqlTransport.SqlTransport>) => SqlClient.layer.pipe(Layer.provide(layer))

/** Opens an inner transaction in a fiber of the scope's, which keeps it open; answers once it is. */
const forgotten = (
  sql: SqlClient.SqlClient,
  scope: Scope.Scope,
  then: Effect.Effect<unknown, SqlError> = Effect.never
) =>
  Effect.gen(function* () {
    const open = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkIn(
      sql.withTransaction(Effect.zipRight(Deferred.succeed(open, undefined), then)),
      scope
    )
    yield* Deferred.await(open)
    return fiber
  })

describe("levels that forked fibers hold", () => {
  it.live("a body that fails waits for none of them; they find it gone, and send nothing", () => {
    const { layer, sessions } = fake({ sharing: "exclusive" })
    return Effect.scoped(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const scope = yield* Effect.scope
        const go = yield* Deferred.make<void>()
        const late: Array<Fiber.RuntimeFiber<unknown, SqlError>> = []
        const failed = yield* sql
          .withTransaction(
            Effect.gen(function* () {
              // Two levels deep; a statement of the outermost level waits behind them.
              late.push(
                yield* forgotten(
                  sql,
                  scope,
                  Effect.flatMap(forgotten(sql, scope, Effect.zipRight(Deferred.await(go), sql`too late`)), (fiber) => {
                    late.push(fiber)
                    return Effect.zipRight(Deferred.await(go), Effect.void)
                  })
                )
              )
              late.push(yield* Effect.forkIn(sql`waits`, scope))
              yield* Effect.sleep(5)
              return yield* Effect.fail("no")
            })
          )
          .pipe(Effect.flip, Effect.timeout("5 seconds"))
        assert.strictEqual(failed, "no")
        // The session is somebody else's now.
        const other = yield* Effect.forkScoped(sql.withTransaction(Effect.zipRight(sql`other`, Effect.sleep(20))))
        yield* Effect.sleep(5)
        yield* Deferred.succeed(go, undefined)
        for (const fiber of late) {
          assert.strictEqual(reasonOf(yield* Fiber.await(fiber)), "TransactionGone")
        }
        yield* Fiber.join(other)
        assert.deepStrictEqual(sessions[0]!.texts, [
          "BEGIN",
          "SAVEPOINT sluice_1",
          "SAVEPOINT sluice_2",
          "ROLLBACK",
          "BEGIN",
          "other",
          "COMMIT"
        ])
      })
    ).pipe(Effect.provide(clientOf(layer)))
  })

  it.live("the rollback waits for the statement that runs", () => {
    const { layer, sessions } = fake({
      sharing: "exclusive",
      keepsContract: true,
      run: ({ text }) =>
        text === "slow" ? Effect.delay(Effect.succeed(answer([], { inTransaction: true })), 30) : undefined
    })
    return Effect.scoped(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const scope = yield* Effect.scope
        let answered = false
        const slow = Effect.tap(sql`slow`, () => {
          answered = true
        })
        yield* sql
          .withTransaction(
            Effect.zipRight(forgotten(sql, scope, slow), Effect.zipRight(Effect.sleep(5), Effect.fail("no")))
          )
          .pipe(Effect.flip)
        assert.isTrue(answered)
        assert.deepStrictEqual(sessions[0]!.texts, ["BEGIN", "SAVEPOINT sluice_1", "slow", "ROLLBACK"])
      })
    ).pipe(Effect.provide(clientOf(layer)))
  })

  for (const [how, stop] of [
    ["an interrupt", (effect) => Effect.timeout(effect, 20)],
    ["the deadline", (effect) => SqlClient.withDeadline(20)(effect)]
  ] as ReadonlyArray<[string, (effect: Effect.Effect<unknown, SqlError>) => Effect.Effect<unknown, unknown>]>) {
    it.live(`a body that has done well waits for them; ${how} ends that and undoes`, () => {
      const { layer, sessions } = fake({ sharing: "exclusive" })
      return Effect.scoped(
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const scope = yield* Effect.scope
          yield* sql.withTransaction(forgotten(sql, scope, Effect.delay(sql`kept`, 10)))
          const exit = yield* Effect.exit(stop(sql.withTransaction(forgotten(sql, scope))))
          assert.isTrue(Exit.isFailure(exit))
          assert.deepStrictEqual(sessions[0]!.texts, [
            ...["BEGIN", "SAVEPOINT sluice_1", "kept", "RELEASE sluice_1", "COMMIT"],
            ...["BEGIN", "SAVEPOINT sluice_1", "ROLLBACK"]
          ])
        })
      ).pipe(Effect.provide(clientOf(layer)))
    })
  }
})

/** Knows of each session whose transaction is open on it, and notes every request that has no business there. */
const judge = () => {
  const wrong: Array<string> = []
  const ended = new Map<string, string>()
  interface Session {
    root: string | undefined
    busy: number
    /** Names of savepoints, each with the path of its level once that has entered. */
    levels: Array<{ readonly name: string; path: string | undefined; undone?: boolean }>
    readonly unmade: Set<string>
  }
  const known = new Map<string, Session>()
  const of = (id: string) => {
    let session = known.get(id)
    if (session === undefined) {
      session = { root: undefined, busy: 0, levels: [], unmade: new Set() }
      known.set(id, session)
    }
    return session
  }

  const statement = (session: Session, text: string) => {
    const [, verb, root, path] = /^(enter|work) (\S+) (\S+)$/.exec(text)!
    const level = session.levels.at(-1)
    if (verb === "enter" && level?.path === undefined && level !== undefined) {
      level.path = path
      session.root ??= root
    }
    if (session.root !== root || level?.path !== path) {
      wrong.push(`${text}: the session is in ${session.root} ${level?.path}`)
    }
  }

  const control = (session: Session, fake: FakeSession, text: string): SqlError | undefined => {
    const name = text.split(" ").at(-1)!
    const at = session.levels.findIndex((level) => level.name === name)
    if (text === "BEGIN") {
      if (fake.inTransaction) wrong.push("BEGIN inside a transaction")
      fake.inTransaction = true
      session.levels = [{ name: "outermost", path: undefined }]
    } else if (text === "COMMIT" || text === "ROLLBACK") {
      if (!fake.inTransaction) wrong.push(`${text} outside of a transaction`)
      if (text === "COMMIT" && session.levels.length > 1) wrong.push("COMMIT with a level inside")
      if (session.root !== undefined) ended.set(session.root, text)
      fake.inTransaction = false
      session.root = undefined
      session.levels = []
      session.unmade.clear()
    } else if (text.startsWith("SAVEPOINT")) {
      session.levels.push({ name, path: undefined })
    } else if (at < 0) {
      if (!session.unmade.has(name)) wrong.push(`${text}: there is none`)
      return failure("Unknown", "no such savepoint")
    } else {
      const keeps = text.startsWith("RELEASE")
      // Undoing takes along what is inside, keeping waits for it.
      if (keeps && at < session.levels.length - 1) wrong.push(`${text}: not the innermost`)
      session.levels.length = keeps ? at : at + 1
      if (!keeps) session.levels[at]!.undone = true
    }
    return undefined
  }

  return { wrong, ended, of, statement, control }
}

const randomOf = (seed: number) => {
  let state = seed * 2_654_435_761
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const story = (seed: number, sharing: SqlTransport.Sharing) => {
  const random = randomOf(seed)
  const chance = (percent: number) => random(100) < percent
  const pause = Effect.suspend(() => {
    const choice = random(4)
    return choice === 0 ? Effect.void : choice === 1 ? Effect.yieldNow() : Effect.sleep(random(3))
  })
  const { control, ended, of, statement, wrong } = judge()
  const { layer, sessions } = fake({
    sharing,
    keepsContract: true,
    limits: { read: 0, write: 2, transaction: 0 },
    run: ({ text }, fake) =>
      Effect.suspend(() => {
        const session = of(fake.id)
        const isStatement = /^(enter|work)/.test(text)
        if (session.busy > 0 && (sharing === "exclusive" || !isStatement)) {
          wrong.push(`${text}: a request runs`)
        }
        // What ends an undone level is not refused: it would stay, and nobody could tell it from one that is open.
        const undone = text.startsWith("RELEASE") && session.levels.at(-1)?.undone === true
        const fails = chance(isStatement ? 15 : 4) && !/^(enter|ROLLBACK$)/.test(text) && !undone
        session.busy++
        if (isStatement) statement(session, text)
        return pause.pipe(
          Effect.flatMap(() => {
            if (isStatement) statement(session, text)
            const error = fails ? failure("Constraint", text) : isStatement ? undefined : control(session, fake, text)
            return error === undefined
              ? Effect.succeed(answer([], { inTransaction: fake.inTransaction }))
              : Effect.fail(error)
          }),
          Effect.onExit((exit) =>
            Effect.sync(() => {
              session.busy--
              if (Exit.isFailure(exit) && text.startsWith("SAVEPOINT")) session.unmade.add(text.split(" ").at(-1)!)
            })
          )
        )
      })
  })

  const program = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const run = (verb: string, root: string, path: string) =>
      Effect.suspend(() => sql.unsafe(`${verb} ${root} ${path}`))
    let levels = 0
    const level = (root: string, scope: Scope.Scope, depth: number): Effect.Effect<unknown, unknown> =>
      Effect.suspend(() => {
        const path = String(++levels)
        const step = Effect.suspend((): Effect.Effect<unknown, unknown> => {
          const work = run("work", root, path)
          const inner = depth > 3 ? work : level(root, scope, depth + 1)
          switch (random(8)) {
            case 0:
              return work
            case 1:
              return Effect.ignore(work)
            case 2:
              return inner
            case 3:
              return Effect.ignore(inner)
            case 4:
              return Effect.forkIn(chance(50) ? inner : work, scope)
            case 5:
              return Effect.fork(Effect.all([work, inner], { concurrency: chance(50) ? 2 : 1 }))
            case 6:
              return Effect.timeout(inner, 1 + random(4))
            default:
              return chance(30) ? Effect.fail("no") : pause
          }
        })
        const steps = Effect.repeatN(step, random(4))
        const rest = depth > 0 && chance(15) ? Effect.zipRight(steps, Effect.never) : steps
        return sql.withTransaction(Effect.zipRight(run("enter", root, path), rest))
      })
    const one = (n: number) =>
      Effect.scoped(
        Effect.gen(function* () {
          const root = `t${n}`
          const exit = yield* Effect.scopeWith((scope) => level(root, scope, 0)).pipe(
            Effect.timeout(5 + random(30)),
            Effect.exit
          )
          if (Exit.isSuccess(exit) && ended.get(root) !== "COMMIT") wrong.push(`${root}: told to be committed`)
        })
      )
    yield* Effect.forEach(
      Array.from({ length: 12 }, (_, n) => n),
      one,
      { concurrency: 4, discard: true }
    )
  })

  return Effect.gen(function* () {
    yield* Effect.provide(program, clientOf(layer)).pipe(
      // A savepoint that cannot be undone is told of.
      Logger.withMinimumLogLevel(LogLevel.None),
      Effect.timeout("30 seconds")
    )
    assert.deepStrictEqual(wrong, [], `seed ${seed}`)
    assert.isTrue(sessions.every(({ inTransaction }) => !inTransaction))
    return ended.size
  })
}

describe("levels that forked fibers hold, at random", () => {
  for (const sharing of ["exclusive", "fifo"] as const) {
    it.live(
      `every statement runs in its own transaction, and none after it (${sharing})`,
      () =>
        Effect.gen(function* () {
          let transactions = 0
          for (let seed = 1; seed <= 40; seed++) {
            transactions += yield* story(seed, sharing)
          }
          assert.isAbove(transactions, 100)
        }),
      120_000
    )
  }
})

describe("a savepoint that cannot be undone", () => {
  for (const [reason, warnings] of [
    ["Unknown", 1],
    ["SessionLost", 0],
    ["Closed", 0]
  ] as const) {
    it.live(`is ${warnings === 0 ? "not told of" : "a warning"} where that is for reason ${reason}`, () => {
      const seen: Array<unknown> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ logLevel, message }) => void (logLevel === LogLevel.Warning && seen.push(message)))
      )
      const { layer } = fake({
        sharing: "exclusive",
        run: ({ text }) => (/^ROLLBACK TO/.test(text) ? Effect.fail(failure(reason)) : undefined)
      })
      return Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const inner = Effect.flip(sql.withTransaction(Effect.fail("no")))
        yield* Effect.exit(sql.withTransaction(inner))
        assert.lengthOf(seen, warnings)
      }).pipe(Effect.provide(clientOf(layer)), Effect.provide(logger))
    })
  }
})
