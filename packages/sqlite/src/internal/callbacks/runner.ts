/**
 * The loop's half of callbacks: runs what a worker asks for, with the services, references, span and interruption of the
 * fiber whose statement it is, and writes the answer where the worker waits for it.
 */
import type { MessagePort } from "node:worker_threads"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as Tracer from "effect/Tracer"
import { Answer, Ask, callbackBytes, callbackOffset, type ToWorker, Word } from "../boundary.js"
import type { Call } from "../call.js"
import * as failure from "../failure.js"
import { decodeValues } from "../parameterReader.js"
import { encode, encodeInto, ParameterError, parameterView } from "../parameters.js"
import { enter } from "./inside.js"
import type { Handler, Registry } from "./registry.js"

export class CallbackRunner {
  private readonly control: Int32Array
  private readonly ask: Int32Array
  private readonly answer: Int32Array
  private readonly view
  private readonly groups = new Map<number, unknown>()

  constructor(
    memory: SharedArrayBuffer,
    private readonly port: MessagePort,
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
    const { ask } = this
    const serial = ask[Ask.serial]!
    const count = ask[Ask.count]!
    const args =
      ask[Ask.length]! < 0
        ? decodeValues(parameterView(long(serial)), 0, count)
        : decodeValues(this.view, callbackOffset + Ask.bytes, count)
    const handler = this.registry.get(ask[Ask.id]!)
    // It was taken away, or nobody waits for the statement any more: the worker is about to hear of that.
    if (handler === undefined || isStopped(call)) {
      return this.fail(serial)
    }
    const question = { args, op: ask[Ask.op]!, group: ask[Ask.group]!, groups: this.groups }
    const fiber = this.fork(
      handler,
      call,
      Effect.suspend(() => handler.run(question))
    )
    call.callback = fiber
    fiber.addObserver((exit) => {
      if (call.callback === fiber) {
        call.callback = undefined
      }
      this.settle(call, handler, serial, exit)
    })
  }

  private fork(
    handler: Handler,
    call: Call,
    effect: Effect.Effect<unknown, unknown, unknown>
  ): Fiber.RuntimeFiber<unknown, unknown> {
    const { caller } = call
    const own = caller === undefined ? handler.context : Context.merge(handler.context, caller.currentContext)
    const span = call.request.span
    const context = enter(span === undefined ? own : withSpan(own, span), this.session)
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
    // The first failure is the statement's; what the stop of a statement does to its callback is none.
    call.cause ??= Cause.isInterruptedOnly(exit.cause) && isStopped(call) ? undefined : exit.cause
    this.fail(serial)
  }

  private succeed(call: Call, handler: Handler, serial: number, value: unknown): void {
    if (!this.isAwaited(serial)) {
      return
    }
    const { answer } = this
    try {
      const at = callbackOffset + callbackBytes + Answer.bytes
      answer[Answer.length] = encodeInto([value], this.view, at, callbackBytes - Answer.bytes)
      if (answer[Answer.length]! < 0) {
        const bytes = encode([value])
        this.port.postMessage(["result", serial, bytes] satisfies ToWorker, [bytes])
      }
    } catch (error) {
      if (!(error instanceof ParameterError)) {
        throw error
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
    Atomics.add(this.control, Word.callback, 1)
    Atomics.notify(this.control, Word.callback)
  }
}

const isStopped = (call: Call): boolean => call.done || call.cancelled

const withSpan = (context: Context.Context<never>, span: Tracer.AnySpan): Context.Context<never> =>
  Context.add(context, Tracer.ParentSpan, span)
