/** Modules of the program in the worker: imported by URL, registered as functions and aggregates, run by name. */
import { AggregateOp } from "../boundary.js"
import type { ModuleRegistration } from "../messages.js"
import { Why } from "../page.js"
import { OwnCode, ResultCode } from "../resultCode.js"
import { pack } from "../thrown.js"
import { Database } from "./database.js"
import { type Callback, type Connection, EngineError } from "./engine.js"
import type { Functions } from "./functions.js"

/** How often it is looked whether a promise is still to be waited for, in milliseconds. */
const pollMillis = 10

type Exports = Readonly<Record<string, unknown>>

interface Aggregate {
  readonly initial: () => unknown
  readonly step: Callback
  readonly final: Callback
  readonly inverse?: Callback
  readonly value?: Callback
}

/** What the program threw, as SQLite's error; SQLite's own stay what they are. */
const asEngineError = (error: unknown): EngineError =>
  error instanceof EngineError ? error : new EngineError(ResultCode.error, pack(error))

/**
 * Waits for a promise until the request is to stop. The timer also keeps the thread alive, which a promise does not.
 * A request that is stopped gives the promise up: what becomes of it is of no interest.
 */
const awaited = <A>(connection: Connection, promise: PromiseLike<A>): Promise<A> => {
  let timer: NodeJS.Timeout | undefined
  const stopped = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      if (connection.check() !== Why.none) {
        reject(new EngineError(ResultCode.interrupt, "interrupted"))
      }
    }, pollMillis)
  })
  return Promise.race([promise, stopped]).finally(() => clearInterval(timer))
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { readonly then?: unknown }).then === "function"

/** Functions of SQL answer on every row: this is to cost nothing. */
const isStorable = (value: unknown): boolean => {
  switch (typeof value) {
    case "number":
      return value === value
    case "bigint":
      return BigInt.asIntN(64, value) === value
    case "string":
      // Of Node 20, and not in the types of its language level.
      return (value as string & { readonly isWellFormed: () => boolean }).isWellFormed()
    case "object":
      return value === null || ArrayBuffer.isView(value)
    case "function":
    case "symbol":
      return false
    default:
      return true
  }
}

class NotStorable extends TypeError {
  constructor(name: string) {
    super(
      `${name} answered what SQLite cannot store: answer null, a number, bigint (64 bits), well-formed string or bytes`
    )
  }
}

const storable = (name: string, value: unknown): unknown => {
  if (isStorable(value)) {
    return value
  }
  if (isPromise(value)) {
    // Nobody waits for it: its failure would end the thread.
    value.then(undefined, () => {})
  }
  throw new NotStorable(name)
}

const scalar =
  (name: string, run: Callback): Callback =>
  (...args) => {
    try {
      return storable(name, run(...args))
    } catch (error) {
      throw asEngineError(error)
    }
  }

/** The state of a group that has failed: SQLite asks for its end all the same. */
const failed = Symbol("failed")

const aggregate = (name: string, definition: Aggregate): Callback => {
  const groups = new Map<unknown, unknown>()
  const before = (group: unknown) => (groups.has(group) ? groups.get(group) : definition.initial())
  const answer = (op: unknown, group: unknown, args: ReadonlyArray<unknown>): unknown => {
    const state = before(group)
    if (state === failed) {
      return null
    }
    switch (op) {
      case AggregateOp.step:
        return void groups.set(group, definition.step(state, ...args))
      case AggregateOp.inverse:
        return void groups.set(group, definition.inverse!(state, ...args))
      case AggregateOp.value:
        return storable(name, definition.value!(state))
      default:
        return storable(name, definition.final(state))
    }
  }
  return (op, group, ...args) => {
    try {
      return answer(op, group, args)
    } catch (error) {
      groups.set(group, failed)
      throw asEngineError(error)
    } finally {
      if (op === AggregateOp.final) {
        groups.delete(group)
      }
    }
  }
}

export class Modules {
  constructor(
    private readonly connection: Connection,
    private readonly functions: Functions,
    /** The portable engine has no window functions: there such an aggregate is one only. */
    private readonly windows: boolean
  ) {}

  private load(url: string): Promise<Exports> {
    return awaited(this.connection, import(url) as Promise<Exports>).catch((error: unknown) => {
      throw asEngineError(error)
    })
  }

  /** Imports it and registers what was chosen of it. */
  register({ aggregates, functions, id, url }: ModuleRegistration): Promise<void> {
    return this.load(url).then((exports) => {
      for (const { arity, deterministic, directOnly, exported, innocuous, name } of functions) {
        const run = exportOf(exports, exported, isFunction)
        this.functions.add(
          id,
          { name, arity: arity ?? run.length, deterministic, directOnly, innocuous, shape: "scalar" },
          scalar(`${name}()`, run)
        )
      }
      for (const { arity, deterministic, directOnly, exported, innocuous, name } of aggregates) {
        const definition = exportOf(exports, exported, isAggregate)
        const isWindow = this.windows && isFunction(definition.inverse) && isFunction(definition.value)
        this.functions.add(
          id,
          {
            name,
            arity: arity ?? Math.max(0, definition.step.length - 1),
            deterministic,
            directOnly,
            innocuous,
            shape: isWindow ? "window" : "aggregate"
          },
          aggregate(`${name}()`, definition)
        )
      }
    })
  }

  /** Runs an export with the database. What it leaves open is closed, and a transaction undone. */
  run(url: string, name: string, args: ReadonlyArray<unknown>): Promise<unknown> {
    const { connection } = this
    const database = new Database(connection)
    return this.load(url)
      .then((exports) => {
        const before = connection.inTransaction()
        const ended = () => {
          database.close()
          return !before && this.undo()
        }
        return perform(() => exportOf(exports, name, isFunction)(database, ...args), connection).then(
          (value) => {
            if (ended()) {
              throw new EngineError(
                OwnCode.failed,
                `${name} left a transaction open, so it was rolled back: end what it begins`
              )
            }
            return value
          },
          (error: unknown) => {
            ended()
            throw error
          }
        )
      })
      .catch((error: unknown) => {
        throw asEngineError(error)
      })
  }

  /** Ends a transaction that is open, and answers whether there was one. Nothing stops it. */
  private undo(): boolean {
    const open = this.connection.inTransaction()
    if (open) {
      this.connection.end()
      this.connection.exec("ROLLBACK")
    }
    return open
  }
}

const perform = (work: () => unknown, connection: Connection): Promise<unknown> => {
  try {
    const value = work()
    return isPromise(value) ? awaited(connection, value) : Promise.resolve(value)
  } catch (error) {
    return Promise.reject(asEngineError(error))
  }
}

const isFunction = (value: unknown): value is Callback => typeof value === "function"

const isAggregate = (value: unknown): value is Aggregate =>
  typeof value === "object" &&
  value !== null &&
  ["initial", "step", "final"].every((part) => isFunction((value as Exports)[part]))

const exportOf = <A>(exports: Exports, name: string, is: (value: unknown) => value is A): A => {
  const value = exports[name]
  if (is(value)) {
    return value
  }
  throw new EngineError(
    OwnCode.unsupported,
    `the module has no export "${name}" that is ${is === (isAggregate as unknown) ? "an aggregate (initial, step, final)" : "a function"}`
  )
}
