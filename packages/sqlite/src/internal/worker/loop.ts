/** The worker's loop: takes requests in order and gives each to whoever answers it. */
import { Op, Request, RequestFlag, Transaction, Word } from "../boundary.js"
import type { Registration } from "../messages.js"
import type { Start } from "../opening.js"
import { Lookers } from "../lookers.js"
import { Why } from "../page.js"
import { ResultCode } from "../resultCode.js"
import type { Signals } from "../signals.js"
import { Callbacks } from "./callbacks.js"
import { runCommand } from "./commands.js"
import { Cursors } from "./cursors.js"
import { type Connection, type Engine, errorMessage } from "./engine.js"
import { Functions } from "./functions.js"
import { Inbox } from "./inbox.js"
import { Modules } from "./modules.js"
import { Outbox } from "./outbox.js"
import { Runner } from "./runner.js"
import { Sleeper } from "./sleeper.js"
import { Statements } from "./statements.js"

/** A request that waits until a held session is free again. */
interface Deferred {
  readonly slot: number
  readonly since: number
}

/**
 * Statements prepared until the thread's event loop turns once: only there Node frees what is left of those that V8 has
 * collected. They are 0.4 KiB each, on the portable engine 4 to 7.
 */
const preparesPerTurn = 1_000

/** Wakes the event loop. */
const wakeOf = ({ asyncHandle, port }: Start, signals: Signals | undefined): (() => void) => {
  const sender = asyncHandle === undefined ? undefined : signals?.senderOf(asyncHandle)
  return sender === undefined ? () => port.postMessage(null) : () => signals!.send(sender)
}

export class Loop {
  private readonly statements: Statements
  private readonly inbox: Inbox
  private readonly outbox: Outbox
  private readonly callbacks: Callbacks
  private readonly control: Int32Array
  private readonly runner: Runner
  private readonly cursors: Cursors
  private readonly deferred: Array<Deferred> = []
  private closing = false
  /** Statements that had been prepared when the event loop last turned. */
  private prepares = 0
  /** The request that runs has not ended yet: it waits for this. Never rejects. */
  private promised: Promise<void> | undefined

  constructor(
    private readonly start: Start,
    private readonly connection: Connection,
    { kind, signals }: Pick<Engine, "kind" | "signals">
  ) {
    this.statements = new Statements(connection)
    const sleeper = new Sleeper(start.shared, signals, new Lookers(start.lookers, start.number))
    this.inbox = new Inbox(start.shared, start.port, this.statements, sleeper)
    this.outbox = new Outbox(start.shared, start.port, sleeper, wakeOf(start, signals))
    const functions = new Functions(connection)
    this.callbacks = new Callbacks(
      start.shared,
      connection,
      functions,
      new Modules(connection, functions, kind === "native"),
      this.inbox,
      this.outbox,
      sleeper
    )
    this.control = new Int32Array(start.shared, 0, 64)
    this.runner = new Runner(start.shared, connection, this.statements, this.inbox, this.outbox)
    this.cursors = new Cursors(connection, this.runner, this.inbox, this.outbox)
  }

  /** Puts callbacks on the connection, in order. Answers a promise when there are modules to import. */
  register(callbacks: ReadonlyArray<Registration>): Promise<void> | undefined {
    let imported: Promise<void> | undefined
    for (const registration of callbacks) {
      imported =
        imported === undefined
          ? (this.callbacks.apply(registration) ?? undefined)
          : imported.then(() => this.callbacks.apply(registration))
    }
    return imported
  }

  /** Serves requests until it is closed, then calls `ended`. It sleeps between them, but leaves where one waits for a promise. */
  run(ended: () => void): void {
    while (!this.closing) {
      if (this.connection.prepares() - this.prepares >= preparesPerTurn) {
        this.prepares = this.connection.prepares()
        return void setImmediate(() => this.run(ended))
      }
      const slot = this.take()
      if (slot !== undefined) {
        this.handle(slot)
      }
      const { promised } = this
      if (promised !== undefined) {
        this.promised = undefined
        return void promised.then(() => {
          this.finish()
          this.run(ended)
        })
      }
    }
    ended()
  }

  /** The next request in order. While a cursor holds the session only cursors are served, the rest waits. */
  private take(): number | undefined {
    if (!this.cursors.holdSession) {
      return this.deferred.shift()?.slot ?? this.inbox.next(Infinity)
    }
    const slot = this.inbox.next(this.deferred.length === 0 ? Infinity : 20)
    if (slot !== undefined) {
      const op = this.inbox.word(slot, Request.op)
      if (op === Op.fetch || op === Op.closeCursor || op === Op.close) {
        return slot
      }
      this.deferred.push({ slot, since: performance.now() })
    }
    this.refuseLate()
    return undefined
  }

