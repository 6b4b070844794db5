/** From a configuration to a session: starts the worker, waits until the file is open, ends it with the scope. */
import { existsSync } from "node:fs"
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { stopAtExit } from "./atExit.js"
import { cancelWord, sharedBytes } from "./boundary.js"
import type { ToLoop } from "./messages.js"
import type { Opening, Start } from "./opening.js"
import { carrier } from "./carrier.js"
import * as failure from "./failure.js"
import { isMemory } from "./isMemory.js"
import { Lookers, nextNumber, places } from "./lookers.js"
import { openSeq, openSlot } from "./openSeq.js"
import { bundleAdvice, defaultWorker, lookFrom } from "./packageFolder.js"
import { type LoadedPump, pin } from "./pump.js"
import { OwnCode } from "./resultCode.js"
import { type SessionOptions, WorkerSession } from "./session.js"
import { SqliteSession } from "./sqliteSession.js"

/** What the worker said when the file was open. */
export interface Opened {
  readonly session: SqliteSession
  readonly engine: { readonly kind: "native" | "portable"; readonly version: string }
  readonly journalMode: string
}

export interface ConnectOptions extends Omit<SessionOptions, "onLost" | "signals"> {
  readonly opening: Opening
  readonly onClose: "wait" | "interrupt"
  readonly workerUrl: URL | string | undefined
}

/** Node takes a string for a path, also one that begins with `file:`. */
const workerEntry = (url: URL | string | undefined): URL | string =>
  url === undefined ? defaultWorker() : typeof url === "string" && url.startsWith("file:") ? new URL(url) : url

let sessions = 0

const receive = (port: MessagePort) => receiveMessageOnPort(port) as { readonly message: ToLoop } | undefined

/** A worker that has opened its file, or the reason why it has not. */
class Thread {
  private readonly worker: Worker
  private readonly memory = new SharedArrayBuffer(sharedBytes)
  readonly session: WorkerSession
  private readonly ended: Promise<void>
  private settled = false
  /** Set once the session is up: from then on the end of the worker is a loss, unless we asked for it. */
  onEnd: ((message: string) => void) | undefined
  private lastError: string | undefined
  /** Ended within a statement of its SQLite library, the thread would take the process along. */
  private abortsWithin = false

  constructor(
    options: ConnectOptions,
    native: LoadedPump | undefined,
    readonly id: string,
    onLost: (error: SqlError) => void,
    settle: (result: Exit.Exit<Omit<Opened, "session">, SqlError>) => void
  ) {
    const once: typeof settle = (result) => {
      if (!this.settled) {
        this.settled = true
        settle(result)
      }
    }
    const entry = workerEntry(options.workerUrl)
    const { port1, port2 } = new MessageChannel()
    this.session = new WorkerSession(this.memory, port1, { ...options, signals: native?.pump, onLost })
    const number = nextNumber()
    const start: Start = {
      opening: options.opening,
      shared: this.memory,
      port: port2,
      loaded: native?.loaded,
      lookers: places,
      number,
      asyncHandle: this.session.asyncHandle,
      callbacks: options.registry.registrations()
    }
    const hear = (message: ToLoop) => {
      if (message?.[0] === "ready") {
        this.worker.unref()
        this.abortsWithin = message[1] === "portable" && carrier().name === "@photostructure/sqlite"
        once(Exit.succeed({ engine: { kind: message[1], version: message[2] }, journalMode: message[3] }))
      } else if (message?.[0] === "failed") {
        once(Exit.fail(failure.openFailure(message[1], options.opening.filename, message[2])))
      }
    }
    port1.on("message", hear)
    try {
      this.worker = new Worker(entry, {
        name: id,
        workerData: start,
        transferList: [port2],
        // Loaders and inspectors of the main thread are not for this one: they would only make it start slower.
        execArgv: []
      })
    } catch (error) {
      this.session.dispose()
      throw error
    }
    // The worker is ending. Whoever waits for it must hear of that, even if nothing else keeps the process alive.
    port1.on("close", () => this.worker.ref())
    this.worker.on("error", (error) => {
      this.lastError = error instanceof Error ? error.message : String(error)
    })
    const { session } = this
    const forget = stopAtExit({
      stopAll: () => session.stopAll(),
      runs: () => session.runs(),
      mustEnd: () => this.abortsWithin && session.runsStatement()
    })
    this.ended = new Promise((resolve) => {
      this.worker.on("exit", (code) => {
        forget()
        new Lookers(places, number).leave()
        const reason = this.lastError === undefined ? ` with code ${code}` : `: ${this.lastError}`
        // A bundler leaves it behind.
        const missing = this.lastError !== undefined && !existsSync(entry)
        const message = `The SQLite worker ended${reason}${missing ? `. ${bundleAdvice}` : ""}`
        // Its last word may still be on the way: the two come by different ways.
        for (let last = this.settled ? undefined : receive(port1); last !== undefined; last = receive(port1)) {
          hear(last.message)
        }
        once(Exit.fail(failure.openFailure({ code: OwnCode.failed, message }, options.opening.filename)))
        // Asked to end it has answered everything, unless it died on the way or calls came too late for it.
        this.onEnd?.(message)
        this.session.lose(message)
        resolve()
      })
    })
  }

