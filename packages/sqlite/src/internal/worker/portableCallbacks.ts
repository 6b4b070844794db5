/** SQL functions by the carrier's own API; it has neither collations nor hooks. */
import { AggregateOp } from "../boundary.js"
import { OwnCode, ResultCode } from "../resultCode.js"
import type { CarrierDatabase, CarrierValue } from "../carrier.js"
import { folded } from "../folded.js"
import { type Callback, EngineError, type FunctionDefinition } from "./engine.js"

export const unsupported = (what: string): EngineError =>
  new EngineError(OwnCode.failed, `${what} needs the native engine: the portable one has none`)

/** With bigints asked for, so that none is cut; as numbers where they are exact, as on the native engine. */
const plain = (value: unknown): unknown => {
  if (typeof value !== "bigint") {
    return value
  }
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** Carriers store every number as a float; whole ones are to be integers. */
const stored = (value: unknown): CarrierValue =>
  value === undefined
    ? null
    : typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0)
      ? BigInt(value)
      : (value as CarrierValue)

/** Carriers take the number of arguments from the function. */
const withArity = <F extends (...args: Array<never>) => unknown>(arity: number, run: F): F =>
  Object.defineProperty(run, "length", { value: Math.max(0, arity) })

let groups = 0

/** What a carrier calls: the latest with this definition; undefined: it was taken away. */
interface Target {
  readonly definition: string
  run: Callback | undefined
}

const targets = new WeakMap<CarrierDatabase, Map<string, Target>>()

/**
 * A carrier frees what it has when a function of the same name and arity is defined again, also where an open statement
 * uses it: that ends the process. So the same definition is made once, and calls what was registered last.
 */
export const setFunction = (
  database: CarrierDatabase,
  definition: FunctionDefinition,
  run: Callback | undefined,
  isReading: () => boolean
): void => {
  const { arity, deterministic, directOnly, name, shape } = definition
  const known = targets.get(database) ?? new Map<string, Target>()
  targets.set(database, known)
  const place = `${Math.max(-1, arity)} ${folded(name)}`
  const made = JSON.stringify([deterministic, directOnly, shape])
  const before = known.get(place)
  if (before?.definition === made) {
    before.run = run
    return
  }
  if (before !== undefined && isReading()) {
    throw new EngineError(ResultCode.busy, "unable to delete/modify user-function due to active statements")
  }
  const target: Target = { definition: made, run }
  define(database, definition, (...args) => (target.run ?? gone(name))(...args))
  known.set(place, target)
}

const define = (database: CarrierDatabase, definition: FunctionDefinition, run: Callback): void => {
  const { arity, deterministic, directOnly, name, shape } = definition
  const options = { deterministic, directOnly, varargs: arity < 0, useBigIntArguments: true }
  switch (shape) {
    case "scalar":
      return database.function(
        name,
        options,
        withArity(arity, (...args) => stored(run(...args.map(plain))))
      )
    case "aggregate":
      if (database.aggregate === undefined) {
        throw unsupported("An aggregate")
      }
      return database.aggregate(name, {
        ...options,
        start: () => ++groups,
        step: withArity(arity + 1, (group: unknown, ...args: Array<unknown>) => {
          run(AggregateOp.step, group, ...args.map(plain))
          return group
        }),
        result: (group) => stored(run(AggregateOp.final, group))
      })
    case "window":
      throw unsupported("A window function")
  }
}

const gone = (name: string): never => {
  throw new EngineError(ResultCode.error, `no such function: ${name}`)
}
