/**
 * The loop's side of one worker: sends calls or lets them wait, settles them, keeps deadlines, stops what is to be
 * stopped. Everything here is synchronous; Effects begin in `sqliteSession.ts`.
 */
import type { MessagePort } from "node:worker_threads"
import type { SqlError } from "@effect/sql/SqlError"
import * as FiberId from "effect/FiberId"
import { Alarm } from "./alarm.js"
import type { SqliteAnswer } from "./answer.js"
import { cancelWord, Op, Word } from "./boundary.js"
import { Call } from "./call.js"
import type { Registry } from "./callbacks/registry.js"
import { CallbackRunner } from "./callbacks/runner.js"
import type { PageSource } from "./decoder.js"
import * as failure from "./failure.js"
import { batchValue, lateError } from "./batchValue.js"
import { Flag, Header } from "./page.js"
import { ParameterError } from "./parameters.js"
import { callbackError, readPage } from "./readPage.js"
import { ReplyReader } from "./replyReader.js"
import { RequestWriter } from "./requestWriter.js"
import { Slots } from "./slots.js"
import { UnsendableText } from "./statementCache.js"
import { Waker } from "./waker.js"
import type { Signals } from "./signals.js"

export interface SessionOptions {
  readonly statementCacheSize: number
  readonly maxQueued: number
  readonly maxQueuedBytes: number
  /** Milliseconds that a stopped statement may take to stop. */
  readonly grace: number
  /** Of the pump; undefined: the two threads wake each other without it. */
  readonly signals: Signals | undefined
  /** The callbacks of its client. */
  readonly registry: Registry
  /** Of the client's sessions that were given up, by their ids: the statement that still runs. */
  readonly givenUp: Map<string, string>
  /** Its client has, or may come to have, sessions that read. */
  readonly readers: boolean
  /** Told once when the session can be used no more. */
  readonly onLost: (error: SqlError) => void
}

export class WorkerSession {
  private readonly control: Int32Array
  private readonly waker: Waker
  private readonly requests: RequestWriter
  private readonly replies: ReplyReader
  private readonly callbacks: CallbackRunner

  /** By which the worker wakes us. */
  readonly asyncHandle: bigint | undefined

  private readonly slots: Slots
  private active = 0
  private lastCursor = 0

  private failed: SqlError | undefined
  private transaction = false
  private readonly alarm = new Alarm(() => this.tick())

  constructor(
    memory: SharedArrayBuffer,
    private readonly port: MessagePort,
    private readonly options: SessionOptions
  ) {
    this.control = new Int32Array(memory, 0, 1024)
    this.waker = new Waker(memory, options.signals)
    this.requests = new RequestWriter(memory, port, this.waker, options.statementCacheSize)
    this.slots = new Slots(options.maxQueued, options.maxQueuedBytes)
    this.replies = new ReplyReader(memory, port, this.waker, {
      seqOf: (slot) => this.slots.at(slot)!.seq,
      page: (slot, source, base) => this.page(slot, source, base),
      value: (slot, value, inTransaction) => {
        const call = this.slots.at(slot)!
        // A command may end one, and begins none: one that is open all the same is a statement's own affair. Who is in one
        // that the close has ended hears of the close.
        this.transaction &&= inTransaction || call.op === Op.close
        this.release(slot)
        const tag = call.command?._tag
        const made = tag === "Batch" || tag === "Changes" ? batchValue(call, value, this.failed) : value
        this.afterCallback(call, true, () => this.finish(call, undefined, undefined, made))
      },
      error: (slot, error, inTransaction) => {
        const call = this.slots.at(slot)!
        this.transaction &&= inTransaction
        this.release(slot)
        const { text } = call.request
        // What a program did before it failed may be there.
        const outcome = call.command?._tag === "RunInWorker" ? "unknown" : "notExecuted"
        const failed =
          lateError(call, error, "unknown") ??
          callbackError(call, outcome) ??
          failure.sqliteFailure(error, text || undefined, outcome)
        this.afterCallback(call, true, () => this.finish(call, failed, undefined))
      },
      callback: (slot, long) => this.callbacks.run(this.slots.at(slot)!, long),
      counters: (slot, counters) => {
        this.slots.at(slot)!.counters = counters
      },
      changes: (changes) => options.registry.changed?.(changes),
      waits: () => this.active > 0
    })
    this.callbacks = new CallbackRunner(memory, port, this.waker, this, options.registry)
    port.unref()
    this.asyncHandle = options.signals?.openAsync(() => this.replies.woken())
  }

