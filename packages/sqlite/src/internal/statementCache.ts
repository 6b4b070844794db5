/** The loop's side of the session's prepared statements: which texts the worker knows by number, least used out first. */
import type { Decoder, PageColumn } from "./decoder.js"

export interface StatementEntry {
  readonly id: number
  readonly text: string
  columns: ReadonlyArray<PageColumn>
  decoder: Decoder | undefined
}

/** A text cannot be sent. */
export class NulInText extends Error {}

export class StatementCache {
  private readonly entries = new Map<string, StatementEntry>()
  private lastId = 0
  private latest: StatementEntry | undefined

  /** `announce` tells the worker of a new text, `forget` of one to drop. */
  constructor(
    private readonly capacity: number,
    private readonly announce: (id: number, text: string) => void,
    private readonly forget: (id: number) => void
  ) {}

  get(text: string): StatementEntry {
    // The same text again is the commonest case: no bookkeeping then.
    if (this.latest !== undefined && this.latest.text === text) {
      return this.latest
    }
    let entry = this.entries.get(text)
    if (entry === undefined) {
      entry = this.once(text)
      if (this.entries.size >= this.capacity) {
        this.evict()
      }
    } else {
      this.entries.delete(text)
    }
    this.entries.set(text, entry)
    this.latest = entry
    return entry
  }

  /** A statement that is not kept. */
  once(text: string): StatementEntry {
    if (text.includes("\0")) {
      throw new NulInText()
    }
    const entry: StatementEntry = { id: ++this.lastId, text, columns: [], decoder: undefined }
    this.announce(entry.id, text)
    return entry
  }

  private evict(): void {
    for (const [text, entry] of this.entries) {
      this.entries.delete(text)
      this.forget(entry.id)
      return
    }
  }
}
