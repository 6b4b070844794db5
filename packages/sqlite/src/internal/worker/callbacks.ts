/**
 * The worker's half of callbacks: what SQLite calls in the middle of a statement is put to the event loop, and the thread
 * sleeps until the answer is there or the statement is to stop.
 */
import { AggregateOp, Answer, Ask, callbackBytes, callbackOffset, TableOp, Word } from "../boundary.js"
import { callbackFailed, type HookKind, type Registration } from "../messages.js"
import { Why } from "../page.js"
import { decodeValue } from "../parameterReader.js"
import { encode, encodeInto, parameterView } from "../parameters.js"
import { ResultCode } from "../resultCode.js"
import { type Callback, type Connection, EngineError } from "./engine.js"
import type { Functions } from "./functions.js"
import type { Inbox } from "./inbox.js"
import type { Modules } from "./modules.js"
import type { Outbox } from "./outbox.js"
import type { Sleeper } from "./sleeper.js"

/** At least so often the words are looked at: a deadline needs no notice. In milliseconds. */
const longestSleep = 10

/** What they are told of stays as it is: their failure is no failure of the statement. */
const tellingHooks: ReadonlySet<HookKind> = new Set([
  "update",
  "rollback",
  "wal",
  "trace",
  "profile",
  "autovacuumPages"
] as const)

export class Callbacks {
  private readonly control: Int32Array
  private readonly ask: Int32Array
  private readonly answer: Int32Array
  private readonly view
  private serial = 0
  private slot = 0
  /** A callback has failed its statement, whose aggregates are ended without being asked anything more. */
  private failed = false

  constructor(
    shared: SharedArrayBuffer,
    private readonly connection: Connection,
    private readonly functions: Functions,
    readonly modules: Modules,
    private readonly inbox: Inbox,
    private readonly outbox: Outbox,
    private readonly sleeper: Sleeper
  ) {
    this.control = new Int32Array(shared, 0, 64)
    this.ask = new Int32Array(shared, callbackOffset, callbackBytes / 4)
    this.answer = new Int32Array(shared, callbackOffset + callbackBytes, callbackBytes / 4)
    this.view = parameterView(shared)
  }

  /** The request that callbacks are asked for from here on. */
  begin(slot: number): void {
    this.slot = slot
    this.failed = false
  }

  /** Puts a callback on the connection, or takes it away. Throws `EngineError`. Modules take their time. */
  apply(registration: Registration): Promise<void> | void {
    const { connection } = this
    switch (registration.kind) {
      case "function":
        return this.functions.add(
          registration.id,
          registration,
          registration.shape === "scalar" ? this.function(registration.id) : this.aggregate(registration.id)
        )
      case "module":
        return this.modules.register(registration)
      case "removal":
        return this.functions.remove(registration.id)
      case "collation":
        return connection.setCollation(registration.name, this.scalar(registration.id))
      case "table":
        return connection.setTable(registration, this.table(registration.id))
      case "hook":
        return connection.setHook(
          registration.hook,
          registration.hook === "collationNeeded"
            ? this.collationNeeded(registration.id)
            : tellingHooks.has(registration.hook)
              ? this.telling(registration.id)
              : this.scalar(registration.id)
        )
      case "changes":
        connection.setChanges(registration.id !== undefined)
        this.outbox.committed = registration.id === undefined ? undefined : () => connection.takeChanges()
    }
  }

  private scalar(id: number | undefined): Callback | undefined {
    return id === undefined ? undefined : this.function(id)
  }

  private function(id: number): Callback {
    return (...args) => this.call(id, 0, 0, args)
  }

  private telling(id: number | undefined): Callback | undefined {
    return id === undefined
      ? undefined
      : (...args) => {
          const { failed } = this
          try {
            return this.call(id, 0, 0, args)
          } finally {
            this.failed = failed
          }
        }
  }

