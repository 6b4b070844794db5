/** What one socket has: its login, its connection, and what its requests have opened. */
import * as Effect from "effect/Effect"
import type { Shelf } from "./blobs.js"
import type { Connection } from "./connection.js"
import { type Described, RowWriter } from "./columns.js"
import type { ResultCursor } from "./cursor.js"
import type { ServerContext } from "./context.js"
import type { Outbound } from "./outbound.js"
import type { Credentials } from "./upgrade.js"
import { asHex } from "./values.js"

/** What an id stands for until it is closed. */
export interface Entry {
  /** Whose connection it was opened on. */
  readonly connection: Connection | undefined
  readonly terse: boolean
  cursor?: ResultCursor | undefined
  writer?: RowWriter | undefined
  /** The connection's `closings` when the result was opened. */
  closings?: number | undefined
  /** What the last `execute` of this handle has opened: no request can reach it, the next one closes it. */
  last?: ResultCursor | undefined
  /** The text of a prepared statement. */
  prepared?: string | undefined
  /** The statement's handle has not been closed. */
  handle: boolean
}

/** The results of a handle: of the first execution, and of the last. */
export const resultsOf = ({ cursor, last }: Entry): ReadonlyArray<ResultCursor> =>
  [cursor, last].filter((result) => result !== undefined)

export const closeResults = (entry: Entry): Effect.Effect<void> =>
  Effect.forEach(resultsOf(entry), (result) => result.close, { discard: true })

export class Client {
  connection: Connection | undefined
  /** With those before it that may still wait for their statements. */
  private opened: ReadonlyArray<Connection> = []
  /** The socket is gone. */
  ended = false
  readonly entries = new Map<string, Entry>()
  private readonly shelf: Shelf | undefined

  constructor(
    readonly server: ServerContext,
    readonly credentials: Credentials,
    readonly address: string,
    /** Runs something that nobody waits for; it ends with the server. */
    readonly fork: (work: Effect.Effect<void>) => void,
    readonly outbound: Outbound
  ) {
    this.shelf = server.blobs?.shelf(credentials.header)
  }

  end(): void {
    this.ended = true
    this.shelf?.end()
  }

  use(connection: Connection): void {
    this.connection = connection
    this.opened = [...this.left, connection]
  }

  /** The connections that are not closed. */
  get left(): ReadonlyArray<Connection> {
    return this.opened.filter(({ closed }) => !closed)
  }

  writer(columns: ReadonlyArray<Described>, terse: boolean, connection: Connection): RowWriter {
    return new RowWriter(columns, terse, connection.login.properties, this.shelf ?? asHex)
  }
}

export type Fields = Readonly<Record<string, unknown>>

/** A whole number, also given as text; anything else is the default. Fractions are cut off. */
export const integerField = (request: Fields, name: string, otherwise: number): number => {
  const value = request[name]
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value
  return typeof number === "number" && Number.isFinite(number) ? Math.trunc(number) : otherwise
}

export const booleanField = (request: Fields, name: string): boolean => {
  const value = request[name]
  return value === true || (typeof value === "string" && value.toLowerCase() === "true")
}

export const textField = (request: Fields, name: string): string | undefined => {
  const value = request[name]
  return typeof value === "string"
    ? value
    : typeof value === "number" || typeof value === "boolean"
      ? String(value)
      : undefined
}

export const defaultRows = 1000
