/** Which request meets which fault: by its number, or by chance that a seed decides. */
import * as Duration from "effect/Duration"
import type * as SqlFailure from "../../SqlFailure.js"
import type * as SqlTransport from "../../SqlTransport.js"

export type Fault =
  | { readonly _tag: "Fail"; readonly reason: SqlFailure.Reason; readonly after: boolean }
  | { readonly _tag: "Drop"; readonly after: boolean }
  | { readonly _tag: "Delay"; readonly duration: Duration.DurationInput }
  | { readonly _tag: "Duplicate" }
  | { readonly _tag: "Lose"; readonly quiet: boolean }

export type Kind = "statement" | "page" | "control"

/** What chance may choose from. */
type Chance = keyof NonNullable<FaultOptions["rates"]>

export interface Injected {
  readonly number: number
  readonly kind: Kind
  readonly text: string
  readonly fault: Fault
}

/** Which requests go wrong, and how. */
export interface FaultOptions {
  /** Decides what chance decides. Default 0. */
  readonly seed?: number | undefined
  /** Faults of certain requests, by their number from 1. They come before chance. */
  readonly schedule?: Readonly<Record<number, Fault>> | undefined
  /** How likely each fault is for any one request, from 0 to 1; together at most 1. */
  readonly rates?:
    | {
        readonly fail?: number
        readonly failAfter?: number
        readonly drop?: number
        readonly dropAfter?: number
        readonly delay?: number
        readonly duplicate?: number
        readonly lose?: number
        readonly hang?: number
      }
    | undefined
  /** The reason of failures by chance. Default `Unknown`. */
  readonly reason?: SqlFailure.Reason | undefined
  /** Delays by chance are up to this long. Default 10 milliseconds. */
  readonly delay?: Duration.DurationInput | undefined
  /**
   * What is counted and may go wrong: statements (streams count once, when they open), further pages of streams, and the
   * commands of transactions. Default: statements.
   */
  readonly on?: ReadonlyArray<"statement" | "page" | "control"> | undefined
  /** Only these are counted and may go wrong. */
  readonly only?: RegExp | ((request: SqlTransport.SqlRequest) => boolean) | undefined
  /** Told of each fault. */
  readonly onFault?: ((injected: Injected) => void) | undefined
}

/** In this order chance is divided among them, whatever the order in which they were given. */
const chances: ReadonlyArray<Chance> = ["fail", "failAfter", "drop", "dropAfter", "delay", "duplicate", "lose", "hang"]

/** A number in [0, 1) that depends on nothing but these two: requests in another order keep their chances. */
const chance = (seed: number, number: number): number => {
  let t = (Math.imul(seed | 0, 0x9e3779b1) + Math.imul(number, 0x6d2b79f5)) | 0
  t = Math.imul(t ^ (t >>> 15), 1 | t)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  t = Math.imul(t ^ (t >>> 16), 0x85ebca6b)
  t = Math.imul(t ^ (t >>> 13), 0xc2b2ae35)
  return ((t ^ (t >>> 16)) >>> 0) / 4294967296
}

export class Plan {
  private count = 0

  constructor(private readonly options: FaultOptions) {}

  private concerns(kind: Kind, request: SqlTransport.SqlRequest): boolean {
    const { on = ["statement"], only } = this.options
    return (
      on.includes(kind) &&
      (only === undefined || (typeof only === "function" ? only(request) : request.text.search(only) >= 0))
    )
  }

  next(kind: Kind, request: SqlTransport.SqlRequest): Fault | undefined {
    if (!this.concerns(kind, request)) {
      return undefined
    }
    const { onFault, schedule } = this.options
    const number = ++this.count
    const fault = schedule?.[number] ?? this.byChance(number)
    if (fault !== undefined) {
      onFault?.({ number, kind, text: request.text, fault })
    }
    return fault
  }

  private byChance(number: number): Fault | undefined {
    const { rates = {}, seed = 0 } = this.options
    let left = chance(seed, number)
    for (const name of chances) {
      left -= rates[name] ?? 0
      if (left < 0) {
        return this.fault(name, number)
      }
    }
    return undefined
  }

  private fault(name: Chance, number: number): Fault {
    const { delay = 10, reason = "Unknown", seed = 0 } = this.options
    switch (name) {
      case "fail":
      case "failAfter":
        return { _tag: "Fail", reason, after: name === "failAfter" }
      case "drop":
      case "dropAfter":
        return { _tag: "Drop", after: name === "dropAfter" }
      case "delay":
        return { _tag: "Delay", duration: Math.ceil(Duration.toMillis(delay) * chance(seed ^ 0x5f356495, number)) }
      case "duplicate":
        return { _tag: "Duplicate" }
      case "lose":
      case "hang":
        return { _tag: "Lose", quiet: name === "lose" }
    }
  }
}
