/** What has been registered on a client: every session of it gets all of it, those that open later, too. */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ChangesMessage, Registration } from "../messages.js"
import { folded } from "../folded.js"
import type { SqlValue } from "../parameterReader.js"
import { servicesOf } from "./services.js"

/** What is asked of a callback. */
export interface Question {
  readonly args: ReadonlyArray<SqlValue>
  /** See `AggregateOp`. */
  readonly op: number
  /** The states of aggregates and the scans of table functions on this session, by group. */
  readonly groups: Map<number, unknown>
  readonly group: number
}

/** A callback on the event loop's side. */
export interface Handler {
  /** In SQL, for messages. */
  readonly name: string
  /** Answers the value for SQLite. */
  readonly run: (question: Question) => Effect.Effect<unknown, unknown, unknown>
  /** Makes a value for SQLite of what was answered; throws `ParameterError`. Default: it is one. */
  readonly encode?: ((answer: unknown) => unknown) | undefined
  /** What it was registered with: the caller's own services come first. Of this `servicesOf` is kept. */
  readonly context: Context.Context<never>
}

export interface Registered {
  readonly registration: Registration
  readonly handler: Handler
}

/** What SQLite has one of: a later registration of the same place covers those before it. */
const placeOf = (registration: Registration): string => {
  switch (registration.kind) {
    case "collation":
    case "table":
      return `${registration.kind} ${folded(registration.name)}`
    case "hook":
      return `hook ${registration.hook}`
    case "changes":
      return "changes"
    default:
      return `${registration.kind} ${registration.id}`
  }
}

export class Registry {
  private last = 0
  private readonly handlers = new Map<number, Registered>()
  private readonly leaving = new Set<number>()
  /** Told of the rows that any of the sessions has changed, while a registration of kind "changes" is there. */
  changed: ((changes: ChangesMessage) => void) | undefined

  add(make: (id: number) => Registration, handler: Handler): { readonly id: number } & Registered {
    const id = ++this.last
    const registered = { id, registration: make(id), handler: { ...handler, context: servicesOf(handler.context) } }
    this.handlers.set(id, registered)
    return registered
  }

  /**
   * Takes a registration away in two steps. From the first on sessions that open do without it, and those that are open
   * have to be told what is answered: that a function or module goes; of anything else the latest of the others for the same
   * thing, or that there is none; undefined where it was covered by a later one. Until the second, statements that still run may ask it.
   */
  leave(id: number): Registration | undefined {
    const own = this.handlers.get(id)?.registration
    if (own === undefined || this.leaving.has(id)) {
      return undefined
    }
    this.leaving.add(id)
    if (own.kind === "function" || own.kind === "module") {
      return { kind: "removal", id }
    }
    const last = this.registrations()
      .filter((other) => placeOf(other) === placeOf(own))
      .at(-1)
    return last === undefined ? ({ ...own, id: undefined } as Registration) : last.id! > id ? undefined : last
  }

  /** It was not to be: some session could not be told. */
  stay(id: number): void {
    this.leaving.delete(id)
  }

  remove(id: number): void {
    this.leaving.delete(id)
    this.handlers.delete(id)
  }

  get(id: number): Handler | undefined {
    return this.handlers.get(id)?.handler
  }

  /** Of those registered after this one, for a session that was opening then. */
  since(id: number): ReadonlyArray<Registration> {
    return this.present.filter(([other]) => other > id).map(([, { registration }]) => registration)
  }

  /** The number of the latest. */
  get latest(): number {
    return this.last
  }

  get isEmpty(): boolean {
    return this.handlers.size === 0
  }

  /** In the order in which they were registered: a later one of the same name wins. */
  registrations(): ReadonlyArray<Registration> {
    return this.present.map(([, { registration }]) => registration)
  }

  private get present(): ReadonlyArray<readonly [number, Registered]> {
    return [...this.handlers].filter(([id]) => !this.leaving.has(id))
  }
}
