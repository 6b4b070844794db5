/** From tagged bytes (see `ParameterTag`) to what a carrier binds. */
import type { Statement } from "../split.js"
import type { PortableConnection } from "./portableConnection.js"
import { ParameterTag } from "../parameters.js"
import type { Carrier, CarrierDatabase, CarrierStatement, CarrierValue } from "../carrier.js"

/** What a carrier's binding gets wrong, found by trying. */
export interface CarrierFaults {
  /** Binds integral (and almost integral) floats as integers: 1e-17 becomes 0. */
  readonly floats: boolean
  /** Cuts texts at a NUL. */
  readonly texts: boolean
}

export const findFaults = ({ DatabaseSync }: Carrier): CarrierFaults => {
  const database = new DatabaseSync(":memory:")
  const row = database.prepare("SELECT typeof(?) AS f, length(CAST(? AS BLOB)) AS t").get(5, "a\0b") as {
    readonly f: string
    readonly t: number
  }
  database.close()
  return { floats: row.f !== "real", texts: row.t !== 3 }
}

/** Reads one row; integers stay bigints, as carriers bind numbers as floats. Answers the offset behind it. */
export const readParameters = (bytes: Uint8Array, offset: number, count: number, out: Array<CarrierValue>): number => {
  const data = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
  let at = offset
  out.length = 0
  for (let i = 0; i < count; i++) {
    const tag = data[at++]!
    switch (tag) {
      case ParameterTag.null:
        out.push(null)
        break
      case ParameterTag.integer:
        out.push(data.readBigInt64LE(at))
        at += 8
        break
      case ParameterTag.float:
        out.push(data.readDoubleLE(at))
        at += 8
        break
      case ParameterTag.text:
      case ParameterTag.blob: {
        const length = data.readUInt32LE(at)
        at += 4
        // Copied, as the slot belongs to the next request before this statement has ended.
        out.push(
          tag === ParameterTag.text
            ? data.toString("utf8", at, at + length)
            : Uint8Array.prototype.slice.call(data, at, at + length)
        )
        at += length
        break
      }
      default:
        throw new Error(`Unknown parameter tag ${tag}`)
    }
  }
  return at
}

/** The arguments that bind `values` (from number 1): names as an object in front, the others in order. */
export const carrierArguments = (statement: Statement, values: ReadonlyArray<CarrierValue>): Array<unknown> => {
  const names = new Map<number, string>()
  for (const parameter of statement.parameters) {
    if (parameter.name !== undefined) names.set(parameter.number, parameter.name)
  }
  if (names.size === 0) return [...values]
  const named: Record<string, CarrierValue> = {}
  const rest: Array<CarrierValue> = []
  values.forEach((value, i) => {
    const name = names.get(i + 1)
    if (name === undefined) rest.push(value)
    else named[name] = value
  })
  return [named, ...rest]
}

const isFaulty = (faults: CarrierFaults, value: CarrierValue): boolean => {
  if (typeof value === "number") {
    return faults.floats && (Number.isInteger(value) || Math.abs(value - Math.floor(value)) < Number.EPSILON)
  }
  return typeof value === "string" && faults.texts && value.includes("\0")
}

const functionName = "sluice_parameter"

/** Values on their way through the function. A number is used once; old ones go, as statements that still run are few. */
class Exact {
  private readonly values = new Map<number, CarrierValue>()
  private last = 0

  constructor(database: CarrierDatabase) {
    const { values } = this
    database.function(functionName, { deterministic: true }, (number) => values.get(Number(number)) ?? null)
  }

  put(value: CarrierValue): bigint {
    this.values.set(++this.last, value)
    this.values.delete(this.last - 10_000)
    return BigInt(this.last)
  }
}

const registered = new WeakMap<CarrierDatabase, Exact>()

export interface Bound {
  readonly statement: CarrierStatement
  readonly arguments: Array<unknown>
}

/**
 * Values that the carrier would change are handed over by a function, whose results it passes on exactly: in a statement
 * prepared for this one run, each such parameter is the argument of that function, which answers the value for a number.
 * undefined when there is no such value.
 */
export const bindAround = (
  connection: PortableConnection,
  statement: Statement,
  values: ReadonlyArray<CarrierValue>
): Bound | undefined => {
  const { database, faults } = connection
  if (!faults.floats && !faults.texts) return undefined
  if (!values.some((value) => isFaulty(faults, value))) return undefined
  const exact = registered.get(database) ?? new Exact(database)
  registered.set(database, exact)
  let text = ""
  let at = 0
  for (const { end, name, number, start } of statement.parameters) {
    if (!isFaulty(faults, values[number - 1]!)) {
      // A bare ? counts on from the highest number so far, which stays the same only if all are spelled out.
      text += statement.text.slice(at, start) + (name ?? `?${number}`)
    } else {
      text += statement.text.slice(at, start) + `${functionName}(${name ?? `?${number}`})`
    }
    at = end
  }
  const bound = values.map((value) => (isFaulty(faults, value) ? exact.put(value) : value))
  return {
    statement: connection.prepareCarrier(text + statement.text.slice(at)),
    arguments: carrierArguments(statement, bound)
  }
}