  /** Whether somebody who has the session to himself has one open, as of the last answer. */
  get inTransaction(): boolean {
    return this.transaction
  }

  /** Whether the worker may ask for one of them. */
  get hasCallbacks(): boolean {
    return !this.options.registry.isEmpty
  }

  /** Calls that are not settled yet. */
  get pending(): number {
    return this.active
  }

  /** What the worker is doing, in a word. */
  get state(): "open" | "busy" | "closed" {
    return this.failed !== undefined ? "closed" : this.active > 0 ? "busy" : "open"
  }

  nextCursor(): number {
    this.lastCursor = (this.lastCursor % 0x7fffffff) + 1
    return this.lastCursor
  }

  // ------------------------------------------------------------------------------------------------------- sending

  /** Takes a call: sends it, queues it, or settles it with a failure at once. */
  submit(call: Call): void {
    if (this.failed !== undefined) {
      return this.refuse(call, this.failed)
    }
    this.activate()
    this.alarm.set(call.request.deadline)
    const slot = this.slots.free(call)
    return slot === undefined ? this.wait(call) : this.send(call, slot)
  }

  private refuse(call: Call, error: SqlError): void {
    call.done = true
    call.settle(error, undefined)
  }

  private wait(call: Call): void {
    let refused: SqlError | undefined
    try {
      refused = this.slots.wait(call)
    } catch (error) {
      refused = this.unsendable(error, call)
    }
    if (refused !== undefined) {
      this.finish(call, refused, undefined)
    }
  }

  private unsendable(error: unknown, call: Call): SqlError {
    if (error instanceof ParameterError) {
      return failure.parameterFailure(error, call.request.text)
    }
    if (call.command !== undefined) {
      // What cannot be cloned, or has to be transferred, or throws when it is looked at.
      return failure.notCloned(error instanceof Error ? error.message : String(error))
    }
    if (error instanceof UnsendableText) {
      return failure.unsendableText(error.message, call.request.text)
    }
    throw error
  }

  private send(call: Call, slot: number): void {
    try {
      this.requests.send(call, slot)
      this.slots.put(call, slot)
      this.replies.sent()
    } catch (error) {
      this.release(slot)
      this.finish(call, this.unsendable(error, call), undefined)
    }
  }

  /** The process stays alive while calls are under way, and only then. */
  private activate(): void {
    if (this.active++ === 0) {
      this.port.ref()
    }
  }

  private deactivate(): void {
    if (--this.active === 0) {
      this.port.unref()
    }
  }

  // ------------------------------------------------------------------------------------------------------ receiving

  /** Takes what is there already, before the event loop tells of it. */
  poll(): void {
    this.replies.drain(1)
  }

  private page(slot: number, source: PageSource, base: number): void {
    const call = this.slots.at(slot)!
    const flags = source.u32[(base >> 2) + Header.flags]!
    // One that a statement outside of transactions has open is its own affair: nobody else may undo it.
    this.transaction = (flags & Flag.inTransaction) !== 0 && (this.transaction || call.request.transaction !== "none")
    const answer = readPage(call, source, base, this.failed, this.options)
    if (answer === undefined) {
      return
    }
    if (call.error !== undefined && call.cursor !== 0 && (flags & Flag.done) === 0) {
      // The failure ends the result for whoever reads it; the worker knows nothing of it.
      call.opened = false
      this.closeCursor(call.cursor)
    }
    this.release(slot)
    const goesOn =
      call.cursor !== 0 &&
      call.op !== Op.closeCursor &&
      (flags & Flag.done) === 0 &&
      (answer.error === undefined || call.error !== undefined)
    this.afterCallback(call, !goesOn, () => this.finish(call, undefined, answer))
  }

