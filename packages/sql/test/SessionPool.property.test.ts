/** Random schedules against a model: whatever happens in whatever order, these things hold. */
import { assert, describe, it } from "@effect/vitest"
import type * as SessionPool from "@sluice/sql/SessionPool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { broken, FakeDatabase, FakeSession, settle } from "./fakeSessions.js"

class Mortal extends FakeSession {
  died = false
  retired = false
  override die(): void {
    this.died = true
    super.die()
  }
}

interface Request {
  readonly name: string
  readonly kind: SessionPool.Kind
  status: "new" | "waiting" | "leaving" | "held" | "over"
  lease?: SessionPool.Lease
  fiber?: Fiber.RuntimeFiber<unknown, unknown>
}

/** What the test does to the pool; `settled`: everybody runs until they wait, before the next step. */
const step = FastCheck.record({
  act: FastCheck.constantFrom(
    ...([
      "shared",
      "shared",
      "shared",
      "exclusive",
      "exclusive",
      "exclusive",
      "release",
      "release",
      "release"
    ] as const),
    ...(["interrupt", "interrupt", "advance", "retire", "die", "share", "again"] as const),
    ...(["failConnects", "failChecks", "slow", "quick"] as const)
  ),
  index: FastCheck.nat(20),
  settled: FastCheck.boolean()
})
type Step = typeof step extends FastCheck.Arbitrary<infer A> ? A : never

const options = FastCheck.record({
  sharing: FastCheck.constantFrom("fifo" as const, "exclusive" as const, { multiplex: 2 }),
  max: FastCheck.integer({ min: 1, max: 3 }),
  min: FastCheck.integer({ min: 0, max: 2 }),
  acquireTimeout: FastCheck.constantFrom(1000, Infinity),
  idleTimeout: FastCheck.constantFrom(700, Infinity),
  maxLifetime: FastCheck.constantFrom(1500, Infinity),
  bypassWindow: FastCheck.constantFrom(0, 500),
  hooks: FastCheck.boolean()
})
type Settings = typeof options extends FastCheck.Arbitrary<infer A> ? A : never

class Run {
  readonly db = new FakeDatabase()
  readonly requests: Array<Request> = []
  readonly settings: Settings
  readonly width: number
  pool!: SessionPool.SessionPool
  /** What was wrong when a lease was granted, in a fiber where no assertion would be seen. */
  readonly wrong: Array<string> = []
  checking = 0
  failConnects = 0
  failChecks = 0
  delay: Effect.Effect<void> = Effect.void

  constructor(settings: Settings) {
    this.settings = settings
    this.width = settings.sharing === "fifo" ? Infinity : settings.sharing === "exclusive" ? 1 : 2
    this.db.create = (id) => {
      const session = new Mortal(id)
      session.check = this.takes(() => this.failChecks-- > 0)
      return session
    }
    this.db.before = Effect.suspend(() =>
      Effect.zipRight(
        this.delay,
        Effect.suspend(() => (this.failConnects-- > 0 ? Effect.fail(broken()) : Effect.void))
      )
    )
  }

  /** A check, or a hook, that may take its time and fail. */
  private takes(fails: () => boolean) {
    return Effect.suspend(() => {
      this.checking++
      return Effect.zipRight(
        this.delay,
        Effect.suspend(() => (fails() ? Effect.fail(broken()) : Effect.void))
      )
    }).pipe(Effect.ensuring(Effect.sync(() => this.checking--)))
  }

  readonly open = Effect.suspend(() => {
    const { hooks, ...settings } = this.settings
    const hook = () =>
      Effect.as(
        this.takes(() => false),
        true
      )
    return Effect.map(this.db.pool({ ...settings, ...(hooks ? { onAcquire: hook, onRelease: hook } : {}) }), (pool) => {
      this.pool = pool
    })
  })

  private with(...status: Array<Request["status"]>): Array<Request> {
    return this.requests.filter((request) => status.includes(request.status))
  }

  private on(session: unknown): Array<Request> {
    return this.with("held").filter((request) => request.lease!.session === session)
  }

  private readonly mayShare = (session: Mortal): boolean =>
    this.on(session).every((request) => request.kind === "shared") && this.on(session).length < this.width

  /** Someone got a lease: nobody was overtaken, nobody is disturbed. */
  private granted(request: Request, lease: SessionPool.Lease): void {
    const session = lease.session as Mortal
    // The first in the queue may have been given theirs without having run since.
    const given = Effect.runSync(this.pool.statistics).leases - this.with("held").length - 1
    const earlier = this.requests.slice(0, this.requests.indexOf(request)).filter((r) => r.status === "waiting")
    for (const overtaken of earlier.slice(given)) {
      this.wrong.push(`${request.name} overtook ${overtaken.name}`)
    }
    if (session.closed && !session.died) {
      this.wrong.push(`${request.name} got a closed session`)
    }
    if (request.kind === "shared" ? !this.mayShare(session) : this.on(session).length > 0) {
      this.wrong.push(`${request.name} disturbs somebody`)
    }
    request.lease = lease
    request.status = "held"
  }

  private ask(kind: SessionPool.Kind) {
    return Effect.suspend(() => {
      const request: Request = { name: `r${this.requests.length}`, kind, status: "waiting" }
      this.requests.push(request)
      return this.pool.lease(kind, request.name).pipe(
        Effect.tap((lease) => Effect.sync(() => this.granted(request, lease))),
        Effect.tapErrorCause(() => Effect.sync(() => void (request.status = "over"))),
        Effect.uninterruptible,
        Effect.forkDaemon,
        Effect.tap((fiber) => Effect.sync(() => void (request.fiber = fiber))),
        // In the queue before the next step, so that the model knows the order.
        Effect.zipLeft(Effect.yieldNow())
      )
    })
  }