  /** The loop answers the number of a collation, which SQLite looks for as soon as this returns; 0: it knows none. */
  private collationNeeded(id: number | undefined): Callback | undefined {
    return id === undefined
      ? undefined
      : (name) => {
          const collation = Number(this.call(id, 0, 0, [name]))
          if (collation > 0) {
            this.connection.setCollation(name as string, this.scalar(collation))
          }
          return 0
        }
  }

  private aggregate(id: number): Callback {
    return (op, group, ...args) => {
      // SQLite ends the groups of a statement that has failed, too: there is nobody to want their values.
      if (op === AggregateOp.final && (this.failed || this.connection.check() !== Why.none)) {
        return null
      }
      if (op !== AggregateOp.final) {
        // A statement that has failed takes no further step: this is another one of the same request.
        this.failed = false
      }
      return this.call(id, op as number, group as number, args)
    }
  }

  private table(id: number | undefined): Callback | undefined {
    return id === undefined
      ? undefined
      : (op, scan, ...args) =>
          op === TableOp.close
            ? this.endScan(id, scan as number)
            : this.call(id, op as number, scan as number, op === TableOp.open ? [givenOf(args), ...args] : [])
  }

  /** Waits until the stream's finalisers have run; when the statement is to stop, until the loop knows of it. */
  private endScan(id: number, scan: number): void {
    const { control } = this
    const serial = this.put(id, TableOp.close, scan, [])
    for (;;) {
      const heard = Atomics.load(control, Word.callback)
      if (Atomics.load(control, Word.answered) === serial) {
        break
      }
      if (Atomics.load(this.answer, Answer.taken) === serial && this.connection.check() !== Why.none) {
        return
      }
      this.sleeper.sleep(Word.callback, heard, longestSleep)
    }
    this.failed ||= this.answer[Answer.failed] === 1
  }

  /** Asks the loop and waits. */
  private call(id: number, op: number, group: number, args: ReadonlyArray<unknown>): unknown {
    if (this.connection.check() !== Why.none) {
      throw this.fail()
    }
    const serial = this.put(id, op, group, args)
    this.wait(serial)
    return this.result(serial)
  }

  /** Asks the loop; answers the question's number. */
  private put(id: number, op: number, group: number, args: ReadonlyArray<unknown>): number {
    const { ask } = this
    const serial = (this.serial = (this.serial % 0x7ffffffe) + 1)
    Atomics.store(ask, Ask.serial, 0)
    ask[Ask.id] = id
    ask[Ask.op] = op
    ask[Ask.group] = group
    ask[Ask.slot] = this.slot
    ask[Ask.count] = args.length
    ask[Ask.length] = encodeInto(args, this.view, callbackOffset + Ask.bytes, callbackBytes - Ask.bytes)
    if (ask[Ask.length]! < 0) {
      const bytes = encode(args)
      this.outbox.post(["arguments", serial, bytes], [bytes])
    }
    Atomics.store(ask, Ask.serial, serial)
    this.outbox.ask(this.slot)
    return serial
  }

  /** Sleeps until the answer is there. Throws when the request is to stop before that. */
  private wait(serial: number): void {
    const { control } = this
    for (;;) {
      const heard = Atomics.load(control, Word.callback)
      if (Atomics.load(control, Word.answered) === serial) {
        return
      }
      if (this.connection.check() !== Why.none) {
        throw this.fail()
      }
      this.sleeper.sleep(Word.callback, heard, longestSleep)
    }
  }

  private result(serial: number): unknown {
    const { answer } = this
    if (answer[Answer.failed] === 1) {
      throw this.fail()
    }
    return answer[Answer.length]! < 0
      ? decodeValue(parameterView(this.inbox.resultOf(serial)), 0)
      : decodeValue(this.view, callbackOffset + callbackBytes + Answer.bytes)
  }

  private fail(): EngineError {
    this.failed = true
    // The loop knows the reason.
    return new EngineError(ResultCode.error, callbackFailed)
  }
}

/** Which arguments a statement gives: a bit for each. Those that it leaves out would cross as NULL. */
const givenOf = (args: ReadonlyArray<unknown>): number =>
  args.reduce<number>((given, value, i) => (value === undefined ? given : given | (1 << i)), 0)
