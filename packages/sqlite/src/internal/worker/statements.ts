/** The session's prepared statements: the loop decides which are kept (it evicts), the worker keeps them. */
import type { Connection, Prepared } from "./engine.js"

interface Entry {
  readonly text: string
  /** Ready for the next run; absent while one is running it. */
  free: Prepared | undefined
}

export class Statements {
  private readonly entries = new Map<number, Entry>()

  constructor(private readonly connection: Connection) {}

  define(id: number, text: string): void {
    this.entries.set(id, { text, free: undefined })
  }

  has(id: number): boolean {
    return this.entries.has(id)
  }

  textOf(id: number): string {
    return this.entries.get(id)!.text
  }

  /** The statement, for one run at a time: a second run at once gets another. Undefined: the text has none. */
  take(id: number): Prepared | undefined {
    const entry = this.entries.get(id)!
    const free = entry.free
    if (free !== undefined) {
      entry.free = undefined
      return free
    }
    return this.connection.prepare(entry.text)
  }

  /** Gives it back for the next run. Only the first of several statements in one text is not worth keeping. */
  give(id: number, prepared: Prepared): void {
    const entry = this.entries.get(id)
    if (entry === undefined || entry.free !== undefined || prepared.tail !== "") {
      prepared.finalize()
      return
    }
    prepared.reset()
    entry.free = prepared
  }

  forget(id: number): void {
    this.entries.get(id)?.free?.finalize()
    this.entries.delete(id)
  }

  clear(): void {
    for (const id of [...this.entries.keys()]) {
      this.forget(id)
    }
  }
}
