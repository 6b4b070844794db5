/**
 * The loop's half of callbacks: runs what a worker asks for, with the services, references, span and interruption of the
 * fiber whose statement it is, and writes the answer where the worker waits for it.
 */
import type { MessagePort } from "node:worker_threads"
import { SqlClient, SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Tracer from "effect/Tracer"
import { Answer, Ask, callbackBytes, callbackOffset, TableOp, Word } from "../boundary.js"
import type { ToWorker } from "../messages.js"
import type { Call } from "../call.js"
import { remaining } from "../deadline.js"
import * as failure from "../failure.js"
import { decodeValues } from "../parameterReader.js"
import { encode, encodeInto, ParameterError, parameterView } from "../parameters.js"
import type { Waker } from "../waker.js"
import { enter, Visit } from "./inside.js"
import type { Handler, Registry } from "./registry.js"
import { Scan } from "./table.js"

export class CallbackRunner {
  private readonly control: Int32Array
  private readonly ask: Int32Array
  private readonly answer: Int32Array
  private readonly view
  private readonly groups = new Map<number, unknown>()
  /** Whose these are: a call's, or a cursor's, which has many calls. */
  private readonly owners = new Map<number, Call | number>()

  constructor(
    memory: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly waker: Waker,
    private readonly session: object,
    private readonly registry: Registry
  ) {
    this.control = new Int32Array(memory, 0, 1024)
    this.ask = new Int32Array(memory, callbackOffset, callbackBytes / 4)
    this.answer = new Int32Array(memory, callbackOffset + callbackBytes, callbackBytes / 4)
    this.view = parameterView(memory)
  }

  /** Runs the callback whose question lies in shared memory; `long` reads arguments that came as a message. */
  run(call: Call, long: (serial: number) => ArrayBuffer): void {
    const question = this.read(call.slot, long)
    if (question === undefined) {
      return
    }
    const { args, group, id, op, serial } = question
    Atomics.store(this.answer, Answer.taken, serial)
    const state = this.groups.get(group)
    if (state instanceof Scan && op === TableOp.close) {
      return this.endScan(call, serial, group, state)
    }
    const handler = this.registry.get(id)
    // It was taken away, or nobody waits for the statement any more: the worker is about to hear of that.
    if (handler === undefined || isStopped(call)) {
      return this.fail(serial)
    }
    const answer = Effect.suspend(() => handler.run({ args, op, group, groups: this.groups }))
    if (group !== 0) {
      this.owners.set(group, ownerOf(call))
    }
    const visit = (state instanceof Scan ? state.visit : undefined) ?? new Visit(this.session)
    const fiber = this.fork(handler, call, boundedBy(call, answer), visit)
    call.callback = fiber
    fiber.addObserver((exit) => {
      if (call.callback === fiber) {
        call.callback = undefined
      }
      const scan = this.groups.get(group)
      if (scan instanceof Scan) {
        scan.visit = visit
      } else {
        visit.over = true
      }
      if (!this.groups.has(group)) {
        this.owners.delete(group)
      }
      this.settle(call, handler, serial, exit)
    })
  }

  /**
   * The statement of the call has ended: what its aggregates have gathered is of no use any more. Of those that it has not
   * finished SQLite tells nobody. Scans are closed one by one.
   */
  forget(call: Call): void {
    const owner = this.owners.size === 0 ? undefined : ownerOf(call)
    for (const [group, other] of this.owners) {
      if (other === owner && !(this.groups.get(group) instanceof Scan)) {
        this.groups.delete(group)
        this.owners.delete(group)
      }
    }
  }

  /** Undefined: its statement was stopped, and another question has been written over it; or it is read already. */
  private read(slot: number, long: (serial: number) => ArrayBuffer) {
    const { ask } = this
    const serial = Atomics.load(ask, Ask.serial)
    if (serial === 0 || serial === this.answer[Answer.taken] || ask[Ask.slot] !== slot) {
      return undefined
    }
    const [id, op, group] = [ask[Ask.id]!, ask[Ask.op]!, ask[Ask.group]!]
    const count = ask[Ask.count]!
    const length = ask[Ask.length]!
    const start = callbackOffset + Ask.bytes
    const bytes = length < 0 ? long(serial) : this.view.bytes.slice(start, start + length).buffer
    return this.isAwaited(serial)
      ? { id, op, group, serial, args: decodeValues(parameterView(bytes), 0, count) }
      : undefined
  }

  /** Its finalisers run before the statement goes on, or, where it was stopped, before its caller does. */
  private endScan(call: Call, serial: number, group: number, scan: Scan): void {
    this.groups.delete(group)
    this.owners.delete(group)
    // The worker has not waited for a pull's rows: it was stopped there.
    const before = call.callback
    const ended = before === undefined ? scan.close : Effect.zipRight(Fiber.interrupt(before), scan.close)
    const fiber = Effect.runFork(Effect.uninterruptible(ended))
    call.callback = fiber
    fiber.addObserver((exit) => {
      if (call.callback === fiber) {
        call.callback = undefined
      }
      if (exit._tag === "Failure") {
        call.cause ??= exit.cause
        return this.fail(serial)
      }
      if (this.isAwaited(serial)) {
        this.answer[Answer.failed] = 0
        this.publish(serial)
      }
    })
    // The worker may have to stop right now: it need not wait for more than this.
    this.rouse()
  }

  /** The worker is gone, or will ask no more: what its statements have left open is ended. */
  end(): void {
    for (const state of this.groups.values()) {
      if (state instanceof Scan) {
        Effect.runFork(state.close)
      }
    }
    this.groups.clear()
    this.owners.clear()
  }

  private fork(
    handler: Handler,
    call: Call,
    effect: Effect.Effect<unknown, unknown, unknown>,
    visit: Visit
  ): Fiber.RuntimeFiber<unknown, unknown> {
    const { caller } = call
    const own = caller === undefined ? handler.context : Context.merge(handler.context, caller.currentContext)
    const span = call.request.span
    const context = enter(span === undefined ? own : withSpan(own, span), visit)
    return Runtime.runFork(
      Runtime.make({
        context: context as Context.Context<unknown>,
        fiberRefs: caller?.getFiberRefs() ?? Runtime.defaultRuntime.fiberRefs,
        // The caller may be where it must not be interrupted; whoever stops its statement stops this, too.
        runtimeFlags: Runtime.defaultRuntime.runtimeFlags
      })
    )(effect)
  }

  private settle(call: Call, handler: Handler, serial: number, exit: Exit.Exit<unknown, unknown>): void {
    if (exit._tag === "Success") {
      return this.succeed(call, handler, serial, exit.value)
    }
    if (isLate(call, exit.cause)) {
      call.refused ??= failure.late(call.request.text, "notExecuted")
    } else if (!(Cause.isInterruptedOnly(exit.cause) && isStopped(call))) {
      // The first failure is the statement's; what the stop of a statement does to its callback is none.
      call.cause ??= exit.cause
    }
    this.fail(serial)
  }

  private succeed(call: Call, handler: Handler, serial: number, value: unknown): void {
    if (!this.isAwaited(serial)) {
      return
    }
    const { answer } = this
    try {
      const stored = handler.encode === undefined ? value : handler.encode(value)
      const at = callbackOffset + callbackBytes + Answer.bytes
      answer[Answer.length] = encodeInto([stored], this.view, at, callbackBytes - Answer.bytes)
      if (answer[Answer.length]! < 0) {
        const bytes = encode([stored])
        this.port.postMessage(["result", serial, bytes] satisfies ToWorker, [bytes])
      }
    } catch (error) {
      if (!(error instanceof ParameterError)) {
        // A getter of the program's, a Date of its own making.
        call.cause ??= Cause.die(error)
        return this.fail(serial)
      }
      call.refused ??= failure.badAnswer(handler.name, error.kind, call.request.text)
      return this.fail(serial)
    }
    answer[Answer.failed] = 0
    this.publish(serial)
  }

  private fail(serial: number): void {
    if (this.isAwaited(serial)) {
      this.answer[Answer.failed] = 1
      this.publish(serial)
    }
  }

  /** An answer that comes after its statement was stopped must not be taken for a later one's. */
  private isAwaited(serial: number): boolean {
    return Atomics.load(this.ask, Ask.serial) === serial
  }

  private publish(serial: number): void {
    Atomics.store(this.control, Word.answered, serial)
    this.rouse()
  }

  private rouse(): void {
    Atomics.add(this.control, Word.callback, 1)
    this.waker.wake(Word.callback)
  }
}

/**
 * COMMIT and ROLLBACK have no deadline: they are never stopped halfway. But whoever waits for a hook of theirs waits no
 * longer than the fiber's own deadline allows.
 */
const boundedBy = (call: Call, answer: Effect.Effect<unknown, unknown, unknown>) => {
  const { caller, request } = call
  return request.deadline !== Infinity || caller?.currentContext.unsafeMap.has(SqlClient.Deadline.key) !== true
    ? answer
    : Effect.flatMap(remaining, (millis) =>
        Effect.timeoutFail(answer, {
          duration: millis,
          onTimeout: () => (call.refused ??= failure.late(request.text, "notExecuted"))
        })
      )
}

/** A deadline is read from the clock for each statement anew: so far two readings of one may lie apart, in milliseconds. */
const readingsApart = 1

const isTimeout = SqlFailure.is("StatementTimeout")

/** The deadline has ended the callback, or a statement that it waited for: one that they share ends the inner one first. */
const isLate = ({ refused, request }: Call, cause: Cause.Cause<unknown>): boolean =>
  Cause.isFailType(cause) &&
  ((refused !== undefined && cause.error === refused) ||
    (request.deadline - performance.now() < readingsApart && isTimeout(cause.error)))

const ownerOf = (call: Call): Call | number => (call.cursor === 0 ? call : call.cursor)

const isStopped = (call: Call): boolean => call.done || call.cancelled

const withSpan = (context: Context.Context<never>, span: Tracer.AnySpan): Context.Context<never> =>
  Context.add(context, Tracer.ParentSpan, span)