  /**
   * A callback that still runs is of a statement that was stopped, or is late: it ends before its caller goes on. One that
   * does not end within the grace period is left behind. `last`: so has its statement ended.
   */
  private afterCallback(call: Call, last: boolean, finish: () => void): void {
    const { callback } = call
    const quiet = () => {
      if (last) {
        this.callbacks.forget(call)
      }
      finish()
    }
    if (callback === undefined) {
      return quiet()
    }
    const ended = () => {
      clearTimeout(timer)
      callback.removeObserver(ended)
      quiet()
    }
    const timer = setTimeout(ended, this.options.grace)
    callback.addObserver(ended)
    callback.unsafeInterruptAsFork(FiberId.none)
  }

  /** Gives the slot back and sends what waited for one. */
  private release(slot: number): void {
    const next = this.slots.giveBack(slot)
    if (next !== undefined) {
      this.send(next, slot)
    }
  }

  /** Settles a call, once. */
  private finish(call: Call, error: SqlError | undefined, answer: SqliteAnswer | undefined, value?: unknown): void {
    if (!call.done) {
      call.done = true
      this.deactivate()
      call.settle(error, answer, value)
      call.onQuiet?.()
    } else if (call.opened) {
      // Nobody waits for this cursor: its opener was interrupted before it had begun.
      this.closeCursor(call.cursor)
    }
  }

  /** Ends a cursor without waiting for the answer. */
  closeCursor(cursor: number, settled: () => void = () => {}): void {
    const call = new Call(Op.closeCursor, emptyRequest, settled)
    call.cursor = cursor
    this.submit(call)
  }

  // ------------------------------------------------------------------------------------------------------- stopping

  /**
   * Stops a call. True: it is settled, or will never run. False: the worker runs it now, or its callback is ending; it has
   * been told, and `call.onQuiet` will be told when both have let go.
   */
  stop(call: Call): boolean {
    if (call.done) {
      return true
    }
    if (call.seq === 0) {
      this.slots.leave(call)
      this.drop(call)
      return true
    }
    call.cancelled = true
    call.callback?.unsafeInterruptAsFork(FiberId.none)
    Atomics.store(this.control, cancelWord + call.slot, call.seq)
    this.rouse()
    if (Atomics.load(this.control, Word.running) === call.seq) {
      return false
    }
    // Either it has ended, and then its reply is in the ring already, or it has not begun, and never will.
    this.replies.drain(Infinity)
    if (call.done) {
      return true
    }
    if (call.callback !== undefined) {
      // It has its reply: `page` waits for the end of the callback, and so does whoever stops it.
      return false
    }
    this.drop(call)
    return true
  }

  /** Whether the worker has not let go of the call. */
  holds(call: Call): boolean {
    return call.slot >= 0 && this.slots.at(call.slot) === call
  }

  /** Stops all that was sent, and tells nobody: the process is about to end. */
  stopAll(): void {
    for (const call of this.slots.sent()) {
      Atomics.store(this.control, cancelWord + call.slot, call.seq)
    }
    this.rouse()
  }

  /** Whether the worker is within a request. */
  runs(): boolean {
    return Atomics.load(this.control, Word.running) !== 0
  }

  /** Whether it is within SQLite for that: not in a module of the program, whose JavaScript ends with its thread. */
  runsStatement(): boolean {
    const running = Atomics.load(this.control, Word.running)
    const alive = Atomics.load(this.control, Word.ended) === 0
    return running !== 0 && alive && this.slots.sent().some((call) => call.seq === running && !runsModules(call))
  }

  /** Makes the worker look at its words, wherever it waits. */
  private rouse(): void {
    for (const word of [Word.credit, Word.callback] as const) {
      Atomics.add(this.control, word, 1)
      this.waker.wake(word)
    }
  }

  /** Nobody waits for it any more; its reply, if any comes, only gives the slot back. */
  private drop(call: Call): void {
    call.abandoned = true
    call.done = true
    this.deactivate()
    call.onQuiet?.()
  }

  /**
   * Stops whatever statement runs now; its caller gets reason `Interrupted`. Nothing runs: nothing happens. Nor to the
   * end of a transaction: a rollback that is stopped would cost the session.
   */
  interrupt(): void {
    const running = Atomics.load(this.control, Word.running)
    const call = this.slots.sent().find((call) => call.seq === running)
    if (
      call !== undefined &&
      !(call.request.transaction === "free" && endsTransactionOrSavepoint.test(call.request.text))
    ) {
      Atomics.store(this.control, Word.interrupt, running)
      this.rouse()
    }
  }