  private end(request: Request | undefined, how: "release" | "retire") {
    return Effect.suspend(() => {
      if (request?.lease === undefined) {
        return Effect.void
      }
      request.status = "over"
      if (how === "retire") {
        ;(request.lease.session as Mortal).retired = true
      }
      return request.lease[how]
    })
  }

  act({ act, index }: Step): Effect.Effect<void> {
    const oneOf = <A>(all: ReadonlyArray<A>): A | undefined => all[index % Math.max(1, all.length)]
    switch (act) {
      case "shared":
      case "exclusive":
        return this.ask(act)
      case "release":
      case "retire":
        return this.end(oneOf(this.with("held")), act)
      case "again": // ends a lease that has been ended before
        return this.end(oneOf(this.with("over")), "release")
      case "interrupt": {
        const request = oneOf(this.with("waiting"))
        if (request !== undefined) {
          request.status = "leaving"
          return Fiber.interruptFork(request.fiber!)
        }
        return Effect.void
      }
      case "advance":
        return TestClock.adjust((index + 1) * 50)
      case "share": {
        const session = this.pool.unsafeShare() as Mortal | undefined
        if (session !== undefined) {
          assert.isTrue(this.width === Infinity && this.mayShare(session) && !session.closed)
          assert.deepStrictEqual(this.with("waiting"), [])
        }
        return Effect.void
      }
      default:
        return Effect.sync(() => {
          if (act === "die") {
            ;(oneOf(this.db.open) as Mortal | undefined)?.die()
          } else if (act === "slow" || act === "quick") {
            this.delay = act === "slow" ? Effect.sleep("100 millis") : Effect.void
          } else {
            this[act] = index % 3
          }
        })
    }
  }

  readonly always = Effect.sync(() => {
    const { connecting, open } = this.db
    assert.deepStrictEqual(this.wrong, [])
    assert.isAtMost(open.length + connecting, this.settings.max)
    for (const { lease, name } of this.with("held")) {
      const session = lease!.session as Mortal
      assert.isTrue(!session.closed || session.died, `${name} lost its session`)
    }
  })

  /** When all is quiet, the pool's figures are those of the world, and nobody waits for what is there. */
  readonly quiet = Effect.gen(this, function* () {
    yield* settle
    const statistics = yield* this.pool.statistics
    const waiting = this.with("waiting")
    assert.deepInclude(statistics, { leases: this.with("held").length, waiting: waiting.length, closing: 0 })
    assert.strictEqual(statistics.open + statistics.opening, this.db.open.length + this.db.connecting)
    const head = waiting[0]
    if (head !== undefined && this.db.connecting + this.checking === 0) {
      assert.strictEqual(this.db.open.length, this.settings.max, `${head.name} was forgotten`)
      for (const session of this.db.open as Array<Mortal>) {
        const fits = head.kind === "shared" ? this.mayShare(session) : this.on(session).length === 0
        assert.isTrue(session.retired || !fits, `${head.name} was forgotten`)
      }
    }
  })

  /** With everything in order again, everybody is served. */
  readonly drain = Effect.gen(this, function* () {
    this.delay = Effect.void
    this.failConnects = this.failChecks = 0
    yield* TestClock.adjust("100 millis")
    for (let i = this.requests.length + 5; i > 0 && this.with("waiting").length > 0; i--) {
      yield* Effect.forEach(this.with("held"), (request) => this.end(request, "release"))
      yield* settle
    }
    assert.deepStrictEqual(this.with("waiting"), [])
  })

  readonly closed = Effect.gen(this, function* () {
    yield* settle
    assert.strictEqual(this.db.open.length + this.db.connecting + this.checking, 0)
    for (const { fiber } of this.requests) {
      assert.isTrue(Exit.isExit(yield* Fiber.await(fiber!)))
    }
    yield* Effect.forEach(this.with("held"), (request) => this.end(request, "release"))
    assert.deepInclude(yield* this.pool.statistics, { open: 0, opening: 0, closing: 0, waiting: 0, leases: 0 })
  })
}

const program = (settings: Settings, steps: ReadonlyArray<Step>, drain: boolean) =>
  Effect.gen(function* () {
    const run = new Run(settings)
    const scope = yield* Scope.make()
    yield* Scope.extend(run.open, scope)
    for (const step of steps) {
      yield* run.act(step)
      yield* run.always
      if (step.settled) {
        yield* run.quiet
      }
    }
    yield* drain ? run.drain : Effect.void
    yield* Scope.close(scope, Exit.void)
    yield* run.closed
  }).pipe(Effect.provide(TestContext.TestContext), Effect.provide(Logger.remove(Logger.defaultLogger)))

describe("SessionPool: properties", () => {
  for (const seed of [1, 2, 3, 4]) {
    it(`bounds, order, and nobody forgotten (seed ${seed})`, () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          options,
          FastCheck.array(step, { minLength: 5, maxLength: 40, size: "max" }),
          FastCheck.boolean(),
          (settings, steps, drain) => Effect.runPromise(program(settings, steps, drain))
        ),
        { seed, numRuns: 40, endOnFailure: true }
      ))
  }
})
