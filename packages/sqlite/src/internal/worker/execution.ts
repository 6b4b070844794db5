/** A text being run: one statement, or several one after the other, each stepped into pages of its own. */
import { memoryCounter } from "../counters.js"
import { Flag, Header } from "../page.js"
import { ResultCode } from "../resultCode.js"
import { type Connection, EngineError, type Prepared } from "./engine.js"
import { type Place, wordsOf } from "./place.js"
import type { Statements } from "./statements.js"

/** Adds them up; of the memory the most counts. */
const addCounters = (sums: Array<number>, counters: ReadonlyArray<number>): void => {
  counters.forEach((value, i) => {
    sums[i] = i === memoryCounter ? Math.max(sums[i] ?? 0, value) : (sums[i] ?? 0) + value
  })
}

/** A text got another number of parameters than its statements, as far as they were reached, have together. */
export class ParameterCount extends Error {
  constructor(readonly wanted: number) {
    super("wrong number of parameters")
  }
}

export class Execution {
  private current: Prepared | undefined
  private tail = ""
  private first = true
  /** Parameters that its statements have taken. */
  private taken = 0
  /** Why the next statement cannot be run; whoever asks again is told again. */
  private unusable: { readonly error: unknown } | undefined
  /** No further page. */
  finished = false
  /** One of its statements has ended, and wrote. */
  wrote = false
  /** What its statements have counted and nobody was told yet; undefined: nobody asks. */
  counters: Array<number> | undefined

  constructor(
    private readonly connection: Connection,
    private readonly statements: Statements,
    private readonly id: number,
    private readonly parameters: Uint8Array,
    private offset: number,
    private remaining: number,
    /** The parameters must outlive the request: a cursor's statement is stepped later. */
    private readonly keep: boolean
  ) {}

  /** Whether one statement has ended and another of the text is next. */
  get between(): boolean {
    return !this.first && this.current === undefined && !this.finished
  }

  /** Whether the statement that is being stepped writes. */
  get writes(): boolean {
    return this.current?.readonly === false
  }

  /** The statement to be stepped next; undefined when the text has no more. Throws `EngineError`, `ParameterCount`. */
  prepare(): Prepared | undefined {
    if (this.current !== undefined || this.finished) {
      return this.current
    }
    if (this.unusable !== undefined) {
      throw this.unusable.error
    }
    const prepared = this.first ? this.statements.take(this.id) : this.connection.prepare(this.tail)
    if (prepared === undefined) {
      if (this.remaining > 0) {
        this.unusable = { error: new ParameterCount(0) }
        throw this.unusable.error
      }
      this.finished = true
      return undefined
    }
    const last = prepared.tail === ""
    const wanted = prepared.parameterCount
    try {
      if (last ? wanted !== this.remaining : wanted > this.remaining) {
        throw new ParameterCount(this.taken + wanted)
      }
      this.offset = prepared.bind(this.parameters, this.offset, wanted, this.keep)
    } catch (error) {
      this.release(prepared)
      this.unusable = { error }
      throw error
    }
    this.remaining -= wanted
    this.taken += wanted
    this.tail = prepared.tail
    this.current = prepared
    if (this.counters !== undefined) {
      // What an earlier run of it has counted.
      prepared.counters()
    }
    return prepared
  }

  /** Adds what a statement has counted since it was asked last. */
  private count(prepared: Prepared): void {
    if (this.counters !== undefined) {
      addCounters(this.counters, prepared.counters() ?? [])
    }
  }

  /**
   * Writes the next page; answers its bytes, or −n when its first row needs n. At the end of a statement that others
   * follow, the page is not marked done.
   */
  fetch(maxRows: number, place: Place): number {
    const prepared = this.prepare()
    if (prepared === undefined) {
      throw new EngineError(ResultCode.ok, "")
    }
    const bytes = prepared.fetch(maxRows, place.bytes, place.offset, place.capacity)
    if (bytes < 0) {
      return bytes
    }
    this.count(prepared)
    const words = wordsOf(place)
    if (!this.first || this.tail !== "") {
      // Only one statement of several, and where the text may run is about all of them.
      words[Header.flags]! &= ~Flag.routable
    }
    const failed = words[Header.code] !== 0 || words[Header.why] !== 0
    const executed = (words[Header.flags]! & Flag.executed) !== 0
    if (executed && this.tail !== "") {
      words[Header.flags]! &= ~Flag.executed
    }
    if (failed && (executed ? this.tail !== "" : this.wrote)) {
      words[Header.flags]! |= Flag.partial
    }
    if (failed || (words[Header.flags]! & Flag.done) !== 0) {
      this.wrote ||= !failed && !prepared.readonly
      this.current = undefined
      this.release(prepared)
      if (failed || this.tail === "") {
        this.finished = true
        words[Header.flags]! |= Flag.done
      } else {
        words[Header.flags]! &= ~Flag.done
      }
    }
    return bytes
  }

  private release(prepared: Prepared): void {
    if (this.first) {
      this.first = false
      this.statements.give(this.id, prepared)
    } else {
      prepared.finalize()
    }
  }

  /** Ends it where it is; nothing that follows in the text runs. */
  abandon(): void {
    this.finished = true
    const { current } = this
    if (current !== undefined) {
      this.current = undefined
      current.reset()
      this.release(current)
    }
  }
}