  private refuseLate(): void {
    const oldest = this.deferred[0]
    if (oldest !== undefined && performance.now() - oldest.since >= this.start.opening.busyTimeout) {
      this.deferred.shift()
      this.begin(oldest.slot, (seq) => {
        this.inbox.discard(seq, oldest.slot)
        this.runner.answerEmpty(oldest.slot, seq, {
          code: ResultCode.busy,
          message: "the session is held by a stream of a statement that writes: consume or close that stream first"
        })
      })
    }
  }

  /** The frame of every request: announces it as running, then looks at its cancel word; the loop does the reverse. */
  private begin(slot: number, work: (seq: number) => void): void {
    const seq = this.inbox.word(slot, Request.seq)
    Atomics.store(this.control, Word.running, seq)
    const why = this.connection.start(seq, slot)
    this.callbacks.begin(slot)
    if (why !== Why.none && this.inbox.word(slot, Request.op) !== Op.closeCursor) {
      this.inbox.discard(seq, slot)
      const wrote = this.cursors.refusePull(slot)
      this.runner.answerEmpty(slot, seq, { why }, wrote)
    } else {
      work(seq)
    }
    if (this.promised === undefined) {
      this.finish()
    }
  }

  private finish(): void {
    this.connection.end()
    Atomics.store(this.control, Word.running, 0)
  }

  private handle(slot: number): void {
    const { inbox } = this
    const op = inbox.word(slot, Request.op)
    if (op === Op.close) {
      return this.close(slot)
    }
    this.begin(slot, (seq) => {
      const id = inbox.word(slot, Request.id)
      switch (op) {
        case Op.run:
          return this.guarded(slot, seq, id, () => this.runner.run(slot, seq))
        case Op.open:
          return this.guarded(slot, seq, id, () => this.cursors.open(slot, seq))
        case Op.batch:
          return this.guarded(slot, seq, id, () => this.runner.batch(slot, seq))
        case Op.fetch:
          return this.cursors.pull(slot, seq, id)
        case Op.closeCursor:
          this.cursors.end(id)
          return this.runner.answerEmpty(slot, seq, {})
        case Op.describe:
          return this.runner.describe(slot, seq, id)
        default:
          // What came before it may have ended its transaction after it was sent.
          if (!this.misplaced(slot, seq)) {
            this.promised = runCommand(this.connection, this.callbacks, this.outbox, slot, seq, inbox.commandOf(seq))
          }
      }
    })
  }

  /** Checks what a statement asks of transactions before it runs, and drops its text when it is not to be kept. */
  private guarded(slot: number, seq: number, id: number, work: () => void): void {
    this.inbox.text(id)
    // Read now: once the answer is out, the slot may already hold the next request.
    const keep = (this.inbox.word(slot, Request.flags) & RequestFlag.unprepared) === 0
    if (!this.misplaced(slot, seq)) {
      work()
    }
    if (!keep) {
      this.statements.forget(id)
    }
  }

  /** Answers a request that would run outside of the transaction it belongs to, or inside of one that it does not. */
  private misplaced(slot: number, seq: number): boolean {
    const use = this.runner.transactionUse(slot)
    const open = this.connection.inTransaction()
    const wrong = open ? use === Transaction.none : use === Transaction.required
    if (wrong) {
      this.inbox.discard(seq, slot)
      this.runner.answerEmpty(slot, seq, { why: open ? Why.insideTransaction : Why.noTransaction })
    }
    return wrong
  }

  /** Answers what still waits, finalizes everything, closes the file. */
  private close(slot: number): void {
    const seq = this.inbox.word(slot, Request.seq)
    for (const waiting of this.deferred.splice(0)) {
      this.runner.answerEmpty(waiting.slot, this.inbox.word(waiting.slot, Request.seq), { why: Why.closed })
    }
    // They may have streams open on the other side.
    this.callbacks.begin(slot)
    this.cursors.endAll()
    this.statements.clear()
    try {
      this.connection.close()
      this.outbox.value(slot, seq, undefined, false)
    } catch (error) {
      this.outbox.error(slot, seq, errorMessage(error), false)
    }
    this.closing = true
  }
}
