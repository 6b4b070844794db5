/** What a session begins with: how its worker opens the file, and what the connection refuses from then on. */
import type { MessagePort } from "node:worker_threads"
import type { Registration } from "./messages.js"

/** In the order of SQLite's numbers (https://www.sqlite.org/c3ref/c_limit_attached.html). */
export const limitNames = [
  "length",
  "sqlLength",
  "columns",
  "exprDepth",
  "compoundSelect",
  "vdbeOps",
  "functionArgs",
  "attached",
  "likePatternLength",
  "variables",
  "triggerDepth"
] as const

export type LimitName = (typeof limitNames)[number]

/** What a connection refuses, whoever asks. */
export interface Safety {
  readonly defensive: boolean
  readonly trustedSchema: boolean
  readonly doubleQuotedStrings: boolean
  readonly limits: Readonly<Partial<Record<LimitName, number>>>
}

/** What holds where nothing else is said. */
export const safest: Safety = { defensive: true, trustedSchema: false, doubleQuotedStrings: false, limits: {} }

/** Bounds for the statements of strangers, beyond SQLite's own. */
export interface UntrustedRules {
  /** Rows that a statement may give. */
  readonly rows: number
  /** Bytes that its pages may have. */
  readonly bytes: number
  readonly columns: number
  /** UTF-16 units of a text. */
  readonly text: number
  /** The same, with its common table expressions put in wherever they are mentioned. */
  readonly expandedText: number
}

/** The native engine's parts as one thread has loaded them, for the others. */
export interface Loaded {
  /** The path of the pump. */
  readonly pump: string
  /** The address of SQLite's functions in the carrier's library. */
  readonly library: bigint
}

/** How a worker opens its connection. */
export interface Opening {
  readonly filename: string
  readonly readonly: boolean
  /** Reader of a client that has a writer: `query_only`, and never creates the file. */
  readonly queryOnly: boolean
  /** Steps of SQLite's virtual machine between two looks at the control words. */
  readonly progressSteps: number
  /** How long a lock held by another connection is waited for, in milliseconds. */
  readonly busyTimeout: number
  /** Names of those that `onOpen` sets because the configuration names them. */
  readonly pragmas: ReadonlyArray<string>
  /** Run in order once the file is open; the open fails with the first that fails. */
  readonly onOpen: ReadonlyArray<string>
  readonly wal: boolean
  readonly safety: Safety
  /** Once the connection is configured: what comes from then on comes from strangers. */
  readonly untrusted: UntrustedRules | undefined
  readonly extensions: ReadonlyArray<string>
  readonly engine: "auto" | "native" | "portable"
}

/** What a worker is started with (`workerData`). */
export interface Start {
  readonly opening: Opening
  readonly shared: SharedArrayBuffer
  readonly port: MessagePort
  readonly callbacks: ReadonlyArray<Registration>
  /** What the loop's thread has loaded for the native engine; undefined: nothing. */
  readonly loaded: Loaded | undefined
  /** See `lookers.ts`: the places, and the number of this session. */
  readonly lookers: SharedArrayBuffer
  readonly number: number
  /** Of the pump: what wakes the loop (`Signals`). Without it a message does. */
  readonly asyncHandle: bigint | undefined
}
