/** What a server can be told to do wrong, so that clients can be tested against it. */
import type * as Duration from "effect/Duration"

/** One thing that goes wrong with one request. */
export type Fault =
  /** The socket is cut before the request has had any effect, or after. */
  | { readonly _tag: "DropBefore" }
  | { readonly _tag: "DropAfter" }
  /** The socket stays open and is silent from now on, in both directions. */
  | { readonly _tag: "HalfOpen" }
  /** The request is run and never answered. */
  | { readonly _tag: "NoAnswer" }
  /** The answer comes so much later. */
  | { readonly _tag: "Delay"; readonly by: Duration.DurationInput }
  | { readonly _tag: "Twice" }
  /** An answer to a request that nobody has made comes first. */
  | { readonly _tag: "UnknownId" }
  /** The answer is a binary message. */
  | { readonly _tag: "Binary" }
  /** The answer lacks `success`, as after an error of the virtual machine. */
  | { readonly _tag: "NoSuccess" }

export interface FaultyRequest {
  readonly id: string
  readonly type: string
  readonly user: string
  /** Requests of this server so far, from 1. */
  readonly number: number
}

export interface Faults {
  /** Asked for each request. */
  readonly request?: ((request: FaultyRequest) => Fault | undefined) | undefined
  /** Who is next among requests that wait for the connection. Default `fifo`; the daemon promises nothing. */
  readonly order?: "fifo" | "random" | undefined
  /** What CANCEL_SQL does. Default `honoured`. */
  readonly cancel?: "honoured" | "ignored" | undefined
  /** How long a posted cancel takes to arrive. Default none. */
  readonly cancelDelay?: Duration.DurationInput | undefined
  /** Every upgrade is refused with this status. */
  readonly refuseUpgrade?: number | undefined
  /** A job's name serves the next connection once it is free, as with prestarted jobs. Default false. */
  readonly reuseJobNames?: boolean | undefined
}
