/** One request as the job tracks it, from the caller to its response. */
import type { SqlError } from "@effect/sql/SqlError"
import type { Request } from "../../Protocol.js"
import type { Frame } from "../frame.js"

/** A request that has no id yet. */
export type Unsent = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never

/** What a call ends with, for its caller: a response (also one that says "failure"), or an error of our own. */
export interface Settle {
  (error: SqlError | undefined, frame: Frame | undefined): void
}

/** Requests whose id the daemon remembers until `sqlclose`. */
const opening: ReadonlySet<string> = new Set(["sql", "prepare_sql", "prepare_sql_execute"])

/** Requests that occupy the thread that reads the socket: nothing is read meanwhile, not even a WebSocket ping. */
const blocking: ReadonlySet<string> = new Set(["connect", "cl", "dove", "gettracedata"])

/** Requests that may run in the database for long; a cancel could hit them. */
const working: ReadonlySet<string> = new Set([
  "sql",
  "prepare_sql",
  "prepare_sql_execute",
  "execute",
  "sqlmore",
  "cl",
  "dove"
])

export class Call {
  /** "" until it is sent. */
  id = ""
  /** Which of the wire's connections it was sent to. */
  epoch = 0
  /** What had closed cursors on that connection until then: the wire's count. */
  generation = 0
  /** Its caller has been told. */
  settled = false
  /** The response has come, or never will: the link has ended. */
  answered = false
  /** It is being stopped, for a deadline or an interrupt. */
  stopping: ((done: () => void) => void) | undefined
  /** The response that came while it was being stopped. */
  stoppedWith: Frame | undefined
  /** Told once when it is answered, beside its caller. */
  private listeners: Array<() => void> | undefined

  constructor(
    readonly request: Unsent,
    /** Absolute, in milliseconds of `performance.now()`; `Infinity`: none. */
    readonly deadline: number,
    /** The SQL text, for failures. */
    readonly statement: string | undefined,
    readonly settle: Settle,
    /** The statement closes the cursors that are open. */
    readonly closesCursors = false
  ) {}

  /** At once if it is answered already, or will never be sent. The answer takes the listener out again. */
  whenAnswered(listener: () => void): () => void {
    if (this.answered || !this.sent) {
      listener()
      return () => {}
    }
    const listeners = (this.listeners ??= [])
    listeners.push(listener)
    return () => void listeners.splice(listeners.indexOf(listener), 1)
  }

  /** Tells them. */
  conclude(): void {
    this.answered = true
    for (const listener of this.listeners?.splice(0) ?? []) {
      listener()
    }
  }

  get sent(): boolean {
    return this.id !== ""
  }

  get opens(): boolean {
    return opening.has(this.request.type)
  }

  /** It costs one of the driver's statements, which are counted: Visual Explain keeps the one that it has run. */
  get costs(): boolean {
    const { request } = this
    return this.opens || (request.type === "dove" && request.run === true)
  }

  get blocks(): boolean {
    return blocking.has(this.request.type)
  }

  get works(): boolean {
    return working.has(this.request.type)
  }
}
