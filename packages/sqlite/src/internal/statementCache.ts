/** The loop's side of the session's prepared statements: which texts the worker knows by number, least used out first. */
import type { Decoder, PageColumn } from "./decoder.js"

export interface StatementEntry {
  readonly id: number
  readonly text: string
  columns: ReadonlyArray<PageColumn>
  decoder: Decoder | undefined
}

/** A text cannot be sent; the message says why. */
export class UnsendableText extends Error {}

/** What TypeScript's `es2024` has. */
interface WellFormed {
  readonly isWellFormed: () => boolean
}

/** Why SQLite would run another text than this one; undefined: it will not. */
export const unsendable = (text: string): string | undefined =>
  text.includes("\0")
    ? "the text contains a NUL character"
    : (text as unknown as WellFormed).isWellFormed()
      ? undefined
      : "the text contains a lone surrogate, which UTF-8 does not have"

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
    const wrong = unsendable(text)
    if (wrong !== undefined) {
      throw new UnsendableText(wrong)
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