  /** Fails everything that is under way, and stops it. What runs may have had its effect, what waits has not. */
  abort(error: SqlError): void {
    this.failed ??= error
    for (const call of this.slots.dismiss()) {
      this.finish(call, error, undefined)
    }
    // The last first: what stands behind a statement that is stopped would begin before it is stopped itself.
    const sent = this.slots.sent().sort((a, b) => b.seq - a.seq)
    for (const call of sent) {
      if (!call.done && call.op !== Op.close) {
        const running = !this.stop(call)
        if (running) {
          this.drop(call)
        }
        if (call.abandoned) {
          call.settle(running ? failure.withOutcome(error, "unknown") : error, undefined)
        }
      }
    }
  }

  // ------------------------------------------------------------------------------------------------------ deadlines

  /** The worker stops what runs at its deadline; this ends what waits. */
  private tick(): void {
    const now = performance.now()
    let next = Infinity
    for (const call of this.slots.all()) {
      if (call.done || call.request.deadline === Infinity) {
        continue
      }
      const at = call.request.deadline
      if (at > now) {
        next = Math.min(next, at)
      } else if (call.seq === 0 || Atomics.load(this.control, Word.running) !== call.seq) {
        this.expire(call)
      } else if (now < at + this.options.grace) {
        next = Math.min(next, at + this.options.grace)
      } else {
        // It cannot be stopped (portable engine): its session is given up, its own caller hears of the deadline.
        this.drop(call)
        this.options.onLost(failure.stuck(call.request.text))
        call.settle(failure.late(call.request.text, "unknown"), undefined)
        return
      }
    }
    this.alarm.set(next)
  }

  /** The deadline of a call that has not begun: it never will. */
  private expire(call: Call): void {
    if (this.stop(call)) {
      if (call.abandoned) {
        call.settle(failure.late(call.request.text, "notExecuted"), undefined)
      }
    } else {
      // It began in this very moment, and has been told to stop.
      this.alarm.set(performance.now() + this.options.grace)
    }
  }

  // --------------------------------------------------------------------------------------------------------- ending

  /** No further call is taken; those under way go on. */
  refuseFurther(error: SqlError): void {
    this.failed ??= error
  }

  /** The last request; sent behind everything that is under way. */
  close(settled: () => void): void {
    const call = new Call(Op.close, emptyRequest, settled)
    const failed = this.failed
    this.failed = undefined
    this.submit(call)
    this.failed = failed ?? failure.closed()
  }

  /** False when a reply came whose message went down with the worker: then nobody knows what has been done. */
  private drainLast(): boolean {
    try {
      this.replies.drain(Infinity)
      return true
    } catch {
      return false
    }
  }

  /** The worker is gone: whoever still waits is told, with what is known about the statement, or why it was to end. */
  lose(message: string): void {
    const whole = this.drainLast()
    const running = Atomics.load(this.control, Word.running)
    const failed = this.failed
    this.failed ??= failure.lost(message, "notExecuted")
    for (const call of [...this.slots.sent(), ...this.slots.dismiss()]) {
      if (!call.done) {
        call.done = true
        call.callback?.unsafeInterruptAsFork(FiberId.none)
        this.deactivate()
        const begun = call.seq !== 0 && (running === call.seq || !whole)
        const lost = () => failure.lost(message, begun ? "unknown" : "notExecuted", call.request.text || undefined)
        call.settle(begun ? lost() : (failed ?? lost()), undefined)
        call.onQuiet?.()
      }
    }
    this.dispose()
  }

  dispose(): void {
    this.callbacks.end()
    this.replies.end()
    if (this.asyncHandle !== undefined) {
      this.options.signals!.closeAsync(this.asyncHandle)
    }
    this.alarm.clear()
    this.port.close()
  }
}

const runsModules = ({ command }: Call): boolean => command?._tag === "RunInWorker" || command?._tag === "Register"

export const emptyRequest = {
  text: "",
  params: [],
  prefetch: 1,
  deadline: Infinity,
  integers: "number",
  shape: "arrays",
  prepared: true,
  transaction: "free"
} as const

const endsTransactionOrSavepoint = /^(commit|rollback|release)\b/i