  /** Told when the thread is gone. */
  onGone(told: () => void): void {
    void this.ended.then(told)
  }

  /** Waits for that no longer than so many milliseconds; answers whether it is gone. */
  private goneWithin(millis: number): Effect.Effect<boolean> {
    return Effect.async<boolean>((resume) => {
      const timer = setTimeout(() => resume(Effect.succeed(false)), millis)
      void this.ended.then(() => {
        clearTimeout(timer)
        resume(Effect.succeed(true))
      })
    })
  }

  /**
   * Ends a thread whose open failed or was interrupted: by its own will, else (it is no worker of ours, or hangs) by
   * force. What runs in SQLite and cannot be stopped is left to end by itself.
   */
  abandon(grace: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      Atomics.store(new Int32Array(this.memory), cancelWord + openSlot, openSeq)
      this.close()
      return Effect.flatMap(this.goneWithin(grace), (gone) => {
        if (gone) {
          return Effect.void
        }
        void this.worker.terminate()
        this.worker.unref()
        return Effect.asVoid(this.goneWithin(grace))
      })
    })
  }

  /** Asks the worker to close, behind everything that it has been given. */
  close(): void {
    this.onEnd = undefined
    this.worker.ref()
    this.session.close(() => {})
  }
}

/** Starts the thread and waits for its word. Whoever calls owns the thread, also when this fails. */
const start = (options: ConnectOptions, onLost: (error: SqlError) => void, own: (thread: Thread) => void) =>
  Effect.async<Omit<Opened, "session">, SqlError>((resume) => {
    try {
      // What only a worker has loaded is unmapped when it ends; the main thread keeps it loaded.
      const { engine } = options.opening
      lookFrom(options.workerUrl)
      const native = pin(carrier(), engine === "auto")
      own(
        new Thread(options, engine === "portable" ? undefined : native, `sluice-sqlite-${++sessions}`, onLost, resume)
      )
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      resume(Effect.fail(failure.openFailure({ code: OwnCode.failed, message }, options.opening.filename)))
    }
  })

export const connect = (options: ConnectOptions): Effect.Effect<Opened, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Deferred.make<SqlError>(), (lost) => {
      // Set when the statement that runs cannot be stopped: the thread is left to end by itself.
      let stuck = false
      let onStuck = () => {}
      let thread: Thread | undefined
      const onLost = (error: SqlError) => {
        stuck = true
        if (thread !== undefined) {
          const { id } = thread
          options.givenUp.set(id, SqlFailure.from(error).statement ?? "")
          thread.onGone(() => options.givenUp.delete(id))
        }
        thread?.session.abort(error)
        thread?.close()
        Deferred.unsafeDone(lost, Effect.succeed(error))
        onStuck()
      }
      const opening = start(options, onLost, (started) => {
        thread = started
        started.onEnd = (message) => {
          Deferred.unsafeDone(lost, Effect.succeed(failure.lost(message, "notExecuted")))
        }
      })
      const abandoned = Effect.suspend(() => thread?.abandon(options.grace) ?? Effect.void)
      return Effect.flatMap(
        Effect.onError(restore(opening), () => abandoned),
        (opened) => {
          const { id, session } = thread!
          const close = Effect.async<void>((resume) => {
            onStuck = () => resume(Effect.void)
            if (stuck) {
              return onStuck()
            }
            if (options.onClose === "interrupt") {
              session.abort(failure.closed())
              // What cannot be stopped is left to end by itself, as with a session that is given up.
              const timer = setTimeout(onStuck, options.grace)
              thread!.onGone(() => clearTimeout(timer))
            }
            thread!.close()
            thread!.onGone(onStuck)
          })
          return Effect.as(
            Effect.addFinalizer(() => close),
            {
              ...opened,
              session: new SqliteSession(
                id,
                session,
                Deferred.await(lost),
                options.grace,
                onLost,
                isMemory(options.opening.filename)
              )
            }
          )
        }
      )
    })
  )
